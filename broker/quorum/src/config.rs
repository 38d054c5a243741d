//! The quorum's settings.

use std::time::Duration;

use openraft::{Config, SnapshotPolicy};

/// Most entries in one message to a follower.
const MAX_ENTRIES_PER_MESSAGE: u64 = 512;
/// Bounds of openraft's queues: calls, notifications, and work for the state machine.
const QUEUE: u64 = 4096;
/// Longest pause between two tries to reach a follower that cannot be reached.
const LONGEST_BACKOFF: Duration = Duration::from_millis(500);

/// The quorum's settings.
///
/// With the defaults a dead leader is replaced about 0.45 s after it died, 0.55 s at worst if the first vote elects:
/// the followers wait for the election timeout since the last heartbeat, then for two rounds of votes and one sync. A
/// leader that still reaches its followers but is not heard by them steps back first, which takes about twice as long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuorumConfig {
    /// How often a leader tells its followers that it is there.
    pub heartbeat: Duration,
    /// A follower that hears nothing stands for election after a random time between these two. At least half of the
    /// longest time and two heartbeats: for the first half nobody votes against the leader that was last heard, and
    /// the rest is random.
    pub election_timeout_min: Duration,
    /// See [`Self::election_timeout_min`].
    pub election_timeout_max: Duration,
    /// How long a call may take in all, with what is forwarded and what is tried again after a change of leader.
    pub call_timeout: Duration,
    /// How long the transfer of a snapshot may take, and a change of members, which may need one.
    pub snapshot_timeout: Duration,
    /// A snapshot is made after this many entries.
    pub snapshot_after_entries: u64,
    /// This many entries stay in the log although a snapshot holds them, for followers that are a little behind.
    pub keep_entries: u64,
}

impl Default for QuorumConfig {
    fn default() -> Self {
        Self {
            heartbeat: Duration::from_millis(50),
            election_timeout_min: Duration::from_millis(375),
            election_timeout_max: Duration::from_millis(500),
            call_timeout: Duration::from_secs(5),
            snapshot_timeout: Duration::from_secs(30),
            snapshot_after_entries: 10_000,
            keep_entries: 2_000,
        }
    }
}

/// Settings that contradict each other.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("settings of the quorum: {0}")]
pub struct ConfigError(String);

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

impl QuorumConfig {
    /// How long a leader goes on without being answered by a majority. The others have another one long before.
    pub(crate) fn patience(&self) -> Duration {
        2 * self.election_timeout_max
    }

    /// How long an append may take before it is tried again: what a slow disk needs, so longer than elections.
    pub(crate) fn append_timeout(&self) -> Duration {
        self.election_timeout_max * 2
    }

    pub(crate) fn raft(&self, cluster: &str) -> Result<Config, ConfigError> {
        // In openraft a follower waits for the leader's lease, which is the longest election timeout, and then for a
        // random election timeout. So the whole wait is from `lease + shortest` to `2 * lease`.
        let lease = milliseconds(self.election_timeout_max / 2);
        let shortest = milliseconds(self.election_timeout_min).saturating_sub(lease);
        if shortest < 2 * milliseconds(self.heartbeat) || shortest >= lease {
            return Err(ConfigError(format!(
                "the shortest election timeout ({:?}) must be at least half of the longest ({:?}) and two heartbeats \
                 (of {:?}), and below the longest",
                self.election_timeout_min, self.election_timeout_max, self.heartbeat
            )));
        }
        let backoff = milliseconds(self.heartbeat);
        let config = Config {
            cluster_name: cluster.to_owned(),
            heartbeat_interval: milliseconds(self.heartbeat),
            election_timeout_min: shortest,
            election_timeout_max: lease,
            install_snapshot_timeout: milliseconds(self.snapshot_timeout),
            max_payload_entries: MAX_ENTRIES_PER_MESSAGE,
            replication_lag_threshold: self.keep_entries.max(1),
            snapshot_policy: SnapshotPolicy::LogsSinceLast(self.snapshot_after_entries),
            max_in_snapshot_log_to_keep: self.keep_entries,
            purge_batch_size: 1,
            api_channel_size: Some(QUEUE),
            notification_channel_size: Some(QUEUE),
            // A node stands for election once it knows that it is a member with the disk that it has (`node/campaign`).
            enable_elect: false,
            // A node that was cut off does not raise the term when it comes back.
            enable_pre_vote: Some(true),
            // The followers of a leader that does not hear them would follow it for ever: it is quiet for long enough
            // for another to be elected, and then speaks again in case only its answers were lost.
            quorum_loss_probe_interval: Some(lease * 3),
            // The state lives in memory and the committed position is not synced, so a leader that restarts must not
            // go on in its old term.
            enable_leader_restore: Some(false),
            backoff: format!("{backoff}ms ..{}ms", milliseconds(LONGEST_BACKOFF)),
            ..Config::default()
        };
        config
            .validate()
            .map_err(|error| ConfigError(error.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_whole_wait_is_what_was_asked_for() {
        let config = QuorumConfig::default().raft("c").unwrap();
        let shortest = config.election_timeout_max + config.election_timeout_min;
        let longest = 2 * config.election_timeout_max;
        assert_eq!((shortest, longest), (375, 500));
    }

    #[test]
    fn timeouts_that_contradict_each_other_are_refused() {
        let short = QuorumConfig {
            election_timeout_min: Duration::from_millis(300),
            ..QuorumConfig::default()
        };
        let error = short.raft("c").unwrap_err();
        assert!(error.to_string().contains("half of the longest"), "{error}");
        let equal = QuorumConfig {
            election_timeout_min: Duration::from_millis(500),
            ..QuorumConfig::default()
        };
        equal.raft("c").unwrap_err();
    }
}
