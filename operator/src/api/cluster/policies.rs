//! How the operator goes about what touches running brokers.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Failure domains.
#[derive(JsonSchema, Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Rack {
    /// The label of pods that says which domain a broker stands in, such as `topology.kubernetes.io/zone`. Kubernetes
    /// 1.35 and later gives pods the topology labels of their nodes.
    #[schemars(length(min = 1, max = 317))]
    pub key: String,
}

/// How brokers are restarted.
#[derive(JsonSchema, Clone, Copy, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase", default)]
pub struct Rolling {
    /// Whether a plan of restarts needs an approval.
    pub approval: Approval,
}

/// Whether somebody has to agree.
#[derive(JsonSchema, Clone, Copy, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
pub enum Approval {
    /// Nobody has to.
    #[default]
    Automatic,
    /// `approve` has to name the plan's hash.
    Manual,
}

/// When replicas move because some brokers have more than others.
#[derive(JsonSchema, Clone, Copy, Debug, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase", default)]
pub struct Rebalance {
    /// Whether they do.
    pub mode: RebalanceMode,
    /// By how many percent a broker may have more replicas than the mean before replicas move.
    #[schemars(range(min = 1, max = 1000))]
    pub threshold: i32,
    /// How many replicas are on their way at once.
    #[schemars(range(min = 1, max = 1000))]
    pub max_moves: i32,
}

impl Default for Rebalance {
    fn default() -> Self {
        Self {
            mode: RebalanceMode::default(),
            threshold: 20,
            max_moves: 10,
        }
    }
}

/// Whether replicas move for balance.
#[derive(JsonSchema, Clone, Copy, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
pub enum RebalanceMode {
    /// Never; a new broker stays empty until topics are made.
    Off,
    /// Once `approve` names the plan's hash.
    Manual,
    /// By themselves.
    #[default]
    Automatic,
}

/// What becomes of a broker whose volume is lost, with its disk or its node.
#[derive(JsonSchema, Clone, Copy, Debug, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase", default)]
pub struct Repair {
    /// Whether it is replaced by an empty one, which copies what the others have.
    pub mode: RepairMode,
    /// How many seconds a volume has to be out of reach of all nodes before it is lost: a node that only starts anew
    /// comes back sooner.
    #[schemars(range(min = 0, max = 604_800))]
    pub after: i32,
}

impl Default for Repair {
    fn default() -> Self {
        Self {
            mode: RepairMode::default(),
            after: 300,
        }
    }
}

/// Whether brokers are replaced.
#[derive(JsonSchema, Clone, Copy, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
pub enum RepairMode {
    /// Only those whose pod or claim has the annotation `fjord.dev/replace: "true"`, or once `approve` names the plan's
    /// hash.
    Manual,
    /// By themselves, too.
    #[default]
    Automatic,
}
