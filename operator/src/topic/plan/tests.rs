//! One rule of the planner each.

use super::*;
use crate::testing;

fn spec(partitions: i32, replication_factor: i32, config: &[(&str, &str)]) -> TopicSpec {
    TopicSpec {
        partitions: Some(partitions),
        replication_factor: Some(replication_factor),
        config: configs(config),
        ..testing::topic("kafka", "orders").spec
    }
}

fn reporting(spec: TopicSpec) -> TopicSpec {
    TopicSpec {
        drift_policy: DriftPolicy::Report,
        ..spec
    }
}

fn configs(config: &[(&str, &str)]) -> Configs {
    let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    config.iter().map(owned).collect()
}

fn there(id: &str, partitions: i32, factor: i32, config: &[(&str, &str)]) -> Observed {
    Observed {
        brokers: 3,
        topic: Some(Existing {
            id: id.to_owned(),
            partitions,
            replication_factor: factor,
            configs: configs(config),
            ..Existing::default()
        }),
    }
}

const NOWHERE: Observed = Observed {
    brokers: 3,
    topic: None,
};

/// The status of a resource that has the topic with the id `id`, and of which this was carried out.
fn known(carried_out: &TopicSpec) -> TopicStatus {
    TopicStatus {
        topic_id: Some("id".to_owned()),
        carried_out: Some(carried_out.into()),
        ..TopicStatus::default()
    }
}

fn set(config: &[(&str, &str)], reset: &[&str]) -> Step {
    Step::AlterConfigs {
        set: configs(config),
        reset: reset.iter().map(|&name| name.to_owned()).collect(),
    }
}

#[test]
fn a_topic_that_is_not_there_is_made() {
    for spec in [spec(6, 3, &[]), reporting(spec(6, 3, &[]))] {
        let plan = plan(&spec, &TopicStatus::default(), &NOWHERE, false);
        assert_eq!(plan.steps, [Step::Create]);
        assert!(!plan.adopts);
    }
}

#[test]
fn more_replicas_than_brokers_are_told_and_not_tried() {
    let obstacle = [Obstacle::NotEnoughBrokers {
        brokers: 3,
        asked: 4,
    }];
    let spec = spec(6, 4, &[]);
    for observed in [NOWHERE, there("id", 6, 3, &[])] {
        let plan = plan(&spec, &TopicStatus::default(), &observed, false);
        assert_eq!((plan.steps, plan.obstacles), (vec![], obstacle.to_vec()));
    }
}

#[test]
fn what_differs_is_put_right() {
    let spec = spec(
        6,
        3,
        &[("retention.ms", "1000"), ("cleanup.policy", "compact")],
    );
    let observed = there(
        "id",
        3,
        1,
        &[("retention.ms", "2000"), ("segment.bytes", "9")],
    );
    let plan = plan(&spec, &known(&spec), &observed, false);
    let steps = [
        Step::AddPartitions(6),
        set(
            &[("retention.ms", "1000"), ("cleanup.policy", "compact")],
            &["segment.bytes"],
        ),
        Step::MoveReplicas(3),
    ];
    assert_eq!(plan.steps, steps);
    assert_eq!(plan.drift, []);
}

#[test]
fn what_differs_is_reported() {
    let spec = reporting(spec(6, 3, &[("a", "1"), ("b", "2")]));
    let observed = there("id", 3, 1, &[("a", "3"), ("c", "4")]);
    let plan = plan(&spec, &known(&spec), &observed, false);
    assert_eq!(plan.steps, []);
    let told: Vec<String> = plan.drift.iter().map(ToString::to_string).collect();
    assert_eq!(
        told,
        [
            "3 partitions instead of 6",
            "a is 3 instead of 1",
            "b is not set",
            "c is set to 4",
            "1 replicas instead of 3"
        ]
    );
}

#[test]
fn a_change_of_the_resource_is_carried_out_where_drift_is_reported() {
    let before = spec(3, 1, &[("a", "1"), ("b", "2"), ("c", "3")]);
    let after = reporting(spec(6, 3, &[("a", "9"), ("b", "2")]));
    let observed = there(
        "id",
        3,
        1,
        &[("a", "1"), ("b", "7"), ("c", "3"), ("d", "4")],
    );
    let plan = plan(&after, &known(&before), &observed, false);
    let steps = [
        Step::AddPartitions(6),
        set(&[("a", "9")], &["c"]),
        Step::MoveReplicas(3),
    ];
    assert_eq!(plan.steps, steps);
    let told: Vec<String> = plan.drift.iter().map(ToString::to_string).collect();
    assert_eq!(told, ["b is 7 instead of 2", "d is set to 4"]);
}

#[test]
fn partitions_are_never_taken_away() {
    let obstacle = Obstacle::PartitionsCannotShrink { is: 9, asked: 6 };
    let plan = plan(
        &spec(6, 3, &[]),
        &TopicStatus::default(),
        &there("id", 9, 3, &[]),
        false,
    );
    assert_eq!((plan.steps, plan.obstacles), (vec![], vec![obstacle]));
}

#[test]
fn configs_that_an_adopted_topic_had_are_kept_until_they_are_named() {
    let own = spec(6, 3, &[("a", "1")]);
    let found = there("id", 6, 3, &[("retention.ms", "-1")]);
    let adopted = plan(&own, &TopicStatus::default(), &found, false);
    assert!(adopted.adopts);
    assert_eq!(adopted.steps, [set(&[("a", "1")], &[])]);
    assert_eq!(adopted.kept_configs, ["retention.ms"]);

    // Later, what others set is set back, and what was kept still is.
    let mut status = known(&own);
    status.kept_configs = adopted.kept_configs;
    let found = there(
        "id",
        6,
        3,
        &[("a", "1"), ("retention.ms", "-1"), ("b", "2")],
    );
    let later = plan(&own, &status, &found, false);
    assert_eq!(later.steps, [set(&[], &["b"])]);
    assert_eq!(later.kept_configs, ["retention.ms"]);

    // Once it is named it is the resource's, and set back when it is named no more.
    let naming = spec(6, 3, &[("a", "1"), ("retention.ms", "-1")]);
    let named = plan(&naming, &status, &found, false);
    assert_eq!(named.kept_configs, Vec::<String>::new());
    let found = there("id", 6, 3, &[("a", "1"), ("retention.ms", "-1")]);
    let unnamed = plan(&own, &known(&naming), &found, false);
    assert_eq!(unnamed.steps, [set(&[], &["retention.ms"])]);
}

#[test]
fn a_topic_that_was_deleted_is_made_anew_or_reported() {
    let own = spec(6, 3, &[]);
    let corrected = plan(&own, &known(&own), &NOWHERE, false);
    assert_eq!(corrected.steps, [Step::Create]);
    let reported = plan(&reporting(own.clone()), &known(&own), &NOWHERE, false);
    assert_eq!(
        (reported.steps, reported.drift),
        (vec![], vec![Difference::Missing])
    );
}

#[test]
fn another_topic_of_the_same_name_is_adopted_or_left_alone() {
    let own = spec(6, 3, &[]);
    let other = there("other", 3, 3, &[("retention.ms", "-1")]);
    let corrected = plan(&own, &known(&own), &other, false);
    assert!(corrected.adopts);
    assert_eq!(corrected.steps, [Step::AddPartitions(6)]);
    assert_eq!(corrected.kept_configs, ["retention.ms"]);
    let reported = plan(&reporting(own.clone()), &known(&own), &other, false);
    assert!(!reported.adopts && reported.leaves_alone());
    let id = "other".to_owned();
    assert_eq!(
        (reported.steps, reported.drift),
        (vec![], vec![Difference::Replaced { id }])
    );
}

#[test]
fn replicas_that_move_are_waited_for_and_then_counted_again() {
    let own = spec(6, 3, &[]);
    let mut moving = there("id", 6, 4, &[]);
    if let Some(topic) = &mut moving.topic {
        topic.moving = 6;
    }
    assert_eq!(plan(&own, &known(&own), &moving, true).steps, []);
    let settled = there("id", 6, 3, &[]);
    let checked = plan(&own, &known(&own), &settled, true);
    assert_eq!(checked.steps, [Step::MoveReplicas(3)]);
    assert_eq!(plan(&own, &known(&own), &settled, false).steps, []);
}

#[test]
fn a_topic_of_the_brokers_themselves_is_left_alone() {
    let mut observed = there("id", 50, 3, &[("cleanup.policy", "compact")]);
    if let Some(topic) = &mut observed.topic {
        topic.internal = true;
    }
    let plan = plan(&spec(6, 3, &[]), &TopicStatus::default(), &observed, false);
    assert!(plan.steps.is_empty() && !plan.adopts && plan.leaves_alone());
    assert_eq!(plan.obstacles, [Obstacle::Internal]);
}
