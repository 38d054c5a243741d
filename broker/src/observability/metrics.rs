//! Everything that is counted and measured, in one typed value that is handed around.
//!
//! Names follow the conventions of Prometheus: a prefix, base units as suffix, `_total` on
//! counters (which the encoder adds). Labels come from closed sets, but for topics, whose number
//! is capped (see [`TopicMetrics`]).

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric, text},
    metrics::{
        MetricType, counter::ConstCounter, counter::Counter, family::Family, gauge::ConstGauge,
        gauge::Gauge, histogram::Histogram, info::Info,
    },
    registry::Registry,
};

pub use super::definitions::{BaseUnit, Definition};
pub use super::grpc::{GrpcMetrics, MemberGuard};
pub use super::topics::{TopicCounters, TopicMetrics};
use super::{definitions, process::ProcessFigures, topics::TopicFamilies};

/// The content type of [`Metrics::render`].
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// How a figure that is asked for at scrape time behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FigureKind {
    /// It goes up and down.
    Gauge,
    /// It only grows while the process lives.
    Counter,
}

/// A value that is asked for at scrape time.
#[derive(Debug, Clone, Copy)]
pub struct Figure {
    /// What it is.
    pub definition: Definition,
    /// How it behaves.
    pub kind: FigureKind,
    /// Its value, in the unit of the definition.
    pub value: f64,
}

impl Figure {
    /// A value that goes up and down. Counts stay far below 2^52, up to which every one of them is exact.
    pub fn gauge(definition: Definition, value: f64) -> Self {
        let kind = FigureKind::Gauge;
        Self {
            definition,
            kind,
            value,
        }
    }

    /// A value that only grows while the process lives.
    pub fn counter(definition: Definition, value: f64) -> Self {
        let kind = FigureKind::Counter;
        Self {
            definition,
            kind,
            value,
        }
    }
}

/// Something that has figures of its own, such as the log; asked on every scrape, so it must be
/// quick and must not wait.
pub trait FigureSource: fmt::Debug + Send + Sync + 'static {
    /// The figures now.
    fn figures(&self) -> Vec<Figure>;
}

/// All metrics of a broker. Cloning is cheap, and clones share their values.
#[derive(Debug, Clone)]
pub struct Metrics {
    registry: Arc<Mutex<Registry>>,
    /// The network layer's.
    pub net: NetMetrics,
    /// The API layer's.
    pub requests: RequestMetrics,
    /// The gRPC listener's.
    pub grpc: GrpcMetrics,
    /// Per topic.
    pub topics: TopicMetrics,
}

impl Metrics {
    /// New metrics, of which at most `max_topics` topics get series of their own.
    pub fn new(max_topics: usize) -> Self {
        let mut registry = Registry::default();
        let build = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
        definitions::BUILD.register(&mut registry, build);
        let net = NetMetrics::registered(&mut registry);
        let requests = RequestMetrics::registered(&mut registry);
        let grpc = GrpcMetrics::registered(&mut registry);
        let families = TopicFamilies::default();
        definitions::TOPIC_PRODUCED.register(&mut registry, families.produced_bytes.clone());
        definitions::TOPIC_PRODUCED_RECORDS
            .register(&mut registry, families.produced_records.clone());
        definitions::TOPIC_FETCHED.register(&mut registry, families.fetched_bytes.clone());
        definitions::TOPIC_FETCHED_RECORDS
            .register(&mut registry, families.fetched_records.clone());
        definitions::TOPICS_TRACKED.register(&mut registry, families.tracked.clone());
        let topics = TopicMetrics::new(families, max_topics);
        let metrics = Self {
            registry: Arc::new(Mutex::new(registry)),
            net,
            requests,
            grpc,
            topics,
        };
        metrics.add_source(Arc::new(ProcessFigures::new()));
        metrics
    }

    /// Asks `source` for its figures on every scrape from now on.
    pub fn add_source(&self, source: Arc<dyn FigureSource>) {
        self.lock()
            .register_collector(Box::new(SourceCollector(source)));
    }

    /// Everything in the text format of OpenMetrics ([`CONTENT_TYPE`]).
    ///
    /// # Errors
    ///
    /// Only if a value cannot be formatted, which no type in use here does.
    pub fn render(&self) -> Result<String, fmt::Error> {
        let mut text = String::new();
        text::encode(&mut text, &self.lock())?;
        Ok(text)
    }

    fn lock(&self) -> MutexGuard<'_, Registry> {
        // The registry is only ever added to, so that it is good even after a panic.
        self.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug)]
struct SourceCollector(Arc<dyn FigureSource>);

impl Collector for SourceCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        for Figure {
            definition,
            kind,
            value,
        } in self.0.figures()
        {
            let unit = definition.unit();
            let kind_of_metric = match kind {
                FigureKind::Gauge => MetricType::Gauge,
                FigureKind::Counter => MetricType::Counter,
            };
            // Registered metrics get their full stop from the registry, these do not.
            let description = format!("{}.", definition.description);
            let metric = encoder.encode_descriptor(
                definition.name,
                &description,
                unit.as_ref(),
                kind_of_metric,
            )?;
            match kind {
                FigureKind::Gauge => ConstGauge::new(value).encode(metric)?,
                FigureKind::Counter => ConstCounter::new(value).encode(metric)?,
            }
        }
        Ok(())
    }
}

/// A label for reasons.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ReasonLabel {
    /// One of a closed set.
    pub reason: &'static str,
}

/// Metrics of Kafka connections. Cloning is cheap, and clones share their values.
#[derive(Debug, Clone, Default)]
pub struct NetMetrics {
    /// Open connections.
    pub open: Gauge,
    /// Connections accepted.
    pub opened: Counter,
    /// Connections ended, by reason.
    pub closed: Family<ReasonLabel, Counter>,
    /// Connections closed on arrival, by the limit that was reached.
    pub refused: Family<ReasonLabel, Counter>,
    /// Failures to accept.
    pub accept_errors: Counter,
    /// Requests whose responses are not written yet.
    pub requests_in_flight: Gauge,
    /// Bytes of requests in flight.
    pub request_memory: Gauge,
    /// Bytes of responses that are not written yet.
    pub response_memory: Gauge,
    /// Bytes read.
    pub received_bytes: Counter,
    /// Bytes written.
    pub sent_bytes: Counter,
}

impl NetMetrics {
    fn registered(registry: &mut Registry) -> Self {
        let net = Self::default();
        definitions::CONNECTIONS.register(registry, net.open.clone());
        definitions::CONNECTIONS_OPENED.register(registry, net.opened.clone());
        definitions::CONNECTIONS_CLOSED.register(registry, net.closed.clone());
        definitions::CONNECTIONS_REFUSED.register(registry, net.refused.clone());
        definitions::ACCEPT_ERRORS.register(registry, net.accept_errors.clone());
        definitions::REQUESTS_IN_FLIGHT.register(registry, net.requests_in_flight.clone());
        definitions::REQUEST_MEMORY.register(registry, net.request_memory.clone());
        definitions::RESPONSE_MEMORY.register(registry, net.response_memory.clone());
        definitions::RECEIVED.register(registry, net.received_bytes.clone());
        definitions::SENT.register(registry, net.sent_bytes.clone());
        net
    }
}

/// A label for APIs.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ApiLabel {
    api: &'static str,
}

/// Labels for answered requests.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabels {
    api: &'static str,
    error: &'static str,
}

/// The upper bounds of the buckets of request durations, in seconds.
pub(super) const DURATION_BUCKETS: [f64; 15] = [
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
];

/// Metrics of requests. Cloning is cheap, and clones share their values.
#[derive(Debug, Clone)]
pub struct RequestMetrics {
    answered: Family<OutcomeLabels, Counter>,
    duration: Family<ApiLabel, Histogram, fn() -> Histogram>,
}

impl RequestMetrics {
    fn registered(registry: &mut Registry) -> Self {
        let new_histogram: fn() -> Histogram = || Histogram::new(DURATION_BUCKETS);
        let requests = Self {
            answered: Family::default(),
            duration: Family::new_with_constructor(new_histogram),
        };
        definitions::REQUESTS.register(registry, requests.answered.clone());
        definitions::REQUEST_DURATION.register(registry, requests.duration.clone());
        requests
    }

    /// Counts a request as answered. `api` is the API's name, `error` a class of errors (`none`
    /// if there was none); both come from closed sets.
    pub fn observe(&self, api: &'static str, error: &'static str, duration: Duration) {
        self.answered
            .get_or_create(&OutcomeLabels { api, error })
            .inc();
        self.duration
            .get_or_create(&ApiLabel { api })
            .observe(duration.as_secs_f64());
    }
}

#[cfg(test)]
mod tests {
    use super::{definitions::*, *};

    #[derive(Debug)]
    struct Fixed;

    impl FigureSource for Fixed {
        fn figures(&self) -> Vec<Figure> {
            let definition =
                Definition::new("fjord_log_synced", BaseUnit::Bytes, "Bytes made durable");
            vec![Figure {
                definition,
                kind: FigureKind::Counter,
                value: 1536.0,
            }]
        }
    }

    #[test]
    fn values_come_out_with_units_and_labels() {
        let metrics = Metrics::new(10);
        metrics.net.open.inc();
        metrics.net.received_bytes.inc_by(7);
        metrics
            .net
            .closed
            .get_or_create(&ReasonLabel { reason: "idle" })
            .inc();
        metrics
            .requests
            .observe("Produce", "none", Duration::from_millis(3));
        metrics.grpc.begin("fjord.v1.S", "M");
        metrics.grpc.begin("fjord.v1.S", "M");
        let took = Duration::from_millis(3);
        metrics.grpc.end("fjord.v1.S", "M", "NOT_FOUND", took);
        let _member = metrics.grpc.member();
        drop(metrics.grpc.member());
        metrics.add_source(Arc::new(Fixed));
        let text = metrics.render().unwrap();
        for line in [
            "fjord_network_connections 1",
            "fjord_network_received_bytes_total 7",
            "fjord_network_connections_closed_total{reason=\"idle\"} 1",
            "fjord_requests_total{api=\"Produce\",error=\"none\"} 1",
            "fjord_request_duration_seconds_bucket{le=\"0.0025\",api=\"Produce\"} 0",
            "fjord_request_duration_seconds_bucket{le=\"0.005\",api=\"Produce\"} 1",
            "fjord_grpc_streams{service=\"fjord.v1.S\",method=\"M\"} 1",
            "fjord_grpc_requests_total{service=\"fjord.v1.S\",method=\"M\",code=\"NOT_FOUND\"} 1",
            "fjord_grpc_request_duration_seconds_count{service=\"fjord.v1.S\",method=\"M\"} 1",
            "fjord_grpc_group_members 1",
            "# UNIT fjord_log_synced_bytes bytes",
            "fjord_log_synced_bytes_total 1536.0",
            concat!(
                "fjord_build_info{version=\"",
                env!("CARGO_PKG_VERSION"),
                "\"} 1"
            ),
            "# EOF",
        ] {
            assert!(
                text.lines().any(|it| it == line),
                "{line} is missing in:\n{text}"
            );
        }
    }

    #[test]
    fn every_definition_is_rendered() {
        let metrics = Metrics::new(10);
        metrics.topics.of("t").produced_bytes.inc();
        let text = metrics.render().unwrap();
        for definition in [
            BUILD,
            CONNECTIONS,
            CONNECTIONS_OPENED,
            CONNECTIONS_CLOSED,
            CONNECTIONS_REFUSED,
            ACCEPT_ERRORS,
            REQUESTS_IN_FLIGHT,
            REQUEST_MEMORY,
            RESPONSE_MEMORY,
            RECEIVED,
            SENT,
            REQUESTS,
            REQUEST_DURATION,
            GRPC_REQUESTS,
            GRPC_REQUEST_DURATION,
            GRPC_STREAMS,
            GRPC_GROUP_MEMBERS,
            TOPIC_PRODUCED,
            TOPIC_PRODUCED_RECORDS,
            TOPIC_FETCHED,
            TOPIC_FETCHED_RECORDS,
            TOPICS_TRACKED,
            PROCESS_RESIDENT,
            PROCESS_CPU,
            PROCESS_OPEN_FDS,
            PROCESS_START_TIME,
        ] {
            let suffix = match definition.unit {
                BaseUnit::Count => "",
                BaseUnit::Bytes => "_bytes",
                BaseUnit::Seconds => "_seconds",
            };
            // A family without a member is not rendered at all.
            let empty = [
                CONNECTIONS_CLOSED,
                CONNECTIONS_REFUSED,
                REQUESTS,
                REQUEST_DURATION,
                GRPC_REQUESTS,
                GRPC_REQUEST_DURATION,
                GRPC_STREAMS,
            ];
            let help = format!(
                "# HELP {}{suffix} {}.\n",
                definition.name, definition.description
            );
            assert!(
                text.contains(&help) || empty.contains(&definition),
                "{help} is missing in:\n{text}"
            );
        }
    }
}
