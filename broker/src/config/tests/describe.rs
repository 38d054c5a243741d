//! What DescribeConfigs is answered with.

use std::collections::BTreeMap;

use super::config;
use crate::config::describe::{
    ConfigSource, DescribedConfig, describe_broker, describe_cluster_defaults, describe_topic,
};
use crate::config::{BrokerConfig, ConfigType, DynamicConfigs, broker_configs, topic_configs};

fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

fn broker() -> BrokerConfig {
    config(&[("log.retention.hours", "2"), ("num.partitions", "3")]).with_dynamic(DynamicConfigs {
        broker: map(&[("log.retention.bytes", "77")]),
        cluster: map(&[
            ("log.segment.bytes", "2000000"),
            ("log.retention.bytes", "88"),
        ]),
    })
}

/// One line in the form of Kafka's own tool.
fn line(described: &DescribedConfig) -> String {
    let text = |value: &Option<String>| value.clone().unwrap_or_else(|| "null".to_owned());
    let synonyms: Vec<String> = described
        .synonyms
        .iter()
        .map(|synonym| {
            format!(
                "{:?}:{}={}",
                synonym.source,
                synonym.name,
                text(&synonym.value)
            )
        })
        .collect();
    let value = text(&described.value);
    format!("{value} {:?} {{{}}}", described.source, synonyms.join(", "))
}

fn check(described: &[DescribedConfig], name: &str, expected: &str) {
    let described = described.iter().find(|config| config.name == name);
    assert_eq!(line(described.expect(name)), expected, "{name}");
}

#[test]
fn topic_configs_tell_value_source_and_synonyms() {
    let overrides = map(&[
        ("cleanup.policy", "compact, delete"),
        ("max.message.bytes", "5"),
    ]);
    let all = describe_topic(&overrides, &broker());
    assert_eq!(all.len(), topic_configs().count());
    assert!(
        all.iter()
            .all(|config| !config.read_only && !config.sensitive)
    );
    for (name, expected) in [
        (
            "cleanup.policy",
            "compact,delete Topic {Topic:cleanup.policy=compact,delete, Default:log.cleanup.policy=delete}",
        ),
        (
            "max.message.bytes",
            "5 Topic {Topic:max.message.bytes=5, Default:message.max.bytes=1048588}",
        ),
        (
            "retention.bytes",
            "77 DynamicBroker {DynamicBroker:log.retention.bytes=77, \
             DynamicDefaultBroker:log.retention.bytes=88, Default:log.retention.bytes=-1}",
        ),
        (
            "segment.bytes",
            "2000000 DynamicDefaultBroker {DynamicDefaultBroker:log.segment.bytes=2000000, \
             Default:log.segment.bytes=1073741824}",
        ),
        (
            "retention.ms",
            "7200000 StaticBroker {StaticBroker:log.retention.hours=2, Default:log.retention.hours=168}",
        ),
        (
            "compression.type",
            "producer Default {Default:compression.type=producer}",
        ),
        (
            "min.cleanable.dirty.ratio",
            "0.5 Default {Default:log.cleaner.min.cleanable.ratio=0.5}",
        ),
    ] {
        check(&all, name, expected);
    }
}

#[test]
fn broker_configs_tell_value_source_and_synonyms() {
    let all = describe_broker(&broker());
    assert_eq!(all.len(), broker_configs().count());
    for (name, expected) in [
        (
            "num.partitions",
            "3 StaticBroker {StaticBroker:num.partitions=3, Default:num.partitions=1}",
        ),
        ("log.retention.ms", "null Default {}"),
        (
            "log.retention.hours",
            "2 StaticBroker {StaticBroker:log.retention.hours=2, Default:log.retention.hours=168}",
        ),
        (
            "log.retention.bytes",
            "77 DynamicBroker {DynamicBroker:log.retention.bytes=77, \
             DynamicDefaultBroker:log.retention.bytes=88, Default:log.retention.bytes=-1}",
        ),
        ("broker.rack", "null Default {}"),
        (
            "log.cleaner.io.max.bytes.per.second",
            "1.7976931348623157E308 Default {Default:log.cleaner.io.max.bytes.per.second=1.7976931348623157E308}",
        ),
    ] {
        check(&all, name, expected);
    }
    let read_only = |name: &str| {
        all.iter()
            .find(|config| config.name == name)
            .expect(name)
            .read_only
    };
    assert!(read_only("num.partitions"));
    assert!(!read_only("message.max.bytes"));
    let partitions = all
        .iter()
        .find(|config| config.name == "num.partitions")
        .expect("described");
    assert_eq!(partitions.config_type, ConfigType::Int);
    assert_eq!(partitions.config_type.wire_id(), 3);
    assert_eq!(partitions.source.wire_id(), 4);
    assert!(
        partitions
            .documentation
            .starts_with("Partitions of a topic")
    );
}

#[test]
fn a_stronger_config_does_not_show_as_the_source_of_a_weaker_one() {
    let broker = config(&[("log.retention.ms", "5")]);
    let all = describe_broker(&broker);
    check(
        &all,
        "log.retention.hours",
        "168 Default {Default:log.retention.hours=168}",
    );
    let topic = describe_topic(&BTreeMap::new(), &broker);
    let expected =
        "5 StaticBroker {StaticBroker:log.retention.ms=5, Default:log.retention.hours=168}";
    check(&topic, "retention.ms", expected);
}

#[test]
fn cluster_defaults_tell_only_what_is_set() {
    let all = describe_cluster_defaults(&broker());
    let names: Vec<&str> = all.iter().map(|config| config.name).collect();
    assert_eq!(names, ["log.retention.bytes", "log.segment.bytes"]);
    assert_eq!(all[0].source, ConfigSource::DynamicDefaultBroker);
    check(
        &all,
        "log.retention.bytes",
        "88 DynamicDefaultBroker {DynamicDefaultBroker:log.retention.bytes=88}",
    );
}
