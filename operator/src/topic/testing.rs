//! Resources for tests.

use kube::{ResourceExt, api::ObjectMeta};
use serde_json::json;

use crate::api::{Cluster, Topic};

/// A Topic of the cluster `main` in its own namespace.
pub fn topic(namespace: &str, name: &str) -> Topic {
    let mut topic: Topic = serde_json::from_value(json!({
        "apiVersion": "fjord.dev/v1alpha1",
        "kind": "Topic",
        "metadata": {},
        "spec": {"cluster": {"name": "main"}},
    }))
    .expect("a Topic");
    topic.metadata = meta(namespace, name);
    topic
}

/// A Cluster.
pub fn cluster(namespace: &str, name: &str) -> Cluster {
    let mut cluster: Cluster = serde_json::from_value(json!({
        "apiVersion": "fjord.dev/v1alpha1",
        "kind": "Cluster",
        "metadata": {},
        "spec": {"replicas": 3, "storage": {"size": "1Gi"}},
    }))
    .expect("a Cluster");
    cluster.metadata = meta(namespace, name);
    cluster
}

fn meta(namespace: &str, name: &str) -> ObjectMeta {
    ObjectMeta {
        namespace: Some(namespace.to_owned()),
        name: Some(name.to_owned()),
        uid: Some(format!("uid-of-{namespace}-{name}")),
        generation: Some(1),
        resource_version: Some("1".to_owned()),
        ..ObjectMeta::default()
    }
}

/// The status and reason of a condition, such as `False NameConflict`.
pub fn condition(topic: &Topic, type_: &str) -> String {
    let status = topic.status.as_ref().expect("a status");
    let found = status.conditions.iter().find(|c| c.type_ == type_);
    let found = found.unwrap_or_else(|| panic!("{} has no condition {type_}", topic.name_any()));
    format!("{} {}", found.status, found.reason)
}
