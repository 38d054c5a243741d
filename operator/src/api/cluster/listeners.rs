//! How clients reach the brokers.

use std::collections::BTreeMap;

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How clients reach the brokers. From inside of Kubernetes they always do, by the services `NAME-bootstrap` (Kafka's
/// protocol, port 9092) and `NAME-grpc` (gRPC, port 9192).
#[derive(JsonSchema, Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase", default)]
pub struct Listeners {
    /// From outside, if they should: a service for each broker, port 9094.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub external: Option<ExternalListener>,
}

/// A listener for clients outside of Kubernetes.
#[derive(KubeSchema, Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = ("self.type != 'NodePort' || has(self.advertisedHost)", "a NodePort needs an advertisedHost: clients have to be told a node's name"))]
pub struct ExternalListener {
    /// What kind of services the brokers have.
    #[serde(rename = "type")]
    pub type_: ExternalType,
    /// The host that clients are told for a broker; `{broker}` stands for its number. Unless set, the address of the
    /// broker's load balancer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub advertised_host: Option<String>,
    /// Annotations of the services; `{broker}` stands for the broker's number.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

impl ExternalListener {
    /// A text with a broker's number in its place.
    #[must_use]
    pub fn filled(template: &str, broker: i32) -> String {
        template.replace("{broker}", &broker.to_string())
    }
}

/// A kind of service.
#[derive(JsonSchema, Clone, Copy, Debug, Deserialize, Serialize, PartialEq, Eq)]
pub enum ExternalType {
    /// A port of every node.
    NodePort,
    /// A load balancer for each broker.
    LoadBalancer,
}
