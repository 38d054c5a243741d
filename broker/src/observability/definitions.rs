//! The broker's own metrics: names, descriptions and units.
//!
//! Names follow the conventions of Prometheus; the encoder adds the unit and, to counters,
//! `_total`.

use prometheus_client::registry::{Metric, Registry, Unit};

use BaseUnit::{Bytes, Count, Seconds};

/// The name, the description and the unit of a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Definition {
    /// The name, without the suffixes that unit and type add.
    pub name: &'static str,
    /// What it means, for people; without a full stop, which the encoder adds.
    pub description: &'static str,
    /// The unit, which becomes a suffix of the name.
    pub unit: BaseUnit,
}

/// The base units in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BaseUnit {
    /// A plain number, without suffix.
    Count,
    /// Bytes.
    Bytes,
    /// Seconds.
    Seconds,
}

impl Definition {
    /// A definition.
    pub const fn new(name: &'static str, unit: BaseUnit, description: &'static str) -> Self {
        Self {
            name,
            description,
            unit,
        }
    }

    pub(super) fn unit(&self) -> Option<Unit> {
        match self.unit {
            Count => None,
            Bytes => Some(Unit::Bytes),
            Seconds => Some(Unit::Seconds),
        }
    }

    pub(super) fn register(&self, registry: &mut Registry, metric: impl Metric) {
        match self.unit() {
            None => registry.register(self.name, self.description, metric),
            Some(unit) => registry.register_with_unit(self.name, self.description, unit, metric),
        }
    }
}

/// A gauge that is always 1; its labels tell the version.
pub const BUILD: Definition = Definition::new(
    "fjord_build",
    Count,
    "The version of the broker, as a label",
);
/// Gauge.
pub const CONNECTIONS: Definition =
    Definition::new("fjord_network_connections", Count, "Open Kafka connections");
/// Counter.
pub const CONNECTIONS_OPENED: Definition = Definition::new(
    "fjord_network_connections_opened",
    Count,
    "Kafka connections accepted",
);
/// Counter, by reason.
pub const CONNECTIONS_CLOSED: Definition = Definition::new(
    "fjord_network_connections_closed",
    Count,
    "Kafka connections that ended",
);
/// Counter, by reason.
pub const CONNECTIONS_REFUSED: Definition = Definition::new(
    "fjord_network_connections_refused",
    Count,
    "Kafka connections closed on arrival since a limit was reached",
);
/// Counter.
pub const ACCEPT_ERRORS: Definition = Definition::new(
    "fjord_network_accept_errors",
    Count,
    "Failures to accept, mostly for lack of file descriptors",
);
/// Gauge.
pub const REQUESTS_IN_FLIGHT: Definition = Definition::new(
    "fjord_network_requests_in_flight",
    Count,
    "Requests whose responses are not written yet",
);
/// Gauge.
pub const REQUEST_MEMORY: Definition = Definition::new(
    "fjord_network_request_memory",
    Bytes,
    "Memory of requests in flight",
);
/// Gauge.
pub const RESPONSE_MEMORY: Definition = Definition::new(
    "fjord_network_response_memory",
    Bytes,
    "Size of responses that wait to be read by their clients",
);
/// Counter.
pub const RECEIVED: Definition = Definition::new(
    "fjord_network_received",
    Bytes,
    "Bytes read from Kafka connections",
);
/// Counter.
pub const SENT: Definition = Definition::new(
    "fjord_network_sent",
    Bytes,
    "Bytes written to Kafka connections",
);
/// Counter, by api and error.
pub const REQUESTS: Definition = Definition::new(
    "fjord_requests",
    Count,
    "Requests answered, by API and class of error",
);
/// Histogram, by api.
pub const REQUEST_DURATION: Definition = Definition::new(
    "fjord_request_duration",
    Seconds,
    "Time from a request's last byte to its response, waiting for data included",
);
/// Counter, by service, method and code.
pub const GRPC_REQUESTS: Definition = Definition::new(
    "fjord_grpc_requests",
    Count,
    "gRPC calls that have ended, by method and status code",
);
/// Histogram, by service and method.
pub const GRPC_REQUEST_DURATION: Definition = Definition::new(
    "fjord_grpc_request_duration",
    Seconds,
    "Time from a gRPC call's begin to its end, which for streams is as long as they are open",
);
/// Gauge, by service and method.
pub const GRPC_STREAMS: Definition = Definition::new(
    "fjord_grpc_streams",
    Count,
    "gRPC calls under way, each of which is a stream of its connection",
);
/// Gauge.
pub const GRPC_GROUP_MEMBERS: Definition = Definition::new(
    "fjord_grpc_group_members",
    Count,
    "Members of consumer groups that speak gRPC",
);
/// Counter, by topic.
pub const TOPIC_PRODUCED: Definition = Definition::new(
    "fjord_topic_produced",
    Bytes,
    "Bytes of record batches appended",
);
/// Counter, by topic.
pub const TOPIC_PRODUCED_RECORDS: Definition =
    Definition::new("fjord_topic_produced_records", Count, "Records appended");
/// Counter, by topic.
pub const TOPIC_FETCHED: Definition = Definition::new(
    "fjord_topic_fetched",
    Bytes,
    "Bytes of record batches sent to consumers",
);
/// Counter, by topic.
pub const TOPIC_FETCHED_RECORDS: Definition = Definition::new(
    "fjord_topic_fetched_records",
    Count,
    "Records sent to consumers",
);
/// Gauge.
pub const TOPICS_TRACKED: Definition = Definition::new(
    "fjord_metrics_topics",
    Count,
    "Topics with series of their own; all others share the topic _other",
);
/// Gauge; the name is a convention of Prometheus for every process.
pub const PROCESS_RESIDENT: Definition =
    Definition::new("process_resident_memory", Bytes, "Resident memory");
/// Counter; the name is a convention of Prometheus for every process.
pub const PROCESS_CPU: Definition =
    Definition::new("process_cpu", Seconds, "User and system CPU time spent");
/// Gauge; the name is a convention of Prometheus for every process.
pub const PROCESS_OPEN_FDS: Definition =
    Definition::new("process_open_fds", Count, "Open file descriptors");
/// Gauge; the name is a convention of Prometheus for every process.
pub const PROCESS_START_TIME: Definition = Definition::new(
    "process_start_time",
    Seconds,
    "Start of the process since the Unix epoch",
);
/// Counter.
pub const LOG_GROUPS: Definition =
    Definition::new("fjord_log_groups", Count, "Groups written to the value log");
/// Counter.
pub const LOG_ENTRIES: Definition = Definition::new(
    "fjord_log_entries",
    Count,
    "Entries written to the value log",
);
/// Counter.
pub const LOG_WRITTEN: Definition =
    Definition::new("fjord_log_written", Bytes, "Bytes written to the value log");
/// Counter.
pub const LOG_SYNCS: Definition =
    Definition::new("fjord_log_syncs", Count, "Syncs of the value log to disk");
/// Counter.
pub const LOG_SYNC_TIME: Definition = Definition::new(
    "fjord_log_sync_time",
    Seconds,
    "Time spent in syncs of the value log",
);
/// Counter.
pub const LOG_REFUSED_DISK_FULL: Definition = Definition::new(
    "fjord_log_refused_disk_full",
    Count,
    "Appends refused because the disk was full",
);
/// Counter.
pub const LOG_DAMAGED_READS: Definition = Definition::new(
    "fjord_log_damaged_reads",
    Count,
    "Reads of record batches that failed their checksum",
);
/// Counter.
pub const LOG_INDEX_REBUILDS: Definition = Definition::new(
    "fjord_log_index_rebuilds",
    Count,
    "Times the index was filled anew from the value log",
);
/// Counter.
pub const LOG_RECLAIMED_FILES: Definition = Definition::new(
    "fjord_log_reclaimed_files",
    Count,
    "Files of the value log given back",
);
/// Counter.
pub const LOG_RELOCATED: Definition = Definition::new(
    "fjord_log_relocated",
    Bytes,
    "Bytes copied forward so that files could be given back",
);
/// Gauge.
pub const LOG_INDEX_BACKLOG: Definition = Definition::new(
    "fjord_log_index_backlog",
    Count,
    "Entries that wait for the index",
);
/// Gauge.
pub const LOG_QUEUED: Definition = Definition::new(
    "fjord_log_queued",
    Bytes,
    "Bytes that wait for the value log's writer",
);
/// Gauge.
pub const LOG_RECENT: Definition = Definition::new(
    "fjord_log_recent",
    Bytes,
    "Recently written bytes held in memory",
);
/// Gauge.
pub const LOG_FILES: Definition =
    Definition::new("fjord_log_files", Count, "Files of the value log");
/// Gauge.
pub const DISK_TOTAL: Definition = Definition::new(
    "fjord_disk_size",
    Bytes,
    "Size of the file system that holds the data",
);
/// Gauge.
pub const DISK_AVAILABLE: Definition = Definition::new(
    "fjord_disk_available",
    Bytes,
    "Bytes left on the file system that holds the data",
);
/// Gauge.
pub const BROKERS: Definition = Definition::new("fjord_brokers", Count, "Brokers of the cluster");
/// Gauge.
pub const BROKERS_FENCED: Definition = Definition::new(
    "fjord_brokers_fenced",
    Count,
    "Brokers of the cluster that lead nothing, as they are not connected or not ready",
);
/// Gauge.
pub const PARTITIONS: Definition = Definition::new(
    "fjord_partitions",
    Count,
    "Partitions of which this broker has a replica",
);
/// Gauge.
pub const PARTITIONS_LED: Definition = Definition::new(
    "fjord_partitions_led",
    Count,
    "Partitions that this broker leads",
);
/// Gauge.
pub const PARTITIONS_UNDER_REPLICATED: Definition = Definition::new(
    "fjord_partitions_under_replicated",
    Count,
    "Partitions that this broker leads and of which not all replicas are in sync",
);
/// Gauge.
pub const PARTITIONS_UNDER_MIN_IN_SYNC: Definition = Definition::new(
    "fjord_partitions_under_min_insync",
    Count,
    "Partitions that this broker leads and that take no records with acks=all for want of in-sync replicas",
);
/// Gauge.
pub const PARTITIONS_WITHOUT_LEADER: Definition = Definition::new(
    "fjord_partitions_without_leader",
    Count,
    "Partitions of the cluster that no broker leads",
);
/// Counter.
pub const REPLICATION_CATCH_UP: Definition = Definition::new(
    "fjord_replication_catch_up",
    Bytes,
    "Bytes sent to replicas that were not in sync",
);
/// Gauge.
pub const QUORUM_TERM: Definition =
    Definition::new("fjord_quorum_term", Count, "Term of the metadata's quorum");
/// Gauge.
pub const QUORUM_LEADS: Definition = Definition::new(
    "fjord_quorum_leads",
    Count,
    "1 while this broker leads the metadata's quorum",
);
/// Gauge.
pub const QUORUM_HAS_LEADER: Definition = Definition::new(
    "fjord_quorum_has_leader",
    Count,
    "1 while this broker knows a leader of the metadata's quorum",
);
/// Gauge.
pub const QUORUM_VOTERS: Definition = Definition::new(
    "fjord_quorum_voters",
    Count,
    "Brokers that vote in the metadata's quorum",
);
/// Counter.
pub const QUORUM_COMMITTED: Definition = Definition::new(
    "fjord_quorum_committed_entries",
    Count,
    "Entries of the metadata's log that this broker knows to be committed",
);
/// Counter.
pub const QUORUM_APPLIED: Definition = Definition::new(
    "fjord_quorum_applied_entries",
    Count,
    "Entries of the metadata's log that this broker has applied",
);
/// Gauge; only while this broker leads the quorum.
pub const QUORUM_SINCE_MAJORITY: Definition = Definition::new(
    "fjord_quorum_since_majority",
    Seconds,
    "How long ago the leader of the metadata's quorum sent what a majority has answered",
);
