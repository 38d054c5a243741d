//! The custom resources, group `fjord.dev`, version `v1alpha1`. The CRDs in `crds/` are generated from these types.

pub mod cluster;
pub mod conditions;
pub mod topic;

pub use cluster::{Cluster, ClusterSpec, ClusterStatus};
pub use topic::{Topic, TopicSpec, TopicStatus};
