//! Caches that are late: nothing is taken away because of them, and nothing is written for nothing.

use k8s_openapi::api::{
    apps::v1::StatefulSet,
    core::v1::{ConfigMap, Pod},
};
use kube::ResourceExt;

use super::{Health, World, kubernetes, main};
use crate::testing::api_server::Fault;

/// How many pods the stateful set is to have.
fn replicas(world: &World) -> Option<i32> {
    let set = world.server.list::<StatefulSet>().pop()?;
    set.spec?.replicas
}

#[tokio::test]
async fn a_settled_cluster_costs_nothing() {
    let world = World::founded().await;
    world.server.take_requests();
    for _ in 0..10 {
        let again = world.operator.look().await.expect("it is well");
        assert!(again.is_some(), "brokers are asked now and then");
        assert_eq!(world.server.take_requests(), Vec::<String>::new());
    }
}

#[tokio::test]
async fn what_others_change_is_put_right_once() {
    let mut world = World::founded().await;
    let config_map = world.server.list::<ConfigMap>().pop().expect("the files");
    // A list to which somebody has added what contradicts the rest is refused when it is applied.
    for refused in [None, Some(Fault::Refused(422))] {
        world.server.edit(&config_map, |config_map| {
            config_map.data.get_or_insert_default().clear();
        });
        world.server.fail([refused]);
        world.settle().await;
        let after = world.server.get(&config_map).expect("the files");
        assert_eq!(after.data, config_map.data);
    }
}

#[tokio::test]
async fn brokers_stay_while_none_says_that_it_is_empty() {
    let mut world = World::founded().await;
    world.edit(|cluster| cluster.spec.replicas = 1);
    world.settle().await;
    assert_eq!(replicas(&world), Some(3));
}

#[tokio::test]
async fn a_stateful_set_that_is_seen_late_loses_no_broker() {
    for first in ["StatefulSet", "nothing"] {
        let mut world = World::founded().await;
        world.edit(|cluster| cluster.spec.replicas = 5);
        world.catch_up();
        world.look().await;
        assert_eq!(replicas(&world), Some(5));
        // Back again, with something else, so that there is something to be applied.
        world.edit(|cluster| {
            cluster.spec.replicas = 3;
            cluster.spec.image = Some("fjord:2".to_owned());
        });
        world.operator.catch_up_but(first);
        for _ in 0..3 {
            world.look().await;
        }
        world.settle().await;
        assert_eq!(replicas(&world), Some(5));
    }
}

#[tokio::test]
async fn a_stateful_set_that_was_never_seen_loses_no_broker() {
    let mut world = World::new(&main());
    world.edit(|cluster| cluster.spec.replicas = 5);
    world.operator.catch_up("Cluster");
    world.look().await;
    world.edit(|cluster| cluster.spec.replicas = 3);
    for _ in 0..3 {
        world.operator.catch_up_but("StatefulSet");
        world.look().await;
    }
    assert_eq!(replicas(&world), Some(5));
}

/// A world in which broker 1 cannot come up, and there is another image to make it from.
async fn failing() -> (World, Pod) {
    let mut world = World::founded().await;
    kubernetes::set_health(&world.server, 1, Health::Failing);
    world.edit(|cluster| cluster.spec.image = Some("fjord:2".to_owned()));
    world.catch_up();
    let of_broker = |pod: &Pod| pod.name_any() == "main-1";
    let pod = world.server.list().into_iter().find(of_broker);
    (world, pod.expect("broker 1"))
}

fn is_deleted(world: &World, pod: &Pod) -> bool {
    let there = world
        .server
        .get(pod)
        .filter(|there| there.uid() == pod.uid());
    there.is_none_or(|there| there.metadata.deletion_timestamp.is_some())
}

#[tokio::test]
async fn a_broker_that_cannot_come_up_is_restarted() {
    let (mut world, pod) = failing().await;
    world.look().await;
    assert!(is_deleted(&world, &pod));
    world.settle().await;
    assert_eq!(world.server.take_events(), ["BrokerRestart"]);
}

#[tokio::test]
async fn brokers_that_cannot_come_up_are_restarted_one_after_the_other() {
    let (mut world, _) = failing().await;
    kubernetes::set_health(&world.server, 0, Health::Failing);
    for _ in 0..2 {
        world.catch_up();
        world.look().await;
    }
    let first = world.server.list::<Pod>().swap_remove(0);
    assert!(is_deleted(&world, &first));
    world.server.remove(&first);
    world.catch_up();
    world.look().await;
    assert_eq!(world.server.take_events(), ["BrokerRestart"]);
    world.settle().await;
    assert_eq!(world.server.take_events(), ["BrokerRestart"]);
}

#[tokio::test]
async fn a_pod_that_was_made_anew_stays() {
    let (mut world, pod) = failing().await;
    world.server.remove(&pod);
    kubernetes::act(&world.server);
    world.operator.catch_up_but("Pod");
    let anew = world.server.get(&pod).expect("it was made anew");
    for _ in 0..3 {
        world.look().await;
    }
    assert!(!is_deleted(&world, &anew));
    assert_eq!(world.server.take_events(), Vec::<String>::new());
}

#[tokio::test]
async fn a_pod_that_stops_already_is_not_stopped_again() {
    let (mut world, pod) = failing().await;
    world.look().await;
    world.server.take_events();
    for _ in 0..3 {
        world.operator.catch_up_but("Pod");
        world.look().await;
    }
    assert!(is_deleted(&world, &pod));
    assert_eq!(world.server.take_events(), Vec::<String>::new());
}

#[tokio::test]
async fn a_pod_that_has_come_up_after_all_stays() {
    let (mut world, pod) = failing().await;
    kubernetes::set_health(&world.server, 1, Health::Ready);
    world.operator.catch_up_but("Pod");
    for _ in 0..3 {
        world.look().await;
    }
    assert!(!is_deleted(&world, &pod), "nobody was asked");
}
