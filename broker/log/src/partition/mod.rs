//! A partition's log, as its users hold it.
//!
//! ```text
//! log_start ........ durable_end ........ written_end ........ log_end
//!     │  readable        │  for followers     │  queued or being written
//! ```
//!
//! Invariant: `log_start <= durable_end <= written_end <= log_end`, except that a log start moved to a not yet
//! durable end takes the other two along.

mod append;
mod control;
mod fetch;
pub(crate) mod producers;
mod publish;
mod read;
mod recent;
mod replica;
mod times;
mod truncate;
mod written;

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

pub(crate) use crate::partition::append::fits_a_file;
pub(crate) use crate::partition::control::Control;
pub use crate::partition::read::{ReadBatches, ReadLimit};
pub use crate::partition::replica::WrittenHook;
pub use crate::partition::times::Found;

use crate::compaction::CompactionPolicy;
use crate::error::AppendError;
use crate::fold::{EpochEntry, Extent};
use crate::index::rows::PartitionRow;
use crate::indexer::Forgotten;
use crate::log::Shared;
use crate::partition::producers::ProducerTable;
use crate::partition::recent::Recent;
use crate::partition::written::Written;
use crate::retention::RetentionPolicy;
use crate::types::{Lsn, PartitionId};

/// Called once, on the writer's thread, when a change is durable or has been refused. It must be quick.
pub type Completion = Box<dyn FnOnce(Result<AppendOutcome, AppendError>) + Send>;

/// What became of an append.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AppendOutcome {
    /// Offset of the first record. Of the first time, if this was a duplicate.
    pub base_offset: u64,
    /// Offset of the last record.
    pub last_offset: u64,
    /// The batch was in the log already (KIP-98).
    pub duplicate: bool,
}

/// A partition's bounds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Positions {
    /// First offset that can be read.
    pub log_start: u64,
    /// Offset after the last durable record.
    pub durable_end: u64,
    /// Offset after the last record that is in the file, synced or not; beyond the durable end only while somebody
    /// is told of it ([`Partition::on_written`]).
    pub written_end: u64,
    /// Offset that the next record gets.
    pub log_end: u64,
}

/// How the partition is cleaned up.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Policies {
    pub retention: Option<RetentionPolicy>,
    pub compaction: Option<CompactionPolicy>,
}

/// One partition's log. All methods may be called from any thread; those that may wait for the disk say so.
pub struct Partition {
    id: PartitionId,
    label: String,
    privileged: bool,
    shared: Weak<Shared>,
    state: Mutex<State>,
    /// Raised when queued appends are taken back; see [`Partition::refuse`].
    generation: AtomicU32,
    deleted: AtomicBool,
    high_watermark: AtomicU64,
}

/// What the partition's lock guards.
struct State {
    /// Where the log will end when all that is queued is written.
    extent: Extent,
    durable_end: u64,
    /// Entries that make the log longer, enqueued and neither published nor refused.
    appends_under_way: usize,
    producers: ProducerTable,
    recent: Recent,
    written: Written,
    size_bytes: u64,
    /// Greatest timestamp of a durable batch, with the batch's base offset.
    max_timestamp: i64,
    max_timestamp_offset: u64,
    /// Up to this offset compaction has looked at everything.
    cleaned_end: u64,
    /// When the next tombstone may go, in milliseconds; -1 if there is none.
    delete_horizon: i64,
    /// How often a suffix was truncated: what was read before must not be written again after.
    truncations: u64,
    /// A suffix is about to be truncated: no batch may get another form until it is.
    truncating: bool,
    /// Compaction has given batches another form since the log was opened.
    rewritten: bool,
    policies: Policies,
}

impl State {
    /// Offset after the last record that is in the file and can be read.
    fn written_end(&self) -> u64 {
        self.written
            .end()
            .map_or(self.durable_end, |end| end.max(self.durable_end))
    }

    /// Whether the log can be truncated: it `is_wanted` still, no append is under way, and no truncation.
    fn check_truncation(&self, is_wanted: &dyn Fn() -> bool) -> Result<(), AppendError> {
        if !is_wanted() {
            return Err(AppendError::Superseded);
        }
        match self.appends_under_way == 0 && !self.truncating {
            true => Ok(()),
            false => Err(AppendError::Busy),
        }
    }
}

impl Partition {
    pub(crate) fn new(
        id: PartitionId,
        label: String,
        privileged: bool,
        shared: Weak<Shared>,
        row: &PartitionRow,
        producers: ProducerTable,
    ) -> Self {
        let state = State {
            extent: row.extent.clone(),
            durable_end: row.extent.log_end,
            appends_under_way: 0,
            producers,
            recent: Recent::default(),
            written: Written::default(),
            size_bytes: row.size_bytes,
            max_timestamp: row.max_timestamp,
            max_timestamp_offset: row.max_timestamp_offset,
            cleaned_end: row.cleaned_end,
            delete_horizon: row.delete_horizon,
            truncations: 0,
            truncating: false,
            rewritten: false,
            policies: Policies::default(),
        };
        Self {
            id,
            label,
            privileged,
            shared,
            state: Mutex::new(state),
            generation: AtomicU32::new(0),
            deleted: AtomicBool::new(false),
            high_watermark: AtomicU64::new(u64::MAX),
        }
    }

    /// The partition's id.
    #[must_use]
    pub fn id(&self) -> PartitionId {
        self.id
    }

    /// What people call the partition; stands in errors and logs.
    #[must_use]
    pub fn label(&self) -> &str {
        &self.label
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn shared(&self) -> Result<Arc<Shared>, AppendError> {
        self.shared.upgrade().ok_or(AppendError::Closed)
    }

    /// The partition's bounds.
    #[must_use]
    pub fn positions(&self) -> Positions {
        let state = self.lock();
        Positions {
            log_start: state.extent.log_start,
            durable_end: state.durable_end,
            written_end: state.written_end(),
            log_end: state.extent.log_end,
        }
    }

    /// Bytes of the record batches in the log.
    #[must_use]
    pub fn size_bytes(&self) -> u64 {
        self.lock().size_bytes
    }

    /// The newest leader epoch under which something was appended, and where it began.
    #[must_use]
    pub fn latest_epoch(&self) -> Option<EpochEntry> {
        self.lock().extent.epochs.latest()
    }

    /// The leader epoch of the record at `offset`.
    #[must_use]
    pub fn epoch_at(&self, offset: u64) -> Option<i32> {
        self.lock().extent.epochs.epoch_at(offset)
    }

    /// The greatest epoch up to `epoch`, and where it ends, as far as the log is durable: what a consumer is
    /// answered (OffsetForLeaderEpoch, KIP-320). Followers are answered by [`Partition::log_end_for_epoch`].
    #[must_use]
    pub fn end_offset_for_epoch(&self, epoch: i32) -> Option<(i32, u64)> {
        let state = self.lock();
        state.extent.epochs.end_offset_for(epoch, state.durable_end)
    }

    /// Number of idempotent producers remembered.
    #[must_use]
    pub fn producer_count(&self) -> usize {
        self.lock().producers.len()
    }

    /// Forgets producers whose newest record is older than `before` (milliseconds), as
    /// `producer.id.expiration.ms` has it.
    pub fn expire_producers(&self, before: i64) {
        let (producers, log_end) = {
            let mut state = self.lock();
            (state.producers.expire(before), state.extent.log_end)
        };
        if let (false, Some(shared)) = (producers.is_empty(), self.shared.upgrade()) {
            shared.feed.forget_producers(Forgotten {
                partition: self.id,
                producers,
                before: log_end,
            });
        }
    }

    /// Says what goes by age and size from now on; nothing: it stays.
    pub fn set_retention(&self, policy: Option<RetentionPolicy>) {
        self.lock().policies.retention = policy;
    }

    /// Says whether and how the partition is compacted from now on.
    pub fn set_compaction(&self, policy: Option<CompactionPolicy>) {
        self.lock().policies.compaction = policy;
    }

    /// Says that what is before this offset will never be truncated, as it is on all disks that it should be on.
    /// Retention and compaction leave alone what is behind it: had it taken the place of something that is before,
    /// and were truncated then, both would be lost. Until it is said, all that is durable counts.
    pub fn set_high_watermark(&self, high_watermark: u64) {
        self.high_watermark.store(high_watermark, SeqCst);
    }

    /// What [`Partition::set_high_watermark`] was told last.
    #[must_use]
    pub fn high_watermark(&self) -> u64 {
        self.high_watermark.load(SeqCst)
    }

    pub(crate) fn policies(&self) -> Policies {
        self.lock().policies
    }

    /// How far compaction has come, and when the next tombstone may go.
    pub(crate) fn compaction_state(&self) -> (u64, Option<i64>) {
        let state = self.lock();
        let horizon = state.delete_horizon;
        (state.cleaned_end, (horizon >= 0).then_some(horizon))
    }

    /// How often a suffix of the log was truncated; see [`Partition::enqueue_rewrite`].
    pub(crate) fn truncations(&self) -> u64 {
        self.lock().truncations
    }

    /// The index says that the size has changed by more than the appends.
    pub(crate) fn adjust_size(&self, change: i64) {
        let mut state = self.lock();
        state.size_bytes = state.size_bytes.saturating_add_signed(change);
    }

    /// The index says how many bytes there are before the place `applied`.
    pub(crate) fn set_size(&self, size_bytes: u64, applied: Lsn) {
        let mut state = self.lock();
        state.size_bytes = size_bytes + state.recent.bytes_from(applied);
    }
}
