//! ElectLeaders (key 43), versions 0 to 2: preferred and unclean elections on demand (KIP-183, KIP-460).
//!
//! - Version 0 knows preferred elections only. An unclean one is held whatever the topic's configs say.
//! - Errors are per partition. Null partitions ask for all; those that need no election are left out then.
//! - Version 0 has no room for an error of the request as a whole: each partition has it.

use fjord_wire::{
    ErrorCode,
    messages::{
        elect_leaders_request::ElectLeadersRequest,
        elect_leaders_response::{ElectLeadersResponse, PartitionResult, ReplicaElectionResult},
    },
};

use super::{
    Answer, Call, Handler, MAX_PARTITIONS_PER_COMMAND,
    call::first_of,
    error::{ApiError, code_and_message},
};
use crate::{
    metadata::{
        Image,
        commands::{self, ElectionKind, needs_election},
    },
    net::CloseConnection,
    security::{Operation, QuotaKind, Resource},
};

const PREFERRED: i8 = 0;
const UNCLEAN: i8 = 1;
/// The first version with an error of the request as a whole.
const FIRST_VERSION_WITH_ERROR: i16 = 1;

pub struct ElectLeaders;

/// A partition, by topic and index.
type Named = (String, i32);

impl Handler for ElectLeaders {
    type Request = ElectLeadersRequest;

    async fn handle(
        call: Call<ElectLeadersRequest>,
    ) -> Result<Answer<ElectLeadersResponse>, CloseConnection> {
        let named = named(&call.request);
        let kind = match permitted_kind(&call) {
            Ok(kind) => kind,
            Err(error) => return Ok(Answer::Now(refused(call.version, named, &error))),
        };
        let partitions = match named {
            Some(named) => named,
            None => needing(&call.image(), kind),
        };
        let throttle_time_ms =
            call.throttle_time_ms(QuotaKind::ControllerMutation, partitions.len());
        let mut outcomes = elect(&call, kind, partitions).await;
        if call.request.topic_partitions.is_none() {
            // The leader may have changed since it was looked at.
            let not_needed = Err(ErrorCode::ElectionNotNeeded);
            outcomes.retain(|(_, o)| o.as_ref().map_err(|error| error.code) != not_needed);
        }
        Ok(Answer::Now(ElectLeadersResponse {
            throttle_time_ms,
            error_code: ErrorCode::None.code(),
            replica_election_results: by_topic(outcomes),
        }))
    }

    fn first_error(response: &ElectLeadersResponse) -> i16 {
        let topics = response.replica_election_results.iter();
        let partitions = topics.flat_map(|topic| &topic.partition_result);
        let of_partitions = partitions.map(|partition| partition.error_code);
        first_of(std::iter::once(response.error_code).chain(of_partitions))
    }
}

fn permitted_kind(call: &Call<ElectLeadersRequest>) -> Result<ElectionKind, ApiError> {
    if !call.is_authorized(Operation::Alter, Resource::cluster()) {
        return Err(ErrorCode::ClusterAuthorizationFailed.into());
    }
    match call.request.election_type {
        PREFERRED => Ok(ElectionKind::Preferred),
        UNCLEAN => Ok(ElectionKind::Unclean),
        other => Err(ApiError::invalid_request(format!(
            "Unknown election type {other}"
        ))),
    }
}

fn refused(version: i16, named: Option<Vec<Named>>, error: &ApiError) -> ElectLeadersResponse {
    if version >= FIRST_VERSION_WITH_ERROR {
        return ElectLeadersResponse {
            error_code: error.code.code(),
            ..Default::default()
        };
    }
    let partitions = named.unwrap_or_default().into_iter();
    let outcomes = partitions.map(|partition| (partition, Err(error.clone())));
    ElectLeadersResponse {
        replica_election_results: by_topic(outcomes.collect()),
        ..Default::default()
    }
}

/// The partitions that the request names; `None` if it asks for all.
fn named(request: &ElectLeadersRequest) -> Option<Vec<Named>> {
    let topics = request.topic_partitions.as_ref()?.iter();
    let named = topics.flat_map(|topic| {
        let partitions = topic.partitions.iter();
        partitions.map(|index| (topic.topic.clone(), *index))
    });
    Some(named.collect())
}

/// All partitions that an election of this kind could give another leader.
fn needing(image: &Image, kind: ElectionKind) -> Vec<Named> {
    let needing = image
        .partitions()
        .filter(|(_, _, partition)| needs_election(partition, kind));
    needing
        .map(|(topic, index, _)| {
            let index = i32::try_from(index).expect("partitions are counted by an i32");
            (topic.name.to_string(), index)
        })
        .collect()
}

async fn elect(
    call: &Call<ElectLeadersRequest>,
    kind: ElectionKind,
    partitions: Vec<Named>,
) -> Vec<(Named, Result<(), ApiError>)> {
    let mut outcomes = Vec::with_capacity(partitions.len());
    for part in partitions.chunks(MAX_PARTITIONS_PER_COMMAND) {
        let request = commands::ElectLeaders {
            kind,
            partitions: part.to_vec(),
        };
        match call.broker.metadata.submit(request).await {
            Ok(elected) => outcomes.extend(elected.into_iter().map(|outcome| match outcome {
                Ok(_leader) => Ok(()),
                Err(error) => Err(ApiError::from(error)),
            })),
            Err(error) => {
                let error = ApiError::from(error);
                outcomes.extend(part.iter().map(|_| Err(error.clone())));
            }
        }
    }
    partitions.into_iter().zip(outcomes).collect()
}

/// Partitions of a topic that follow each other become one part of the response.
fn by_topic(outcomes: Vec<(Named, Result<(), ApiError>)>) -> Vec<ReplicaElectionResult> {
    let mut topics: Vec<ReplicaElectionResult> = Vec::new();
    for ((topic, partition_id), outcome) in outcomes {
        let (error_code, error_message) = code_and_message(outcome);
        let result = PartitionResult {
            partition_id,
            error_code,
            error_message,
        };
        match topics.last_mut().filter(|last| last.topic == topic) {
            Some(last) => last.partition_result.push(result),
            None => topics.push(ReplicaElectionResult {
                topic,
                partition_result: vec![result],
            }),
        }
    }
    topics
}
