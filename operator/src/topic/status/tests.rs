//! What a status becomes.

use super::*;
use crate::{
    testing,
    topic::{
        carry_out::Failure,
        health::Health,
        plan::{Difference, Existing, Plan},
    },
};

fn existing(id: &str, moving: i32) -> Existing {
    Existing {
        id: id.to_owned(),
        partitions: 6,
        replication_factor: 3,
        moving,
        ..Existing::default()
    }
}

fn status_after(
    topic: &Topic,
    plan: &Plan,
    failures: &[Failure],
    existing: &Existing,
) -> TopicStatus {
    let outcome = Outcome {
        plan,
        failures,
        topic: Some(existing),
        health: &Health::default(),
    };
    after(topic, &outcome, Timestamp::UNIX_EPOCH)
}

/// A Topic that asks for this many replicas, and had been carried out before with another number.
fn changed() -> Topic {
    let mut topic = testing::topic("kafka", "orders");
    topic.spec.replication_factor = Some(2);
    topic.status = Some(TopicStatus {
        topic_id: Some("id".to_owned()),
        carried_out: Some((&topic.spec).into()),
        ..TopicStatus::default()
    });
    topic.spec.replication_factor = Some(3);
    topic
}

fn is_carried_out(topic: &Topic, status: &TopicStatus) -> bool {
    status.carried_out == Some((&topic.spec).into())
}

#[test]
fn a_change_is_carried_out_once_it_is_done() {
    let topic = changed();
    let settled = status_after(&topic, &Plan::default(), &[], &existing("id", 0));
    assert!(is_carried_out(&topic, &settled));
    let moving = status_after(&topic, &Plan::default(), &[], &existing("id", 6));
    assert!(!is_carried_out(&topic, &moving) && was_moving(&moving));
    let refused = Failure::Refused {
        reason: "Refused",
        message: String::new(),
    };
    let failed = status_after(&topic, &Plan::default(), &[refused], &existing("id", 0));
    assert!(!is_carried_out(&topic, &failed));
}

#[test]
fn a_topic_that_is_left_alone_does_not_become_this_resources() {
    let topic = changed();
    let id = "other".to_owned();
    let plan = Plan {
        drift: vec![Difference::Replaced { id }],
        ..Plan::default()
    };
    let status = status_after(&topic, &plan, &[], &existing("other", 0));
    assert_eq!(status.topic_id.as_deref(), Some("id"));
    assert!(!is_carried_out(&topic, &status));
}

#[test]
fn what_is_known_stays_while_brokers_do_not_answer() {
    let mut topic = changed();
    topic.status = Some(status_after(
        &topic,
        &Plan::default(),
        &[],
        &existing("id", 6),
    ));
    let unreachable = HeldUp::ClusterUnreachable {
        address: "a:1".to_owned(),
        deleting: false,
    };
    let status = held_up(&topic, &unreachable, Timestamp::UNIX_EPOCH);
    assert_eq!(status.topic_id.as_deref(), Some("id"));
    assert!(was_moving(&status));
    topic.status = Some(status);
    assert_eq!(
        testing::condition(&topic, "Ready"),
        "Unknown ClusterUnreachable"
    );

    let owner = "kafka/older".to_owned();
    let status = held_up(
        &topic,
        &HeldUp::NameConflict { owner },
        Timestamp::UNIX_EPOCH,
    );
    assert_eq!((status.topic_id, status.partitions), (None, None));
}

#[test]
fn what_has_become_worse_is_told_once() {
    let mut topic = changed();
    let plan = Plan {
        drift: vec![Difference::Partitions { is: 9, asked: 6 }],
        ..Plan::default()
    };
    let drifted = status_after(&topic, &plan, &[], &existing("id", 0));
    let told = warnings(topic.status.as_ref(), &drifted);
    assert_eq!(told, [("Drift", "9 partitions instead of 6")]);
    topic.status = Some(drifted.clone());
    let same = status_after(&topic, &plan, &[], &existing("id", 0));
    assert_eq!(warnings(Some(&drifted), &same), []);
    let well = status_after(&topic, &Plan::default(), &[], &existing("id", 0));
    assert_eq!(warnings(Some(&drifted), &well), []);
}
