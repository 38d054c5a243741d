//! A partition that this broker leads.

use std::{
    fmt,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicI32, Ordering::Relaxed},
    },
};

use bytes::Bytes;
use fjord_log::{
    AppendError, AppendOutcome, CompactionPolicy, Found, Partition, ReadBatches, ReadError,
    ReadLimit, RetentionPolicy,
};
use uuid::Uuid;

use super::parked::{Parked, ParkedFetch};
use crate::config::{CleanerConfig, TopicConfig};

/// Where a partition's records begin and end, for clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// First offset there is.
    pub log_start: u64,
    /// Offset after the last record that no open transaction comes before.
    pub last_stable: u64,
    /// Offset after the last record that is on the disks of all in-sync replicas.
    pub high_watermark: u64,
}

/// A partition that this broker leads; shared by all who use it.
pub struct Leader {
    topic: Arc<str>,
    topic_id: Uuid,
    index: i32,
    leader_epoch: AtomicI32,
    log: Arc<Partition>,
    config: RwLock<Arc<TopicConfig>>,
    parked: Parked,
}

impl Leader {
    pub(super) fn new(
        topic: Arc<str>,
        topic_id: Uuid,
        index: i32,
        leader_epoch: i32,
        log: Arc<Partition>,
        config: Arc<TopicConfig>,
    ) -> Self {
        Self {
            topic,
            topic_id,
            index,
            leader_epoch: AtomicI32::new(leader_epoch),
            log,
            config: RwLock::new(config),
            parked: Parked::default(),
        }
    }

    /// The topic's name.
    pub fn topic(&self) -> &str {
        &self.topic
    }

    /// The topic's id.
    pub fn topic_id(&self) -> Uuid {
        self.topic_id
    }

    /// The partition's index in its topic.
    pub fn index(&self) -> i32 {
        self.index
    }

    /// The epoch of this leadership (KIP-101).
    pub fn leader_epoch(&self) -> i32 {
        self.leader_epoch.load(Relaxed)
    }

    /// The topic's configs in force.
    pub fn config(&self) -> Arc<TopicConfig> {
        Arc::clone(&self.config.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The partition's log.
    pub fn log(&self) -> &Arc<Partition> {
        &self.log
    }

    /// Takes new configs into force: for appends at once, for cleaning up from the next round on.
    pub(super) fn set_config(&self, config: Arc<TopicConfig>, cleaner: &CleanerConfig) {
        let policy = config.cleanup_policy;
        let retention = policy.delete.then(|| RetentionPolicy {
            max_age_ms: u64::try_from(config.retention_ms).ok(),
            max_bytes: u64::try_from(config.retention_bytes).ok(),
        });
        let milliseconds = |value: i64| u64::try_from(value).unwrap_or(0);
        let compaction = (policy.compact && cleaner.enabled).then(|| CompactionPolicy {
            min_dirty_ratio: config.min_cleanable_dirty_ratio,
            min_lag_ms: milliseconds(config.min_compaction_lag_ms),
            max_lag_ms: milliseconds(config.max_compaction_lag_ms),
            delete_retention_ms: milliseconds(config.delete_retention_ms),
            dedupe_bytes: cleaner.dedupe_buffer_bytes,
        });
        self.log.set_policies(retention, compaction);
        *self.config.write().unwrap_or_else(PoisonError::into_inner) = config;
    }

    /// Where the records begin and end now.
    pub fn bounds(&self) -> Bounds {
        let positions = self.log.positions();
        let bounds = Bounds {
            log_start: positions.log_start,
            // There are no transactions yet, and this broker is the only in-sync replica.
            last_stable: positions.durable_end,
            high_watermark: positions.durable_end,
        };
        assert!(
            bounds.log_start <= bounds.last_stable && bounds.last_stable <= bounds.high_watermark,
            "positions are out of order: {bounds:?}"
        );
        bounds
    }

    /// Appends one valid batch. `done` is called once, on the log's thread, when the batch is on disk or
    /// refused after all.
    ///
    /// # Errors
    ///
    /// If the batch is refused at once; `done` is not called then.
    pub fn append(
        self: &Arc<Self>,
        batch: Bytes,
        done: impl FnOnce(Result<AppendOutcome, AppendError>) + Send + 'static,
    ) -> Result<(), AppendError> {
        let this = Arc::clone(self);
        let size_bytes = batch.len();
        let completion = Box::new(move |result: Result<AppendOutcome, AppendError>| {
            if result.is_ok() {
                this.parked.appended(size_bytes);
            }
            done(result);
        });
        self.log
            .append(batch, self.leader_epoch(), completion)
            .map(|_| ())
    }

    /// Moves the log's start forward (DeleteRecords), and calls `done` when that is on disk.
    ///
    /// # Errors
    ///
    /// If it is refused at once; `done` is not called then.
    pub fn delete_records_before(
        self: &Arc<Self>,
        log_start: u64,
        done: impl FnOnce(Result<AppendOutcome, AppendError>) + Send + 'static,
    ) -> Result<(), AppendError> {
        let this = Arc::clone(self);
        self.log.set_log_start(
            log_start,
            Box::new(move |result| {
                this.parked.changed();
                done(result);
            }),
        )
    }

    /// Stored batches from the one that holds `offset` on, up to the high watermark, if they are in
    /// memory; `None` if the disk must be asked, by [`Leader::read`].
    pub fn read_recent(
        &self,
        offset: u64,
        limit: ReadLimit,
    ) -> Option<Result<ReadBatches, ReadError>> {
        self.log
            .read_recent(offset, limit, self.bounds().high_watermark)
    }

    /// Stored batches from the one that holds `offset` on, up to the high watermark. May block.
    ///
    /// # Errors
    ///
    /// See [`Partition::read`].
    pub fn read(&self, offset: u64, limit: ReadLimit) -> Result<ReadBatches, ReadError> {
        self.log.read(offset, limit, self.bounds().high_watermark)
    }

    /// The first record that is not older than `timestamp`. May block.
    ///
    /// # Errors
    ///
    /// See [`Partition::offset_for_timestamp`].
    pub fn offset_for_timestamp(&self, timestamp: i64) -> Result<Option<Found>, ReadError> {
        self.log
            .offset_for_timestamp(timestamp, self.bounds().high_watermark)
    }

    /// The record with the greatest timestamp. May block.
    ///
    /// # Errors
    ///
    /// See [`Partition::offset_of_max_timestamp`].
    pub fn offset_of_max_timestamp(&self) -> Result<Option<Found>, ReadError> {
        self.log
            .offset_of_max_timestamp(self.bounds().high_watermark)
    }

    /// Wakes `fetch` when there is more to read.
    pub fn park(&self, fetch: &Arc<ParkedFetch>) {
        self.parked.park(fetch);
    }

    /// Wakes all parked fetches: the partition is gone.
    pub(super) fn close(&self) {
        self.parked.changed();
    }
}

impl fmt::Debug for Leader {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}-{}", self.topic, self.index)
    }
}
