//! The metadata's partition, and the copy that stands in for it where it is damaged.
//!
//! ```text
//! start: partition sound? ──yes──► its records
//!           │no
//!           ▼
//!        copy, then the partition from the copy's end on ──► both written anew
//! ```

use std::{
    io,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use fjord_log::{AppendError, AppendOutcome, CompactionPolicy, Completion, Log, Partition};
use fjord_wire::records::Compression;
use tokio::sync::oneshot;
use tracing::{error, info, warn};

use super::{
    METADATA_PARTITION,
    metadata_copy::{Contents, MetadataCopy, newest},
    records::{OnDamage, ReadBack, ReadBackError, batch, read_back},
};
use crate::metadata::{MetadataLog, MetadataLogError, records::EncodedRecord, store::BoxFuture};

/// What people see in logs for the metadata's partition.
const METADATA_LABEL: &str = "__cluster_metadata-0";
/// The copy's file in the data directory.
const COPY_FILE: &str = "metadata.copy";
/// The metadata belongs to no leader's term: it is the cluster's own.
const METADATA_EPOCH: i32 = 0;
/// Records of metadata in one batch, in bytes of keys and values.
const METADATA_BATCH_BYTES: usize = 512 << 10;
/// Bytes of metadata that are read at a time.
const READ_BYTES: usize = 1 << 20;
/// Memory for the keys of metadata when it is compacted.
const METADATA_DEDUPE_BYTES: usize = 64 << 20;
/// How long readers of metadata can see that something was deleted.
const METADATA_DELETE_RETENTION_MS: u64 = 24 * 60 * 60 * 1000;

/// Why the metadata could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum MetadataOpenError {
    /// The partition is damaged, and the copy does not help.
    #[error(
        "{damage}; its copy {path} {copy}; restore the data directory from a backup, or start with an empty one"
    )]
    Damaged {
        /// What is wrong with the partition.
        damage: ReadBackError,
        /// The copy's file.
        path: PathBuf,
        /// Why it does not help.
        copy: &'static str,
    },
    /// The copy is there, but cannot be read.
    #[error("{path}: {source}")]
    Copy {
        /// The copy's file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// What the copy holds could not be written back.
    #[error("the metadata is damaged and could not be written anew: {0}")]
    Restore(String),
    /// The log is closed.
    #[error(transparent)]
    Closed(#[from] AppendError),
}

/// The metadata's partition.
#[derive(Clone)]
pub struct MetadataPartition {
    partition: Arc<Partition>,
    copy: Arc<Mutex<MetadataCopy>>,
}

impl MetadataPartition {
    /// Opens the partition in `log`, repairs it from its copy if it is damaged, and returns all records,
    /// oldest first. Blocks.
    ///
    /// # Errors
    ///
    /// [`MetadataOpenError`].
    pub fn open(log: &Log) -> Result<(Self, Vec<EncodedRecord>), MetadataOpenError> {
        let partition = log.open_partition(METADATA_PARTITION, METADATA_LABEL, true)?;
        let compaction = CompactionPolicy {
            min_dirty_ratio: 0.5,
            min_lag_ms: 0,
            max_lag_ms: u64::MAX,
            delete_retention_ms: METADATA_DELETE_RETENTION_MS,
            dedupe_bytes: METADATA_DEDUPE_BYTES,
        };
        partition.set_compaction(Some(compaction));
        let path = log.directory().join(COPY_FILE);
        let (copy, found) = MetadataCopy::open(path.clone())
            .map_err(|source| MetadataOpenError::Copy { path, source })?;
        let opened = Self {
            partition,
            copy: Arc::new(Mutex::new(copy)),
        };
        let records = opened.read_or_restore(found)?;
        opened.rewrite_copy(&records);
        Ok((opened, records))
    }

    fn read_or_restore(
        &self,
        found: Option<Contents>,
    ) -> Result<Vec<EncodedRecord>, MetadataOpenError> {
        let positions = self.partition.positions();
        let end = positions.durable_end;
        match (self.read_from(positions.log_start), found) {
            (Ok(records), Some(copy)) if copy.end > end => {
                error!(
                    partition = METADATA_LABEL,
                    from = end,
                    to = copy.end,
                    "the metadata lacks its newest records; taking them from the copy"
                );
                drop(records);
                self.restore(copy)
            }
            (Ok(records), _) => Ok(records),
            (Err(damage), Some(copy)) => {
                error!(
                    partition = METADATA_LABEL,
                    %damage,
                    copy_end = copy.end,
                    "the metadata is damaged; using its copy"
                );
                let mut merged = copy;
                if merged.end < end {
                    match self.read_from(merged.end.max(positions.log_start)) {
                        Ok(newer) => merged.records.extend(newer),
                        Err(damage) => return Err(self.lost(damage, "ends before the damage")),
                    }
                }
                self.restore(merged)
            }
            (Err(damage), None) => Err(self.lost(damage, "is missing or damaged too")),
        }
    }

    fn lost(&self, damage: ReadBackError, copy: &'static str) -> MetadataOpenError {
        let path = self.lock_copy().path().to_owned();
        MetadataOpenError::Damaged { damage, path, copy }
    }

    /// Writes the copy's records to the end of the partition, and has it begin there.
    fn restore(&self, from: Contents) -> Result<Vec<EncodedRecord>, MetadataOpenError> {
        let failed =
            |reason: &dyn std::fmt::Display| MetadataOpenError::Restore(reason.to_string());
        let records = newest(&from.records);
        // If this is interrupted, the next start must not take a partition that is half written for whole.
        self.lock_copy()
            .rewrite(&records, u64::MAX)
            .map_err(|e| failed(&e))?;
        let log_start = self.partition.positions().log_end;
        for wait in self.enqueue(&records, 0).map_err(|e| failed(&e))? {
            let outcome = wait.blocking_recv().map_err(|e| failed(&e))?;
            outcome.map_err(|e| failed(&e))?;
        }
        let (done, moved) = oneshot::channel();
        self.partition
            .set_log_start(log_start, completion(done))
            .map_err(|e| failed(&e))?;
        let outcome = moved.blocking_recv().map_err(|e| failed(&e))?;
        outcome.map_err(|e| failed(&e))?;
        info!(
            partition = METADATA_LABEL,
            records = records.len(),
            "the metadata is whole again"
        );
        Ok(records)
    }

    fn read_from(&self, offset: u64) -> Result<Vec<EncodedRecord>, ReadBackError> {
        let mut records = Vec::new();
        let from = ReadBack {
            offset,
            bytes_at_once: READ_BYTES,
            on_damage: OnDamage::Refuse,
        };
        read_back::<ReadBackError>(&self.partition, from, &mut |key, value| {
            records.push(EncodedRecord { key, value });
            Ok(())
        })?;
        Ok(records)
    }

    fn lock_copy(&self) -> std::sync::MutexGuard<'_, MetadataCopy> {
        self.copy.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has the copy hold `records`, which are all up to the partition's end. Without a copy the metadata is
    /// as safe as any record, so that failing is no reason to refuse anything.
    fn rewrite_copy(&self, records: &[EncodedRecord]) {
        let mut copy = self.lock_copy();
        let end = self.partition.positions().durable_end;
        if let Err(error) = copy.rewrite(records, end) {
            warn!(path = %copy.path().display(), %error, "cannot write the copy of the metadata");
        }
    }

    /// Adds a change to the copy that was appended to the partition at `from..end`. Blocks.
    fn note_in_copy(&self, records: &[EncodedRecord], from: u64, end: u64) {
        let mut copy = self.lock_copy();
        if copy.is_complete_to(from) {
            if let Err(error) = copy.append(records, end) {
                warn!(path = %copy.path().display(), %error, "cannot add to the copy of the metadata");
            }
            return;
        }
        drop(copy);
        match self.read_from(self.partition.positions().log_start) {
            Ok(all) => self.rewrite_copy(&all),
            Err(error) => error!(%error, "cannot copy the metadata: it is damaged"),
        }
    }

    fn enqueue(
        &self,
        records: &[EncodedRecord],
        timestamp_ms: i64,
    ) -> Result<Vec<oneshot::Receiver<Result<AppendOutcome, AppendError>>>, MetadataLogError> {
        let refused = |reason: &dyn std::fmt::Display| MetadataLogError(reason.to_string());
        let mut waits = Vec::new();
        for part in in_batches(records) {
            let batch = batch(&part, timestamp_ms, Compression::None).map_err(|e| refused(&e))?;
            let (done, wait) = oneshot::channel();
            self.partition
                .append(batch, METADATA_EPOCH, completion(done))
                .map_err(|e| refused(&e))?;
            waits.push(wait);
        }
        Ok(waits)
    }
}

fn completion(done: oneshot::Sender<Result<AppendOutcome, AppendError>>) -> Completion {
    Box::new(move |result| {
        // Whoever waited may be gone; the records are written all the same.
        let _ = done.send(result);
    })
}

/// Cuts records into batches of bounded size.
fn in_batches(records: &[EncodedRecord]) -> Vec<Vec<(Bytes, Option<Bytes>)>> {
    let mut batches: Vec<Vec<(Bytes, Option<Bytes>)>> = Vec::new();
    let mut bytes = 0;
    for EncodedRecord { key, value } in records.iter().cloned() {
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
        let enqueued = self.enqueue(&records, timestamp_ms);
        let this = self.clone();
        Box::pin(async move {
            let mut written: Option<(u64, u64)> = None;
            for wait in enqueued? {
                let outcome = match wait.await {
                    Ok(Ok(outcome)) => outcome,
                    Ok(Err(error)) => return Err(MetadataLogError(error.to_string())),
                    Err(_) => return Err(MetadataLogError("the log is closed".to_owned())),
                };
                let from = written.map_or(outcome.base_offset, |(from, _)| from);
                written = Some((from, outcome.last_offset + 1));
            }
            if let Some((from, end)) = written {
                let noted =
                    tokio::task::spawn_blocking(move || this.note_in_copy(&records, from, end));
                if let Err(error) = noted.await {
                    warn!(%error, "adding to the copy of the metadata ended");
                }
            }
            Ok(())
        })
    }
}
