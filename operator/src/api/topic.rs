//! `Topic`: one topic of a cluster. The resource is the truth; what is changed elsewhere is put right, or reported.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema, runtime::reflector::ObjectRef};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Cluster;

/// What a topic should be.
#[derive(CustomResource, KubeSchema, Clone, Debug, Deserialize, Serialize, PartialEq)]
#[kube(
    group = "fjord.dev",
    version = "v1alpha1",
    kind = "Topic",
    namespaced,
    status = "TopicStatus",
    shortname = "fjt",
    category = "fjord",
    doc = "A topic of a Fjord cluster.",
    printcolumn(name = "Cluster", type_ = "string", json_path = ".spec.cluster.name"),
    printcolumn(
        name = "Partitions",
        type_ = "integer",
        json_path = ".status.partitions"
    ),
    printcolumn(
        name = "Replication",
        type_ = "integer",
        json_path = ".status.replicationFactor"
    ),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].status"#
    ),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].reason"#
    ),
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp"
    ),
    printcolumn(
        name = "Topic",
        type_ = "string",
        json_path = ".status.topicName",
        priority = 1
    ),
    printcolumn(
        name = "Unhealthy",
        type_ = "integer",
        json_path = ".status.unhealthyPartitions",
        priority = 1
    )
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = ("!has(oldSelf.topicName) || has(self.topicName)", "the topic's name cannot be changed: topicName cannot be taken away"),
    validation = ("has(oldSelf.topicName) || !has(self.topicName)", "the topic's name cannot be changed: topicName can only be set when the resource is made"),
    validation = ("!has(oldSelf.partitions) || !has(self.partitions) || self.partitions >= oldSelf.partitions", "a topic's partitions cannot become fewer; make another topic")
)]
pub struct TopicSpec {
    /// The cluster that has the topic.
    #[x_kube(validation = ("self == oldSelf", "the cluster of a topic cannot be changed; make another Topic"))]
    pub cluster: ClusterReference,
    /// The topic's name in the cluster; the resource's own name unless set. It cannot be changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 249), regex(pattern = r"^[a-zA-Z0-9._-]+$"))]
    #[x_kube(
        validation = ("self == oldSelf", "the topic's name cannot be changed; make another Topic"),
        validation = ("self != '.' && self != '..'", "a topic cannot be called . or ..")
    )]
    pub topic_name: Option<String>,
    /// How many partitions; the broker's `num.partitions` unless set. It can grow, and never becomes less.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100_000))]
    pub partitions: Option<i32>,
    /// How many replicas each partition has; unless set, the broker's `default.replication.factor` when the topic is made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 9))]
    pub replication_factor: Option<i32>,
    /// Configs of the topic, by Kafka's names.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub config: BTreeMap<String, String>,
    /// What becomes of the topic and its records when the resource is deleted.
    #[serde(default)]
    pub deletion_policy: DeletionPolicy,
    /// What is done about changes that were made elsewhere.
    #[serde(default)]
    pub drift_policy: DriftPolicy,
}

/// A cluster, here or in another namespace.
#[derive(JsonSchema, Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct ClusterReference {
    /// The name of the Cluster.
    #[schemars(length(min = 1, max = 63))]
    pub name: String,
    /// The Cluster's namespace; the resource's own unless set. The Cluster has to allow the resource's namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
}

/// What becomes of a topic when its resource is deleted.
#[derive(JsonSchema, Clone, Copy, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
pub enum DeletionPolicy {
    /// The topic and its records stay.
    #[default]
    Retain,
    /// The topic is deleted with its records.
    Delete,
}

/// What is done about changes that were made elsewhere. Partitions are never taken away and records never deleted
/// because of them.
#[derive(JsonSchema, Clone, Copy, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
pub enum DriftPolicy {
    /// They are put right: a config that is not named here is set back to what the brokers' configs say, and a topic
    /// that was deleted is made anew, without its records. Configs that a topic had when it was adopted stay until they
    /// are named here. A topic that was deleted and made anew elsewhere is adopted.
    #[default]
    Correct,
    /// They are reported in the condition `InSync`, and left alone. A change of the resource itself is carried out.
    Report,
}

/// What a topic is.
#[derive(JsonSchema, Clone, Debug, Default, Deserialize, Serialize, PartialEq)]
#[serde(rename_all = "camelCase", default)]
pub struct TopicStatus {
    /// The generation of the resource that this is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// The topic's name in the cluster.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub topic_name: Option<String>,
    /// The topic's id. Whatever is done to the topic is done to this one only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub topic_id: Option<String>,
    /// How many partitions there are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub partitions: Option<i32>,
    /// How many replicas each has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replication_factor: Option<i32>,
    /// How many partitions have no leader, or fewer replicas in sync than they should have.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unhealthy_partitions: Option<i32>,
    /// The worst few of them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub worst_partitions: Vec<PartitionHealth>,
    /// What of the resource was carried out last: whatever differs from it is a change of the resource, and no drift.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub carried_out: Option<CarriedOut>,
    /// Configs that the topic had when it was adopted and that the resource does not name. They stay as they are.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub kept_configs: Vec<String>,
    /// `Ready`: the topic is there, nothing that was asked for is refused, and all partitions have leaders. `InSync`:
    /// the topic is as the resource says. `Progressing`: replicas move.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
}

/// What of a resource was carried out.
#[derive(JsonSchema, Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase", default)]
pub struct CarriedOut {
    /// `spec.partitions`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub partitions: Option<i32>,
    /// `spec.replicationFactor`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replication_factor: Option<i32>,
    /// `spec.config`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub config: BTreeMap<String, String>,
}

impl From<&TopicSpec> for CarriedOut {
    fn from(spec: &TopicSpec) -> Self {
        Self {
            partitions: spec.partitions,
            replication_factor: spec.replication_factor,
            config: spec.config.clone(),
        }
    }
}

impl Topic {
    /// The topic's name in the cluster.
    #[must_use]
    pub fn topic_name(&self) -> &str {
        let own = self.metadata.name.as_deref().unwrap_or_default();
        self.spec.topic_name.as_deref().unwrap_or(own)
    }

    /// The cluster that has the topic.
    #[must_use]
    pub fn cluster(&self) -> ObjectRef<Cluster> {
        let reference = &self.spec.cluster;
        let own = self.metadata.namespace.as_deref().unwrap_or_default();
        ObjectRef::new(&reference.name).within(reference.namespace.as_deref().unwrap_or(own))
    }
}

/// A partition that is not as it should be.
#[derive(JsonSchema, Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct PartitionHealth {
    /// Its number.
    pub partition: i32,
    /// The broker that leads it; -1 if none does.
    pub leader: i32,
    /// The brokers that have it.
    pub replicas: Vec<i32>,
    /// Those of them that have all of it.
    pub in_sync_replicas: Vec<i32>,
}
