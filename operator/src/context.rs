//! What all controllers share.

use std::sync::Arc;

use kube::{Client, runtime::events::Recorder};

use crate::{brokers::Brokers, metrics::Metrics};

/// What the operator was told at its start.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The namespaces whose resources are looked after; all, if there are none.
    pub namespaces: Vec<String>,
    /// The image of brokers whose cluster names none.
    pub image: String,
    /// The domain of services, such as `cluster.local`; without it, names are looked up as in any pod.
    pub domain: Option<String>,
}

/// What all controllers share.
#[derive(Clone)]
pub struct Context {
    /// The way to the API server.
    pub client: Client,
    /// The ways to the brokers.
    pub brokers: Arc<Brokers>,
    /// Writes events. There is one, so that equal events are counted, and not repeated.
    pub recorder: Recorder,
    /// What the operator was told at its start.
    pub settings: Settings,
    /// What is counted.
    pub metrics: Metrics,
}
