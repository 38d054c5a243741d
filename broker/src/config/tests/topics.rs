//! Topic configs: what holds, and what is refused.

use std::collections::BTreeMap;

use super::config;
use crate::config::validate::{validate_broker_config, validate_topic_configs};
use crate::config::{
    BrokerConfig, CleanupPolicy, CompressionType, InvalidConfigKind, TimestampType, TopicConfig,
};

fn topic(overrides: &[(&str, &str)], broker: &BrokerConfig) -> TopicConfig {
    let overrides = overrides
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    TopicConfig::resolve(&overrides, broker)
}

fn validate(configs: &[(&str, &str)]) -> Result<(), (InvalidConfigKind, String)> {
    let configs: BTreeMap<String, String> = configs
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    validate_topic_configs(&configs).map_err(|error| (error.kind, error.to_string()))
}

#[test]
fn defaults_are_kafkas() {
    let config = topic(&[], &config(&[]));
    let expected = TopicConfig {
        cleanup_policy: CleanupPolicy {
            delete: true,
            compact: false,
        },
        compression_type: CompressionType::Producer,
        compression_gzip_level: -1,
        compression_lz4_level: 9,
        compression_zstd_level: 3,
        delete_retention_ms: 86_400_000,
        flush_messages: i64::MAX,
        flush_ms: i64::MAX,
        max_compaction_lag_ms: i64::MAX,
        max_message_bytes: 1_048_588,
        message_timestamp_after_max_ms: 3_600_000,
        message_timestamp_before_max_ms: i64::MAX,
        message_timestamp_type: TimestampType::CreateTime,
        min_cleanable_dirty_ratio: 0.5,
        min_compaction_lag_ms: 0,
        min_insync_replicas: 1,
        retention_bytes: -1,
        retention_ms: 604_800_000,
        segment_bytes: 1 << 30,
        segment_ms: 604_800_000,
        unclean_leader_election_enable: false,
    };
    assert_eq!(config, expected);
}

#[test]
fn a_topics_own_configs_cover_the_brokers() {
    let broker = config(&[
        ("log.retention.bytes", "100"),
        ("message.max.bytes", "2000"),
        ("log.message.timestamp.type", "LogAppendTime"),
    ]);
    let config = topic(
        &[
            ("cleanup.policy", "compact, delete"),
            ("retention.bytes", "-5"),
            ("compression.type", "zstd"),
            ("min.cleanable.dirty.ratio", "0.01"),
            ("unclean.leader.election.enable", "TRUE"),
        ],
        &broker,
    );
    assert_eq!(
        config.cleanup_policy,
        CleanupPolicy {
            delete: true,
            compact: true
        }
    );
    assert_eq!(
        config.retention_bytes, -1,
        "negative sizes all mean without limit"
    );
    assert_eq!(config.max_message_bytes, 2000);
    assert_eq!(config.message_timestamp_type, TimestampType::LogAppendTime);
    assert_eq!(config.compression_type, CompressionType::Zstd);
    assert!((config.min_cleanable_dirty_ratio - 0.01).abs() < 1e-9);
    assert!(config.unclean_leader_election_enable);
    let config = topic(
        &[("retention.ms", "junk"), ("of.another.version", "1")],
        &broker,
    );
    assert_eq!(
        config.retention_ms, 604_800_000,
        "what is not understood is passed over"
    );
    let config = topic(&[("cleanup.policy", "")], &broker);
    assert_eq!(
        config.cleanup_policy,
        CleanupPolicy {
            delete: false,
            compact: false
        }
    );
}

#[test]
fn the_first_broker_config_that_is_set_decides_in_its_unit() {
    for (settings, retention_ms) in [
        (&[("log.retention.hours", "2")][..], 7_200_000),
        (
            &[("log.retention.minutes", "3"), ("log.retention.hours", "2")],
            180_000,
        ),
        (
            &[("log.retention.ms", "4"), ("log.retention.minutes", "3")],
            4,
        ),
        (&[("log.retention.minutes", "-1")], -1),
        (
            &[("log.retention.hours", "2147483647")],
            2_147_483_647 * 3_600_000,
        ),
    ] {
        assert_eq!(
            topic(&[], &config(settings)).retention_ms,
            retention_ms,
            "{settings:?}"
        );
    }
    assert_eq!(
        topic(&[], &config(&[("log.roll.hours", "1")])).segment_ms,
        3_600_000
    );
    assert_eq!(
        topic(&[], &config(&[("log.flush.scheduler.interval.ms", "7")])).flush_ms,
        7
    );
}

#[test]
fn wrong_topic_configs_are_refused_by_name() {
    assert_eq!(validate(&[]), Ok(()));
    assert_eq!(
        validate(&[("retention.ms", "-1"), ("cleanup.policy", "")]),
        Ok(())
    );
    let unknown = InvalidConfigKind::Unknown;
    let value = InvalidConfigKind::Value;
    for (name, text, kind, message) in [
        (
            "retention.mss",
            "1",
            unknown,
            "retention.mss is not a topic config; did you mean retention.ms?",
        ),
        (
            "foo",
            "1",
            unknown,
            "foo is not a topic config; remove it; docs/configuration.md lists what there is",
        ),
        (
            "log.retention.hours",
            "1",
            unknown,
            "log.retention.hours is a broker config, not a topic config; the topic's own config is retention.ms",
        ),
        (
            "num.partitions",
            "1",
            unknown,
            "num.partitions is a broker config, not a topic config; it can be set for the broker only",
        ),
        (
            "remote.storage.enable",
            "true",
            unknown,
            "remote.storage.enable is a config of Apache Kafka that has no meaning here; remove it",
        ),
        (
            "retention.ms",
            "-2",
            value,
            "retention.ms must be at least -1 (\"-2\"); set it to a long of [-1,...], or leave it out for the default 604800000",
        ),
        (
            "cleanup.policy",
            "none",
            value,
            "cleanup.policy must be a list of compact, delete, not 'none' (\"none\"); set it to a list of [compact, delete], or leave it out for the default delete",
        ),
    ] {
        assert_eq!(validate(&[(name, text)]), Err((kind, message.to_owned())));
    }
    let lags = [
        ("min.compaction.lag.ms", "5"),
        ("max.compaction.lag.ms", "4"),
    ];
    let message =
        "min.compaction.lag.ms must not be more than max.compaction.lag.ms (5 is more than 4)";
    assert_eq!(validate(&lags), Err((value, message.to_owned())));
}

#[test]
fn configs_without_effect_are_taken_and_checked() {
    let kind = |name, text| validate(&[(name, text)]).map_err(|(kind, _)| kind);
    assert_eq!(kind("file.delete.delay.ms", "10000"), Ok(()));
    assert_eq!(
        kind("file.delete.delay.ms", "soon"),
        Err(InvalidConfigKind::Value)
    );
    let change = |name, value| validate_broker_config(name, value).map_err(|error| error.kind);
    let kerberos = "sasl.kerberos.min.time.before.relogin";
    assert_eq!(change(kerberos, "58000"), Ok(()));
}

#[test]
fn broker_configs_change_only_where_they_may() {
    let kind = |name, value| validate_broker_config(name, value).map_err(|error| error.kind);
    assert_eq!(kind("message.max.bytes", "5"), Ok(()));
    assert_eq!(
        kind("message.max.bytes", "-5"),
        Err(InvalidConfigKind::Value)
    );
    assert_eq!(
        kind("num.partitions", "5"),
        Err(InvalidConfigKind::ReadOnly)
    );
    assert_eq!(kind("no.such.config", "5"), Err(InvalidConfigKind::Unknown));
}
