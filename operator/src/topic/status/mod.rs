//! The status of a Topic, and the events that its changes are worth.

use k8s_openapi::{apimachinery::pkg::apis::meta::v1::Condition, jiff::Timestamp};

use super::findings::{HeldUp, Outcome};
use crate::api::{
    Topic, TopicStatus,
    conditions::{self, Finding},
    topic::CarriedOut,
};

/// The status after a plan was carried out, as far as it could be.
#[must_use]
pub fn after(topic: &Topic, outcome: &Outcome<'_>, now: Timestamp) -> TopicStatus {
    let old = topic.status.clone().unwrap_or_default();
    let conditions = conditions_of(topic, &old, &outcome.findings(), now);
    let status = TopicStatus {
        observed_generation: topic.metadata.generation,
        topic_name: Some(topic.topic_name().to_owned()),
        conditions,
        ..old
    };
    let left_alone = outcome.plan.leaves_alone();
    let Some(existing) = outcome.topic.filter(|_| !left_alone) else {
        return status;
    };
    let wanted = CarriedOut::from(&topic.spec);
    // What could not be done, or is not done yet, is still a change of the resource.
    let before = status.carried_out.as_ref();
    let moves_replicas = before.is_some_and(|b| b.replication_factor != wanted.replication_factor);
    let is_done = outcome.failures.is_empty()
        && outcome.plan.obstacles.is_empty()
        && !(existing.moving > 0 && moves_replicas);
    TopicStatus {
        topic_id: Some(existing.id.clone()),
        partitions: Some(existing.partitions),
        replication_factor: Some(existing.replication_factor),
        unhealthy_partitions: Some(outcome.health.unhealthy),
        worst_partitions: outcome.health.worst.clone(),
        carried_out: if is_done {
            Some(wanted)
        } else {
            status.carried_out.clone()
        },
        kept_configs: outcome.plan.kept_configs.clone(),
        ..status
    }
}

/// The status of a resource whose topic could not be looked at. What is known of the topic stays, unless it is another
/// resource's.
#[must_use]
pub fn held_up(topic: &Topic, held_up: &HeldUp, now: Timestamp) -> TopicStatus {
    let old = topic.status.clone().unwrap_or_default();
    let conditions = conditions_of(topic, &old, &held_up.findings(), now);
    let known = match held_up {
        HeldUp::NameConflict { .. } => TopicStatus::default(),
        _ => old,
    };
    TopicStatus {
        observed_generation: topic.metadata.generation,
        topic_name: Some(topic.topic_name().to_owned()),
        conditions,
        ..known
    }
}

/// What of a change of the status people should be told: its conditions that are not as they should be, and were not
/// so before, as reason and message.
#[must_use]
pub fn warnings<'a>(old: Option<&TopicStatus>, new: &'a TopicStatus) -> Vec<(&'a str, &'a str)> {
    let was_so = |condition: &Condition| {
        let old = old.iter().flat_map(|old| &old.conditions);
        old.into_iter().any(|old| {
            (&old.type_, &old.status, &old.reason)
                == (&condition.type_, &condition.status, &condition.reason)
        })
    };
    let mut told: Vec<(&str, &str)> = Vec::new();
    for condition in &new.conditions {
        let is_bad = match condition.type_.as_str() {
            "Ready" => condition.status != "True",
            "InSync" => condition.reason == "Drift",
            _ => false,
        };
        if is_bad && !was_so(condition) {
            told.push((&condition.reason, &condition.message));
        }
    }
    told
}

/// Whether replicas moved when the topic was last looked at.
#[must_use]
pub fn was_moving(status: &TopicStatus) -> bool {
    let mut conditions = status.conditions.iter();
    conditions.any(|condition| condition.type_ == "Progressing" && condition.status == "True")
}

/// The new conditions; those that nothing was found of stay.
fn conditions_of(
    topic: &Topic,
    old: &TopicStatus,
    findings: &[Finding],
    now: Timestamp,
) -> Vec<Condition> {
    let mut conditions =
        conditions::merged(&old.conditions, findings, topic.metadata.generation, now);
    let is_told = |old: &&Condition| findings.iter().all(|finding| finding.type_ != old.type_);
    conditions.extend(old.conditions.iter().filter(is_told).cloned());
    conditions
}

#[cfg(test)]
mod tests;
