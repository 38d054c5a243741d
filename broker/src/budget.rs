//! Work in the background that is kept under so many bytes per second.

use std::time::{Duration, Instant};

/// Waits shorter than this are made up for by the next one.
const SHORTEST_WAIT: Duration = Duration::from_millis(5);

/// Bytes spent since some moment, under a limit of bytes per second.
#[derive(Debug)]
pub struct Budget {
    limit: f64,
    since: Instant,
    spent: f64,
}

impl Budget {
    /// Nothing is spent yet. `limit` is in bytes per second.
    pub fn new(limit: f64, now: Instant) -> Self {
        let (since, spent) = (now, 0.0);
        Self {
            limit,
            since,
            spent,
        }
    }

    /// How long to wait after so many bytes, so that no second has more than the limit.
    pub fn spend(&mut self, bytes: usize, limit: f64, now: Instant) -> Duration {
        let elapsed = now.saturating_duration_since(self.since);
        let owed = Duration::try_from_secs_f64(self.spent / self.limit).unwrap_or(Duration::MAX);
        // What was not spent in time is not saved up, and a changed limit holds from now on.
        if owed <= elapsed || limit.to_bits() != self.limit.to_bits() {
            *self = Self::new(limit, now);
        }
        // Batches are far smaller than 2^52 bytes: the number is exact.
        let bytes = bytes as f64;
        self.spent += bytes;
        let due = Duration::try_from_secs_f64(self.spent / self.limit).unwrap_or(Duration::MAX);
        let wait = due.saturating_sub(now.saturating_duration_since(self.since));
        if wait < SHORTEST_WAIT {
            Duration::ZERO
        } else {
            wait
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Spends batches of 1000 bytes, waiting as told, and returns how long that took.
    fn spend(budget: &mut Budget, batches: u32, limit: f64, start: Instant) -> Duration {
        let mut now = start;
        for _ in 0..batches {
            now += budget.spend(1000, limit, now);
        }
        now - start
    }

    #[test]
    fn the_limit_is_kept_over_a_long_time() {
        let start = Instant::now();
        let took = spend(&mut Budget::new(1e6, start), 10_000, 1e6, start);
        assert!(took > Duration::from_millis(9_980), "{took:?}");
        assert!(took <= Duration::from_secs(10), "{took:?}");
    }

    #[test]
    fn without_a_limit_nothing_waits() {
        let start = Instant::now();
        let mut budget = Budget::new(f64::MAX, start);
        assert_eq!(spend(&mut budget, 100_000, f64::MAX, start), Duration::ZERO);
    }

    #[test]
    fn idle_time_is_not_saved_up_and_a_new_limit_holds_at_once() {
        let start = Instant::now();
        let mut budget = Budget::new(1e6, start);
        let later = start + Duration::from_secs(60);
        let took = spend(&mut budget, 1_000, 1e6, later);
        assert!(took > Duration::from_millis(980), "{took:?}");
        let later = later + took;
        assert!(spend(&mut budget, 1_000, 1e5, later) > Duration::from_secs(9));
    }
}
