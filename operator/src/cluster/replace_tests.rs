//! A replacement against an API server that knows better than the watches, and brokers that do not answer.

use std::collections::BTreeMap;

use http::{Method, Request, Response};
use kube::{Client, client::Body, runtime::events::Recorder};
use serde_json::{Value, json};
use tower_test::mock;

use super::{
    lost::Volume,
    names::Names,
    observed::ObservedPod,
    replace::{Repair, Replaced},
};
use crate::{
    api::Cluster,
    brokers::Brokers,
    context::{Context, Settings},
    metrics::Metrics,
};

/// The pod and the claim of broker 1, which somebody wants to be replaced.
fn objects(pod_uid: &str, claim_uid: &str) -> [Value; 2] {
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "orders-1", "uid": pod_uid, "annotations": {"fjord.dev/replace": "true"}},
    });
    let claim = json!({
        "apiVersion": "v1", "kind": "PersistentVolumeClaim",
        "metadata": {"name": "data-orders-1", "uid": claim_uid},
    });
    [pod, claim]
}

/// An API server with these. Returns what was deleted, as paths and unique ids.
async fn serve(
    mut handle: mock::Handle<Request<Body>, Response<Body>>,
    [pod, claim]: [Value; 2],
) -> Vec<(String, Value)> {
    let mut deletions = Vec::new();
    while let Some((request, send)) = handle.next_request().await {
        let (parts, body) = request.into_parts();
        let path = parts.uri.path().to_owned();
        let sent = body.collect_bytes().await.unwrap();
        let sent: Value = serde_json::from_slice(&sent).unwrap_or_default();
        let there = match path.contains("/pods/") {
            true => pod.clone(),
            false => claim.clone(),
        };
        let answer = match parts.method {
            Method::GET => there,
            Method::DELETE => {
                deletions.push((path, sent["preconditions"]["uid"].clone()));
                there
            }
            _ => sent,
        };
        send.send_response(Response::new(Body::from(answer.to_string().into_bytes())));
    }
    deletions
}

fn cluster(spec: Value) -> Cluster {
    let mut resource = json!({
        "apiVersion": "fjord.dev/v1alpha1", "kind": "Cluster",
        "metadata": {"name": "orders", "namespace": "shop", "uid": "u"},
        "spec": {"replicas": 3},
    });
    for (name, value) in spec.as_object().unwrap() {
        resource["spec"][name] = value.clone();
    }
    serde_json::from_value(resource).unwrap()
}

struct Rig {
    context: Context,
    cluster: Cluster,
    pods: BTreeMap<i32, ObservedPod>,
    volumes: BTreeMap<i32, Volume>,
}

impl Rig {
    /// The watches have told of the pod `pod` and the claim `claim`.
    fn new(client: Client, cluster: Cluster) -> Self {
        let [pod, claim] = objects("pod", "claim");
        let pod = serde_json::from_value(pod).unwrap();
        let claim = serde_json::from_value(claim).unwrap();
        let context = Context {
            client: client.clone(),
            brokers: Brokers::default().into(),
            recorder: Recorder::new(client, "test".into()),
            settings: Settings {
                namespaces: Vec::new(),
                image: "fjord:1".to_owned(),
                domain: None,
            },
            metrics: Metrics::default(),
        };
        Self {
            context,
            cluster,
            pods: [(1, ObservedPod::new(&pod))].into(),
            volumes: [(1, Volume::new(&pod, &claim))].into(),
        }
    }

    async fn with<T>(&self, act: impl AsyncFnOnce(Repair<'_>) -> T) -> T {
        let names = Names::new(&self.cluster, None);
        let repair = Repair {
            context: &self.context,
            cluster: &self.cluster,
            names: &names,
            pods_now: 3,
            pods: &self.pods,
            volumes: &self.volumes,
            brokers: None,
        };
        act(repair).await
    }
}

async fn deletions(there: [Value; 2]) -> Vec<(String, Value)> {
    let (service, handle) = mock::pair::<Request<Body>, Response<Body>>();
    let server = tokio::spawn(serve(handle, there));
    let rig = Rig::new(Client::new(service, "shop"), cluster(json!({})));
    let replace = async |repair: Repair<'_>| repair.replace(1, &rig.volumes[&1]).await;
    rig.with(replace).await.unwrap();
    drop(rig);
    server.await.unwrap()
}

#[tokio::test]
async fn only_what_was_meant_is_deleted_the_claim_first() {
    let sent = deletions(objects("pod", "claim")).await;
    let [(claim, claim_uid), (pod, pod_uid)] = &sent[..] else {
        panic!("{sent:?}");
    };
    assert!(claim.ends_with("/persistentvolumeclaims/data-orders-1") && claim_uid == "claim");
    assert!(pod.ends_with("/pods/orders-1") && pod_uid == "pod");
    // An operator that stopped after it had deleted the claim is followed by one that goes on.
    let [pod, mut claim] = objects("pod", "claim");
    claim["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    assert_eq!(deletions([pod, claim]).await.len(), 2);
    assert!(deletions(objects("anew", "claim")).await.is_empty());
    assert!(deletions(objects("pod", "anew")).await.is_empty());
    let [mut pod, claim] = objects("pod", "claim");
    pod["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    assert!(deletions([pod, claim.clone()]).await.is_empty());
    let [mut pod, _] = objects("pod", "claim");
    pod["metadata"]["annotations"] = json!({});
    assert!(deletions([pod, claim]).await.is_empty());
}

/// What comes of a step while no broker answers; nothing is deleted.
async fn step(spec: Value) -> Replaced {
    let (service, handle) = mock::pair::<Request<Body>, Response<Body>>();
    let server = tokio::spawn(serve(handle, objects("pod", "claim")));
    let rig = Rig::new(Client::new(service, "shop"), cluster(spec));
    let replaced = rig.with(async |repair: Repair<'_>| repair.step().await);
    let replaced = replaced.await.unwrap();
    drop(rig);
    assert!(server.await.unwrap().is_empty());
    replaced
}

#[tokio::test]
async fn what_keeps_it_from_being_done_is_told() {
    let replaced = step(json!({})).await;
    assert!(!replaced.under_way);
    let types: Vec<&str> = replaced.findings.iter().map(|told| told.type_).collect();
    assert_eq!(types, ["RepairNeeded", "RepairBlocked"]);
    assert!(
        replaced.findings[1]
            .message
            .contains("the brokers do not answer")
    );
    let plan = replaced.plan.unwrap();
    assert!(plan.approved && plan.blockers.len() == 3, "{plan:?}");
    let replaced = step(json!({"planOnly": true})).await;
    assert!(!replaced.plan.unwrap().approved);
    assert!(replaced.findings[0].message.contains("spec.planOnly"));
}
