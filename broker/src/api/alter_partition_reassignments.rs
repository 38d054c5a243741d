//! AlterPartitionReassignments (key 45), versions 0 and 1: moves replicas to other brokers (KIP-455).
//!
//! - Errors are per partition. Null replicas cancel the reassignment that is going on.
//! - Answered once it has begun: ListPartitionReassignments tells how far it is.
//! - From version 1 a client can forbid that the number of replicas changes (KIP-860); version 0 allows it.

use fjord_wire::{
    ErrorCode,
    messages::{
        alter_partition_reassignments_request::{
            AlterPartitionReassignmentsRequest, ReassignableTopic,
        },
        alter_partition_reassignments_response::{
            AlterPartitionReassignmentsResponse, ReassignablePartitionResponse,
            ReassignableTopicResponse,
        },
    },
};

use super::{
    Answer, Call, Handler, MAX_PARTITIONS_PER_COMMAND,
    call::first_of,
    error::{ApiError, code_and_message},
};
use crate::{
    metadata::commands::{AlterReassignments, Reassignment},
    net::CloseConnection,
    security::{Operation, QuotaKind, Resource},
};

pub struct AlterPartitionReassignments;

impl Handler for AlterPartitionReassignments {
    type Request = AlterPartitionReassignmentsRequest;

    async fn handle(
        mut call: Call<AlterPartitionReassignmentsRequest>,
    ) -> Result<Answer<AlterPartitionReassignmentsResponse>, CloseConnection> {
        let may_change = call.request.allow_replication_factor_change;
        let response = AlterPartitionReassignmentsResponse {
            allow_replication_factor_change: may_change,
            error_message: None,
            ..Default::default()
        };
        if !call.is_authorized(Operation::Alter, Resource::cluster()) {
            return Ok(Answer::Now(AlterPartitionReassignmentsResponse {
                error_code: ErrorCode::ClusterAuthorizationFailed.code(),
                ..response
            }));
        }
        let topics = std::mem::take(&mut call.request.topics);
        let reassignments: Vec<Reassignment> = topics.iter().flat_map(to_reassignments).collect();
        let throttle_time_ms =
            call.throttle_time_ms(QuotaKind::ControllerMutation, reassignments.len());
        let mut outcomes = alter(&call, reassignments, may_change).await.into_iter();
        let to_response = |topic: ReassignableTopic| ReassignableTopicResponse {
            partitions: topic
                .partitions
                .iter()
                .zip(outcomes.by_ref())
                .map(|(partition, outcome)| {
                    let (error_code, error_message) = code_and_message(outcome);
                    ReassignablePartitionResponse {
                        partition_index: partition.partition_index,
                        error_code,
                        error_message,
                    }
                })
                .collect(),
            name: topic.name,
        };
        Ok(Answer::Now(AlterPartitionReassignmentsResponse {
            throttle_time_ms,
            responses: topics.into_iter().map(to_response).collect(),
            ..response
        }))
    }

    fn first_error(response: &AlterPartitionReassignmentsResponse) -> i16 {
        let partitions = response
            .responses
            .iter()
            .flat_map(|topic| &topic.partitions);
        let of_partitions = partitions.map(|partition| partition.error_code);
        first_of(std::iter::once(response.error_code).chain(of_partitions))
    }
}

fn to_reassignments(topic: &ReassignableTopic) -> impl Iterator<Item = Reassignment> {
    topic.partitions.iter().map(|partition| Reassignment {
        topic: topic.name.clone(),
        index: partition.partition_index,
        replicas: partition.replicas.clone(),
    })
}

/// The outcomes, in the order of the reassignments.
async fn alter(
    call: &Call<AlterPartitionReassignmentsRequest>,
    reassignments: Vec<Reassignment>,
    may_change_replication_factor: bool,
) -> Vec<Result<(), ApiError>> {
    let mut outcomes = Vec::with_capacity(reassignments.len());
    for part in reassignments.chunks(MAX_PARTITIONS_PER_COMMAND) {
        let request = AlterReassignments {
            reassignments: part.to_vec(),
            may_change_replication_factor,
        };
        match call.broker.metadata.submit(request).await {
            Ok(altered) => outcomes.extend(altered.into_iter().map(|o| o.map_err(ApiError::from))),
            Err(error) => {
                let error = ApiError::from(error);
                outcomes.extend(part.iter().map(|_| Err(error.clone())));
            }
        }
    }
    outcomes
}
