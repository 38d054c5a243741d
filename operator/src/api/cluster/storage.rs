//! The brokers' volumes.

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The brokers' volumes, one each.
#[derive(KubeSchema, Clone, Debug, Deserialize, Serialize, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = ("quantity(self.size).compareTo(quantity(oldSelf.size)) >= 0", "a volume can grow and never shrink"),
    validation = ("has(oldSelf.class) == has(self.class)", "the class of volumes cannot be changed")
)]
pub struct Storage {
    /// How large; it can grow where the class allows it, and never shrinks.
    #[schemars(
        with = "String",
        length(min = 1, max = 32),
        regex(pattern = r"^[0-9]+(\.[0-9]+)?(m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei)?$")
    )]
    pub size: Quantity,
    /// The storage class; the default one unless set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = ("self == oldSelf", "the class of volumes cannot be changed"))]
    #[schemars(length(min = 1, max = 253))]
    pub class: Option<String>,
    /// What becomes of volumes.
    #[serde(default)]
    pub retention: VolumeRetention,
}

impl Default for Storage {
    fn default() -> Self {
        Self {
            size: Quantity("10Gi".to_owned()),
            class: None,
            retention: VolumeRetention::default(),
        }
    }
}

/// What becomes of volumes that nobody uses any more.
#[derive(JsonSchema, Clone, Copy, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase", default)]
pub struct VolumeRetention {
    /// When the cluster is deleted. A cluster of the same name takes retained volumes up again.
    pub when_deleted: Retention,
    /// When the cluster has fewer brokers. What was on the volumes has been moved to other brokers before.
    pub when_scaled: Retention,
}

/// Whether something stays.
#[derive(JsonSchema, Clone, Copy, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
pub enum Retention {
    /// It stays.
    #[default]
    Retain,
    /// It goes.
    Delete,
}
