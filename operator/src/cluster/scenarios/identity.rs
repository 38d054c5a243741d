//! The cluster's id is made once, and before anything else.

use futures::future::join_all;
use k8s_openapi::{
    api::{
        apps::v1::StatefulSet,
        core::v1::{ConfigMap, PersistentVolumeClaim, Pod, Service},
    },
    apimachinery::pkg::apis::meta::v1::{OwnerReference, Time},
    jiff::Timestamp,
};
use proptest::{collection::vec, prelude::*};
use serde_json::json;

use super::{Operator, World, kubernetes, main};
use crate::{
    cluster::names::{CLUSTER_ID_ANNOTATION, FORMED_ANNOTATION},
    testing::{api_server::Fault, condition},
};

/// Whether anything has been made from the Cluster.
fn is_untouched(world: &World) -> bool {
    world.server.list::<Service>().is_empty() && world.server.list::<StatefulSet>().is_empty()
}

#[tokio::test]
async fn a_cache_that_never_shows_the_status_makes_no_second_id() {
    let mut world = World::new(&main());
    world.look().await;
    let id = world.status().cluster_id.expect("an id");
    for _ in 0..5 {
        world.operator.catch_up_but("Cluster");
        world.look().await;
        assert_eq!(world.status().cluster_id.as_ref(), Some(&id));
    }
}

#[tokio::test]
async fn a_failure_of_any_write_makes_no_second_id() {
    let faults = [Fault::Refused(409), Fault::Refused(500), Fault::Unanswered];
    for (write, fault) in (0..12).flat_map(|write| faults.map(|fault| (write, fault))) {
        let mut world = World::new(&main());
        let before = std::iter::repeat_n(None, write);
        world.server.fail(before.chain([Some(fault)]));
        for _ in 0..3 {
            world.look().await;
        }
        world.settle().await;
        assert!(!is_untouched(&world), "write {write}: {fault:?}");
    }
}

/// Several operators look at once, each with a cache of its own, in an order that `turns` makes.
async fn all_make_one(operators: usize, turns: Vec<usize>, faults: Vec<Option<Fault>>) {
    let mut world = World::new(&main());
    let operators: Vec<Operator> = (0..operators)
        .map(|_| Operator::start(&world.server))
        .collect();
    world.server.delay(turns);
    world.server.fail(faults);
    for _ in 0..3 {
        join_all(operators.iter().map(Operator::look)).await;
        world.invariants.check();
    }
    assert!(world.status().cluster_id.is_some());
}

fn any_fault() -> impl Strategy<Value = Option<Fault>> {
    prop_oneof![
        3 => Just(None),
        1 => Just(Some(Fault::Refused(409))),
        1 => Just(Some(Fault::Unanswered)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn operators_that_look_at_once_make_one(
        operators in 2..4_usize,
        turns in vec(0..6_usize, 0..30),
        faults in vec(any_fault(), 0..4),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("a runtime").block_on(all_make_one(operators, turns, faults));
    }
}

#[tokio::test]
async fn a_cluster_that_was_deleted_and_made_again_has_its_own() {
    let mut world = World::new(&main());
    world.look().await;
    let first = world.status().cluster_id.expect("an id");
    world.server.delete(&main());
    let mut again = main();
    again.metadata.uid = Some("another".to_owned());
    world.server.put(&again);
    // The cache only knows the first one, from before it had its id.
    world.look().await;
    let second = world.status().cluster_id.expect("an id");
    assert_ne!(first, second);
    world.settle().await;
}

/// A founded cluster is deleted, and what belongs to it goes, but for volumes. The cache of Clusters is late.
async fn deleted() -> World {
    let mut world = World::founded().await;
    delete(&mut world);
    world.operator.catch_up_but("Cluster");
    world
}

/// Deletes the Cluster, and what belongs to it, but for volumes.
fn delete(world: &mut World) {
    world.server.delete(&main());
    kubernetes::collect::<StatefulSet>(&world.server);
    kubernetes::collect::<ConfigMap>(&world.server);
    kubernetes::collect::<Service>(&world.server);
    for pod in world.server.list::<Pod>() {
        world.server.remove(&pod);
    }
    world.invariants.check();
}

#[tokio::test]
async fn what_is_gone_is_not_changed() {
    let mut world = World::founded().await;
    world.edit(|cluster| cluster.spec.image = Some("fjord:2".to_owned()));
    world.operator.catch_up("Cluster");
    delete(&mut world);
    // No cache has heard of it.
    world.look().await;
    assert!(is_untouched(&world));
}

#[tokio::test]
async fn nothing_is_made_for_a_cluster_that_is_gone() {
    let mut world = deleted().await;
    world.look().await;
    assert!(is_untouched(&world));
    // Nor from what another one of the same name was.
    let mut again = main();
    again.metadata.uid = Some("another".to_owned());
    world.server.put(&again);
    world.look().await;
    world.settle().await;
    let owner = |set: StatefulSet| set.metadata.owner_references.unwrap_or_default();
    let owners = world
        .server
        .list::<StatefulSet>()
        .into_iter()
        .flat_map(owner);
    let owners: Vec<String> = owners.map(|owner| owner.uid).collect();
    assert_eq!(owners, ["another"]);
}

#[tokio::test]
async fn retained_volumes_are_taken_up_again() {
    let mut world = deleted().await;
    let claims = world.server.list::<PersistentVolumeClaim>();
    let id = claims[0].metadata.annotations.clone().unwrap_or_default();
    world.server.put(&main());
    world.catch_up();
    world.look().await;
    assert_eq!(
        world.status().cluster_id.as_ref(),
        id.get(CLUSTER_ID_ANNOTATION)
    );
    assert!(world.status().formed);
}

/// The claim of a broker's volume.
fn claim(broker: i32, annotations: serde_json::Value) -> PersistentVolumeClaim {
    let labels = json!({"app.kubernetes.io/instance": "main"});
    serde_json::from_value(json!({"metadata": {
        "name": format!("data-main-{broker}"), "namespace": "kafka",
        "labels": labels, "annotations": annotations,
    }}))
    .expect("a claim")
}

#[tokio::test]
async fn volumes_of_nobody_knows_whom_are_left_alone() {
    for annotations in [json!({}), json!({CLUSTER_ID_ANNOTATION: "b"})] {
        let mut world = World::new(&main());
        world.server.put(&claim(0, annotations.clone()));
        if annotations != json!({}) {
            world
                .server
                .put(&claim(1, json!({CLUSTER_ID_ANNOTATION: "a"})));
        }
        world.look().await;
        world.settle().await;
        assert!(is_untouched(&world));
        let told = world.server.get(&main()).expect("the Cluster");
        assert_eq!(condition(&told, "Ready"), "False ForeignVolumes");
        // It goes on once somebody has seen to them.
        for claim in world.server.list::<PersistentVolumeClaim>() {
            world.server.remove(&claim);
        }
        world.settle().await;
        assert!(!is_untouched(&world));
    }
}

/// The claim of a volume of a founded cluster, which goes with a stateful set.
fn owned_claim(set_uid: &str) -> PersistentVolumeClaim {
    let formed = json!({CLUSTER_ID_ANNOTATION: "a", FORMED_ANNOTATION: "true"});
    let mut claim = claim(0, formed);
    claim.metadata.owner_references = Some(vec![owner("StatefulSet", set_uid)]);
    claim
}

fn owner(kind: &str, uid: &str) -> OwnerReference {
    OwnerReference {
        kind: kind.to_owned(),
        name: "main".to_owned(),
        uid: uid.to_owned(),
        ..OwnerReference::default()
    }
}

/// The stateful set of an earlier cluster.
fn stateful_set(owners: Vec<OwnerReference>) -> StatefulSet {
    let mut set = StatefulSet::default();
    set.metadata.namespace = Some("kafka".to_owned());
    set.metadata.name = Some("main".to_owned());
    set.metadata.uid = Some("set".to_owned());
    set.metadata.owner_references = Some(owners);
    set
}

#[tokio::test]
async fn volumes_that_are_going_are_not_taken_up() {
    let mut marked = owned_claim("set");
    // A pod that is stopping still uses it.
    marked.metadata.finalizers = Some(vec!["kubernetes.io/pvc-protection".to_owned()]);
    marked.metadata.deletion_timestamp = Some(Time(Timestamp::UNIX_EPOCH));
    let of_another = stateful_set(vec![owner("Cluster", "another")]);
    for (claim, set) in [
        (marked, Some(stateful_set(Vec::new()))),
        (owned_claim("set"), None),
        (owned_claim("another"), Some(stateful_set(Vec::new()))),
        (owned_claim("set"), Some(of_another)),
    ] {
        let mut world = World::new(&main());
        world.server.put(&claim);
        if let Some(set) = &set {
            world.server.put(set);
        }
        world.catch_up();
        world.look().await;
        assert_eq!(world.status().cluster_id, None, "{claim:?} {set:?}");
        let told = world.server.get(&main()).expect("the Cluster");
        assert_eq!(condition(&told, "Ready"), "False ForeignVolumes");
        world.server.remove(&claim);
        if let Some(set) = &set {
            world.server.remove(set);
        }
        world.settle().await;
        assert!(!world.status().formed);
        assert_ne!(world.status().cluster_id.as_deref(), Some("a"));
    }
}

#[tokio::test]
async fn volumes_of_a_stateful_set_that_was_left_behind_are_taken_up() {
    let mut world = World::new(&main());
    world.server.put(&owned_claim("set"));
    world.server.put(&stateful_set(Vec::new()));
    world.look().await;
    assert_eq!(world.status().cluster_id.as_deref(), Some("a"));
    assert!(world.status().formed);
}
