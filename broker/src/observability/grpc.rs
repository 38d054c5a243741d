//! Metrics of the gRPC listener: calls by method, and members of groups.

use std::time::Duration;

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::Registry,
};

use super::{definitions, metrics::DURATION_BUCKETS};

/// Labels for calls.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct MethodLabels {
    service: &'static str,
    method: &'static str,
}

/// Labels for calls that have ended.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabels {
    service: &'static str,
    method: &'static str,
    code: &'static str,
}

/// Metrics of gRPC calls. Cloning is cheap, and clones share their values. Labels come from closed sets: the methods
/// that are served, and the codes that there are.
#[derive(Debug, Clone)]
pub struct GrpcMetrics {
    ended: Family<OutcomeLabels, Counter>,
    duration: Family<MethodLabels, Histogram, fn() -> Histogram>,
    open: Family<MethodLabels, Gauge>,
    members: Gauge,
}

impl GrpcMetrics {
    pub(super) fn registered(registry: &mut Registry) -> Self {
        let new_histogram: fn() -> Histogram = || Histogram::new(DURATION_BUCKETS);
        let grpc = Self {
            ended: Family::default(),
            duration: Family::new_with_constructor(new_histogram),
            open: Family::default(),
            members: Gauge::default(),
        };
        definitions::GRPC_REQUESTS.register(registry, grpc.ended.clone());
        definitions::GRPC_REQUEST_DURATION.register(registry, grpc.duration.clone());
        definitions::GRPC_STREAMS.register(registry, grpc.open.clone());
        definitions::GRPC_GROUP_MEMBERS.register(registry, grpc.members.clone());
        grpc
    }

    /// A call begins.
    pub fn begin(&self, service: &'static str, method: &'static str) {
        self.open
            .get_or_create(&MethodLabels { service, method })
            .inc();
    }

    /// A call that has begun has ended.
    pub fn end(
        &self,
        service: &'static str,
        method: &'static str,
        code: &'static str,
        duration: Duration,
    ) {
        let labels = MethodLabels { service, method };
        self.open.get_or_create(&labels).dec();
        self.duration
            .get_or_create(&labels)
            .observe(duration.as_secs_f64());
        self.ended
            .get_or_create(&OutcomeLabels {
                service,
                method,
                code,
            })
            .inc();
    }

    /// A member of a group is there until what this returns is dropped.
    pub fn member(&self) -> MemberGuard {
        self.members.inc();
        MemberGuard(self.members.clone())
    }
}

/// Counts a member for as long as it lives.
#[derive(Debug)]
pub struct MemberGuard(Gauge);

impl Drop for MemberGuard {
    fn drop(&mut self) {
        self.0.dec();
    }
}
