//! Anything may happen in any order, and caches may know of it or not. In the end, all is well.

use proptest::{collection::vec, prelude::*};

use super::{World, topic};
use crate::{
    api::{Cluster, Topic, topic::DeletionPolicy},
    testing::{self, cluster},
    topic::deletion::has_finalizer,
};

#[derive(Debug, Clone, Copy)]
enum Happens {
    Sync(usize),
    SeeTo(usize),
    Make(usize),
    Delete(usize),
    Policy(usize, bool),
    GiveId(usize),
    Cluster(bool),
    Allow(bool),
}

fn any_event() -> impl Strategy<Value = Happens> {
    let which = 0..4usize;
    prop_oneof![
        4 => which.clone().prop_map(Happens::Sync),
        6 => which.clone().prop_map(Happens::SeeTo),
        2 => which.clone().prop_map(Happens::Make),
        1 => which.clone().prop_map(Happens::Delete),
        2 => (which.clone(), any::<bool>()).prop_map(|(n, delete)| Happens::Policy(n, delete)),
        1 => which.prop_map(Happens::GiveId),
        1 => any::<bool>().prop_map(Happens::Cluster),
        1 => any::<bool>().prop_map(Happens::Allow),
    ]
}

/// Four resources, three of which name the same topic, one of these from another namespace.
fn resources() -> [Topic; 4] {
    let mut topics = [topic("a", 1), topic("b", 1), topic("c", 2), topic("d", 2)];
    for topic in &mut topics[..3] {
        topic.spec.topic_name = Some("orders".to_owned());
    }
    topics[2].metadata.namespace = Some("shop".to_owned());
    topics[2].spec.cluster.namespace = Some("kafka".to_owned());
    topics
}

async fn happens(world: &mut World, main: &mut Cluster, topics: &[Topic], event: Happens) {
    match event {
        Happens::Sync(n) => world.sync(&topics[n]),
        Happens::SeeTo(n) => {
            world.see_to_cached(&topics[n]).await.expect("seen to");
        }
        Happens::Make(n) if world.server.get(&topics[n]).is_none() => world.server.put(&topics[n]),
        Happens::Make(_) => {}
        Happens::Delete(n) => world.server.delete(&topics[n]),
        Happens::Policy(n, delete) => world.server.edit(&topics[n], |topic| {
            topic.spec.deletion_policy = match delete {
                true => DeletionPolicy::Delete,
                false => DeletionPolicy::Retain,
            };
        }),
        Happens::GiveId(n) => world.server.edit(&topics[n], |topic| {
            let status = topic.status.get_or_insert_default();
            status.topic_id = Some("id".to_owned());
        }),
        Happens::Cluster(true) => world.tell_cluster(main),
        Happens::Cluster(false) => world.forget_cluster(main),
        Happens::Allow(all) => {
            main.spec.topic_namespaces = if all { vec!["*".to_owned()] } else { vec![] };
            world.tell_cluster(main);
        }
    }
}

async fn settle_all(world: &mut World, topics: &[Topic]) {
    for topic in topics {
        world.sync(topic);
    }
    // The second time, everybody has heard of what became of the others.
    for topic in topics.iter().chain(topics) {
        world.settle(topic).await;
    }
}

async fn all_is_well_in_the_end(events: Vec<Happens>) {
    let mut main = cluster("kafka", "main");
    let mut world = World::new(std::slice::from_ref(&main));
    let topics = resources();
    for event in events {
        happens(&mut world, &mut main, &topics, event).await;
    }
    main.spec.topic_namespaces = vec!["*".to_owned()];
    world.tell_cluster(&main);
    settle_all(&mut world, &topics).await;

    let left: Vec<Topic> = topics.iter().filter_map(|t| world.server.get(t)).collect();
    let for_orders: Vec<&Topic> = left.iter().filter(|t| t.topic_name() == "orders").collect();
    let is_owner =
        |topic: &&&Topic| testing::condition(topic, "Ready") == "Unknown ClusterUnreachable";
    let owners = for_orders.iter().filter(is_owner).count();
    assert_eq!(owners, usize::from(!for_orders.is_empty()));
    for topic in &left {
        if topic.spec.deletion_policy == DeletionPolicy::Retain {
            assert!(!has_finalizer(topic), "{topic:?}");
        }
    }

    world.forget_cluster(&main);
    for topic in &topics {
        world.server.delete(topic);
    }
    settle_all(&mut world, &topics).await;
    for topic in &topics {
        assert!(world.server.get(topic).is_none(), "it is stuck");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn nothing_is_stuck(events in vec(any_event(), 0..40)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("a runtime").block_on(all_is_well_in_the_end(events));
    }
}
