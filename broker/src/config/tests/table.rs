//! The table against what Apache Kafka says, against itself, and against its documentation.

use std::collections::{BTreeMap, BTreeSet};

use super::config;
use crate::config::definition::{ConfigDef, ConfigType, Update, Valid};
use crate::config::table::{KAFKA_CONFIGS, broker_config, broker_configs, topic_configs};
use crate::config::value::Value;
use crate::config::{configuration_reference, describe};

/// A config as Kafka defines it: the columns of `kafka-4.3.1.tsv` after scope and name.
struct KafkaConfig {
    config_type: &'static str,
    default: &'static str,
    importance: &'static str,
    update: &'static str,
    synonyms: &'static str,
    valid: &'static str,
}

fn kafka_configs(scope: &str) -> BTreeMap<&'static str, KafkaConfig> {
    let mut configs = BTreeMap::new();
    for line in KAFKA_CONFIGS.lines().filter(|line| !line.starts_with('#')) {
        let mut columns = line.split('\t');
        let mut next = || columns.next().unwrap_or_default();
        if next() != scope {
            continue;
        }
        let name = next();
        let config = KafkaConfig {
            config_type: next(),
            default: next(),
            importance: next(),
            update: next(),
            synonyms: next(),
            valid: next(),
        };
        configs.insert(name, config);
    }
    configs
}

/// Where we differ from Kafka on purpose: name, our default.
const OTHER_DEFAULTS: [(&str, &str); 5] = [
    // Kafka demands it; a broker that starts without any configuration needs one.
    ("node.id", "1"),
    // A directory that survives a restart of the machine.
    ("log.dir", "./data"),
    // As many as the machine has use for.
    ("num.network.threads", "-1"),
    // A broker whose connection breaks is fenced at once; one that hangs is fenced this soon.
    ("broker.session.timeout.ms", "2000"),
    ("broker.heartbeat.interval.ms", "200"),
];

/// Configs that accept a value besides those of Kafka.
///
/// The lists of peers are checked entry by entry, and empty for a broker without peers.
const WIDER: [&str; 3] = [
    "controller.quorum.bootstrap.servers",
    "controller.quorum.voters",
    "num.network.threads",
];

/// Configs whose values Kafka checks elsewhere than in the definition.
const CHECKED_ELSEWHERE: [&str; 19] = [
    "advertised.listeners",
    "broker.id",
    "default.replication.factor",
    "group.initial.rebalance.delay.ms",
    "group.max.session.timeout.ms",
    "group.min.session.timeout.ms",
    "listener.security.protocol.map",
    "listeners",
    "log.cleaner.dedupe.buffer.size",
    "log.cleaner.io.max.bytes.per.second",
    "log.flush.interval.ms",
    "log.flush.scheduler.interval.ms",
    "log.retention.hours",
    "log.retention.minutes",
    "log.retention.ms",
    "log.roll.jitter.ms",
    "log.roll.ms",
    "offset.metadata.max.bytes",
    "offsets.topic.compression.codec",
];
/// Numbers for which Kafka's definition has no range, but below which the value means nothing.
const NARROWER: [&str; 8] = [
    "broker.heartbeat.interval.ms",
    "broker.session.timeout.ms",
    "offsets.topic.segment.bytes",
    "queued.max.request.bytes",
    "replica.lag.time.max.ms",
    "request.timeout.ms",
    "socket.receive.buffer.bytes",
    "socket.send.buffer.bytes",
];

/// Configs that Kafka's brokers know only as dynamic ones: they are not in the fixture.
const ONLY_DYNAMIC: [&str; 2] = [
    "follower.replication.throttled.rate",
    "leader.replication.throttled.rate",
];

fn compare(ours: &ConfigDef, kafka: &KafkaConfig, default_synonym: &str) {
    let name = ours.name;
    assert_eq!(ours.config_type.name(), kafka.config_type, "type of {name}");
    assert_eq!(
        ours.importance.name(),
        kafka.importance,
        "importance of {name}"
    );
    let kafka_default = match kafka.default {
        "<null>" => None,
        default => Some(default),
    };
    match OTHER_DEFAULTS.iter().find(|(other, _)| *other == name) {
        Some((_, default)) => assert_eq!(ours.default, Some(*default), "default of {name}"),
        None => assert_eq!(ours.default, kafka_default, "default of {name}"),
    }
    if ours.update == Update::Dynamic {
        assert_ne!(kafka.update, "read-only", "update mode of {name}");
    }
    let synonyms = ours.synonyms.join(",");
    let synonyms = if synonyms.is_empty() {
        default_synonym
    } else {
        &synonyms
    };
    assert_eq!(synonyms, kafka.synonyms, "synonyms of {name}");
    let elsewhere = CHECKED_ELSEWHERE.contains(&name) || NARROWER.contains(&name);
    match (elsewhere, kafka.valid) {
        _ if WIDER.contains(&name) => assert_ne!(ours.valid_values(), kafka.valid, "{name}"),
        (false, valid) => assert_eq!(ours.valid_values(), valid, "valid values of {name}"),
        (true, "") => assert_ne!(ours.valid_values(), "", "{name} is listed without need"),
        (true, _) => assert!(NARROWER.contains(&name), "{name} is listed without need"),
    }
}

#[test]
fn broker_configs_are_those_of_kafka() {
    let kafka = kafka_configs("broker");
    assert_eq!(kafka.len(), 340, "the fixture is whole");
    for ours in broker_configs() {
        match kafka.get(ours.name) {
            Some(kafka) => compare(ours, kafka, ours.name),
            None => assert!(
                ours.name.starts_with("fjord.") || ONLY_DYNAMIC.contains(&ours.name),
                "Kafka has no {}",
                ours.name
            ),
        }
    }
}

#[test]
fn topic_configs_are_those_of_kafka() {
    let kafka = kafka_configs("topic");
    assert_eq!(kafka.len(), 33, "the fixture is whole");
    for ours in topic_configs() {
        let kafka = kafka
            .get(ours.name)
            .unwrap_or_else(|| panic!("Kafka has no {}", ours.name));
        compare(ours, kafka, "");
    }
}

#[test]
fn the_table_holds_together() {
    for configs in [
        broker_configs().collect::<Vec<_>>(),
        topic_configs().collect(),
    ] {
        let names: BTreeSet<&str> = configs.iter().map(|config| config.name).collect();
        assert_eq!(names.len(), configs.len(), "a name stands twice");
        for config in configs {
            let name = config.name;
            if let Some(default) = config.default {
                let value =
                    Value::parse(config, default).unwrap_or_else(|error| panic!("{name} {error}"));
                assert_eq!(
                    value.to_text(),
                    default,
                    "the default of {name} is in canonical form"
                );
            }
            assert!(config.documentation.ends_with('.'), "{name}");
            assert!(
                !config.documentation.contains(['|', '\n']),
                "{name} breaks the Markdown table"
            );
            let counts = matches!(
                config.config_type,
                ConfigType::Int | ConfigType::Long | ConfigType::Short
            );
            let fits = match config.valid {
                Valid::Any | Valid::Check(..) => true,
                Valid::AtLeast(_) | Valid::Between(..) | Valid::BetweenOr(..) => counts,
                Valid::Ratio(..) => config.config_type == ConfigType::Double,
                Valid::OneOf(_) => {
                    matches!(config.config_type, ConfigType::String | ConfigType::List)
                }
            };
            assert!(fits, "the range of {name} does not fit its type");
        }
    }
}

#[test]
fn topic_configs_and_their_broker_configs_agree() {
    for topic in topic_configs().filter(|topic| !topic.synonyms.is_empty()) {
        let last = topic.synonyms.last().and_then(|name| broker_config(name));
        let last = last.unwrap_or_else(|| panic!("{} has no broker config", topic.name));
        assert!(last.default.is_some(), "{} may have no value", topic.name);
        let first = broker_config(topic.synonyms[0]).expect("the first synonym is in the table");
        assert_eq!(first.config_type, topic.config_type, "{}", topic.name);
        assert_eq!(first.update, Update::Dynamic, "{}", first.name);
    }
    // The defaults of the topic configs are what the broker's defaults make.
    for described in describe::describe_topic(&BTreeMap::new(), &config(&[])) {
        let topic = topic_configs()
            .find(|topic| topic.name == described.name)
            .expect("in the table");
        assert_eq!(described.value.as_deref(), topic.default, "{}", topic.name);
    }
}

#[test]
fn the_reference_is_up_to_date() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/configuration.md");
    let wanted = configuration_reference();
    if std::env::var_os("UPDATE_CONFIGURATION_REFERENCE").is_some() {
        std::fs::write(path, &wanted).expect("docs/configuration.md can be written");
    }
    let found = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        found == wanted,
        "docs/configuration.md differs from the table of configs; write it anew with\n  \
         UPDATE_CONFIGURATION_REFERENCE=1 cargo test -p fjord-broker the_reference_is_up_to_date"
    );
}
