//! Metrics, logging, health, and the listeners that show them.
//!
//! [`metrics::Metrics`] and [`health::Health`] are values that the composition root makes and
//! hands to whoever reports into them; there are no globals. [`http`] serves both to Prometheus
//! and to probes; the gRPC listener repeats readiness to gRPC clients.

pub mod cluster_figures;
pub mod definitions;
mod grpc;
pub mod health;
pub mod http;
pub mod log_figures;
pub mod logging;
pub mod metrics;
mod process;
mod topics;
