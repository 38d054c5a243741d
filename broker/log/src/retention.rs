//! Retention: how far a log's start may move, by age and by size.

use crate::log::Log;
use crate::partition::Partition;
use crate::types::Location;

/// Batches that one round removes from one partition at the most; the next round goes on.
const BATCHES_AT_ONCE: usize = 65_536;

/// What `retention.ms` and `retention.bytes` say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetentionPolicy {
    /// Batches all of whose records are older may go. Milliseconds.
    pub max_age_ms: Option<u64>,
    /// The oldest batches may go as long as this many bytes are left.
    pub max_bytes: Option<u64>,
}

/// Decides over the oldest batches of a log, one after the other.
struct Decision {
    policy: RetentionPolicy,
    now_ms: i64,
    bytes_left: u64,
    new_start: Option<u64>,
}

impl Decision {
    /// Takes the next batch; false if it stays, and with it all after it.
    fn next(&mut self, base_offset: u64, location: &Location) -> bool {
        let expired = self.policy.max_age_ms.is_some_and(|age| {
            let age = i64::try_from(age).unwrap_or(i64::MAX);
            location.max_timestamp >= 0 && location.max_timestamp < self.now_ms.saturating_sub(age)
        });
        let surplus = self.policy.max_bytes.is_some_and(|limit| {
            self.bytes_left.saturating_sub(u64::from(location.length)) >= limit
        });
        if !expired && !surplus {
            return false;
        }
        self.bytes_left = self.bytes_left.saturating_sub(u64::from(location.length));
        self.new_start = Some(base_offset + u64::from(location.last_offset_delta) + 1);
        true
    }
}

impl Log {
    /// Moves the start of every log whose policy says so; `now_ms` is the time in milliseconds. Returns the
    /// number of partitions changed. May wait for the disk.
    pub fn enforce_retention(&self, now_ms: i64) -> usize {
        // Sizes count what an earlier round has removed until it is out of the index.
        if !self.wait_until_indexed() {
            tracing::warn!("retention waits for the index");
            return 0;
        }
        let partitions = self.shared().partitions();
        partitions.iter().filter(|p| self.retain(p, now_ms)).count()
    }

    fn retain(&self, partition: &Partition, now_ms: i64) -> bool {
        let Some(policy) = partition.policies().retention else {
            return false;
        };
        let truncations = partition.truncations();
        let (positions, size) = (partition.positions(), partition.size_bytes());
        let end = positions.durable_end.min(partition.high_watermark());
        let within = policy.max_bytes.is_none_or(|limit| size <= limit);
        if positions.log_start >= end || (within && policy.max_age_ms.is_none()) {
            return false;
        }
        let mut decision = Decision {
            policy,
            now_ms,
            bytes_left: size,
            new_start: None,
        };
        let mut left = BATCHES_AT_ONCE;
        let visited = partition.visit(self.shared(), positions.log_start, &mut |base, location| {
            left -= 1;
            decision.next(base, &location) && left > 0
        });
        if let Err(error) = visited {
            tracing::warn!(
                partition = partition.label(),
                error,
                "retention could not look at the log"
            );
            return false;
        }
        let Some(new_start) = decision.new_start.map(|s| s.min(end)) else {
            return false;
        };
        if new_start <= positions.log_start {
            return false;
        }
        tracing::info!(
            partition = partition.label(),
            from = positions.log_start,
            to = new_start,
            "retention moves the log's start"
        );
        let done = Box::new(|_| {});
        partition
            .move_log_start(new_start, Some(truncations), done)
            .is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Lsn;

    /// Ten batches of 100 bytes and ten offsets, one per second from 1,000 ms on.
    fn new_start(policy: RetentionPolicy, now_ms: i64) -> Option<u64> {
        let mut decision = Decision {
            policy,
            now_ms,
            bytes_left: 1000,
            new_start: None,
        };
        for i in 0..10u32 {
            let location = Location {
                lsn: Lsn::default(),
                length: 100,
                last_offset_delta: 9,
                leader_epoch: 0,
                max_timestamp: i64::from(i + 1) * 1000,
            };
            if !decision.next(u64::from(i) * 10, &location) {
                break;
            }
        }
        decision.new_start
    }

    #[test]
    fn by_age() {
        let policy = RetentionPolicy {
            max_age_ms: Some(2000),
            max_bytes: None,
        };
        assert_eq!(new_start(policy, 3000), None);
        assert_eq!(new_start(policy, 3001), Some(10));
        assert_eq!(new_start(policy, 60_000), Some(100));
    }

    #[test]
    fn by_size_never_leaves_less_than_the_limit() {
        let policy = RetentionPolicy {
            max_age_ms: None,
            max_bytes: Some(450),
        };
        assert_eq!(new_start(policy, 0), Some(50));
        let all = RetentionPolicy {
            max_age_ms: None,
            max_bytes: Some(0),
        };
        assert_eq!(new_start(all, 0), Some(100));
    }
}
