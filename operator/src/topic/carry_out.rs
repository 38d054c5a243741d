//! Steps of a plan, as calls to the brokers.

use fjord_client::{
    ApiError, Client, Error,
    proto::{
        AlterTopicRequest, CreateTopicRequest, DeleteTopicRequest, ListReassignmentsRequest,
        PlanReassignmentsRequest, ReassignPartitionsRequest, Reassignment, ReplicationFactorGoal,
        plan_reassignments_request::Goal,
    },
};

use super::{
    plan::{self, Existing, Step},
    view::is_unknown,
};
use crate::api::topic::TopicSpec;

/// The brokers cannot do it now.
const UNAVAILABLE: &str = "BrokersUnavailable";

/// Why a step was not carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// The topic is there already, or is not there any more: the plan was made of what is not so any more.
    Stale,
    /// The brokers said no, or were not reached.
    Refused {
        /// The reason of a condition.
        reason: &'static str,
        /// What they said.
        message: String,
    },
}

impl Failure {
    /// Whether the same step may succeed soon, without anything being changed.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Stale => true,
            Self::Refused { reason, .. } => *reason == UNAVAILABLE,
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match error {
            error if is_unknown(&error) || error.reason() == "TOPIC_ALREADY_EXISTS" => Self::Stale,
            Error::Api(error) => error.into(),
            // Its words may differ each time.
            _ => Self::Refused {
                reason: UNAVAILABLE,
                message: "the brokers have not answered in time".to_owned(),
            },
        }
    }
}

impl From<ApiError> for Failure {
    fn from(error: ApiError) -> Self {
        let reason = match error.reason.as_str() {
            "INVALID_CONFIG" => "ConfigRefused",
            "INVALID_REPLICATION_FACTOR" => "NotEnoughBrokers",
            "INVALID_TOPIC_EXCEPTION" => "NameRefused",
            _ if error.retriable => UNAVAILABLE,
            _ => "Refused",
        };
        Self::Refused {
            reason,
            message: error.message,
        }
    }
}

/// Carries out one step for the topic of this name. Returns the topic as it is then.
///
/// # Errors
///
/// The brokers said no, or were not reached.
pub async fn carry_out(
    client: &Client,
    name: &str,
    spec: &TopicSpec,
    step: &Step,
    existing: Existing,
) -> Result<Existing, Failure> {
    let existing = match step {
        Step::Create => create(client, name, spec).await?,
        Step::AddPartitions(partitions) => {
            let request = AlterTopicRequest {
                topic: name.to_owned(),
                partitions: *partitions,
                ..AlterTopicRequest::default()
            };
            client.alter_topic(request).await?;
            existing
        }
        Step::AlterConfigs { set, reset } => {
            let request = AlterTopicRequest {
                topic: name.to_owned(),
                set_configs: set.clone().into_iter().collect(),
                reset_configs: reset.clone(),
                ..AlterTopicRequest::default()
            };
            client.alter_topic(request).await?;
            existing
        }
        Step::MoveReplicas(factor) => {
            let moving = move_replicas(client, name, *factor).await?;
            if moving > 0 {
                return Ok(Existing { moving, ..existing });
            }
            existing
        }
    };
    Ok(plan::effect(step, spec, existing))
}

/// Deletes the topic of this id; one that is gone already is deleted.
///
/// # Errors
///
/// The brokers said no, or were not reached.
pub async fn delete(client: &Client, topic_id: &str) -> Result<(), Failure> {
    let request = DeleteTopicRequest {
        topic_id: topic_id.to_owned(),
        ..DeleteTopicRequest::default()
    };
    match client.delete_topic(request).await {
        Err(error) if !is_unknown(&error) => Err(error.into()),
        _ => Ok(()),
    }
}

async fn create(client: &Client, name: &str, spec: &TopicSpec) -> Result<Existing, Failure> {
    let request = CreateTopicRequest {
        topic: name.to_owned(),
        partitions: spec.partitions.unwrap_or_default(),
        replication_factor: spec.replication_factor.unwrap_or_default(),
        configs: spec.config.clone().into_iter().collect(),
        validate_only: false,
    };
    let created = client.create_topic(request).await?.topic;
    let created = created.unwrap_or_default();
    Ok(Existing {
        id: created.topic_id,
        partitions: created.partitions,
        replication_factor: created.replication_factor,
        ..Existing::default()
    })
}

/// How many partitions are on their way to so many replicas; none if all have them.
async fn move_replicas(
    client: &Client,
    name: &str,
    replication_factor: i32,
) -> Result<i32, Failure> {
    let goal = ReplicationFactorGoal {
        topics: vec![name.to_owned()],
        replication_factor,
    };
    let plan = client
        .plan_reassignments(PlanReassignmentsRequest {
            goal: Some(Goal::ReplicationFactor(goal)),
            ..PlanReassignmentsRequest::default()
        })
        .await?;
    if plan.moves.is_empty() {
        if plan.unfinished_partitions == 0 {
            return Ok(0);
        }
        // Partitions that are on their way already are not in a plan.
        let topics = vec![name.to_owned()];
        let ongoing = client
            .list_reassignments(ListReassignmentsRequest { topics })
            .await?;
        return match ongoing.reassignments.len() {
            0 => Err(nowhere(replication_factor, plan.unfinished_partitions)),
            moving => Ok(count(moving)),
        };
    }
    let reassignment = |planned: fjord_client::proto::PlannedMove| Reassignment {
        topic: planned.topic,
        partition: planned.partition,
        replicas: planned.to,
    };
    let moving = count(plan.moves.len());
    let outcome = client
        .reassign_partitions(ReassignPartitionsRequest {
            reassignments: plan.moves.into_iter().map(reassignment).collect(),
            keep_replication_factor: false,
        })
        .await?;
    let refused = outcome.partitions.into_iter().find_map(|p| p.error);
    refused.map_or(Ok(moving), |error| Err(Error::from(error).into()))
}

fn nowhere(replication_factor: i32, partitions: i32) -> Failure {
    Failure::Refused {
        reason: "NotEnoughBrokers",
        message: format!(
            "{replication_factor} replicas are asked for, and {partitions} partitions find no brokers for them: those \
             that are down or cordoned take none"
        ),
    }
}

fn count(count: usize) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    use fjord_client::Code;

    use super::*;

    fn failure(reason: &str, retriable: bool) -> Failure {
        Failure::from(Error::Api(ApiError {
            code: Code::Unknown,
            reason: reason.to_owned(),
            message: "what to do".to_owned(),
            retriable,
        }))
    }

    #[test]
    fn what_brokers_say_becomes_one_of_a_few_reasons() {
        let reason = |error, retriable| match failure(error, retriable) {
            Failure::Stale => "stale",
            Failure::Refused { reason, message } => {
                assert_eq!(message, "what to do");
                reason
            }
        };
        assert_eq!(reason("TOPIC_ALREADY_EXISTS", false), "stale");
        assert_eq!(reason("UNKNOWN_TOPIC_OR_PARTITION", true), "stale");
        assert_eq!(reason("INVALID_CONFIG", false), "ConfigRefused");
        assert_eq!(reason("NOT_CONTROLLER", true), "BrokersUnavailable");
        assert_eq!(reason("TOPIC_AUTHORIZATION_FAILED", false), "Refused");
    }

    #[test]
    fn a_broken_connection_is_told_in_the_same_words_each_time() {
        let lost = |cause: &str| {
            Failure::from(Error::Disconnected {
                address: "a:1".to_owned(),
                cause: cause.to_owned(),
            })
        };
        assert_eq!(lost("reset"), lost("broken pipe"));
    }
}
