//! How fast this broker fills replicas that are not in sync.
//!
//! They get what in-sync replicas do not need first (see [`crate::partition::Outbox`]), and of that so many bytes per
//! second more than producers write: whatever those do, a replica comes nearer to its leader. Where Kafka's throttles of
//! leaders and followers are set (KIP-73), they hold alone; for all replicas that catch up, whether they are listed
//! or not.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use fjord_log::Log;
use tokio::time::Instant;

use crate::{
    broker::LiveConfig,
    budget::Budget,
    config::{ReplicationConfig, throttle},
    metadata::Image,
    observability::{
        definitions,
        metrics::{Figure, FigureSource},
    },
};

/// Kafka's name for what a follower takes per second.
const FOLLOWER_THROTTLE: &str = "follower.replication.throttled.rate";

/// How often it is looked how much producers write.
const SAMPLE: Duration = Duration::from_secs(1);

/// The catching up of all replicas that this broker leads.
pub struct CatchUp {
    live_config: LiveConfig,
    log: Arc<Log>,
    state: Mutex<State>,
}

struct State {
    pace: Pace,
    writing: Rate,
    sent_bytes: u64,
}

impl CatchUp {
    /// Of the partitions in `log`.
    pub fn new(live_config: LiveConfig, log: Arc<Log>) -> Self {
        let now = Instant::now();
        let writing = Rate::new(log.stats().written_bytes, now);
        Self {
            live_config,
            log,
            state: Mutex::new(State {
                pace: Pace::new(now),
                writing,
                sent_bytes: 0,
            }),
        }
    }

    /// When more may be sent.
    pub fn ready_at(&self) -> Instant {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.pace.ready_at
    }

    /// So many bytes have been sent.
    pub fn sent(&self, bytes: usize) {
        let now = Instant::now();
        let config = self.live_config.get();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let writing = state.writing.at(now, || self.log.stats().written_bytes);
        let limit = limit(&config.replication, writing);
        state.sent_bytes += bytes as u64;
        state.pace.spend(bytes, limit, now);
    }
}

impl FigureSource for CatchUp {
    fn figures(&self) -> Vec<Figure> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let sent = state.sent_bytes as f64;
        vec![Figure::counter(definitions::REPLICATION_CATCH_UP, sent)]
    }
}

impl fmt::Debug for CatchUp {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("CatchUp")
    }
}

/// Bytes per second, while producers write so many.
fn limit(config: &ReplicationConfig, writing: f64) -> f64 {
    match config.leader_throttle {
        Some(throttle) => throttle,
        None => config.catch_up + writing,
    }
}

/// What a follower's broker takes per second, of each leader, as its dynamic configs say.
pub fn follower_limit(image: &Image, follower: i32) -> f64 {
    let own = image.broker_configs(follower);
    let rate = own
        .and_then(|configs| configs.get(FOLLOWER_THROTTLE))
        .or_else(|| image.broker_default_configs().get(FOLLOWER_THROTTLE));
    rate.and_then(|rate| throttle(rate.parse().ok()?))
        .unwrap_or(f64::MAX)
}

/// When what is kept under a limit may go on.
pub struct Pace {
    budget: Budget,
    /// When that is.
    pub ready_at: Instant,
}

impl Pace {
    /// It may begin at once.
    pub fn new(now: Instant) -> Self {
        Self {
            budget: Budget::new(f64::MAX, now.into_std()),
            ready_at: now,
        }
    }

    /// So many bytes have gone, of which so many may go in a second.
    pub fn spend(&mut self, bytes: usize, limit: f64, now: Instant) {
        self.ready_at = now + self.budget.spend(bytes, limit, now.into_std());
    }
}

/// How fast a counter grows.
struct Rate {
    since: Instant,
    count: u64,
    per_second: f64,
}

impl Rate {
    fn new(count: u64, since: Instant) -> Self {
        Self {
            since,
            count,
            per_second: 0.0,
        }
    }

    fn at(&mut self, now: Instant, count: impl FnOnce() -> u64) -> f64 {
        let elapsed = now.duration_since(self.since);
        if elapsed >= SAMPLE {
            let count = count();
            // Far below 2^52.
            let grown = count.saturating_sub(self.count) as f64;
            *self = Self {
                since: now,
                count,
                per_second: grown / elapsed.as_secs_f64(),
            };
        }
        self.per_second
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(leader_throttle: Option<f64>) -> ReplicationConfig {
        ReplicationConfig {
            lag_time_max: Duration::from_secs(30),
            catch_up: 100.0,
            leader_throttle,
        }
    }

    #[test]
    fn catching_up_outpaces_producers_unless_somebody_throttles_it() {
        assert!((limit(&config(None), 70.0) - 170.0).abs() < 1e-9);
        assert!((limit(&config(Some(30.0)), 70.0) - 30.0).abs() < 1e-9);
    }

    #[test]
    fn a_rate_is_that_of_the_last_sample() {
        let start = Instant::now();
        let mut rate = Rate::new(1_000, start);
        assert!(
            rate.at(start + SAMPLE / 2, || 2_000) < 1e-9,
            "too early to tell"
        );
        let later = start + 2 * SAMPLE;
        assert!((rate.at(later, || 5_000) - 2_000.0).abs() < 1e-9);
        assert!((rate.at(later + SAMPLE / 2, || 9_000) - 2_000.0).abs() < 1e-9);
    }

    #[test]
    fn a_pace_is_kept_over_time() {
        let start = Instant::now();
        let mut pace = Pace::new(start);
        for _ in 0..100 {
            let at = pace.ready_at;
            pace.spend(1_000, 10_000.0, at);
        }
        let took = pace.ready_at - start;
        assert!(took > Duration::from_millis(9_900), "{took:?}");
        assert!(took <= Duration::from_secs(10), "{took:?}");
    }
}
