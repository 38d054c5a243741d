//! What replication adds to a partition's log: a follower's appends, what a leader's followers may read before it
//! is synced here, and where two logs diverge.
//!
//! ```text
//! log_start ...... durable_end ...... written_end ...... log_end
//!     │  consumers      │  followers       │  queued        │
//! ```
//!
//! A batch is shown here when the write of its group has returned. So a follower can have it on its disk, and say so,
//! while the leader's own sync still lasts.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use bytes::Bytes;
use fjord_wire::records::verify_batch;

use crate::error::{AppendError, ReadError};
use crate::fold::Extent;
use crate::log::Shared;
use crate::partition::append::check_offsets;
use crate::partition::read::{ReadBatches, ReadLimit, Upto};
use crate::partition::{AppendOutcome, Completion, Partition, State};
use crate::queue::{PendingEntry, Work};
use crate::valuelog::entry::{EntryHeader, EntryKind};
use crate::valuelog::scan::producer_stamp;

/// Called when a partition's written end has moved: on a thread of the log, with none of its locks held. It must
/// be quick.
pub type WrittenHook = Arc<dyn Fn() + Send + Sync>;

/// Most offsets that one marker covers: its last offset is a u32 from its first one.
const MARKER_OFFSETS: u64 = 1 << 32;
/// Most markers that one gap takes. No log has had 2^48 records of one key after each other.
const MARKERS_AT_ONCE: u64 = 1 << 16;

impl Partition {
    /// Appends a batch as the leader has it, byte for byte, and calls `done` when it is durable.
    ///
    /// Base offset and leader epoch are those in the batch's header; the epoch begins at the base offset, if it
    /// is newer than this log's newest (KIP-101). Which producers sent what is noted, but not checked: the leader
    /// has done that. The batch may have no records.
    ///
    /// Where the batch begins behind this log's end, the leader's log was compacted, and has nothing in between: a
    /// marker without records takes the place of what is missing, so that the log stays without a gap. Should the
    /// log be refused the batch, or stop, just behind the marker, the log ends with the marker.
    ///
    /// # Errors
    ///
    /// [`AppendError::OutOfStep`] if the batch begins before the log's end, [`AppendError::OldLeaderEpoch`] if it
    /// is of an older epoch than the log's newest, [`AppendError::Malformed`] if it is not one whole batch with a
    /// right checksum. If the append is refused, `done` is not called.
    pub fn append_replica(
        &self,
        batch: Bytes,
        done: Completion,
    ) -> Result<AppendOutcome, AppendError> {
        let shared = self.shared()?;
        shared.check_append(batch.len())?;
        let this = shared.partition(self.id()).ok_or(AppendError::Deleted)?;
        let entry = replica_entry(batch)?;
        check_offsets(&entry)?;
        let mut state = self.lock_undeleted()?;
        let log_end = state.extent.log_end;
        if entry.base_offset < log_end {
            return Err(AppendError::OutOfStep {
                expected: log_end,
                found: entry.base_offset,
            });
        }
        let newest = state.extent.epochs.latest();
        if let Some(latest) = newest.filter(|latest| latest.epoch > entry.leader_epoch) {
            return Err(AppendError::OldLeaderEpoch {
                latest: latest.epoch,
                found: entry.leader_epoch,
            });
        }
        self.fill_gap(&shared, &this, &mut state, &entry)?;
        self.enqueue_append(&shared, this, &mut state, entry, done)
    }

    /// Covers the offsets from the log's end up to `next` with markers.
    fn fill_gap(
        &self,
        shared: &Shared,
        this: &Arc<Self>,
        state: &mut State,
        next: &PendingEntry,
    ) -> Result<(), AppendError> {
        if (next.base_offset - state.extent.log_end) / MARKER_OFFSETS >= MARKERS_AT_ONCE {
            return Err(AppendError::Malformed(
                "it lies further behind the log's end than any log is long".into(),
            ));
        }
        while state.extent.log_end < next.base_offset {
            let span = (next.base_offset - state.extent.log_end).min(MARKER_OFFSETS);
            let marker = PendingEntry {
                kind: EntryKind::Replace,
                base_offset: state.extent.log_end,
                last_offset_delta: u32::try_from(span - 1)
                    .expect("a marker covers at most 2^32 offsets"),
                leader_epoch: state.extent.epochs.latest().map_or(-1, |e| e.epoch),
                // Retention by age takes it along with what follows.
                max_timestamp: next.max_timestamp,
                payload: Bytes::new(),
                producer: None,
                fills_gap: true,
            };
            self.enqueue_append(shared, this.clone(), state, marker, Box::new(|_| {}))?;
        }
        Ok(())
    }

    /// Calls `done` when everything that was enqueued for this partition so far is durable, or was refused, in which
    /// case it is told why. From then on no append of this partition is under way, unless there were new ones:
    /// what [`Partition::truncate_suffix`] and [`Partition::truncate_all`] ask for.
    ///
    /// # Errors
    ///
    /// [`AppendError::Closed`], [`AppendError::Deleted`]; `done` is not called then.
    pub fn barrier(&self, done: Completion) -> Result<(), AppendError> {
        let shared = self.shared()?;
        let this = shared.partition(self.id()).ok_or(AppendError::Deleted)?;
        let _state = self.lock_undeleted()?;
        self.enqueue(&shared, this, Work::Barrier, AppendOutcome::default(), done)
            .map(|_| ())
    }

    /// Reads batches from the one that holds `offset` on, up to the written end and within `limit`, if all are in
    /// memory: what a leader sends to its followers, who may have a batch before the leader's own sync has ended.
    /// They are whole, as they are on disk. Never waits. Nothing: they are durable, and [`Partition::read`] finds
    /// them.
    ///
    /// Batches are shown before they are durable only while a hook is set ([`Partition::on_written`]).
    ///
    /// # Errors
    ///
    /// As [`Partition::read`], but the log ends at the written end.
    pub fn read_written(
        &self,
        offset: u64,
        limit: impl Into<ReadLimit>,
    ) -> Option<Result<ReadBatches, ReadError>> {
        self.read_memory(offset, limit.into(), u64::MAX, Upto::Written)
    }

    /// Has `hook` called whenever groups of this partition have been written and the written end has moved; no
    /// longer: nothing. It replaces the hook before. What the owner's own calls do to the written end (a
    /// truncation, a new log start) is not told.
    pub fn on_written(&self, hook: Option<WrittenHook>) {
        if hook.is_some()
            && let Some(shared) = self.shared.upgrade()
        {
            shared.shows_written.store(true, Relaxed);
        }
        self.lock().written.hook = hook;
    }

    /// The writer's word that these entries of the partition are in the file. Returns whom to tell.
    pub(crate) fn show_written<'a>(
        &self,
        entries: impl Iterator<Item = (&'a EntryHeader, Bytes)>,
    ) -> Option<WrittenHook> {
        let mut state = self.lock();
        let hook = state.written.hook.clone()?;
        let before = state.written_end();
        for (header, data) in entries {
            let written_end = state.written_end();
            state.written.show(header, data, written_end);
        }
        (state.written_end() > before).then_some(hook)
    }

    /// The greatest epoch up to `epoch`, and where it ends in this log, up to what is still being written: what a
    /// leader answers its followers (OffsetForLeaderEpoch, or a fetch with another last fetched epoch; KIP-101,
    /// KIP-279, KIP-595).
    ///
    /// The newest epoch ends at the log's end here, not at its durable end: a follower may have what this leader has
    /// written and not synced yet, and would cut it off again although the logs agree. No follower has more than
    /// was written, so what is only queued makes no difference. [`Partition::end_offset_for_epoch`] is for
    /// consumers, who know only of durable records.
    #[must_use]
    pub fn log_end_for_epoch(&self, epoch: i32) -> Option<(i32, u64)> {
        let state = self.lock();
        let log_end = state.extent.log_end;
        state.extent.epochs.end_offset_for(epoch, log_end)
    }

    /// Where a follower's log is to be cut, when its leader has said that its greatest epoch up to the follower's
    /// newest is `leader_epoch`, and ends at `leader_end`. See [`crate::EpochTable::diverges_at`].
    #[must_use]
    pub fn diverges_at(&self, leader_epoch: i32, leader_end: u64) -> u64 {
        let state = self.lock();
        let Extent {
            epochs, log_end, ..
        } = &state.extent;
        epochs.diverges_at(leader_epoch, leader_end, *log_end)
    }
}

/// The entry that a leader's batch becomes.
fn replica_entry(batch: Bytes) -> Result<PendingEntry, AppendError> {
    let malformed = |reason: &str| AppendError::Malformed(reason.into());
    let header = verify_batch(&batch).map_err(|e| AppendError::Malformed(e.to_string()))?;
    Ok(PendingEntry {
        kind: EntryKind::Append,
        base_offset: u64::try_from(header.base_offset)
            .map_err(|_| malformed("negative base offset"))?,
        last_offset_delta: u32::try_from(header.last_offset_delta)
            .map_err(|_| malformed("negative last offset delta"))?,
        leader_epoch: header.partition_leader_epoch,
        max_timestamp: header.max_timestamp,
        producer: producer_stamp(&batch),
        payload: batch,
        fills_gap: false,
    })
}
