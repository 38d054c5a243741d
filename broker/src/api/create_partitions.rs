//! CreatePartitions (key 37), versions 0 to 3.
//!
//! - Errors are per topic. A topic that appears twice is refused with INVALID_REQUEST, once.
//! - The count is that of all partitions afterwards, and must be larger than it is.
//! - `validate_only` answers as if, and changes nothing.

use std::collections::BTreeSet;

use fjord_wire::{
    ErrorCode,
    messages::{
        create_partitions_request::{CreatePartitionsRequest, CreatePartitionsTopic},
        create_partitions_response::{CreatePartitionsResponse, CreatePartitionsTopicResult},
    },
};

use super::{
    Answer, Call, Handler,
    call::first_of,
    error::{ApiError, code_and_message},
};
use crate::{
    metadata::commands::{self, NewPartitions},
    net::CloseConnection,
    security::{Operation, QuotaKind, Resource},
};

pub struct CreatePartitions;

impl Handler for CreatePartitions {
    type Request = CreatePartitionsRequest;

    async fn handle(
        mut call: Call<CreatePartitionsRequest>,
    ) -> Result<Answer<CreatePartitionsResponse>, CloseConnection> {
        let requested = std::mem::take(&mut call.request.topics);
        let mut seen = BTreeSet::new();
        let repeated: BTreeSet<String> = requested
            .iter()
            .filter(|topic| !seen.insert(topic.name.as_str()))
            .map(|topic| topic.name.clone())
            .collect();
        let mut results = Vec::new();
        let mut accepted = Vec::new();
        for topic in requested {
            if repeated.contains(&topic.name) {
                continue;
            }
            if call.is_authorized(Operation::Alter, Resource::topic(&topic.name)) {
                accepted.push(to_new_partitions(topic));
            } else {
                let error = ErrorCode::TopicAuthorizationFailed.into();
                results.push(result(topic.name, Err(error)));
            }
        }
        let duplicate = ApiError::invalid_request("Duplicate topic name.");
        results.extend(
            repeated
                .into_iter()
                .map(|name| result(name, Err(duplicate.clone()))),
        );

        let added = added_partitions(&call, &accepted);
        results.extend(create(&call, accepted).await);
        let throttle_time_ms = call.throttle_time_ms(QuotaKind::ControllerMutation, added);
        Ok(Answer::Now(CreatePartitionsResponse {
            throttle_time_ms,
            results,
        }))
    }

    fn first_error(response: &CreatePartitionsResponse) -> i16 {
        first_of(response.results.iter().map(|topic| topic.error_code))
    }
}

async fn create(
    call: &Call<CreatePartitionsRequest>,
    topics: Vec<NewPartitions>,
) -> Vec<CreatePartitionsTopicResult> {
    let names: Vec<String> = topics.iter().map(|topic| topic.name.clone()).collect();
    let request = commands::CreatePartitions {
        topics,
        validate_only: call.request.validate_only,
    };
    let refused: ApiError = match call.broker.metadata.submit(request).await {
        Ok(Ok(outcomes)) => {
            let outcomes = outcomes
                .into_iter()
                .map(|outcome| outcome.map_err(ApiError::from));
            let results = names.into_iter().zip(outcomes);
            return results
                .map(|(name, outcome)| result(name, outcome))
                .collect();
        }
        Ok(Err(too_many)) => too_many.into(),
        Err(error) => error.into(),
    };
    names
        .into_iter()
        .map(|name| result(name, Err(refused.clone())))
        .collect()
}

fn added_partitions(call: &Call<CreatePartitionsRequest>, topics: &[NewPartitions]) -> usize {
    let image = call.image();
    let added = |topic: &NewPartitions| {
        let current = image.topic(&topic.name)?.partitions.len();
        usize::try_from(topic.count).ok()?.checked_sub(current)
    };
    topics
        .iter()
        .filter_map(added)
        .fold(0, usize::saturating_add)
}

fn to_new_partitions(topic: CreatePartitionsTopic) -> NewPartitions {
    let assignments = topic.assignments.map(|assignments| {
        assignments
            .into_iter()
            .map(|entry| entry.broker_ids)
            .collect()
    });
    NewPartitions {
        name: topic.name,
        count: topic.count,
        assignments,
    }
}

fn result(name: String, outcome: Result<(), ApiError>) -> CreatePartitionsTopicResult {
    let (error_code, error_message) = code_and_message(outcome);
    CreatePartitionsTopicResult {
        name,
        error_code,
        error_message,
    }
}
