//! What must hold of any plan.

use k8s_openapi::jiff::Timestamp;
use proptest::{collection::btree_map, option, prelude::*};

use super::*;
use crate::{
    api::Topic,
    testing,
    topic::{findings::Outcome, health::Health, status},
};

fn any_configs() -> impl Strategy<Value = Configs> {
    btree_map("[a-d]", "[0-2]", 0..4)
}

fn any_spec() -> impl Strategy<Value = TopicSpec> {
    (
        option::of(1..5i32),
        option::of(1..5i32),
        any_configs(),
        any::<bool>(),
    )
        .prop_map(
            |(partitions, replication_factor, config, corrects)| TopicSpec {
                partitions,
                replication_factor,
                config,
                drift_policy: match corrects {
                    true => DriftPolicy::Correct,
                    false => DriftPolicy::Report,
                },
                ..testing::topic("kafka", "orders").spec
            },
        )
}

fn any_topic() -> impl Strategy<Value = Existing> {
    ("[xy]", 1..5i32, 1..4i32, any_configs()).prop_map(
        |(id, partitions, replication_factor, configs)| Existing {
            id,
            partitions,
            replication_factor,
            configs,
            ..Existing::default()
        },
    )
}

fn any_status() -> impl Strategy<Value = TopicStatus> {
    let kept = proptest::collection::vec("[a-d]", 0..2);
    (option::of("[xy]"), option::of(any_spec()), kept).prop_map(|(topic_id, spec, kept_configs)| {
        TopicStatus {
            topic_id,
            carried_out: spec.map(|spec| CarriedOut::from(&spec)),
            kept_configs,
            ..TopicStatus::default()
        }
    })
}

fn any_observed() -> impl Strategy<Value = Observed> {
    (1..4i32, option::of(any_topic())).prop_map(|(brokers, topic)| Observed { brokers, topic })
}

/// Brokers that carry out all steps at once; a topic that they make has the id `z`.
fn carried_out(spec: &TopicSpec, plan: &Plan, topic: Option<Existing>) -> Option<Existing> {
    plan.steps.iter().fold(topic, |topic, step| {
        let before = match step {
            Step::Create => Existing {
                id: "z".to_owned(),
                partitions: spec.partitions.unwrap_or(1),
                replication_factor: spec.replication_factor.unwrap_or(1),
                ..Existing::default()
            },
            _ => topic.unwrap_or_default(),
        };
        Some(effect(step, spec, before))
    })
}

/// The status once the plan was carried out.
fn next_status(
    spec: &TopicSpec,
    status: TopicStatus,
    plan: &Plan,
    topic: Option<&Existing>,
) -> TopicStatus {
    let resource = Topic {
        spec: spec.clone(),
        status: Some(status),
        ..testing::topic("kafka", "orders")
    };
    let outcome = Outcome {
        plan,
        failures: &[],
        topic,
        health: &Health::default(),
    };
    status::after(&resource, &outcome, Timestamp::UNIX_EPOCH)
}

proptest! {
    #[test]
    fn once_is_enough(spec in any_spec(), status in any_status(), observed in any_observed()) {
        let first = plan(&spec, &status, &observed, false);
        let topic = carried_out(&spec, &first, observed.topic.clone());
        let status = next_status(&spec, status, &first, topic.as_ref());
        let observed = Observed { topic, ..observed };
        let second = plan(&spec, &status, &observed, false);
        prop_assert_eq!(&second.steps, &[]);
        prop_assert!(!second.adopts);
        prop_assert_eq!(&second.kept_configs, &first.kept_configs);
        let again = next_status(&spec, status.clone(), &second, observed.topic.as_ref());
        prop_assert_eq!(again, status);
    }

    #[test]
    fn nothing_is_lost(spec in any_spec(), status in any_status(), observed in any_observed()) {
        let plan = plan(&spec, &status, &observed, false);
        let Some(before) = observed.topic.clone() else { return Ok(()) };
        let after = carried_out(&spec, &plan, observed.topic).expect("it is still there");
        prop_assert_eq!(&after.id, &before.id);
        prop_assert!(after.partitions >= before.partitions);
        // Only configs that are named, or were not there when the topic was adopted, become others.
        for (name, value) in &before.configs {
            let is_own = !plan.adopts && !status.kept_configs.contains(name);
            let is_same = after.configs.get(name) == Some(value);
            prop_assert!(is_same || is_own || spec.config.contains_key(name));
        }
    }

    #[test]
    fn drift_is_only_reported_if_the_policy_says_so(
        spec in any_spec(), id in "[xy]", observed in any_observed()
    ) {
        let spec = TopicSpec { drift_policy: DriftPolicy::Report, ..spec };
        let unchanged = TopicStatus {
            topic_id: Some(id),
            carried_out: Some(CarriedOut::from(&spec)),
            ..TopicStatus::default()
        };
        prop_assert_eq!(plan(&spec, &unchanged, &observed, true).steps, vec![]);
    }

    #[test]
    fn a_plan_leaves_nothing_out(spec in any_spec(), status in any_status(), observed in any_observed()) {
        let plan = plan(&spec, &status, &observed, false);
        let is_quiet = plan.steps.is_empty() && plan.drift.is_empty() && plan.obstacles.is_empty();
        let is_as_asked = observed.topic.is_some_and(|topic| {
            spec.partitions.is_none_or(|asked| asked == topic.partitions)
                && spec.replication_factor.is_none_or(|asked| asked == topic.replication_factor)
                && spec.config.iter().all(|(name, value)| topic.configs.get(name) == Some(value))
                && topic.configs.keys().all(|name| {
                    spec.config.contains_key(name) || plan.kept_configs.contains(name)
                })
        });
        let knows_another = plan.drift.iter().any(|d| matches!(d, Difference::Replaced { .. }));
        prop_assert_eq!(is_quiet, is_as_asked && !knows_another);
    }
}
