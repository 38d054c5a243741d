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
