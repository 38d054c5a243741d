//! Everything but appends that changes a partition's log: entries without records, and batches written
//! again.

use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;

use bytes::Bytes;

use crate::error::AppendError;
use crate::log::Shared;
use crate::partition::{AppendOutcome, Completion, Partition, State};
use crate::queue::{PendingEntry, Work};
use crate::types::OFFSET_LIMIT;
use crate::valuelog::entry::EntryKind;

/// An entry without payload.
pub(crate) struct Control {
    kind: EntryKind,
    base_offset: u64,
    leader_epoch: i32,
    max_timestamp: i64,
}

impl Control {
    fn at(kind: EntryKind, base_offset: u64) -> Self {
        Self {
            kind,
            base_offset,
            leader_epoch: -1,
            max_timestamp: -1,
        }
    }

    /// The partition exists.
    pub fn create() -> Self {
        Self::at(EntryKind::Create, 0)
    }

    /// The log now ends at `log_end`.
    pub fn truncate_suffix(log_end: u64) -> Self {
        Self::at(EntryKind::TruncateSuffix, log_end)
    }

    /// The log now starts at `log_start`.
    pub fn log_start(log_start: u64) -> Self {
        Self::at(EntryKind::LogStart, log_start)
    }

    /// Compaction has looked at everything before `end`; the next tombstone may go at `delete_horizon`.
    pub fn cleaned(end: u64, delete_horizon: Option<i64>) -> Self {
        Self {
            max_timestamp: delete_horizon.unwrap_or(-1),
            ..Self::at(EntryKind::Cleaned, end)
        }
    }
}

impl Partition {
    /// Moves the log's start to `log_start`, if that is forward: what is before it is gone at once.
    ///
    /// # Errors
    ///
    /// If refused, nothing has changed and `done` is not called.
    pub fn set_log_start(&self, log_start: u64, done: Completion) -> Result<(), AppendError> {
        self.move_log_start(log_start, None, done)
    }

    /// The same, unless the log was truncated since [`Partition::truncations`] said `truncations`: then what led to
    /// `log_start` may be gone.
    pub(crate) fn move_log_start(
        &self,
        log_start: u64,
        truncations: Option<u64>,
        done: Completion,
    ) -> Result<(), AppendError> {
        let shared = self.shared()?;
        let this = shared.partition(self.id()).ok_or(AppendError::Deleted)?;
        if log_start >= OFFSET_LIMIT {
            return Err(AppendError::Malformed("no log reaches that far".into()));
        }
        let mut state = self.lock_undeleted()?;
        if truncations.is_some_and(|seen| seen != state.truncations) {
            return Err(AppendError::Superseded);
        }
        if log_start <= state.extent.log_start {
            self.enqueue(&shared, this, Work::Barrier, AppendOutcome::default(), done)?;
            return Ok(());
        }
        self.enqueue_control(&shared, this, Control::log_start(log_start), done)?;
        state.extent.log_start = log_start;
        state.extent.log_end = state.extent.log_end.max(log_start);
        state.durable_end = state.durable_end.max(log_start);
        state.extent.epochs.truncate_prefix(log_start);
        state.recent.truncate_prefix(log_start);
        state.written.truncate_prefix(log_start);
        Ok(())
    }

    /// Notes that `leader_epoch` begins at the log's end: a new leader does so before it appends.
    ///
    /// # Errors
    ///
    /// If refused, nothing has changed and `done` is not called.
    pub fn begin_epoch(&self, leader_epoch: i32, done: Completion) -> Result<(), AppendError> {
        let shared = self.shared()?;
        let this = shared.partition(self.id()).ok_or(AppendError::Deleted)?;
        let mut state = self.lock_undeleted()?;
        let log_end = state.extent.log_end;
        let control = Control {
            leader_epoch,
            ..Control::at(EntryKind::Epoch, log_end)
        };
        self.enqueue_control(&shared, this, control, done)?;
        state.extent.epochs.begin(leader_epoch, log_end);
        Ok(())
    }

    /// Ends the partition's life. What was enqueued before is written before.
    pub(crate) fn delete(
        &self,
        shared: &Shared,
        this: Arc<Self>,
        done: Completion,
    ) -> Result<(), AppendError> {
        let _state = self.lock_undeleted()?;
        self.enqueue_control(shared, this, Control::at(EntryKind::Delete, 0), done)?;
        self.deleted.store(true, SeqCst);
        Ok(())
    }

    /// Notes how far compaction has come.
    pub(crate) fn enqueue_cleaned(
        &self,
        end: u64,
        delete_horizon: Option<i64>,
        truncations: u64,
        done: Completion,
    ) -> Result<(), AppendError> {
        let shared = self.shared()?;
        let this = shared.partition(self.id()).ok_or(AppendError::Deleted)?;
        let mut state = self.lock_undeleted()?;
        if state.truncations != truncations {
            return Err(AppendError::Superseded);
        }
        self.enqueue_control(&shared, this, Control::cleaned(end, delete_horizon), done)?;
        state.cleaned_end = end;
        state.delete_horizon = delete_horizon.unwrap_or(-1);
        Ok(())
    }

    /// Enqueues an entry without payload. The caller holds the partition's lock, if the order matters.
    pub(crate) fn enqueue_control(
        &self,
        shared: &Shared,
        this: Arc<Self>,
        control: Control,
        done: Completion,
    ) -> Result<(), AppendError> {
        let entry = PendingEntry {
            kind: control.kind,
            base_offset: control.base_offset,
            last_offset_delta: 0,
            leader_epoch: control.leader_epoch,
            max_timestamp: control.max_timestamp,
            payload: Bytes::new(),
            producer: None,
            fills_gap: false,
        };
        let outcome = AppendOutcome::default();
        self.enqueue(shared, this, Work::Entry(entry), outcome, done)
            .map(|_| ())
    }

    /// Enqueues another form of a stored batch (compaction), or the same one at a new place. The order of
    /// entries is the truth for everyone after the writer; so it is checked here, under the partition's
    /// lock, that the batch still is part of the log: `truncations` is what [`Partition::truncations`] said
    /// before the batch was looked up.
    pub(crate) fn enqueue_rewrite(
        &self,
        entry: PendingEntry,
        truncations: u64,
        done: Completion,
    ) -> Result<(), AppendError> {
        let shared = self.shared()?;
        let this = shared.partition(self.id()).ok_or(AppendError::Deleted)?;
        let mut state = self.lock_undeleted()?;
        if entry.base_offset >= state.durable_end
            || state.truncations != truncations
            || state.truncating
        {
            return Err(AppendError::Superseded);
        }
        state.rewritten |= entry.kind == EntryKind::Replace;
        let outcome = AppendOutcome::default();
        self.enqueue(&shared, this, Work::Entry(entry), outcome, done)
            .map(|_| ())
    }

    /// Waits until everything that was written so far is synced, also where appends do not wait for that.
    pub(crate) fn enqueue_sync(&self, done: Completion) -> Result<(), AppendError> {
        let shared = self.shared()?;
        let this = shared.partition(self.id()).ok_or(AppendError::Deleted)?;
        self.enqueue(&shared, this, Work::Sync, AppendOutcome::default(), done)
            .map(|_| ())
    }

    /// Locks the partition, unless it is deleted.
    pub(super) fn lock_undeleted(&self) -> Result<std::sync::MutexGuard<'_, State>, AppendError> {
        let state = self.lock();
        if self.is_deleted() {
            return Err(AppendError::Deleted);
        }
        Ok(state)
    }

    pub(crate) fn is_privileged(&self) -> bool {
        self.privileged
    }

    pub(crate) fn is_deleted(&self) -> bool {
        self.deleted.load(SeqCst)
    }
}
