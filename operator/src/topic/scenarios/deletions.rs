//! Resources that are deleted while their brokers do not answer.

use super::{World, topic};
use crate::{
    api::{Topic, topic::DeletionPolicy},
    testing::{cluster, condition},
    topic::deletion::has_finalizer,
};

/// A resource whose topic is to be deleted with it.
fn deleting_its_topic() -> Topic {
    let mut topic = topic("orders", 1);
    topic.spec.deletion_policy = DeletionPolicy::Delete;
    topic
}

/// A world in which a resource that had its topic is being deleted.
async fn deleted() -> (World, Topic) {
    let mut world = World::new(&[cluster("kafka", "main")]);
    let orders = deleting_its_topic();
    world.put(&orders);
    world.settle(&orders).await;
    let has = world.server.get(&orders).is_some_and(|t| has_finalizer(&t));
    assert!(has, "before anything is done for it");
    world.server.edit(&orders, |orders| {
        let status = orders.status.as_mut().expect("a status");
        status.topic_id = Some("id".to_owned());
    });
    world.server.take_events();
    world.server.delete(&orders);
    (world, orders)
}

#[tokio::test]
async fn it_waits_for_brokers_and_says_so() {
    let (mut world, orders) = deleted().await;
    world.settle(&orders).await;
    let waiting = world.server.get(&orders).expect("it waits");
    assert_eq!(condition(&waiting, "Ready"), "Unknown ClusterUnreachable");
    let message = &waiting.status.as_ref().expect("a status").conditions[0].message;
    assert!(message.contains("deletionPolicy"), "{message}");
}

#[tokio::test]
async fn it_goes_when_its_policy_becomes_retain() {
    let (mut world, orders) = deleted().await;
    world.settle(&orders).await;
    world.server.edit(&orders, |orders| {
        orders.spec.deletion_policy = DeletionPolicy::Retain;
    });
    // Even if the cache has not heard of it.
    world.see_to_cached(&orders).await.expect("seen to");
    assert!(world.server.get(&orders).is_none());
    assert_eq!(world.server.take_events(), ["TopicLetGo"]);
}

#[tokio::test]
async fn it_goes_with_its_cluster() {
    let (mut world, orders) = deleted().await;
    world.forget_cluster(&cluster("kafka", "main"));
    world.settle(&orders).await;
    assert!(world.server.get(&orders).is_none());

    let (mut world, orders) = deleted().await;
    let mut going = cluster("kafka", "main");
    going.metadata.deletion_timestamp = going.metadata.creation_timestamp.clone();
    going.metadata.deletion_timestamp = topic("any", 1).metadata.creation_timestamp;
    world.tell_cluster(&going);
    world.settle(&orders).await;
    assert!(world.server.get(&orders).is_none());
}

#[tokio::test]
async fn one_that_retains_its_topic_holds_up_nobody() {
    let mut world = World::new(&[cluster("kafka", "main")]);
    let orders = topic("orders", 1);
    world.put(&orders);
    world.settle(&orders).await;
    let has = world.server.get(&orders).is_some_and(|t| has_finalizer(&t));
    assert!(!has);
    world.server.delete(&orders);
    assert!(world.server.get(&orders).is_none());
}

#[tokio::test]
async fn the_finalizer_follows_the_policy() {
    let mut world = World::new(&[cluster("kafka", "main")]);
    let orders = deleting_its_topic();
    world.put(&orders);
    world.settle(&orders).await;
    for (policy, expected) in [
        (DeletionPolicy::Retain, false),
        (DeletionPolicy::Delete, true),
    ] {
        world
            .server
            .edit(&orders, |orders| orders.spec.deletion_policy = policy);
        world.settle(&orders).await;
        let has = world.server.get(&orders).is_some_and(|t| has_finalizer(&t));
        assert_eq!(has, expected);
    }
}
