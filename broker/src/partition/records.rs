//! Keyed records in internal partitions: what metadata and coordinators keep their state in.

use std::sync::Arc;

use bytes::Bytes;
use fjord_log::{Partition, ReadError};
use fjord_wire::records::{Batch, BatchBuilder, BatchHeader, BatchOptions, Compression};
use tracing::error;

use super::{replica::Acks, set::Partitions};
use crate::{
    config::GroupsConfig,
    coordinator::{
        runtime::{AppendDone, AppendFailed, ReplayFailed, ShardLog},
        shard::{Record, ReplayError},
    },
    metadata::topic_name,
};

/// Most bytes that a stored batch may take decompressed.
const DECOMPRESSED_LIMIT: usize = 256 << 20;

/// Why keyed records could not be read back.
#[derive(Debug, thiserror::Error)]
pub enum ReadBackError {
    /// The log cannot be read, or holds a damaged batch.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// A batch that is whole does not decode.
    #[error("{0}")]
    Batch(#[from] fjord_wire::records::BatchError),
}

/// What to do about a damaged batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OnDamage {
    /// Reading ends there.
    Refuse,
    /// It is told, and left out.
    Skip,
}

/// One batch of keyed records.
pub(super) fn batch(
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

/// Where and how records are read back.
#[derive(Debug, Clone, Copy)]
pub(super) struct ReadBack {
    /// The first offset.
    pub offset: u64,
    /// Bytes of batches that are read at a time.
    pub bytes_at_once: usize,
    /// What to do about a damaged batch.
    pub on_damage: OnDamage,
}

/// Hands every keyed record of a partition from an offset to the durable end to `visit`. Blocks.
///
/// # Errors
///
/// [`ReadBackError`], or what `visit` returns; reading ends there.
pub(super) fn read_back<E: From<ReadBackError>>(
    partition: &Partition,
    from: ReadBack,
    visit: &mut dyn FnMut(Bytes, Option<Bytes>) -> Result<(), E>,
) -> Result<(), E> {
    let end = partition.positions().durable_end;
    let mut offset = from.offset;
    while offset < end {
        let read = match partition.read(offset, from.bytes_at_once, end) {
            Err(ReadError::Damaged { .. }) if from.on_damage == OnDamage::Skip => {
                error!(
                    partition = partition.label(),
                    offset, "leaving out a damaged record"
                );
                offset += 1;
                continue;
            }
            read => read.map_err(ReadBackError::from)?,
        };
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

/// The partitions of `__consumer_offsets`.
pub struct OffsetsTopic {
    partitions: Arc<Partitions>,
    compression: Compression,
    load_bytes: usize,
}

impl OffsetsTopic {
    /// The topic as `partitions` has it. Its batches are compressed as `offsets.topic.compression.codec` says,
    /// and `offsets.load.buffer.size` bytes of them are read at a time.
    pub fn new(partitions: Arc<Partitions>, config: &GroupsConfig) -> Self {
        let codec = Compression::from_code(i16::from(config.offsets_topic_compression));
        Self {
            partitions,
            compression: codec.unwrap_or(Compression::None),
            load_bytes: config.load_buffer_bytes,
        }
    }

    fn leader(&self, partition: i32) -> Option<Arc<super::Replica>> {
        let topic_id = self.partitions.topic_id(topic_name::CONSUMER_OFFSETS)?;
        self.partitions.leader(&topic_id, partition).ok()
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
        let appended = leader.append(batch, Acks::All, move |result| {
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
        // What is not on all in-sync replicas yet might not stay.
        if !leader.is_settled() {
            return Err(ReplayFailed::NotYet);
        }
        let log = leader.log();
        // A commit that is lost is as if it had not been made: its records are read again. The groups of this
        // partition would otherwise be out of order for ever.
        let from = ReadBack {
            offset: log.positions().log_start,
            bytes_at_once: self.load_bytes,
            on_damage: OnDamage::Skip,
        };
        read_back::<ReplayFailed>(log, from, &mut |key, value| Ok(visit(key, value)?))
    }
}

impl From<ReadBackError> for ReplayFailed {
    fn from(error: ReadBackError) -> Self {
        Self::Log(error.to_string())
    }
}
