//! What the group coordinator can be told, and the bounds that it always keeps.

use std::time::Duration;

use crate::config::GroupsConfig;

/// How long a member that the group did not know before may wait in its first join, in
/// milliseconds. Such a member cannot send heartbeats yet, so nothing else would find out that it
/// went away.
pub const NEW_MEMBER_JOIN_TIMEOUT_MS: u64 = 5 * 60 * 1000;

/// The longest group, member, instance and client id, topic and protocol name that is taken, in
/// bytes. Stored strings have 16-bit lengths, and a member id is a client id and 37 bytes more.
pub const MAX_ID_BYTES: usize = 16 * 1024;

/// The most offsets that one pass of the expiry removes, so that a pass never holds a shard for
/// long; the next pass follows at once if this was not enough.
pub const MAX_EXPIRED_PER_PASS: usize = 1000;

/// The coordinator's settings, each by the name of Kafka's config where there is one.
#[derive(Debug, Clone)]
pub struct GroupConfig {
    /// `group.min.session.timeout.ms`.
    pub min_session_timeout_ms: i32,
    /// `group.max.session.timeout.ms`.
    pub max_session_timeout_ms: i32,
    /// `group.initial.rebalance.delay.ms`: how long an empty group waits for more members.
    pub initial_rebalance_delay_ms: u64,
    /// `group.max.size`: the most members of one group.
    pub max_group_size: usize,
    /// `offset.metadata.max.bytes`.
    pub offset_metadata_max_bytes: usize,
    /// `offsets.commit.timeout.ms`: how long a commit may wait until it is durable.
    pub commit_timeout: Duration,
    /// `offsets.retention.minutes`, in milliseconds.
    pub offsets_retention_ms: i64,
    /// `offsets.retention.check.interval.ms`.
    pub offsets_retention_check_interval_ms: u64,
    /// The most groups that one partition of `__consumer_offsets` holds.
    pub max_groups_per_shard: usize,
    /// The most members of one group that were given an id and have not joined with it yet.
    pub max_pending_members: usize,
    /// The most bytes of protocol metadata that one member may bring.
    pub max_member_metadata_bytes: usize,
    /// The largest record that a group's membership may become; `__consumer_offsets` would refuse
    /// a larger one.
    pub max_group_record_bytes: usize,
}

impl From<&GroupsConfig> for GroupConfig {
    fn from(config: &GroupsConfig) -> Self {
        let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let millis_i32 = |time: Duration| i32::try_from(time.as_millis()).unwrap_or(i32::MAX);
        Self {
            min_session_timeout_ms: millis_i32(config.min_session_timeout),
            max_session_timeout_ms: millis_i32(config.max_session_timeout),
            initial_rebalance_delay_ms: millis(config.initial_rebalance_delay),
            max_group_size: config.max_size,
            offset_metadata_max_bytes: config.offset_metadata_max_bytes,
            commit_timeout: config.commit_timeout,
            offsets_retention_ms: i64::try_from(config.offsets_retention.as_millis())
                .unwrap_or(i64::MAX),
            offsets_retention_check_interval_ms: millis(config.offsets_retention_check_interval),
            ..Self::default()
        }
    }
}

impl Default for GroupConfig {
    /// Kafka's defaults.
    fn default() -> Self {
        Self {
            min_session_timeout_ms: 6_000,
            max_session_timeout_ms: 1_800_000,
            initial_rebalance_delay_ms: 3_000,
            max_group_size: i32::MAX as usize,
            commit_timeout: Duration::from_secs(5),
            offset_metadata_max_bytes: 4096,
            offsets_retention_ms: 7 * 24 * 60 * 60 * 1000,
            offsets_retention_check_interval_ms: 600_000,
            max_groups_per_shard: 100_000,
            max_pending_members: 10_000,
            max_member_metadata_bytes: 512 * 1024,
            max_group_record_bytes: 1000 * 1000,
        }
    }
}
