//! Two resources that name one topic.

use super::{World, topic};
use crate::{
    api::{Topic, topic::DeletionPolicy},
    testing::cluster,
};

/// A resource for the topic `orders`.
fn for_orders(name: &str, second: i64) -> Topic {
    let mut topic = topic(name, second);
    topic.spec.topic_name = Some("orders".to_owned());
    topic.spec.deletion_policy = DeletionPolicy::Delete;
    topic
}

#[tokio::test]
async fn the_younger_one_waits_and_may_go() {
    let mut world = World::new(&[cluster("kafka", "main")]);
    let (older, younger) = (for_orders("z-older", 1), for_orders("a-younger", 2));
    for topic in [&older, &younger] {
        world.put(topic);
    }
    for topic in [&younger, &older] {
        world.settle(topic).await;
    }
    assert_eq!(world.ready(&older), "Unknown ClusterUnreachable");
    assert_eq!(world.ready(&younger), "False NameConflict");
    let status = world.server.get(&younger).and_then(|topic| topic.status);
    let message = &status.expect("a status").conditions[0].message;
    assert!(message.contains("kafka/z-older"), "{message}");

    // Nothing has to be asked of the brokers, which do not answer.
    world.server.delete(&younger);
    world.settle(&younger).await;
    assert!(world.server.get(&younger).is_none());
    assert!(world.server.get(&older).is_some());
}

#[tokio::test]
async fn the_younger_one_has_its_turn_when_the_older_one_is_gone() {
    let mut world = World::new(&[cluster("kafka", "main")]);
    let (mut older, younger) = (for_orders("older", 1), for_orders("younger", 2));
    older.spec.deletion_policy = DeletionPolicy::Retain;
    for topic in [&older, &younger] {
        world.put(topic);
        world.settle(topic).await;
    }
    assert_eq!(world.ready(&younger), "False NameConflict");
    world.server.delete(&older);
    world.sync(&older);
    world.settle(&younger).await;
    assert_eq!(world.ready(&younger), "Unknown ClusterUnreachable");
}

#[tokio::test]
async fn one_that_had_the_topic_and_lost_it_does_not_delete_it() {
    let mut world = World::new(&[cluster("kafka", "main")]);
    // Both were made in the same second, and the first by name comes second.
    let (first, second) = (for_orders("b", 1), for_orders("a", 1));
    world.put(&first);
    world.settle(&first).await;
    world.server.edit(&first, |first| {
        let status = first.status.as_mut().expect("a status");
        status.topic_id = Some("id".to_owned());
    });
    world.put(&second);
    world.settle(&first).await;
    assert_eq!(world.ready(&first), "False NameConflict");
    world.server.delete(&first);
    world.settle(&first).await;
    assert!(world.server.get(&first).is_none());
}
