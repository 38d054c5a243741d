//! Keyed records in internal partitions: what metadata and coordinators keep their state in.

use std::sync::Arc;

use bytes::Bytes;
use fjord_log::{AppendError, CompactionPolicy, Log, Partition};
use fjord_wire::records::{Batch, BatchBuilder, BatchHeader, BatchOptions, Compression};
use tokio::sync::oneshot;

use super::set::{METADATA_PARTITION, Partitions};
use crate::{
    coordinator::{
        runtime::{AppendDone, AppendFailed, ReplayFailed, ShardLog},
        shard::{Record, ReplayError},
    },
    metadata::{
        MetadataLog, MetadataLogError, records::EncodedRecord, store::BoxFuture, topic_name,
    },
};

/// What people see in logs for the metadata's partition.
const METADATA_LABEL: &str = "__cluster_metadata-0";
/// The metadata belongs to no leader's term: it is the cluster's own.
const METADATA_EPOCH: i32 = 0;
/// Batches that are read back at a time, in bytes.
const REPLAY_BYTES: usize = 1 << 20;
/// Most bytes that a stored batch may take decompressed.
const DECOMPRESSED_LIMIT: usize = 256 << 20;
/// Records of metadata in one batch, in bytes of keys and values.
const METADATA_BATCH_BYTES: usize = 512 << 10;
/// Memory for the keys of metadata when it is compacted.
const METADATA_DEDUPE_BYTES: usize = 64 << 20;
/// How long readers of metadata can see that something was deleted.
const METADATA_DELETE_RETENTION_MS: u64 = 24 * 60 * 60 * 1000;

/// Why keyed records could not be read back.
#[derive(Debug, thiserror::Error)]
pub enum ReadBackError {
    /// The log cannot be read, or holds a damaged batch.
    #[error(transparent)]
    Read(#[from] fjord_log::ReadError),
    /// A batch that is whole does not decode.
    #[error("{0}")]
    Batch(#[from] fjord_wire::records::BatchError),
}

/// One batch of keyed records.
fn batch(
    records: &[(Bytes, Option<Bytes>)],
    timestamp_ms: i64,
    compression: Compression,
) -> Result<Bytes, fjord_wire::records::BuildError> {
    let options = BatchOptions {
        compression,
        ..BatchOptions::default()
    };
    let mut builder = BatchBuilder::new(0, options);
    for (offset, (key, value)) in (0..).zip(records) {
        builder.append(offset, timestamp_ms, Some(key), value.as_deref(), &[])?;
    }
    builder.build()
}

/// Hands every keyed record of a partition to `visit`, from the start to the durable end. Blocks.
///
/// # Errors
///
/// [`ReadBackError`], or what `visit` returns; reading ends there.
pub fn read_back<E: From<ReadBackError>>(
    partition: &Partition,
    visit: &mut dyn FnMut(Bytes, Option<Bytes>) -> Result<(), E>,
) -> Result<(), E> {
    let positions = partition.positions();
    let mut offset = positions.log_start;
    while offset < positions.durable_end {
        let read = partition
            .read(offset, REPLAY_BYTES, positions.durable_end)
            .map_err(ReadBackError::from)?;
        if read.batches.is_empty() {
            break;
        }
        for bytes in read.batches {
            let header = BatchHeader::parse(&bytes).map_err(ReadBackError::from)?;
            let records = Batch { header, bytes }.records(DECOMPRESSED_LIMIT);
            for record in records.map_err(ReadBackError::from)? {
                let record = record.map_err(ReadBackError::from)?;
                if let Some(key) = record.key {
                    visit(key, record.value)?;
                }
            }
        }
        offset = read.next_offset;
    }
    Ok(())
}

/// The metadata's partition.
#[derive(Clone)]
pub struct MetadataPartition {
    partition: Arc<Partition>,
}

impl MetadataPartition {
    /// Opens the partition in `log`.
    ///
    /// # Errors
    ///
    /// If the log is closed.
    pub fn open(log: &Log) -> Result<Self, AppendError> {
        let partition = log.open_partition(METADATA_PARTITION, METADATA_LABEL, true)?;
        let compaction = CompactionPolicy {
            min_dirty_ratio: 0.5,
            min_lag_ms: 0,
            max_lag_ms: u64::MAX,
            delete_retention_ms: METADATA_DELETE_RETENTION_MS,
            dedupe_bytes: METADATA_DEDUPE_BYTES,
        };
        partition.set_policies(None, Some(compaction));
        Ok(Self { partition })
    }

    /// All records, oldest first. Blocks.
    ///
    /// # Errors
    ///
    /// If one of them is damaged.
    pub fn read_all(&self) -> Result<Vec<EncodedRecord>, ReadBackError> {
        let mut records = Vec::new();
        read_back::<ReadBackError>(&self.partition, &mut |key, value| {
            records.push(EncodedRecord { key, value });
            Ok(())
        })?;
        Ok(records)
    }

    fn enqueue(
        &self,
        records: Vec<EncodedRecord>,
        timestamp_ms: i64,
    ) -> Result<Vec<oneshot::Receiver<Result<(), AppendError>>>, MetadataLogError> {
        let refused = |reason: &dyn std::fmt::Display| MetadataLogError(reason.to_string());
        let mut waits = Vec::new();
        for part in in_batches(records) {
            let batch = batch(&part, timestamp_ms, Compression::None).map_err(|e| refused(&e))?;
            let (done, wait) = oneshot::channel();
            let completion = Box::new(move |result: Result<_, _>| {
                // Whoever waited may be gone; the records are written all the same.
                let _ = done.send(result.map(|_| ()));
            });
            self.partition
                .append(batch, METADATA_EPOCH, completion)
                .map_err(|e| refused(&e))?;
            waits.push(wait);
        }
        Ok(waits)
    }
}

/// Cuts records into batches of bounded size.
fn in_batches(records: Vec<EncodedRecord>) -> Vec<Vec<(Bytes, Option<Bytes>)>> {
    let mut batches: Vec<Vec<(Bytes, Option<Bytes>)>> = Vec::new();
    let mut bytes = 0;
    for EncodedRecord { key, value } in records {
        let size = key.len() + value.as_ref().map_or(0, Bytes::len);
        match batches.last_mut() {
            Some(batch) if bytes + size <= METADATA_BATCH_BYTES => {
                batch.push((key, value));
                bytes += size;
            }
            _ => {
                batches.push(vec![(key, value)]);
                bytes = size;
            }
        }
    }
    batches
}

impl MetadataLog for MetadataPartition {
    fn append(
        &self,
        records: Vec<EncodedRecord>,
        timestamp_ms: i64,
    ) -> BoxFuture<Result<(), MetadataLogError>> {
        let enqueued = self.enqueue(records, timestamp_ms);
        Box::pin(async move {
            for wait in enqueued? {
                match wait.await {
                    Ok(Ok(())) => {}
                    Ok(Err(error)) => return Err(MetadataLogError(error.to_string())),
                    Err(_) => return Err(MetadataLogError("the log is closed".to_owned())),
                }
            }
            Ok(())
        })
    }
}

/// The partitions of `__consumer_offsets`.
pub struct OffsetsTopic {
    partitions: Arc<Partitions>,
    compression: Compression,
}

impl OffsetsTopic {
    /// The topic as `partitions` has it, whose batches are compressed as `offsets.topic.compression.codec`
    /// says.
    pub fn new(partitions: Arc<Partitions>, compression: Compression) -> Self {
        Self {
            partitions,
            compression,
        }
    }

    fn leader(&self, partition: i32) -> Option<Arc<super::Leader>> {
        let topic_id = self.partitions.topic_id(topic_name::CONSUMER_OFFSETS)?;
        self.partitions.leader(&topic_id, partition)
    }
}

impl ShardLog for OffsetsTopic {
    fn append(&self, partition: i32, records: Vec<Record>, timestamp_ms: i64, done: AppendDone) {
        let failed = |reason: &dyn std::fmt::Display| AppendFailed {
            reason: reason.to_string(),
        };
        let records: Vec<_> = records.into_iter().map(|r| (r.key, r.value)).collect();
        let Some(leader) = self.leader(partition) else {
            return done(Err(failed(&"the partition is not here")));
        };
        let batch = match batch(&records, timestamp_ms, self.compression) {
            Ok(batch) => batch,
            Err(error) => return done(Err(failed(&error))),
        };
        // The log either takes the callback or hands an error back: it is called once in both cases.
        let done = Arc::new(std::sync::Mutex::new(Some(done)));
        let finish = {
            let done = Arc::clone(&done);
            move |result: Result<i64, AppendFailed>| {
                let taken = done
                    .lock()
                    .unwrap_or_else(std::sync::PoisonError::into_inner)
                    .take();
                if let Some(done) = taken {
                    done(result);
                }
            }
        };
        let on_disk = finish.clone();
        let appended = leader.append(batch, move |result| {
            on_disk(
                result
                    .map(|outcome| i64::try_from(outcome.base_offset).unwrap_or(i64::MAX))
                    .map_err(|error| failed(&error)),
            );
        });
        if let Err(error) = appended {
            finish(Err(failed(&error)));
        }
    }

    fn replay(
        &self,
        partition: i32,
        visit: &mut dyn FnMut(Bytes, Option<Bytes>) -> Result<(), ReplayError>,
    ) -> Result<(), ReplayFailed> {
        let leader = self
            .leader(partition)
            .ok_or_else(|| ReplayFailed::Log("the partition is not here".to_owned()))?;
        read_back::<ReplayFailed>(leader.log(), &mut |key, value| Ok(visit(key, value)?))
    }
}

impl From<ReadBackError> for ReplayFailed {
    fn from(error: ReadBackError) -> Self {
        Self::Log(error.to_string())
    }
}
