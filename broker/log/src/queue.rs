//! What waits for the writer: one bounded queue for all partitions.
//!
//! A partition enqueues while it holds its own lock, so that the order in the queue is the order of
//! offsets; enqueuing never waits.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use crate::error::AppendError;
use crate::partition::producers::ProducerStamp;
use crate::partition::{AppendOutcome, Completion, Partition};
use crate::valuelog::entry::{EntryKind, stored_bytes};

/// One thing for the writer to do. Whoever waits for it is told what became of it, whatever happens.
pub(crate) struct Op {
    pub partition: Arc<Partition>,
    /// The partition's generation when this was enqueued; see [`Op::is_stale`].
    pub generation: u32,
    pub work: Work,
    /// What `done` is told when it is durable.
    pub outcome: AppendOutcome,
    /// Nothing once it was called.
    pub done: Option<Completion>,
}

/// What an [`Op`] is about.
pub(crate) enum Work {
    /// Write an entry.
    Entry(PendingEntry),
    /// Write nothing: complete when everything before is durable.
    Barrier,
    /// Write nothing, but sync, even if appends do not wait for that.
    Sync,
}

/// An entry that has no place yet.
pub(crate) struct PendingEntry {
    pub kind: EntryKind,
    pub base_offset: u64,
    pub last_offset_delta: u32,
    pub leader_epoch: i32,
    pub max_timestamp: i64,
    pub payload: Bytes,
    pub producer: Option<ProducerStamp>,
    /// A marker over offsets that a leader's log has nothing of; see [`Partition::append_replica`].
    pub fills_gap: bool,
}

impl PendingEntry {
    /// Whether the log's end moves with it.
    pub fn extends_log(&self) -> bool {
        self.kind == EntryKind::Append || self.fills_gap
    }
}

impl Op {
    /// Bytes in the file.
    pub fn stored_bytes(&self) -> u32 {
        match &self.work {
            Work::Entry(entry) => stored_bytes(crate::types::length_u32(entry.payload.len())),
            Work::Barrier | Work::Sync => 0,
        }
    }

    /// Whether it may use the room that is kept when the disk is full: what is needed to get out of there.
    /// Copying forward takes less room than it gives back.
    pub fn is_privileged(&self) -> bool {
        match &self.work {
            Work::Entry(entry) => {
                !matches!(entry.kind, EntryKind::Append | EntryKind::Replace)
                    || self.partition.is_privileged()
            }
            Work::Barrier | Work::Sync => true,
        }
    }

    /// Whether an append before this one was refused since this was enqueued, and this makes no sense
    /// without: its offset would leave a gap.
    pub fn is_stale(&self) -> bool {
        let depends = match &self.work {
            Work::Entry(entry) => entry.extends_log() || entry.kind == EntryKind::Epoch,
            Work::Barrier => true,
            Work::Sync => false,
        };
        depends && self.generation != self.partition.generation()
    }

    /// It is durable.
    pub fn complete(mut self) {
        let outcome = self.outcome;
        self.tell(Ok(outcome));
    }

    /// It is not in the log; if the log was to be longer by it, neither is what was enqueued after it.
    pub fn refuse(mut self, error: AppendError) {
        if let Work::Entry(entry) = &self.work
            && entry.extends_log()
        {
            self.partition.refuse(self.generation, entry.base_offset);
        }
        self.tell(Err(error));
    }

    fn tell(&mut self, result: Result<AppendOutcome, AppendError>) {
        if let Some(done) = self.done.take() {
            done(result);
        }
    }
}

impl Drop for Op {
    fn drop(&mut self) {
        self.tell(Err(AppendError::Closed));
    }
}

#[derive(Default)]
struct Waiting {
    ops: VecDeque<Op>,
    bytes: usize,
    closed: bool,
}

/// The queue. See the module's documentation.
pub(crate) struct Queue {
    waiting: Mutex<Waiting>,
    arrived: Condvar,
    limit_bytes: usize,
}

impl Queue {
    pub fn new(limit_bytes: usize) -> Self {
        Self {
            waiting: Mutex::default(),
            arrived: Condvar::new(),
            limit_bytes,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether an append would be taken now. Only the writer takes away, so a yes stays true for a caller
    /// that enqueues little.
    pub fn check(&self) -> Result<(), AppendError> {
        let waiting = self.lock();
        if waiting.closed {
            return Err(AppendError::Closed);
        }
        if waiting.bytes > self.limit_bytes {
            Err(AppendError::Busy)
        } else {
            Ok(())
        }
    }

    /// Enqueues `op`.
    ///
    /// # Errors
    ///
    /// [`AppendError::Closed`]; the completion is not called then.
    pub fn push(&self, mut op: Op) -> Result<(), AppendError> {
        let mut waiting = self.lock();
        if waiting.closed {
            op.done = None;
            return Err(AppendError::Closed);
        }
        waiting.bytes += op.stored_bytes() as usize;
        waiting.ops.push_back(op);
        let first = waiting.ops.len() == 1;
        drop(waiting);
        if first {
            self.arrived.notify_one();
        }
        Ok(())
    }

    /// Waits for work, then moves up to `limit_bytes` of it (at least one op) to `group`. False when the
    /// queue is closed and empty.
    pub fn take(&self, limit_bytes: u32, group: &mut Vec<Op>) -> bool {
        let mut waiting = self.lock();
        while waiting.ops.is_empty() {
            if waiting.closed {
                return false;
            }
            waiting = self
                .arrived
                .wait(waiting)
                .unwrap_or_else(PoisonError::into_inner);
        }
        let mut taken = 0u64;
        while let Some(op) = waiting.ops.front() {
            let bytes = op.stored_bytes();
            if !group.is_empty() && taken + u64::from(bytes) > u64::from(limit_bytes) {
                break;
            }
            taken += u64::from(bytes);
            waiting.bytes -= bytes as usize;
            group.extend(waiting.ops.pop_front());
        }
        true
    }

    /// Takes no more; what is queued is still written.
    pub fn close(&self) {
        self.lock().closed = true;
        self.arrived.notify_all();
    }

    /// Takes no more, and refuses what is queued: the log has failed.
    pub fn refuse_all(&self) {
        let mut waiting = self.lock();
        waiting.closed = true;
        waiting.bytes = 0;
        let ops = std::mem::take(&mut waiting.ops);
        drop(waiting);
        self.arrived.notify_all();
        // Dropping an operation tells whoever waits for it that the log is closed.
        drop(ops);
    }

    /// Bytes that wait.
    pub fn bytes(&self) -> usize {
        self.lock().bytes
    }
}
