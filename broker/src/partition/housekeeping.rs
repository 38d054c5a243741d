//! What the log does by the clock: retention, giving space back, forgetting producers. Compaction, which may
//! take long, has its own thread in [`super::cleaner`].
//!
//! One thread for all partitions, since all of it may wait for the disk. It also notices that the log has
//! failed, which ends the process.

use std::{
    io,
    sync::{Arc, mpsc},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use fjord_log::Log;
use tracing::{error, info};

use super::Partitions;
use crate::{broker::LiveConfig, clock::now_ms, observability::health::Health};

/// How often the thread looks at what is due.
const TICK: Duration = Duration::from_millis(500);
/// How often dead files are given back.
const RECLAIM_EVERY: Duration = Duration::from_secs(2);
/// How often idle producers are forgotten.
const EXPIRE_EVERY: Duration = Duration::from_secs(60);
/// The name under which the log's failure stands in `/healthz`.
const COMPONENT: &str = "log";

/// The running thread.
pub struct Housekeeping {
    stop: mpsc::SyncSender<()>,
    thread: JoinHandle<()>,
}

struct Worker {
    log: Arc<Log>,
    partitions: Arc<Partitions>,
    live_config: LiveConfig,
    health: Health,
    failed: Box<dyn Fn(String) + Send>,
}

/// When something was done last.
struct Due {
    last: Instant,
}

impl Due {
    fn now() -> Self {
        Self {
            last: Instant::now(),
        }
    }

    /// Whether `every` has passed since this last said yes.
    fn is_due(&mut self, every: Duration) -> bool {
        let due = self.last.elapsed() >= every;
        if due {
            self.last = Instant::now();
        }
        due
    }
}

impl Housekeeping {
    /// Starts the thread; `failed` is called once if the log fails.
    ///
    /// # Errors
    ///
    /// If the system starts no thread.
    pub fn start(
        partitions: Arc<Partitions>,
        live_config: LiveConfig,
        health: Health,
        failed: impl Fn(String) + Send + 'static,
    ) -> io::Result<Self> {
        let (stop, stopped) = mpsc::sync_channel(1);
        let worker = Worker {
            log: Arc::clone(partitions.log()),
            partitions,
            live_config,
            health,
            failed: Box::new(failed),
        };
        let thread = std::thread::Builder::new()
            .name("fjord-housekeeping".to_owned())
            .spawn(move || worker.run(&stopped))?;
        Ok(Self { stop, thread })
    }

    /// Ends the thread, after what it is doing.
    pub fn stop(self) {
        // A full channel holds a stop already; a closed one has no thread behind it.
        let _ = self.stop.try_send(());
        if self.thread.join().is_err() {
            error!("the housekeeping thread panicked");
        }
    }
}

impl Worker {
    fn run(&self, stopped: &mpsc::Receiver<()>) {
        let mut retention = Due::now();
        let (mut reclaim, mut expiry) = (Due::now(), Due::now());
        while stopped.recv_timeout(TICK) == Err(mpsc::RecvTimeoutError::Timeout) {
            if let Some(reason) = self.log.failure() {
                self.health.dead(COMPONENT, reason.clone());
                (self.failed)(reason);
                return;
            }
            let config = self.live_config.get();
            if retention.is_due(config.log.retention_check_interval) {
                let changed = self.log.enforce_retention(now_ms());
                if changed > 0 {
                    info!(partitions = changed, "retention has deleted old records");
                    self.partitions
                        .for_each(|replica| replica.log_start_moved());
                }
            }
            if expiry.is_due(EXPIRE_EVERY) {
                let idle = config.transactions.producer_id_expiration.as_millis();
                let before = now_ms().saturating_sub(i64::try_from(idle).unwrap_or(i64::MAX));
                self.partitions
                    .for_each(|leader| leader.log().expire_producers(before));
            }
            if reclaim.is_due(RECLAIM_EVERY) {
                self.log.reclaim();
            }
        }
    }
}
