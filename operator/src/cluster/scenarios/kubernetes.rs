//! What Kubernetes makes of what the operator asks for: its controller of stateful sets, its kubelets, its collector of
//! garbage.

use std::collections::BTreeSet;

use k8s_openapi::api::{
    apps::v1::StatefulSet,
    core::v1::{PersistentVolumeClaim, Pod},
};
use kube::{Resource, ResourceExt, api::ObjectMeta};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::{
    api::Cluster,
    cluster::{
        names::{INDEX_LABEL, index},
        resources::pod::{CONTAINER, VOLUME},
    },
    testing::api_server::ApiServer,
};

/// How a broker's pod is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Health {
    Starting,
    Ready,
    Failing,
}

/// What is deleted stops, and what is missing is made: claims, and pods that have not started yet.
pub fn act(server: &ApiServer) {
    for pod in server.list::<Pod>() {
        if pod.metadata.deletion_timestamp.is_some() {
            server.remove(&pod);
        }
    }
    let stateful_set = server.list::<StatefulSet>().pop();
    let spec = stateful_set.and_then(|stateful_set| stateful_set.spec);
    let spec = spec.unwrap_or_default();
    let replicas = spec.replicas.unwrap_or_default();
    for pod in server.list::<Pod>() {
        if index(&pod).is_some_and(|broker| broker >= replicas) {
            server.delete(&pod);
        }
    }
    for broker in 0..replicas {
        let pod = pod(broker, &spec.template.metadata.clone().unwrap_or_default());
        let templates = spec.volume_claim_templates.iter().flatten();
        for template in templates {
            let claim = claim(broker, template);
            if server.get(&claim).is_none() {
                server.put(&claim);
            }
        }
        if server.get(&pod).is_none() {
            server.put(&pod);
        }
    }
}

fn pod(broker: i32, template: &ObjectMeta) -> Pod {
    let mut pod = Pod::default();
    pod.metadata.name = Some(format!("main-{broker}"));
    pod.metadata.namespace = Some("kafka".to_owned());
    pod.metadata.annotations = template.annotations.clone();
    let labels = pod
        .metadata
        .labels
        .insert(template.labels.clone().unwrap_or_default());
    labels.insert(INDEX_LABEL.to_owned(), broker.to_string());
    pod
}

fn claim(broker: i32, template: &PersistentVolumeClaim) -> PersistentVolumeClaim {
    let mut claim = template.clone();
    claim.metadata.name = Some(format!("{VOLUME}-main-{broker}"));
    claim.metadata.namespace = Some("kafka".to_owned());
    claim.status = serde_json::from_value(json!({"phase": "Bound"})).expect("a status");
    claim
}

/// Gives a broker's pod this health, if it is there.
pub fn set_health(server: &ApiServer, broker: i32, health: Health) {
    let status = match health {
        Health::Starting => json!({}),
        Health::Ready => json!({"conditions": [{"type": "Ready", "status": "True"}]}),
        Health::Failing => {
            let waiting = json!({"waiting": {"reason": "CrashLoopBackOff"}});
            json!({"containerStatuses": [{"name": CONTAINER, "state": waiting}]})
        }
    };
    server.edit(&pod(broker, &ObjectMeta::default()), |pod| {
        pod.status = serde_json::from_value(status).expect("a status");
    });
}

/// Whether a pod serves clients.
pub fn is_ready(pod: &Value) -> bool {
    let conditions = pod["status"]["conditions"].as_array();
    let mut conditions = conditions.into_iter().flatten();
    conditions.any(|condition| condition["type"] == "Ready" && condition["status"] == "True")
}

/// Takes away what belongs to a Cluster that is gone.
pub fn collect<K: Resource<DynamicType = ()> + DeserializeOwned>(server: &ApiServer) {
    let there: BTreeSet<_> = server
        .list::<Cluster>()
        .iter()
        .filter_map(Cluster::uid)
        .collect();
    for object in server.list::<K>() {
        let mut owners = object.owner_references().iter();
        if owners.any(|owner| !there.contains(&owner.uid)) {
            server.remove(&object);
        }
    }
}
