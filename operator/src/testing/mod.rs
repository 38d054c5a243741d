//! Resources for tests, and an API server for them.

use kube::api::ObjectMeta;
use serde::Serialize;
use serde_json::json;

use crate::api::{Cluster, Topic};

pub mod api_server;

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

/// The status and reason of a resource's condition, such as `False NameConflict`.
pub fn condition(resource: &impl Serialize, type_: &str) -> String {
    let resource = serde_json::to_value(resource).expect("JSON");
    let conditions = resource["status"]["conditions"].as_array();
    let found = conditions
        .into_iter()
        .flatten()
        .find(|c| c["type"] == type_);
    let found = found.unwrap_or_else(|| panic!("no condition {type_}: {}", resource["status"]));
    let word = |field: &str| found[field].as_str().unwrap_or_default();
    format!("{} {}", word("status"), word("reason"))
}
