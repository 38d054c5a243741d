//! The typed whole: what each part of the broker is started with.
//!
//! Values are validated; times are [`Duration`]s unless -1 means something, sizes are bytes.

use std::path::PathBuf;
use std::time::Duration;

use super::cluster::ClusterConfig;
use super::layers::Sources;
use super::listeners::{ListenAddress, ListenerConfig};
use super::topic::TopicConfig;

/// Every broker config, typed, with the values that hold.
///
/// It is cheap enough to build anew when dynamic configs change; hold it in an `Arc` and take the
/// values marked "dynamic" from the newest one.
#[derive(Debug, Clone, PartialEq)]
pub struct BrokerConfig {
    /// Who this broker is.
    pub node: NodeConfig,
    /// The cluster that it is one broker of; nothing if it is the only one.
    pub cluster: Option<ClusterConfig>,
    /// Listeners, connections and requests.
    pub net: NetConfig,
    /// Defaults and limits of the APIs.
    pub api: ApiConfig,
    /// The log.
    pub log: LogConfig,
    /// Followers and leaders.
    pub replication: ReplicationConfig,
    /// Consumer groups and committed offsets.
    pub groups: GroupsConfig,
    /// Producer ids and transactions.
    pub transactions: TransactionsConfig,
    /// Logs, metrics and health.
    pub observability: ObservabilityConfig,
    /// The gRPC listener.
    pub grpc: GrpcConfig,
    /// What holds for a topic without configs of its own (dynamic).
    pub topic_defaults: TopicConfig,
    pub(super) sources: Sources,
}

/// The bytes per second that one of Kafka's throttles lets through; none if it limits nothing, which the largest number
/// says.
pub fn throttle(rate: i64) -> Option<f64> {
    // Far below 2^52, or without meaning.
    (rate < i64::MAX).then_some(rate.max(1) as f64)
}

/// Followers and leaders. Rates are in bytes per second.
#[derive(Debug, Clone, PartialEq)]
pub struct ReplicationConfig {
    /// `replica.lag.time.max.ms`.
    pub lag_time_max: Duration,
    /// `fjord.replication.catch.up.bytes.per.second` (dynamic).
    pub catch_up: f64,
    /// `leader.replication.throttled.rate`, if it limits anything (dynamic).
    pub leader_throttle: Option<f64>,
}

/// The gRPC listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GrpcConfig {
    /// `fjord.grpc.listen`; `None` is no listener.
    pub listen: Option<ListenAddress>,
    /// `fjord.grpc.message.max.bytes`.
    pub max_message_bytes: usize,
    /// `fjord.grpc.streams.max`.
    pub max_streams: u32,
    /// `fjord.grpc.produce.max.in.flight`.
    pub max_in_flight: usize,
}

/// Who this broker is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeConfig {
    /// `node.id` (or `broker.id`).
    pub node_id: i32,
    /// `broker.rack`.
    pub rack: Option<String>,
}

/// Listeners, connections and requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetConfig {
    /// `listeners`, `advertised.listeners` and `listener.security.protocol.map`; at least one.
    pub listeners: Vec<ListenerConfig>,
    /// `num.network.threads`: workers of the async runtime.
    pub network_threads: usize,
    /// `num.io.threads`: bound of the pool for blocking work.
    pub io_threads: usize,
    /// `socket.listen.backlog.size`.
    pub listen_backlog: u32,
    /// `socket.receive.buffer.bytes`; `None` leaves it to the system.
    pub receive_buffer_bytes: Option<usize>,
    /// `socket.send.buffer.bytes`; `None` leaves it to the system.
    pub send_buffer_bytes: Option<usize>,
    /// `socket.request.max.bytes`.
    pub request_max_bytes: usize,
    /// `queued.max.requests`: requests of one connection in flight.
    pub queued_max_requests: usize,
    /// `queued.max.request.bytes`, with -1 replaced by what it stands for; at least
    /// `request_max_bytes`, so that every permitted request can be read.
    pub queued_max_request_bytes: usize,
    /// `max.connections` (dynamic).
    pub max_connections: usize,
    /// `max.connections.per.ip` (dynamic).
    pub max_connections_per_ip: usize,
    /// `connections.max.idle.ms`; `None` is never.
    pub connections_max_idle: Option<Duration>,
}

/// Defaults and limits of the APIs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiConfig {
    /// `auto.create.topics.enable`.
    pub auto_create_topics: bool,
    /// `delete.topic.enable`.
    pub delete_topics: bool,
    /// `num.partitions`.
    pub num_partitions: i32,
    /// `default.replication.factor`.
    pub default_replication_factor: i16,
    /// `request.timeout.ms`.
    pub request_timeout: Duration,
    /// `fetch.max.bytes`.
    pub fetch_max_bytes: usize,
    /// `fjord.fetch.disk.max.bytes`.
    pub fetch_disk_max_bytes: usize,
    /// `max.incremental.fetch.session.cache.slots`.
    pub fetch_session_slots: usize,
    /// `max.request.partition.size.limit`.
    pub describe_partitions_max: usize,
}

/// When a record counts as written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// Once it is on the disk.
    Fsync,
    /// Once the operating system has it.
    Os,
}

/// The log.
#[derive(Debug, Clone, PartialEq)]
pub struct LogConfig {
    /// `log.dirs` or `log.dir`.
    pub data_dir: PathBuf,
    /// `fjord.durability`.
    pub durability: Durability,
    /// `fjord.cache.bytes`.
    pub cache_bytes: usize,
    /// `fjord.page.cache.bytes`; nothing: as much as is cheap.
    pub page_cache_bytes: Option<u64>,
    /// `fjord.index.cache.bytes`.
    pub index_cache_bytes: usize,
    /// `fjord.log.file.bytes`.
    pub file_bytes: u32,
    /// `fjord.log.group.bytes`.
    pub group_bytes: u32,
    /// `fjord.disk.reserve.bytes`.
    pub disk_reserve_bytes: u64,
    /// `log.retention.check.interval.ms`.
    pub retention_check_interval: Duration,
    /// `log.cleaner.*`.
    pub cleaner: CleanerConfig,
}

/// Compaction by key.
#[derive(Debug, Clone, PartialEq)]
pub struct CleanerConfig {
    /// `log.cleaner.enable`.
    pub enabled: bool,
    /// `log.cleaner.backoff.ms` (dynamic).
    pub backoff: Duration,
    /// `log.cleaner.dedupe.buffer.size` (dynamic).
    pub dedupe_buffer_bytes: usize,
    /// `log.cleaner.io.max.bytes.per.second` (dynamic).
    pub io_max_bytes_per_second: f64,
}

/// Consumer groups and committed offsets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupsConfig {
    /// `group.initial.rebalance.delay.ms`.
    pub initial_rebalance_delay: Duration,
    /// `group.min.session.timeout.ms`.
    pub min_session_timeout: Duration,
    /// `group.max.session.timeout.ms`.
    pub max_session_timeout: Duration,
    /// `group.max.size`: members of one group.
    pub max_size: usize,
    /// `offset.metadata.max.bytes`.
    pub offset_metadata_max_bytes: usize,
    /// `offsets.commit.timeout.ms`.
    pub commit_timeout: Duration,
    /// `offsets.load.buffer.size`.
    pub load_buffer_bytes: usize,
    /// `offsets.retention.minutes`.
    pub offsets_retention: Duration,
    /// `offsets.retention.check.interval.ms`.
    pub offsets_retention_check_interval: Duration,
    /// `offsets.topic.num.partitions`.
    pub offsets_topic_partitions: i32,
    /// `offsets.topic.replication.factor`; to be capped by the number of brokers.
    pub offsets_topic_replication_factor: i16,
    /// `offsets.topic.segment.bytes`: `segment.bytes` of that topic.
    pub offsets_topic_segment_bytes: u64,
    /// `offsets.topic.compression.codec`: the codec's number in a batch's attributes.
    pub offsets_topic_compression: u8,
}

/// Producer ids and transactions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransactionsConfig {
    /// `producer.id.expiration.ms` (dynamic).
    pub producer_id_expiration: Duration,
    /// `transactional.id.expiration.ms`.
    pub transactional_id_expiration: Duration,
    /// `transaction.max.timeout.ms`.
    pub max_timeout: Duration,
    /// `transaction.state.log.num.partitions`.
    pub state_topic_partitions: i32,
    /// `transaction.state.log.replication.factor`; to be capped by the number of brokers.
    pub state_topic_replication_factor: i16,
    /// `transaction.state.log.min.isr`; to be capped by the number of replicas.
    pub state_topic_min_insync_replicas: i32,
}

/// Form of the broker's own log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// For machines: one JSON object per line.
    Json,
}

/// Logs, metrics and health.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObservabilityConfig {
    /// `fjord.http.listen`; `None` is no listener.
    pub http_listen: Option<ListenAddress>,
    /// `fjord.log.format`.
    pub log_format: LogFormat,
    /// `fjord.log.level`: directives for `tracing_subscriber::EnvFilter`.
    pub log_level: String,
    /// `fjord.metrics.topics.max`.
    pub metrics_topics_max: usize,
}

impl BrokerConfig {
    pub(super) fn sources(&self) -> &Sources {
        &self.sources
    }
}

/// Checks `fjord.log.level`: a level, or MODULE=LEVEL, separated by commas.
pub(super) fn check_log_level(text: &str) -> Result<(), String> {
    const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
    for directive in text.split(',') {
        let (module, level) = directive
            .trim()
            .rsplit_once('=')
            .unwrap_or(("", directive.trim()));
        let module_fits = module
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"_:".contains(&byte));
        if !module_fits || !LEVELS.contains(&level.to_ascii_lowercase().as_str()) {
            let levels = LEVELS.join(", ");
            return Err(format!(
                "needs LEVEL or MODULE=LEVEL with one of {levels}, not '{directive}'"
            ));
        }
    }
    Ok(())
}
