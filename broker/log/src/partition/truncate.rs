//! Cutting a follower's log off where it leaves its leader's, or beginning it anew.

use std::sync::{Arc, OnceLock, mpsc::channel};

use crate::error::AppendError;
use crate::fold::Extent;
use crate::log::Shared;
use crate::partition::producers::ProducerTable;
use crate::partition::{AppendOutcome, Completion, Control, Partition, State};
use crate::queue::Work;
use crate::types::OFFSET_LIMIT;

impl Partition {
    /// Removes everything from `log_end` on (a follower that diverged from its leader). Batches go whole:
    /// if `log_end` lies within one, the log ends where that one began; and it never ends with offsets of which
    /// compaction has left nothing. Epochs without records that begin there go too, and the batches of producers
    /// are as if they had never come. A read that was under way may still return what is gone. May be called only
    /// while no append of this partition is under way: see [`Partition::barrier`]. May wait for the disk, and for
    /// the index; so not from a completion. `is_wanted` is asked under the partition's lock: what it reads must be
    /// changed before anything is done here for another reason, such as another leader.
    ///
    /// # Errors
    ///
    /// [`AppendError::Superseded`] if it is not wanted any more; [`AppendError::Busy`] while an append or another truncation is under way; [`AppendError::IndexBehind`] if
    /// the index cannot say where batches begin. If refused, nothing has changed and `done` is not called.
    pub fn truncate_suffix(
        &self,
        log_end: u64,
        is_wanted: &dyn Fn() -> bool,
        done: Completion,
    ) -> Result<(), AppendError> {
        let shared = self.shared()?;
        let this = shared.partition(self.id()).ok_or(AppendError::Deleted)?;
        let (before, rewritten) = {
            let mut state = self.lock_undeleted()?;
            state.check_truncation(is_wanted)?;
            if log_end >= state.extent.log_end {
                return self.truncate_epochs(&shared, this, &mut state, log_end, done);
            }
            // From here on no batch gets another form, until it is known where they begin.
            state.truncating = true;
            (state.extent.clone(), state.rewritten)
        };
        let boundary = self.settled_boundary(&shared, log_end, before.log_start, rewritten);
        let mut state = self.lock();
        state.truncating = false;
        let boundary = boundary?;
        if self.is_deleted() {
            return Err(AppendError::Deleted);
        }
        state.check_truncation(is_wanted)?;
        if state.extent.log_end != before.log_end {
            return Err(AppendError::Busy);
        }
        self.enqueue_control(&shared, this, Control::truncate_suffix(boundary), done)?;
        state.extent.log_end = boundary;
        state.extent.log_start = state.extent.log_start.min(boundary);
        state.extent.epochs.truncate_suffix(boundary);
        state.producers.truncate_suffix(boundary);
        state.durable_end = boundary;
        state.cleaned_end = state.cleaned_end.min(boundary);
        state.truncations += 1;
        state.recent.truncate_suffix(boundary);
        Ok(())
    }

    /// Nothing is behind `log_end` but epochs, perhaps, that began and got no records.
    fn truncate_epochs(
        &self,
        shared: &Shared,
        this: Arc<Self>,
        state: &mut State,
        log_end: u64,
        done: Completion,
    ) -> Result<(), AppendError> {
        let newest = state.extent.epochs.latest();
        if newest.is_some_and(|epoch| epoch.start_offset >= log_end) {
            self.enqueue_control(shared, this, Control::truncate_suffix(log_end), done)?;
            state.extent.epochs.truncate_suffix(log_end);
            return Ok(());
        }
        self.enqueue(shared, this, Work::Barrier, AppendOutcome::default(), done)
            .map(|_| ())
    }

    /// Empties the log, which then starts and ends at `start_offset`, backward or forward: a follower whose log ends
    /// before its leader's starts, or is of no use, begins anew. Its epochs and producers are forgotten. May be
    /// called only while no append of this partition is under way: see [`Partition::barrier`].
    ///
    /// Two entries say so. If the process ends before `done` is called, the log may be as it was, or as it shall be,
    /// or empty at offset 0.
    ///
    /// # Errors
    ///
    /// [`AppendError::Superseded`] and [`AppendError::Busy`], as for [`Partition::truncate_suffix`]. If refused,
    /// nothing has changed and `done` is not called. If `done` is told of an error (a full disk), the caller must truncate again.
    pub fn truncate_all(
        &self,
        start_offset: u64,
        is_wanted: &dyn Fn() -> bool,
        done: Completion,
    ) -> Result<(), AppendError> {
        let shared = self.shared()?;
        let this = shared.partition(self.id()).ok_or(AppendError::Deleted)?;
        if start_offset >= OFFSET_LIMIT {
            return Err(AppendError::Malformed("no log reaches that far".into()));
        }
        let mut state = self.lock_undeleted()?;
        state.check_truncation(is_wanted)?;
        let (emptied, moved) = in_turn(done);
        // Nothing is before offset 0: not even producers whose records retention has taken.
        self.enqueue_control(&shared, this.clone(), Control::truncate_suffix(0), emptied)?;
        self.enqueue_control(&shared, this, Control::log_start(start_offset), moved)?;
        state.extent = Extent::starting_at(start_offset);
        state.durable_end = start_offset;
        state.producers = ProducerTable::default();
        state.recent.truncate_suffix(0);
        state.max_timestamp = -1;
        state.max_timestamp_offset = 0;
        state.cleaned_end = 0;
        state.truncations += 1;
        Ok(())
    }

    /// Where the batch that holds `offset` begins, or the first marker of those right before it; `offset` itself if
    /// it begins there, or none holds it. The caller has seen to it that no batch gets another form meanwhile.
    fn settled_boundary(
        &self,
        shared: &Arc<Shared>,
        offset: u64,
        log_start: u64,
        rewritten: bool,
    ) -> Result<u64, AppendError> {
        // A marker that compaction has made of several batches may be on its way to the index.
        if rewritten && !self.wait_until_settled(shared) {
            return Err(AppendError::IndexBehind);
        }
        self.batch_boundary(shared, offset, log_start)
            .map_err(|reason| {
                let partition = self.label();
                tracing::warn!(partition, reason, "could not look up a batch");
                AppendError::IndexBehind
            })
    }

    fn batch_boundary(
        &self,
        shared: &Arc<Shared>,
        offset: u64,
        log_start: u64,
    ) -> Result<u64, String> {
        let mut boundary = offset;
        self.visit(shared, offset, &mut |base, _| {
            boundary = offset.min(base);
            false
        })?;
        // Markers are not sent to anybody: the followers of a log that ends with one never reach its end.
        while boundary > log_start {
            let mut marker = None;
            self.visit(shared, boundary - 1, &mut |base, location| {
                marker = (location.length == 0 && base < boundary).then_some(base);
                false
            })?;
            match marker {
                Some(base) => boundary = base,
                None => break,
            }
        }
        Ok(boundary)
    }

    /// Waits until everything that is queued for this partition is written and in the index. False if that fails.
    fn wait_until_settled(&self, shared: &Shared) -> bool {
        let (told, settled) = channel();
        let done = Box::new(move |_: Result<AppendOutcome, AppendError>| {
            // Whoever waits does so until this comes.
            let _ = told.send(());
        });
        self.barrier(done).is_ok() && settled.recv().is_ok() && shared.feed.wait_until_applied()
    }
}

/// Completions of two entries for one that is called once, when both are durable or one was refused.
fn in_turn(done: Completion) -> (Completion, Completion) {
    let refused = Arc::new(OnceLock::new());
    let told = refused.clone();
    let first = move |result: Result<AppendOutcome, AppendError>| {
        if let Err(error) = result {
            told.get_or_init(|| error);
        }
    };
    let last = move |result| match refused.get() {
        Some(error) => done(Err(AppendError::clone(error))),
        None => done(result),
    };
    (Box::new(first), Box::new(last))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Log, LogOptions, PartitionId};
    use bytes::Bytes;
    use fjord_wire::records::{BatchBuilder, BatchOptions};

    fn batch() -> Bytes {
        let mut builder = BatchBuilder::new(0, BatchOptions::default());
        builder.append(0, 0, None, None, &[]).unwrap();
        builder.build().unwrap()
    }

    #[test]
    fn what_was_decided_before_a_truncation_is_not_done_after_it() {
        let directory = tempfile::tempdir().unwrap();
        let log = Log::open(LogOptions {
            file_bytes: 64 << 10,
            reserve_bytes: 1 << 20,
            ..LogOptions::new(directory.path())
        })
        .unwrap();
        let partition = log.open_partition(PartitionId(1), "t", false).unwrap();
        let wait = || {
            let (told, done) = channel();
            let done_with = Box::new(move |result| told.send(result).unwrap());
            partition.barrier(done_with).unwrap();
            done.recv().unwrap().unwrap();
        };
        let nothing = || Box::new(|_| {});
        for _ in 0..10 {
            partition.append(batch(), 0, nothing()).unwrap();
        }
        wait();
        let seen = partition.truncations();
        partition.truncate_suffix(5, &|| true, nothing()).unwrap();
        // Retention saw batches up to 8 that were old enough to go.
        let moved = partition.move_log_start(8, Some(seen), nothing());
        assert_eq!(moved, Err(AppendError::Superseded));
        let cleaned = partition.enqueue_cleaned(8, None, seen, nothing());
        assert_eq!(cleaned, Err(AppendError::Superseded));
        wait();
        let seen = partition.truncations();
        partition.truncate_all(2, &|| true, nothing()).unwrap();
        let moved = partition.move_log_start(8, Some(seen), nothing());
        assert_eq!(moved, Err(AppendError::Superseded));
        let positions = partition.positions();
        assert_eq!((positions.log_start, positions.log_end), (2, 2));
    }
}
