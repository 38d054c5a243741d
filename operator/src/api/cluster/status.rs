//! What a cluster is, and what the operator has to know after a restart.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a cluster is.
#[derive(JsonSchema, Clone, Debug, Default, Deserialize, Serialize, PartialEq)]
#[serde(rename_all = "camelCase", default)]
pub struct ClusterStatus {
    /// The generation of the resource that this is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// The cluster's id. It is made once, before anything else is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cluster_id: Option<String>,
    /// Whether the brokers have founded the cluster. From then on, a broker only ever joins it.
    pub formed: bool,
    /// The image that brokers are to have.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// The configs that were last found good, and are in force.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub config: Option<BTreeMap<String, String>>,
    /// How many brokers there are.
    pub replicas: i32,
    /// How many of them serve clients.
    pub ready_replicas: i32,
    /// How many serve clients, of how many that should: `3/3`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ready: Option<String>,
    /// The labels of the brokers' pods, for autoscalers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub selector: Option<String>,
    /// The brokers' release.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The brokers that decide on metadata.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub voters: Vec<i32>,
    /// The brokers.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub brokers: Vec<BrokerStatus>,
    /// What is to be done to running brokers, or is being done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plan: Option<Plan>,
    /// `Ready`, `Progressing`, `Degraded` and others.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
}

/// A broker.
#[derive(JsonSchema, Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct BrokerStatus {
    /// Its number.
    pub broker: i32,
    /// Its pod.
    pub pod: String,
    /// Whether it serves clients.
    pub ready: bool,
    /// The id of its data directory. With an empty disk a broker comes back with another one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub directory_id: Option<String>,
    /// How many replicas of partitions it has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replicas: Option<i32>,
    /// Whether it is given no new replicas, because it is to go.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cordoned: Option<bool>,
}

/// What is to be done to running brokers.
#[derive(JsonSchema, Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Plan {
    /// What for.
    pub kind: PlanKind,
    /// Names this very plan: an approval is of no other.
    pub hash: String,
    /// Whether it is carried out, or waits for an approval.
    pub approved: bool,
    /// What is to be done and why, in order; the first few.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<String>,
    /// How many replicas would be copied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub moves: Option<i32>,
    /// How many bytes would be copied, as far as is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<i64>,
    /// What keeps it from going on, by name; the first few.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub blockers: Vec<String>,
}

/// What a plan is for.
#[derive(JsonSchema, Clone, Copy, Debug, Deserialize, Serialize, PartialEq, Eq, Hash)]
pub enum PlanKind {
    /// Brokers are restarted.
    Restart,
    /// Brokers get as much as each other.
    Balance,
    /// Brokers give away what they have, to be removed.
    Drain,
    /// A broker whose volume is lost is replaced by an empty one.
    Repair,
}
