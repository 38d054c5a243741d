//! The part of `TopicService` that moves replicas and leaders.

use fjord_proto::v1::{
    ElectLeadersRequest, Election, ListReassignmentsRequest, OngoingReassignment, PartitionOutcome,
    ReassignPartitionsRequest, Reassignment,
};
use fjord_wire::messages::{
    alter_partition_reassignments_request::{
        AlterPartitionReassignmentsRequest, ReassignablePartition, ReassignableTopic,
    },
    elect_leaders_request::{self, TopicPartitions},
    list_partition_reassignments_request::ListPartitionReassignmentsRequest,
};
use tonic::Status;

use super::{backend::Client, error};

const ALTER_PARTITION_REASSIGNMENTS: i16 = 1;
const LIST_PARTITION_REASSIGNMENTS: i16 = 0;
const ELECT_LEADERS: i16 = 2;
/// How long changes may take, in milliseconds.
const TIMEOUT_MS: i32 = 30_000;
/// Kafka's kinds of elections.
const PREFERRED: i8 = 0;
const UNCLEAN: i8 = 1;

/// Begins or cancels reassignments. The outcomes are in the order of the request.
///
/// # Errors
///
/// If all of them are refused for one reason.
pub async fn reassign(
    client: &Client,
    request: ReassignPartitionsRequest,
) -> Result<Vec<PartitionOutcome>, Status> {
    let to_topic = |asked: Reassignment| ReassignableTopic {
        name: asked.topic,
        partitions: vec![ReassignablePartition {
            partition_index: asked.partition,
            replicas: Some(asked.replicas).filter(|replicas| !replicas.is_empty()),
        }],
    };
    let asked = AlterPartitionReassignmentsRequest {
        timeout_ms: TIMEOUT_MS,
        allow_replication_factor_change: !request.keep_replication_factor,
        topics: request.reassignments.into_iter().map(to_topic).collect(),
    };
    let response = client.call(ALTER_PARTITION_REASSIGNMENTS, asked).await?;
    error::check(response.error_code, response.error_message)?;
    let mut outcomes = Vec::new();
    for topic in response.responses {
        for partition in topic.partitions {
            outcomes.push(PartitionOutcome {
                topic: topic.name.clone(),
                partition: partition.partition_index,
                error: error::part_of(partition.error_code, partition.error_message),
            });
        }
    }
    Ok(outcomes)
}

/// What is being reassigned.
///
/// # Errors
///
/// If that must not be told.
pub async fn list(
    client: &Client,
    request: &ListReassignmentsRequest,
) -> Result<Vec<OngoingReassignment>, Status> {
    let asked = ListPartitionReassignmentsRequest {
        timeout_ms: TIMEOUT_MS,
        topics: None,
    };
    let response = client.call(LIST_PARTITION_REASSIGNMENTS, asked).await?;
    error::check(response.error_code, response.error_message)?;
    let mut ongoing = Vec::new();
    for topic in response.topics {
        if !request.topics.is_empty() && !request.topics.contains(&topic.name) {
            continue;
        }
        for partition in topic.partitions {
            ongoing.push(OngoingReassignment {
                topic: topic.name.clone(),
                partition: partition.partition_index,
                replicas: partition.replicas,
                adding: partition.adding_replicas,
                removing: partition.removing_replicas,
            });
        }
    }
    Ok(ongoing)
}

/// Elects leaders; the outcomes are those of the partitions that were named, or of those that needed it.
///
/// # Errors
///
/// If the request makes no sense, or all of it is refused.
pub async fn elect(
    client: &Client,
    request: ElectLeadersRequest,
) -> Result<Vec<PartitionOutcome>, Status> {
    let election_type = match request.election() {
        Election::Unspecified | Election::Preferred => PREFERRED,
        Election::Unclean if request.partitions.is_empty() => {
            return Err(error::invalid(
                "an unclean election can lose records: name the partitions",
            ));
        }
        Election::Unclean => UNCLEAN,
    };
    let named = request.partitions.into_iter().map(|named| TopicPartitions {
        topic: named.topic,
        partitions: vec![named.partition],
    });
    let named: Vec<TopicPartitions> = named.collect();
    let asked = elect_leaders_request::ElectLeadersRequest {
        election_type,
        topic_partitions: Some(named).filter(|named| !named.is_empty()),
        timeout_ms: TIMEOUT_MS,
    };
    let response = client.call(ELECT_LEADERS, asked).await?;
    error::check(response.error_code, None)?;
    let mut outcomes = Vec::new();
    for topic in response.replica_election_results {
        for partition in topic.partition_result {
            outcomes.push(PartitionOutcome {
                topic: topic.topic.clone(),
                partition: partition.partition_id,
                error: error::part_of(partition.error_code, partition.error_message),
            });
        }
    }
    Ok(outcomes)
}
