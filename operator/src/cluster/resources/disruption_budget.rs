//! How many brokers may be evicted at once: one.

use k8s_openapi::{
    api::policy::v1::{PodDisruptionBudget, PodDisruptionBudgetSpec},
    apimachinery::pkg::util::intstr::IntOrString,
};

use super::Blueprint;

/// The budget for evictions.
#[must_use]
pub fn build(blueprint: &Blueprint<'_>) -> PodDisruptionBudget {
    PodDisruptionBudget {
        metadata: blueprint.meta(blueprint.names.cluster.clone()),
        spec: Some(PodDisruptionBudgetSpec {
            max_unavailable: Some(IntOrString::Int(1)),
            selector: Some(blueprint.selector()),
            ..PodDisruptionBudgetSpec::default()
        }),
        status: None,
    }
}
