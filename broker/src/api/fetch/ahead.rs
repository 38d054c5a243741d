//! Reading ahead for consumers that catch up: while a response that came from disk is on its way, what will be
//! asked for next is read already. Disk and network work at the same time then, and not in turn.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use fjord_log::{PartitionId, ReadBatches, ReadLimit};
use tokio::sync::oneshot;

use crate::{broker::Broker, partition::Replica};

/// Reads that wait for whom they were made for. The oldest ones go first.
const MOST_READS: usize = 8;
/// Most bytes of each, which is what Kafka's clients ask for of a partition at once.
const MOST_BYTES: usize = 1 << 20;
/// How long they wait.
const KEPT_FOR: Duration = Duration::from_secs(2);

/// A partition's log under the leadership of an epoch: under another one it may hold something else at the same place.
pub(super) type LogInEpoch = (PartitionId, i32);

/// What was read ahead, or is being read.
#[derive(Debug, Default)]
pub struct ReadAhead {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    reads: VecDeque<Ahead>,
    /// Whether somebody sees to it that old reads go.
    is_swept: bool,
}

#[derive(Debug)]
struct Ahead {
    log: LogInEpoch,
    offset: u64,
    bytes: usize,
    began: Instant,
    found: oneshot::Receiver<ReadBatches>,
}

impl ReadAhead {
    /// Begins to read up to `most` bytes from `offset` on, unless they are in memory, or being read.
    pub(super) fn begin(broker: &Arc<Broker>, leader: &Arc<Replica>, offset: u64, most: usize) {
        let limit = ReadLimit {
            bytes: most.min(MOST_BYTES),
            first_whole: false,
        };
        if leader.read_recent(offset, limit).is_some() {
            return;
        }
        let (sender, found) = oneshot::channel();
        let ahead = Ahead {
            log: (leader.log().id(), leader.leader_epoch()),
            offset,
            bytes: limit.bytes,
            began: Instant::now(),
            found,
        };
        let Some(must_sweep) = broker.read_ahead.add(ahead) else {
            return;
        };
        if must_sweep {
            tokio::spawn(sweep(Arc::clone(broker)));
        }
        let (broker, leader) = (Arc::clone(broker), Arc::clone(leader));
        tokio::spawn(async move {
            let read = broker.blocking(move || leader.read(offset, limit)).await;
            if let Some(Ok(batches)) = read {
                // Nobody may want it any more.
                let _ = sender.send(batches);
            }
        });
    }

    /// Adds a read, unless there is one like it; says whether old reads must be seen to from now on.
    fn add(&self, ahead: Ahead) -> Option<bool> {
        let mut state = self.lock();
        let is_same = |other: &Ahead| other.is_at(ahead.log, ahead.offset);
        if state.reads.iter().any(is_same) {
            return None;
        }
        if state.reads.len() == MOST_READS {
            state.reads.pop_front();
        }
        state.reads.push_back(ahead);
        Some(!std::mem::replace(&mut state.is_swept, true))
    }

    /// What was read ahead of a partition at an offset, if it is within a limit; waits for it if it is being
    /// read. Whether the log still begins before it is for the caller to see.
    pub(super) async fn take(
        &self,
        log: LogInEpoch,
        offset: u64,
        limit: ReadLimit,
    ) -> Option<ReadBatches> {
        let ahead = {
            let mut state = self.lock();
            let is_it = |ahead: &Ahead| ahead.is_at(log, offset) && ahead.bytes <= limit.bytes;
            let place = state.reads.iter().position(is_it)?;
            state.reads.remove(place)?
        };
        let found = ahead.found.await.ok()?;
        (found.bytes > 0).then_some(found)
    }

    /// Lets go of what nobody has come for; says whether nothing is left.
    fn forget_old(&self, now: Instant) -> bool {
        let mut state = self.lock();
        let is_old = |ahead: &Ahead| now.saturating_duration_since(ahead.began) >= KEPT_FOR;
        state.reads.retain(|ahead| !is_old(ahead));
        state.is_swept = !state.reads.is_empty();
        !state.is_swept
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ahead {
    fn is_at(&self, log: LogInEpoch, offset: u64) -> bool {
        self.log == log && self.offset == offset
    }
}

/// Sees to it that what nobody comes for does not stay, until nothing is there.
async fn sweep(broker: Arc<Broker>) {
    loop {
        tokio::time::sleep(KEPT_FOR).await;
        if broker.read_ahead.forget_old(Instant::now()) {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(offset: u64, bytes: usize) -> (oneshot::Sender<ReadBatches>, Ahead) {
        let (sender, found) = oneshot::channel();
        let ahead = Ahead {
            log: (PartitionId(7), 3),
            offset,
            bytes,
            began: Instant::now(),
            found,
        };
        (sender, ahead)
    }

    fn limit(bytes: usize) -> ReadLimit {
        ReadLimit {
            bytes,
            first_whole: true,
        }
    }

    fn found(bytes: usize) -> ReadBatches {
        ReadBatches {
            bytes,
            ..ReadBatches::default()
        }
    }

    #[tokio::test]
    async fn what_was_read_ahead_is_found_once_at_its_place_within_its_limit() {
        let ahead = ReadAhead::default();
        let (sender, first) = read(5, 100);
        assert_eq!(ahead.add(first), Some(true));
        assert_eq!(ahead.add(read(5, 100).1), None);
        let (larger, second) = read(6, 200);
        assert_eq!(ahead.add(second), Some(false));
        sender.send(found(80)).unwrap();
        larger.send(found(150)).unwrap();
        let partition = (PartitionId(7), 3);
        assert_eq!(ahead.take((PartitionId(8), 3), 5, limit(100)).await, None);
        assert_eq!(ahead.take((PartitionId(7), 4), 5, limit(100)).await, None);
        assert_eq!(ahead.take(partition, 5, limit(100)).await, Some(found(80)));
        assert_eq!(ahead.take(partition, 5, limit(100)).await, None);
        assert_eq!(ahead.take(partition, 6, limit(199)).await, None);
        assert_eq!(ahead.take(partition, 6, limit(200)).await, Some(found(150)));
    }

    #[tokio::test]
    async fn reads_that_fail_or_find_nothing_are_none() {
        let ahead = ReadAhead::default();
        let (failed, first) = read(1, 100);
        let (empty, second) = read(2, 100);
        ahead.add(first);
        ahead.add(second);
        drop(failed);
        empty.send(found(0)).unwrap();
        assert_eq!(ahead.take((PartitionId(7), 3), 1, limit(100)).await, None);
        assert_eq!(ahead.take((PartitionId(7), 3), 2, limit(100)).await, None);
    }

    #[test]
    fn what_waits_is_bounded_in_number_and_in_time() {
        let ahead = ReadAhead::default();
        for offset in 0..20 {
            ahead.add(read(offset, 1).1);
        }
        let offsets = || -> Vec<u64> { ahead.lock().reads.iter().map(|it| it.offset).collect() };
        assert_eq!(offsets(), (12..20).collect::<Vec<_>>());
        let now = Instant::now();
        assert!(!ahead.forget_old(now));
        assert!(ahead.forget_old(now + KEPT_FOR));
        assert!(offsets().is_empty());
        assert_eq!(ahead.add(read(1, 1).1), Some(true));
    }
}
