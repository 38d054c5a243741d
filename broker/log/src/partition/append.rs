//! Appending: offsets are assigned here, under the partition's lock, in the order of the writer's queue.

use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;

use bytes::Bytes;
use fjord_wire::records::BatchHeader;

use crate::error::AppendError;
use crate::indexer::Forgotten;
use crate::log::Shared;
use crate::partition::producers::{BatchMetadata, ProducerCheck, ProducerStamp, ProducerTable};
use crate::partition::{AppendOutcome, Completion, Partition, State};
use crate::queue::{Op, PendingEntry, Work};
use crate::types::{OFFSET_LIMIT, length_u32};
use crate::valuelog::entry::{EntryKind, FILE_HEADER, stored_bytes};
use crate::valuelog::scan::producer_stamp;

impl Partition {
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
    ) -> Result<AppendOutcome, AppendError> {
        let shared = self.shared()?;
        shared.check_append(batch.len())?;
        let this = shared.partition(self.id).ok_or(AppendError::Deleted)?;
        let header =
            BatchHeader::parse(&batch).map_err(|e| AppendError::Malformed(e.to_string()))?;
        let last_offset_delta = u32::try_from(header.last_offset_delta)
            .map_err(|_| AppendError::Malformed("negative last offset delta".into()))?;
        let producer = producer_stamp(&batch);
        let mut state = self.lock_undeleted()?;
        if let Some(stamp) = &producer
            && let Some(seen) = duplicate_of(&state.producers, stamp, last_offset_delta)?
        {
            let outcome = AppendOutcome {
                base_offset: seen.base_offset,
                last_offset: seen.last_offset,
                duplicate: true,
            };
            // The first one may still be on its way: answer when everything queued so far is durable.
            return self.enqueue(&shared, this, Work::Barrier, outcome, done);
        }
        let entry = PendingEntry {
            kind: EntryKind::Append,
            base_offset: state.extent.log_end,
            last_offset_delta,
            leader_epoch,
            max_timestamp: header.max_timestamp,
            payload: batch,
            producer,
            fills_gap: false,
        };
        check_offsets(&entry)?;
        self.enqueue_append(&shared, this, &mut state, entry, done)
    }

    /// Enqueues a batch that begins at the log's end, or a marker over offsets from there on, and takes it into
    /// account.
    pub(super) fn enqueue_append(
        &self,
        shared: &Shared,
        this: Arc<Self>,
        state: &mut State,
        entry: PendingEntry,
        done: Completion,
    ) -> Result<AppendOutcome, AppendError> {
        let PendingEntry {
            base_offset,
            last_offset_delta,
            leader_epoch,
            max_timestamp,
            producer,
            ..
        } = entry;
        let is_batch = entry.kind == EntryKind::Append;
        let last_offset = base_offset + u64::from(last_offset_delta);
        let outcome = AppendOutcome {
            base_offset,
            last_offset,
            duplicate: false,
        };
        self.enqueue(shared, this, Work::Entry(entry), outcome, done)?;
        state.appends_under_way += 1;
        if is_batch {
            state.extent.epochs.begin(leader_epoch, base_offset);
        }
        state.extent.log_end = last_offset + 1;
        if let Some(stamp) = &producer {
            state
                .producers
                .record(stamp, base_offset, last_offset_delta, max_timestamp);
            if let Some(evicted) = state
                .producers
                .evict_beyond(shared.options.producers_per_partition)
            {
                shared.feed.forget_producers(Forgotten {
                    partition: self.id,
                    producers: vec![evicted],
                    before: state.extent.log_end,
                });
            }
        }
        Ok(outcome)
    }

    pub(super) fn enqueue(
        &self,
        shared: &Shared,
        this: Arc<Self>,
        work: Work,
        outcome: AppendOutcome,
        done: Completion,
    ) -> Result<AppendOutcome, AppendError> {
        let op = Op {
            partition: this,
            generation: self.generation(),
            work,
            outcome,
            done: Some(done),
        };
        shared.queue.push(op)?;
        Ok(outcome)
    }

    /// Raised when queued appends are taken back; what was enqueued before is stale then.
    pub(crate) fn generation(&self) -> u32 {
        self.generation.load(SeqCst)
    }

    /// Takes back the append at `base_offset`, which the writer refused, and with it all that were enqueued
    /// after it: their generation is old now, and the writer refuses them when it comes to them.
    pub(crate) fn refuse(&self, generation: u32, base_offset: u64) {
        let mut state = self.lock();
        state.appends_under_way -= 1;
        if self.generation.load(SeqCst) != generation || base_offset >= state.extent.log_end {
            return;
        }
        state.extent.log_end = base_offset.max(state.written_end());
        state.extent.epochs.truncate_suffix(base_offset);
        state.producers.truncate_suffix(base_offset);
        self.generation.store(generation.wrapping_add(1), SeqCst);
    }
}

/// Whether a log may reach as far as this entry does.
pub(super) fn check_offsets(entry: &PendingEntry) -> Result<(), AppendError> {
    let last_offset = entry
        .base_offset
        .saturating_add(u64::from(entry.last_offset_delta));
    match last_offset < OFFSET_LIMIT - 1 {
        true => Ok(()),
        false => Err(AppendError::Malformed("no log reaches that far".into())),
    }
}

/// The batch that this one repeats, if it does.
fn duplicate_of(
    producers: &ProducerTable,
    stamp: &ProducerStamp,
    last_offset_delta: u32,
) -> Result<Option<BatchMetadata>, AppendError> {
    let producer_id = stamp.producer_id;
    match producers.check(stamp, last_offset_delta) {
        ProducerCheck::Append => Ok(None),
        ProducerCheck::Duplicate(seen) => Ok(Some(seen)),
        ProducerCheck::OutOfOrder(expected) => Err(AppendError::OutOfOrderSequence {
            producer_id,
            found: stamp.base_sequence,
            expected,
        }),
        ProducerCheck::Fenced(current) => Err(AppendError::InvalidProducerEpoch {
            producer_id,
            found: stamp.producer_epoch,
            current,
        }),
    }
}

/// The largest batch that a file can hold beside its header and reserve.
pub(crate) fn fits_a_file(length: usize) -> bool {
    u32::try_from(length).is_ok_and(|l| stored_bytes(l) < u32::MAX / 2 - FILE_HEADER)
        && length_u32(length) > 0
}
