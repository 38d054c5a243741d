//! The conditions for what can be found.

use super::*;
use crate::topic::plan::Obstacle;

const ID: &str = "id";

fn topic() -> Existing {
    Existing {
        id: ID.to_owned(),
        partitions: 6,
        replication_factor: 3,
        ..Existing::default()
    }
}

/// The status and reason of each condition.
fn told(plan: &Plan, failures: &[Failure], topic: &Existing, health: &Health) -> Vec<String> {
    let outcome = Outcome {
        plan,
        failures,
        topic: Some(topic),
        health,
    };
    let short =
        |finding: Finding| format!("{}={:?} {}", finding.type_, finding.holds, finding.reason);
    outcome.findings().into_iter().map(short).collect()
}

#[test]
fn a_topic_that_is_as_asked() {
    let told = told(&Plan::default(), &[], &topic(), &Health::default());
    assert_eq!(
        told,
        [
            "Ready=Some(true) TopicReady",
            "InSync=Some(true) AsAsked",
            "Progressing=Some(false) Settled"
        ]
    );
}

#[test]
fn drift_that_is_left_alone_does_not_make_a_topic_unready() {
    let plan = Plan {
        drift: vec![Difference::Partitions { is: 9, asked: 6 }],
        ..Plan::default()
    };
    let told = told(&plan, &[], &topic(), &Health::default());
    assert_eq!(
        told[..2],
        ["Ready=Some(true) TopicReady", "InSync=Some(false) Drift"]
    );
}

#[test]
fn what_is_asked_for_and_not_done_makes_a_topic_unready() {
    let plan = Plan {
        obstacles: vec![Obstacle::PartitionsCannotShrink { is: 9, asked: 6 }],
        ..Plan::default()
    };
    let blocked = told(&plan, &[], &topic(), &Health::default());
    assert_eq!(
        blocked[..2],
        [
            "Ready=Some(false) PartitionsCannotShrink",
            "InSync=Some(false) PartitionsCannotShrink"
        ]
    );
    let failure = Failure::Refused {
        reason: "ConfigRefused",
        message: "retention.ms must be a number".to_owned(),
    };
    let refused = told(&Plan::default(), &[failure], &topic(), &Health::default());
    assert_eq!(
        refused[..2],
        [
            "Ready=Some(false) ConfigRefused",
            "InSync=Some(false) ConfigRefused"
        ]
    );
}

#[test]
fn a_topic_that_is_gone_or_another_one_is_not_ready() {
    let id = "other".to_owned();
    for (difference, reason) in [
        (Difference::Missing, "TopicMissing"),
        (Difference::Replaced { id }, "TopicReplaced"),
    ] {
        let plan = Plan {
            drift: vec![difference],
            ..Plan::default()
        };
        let told = told(&plan, &[], &topic(), &Health::default());
        assert_eq!(told[0], format!("Ready=Some(false) {reason}"));
    }
}

#[test]
fn partitions_without_a_leader_make_a_topic_unready_and_others_do_not() {
    let behind = Health {
        unhealthy: 6,
        ..Health::default()
    };
    let ready = told(&Plan::default(), &[], &topic(), &behind);
    assert_eq!(ready[0], "Ready=Some(true) TopicReady");
    let offline = Health {
        offline: 1,
        ..behind
    };
    let unready = told(&Plan::default(), &[], &topic(), &offline);
    assert_eq!(unready[0], "Ready=Some(false) PartitionsOffline");
}

#[test]
fn a_topic_whose_replicas_move_is_ready() {
    let moving = Existing {
        moving: 4,
        ..topic()
    };
    let told = told(&Plan::default(), &[], &moving, &Health::default());
    assert_eq!(
        told,
        [
            "Ready=Some(true) TopicReady",
            "InSync=Some(false) ReplicasMoving",
            "Progressing=Some(true) ReplicasMoving"
        ]
    );
}

#[test]
fn a_message_names_a_few() {
    assert_eq!(listed(&[1, 2, 3, 4, 5]), "1, 2, 3, 4, 5");
    assert_eq!(listed(&[1, 2, 3, 4, 5, 6, 7]), "1, 2, 3, 4, 5, and 2 more");
}
