//! Resources for tests, and an API server for them.

use std::sync::Arc;

use kube::{api::ObjectMeta, runtime::events::Recorder};
use serde::Serialize;
use serde_json::json;

use crate::{
    api::{Cluster, Topic},
    brokers::Brokers,
    context::{Context, Settings},
    metrics::Metrics,
};

pub mod api_server;

use api_server::ApiServer;

/// Nobody listens there.
pub const NOWHERE: &str = "127.0.0.1:1";

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

/// What controllers share, with no brokers that answer.
pub fn context(server: &ApiServer) -> Context {
    let client = server.client();
    Context {
        client: client.clone(),
        brokers: Arc::new(Brokers::at(|_| NOWHERE.to_owned())),
        recorder: Recorder::new(client, "fjord-operator".into()),
        settings: Settings {
            namespaces: Vec::new(),
            image: "fjord:1".to_owned(),
            domain: None,
        },
        metrics: Metrics::default(),
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
