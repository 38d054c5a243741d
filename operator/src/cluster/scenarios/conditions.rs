//! What is told, and since when.

use k8s_openapi::{apimachinery::pkg::apis::meta::v1::Time, jiff::Timestamp};

use super::{Health, World, kubernetes, main};
use crate::testing::condition;

/// Long ago.
fn then() -> Time {
    Time(Timestamp::from_second(1).expect("a time"))
}

/// A world in which all is well, and has been for long.
async fn well() -> World {
    let mut world = World::founded().await;
    world.edit(|cluster| {
        let status = cluster.status.as_mut().expect("a status");
        for condition in &mut status.conditions {
            condition.last_transition_time = then();
        }
    });
    world.settle().await;
    world
}

/// The types of the conditions that have changed since the world was well.
fn changed(world: &World) -> Vec<String> {
    let conditions = world.status().conditions.into_iter();
    let changed = conditions.filter(|condition| condition.last_transition_time != then());
    changed.map(|condition| condition.type_).collect()
}

fn told(world: &World, type_: &str) -> String {
    condition(&world.server.get(&main()).expect("the Cluster"), type_)
}

#[tokio::test]
async fn a_condition_is_as_old_as_its_status() {
    let mut world = well().await;
    assert_eq!(changed(&world), Vec::<String>::new());
    // Another reason and another message, and the same status.
    world.edit(|cluster| cluster.spec.image = Some("fjord:2".to_owned()));
    world.settle().await;
    let progressing = told(&world, "Progressing");
    assert_eq!(progressing, "True RollingRestart");
    assert_eq!(changed(&world), ["Progressing"]);
    kubernetes::set_health(&world.server, 2, Health::Starting);
    world.settle().await;
    assert_eq!(told(&world, "Ready"), "False BrokersNotReady");
    assert_eq!(changed(&world), ["Ready", "Progressing"]);
}

#[tokio::test]
async fn the_generation_that_was_seen_is_told() {
    let mut world = World::new(&main());
    for replicas in [3, 4, 5] {
        world.edit(|cluster| cluster.spec.replicas = replicas);
        world.settle().await;
        assert_is_current(&world);
    }
    // Of what is not looked at, nothing newer is known.
    let before = generations(&world);
    world.edit(|cluster| cluster.spec.paused = true);
    world.settle().await;
    let cluster = world.server.get(&main()).expect("the Cluster");
    let current = cluster.metadata.generation;
    assert_eq!(world.status().observed_generation, current);
    let paused = ("ReconciliationPaused".to_owned(), current);
    assert_eq!(generations(&world), [before, vec![paused]].concat());
    world.edit(|cluster| cluster.spec.paused = false);
    world.settle().await;
    assert_is_current(&world);
}

/// The generations that conditions are about.
fn generations(world: &World) -> Vec<(String, Option<i64>)> {
    let conditions = world.status().conditions.into_iter();
    conditions
        .map(|condition| (condition.type_, condition.observed_generation))
        .collect()
}

fn assert_is_current(world: &World) {
    let cluster = world.server.get(&main()).expect("the Cluster");
    let current = cluster.metadata.generation;
    assert_eq!(world.status().observed_generation, current);
    let generations = generations(world);
    assert!(
        generations.iter().all(|(_, seen)| *seen == current),
        "{generations:?}"
    );
}

#[tokio::test]
async fn a_pause_leaves_everything_as_it_is() {
    let mut world = World::founded().await;
    world.edit(|cluster| {
        cluster.spec.paused = true;
        cluster.spec.replicas = 5;
        cluster.spec.image = Some("fjord:2".to_owned());
    });
    kubernetes::set_health(&world.server, 1, Health::Failing);
    world.settle().await;
    assert_eq!(told(&world, "ReconciliationPaused"), "True Paused");
    world.edit(|cluster| cluster.spec.paused = false);
    world.settle().await;
    let types = world.status().conditions.into_iter();
    let types: Vec<String> = types.map(|condition| condition.type_).collect();
    assert!(
        !types.contains(&"ReconciliationPaused".to_owned()),
        "{types:?}"
    );
}
