//! `Cluster`: brokers that are one cluster.

mod listeners;
mod pod;
mod policies;
mod status;
mod storage;

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{LocalObjectReference, ResourceRequirements};
use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

pub use listeners::{ExternalListener, ExternalType, Listeners};
pub use pod::PodOptions;
pub use policies::{Approval, Rack, Rebalance, RebalanceMode, Repair, RepairMode, Rolling};
pub use status::{BrokerStatus, ClusterStatus, Plan, PlanKind};
pub use storage::{Retention, Storage, VolumeRetention};

/// What a cluster should be.
#[derive(CustomResource, KubeSchema, Clone, Debug, Deserialize, Serialize, PartialEq)]
#[kube(
    group = "fjord.dev",
    version = "v1alpha1",
    kind = "Cluster",
    namespaced,
    status = "ClusterStatus",
    shortname = "fjc",
    category = "fjord",
    doc = "A cluster of Fjord brokers.",
    validation = ("self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$') && size(self.metadata.name) <= 46", "the name of a cluster becomes part of the names of services: at most 46 lower-case letters, digits and hyphens, a letter first"),
    scale(
        spec_replicas_path = ".spec.replicas",
        status_replicas_path = ".status.replicas",
        label_selector_path = ".status.selector"
    ),
    printcolumn(name = "Brokers", type_ = "string", json_path = ".status.ready", description = "Brokers that serve clients, of those that should."),
    printcolumn(name = "Version", type_ = "string", json_path = ".status.version"),
    printcolumn(name = "Balanced", type_ = "string", json_path = r#".status.conditions[?(@.type=="Balanced")].status"#),
    printcolumn(name = "Ready", type_ = "string", json_path = r#".status.conditions[?(@.type=="Ready")].status"#),
    printcolumn(name = "Reason", type_ = "string", json_path = r#".status.conditions[?(@.type=="Ready")].reason"#),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "Plan", type_ = "string", json_path = ".status.plan.hash", priority = 1)
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = ("!has(oldSelf.storage) || has(self.storage)", "storage cannot be taken away"),
    validation = ("has(oldSelf.storage) || !has(self.storage)", "storage can only be set when the cluster is made; the default was taken")
)]
pub struct ClusterSpec {
    /// How many brokers.
    #[schemars(range(min = 1, max = 1000))]
    pub replicas: i32,
    /// The release that the brokers are to have: the tag of their image. Unless set, that of the operator when the
    /// cluster was made: an upgrade of the operator restarts no broker.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 1, max = 128),
        regex(pattern = r"^[A-Za-z0-9_][A-Za-z0-9._-]*$")
    )]
    pub version: Option<String>,
    /// The brokers' image, with its tag or digest unless `version` says that; the operator's own unless set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub image: Option<String>,
    /// When the image is pulled; Kubernetes' default unless set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = "^(Always|IfNotPresent|Never)$"))]
    pub image_pull_policy: Option<String>,
    /// Secrets with which it is pulled.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub image_pull_secrets: Vec<LocalObjectReference>,
    /// The brokers' volumes; 10 GiB of the default class unless set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage: Option<Storage>,
    /// How clients reach the brokers.
    #[serde(default)]
    pub listeners: Listeners,
    /// Configs of the brokers, by Kafka's names. Those that can be changed while brokers run are changed without a
    /// restart. What is the operator's own business cannot be set here.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 250))]
    #[x_kube(validation = (
        "!self.exists(name, name in ['node.id', 'broker.id', 'broker.rack', 'log.dir', 'log.dirs', 'listeners', 'advertised.listeners', 'listener.security.protocol.map', 'controller.quorum.voters', 'controller.quorum.bootstrap.servers', 'cordoned.log.dirs', 'fjord.cluster.id', 'fjord.peer.listen', 'fjord.peer.advertised', 'fjord.grpc.listen', 'fjord.http.listen'])",
        "node.id, racks, directories, listeners, addresses, the quorum and cordons are the operator's business"
    ))]
    pub config: BTreeMap<String, String>,
    /// What each broker may use of its machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<ResourceRequirements>,
    /// What the brokers' pods have besides.
    #[serde(default)]
    #[x_kube(validation = (
        "!has(self.annotations) || !self.annotations.exists(name, name.startsWith('fjord.dev/'))",
        "annotations that begin with fjord.dev/ are the operator's business"
    ))]
    pub pod: PodOptions,
    /// Failure domains: partitions have their replicas in several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rack: Option<Rack>,
    /// How brokers are restarted.
    #[serde(default)]
    pub rolling: Rolling,
    /// When replicas move because some brokers have more than others.
    #[serde(default)]
    pub rebalance: Rebalance,
    /// What becomes of a broker whose volume is lost.
    #[serde(default)]
    pub repair: Repair,
    /// Only says in the status what would be done to brokers: restarts, replicas that would move, repairs.
    #[serde(default, skip_serializing_if = "is_false")]
    pub plan_only: bool,
    /// The hash of the plan that may be carried out, from the status, where an approval is asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approve: Option<String>,
    /// Leaves everything as it is until this is taken back.
    #[serde(default, skip_serializing_if = "is_false")]
    pub paused: bool,
    /// Other namespaces whose Topics may name this cluster; `*` stands for all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub topic_namespaces: Vec<String>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference")]
fn is_false(value: &bool) -> bool {
    !value
}
