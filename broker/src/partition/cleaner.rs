//! The thread that compacts: as often as `log.cleaner.backoff.ms` says, and not faster than
//! `log.cleaner.io.max.bytes.per.second` allows.

use std::{
    io,
    ops::ControlFlow,
    sync::{Arc, mpsc},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use fjord_log::Log;
use tracing::{debug, error};

use crate::{broker::LiveConfig, clock::now_ms};

/// The thread looks for a changed backoff at least this often.
const LONGEST_SLEEP: Duration = Duration::from_millis(500);
/// Waits shorter than this are made up for by the next one.
const SHORTEST_WAIT: Duration = Duration::from_millis(5);

/// The running thread.
pub struct Cleaner {
    /// Dropped to stop it.
    stop: mpsc::Sender<()>,
    thread: JoinHandle<()>,
}

impl Cleaner {
    /// Starts the thread.
    ///
    /// # Errors
    ///
    /// If the system starts no thread.
    pub fn start(log: Arc<Log>, live_config: LiveConfig) -> io::Result<Self> {
        let (stop, stopped) = mpsc::channel();
        let thread = std::thread::Builder::new()
            .name("fjord-cleaner".to_owned())
            .spawn(move || run(&log, &live_config, &stopped))?;
        Ok(Self { stop, thread })
    }

    /// Ends the thread; a compaction under way is left where it is, and begins again after the next start.
    pub fn stop(self) {
        drop(self.stop);
        if self.thread.join().is_err() {
            error!("the cleaner's thread panicked");
        }
    }
}

fn run(log: &Log, live_config: &LiveConfig, stopped: &mpsc::Receiver<()>) {
    let mut last = Instant::now();
    while !is_stopped_within(stopped, LONGEST_SLEEP) {
        let cleaner = &live_config.get().log.cleaner;
        if !cleaner.enabled || last.elapsed() < cleaner.backoff || log.failure().is_some() {
            continue;
        }
        let mut budget = Budget::new(cleaner.io_max_bytes_per_second, Instant::now());
        let result = log.compact(now_ms(), &mut |bytes| {
            let limit = live_config.get().log.cleaner.io_max_bytes_per_second;
            let wait = budget.spend(bytes, limit, Instant::now());
            if is_stopped_within(stopped, wait) {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        });
        if result.partitions > 0 {
            let (partitions, removed) = (result.partitions, result.records_removed);
            debug!(partitions, removed, "compacted");
        }
        last = Instant::now();
    }
}

fn is_stopped_within(stopped: &mpsc::Receiver<()>, wait: Duration) -> bool {
    stopped.recv_timeout(wait) == Err(mpsc::RecvTimeoutError::Disconnected)
}

/// Bytes spent since some moment, under a limit of bytes per second.
struct Budget {
    limit: f64,
    since: Instant,
    spent: f64,
}

impl Budget {
    fn new(limit: f64, now: Instant) -> Self {
        let (since, spent) = (now, 0.0);
        Self {
            limit,
            since,
            spent,
        }
    }

    /// How long to wait after so many bytes, so that no second has more than the limit.
    fn spend(&mut self, bytes: usize, limit: f64, now: Instant) -> Duration {
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
