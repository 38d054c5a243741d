//! What holds for one topic: its own configs over the broker's defaults, typed.

use std::collections::BTreeMap;

use super::broker::BrokerConfig;
use super::definition::ConfigDef;
use super::layers::Sources;
use super::table::topic_config;
use super::value::Value;

pub(super) const CLEANUP_POLICIES: &[&str] = &["compact", "delete"];
pub(super) const COMPRESSION_TYPES: &[&str] =
    &["uncompressed", "zstd", "lz4", "snappy", "gzip", "producer"];
pub(super) const TIMESTAMP_TYPES: &[&str] = &["CreateTime", "LogAppendTime"];

/// What becomes of old records. Both may hold at once, and neither keeps everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CleanupPolicy {
    /// Records go when they outlive the retention time or exceed the retention size.
    pub delete: bool,
    /// Only the newest record of each key stays.
    pub compact: bool,
}

/// How batches are compressed in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CompressionType {
    /// As the producer chose.
    Producer,
    /// Not at all.
    Uncompressed,
    /// Always gzip.
    Gzip,
    /// Always snappy.
    Snappy,
    /// Always lz4.
    Lz4,
    /// Always zstd.
    Zstd,
}

/// Whose clock dates a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimestampType {
    /// The producer's.
    CreateTime,
    /// The broker's, when it appends.
    LogAppendTime,
}

/// The configs of one topic. Times are in milliseconds, sizes in bytes; -1 means without limit where
/// it is said, and `i64::MAX` never comes.
#[derive(Debug, Clone, PartialEq)]
pub struct TopicConfig {
    /// `cleanup.policy`.
    pub cleanup_policy: CleanupPolicy,
    /// `compression.type`.
    pub compression_type: CompressionType,
    /// `compression.gzip.level`; -1 is gzip's own default.
    pub compression_gzip_level: i32,
    /// `compression.lz4.level`.
    pub compression_lz4_level: i32,
    /// `compression.zstd.level`.
    pub compression_zstd_level: i32,
    /// `delete.retention.ms`.
    pub delete_retention_ms: i64,
    /// `flush.messages`; nothing needs to act on it, see its documentation.
    pub flush_messages: i64,
    /// `flush.ms`; nothing needs to act on it, see its documentation.
    pub flush_ms: i64,
    /// `max.compaction.lag.ms`.
    pub max_compaction_lag_ms: i64,
    /// `max.message.bytes`: the largest record batch.
    pub max_message_bytes: usize,
    /// `message.timestamp.after.max.ms`.
    pub message_timestamp_after_max_ms: i64,
    /// `message.timestamp.before.max.ms`.
    pub message_timestamp_before_max_ms: i64,
    /// `message.timestamp.type`.
    pub message_timestamp_type: TimestampType,
    /// `min.cleanable.dirty.ratio`, from 0 to 1.
    pub min_cleanable_dirty_ratio: f64,
    /// `min.compaction.lag.ms`.
    pub min_compaction_lag_ms: i64,
    /// `min.insync.replicas`.
    pub min_insync_replicas: i32,
    /// `retention.bytes`; -1 is without limit.
    pub retention_bytes: i64,
    /// `retention.ms`; -1 is for ever.
    pub retention_ms: i64,
    /// `segment.bytes`; nothing needs to act on it, see its documentation.
    pub segment_bytes: u64,
    /// `segment.ms`; nothing needs to act on it, see its documentation.
    pub segment_ms: i64,
    /// `unclean.leader.election.enable`.
    pub unclean_leader_election_enable: bool,
}

impl TopicConfig {
    /// The configs of a topic with these overrides.
    ///
    /// Overrides were validated when they were set; one that this version does not accept is passed
    /// over in favour of the broker's default. This parses every config, so keep the result.
    pub fn resolve(overrides: &BTreeMap<String, String>, broker: &BrokerConfig) -> Self {
        Self::from_values(&|name| {
            let definition = known(name);
            let own = overrides
                .get(name)
                .and_then(|text| Value::parse(definition, text).ok());
            own.unwrap_or_else(|| default_value(definition, broker.sources()))
        })
    }

    /// The configs of a topic without overrides.
    pub(super) fn defaults(sources: &Sources) -> Self {
        Self::from_values(&|name| default_value(known(name), sources))
    }

    fn from_values(value: &dyn Fn(&str) -> Value) -> Self {
        let long = |name: &str| value(name).into_number();
        let unlimited_if_negative = |name: &str| long(name).max(-1);
        Self {
            cleanup_policy: CleanupPolicy::from_list(&value("cleanup.policy").into_list()),
            compression_type: CompressionType::from_name(&value("compression.type").into_text()),
            compression_gzip_level: value("compression.gzip.level").into_int(),
            compression_lz4_level: value("compression.lz4.level").into_int(),
            compression_zstd_level: value("compression.zstd.level").into_int(),
            delete_retention_ms: long("delete.retention.ms"),
            flush_messages: long("flush.messages"),
            flush_ms: long("flush.ms"),
            max_compaction_lag_ms: long("max.compaction.lag.ms"),
            max_message_bytes: value("max.message.bytes").into_size(),
            message_timestamp_after_max_ms: long("message.timestamp.after.max.ms"),
            message_timestamp_before_max_ms: long("message.timestamp.before.max.ms"),
            message_timestamp_type: match value("message.timestamp.type").into_text().as_str() {
                "LogAppendTime" => TimestampType::LogAppendTime,
                _ => TimestampType::CreateTime,
            },
            min_cleanable_dirty_ratio: value("min.cleanable.dirty.ratio").into_double(),
            min_compaction_lag_ms: long("min.compaction.lag.ms"),
            min_insync_replicas: value("min.insync.replicas").into_int(),
            retention_bytes: unlimited_if_negative("retention.bytes"),
            retention_ms: unlimited_if_negative("retention.ms"),
            segment_bytes: value("segment.bytes").into_size() as u64,
            segment_ms: long("segment.ms"),
            unclean_leader_election_enable: value("unclean.leader.election.enable").into_boolean(),
        }
    }
}

impl CleanupPolicy {
    fn from_list(policies: &[String]) -> Self {
        let has = |policy: &str| policies.iter().any(|entry| entry == policy);
        Self {
            delete: has("delete"),
            compact: has("compact"),
        }
    }
}

impl CompressionType {
    /// The type of a name that was validated.
    fn from_name(name: &str) -> Self {
        match name {
            "uncompressed" => Self::Uncompressed,
            "gzip" => Self::Gzip,
            "snappy" => Self::Snappy,
            "lz4" => Self::Lz4,
            "zstd" => Self::Zstd,
            _ => Self::Producer,
        }
    }
}

fn known(name: &str) -> &'static ConfigDef {
    topic_config(name).expect("only names of the table are asked for")
}

/// The value of a topic config that the topic does not set: that of the first of its broker configs
/// that has one, or its own default if there are none.
pub(super) fn default_value(definition: &ConfigDef, sources: &Sources) -> Value {
    let from_broker = definition.synonyms.iter().find_map(|name| {
        let value = sources.named(name)?;
        match (value, milliseconds_per_unit(name)) {
            // -1 is no time but the word for none.
            (Value::Number(number), unit) if number >= 0 => {
                Some(Value::Number(number.saturating_mul(unit)))
            }
            (value, _) => Some(value),
        }
    });
    from_broker.unwrap_or_else(|| {
        let text = definition.default.unwrap_or_default();
        Value::parse(definition, text).expect("defaults are valid, which is tested")
    })
}

/// What a broker config of this name is counted in, where its topic config is in milliseconds.
fn milliseconds_per_unit(name: &str) -> i64 {
    match name.rsplit_once('.') {
        Some((_, "hours")) => 60 * 60 * 1000,
        Some((_, "minutes")) => 60 * 1000,
        _ => 1,
    }
}
