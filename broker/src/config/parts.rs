//! Checked values -> the structs of [`BrokerConfig`], one function per component.

use std::{thread::available_parallelism, time::Duration};

use super::broker::{
    ApiConfig, BrokerConfig, CleanerConfig, Durability, GroupsConfig, GrpcConfig, LogConfig,
    LogFormat, NetConfig, NodeConfig, ObservabilityConfig, ReplicationConfig, TransactionsConfig,
    throttle,
};
use super::cluster;
use super::layers::Sources;
use super::listeners;
use super::topic::TopicConfig;
use super::value::Value;

/// What `queued.max.request.bytes` of -1 stands for, unless two of the largest requests are more.
const AUTOMATIC_QUEUED_REQUEST_BYTES: usize = 256 * 1024 * 1024;

impl BrokerConfig {
    /// The typed whole of values that were checked, alone and together.
    pub(super) fn from_sources(sources: Sources) -> Self {
        let get = |name: &str| {
            sources
                .named(name)
                .expect("the table gives this config a default")
        };
        Self {
            node: NodeConfig {
                node_id: node_id(&sources),
                rack: sources.named("broker.rack").map(Value::into_text),
            },
            cluster: cluster::cluster(&sources)
                .expect("the configs of the cluster were checked together"),
            net: net(&sources),
            api: api(&get),
            log: log(&sources),
            replication: replication(&get),
            groups: groups(&get),
            transactions: transactions(&get),
            observability: ObservabilityConfig {
                http_listen: optional_address(get("fjord.http.listen")),
                log_format: match get("fjord.log.format").into_text().as_str() {
                    "json" => LogFormat::Json,
                    _ => LogFormat::Text,
                },
                log_level: get("fjord.log.level").into_text(),
                metrics_topics_max: get("fjord.metrics.topics.max").into_size(),
            },
            grpc: GrpcConfig {
                listen: optional_address(get("fjord.grpc.listen")),
                max_message_bytes: get("fjord.grpc.message.max.bytes").into_size(),
                max_streams: get("fjord.grpc.streams.max").into_u32(),
                max_in_flight: get("fjord.grpc.produce.max.in.flight").into_size(),
            },
            topic_defaults: TopicConfig::defaults(&sources),
            sources,
        }
    }
}

/// broker.id counts only where node.id was not set; that they agree is checked before.
pub(super) fn node_id(sources: &Sources) -> i32 {
    let id = |name: &str| sources.named(name).map_or(-1, Value::into_int);
    match id("broker.id") {
        -1 => id("node.id"),
        broker_id => broker_id,
    }
}

/// The config that names the data directory, and what it names.
pub(super) fn data_directories(sources: &Sources) -> (&'static str, Vec<String>) {
    let directories = |name: &str| sources.named(name).map(Value::into_list);
    match directories("log.dirs") {
        Some(entries) => ("log.dirs", entries),
        None => ("log.dir", directories("log.dir").unwrap_or_default()),
    }
}

pub(super) fn parse_listeners(
    sources: &Sources,
) -> Result<Vec<listeners::ListenerConfig>, (&'static str, String)> {
    let text = |name: &str| sources.named(name).map(|value| value.to_text());
    listeners::listeners(
        &text("listeners").unwrap_or_default(),
        text("advertised.listeners").as_deref(),
        &text("listener.security.protocol.map").unwrap_or_default(),
    )
}

fn optional_address(value: Value) -> Option<listeners::ListenAddress> {
    listeners::optional_address(&value.into_text()).expect("the address was checked with its value")
}

fn net(sources: &Sources) -> NetConfig {
    let get = |name: &str| {
        sources
            .named(name)
            .expect("the table gives this config a default")
    };
    let size = |name: &str| get(name).into_size();
    let request_max_bytes = size("socket.request.max.bytes");
    NetConfig {
        listeners: parse_listeners(sources).expect("the listeners were checked together"),
        network_threads: match size("num.network.threads") {
            0 => available_parallelism().map_or(1, |processors| processors.get().div_ceil(2)),
            threads => threads,
        },
        io_threads: size("num.io.threads"),
        listen_backlog: get("socket.listen.backlog.size").into_u32(),
        receive_buffer_bytes: buffer_bytes(get("socket.receive.buffer.bytes")),
        send_buffer_bytes: buffer_bytes(get("socket.send.buffer.bytes")),
        request_max_bytes,
        queued_max_requests: size("queued.max.requests"),
        queued_max_request_bytes: match size("queued.max.request.bytes") {
            0 => AUTOMATIC_QUEUED_REQUEST_BYTES.max(request_max_bytes.saturating_mul(2)),
            bytes => bytes,
        },
        max_connections: size("max.connections"),
        max_connections_per_ip: size("max.connections.per.ip"),
        connections_max_idle: match get("connections.max.idle.ms") {
            Value::Number(..0) => None,
            value => Some(value.into_milliseconds()),
        },
    }
}

/// The size of a socket buffer; -1 (and 0, which no system grants) leave it to the system.
fn buffer_bytes(value: Value) -> Option<usize> {
    Some(value.into_size()).filter(|bytes| *bytes > 0)
}

fn api(get: &dyn Fn(&str) -> Value) -> ApiConfig {
    ApiConfig {
        auto_create_topics: get("auto.create.topics.enable").into_boolean(),
        delete_topics: get("delete.topic.enable").into_boolean(),
        num_partitions: get("num.partitions").into_int(),
        default_replication_factor: get("default.replication.factor").into_short(),
        request_timeout: get("request.timeout.ms").into_milliseconds(),
        fetch_max_bytes: get("fetch.max.bytes").into_size(),
        fetch_disk_max_bytes: get("fjord.fetch.disk.max.bytes").into_size(),
        fetch_session_slots: get("max.incremental.fetch.session.cache.slots").into_size(),
        describe_partitions_max: get("max.request.partition.size.limit").into_size(),
    }
}

fn log(sources: &Sources) -> LogConfig {
    let get = |name: &str| {
        sources
            .named(name)
            .expect("the table gives this config a default")
    };
    LogConfig {
        data_dir: data_directories(sources)
            .1
            .into_iter()
            .next()
            .unwrap_or_default()
            .into(),
        durability: match get("fjord.durability").into_text().as_str() {
            "os" => Durability::Os,
            _ => Durability::Fsync,
        },
        cache_bytes: get("fjord.cache.bytes").into_size(),
        page_cache_bytes: u64::try_from(get("fjord.page.cache.bytes").into_number()).ok(),
        index_cache_bytes: get("fjord.index.cache.bytes").into_size(),
        file_bytes: get("fjord.log.file.bytes").into_u32(),
        group_bytes: get("fjord.log.group.bytes").into_u32(),
        disk_reserve_bytes: get("fjord.disk.reserve.bytes").into_number().unsigned_abs(),
        retention_check_interval: get("log.retention.check.interval.ms").into_milliseconds(),
        cleaner: CleanerConfig {
            enabled: get("log.cleaner.enable").into_boolean(),
            backoff: get("log.cleaner.backoff.ms").into_milliseconds(),
            dedupe_buffer_bytes: get("log.cleaner.dedupe.buffer.size").into_size(),
            io_max_bytes_per_second: get("log.cleaner.io.max.bytes.per.second").into_double(),
        },
    }
}

fn replication(get: &dyn Fn(&str) -> Value) -> ReplicationConfig {
    // Far below 2^52, or without meaning.
    let rate = |name: &str| get(name).into_number() as f64;
    ReplicationConfig {
        lag_time_max: get("replica.lag.time.max.ms").into_milliseconds(),
        catch_up: rate("fjord.replication.catch.up.bytes.per.second"),
        leader_throttle: throttle(get("leader.replication.throttled.rate").into_number()),
    }
}

fn groups(get: &dyn Fn(&str) -> Value) -> GroupsConfig {
    let retention_minutes = get("offsets.retention.minutes")
        .into_number()
        .unsigned_abs();
    GroupsConfig {
        initial_rebalance_delay: get("group.initial.rebalance.delay.ms").into_milliseconds(),
        min_session_timeout: get("group.min.session.timeout.ms").into_milliseconds(),
        max_session_timeout: get("group.max.session.timeout.ms").into_milliseconds(),
        max_size: get("group.max.size").into_size(),
        offset_metadata_max_bytes: get("offset.metadata.max.bytes").into_size(),
        commit_timeout: get("offsets.commit.timeout.ms").into_milliseconds(),
        load_buffer_bytes: get("offsets.load.buffer.size").into_size(),
        offsets_retention: Duration::from_secs(retention_minutes * 60),
        offsets_retention_check_interval: get("offsets.retention.check.interval.ms")
            .into_milliseconds(),
        offsets_topic_partitions: get("offsets.topic.num.partitions").into_int(),
        offsets_topic_replication_factor: get("offsets.topic.replication.factor").into_short(),
        offsets_topic_segment_bytes: get("offsets.topic.segment.bytes").into_size() as u64,
        offsets_topic_compression: get("offsets.topic.compression.codec").into_size() as u8,
    }
}

fn transactions(get: &dyn Fn(&str) -> Value) -> TransactionsConfig {
    TransactionsConfig {
        producer_id_expiration: get("producer.id.expiration.ms").into_milliseconds(),
        transactional_id_expiration: get("transactional.id.expiration.ms").into_milliseconds(),
        max_timeout: get("transaction.max.timeout.ms").into_milliseconds(),
        state_topic_partitions: get("transaction.state.log.num.partitions").into_int(),
        state_topic_replication_factor: get("transaction.state.log.replication.factor")
            .into_short(),
        state_topic_min_insync_replicas: get("transaction.state.log.min.isr").into_int(),
    }
}
