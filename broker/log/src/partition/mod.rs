//! A partition's log, as its users hold it.
//!
//! ```text
//! log_start ........ durable_end ........ log_end
//!     │  readable        │  queued or being written
//! ```
//!
//! Invariant: `log_start <= durable_end <= log_end`, except that a log start moved to a not yet durable end
//! takes the durable end along.

pub(crate) mod producers;
mod read;
mod recent;
mod times;

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use bytes::Bytes;
use fjord_wire::records::BatchHeader;

pub use crate::partition::read::ReadBatches;
pub use crate::partition::times::Found;

use crate::compaction::CompactionPolicy;
use crate::error::AppendError;
use crate::fold::{EpochEntry, Extent};
use crate::index::rows::PartitionRow;
use crate::log::Shared;
use crate::partition::producers::{ProducerCheck, ProducerTable};
use crate::partition::recent::Recent;
use crate::queue::{Op, PendingEntry, Work};
use crate::retention::RetentionPolicy;
use crate::types::{Location, Lsn, PartitionId, length_u32};
use crate::valuelog::entry::{EntryHeader, EntryKind, FILE_HEADER, stored_bytes};
use crate::valuelog::scan::producer_stamp;

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
}

/// What the partition's lock guards.
struct State {
    /// Where the log will end when all that is queued is written.
    extent: Extent,
    durable_end: u64,
    producers: ProducerTable,
    recent: Recent,
    size_bytes: u64,
    /// Greatest timestamp of a durable batch, with the batch's base offset.
    max_timestamp: i64,
    max_timestamp_offset: u64,
    /// Up to this offset compaction has looked at everything.
    cleaned_end: u64,
    /// When the next tombstone may go, in milliseconds, as far as is known.
    next_delete_horizon: Option<i64>,
    policies: Policies,
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
            producers,
            recent: Recent::default(),
            size_bytes: row.size_bytes,
            max_timestamp: row.max_timestamp,
            max_timestamp_offset: row.max_timestamp_offset,
            cleaned_end: row.cleaned_end,
            next_delete_horizon: None,
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

    /// The greatest epoch up to `epoch`, and where it ends: OffsetForLeaderEpoch (KIP-101, KIP-279).
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
        let expired = self.lock().producers.expire(before);
        if let (false, Some(shared)) = (expired.is_empty(), self.shared.upgrade()) {
            shared.feed.forget_producers(self.id, expired);
        }
    }

    /// Says how the partition is cleaned up from now on: by retention, by compaction, by both, or not.
    pub fn set_policies(
        &self,
        retention: Option<RetentionPolicy>,
        compaction: Option<CompactionPolicy>,
    ) {
        self.lock().policies = Policies {
            retention,
            compaction,
        };
    }

    pub(crate) fn policies(&self) -> Policies {
        self.lock().policies
    }

    /// Appends a record batch under `leader_epoch` and calls `done` when it is durable.
    ///
    /// `batch` is one whole, valid batch (format v2); its base offset and leader epoch are set as it is
    /// written. Returns the offsets that it gets; they are not durable yet. A batch that an idempotent
    /// producer sent before is not appended again: `done` is then told the first one's offsets.
    ///
    /// # Errors
    ///
    /// If the append is refused, `done` is not called.
    pub fn append(
        &self,
        batch: Bytes,
        leader_epoch: i32,
        done: Completion,
    ) -> Result<AppendOutcome, AppendError>
    where
        Self: Sized,
    {
        let shared = self.shared()?;
        shared.check_append(batch.len())?;
        let this = shared.partition(self.id).ok_or(AppendError::Deleted)?;
        let header =
            BatchHeader::parse(&batch).map_err(|e| AppendError::Malformed(e.to_string()))?;
        let last_offset_delta = u32::try_from(header.last_offset_delta)
            .map_err(|_| AppendError::Malformed("negative last offset delta".into()))?;
        let max_timestamp = header.max_timestamp;
        let producer = producer_stamp(&batch);
        let mut state = self.lock();
        if self.deleted.load(SeqCst) {
            return Err(AppendError::Deleted);
        }
        if let Some(stamp) = &producer {
            match state.producers.check(stamp, last_offset_delta) {
                ProducerCheck::Append => {}
                ProducerCheck::Duplicate(seen) => {
                    let outcome = AppendOutcome {
                        base_offset: seen.base_offset,
                        last_offset: seen.last_offset,
                        duplicate: true,
                    };
                    // The first one may still be on its way: answer when everything queued so far is durable.
                    return self.enqueue(&shared, this, Work::Barrier, outcome, done);
                }
                ProducerCheck::OutOfOrder(expected) => {
                    return Err(AppendError::OutOfOrderSequence {
                        producer_id: stamp.producer_id,
                        found: stamp.base_sequence,
                        expected,
                    });
                }
                ProducerCheck::Fenced(current) => {
                    return Err(AppendError::InvalidProducerEpoch {
                        producer_id: stamp.producer_id,
                        found: stamp.producer_epoch,
                        current,
                    });
                }
            }
        }
        let base_offset = state.extent.log_end;
        let last_offset = base_offset + u64::from(last_offset_delta);
        let entry = PendingEntry {
            kind: EntryKind::Append,
            base_offset,
            last_offset_delta,
            leader_epoch,
            max_timestamp,
            payload: batch,
            producer,
        };
        let outcome = AppendOutcome {
            base_offset,
            last_offset,
            duplicate: false,
        };
        self.enqueue(&shared, this, Work::Entry(entry), outcome, done)?;
        state.extent.epochs.begin(leader_epoch, base_offset);
        state.extent.log_end = last_offset + 1;
        if let Some(stamp) = &producer {
            state
                .producers
                .record(stamp, base_offset, last_offset_delta, max_timestamp);
            if let Some(evicted) = state
                .producers
                .evict_beyond(shared.options.producers_per_partition)
            {
                shared.feed.forget_producers(self.id, vec![evicted]);
            }
        }
        Ok(outcome)
    }

    /// Removes everything from `log_end` on (a follower that diverged from its leader). May be called only
    /// while no append of this partition is under way.
    ///
    /// # Errors
    ///
    /// [`AppendError::Busy`] while an append is under way.
    pub fn truncate_suffix(&self, log_end: u64, done: Completion) -> Result<(), AppendError> {
        let shared = self.shared()?;
        let this = shared.partition(self.id).ok_or(AppendError::Deleted)?;
        let mut state = self.lock();
        if state.durable_end != state.extent.log_end {
            return Err(AppendError::Busy);
        }
        self.enqueue_control(&shared, this, EntryKind::TruncateSuffix, log_end, -1, done)?;
        if log_end < state.extent.log_end {
            state.extent.log_end = log_end;
            state.extent.log_start = state.extent.log_start.min(log_end);
            state.extent.epochs.truncate_suffix(log_end);
            state.producers.truncate_suffix(log_end);
            state.durable_end = log_end;
            let freed = state.recent.truncate_suffix(log_end);
            state.size_bytes = state.size_bytes.saturating_sub(freed);
        }
        Ok(())
    }

    /// Moves the log's start to `log_start`, if that is forward: what is before it is gone at once.
    ///
    /// # Errors
    ///
    /// If refused, nothing has changed and `done` is not called.
    pub fn set_log_start(&self, log_start: u64, done: Completion) -> Result<(), AppendError> {
        let shared = self.shared()?;
        let this = shared.partition(self.id).ok_or(AppendError::Deleted)?;
        let mut state = self.lock();
        if log_start <= state.extent.log_start {
            self.enqueue(&shared, this, Work::Barrier, AppendOutcome::default(), done)?;
            return Ok(());
        }
        self.enqueue_control(&shared, this, EntryKind::LogStart, log_start, -1, done)?;
        state.extent.log_start = log_start;
        state.extent.log_end = state.extent.log_end.max(log_start);
        state.durable_end = state.durable_end.max(log_start);
        state.extent.epochs.truncate_prefix(log_start);
        state.recent.truncate_prefix(log_start);
        Ok(())
    }

    /// Notes that `leader_epoch` begins at the log's end: a new leader does so before it appends.
    ///
    /// # Errors
    ///
    /// If refused, nothing has changed and `done` is not called.
    pub fn begin_epoch(&self, leader_epoch: i32, done: Completion) -> Result<(), AppendError> {
        let shared = self.shared()?;
        let this = shared.partition(self.id).ok_or(AppendError::Deleted)?;
        let mut state = self.lock();
        let log_end = state.extent.log_end;
        self.enqueue_control(&shared, this, EntryKind::Epoch, log_end, leader_epoch, done)?;
        state.extent.epochs.begin(leader_epoch, log_end);
        Ok(())
    }

    /// Enqueues a control entry of this partition.
    pub(crate) fn enqueue_control(
        &self,
        shared: &Shared,
        this: Arc<Self>,
        kind: EntryKind,
        base_offset: u64,
        leader_epoch: i32,
        done: Completion,
    ) -> Result<(), AppendError> {
        let entry = PendingEntry {
            kind,
            base_offset,
            last_offset_delta: 0,
            leader_epoch,
            max_timestamp: -1,
            payload: Bytes::new(),
            producer: None,
        };
        self.enqueue(
            shared,
            this,
            Work::Entry(entry),
            AppendOutcome::default(),
            done,
        )
        .map(|_| ())
    }

    fn enqueue(
        &self,
        shared: &Shared,
        this: Arc<Self>,
        work: Work,
        outcome: AppendOutcome,
        done: Completion,
    ) -> Result<AppendOutcome, AppendError> {
        let generation = self.generation.load(SeqCst);
        let op = Op {
            partition: this,
            generation,
            work,
            outcome,
            done,
        };
        shared.queue.push(op).map_err(|_| AppendError::Closed)?;
        Ok(outcome)
    }

    /// Enqueues another form of a stored batch (compaction), or the same one at a new place. Checks under
    /// the partition's lock that the batch is still part of the log.
    pub(crate) fn enqueue_rewrite(
        &self,
        entry: PendingEntry,
        done: Completion,
    ) -> Result<(), AppendError> {
        let shared = self.shared()?;
        let this = shared.partition(self.id).ok_or(AppendError::Deleted)?;
        let state = self.lock();
        if entry.base_offset >= state.durable_end {
            return Err(AppendError::Superseded);
        }
        self.enqueue(
            &shared,
            this,
            Work::Entry(entry),
            AppendOutcome::default(),
            done,
        )
        .map(|_| ())
    }

    pub(crate) fn generation(&self) -> u32 {
        self.generation.load(SeqCst)
    }

    pub(crate) fn is_privileged(&self) -> bool {
        self.privileged
    }

    pub(crate) fn mark_deleted(&self) {
        // The lock orders this against appends: what was enqueued before is written before the deletion.
        let _state = self.lock();
        self.deleted.store(true, SeqCst);
    }

    pub(crate) fn is_deleted(&self) -> bool {
        self.deleted.load(SeqCst)
    }

    /// Takes back the append at `base_offset`, which the writer refused, and with it all that were enqueued
    /// after it: their generation is old now, and the writer refuses them when it comes to them.
    pub(crate) fn refuse(&self, generation: u32, base_offset: u64) {
        let mut state = self.lock();
        if self.generation.load(SeqCst) != generation || base_offset >= state.extent.log_end {
            return;
        }
        state.extent.log_end = base_offset.max(state.durable_end);
        state.extent.epochs.truncate_suffix(base_offset);
        state.producers.truncate_suffix(base_offset);
        self.generation.store(generation.wrapping_add(1), SeqCst);
    }

    /// Locks the partition so that the writer can show several entries at once.
    pub(crate) fn publishing(&self) -> Publishing<'_> {
        Publishing { state: self.lock() }
    }

    /// Drops recent data before `end` from memory; the places stay until they are indexed.
    pub(crate) fn forget_data_before(&self, end: Lsn) {
        self.lock().recent.forget_data_before(end);
    }

    /// Everything before `applied` is in the index now.
    pub(crate) fn indexed_before(&self, applied: Lsn) {
        self.lock().recent.indexed_before(applied);
    }

    /// The index has removed batches of this many bytes.
    pub(crate) fn note_removed(&self, bytes: u64) {
        let mut state = self.lock();
        state.size_bytes = state.size_bytes.saturating_sub(bytes);
    }

    /// How far compaction has come, and when the next tombstone may go.
    pub(crate) fn compaction_state(&self) -> (u64, Option<i64>) {
        let state = self.lock();
        (state.cleaned_end, state.next_delete_horizon)
    }

    pub(crate) fn note_compacted(&self, cleaned_end: u64, next_delete_horizon: Option<i64>) {
        let mut state = self.lock();
        state.cleaned_end = state.cleaned_end.max(cleaned_end);
        state.next_delete_horizon = next_delete_horizon;
    }
}

/// The writer's view of a partition whose entries have become durable.
pub(crate) struct Publishing<'a> {
    state: MutexGuard<'a, State>,
}

impl Publishing<'_> {
    pub fn entry(&mut self, header: &EntryHeader, location: Location, data: Bytes) {
        let state = &mut *self.state;
        if header.kind == EntryKind::Replace {
            state
                .recent
                .leave_to_index(header.base_offset + u64::from(header.last_offset_delta));
        }
        if header.kind != EntryKind::Append {
            return;
        }
        let end = header.base_offset + u64::from(header.last_offset_delta) + 1;
        if end > state.extent.log_end {
            return;
        }
        state.durable_end = state.durable_end.max(end);
        state.size_bytes += u64::from(header.length);
        if header.max_timestamp > state.max_timestamp {
            state.max_timestamp = header.max_timestamp;
            state.max_timestamp_offset = header.base_offset;
        }
        state.recent.push(header.base_offset, location, data);
    }
}

/// The largest batch that a file can hold beside its header and reserve.
pub(crate) fn fits_a_file(length: usize) -> bool {
    u32::try_from(length).is_ok_and(|l| stored_bytes(l) < u32::MAX / 2 - FILE_HEADER)
        && length_u32(length) > 0
}
