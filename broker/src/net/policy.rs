//! When patience ends: pure functions of times, amounts and limits.

use std::time::Duration;

/// The slowest transfer that is waited for once a timeout has passed. A client that trickles
/// bytes buys only the time that they are worth.
pub(super) const MIN_BYTES_PER_SECOND: u64 = 64 * 1024;

/// How long a client may read nothing while the responses of all connections are over their limit,
/// or while the broker stops.
pub(super) const HURRIED_WRITE_TIMEOUT: Duration = Duration::from_secs(2);

/// The time that a transfer may have taken when `transferred_bytes` are through.
pub(super) fn allowed_duration(patience: Duration, transferred_bytes: u64) -> Duration {
    patience + Duration::from_millis(transferred_bytes * 1000 / MIN_BYTES_PER_SECOND)
}

/// Whether a client that has not taken a byte for `stalled` must go although its own time
/// (`deadline_passed`) is not over, because others need the memory or the broker stops.
pub(super) fn write_is_hopeless(stalled: Duration, deadline_passed: bool, hurried: bool) -> bool {
    deadline_passed || (hurried && stalled >= HURRIED_WRITE_TIMEOUT)
}

/// How long to wait before the next `accept` after `failures` failed ones in a row: the cause is
/// mostly a lack of file descriptors or memory, which only time can cure.
pub(super) fn accept_backoff(failures: u32) -> Duration {
    const FIRST: Duration = Duration::from_millis(10);
    const LONGEST: Duration = Duration::from_secs(1);
    FIRST.saturating_mul(1 << failures.min(10)).min(LONGEST)
}

/// Decides which of many similar log lines are written: at most `per_interval` per interval.
#[derive(Debug)]
pub(super) struct LogBudget {
    interval: Duration,
    per_interval: u32,
    interval_start: Duration,
    used: u32,
    suppressed: u64,
}

impl LogBudget {
    pub(super) fn new(per_interval: u32, interval: Duration) -> Self {
        Self {
            interval,
            per_interval,
            interval_start: Duration::ZERO,
            used: 0,
            suppressed: 0,
        }
    }

    /// Asks for a line at `now` (any clock that only goes forward). `Some(n)` allows it, after `n`
    /// lines that were not allowed.
    pub(super) fn ask(&mut self, now: Duration) -> Option<u64> {
        if now.saturating_sub(self.interval_start) >= self.interval {
            self.interval_start = now;
            self.used = 0;
        }
        if self.used == self.per_interval {
            self.suppressed += 1;
            return None;
        }
        self.used += 1;
        Some(std::mem::take(&mut self.suppressed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn bytes_buy_time_at_the_minimum_rate() {
        assert_eq!(allowed_duration(SECOND, 0), SECOND);
        assert_eq!(
            allowed_duration(SECOND, 10 * MIN_BYTES_PER_SECOND),
            11 * SECOND
        );
    }

    #[test]
    fn hurry_shortens_patience() {
        assert!(!write_is_hopeless(60 * SECOND, false, false));
        assert!(write_is_hopeless(HURRIED_WRITE_TIMEOUT, false, true));
        assert!(!write_is_hopeless(SECOND, false, true));
        assert!(write_is_hopeless(SECOND, true, false));
    }

    #[test]
    fn the_backoff_grows_to_a_bound() {
        assert_eq!(accept_backoff(0), Duration::from_millis(10));
        assert_eq!(accept_backoff(1), Duration::from_millis(20));
        assert_eq!(accept_backoff(u32::MAX), SECOND);
    }

    #[test]
    fn log_lines_are_bounded_and_counted() {
        let mut budget = LogBudget::new(2, SECOND);
        let mut ask = |millis| budget.ask(Duration::from_millis(millis));
        assert_eq!(
            [ask(5000), ask(5001), ask(5002), ask(5999)],
            [Some(0), Some(0), None, None]
        );
        assert_eq!([ask(6000), ask(6001), ask(6002)], [Some(2), Some(0), None]);
    }
}
