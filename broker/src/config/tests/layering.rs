//! Layers, errors and the typed whole.

use std::ffi::OsString;
use std::path::Path;
use std::time::Duration;

use clap::Parser;

use super::{config, resolve, setting};
use crate::config::{
    AdvertisedListener, Args, BrokerConfig, Durability, DynamicConfigs, Layers, LogFormat,
};

fn args(flags: &[&str]) -> Args {
    Args::try_parse_from([&["fjord-broker"], flags].concat()).expect("valid flags")
}

fn load(flags: &[&str], variables: &[(&str, &str)]) -> Result<BrokerConfig, String> {
    let variables = variables
        .iter()
        .map(|(name, value)| (name.into(), value.into()));
    let variables = variables.collect::<Vec<(OsString, OsString)>>();
    BrokerConfig::load(&args(flags), variables).map_err(|errors| errors.to_string())
}

fn check_errors(settings: &[(&str, &str)], expected: &[&str]) {
    let errors = resolve(settings).expect_err("an invalid configuration");
    let lines: Vec<String> = errors.0.iter().map(ToString::to_string).collect();
    assert_eq!(lines, expected);
}

#[test]
fn without_anything_the_defaults_hold() {
    let config = load(&[], &[]).expect("the defaults are valid");
    assert_eq!(config.node.node_id, 1);
    assert_eq!(config.node.rack, None);
    assert_eq!(config.log.data_dir, Path::new("./data"));
    assert_eq!(config.log.durability, Durability::Fsync);
    assert_eq!(config.log.file_bytes, 256 * 1024 * 1024);
    assert_eq!(config.log.group_bytes, 4 * 1024 * 1024);
    assert_eq!(config.net.listeners.len(), 1);
    assert_eq!(config.net.listeners[0].bind.to_string(), ":9092");
    assert_eq!(
        config.net.listeners[0].advertised,
        AdvertisedListener::AsConnected
    );
    assert_eq!(config.net.queued_max_request_bytes, 256 * 1024 * 1024);
    assert_eq!(
        config.net.connections_max_idle,
        Some(Duration::from_secs(600))
    );
    assert_eq!(config.net.max_connections, 2_147_483_647);
    assert_eq!(
        config.groups.offsets_retention,
        Duration::from_secs(7 * 24 * 3600)
    );
    assert_eq!(
        config.groups.initial_rebalance_delay,
        Duration::from_secs(3)
    );
    assert_eq!(
        config.transactions.producer_id_expiration,
        Duration::from_secs(24 * 3600)
    );
    assert_eq!(config.observability.log_format, LogFormat::Text);
    assert_eq!(config.api.num_partitions, 1);
    assert!(config.api.auto_create_topics);
}

#[test]
fn a_later_layer_covers_an_earlier_one() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let file = directory.path().join("fjord.yaml");
    let text =
        "num.partitions: 2\ndefault.replication.factor: 2\nnode.id: 2\nlog.dirs: /from/file\n";
    std::fs::write(&file, text).expect("written");
    let file = file.to_str().expect("a plain path");
    let variables = [
        ("FJORD_CONFIG", file),
        ("FJORD_NUM_PARTITIONS", "3"),
        ("FJORD_NODE_ID", "3"),
    ];
    let config = load(&["--node-id", "4"], &variables).expect("valid");
    assert_eq!(config.api.default_replication_factor, 2);
    assert_eq!(config.api.num_partitions, 3);
    assert_eq!(config.node.node_id, 4);
    assert_eq!(config.log.data_dir, Path::new("/from/file"));
    let config = load(&["--config", file, "--data-dir", "/from/flag"], &[]).expect("valid");
    assert_eq!(config.log.data_dir, Path::new("/from/flag"));
    assert_eq!(config.node.node_id, 2);
}

#[test]
fn flags_set_what_they_say() {
    let config = load(
        &[
            "--listen-kafka",
            "127.0.0.1:0",
            "--advertise-kafka",
            "broker.example:19092",
            "--listen-grpc",
            "[::1]:0",
            "--listen-http",
            "",
            "--set",
            "num.partitions=4",
            "--set",
            "broker.rack=a=b",
            "--data-dir",
            "somewhere",
        ],
        &[],
    )
    .expect("valid");
    let listener = &config.net.listeners[0];
    assert_eq!(
        (listener.bind.host.as_deref(), listener.bind.port),
        (Some("127.0.0.1"), 0)
    );
    let fixed = AdvertisedListener::Fixed {
        host: "broker.example".to_owned(),
        port: Some(19092),
    };
    assert_eq!(listener.advertised, fixed);
    let grpc = config.grpc.listen.expect("a gRPC listener");
    assert_eq!((grpc.host.as_deref(), grpc.port), (Some("::1"), 0));
    assert_eq!(config.observability.http_listen, None);
    assert_eq!(config.api.num_partitions, 4);
    assert_eq!(config.node.rack.as_deref(), Some("a=b"));
    assert_eq!(config.log.data_dir, Path::new("somewhere"));
}

#[test]
fn every_mistake_is_told_with_key_origin_value_and_fix() {
    let layers = Layers {
        file: vec![
            setting("num.partition", "4"),
            setting("node.id", "1"),
            setting("node.id", "2"),
        ],
        flags: vec![
            setting("num.partitions", "none"),
            setting("retention.ms", "1"),
            setting("metric.reporters", "x"),
            setting("compression.type", "brotli"),
        ],
        ..Layers::default()
    };
    let errors = BrokerConfig::resolve(layers)
        .expect_err("an invalid configuration")
        .to_string();
    let expected = "the configuration has 6 errors:
  num.partition is not a config of this broker (\"4\" from flag --set num.partition); did you mean num.partitions?
  node.id is set twice, first by flag --set node.id (\"2\" from flag --set node.id); remove one of the two
  num.partitions must be a whole number from -2147483648 to 2147483647 (\"none\" from flag --set num.partitions); set it to an int of [1,...], or leave it out for the default 1
  retention.ms is a topic config, not a broker config (\"1\" from flag --set retention.ms); set it on a topic, or set the default of all topics with log.retention.ms
  metric.reporters is a config of Apache Kafka that has no meaning here (\"x\" from flag --set metric.reporters); remove it
  compression.type must be one of uncompressed, zstd, lz4, snappy, gzip, producer (\"brotli\" from flag --set compression.type); set it to a string of [uncompressed, zstd, lz4, snappy, gzip, producer], or leave it out for the default producer";
    assert_eq!(errors, expected);
}

#[test]
fn mistakes_of_all_layers_are_told_together() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let file = directory.path().join("fjord.yaml");
    std::fs::write(&file, "\nlog:\n  dir: ok\n  segment.bytes: 5\n").expect("written");
    let file = file.to_str().expect("a plain path");
    let flags = ["--config", file, "--set", "x", "--listen-kafka", "9092"];
    let error = load(&flags, &[("FJORD_BROKER_RACKS", "r")]).expect_err("invalid");
    for expected in [
        "the configuration has 4 errors:",
        "environment variable FJORD_BROKER_RACKS is not the variable of any config; did you mean FJORD_BROKER_RACK?",
        "flag --set must be NAME=VALUE (\"x\"); write it as in --set num.partitions=4",
        "flag --listen-kafka needs HOST:PORT, not '9092' (\"9092\"); write it as in --listen-kafka 127.0.0.1:9092",
        &format!(
            "log.segment.bytes must be at least 1048576 (\"5\" from {file} line 4); set it to"
        ),
    ] {
        assert!(error.contains(expected), "{expected}\n--\n{error}");
    }
    let error = load(&["--config", "/nowhere/fjord.yaml"], &[]).expect_err("no such file");
    assert!(
        error.contains("/nowhere/fjord.yaml cannot be read: "),
        "{error}"
    );
}

#[test]
fn values_must_fit_together() {
    check_errors(
        &[
            ("group.min.session.timeout.ms", "10"),
            ("group.max.session.timeout.ms", "9"),
        ],
        &[
            "group.min.session.timeout.ms must not be more than group.max.session.timeout.ms, which is \
           9 (\"10\" from flag --set group.min.session.timeout.ms); lower it, or raise the other",
        ],
    );
    check_errors(
        &[("queued.max.request.bytes", "1000")],
        &[
            "queued.max.request.bytes must be -1, or at least socket.request.max.bytes, which is \
           104857600 (\"1000\" from flag --set queued.max.request.bytes); raise it, or use -1",
        ],
    );
    check_errors(
        &[("fjord.log.group.bytes", "200000000")],
        &[
            "fjord.log.group.bytes must be at most half of fjord.log.file.bytes, which is 268435456 \
           (\"200000000\" from flag --set fjord.log.group.bytes); lower it, or raise the other",
        ],
    );
    check_errors(
        &[("node.id", "1"), ("broker.id", "2")],
        &[
            "broker.id must be equal to node.id, which is 1 (\"2\" from flag --set broker.id); set \
           node.id alone",
        ],
    );
    check_errors(
        &[("log.dirs", "/a,/b")],
        &[
            "log.dirs must be exactly one directory (\"/a,/b\" from flag --set log.dirs); name one, \
           without commas",
        ],
    );
    assert_eq!(config(&[("broker.id", "7")]).node.node_id, 7);
    assert_eq!(
        config(&[("node.id", "7"), ("broker.id", "7")]).node.node_id,
        7
    );
}

#[test]
fn ranges_hold_at_their_ends() {
    for (name, value, valid) in [
        ("num.partitions", "1", true),
        ("num.partitions", "0", false),
        ("default.replication.factor", "32767", true),
        ("default.replication.factor", "32768", false),
        ("compression.gzip.level", "-1", true),
        ("compression.gzip.level", "0", false),
        ("compression.gzip.level", "9", true),
        ("compression.gzip.level", "10", false),
        ("compression.zstd.level", "-131072", true),
        ("compression.zstd.level", "-131073", false),
        ("log.cleaner.min.cleanable.ratio", "1", true),
        ("log.cleaner.min.cleanable.ratio", "1.01", false),
        ("log.cleaner.io.max.bytes.per.second", "0", false),
        ("log.retention.ms", "-1", true),
        ("log.retention.ms", "0", false),
        ("log.retention.hours", "-2", false),
        ("log.cleanup.policy", "compact,delete", true),
        ("log.cleanup.policy", "", true),
        ("log.cleanup.policy", "compact,erase", false),
        ("socket.request.max.bytes", "2147483647", true),
        ("socket.request.max.bytes", "2147483648", false),
        ("offsets.topic.compression.codec", "5", false),
        ("fjord.log.level", "warn,fjord_broker::net=DEBUG", true),
        ("fjord.log.level", "loud", false),
        ("fjord.log.level", "", false),
        ("fjord.http.listen", "", true),
        ("fjord.http.listen", "9292", false),
    ] {
        assert_eq!(resolve(&[(name, value)]).is_ok(), valid, "{name}={value}");
    }
}

#[test]
fn special_values_become_types() {
    let config = config(&[
        ("connections.max.idle.ms", "-1"),
        ("socket.send.buffer.bytes", "-1"),
        ("socket.request.max.bytes", "200000000"),
        ("fjord.durability", "os"),
    ]);
    assert_eq!(config.net.connections_max_idle, None);
    assert_eq!(config.net.send_buffer_bytes, None);
    assert_eq!(config.net.receive_buffer_bytes, Some(102_400));
    assert_eq!(config.net.queued_max_request_bytes, 400_000_000);
    assert_eq!(config.log.durability, Durability::Os);
}

#[test]
fn dynamic_configs_cover_static_ones_where_they_may() {
    let start = config(&[("max.connections", "10"), ("num.partitions", "2")]);
    let map = |pairs: &[(&str, &str)]| {
        pairs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect()
    };
    let changed = start.with_dynamic(DynamicConfigs {
        cluster: map(&[("max.connections", "20"), ("max.connections.per.ip", "5")]),
        broker: map(&[
            ("max.connections", "30"),
            ("num.partitions", "9"),
            ("message.max.bytes", "x"),
        ]),
    });
    assert_eq!(changed.net.max_connections, 30);
    assert_eq!(changed.net.max_connections_per_ip, 5);
    assert_eq!(
        changed.api.num_partitions, 2,
        "num.partitions is read at start only"
    );
    assert_eq!(
        changed.topic_defaults.max_message_bytes, 1_048_588,
        "an invalid value has no effect"
    );
    assert_eq!(changed.with_dynamic(DynamicConfigs::default()), start);
}

#[test]
fn the_printed_configuration_is_a_configuration_file_again() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let file = directory.path().join("fjord.yaml");
    let first = config(&[
        ("broker.rack", "a \"b\" # c"),
        ("log.cleanup.policy", "compact,delete"),
    ]);
    assert!(
        first
            .to_yaml()
            .contains("num.partitions: \"1\"  # default\n")
    );
    assert!(first.to_yaml().contains("# flag --set broker.rack\n"));
    std::fs::write(&file, first.to_yaml()).expect("written");
    let again = load(&["--config", file.to_str().expect("a plain path")], &[]).expect("valid");
    assert_eq!(again.node, first.node);
    assert_eq!(again.topic_defaults, first.topic_defaults);
    assert_eq!(again.net, first.net);
}
