//! A replacement against an API server that knows better than the watches, and brokers that do not answer.

use std::collections::BTreeMap;

use k8s_openapi::{
    api::core::v1::{PersistentVolumeClaim, Pod},
    apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time},
    jiff::Timestamp,
};
use kube::ResourceExt;
use serde_json::{Value, json};

use super::{
    lost::Volume,
    names::{Names, REPLACE_ANNOTATION},
    observed::ObservedPod,
    replace::{Repair, Replaced},
};
use crate::{
    api::Cluster,
    context::Context,
    testing::{api_server::ApiServer, context},
};

/// The pod and the claim of broker 1, which somebody wants to be replaced.
fn objects(pod_uid: &str, claim_uid: &str) -> (Pod, PersistentVolumeClaim) {
    let meta = |name: &str, uid: &str| ObjectMeta {
        name: Some(name.to_owned()),
        namespace: Some("shop".to_owned()),
        uid: Some(uid.to_owned()),
        ..ObjectMeta::default()
    };
    let (mut pod, mut claim) = (Pod::default(), PersistentVolumeClaim::default());
    pod.metadata = meta("orders-1", pod_uid);
    pod.annotations_mut()
        .insert(REPLACE_ANNOTATION.to_owned(), "true".to_owned());
    claim.metadata = meta("data-orders-1", claim_uid);
    (pod, claim)
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
    fn new(server: &ApiServer, cluster: Cluster) -> Self {
        let (pod, claim) = objects("pod", "claim");
        Self {
            context: context(server),
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

/// The paths of what is deleted when there are these, in order.
async fn deletions((pod, claim): (Pod, PersistentVolumeClaim)) -> Vec<String> {
    let server = ApiServer::default();
    server.put(&pod);
    server.put(&claim);
    let rig = Rig::new(&server, cluster(json!({})));
    let replace = async |repair: Repair<'_>| repair.replace(1, &rig.volumes[&1]).await;
    rig.with(replace).await.unwrap();
    let requests = server.take_requests().into_iter();
    let deletions =
        requests.filter_map(|request| request.strip_prefix("DELETE ").map(str::to_owned));
    deletions.collect()
}

#[tokio::test]
async fn only_what_was_meant_is_deleted_the_claim_first() {
    let both = [
        "/api/v1/namespaces/shop/persistentvolumeclaims/data-orders-1",
        "/api/v1/namespaces/shop/pods/orders-1",
    ];
    assert_eq!(deletions(objects("pod", "claim")).await, both);
    // An operator that stopped after it had deleted the claim is followed by one that goes on.
    let going = Some(Time(Timestamp::UNIX_EPOCH));
    let (pod, mut claim) = objects("pod", "claim");
    claim.metadata.deletion_timestamp = going.clone();
    claim.metadata.finalizers = Some(vec!["kubernetes.io/pvc-protection".to_owned()]);
    assert_eq!(deletions((pod, claim)).await, both);
    let none = Vec::<String>::new();
    assert_eq!(deletions(objects("anew", "claim")).await, none);
    assert_eq!(deletions(objects("pod", "anew")).await, none);
    let (mut pod, claim) = objects("pod", "claim");
    pod.metadata.deletion_timestamp = going;
    assert_eq!(deletions((pod, claim)).await, none);
    let (mut pod, claim) = objects("pod", "claim");
    pod.metadata.annotations = None;
    assert_eq!(deletions((pod, claim)).await, none);
}

/// What comes of a step while no broker answers; nothing is asked of the API server.
async fn step(spec: Value) -> Replaced {
    let server = ApiServer::default();
    let rig = Rig::new(&server, cluster(spec));
    let replaced = rig.with(async |repair: Repair<'_>| repair.step().await);
    let replaced = replaced.await.unwrap();
    assert_eq!(server.take_requests(), Vec::<String>::new());
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
