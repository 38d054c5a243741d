//! A log of a coordinator in memory, for tests of what stands on the log and not of the log.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use super::runtime::{AppendDone, AppendFailed, ReplayFailed, ShardLog};
use super::shard::{Record, ReplayError};

/// A log in memory. While it is stopped, appends wait until they are settled one by one.
#[derive(Default)]
pub(crate) struct MemoryLog {
    partitions: Mutex<HashMap<i32, Vec<Record>>>,
    waiting: Mutex<VecDeque<(i32, Vec<Record>, AppendDone)>>,
    stopped: AtomicBool,
    refuses_replay: AtomicBool,
    replays: Mutex<usize>,
    replayed_too_early: AtomicBool,
}

impl MemoryLog {
    pub(crate) fn stop(&self) {
        self.stopped.store(true, Ordering::SeqCst);
    }

    pub(crate) fn waiting(&self) -> usize {
        lock(&self.waiting).len()
    }

    /// Lets appends through again; those that wait are to be settled first.
    pub(crate) fn go_on(&self) {
        self.stopped.store(false, Ordering::SeqCst);
    }

    /// How often a partition was read.
    pub(crate) fn replays(&self) -> usize {
        *lock(&self.replays)
    }

    /// Whether a partition was read while an append of it was not settled.
    pub(crate) fn replayed_too_early(&self) -> bool {
        self.replayed_too_early.load(Ordering::SeqCst)
    }

    /// Whether reading is to fail from now on.
    pub(crate) fn refuse_replay(&self, refuses: bool) {
        self.refuses_replay.store(refuses, Ordering::SeqCst);
    }

    /// Settles the oldest append that waits.
    pub(crate) fn settle(&self, written: bool) {
        let (partition, records, done) = lock(&self.waiting).pop_front().unwrap();
        self.write(partition, records, done, written);
    }

    fn write(&self, partition: i32, records: Vec<Record>, done: AppendDone, written: bool) {
        if !written {
            done(Err(AppendFailed {
                reason: "no space left on device".into(),
            }));
            return;
        }
        let mut partitions = lock(&self.partitions);
        let log = partitions.entry(partition).or_default();
        let base = i64::try_from(log.len()).unwrap();
        log.extend(records);
        drop(partitions);
        done(Ok(base));
    }

    pub(crate) fn records(&self) -> usize {
        lock(&self.partitions).values().map(Vec::len).sum()
    }
}

impl ShardLog for MemoryLog {
    fn append(&self, partition: i32, records: Vec<Record>, _: i64, done: AppendDone) {
        if self.stopped.load(Ordering::SeqCst) {
            lock(&self.waiting).push_back((partition, records, done));
        } else {
            // Within the call, which the contract allows.
            self.write(partition, records, done, true);
        }
    }

    fn replay(
        &self,
        partition: i32,
        visit: &mut dyn FnMut(Bytes, Option<Bytes>) -> Result<(), ReplayError>,
    ) -> Result<(), ReplayFailed> {
        *lock(&self.replays) += 1;
        if lock(&self.waiting)
            .iter()
            .any(|(waiting, ..)| *waiting == partition)
        {
            self.replayed_too_early.store(true, Ordering::SeqCst);
        }
        if self.refuses_replay.load(Ordering::SeqCst) {
            return Err(ReplayFailed::Log("damaged".into()));
        }
        let records = lock(&self.partitions)
            .get(&partition)
            .cloned()
            .unwrap_or_default();
        records
            .into_iter()
            .try_for_each(|record| visit(record.key, record.value))?;
        Ok(())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
