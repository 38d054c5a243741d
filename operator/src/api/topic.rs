//! `Topic`: one topic of a cluster. The resource is the truth; what is changed elsewhere is put right, or reported.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

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
    #[x_kube(validation = ("self == oldSelf", "the topic's name cannot be changed; make another Topic"))]
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

/// What is done about changes that were made elsewhere.
#[derive(JsonSchema, Clone, Copy, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
pub enum DriftPolicy {
    /// They are put right.
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
    /// The configs that were last set from this resource, so that one that is taken out of it is set back.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub configs_set: Vec<String>,
    /// `Ready`, `InSync`, and `Progressing` while replicas move.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
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
