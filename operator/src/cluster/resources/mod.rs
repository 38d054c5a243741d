//! What a cluster consists of in Kubernetes: pure builders, a file for each kind of object.

pub mod config_map;
pub mod disruption_budget;
pub mod network_policy;
pub mod pod;
pub mod service_account;
pub mod services;
pub mod stateful_set;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta, OwnerReference};
use kube::Resource;

use super::names::Names;
use crate::api::Cluster;

/// What the objects of a cluster are made from.
#[derive(Debug, Clone)]
pub struct Blueprint<'a> {
    /// The resource.
    pub cluster: &'a Cluster,
    /// The names of the parts.
    pub names: Names,
    /// The cluster's id.
    pub cluster_id: &'a str,
    /// Whether the cluster has been founded.
    pub formed: bool,
    /// The brokers' image.
    pub image: &'a str,
    /// The configs in force.
    pub config: &'a BTreeMap<String, String>,
    /// How many pods there should be now; more than the resource says while brokers give away what they have.
    pub replicas: i32,
    /// Where clients outside reach each broker, `HOST:PORT`.
    pub external: BTreeMap<i32, String>,
}

impl Blueprint<'_> {
    /// The metadata of an object that goes with the cluster.
    #[must_use]
    pub fn meta(&self, name: String) -> ObjectMeta {
        ObjectMeta {
            name: Some(name),
            namespace: Some(self.names.namespace.clone()),
            labels: Some(self.names.labels()),
            owner_references: Some(vec![self.owner()]),
            ..ObjectMeta::default()
        }
    }

    /// Which pods are the brokers.
    #[must_use]
    pub fn selector(&self) -> LabelSelector {
        LabelSelector {
            match_labels: Some(self.names.selector()),
            match_expressions: None,
        }
    }

    fn owner(&self) -> OwnerReference {
        let meta = &self.cluster.metadata;
        OwnerReference {
            api_version: Cluster::api_version(&()).into_owned(),
            kind: Cluster::kind(&()).into_owned(),
            name: self.names.cluster.clone(),
            uid: meta.uid.clone().unwrap_or_default(),
            controller: Some(true),
            block_owner_deletion: Some(true),
        }
    }
}
