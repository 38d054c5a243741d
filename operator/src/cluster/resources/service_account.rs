//! The brokers' identity, which may do nothing: a broker never speaks to Kubernetes.

use k8s_openapi::api::core::v1::ServiceAccount;

use super::Blueprint;

/// The service account of the brokers' pods.
#[must_use]
pub fn build(blueprint: &Blueprint<'_>) -> ServiceAccount {
    ServiceAccount {
        metadata: blueprint.meta(blueprint.names.cluster.clone()),
        automount_service_account_token: Some(false),
        ..ServiceAccount::default()
    }
}
