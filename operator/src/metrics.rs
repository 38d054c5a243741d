//! What the operator counts, and its listener for metrics and probes.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use axum::{Router, extract::State, http::StatusCode, routing::get};
use prometheus_client::{
    encoding::{EncodeLabelSet, EncodeLabelValue, text::encode},
    metrics::{
        counter::Counter,
        family::Family,
        gauge::Gauge,
        histogram::{Histogram, exponential_buckets},
    },
    registry::Registry,
};

/// A kind of resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
pub enum Kind {
    /// A cluster.
    Cluster,
    /// A topic.
    Topic,
}

/// By kind of resource.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ByKind {
    /// The kind.
    pub kind: Kind,
}

/// What the operator counts.
#[derive(Debug, Clone)]
pub struct Metrics {
    registry: Arc<Registry>,
    /// How often a resource was looked at.
    pub reconciliations: Family<ByKind, Counter>,
    /// How often that failed.
    pub failures: Family<ByKind, Counter>,
    /// How long it took, in seconds.
    pub duration: Family<ByKind, Histogram>,
    /// How many requests were sent to the API server.
    pub requests: Counter,
    /// How many brokers were restarted to be changed.
    pub restarts: Counter,
    /// 1 while this process leads.
    pub leader: Gauge,
    stopping: Arc<AtomicBool>,
}

fn durations() -> Histogram {
    Histogram::new(exponential_buckets(0.005, 4.0, 8))
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("fjord_operator");
        let reconciliations = Family::default();
        let failures = Family::default();
        let duration = Family::new_with_constructor(durations as fn() -> Histogram);
        let requests = Counter::default();
        let restarts = Counter::default();
        let leader = Gauge::default();
        let registered = &mut registry;
        let text = "Times that a resource was looked at";
        registered.register("reconciliations", text, Family::clone(&reconciliations));
        let text = "Times that looking at a resource failed";
        registered.register("reconciliation_failures", text, Family::clone(&failures));
        let text = "Time that looking at a resource took";
        let seconds = prometheus_client::registry::Unit::Seconds;
        registered.register_with_unit(
            "reconciliation_duration",
            text,
            seconds,
            Family::clone(&duration),
        );
        let text = "Requests to the API server";
        registered.register("api_requests", text, Counter::clone(&requests));
        let text = "Brokers that were restarted to be changed";
        registered.register("broker_restarts", text, Counter::clone(&restarts));
        let text = "Whether this process leads";
        registered.register("leader", text, Gauge::clone(&leader));
        Self {
            registry: Arc::new(registry),
            reconciliations,
            failures,
            duration,
            requests,
            restarts,
            leader,
            stopping: Arc::default(),
        }
    }
}

impl Metrics {
    /// Notes that a resource was looked at.
    pub fn observe(&self, kind: Kind, seconds: f64, failed: bool) {
        let kind = ByKind { kind };
        self.reconciliations.get_or_create(&kind).inc();
        self.duration.get_or_create(&kind).observe(seconds);
        if failed {
            self.failures.get_or_create(&kind).inc();
        }
    }

    /// From now on, this process is not ready.
    pub fn stop(&self) {
        self.stopping.store(true, Ordering::Relaxed);
    }

    /// The service of `/metrics`, `/healthz` and `/readyz`. A process that waits for the lease is ready: it would
    /// take over.
    pub fn router(&self) -> Router {
        Router::new()
            .route("/metrics", get(text))
            .route("/healthz", get(async || "ok\n"))
            .route("/readyz", get(ready))
            .with_state(self.clone())
    }
}

async fn text(State(metrics): State<Metrics>) -> Result<String, StatusCode> {
    let mut text = String::new();
    encode(&mut text, &metrics.registry).map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)?;
    Ok(text)
}

async fn ready(State(metrics): State<Metrics>) -> (StatusCode, &'static str) {
    match metrics.stopping.load(Ordering::Relaxed) {
        false => (StatusCode::OK, "ok\n"),
        true => (StatusCode::SERVICE_UNAVAILABLE, "stopping\n"),
    }
}
