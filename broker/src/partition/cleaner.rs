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

use crate::{broker::LiveConfig, budget::Budget, clock::now_ms};

/// The thread looks for a changed backoff at least this often.
const LONGEST_SLEEP: Duration = Duration::from_millis(500);

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
