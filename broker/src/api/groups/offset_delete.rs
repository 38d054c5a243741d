//! OffsetDelete (key 47), version 0: an administrator removes committed offsets (KIP-496).
//!
//! - What is wrong with the group is the response's own error, and then there are no topics. Else
//!   errors are per partition, GROUP_SUBSCRIBED_TO_TOPIC among them.

use fjord_wire::{
    ErrorCode,
    messages::{
        offset_delete_request::{OffsetDeleteRequest, OffsetDeleteRequestTopic},
        offset_delete_response::{
            OffsetDeleteResponse, OffsetDeleteResponsePartition, OffsetDeleteResponseTopic,
        },
    },
};

use super::fill_in;
use crate::{
    api::{Answer, Call, Handler, call::first_of},
    coordinator::groups::{self, TopicOutcomes},
    metadata::{Image, Topic},
    net::CloseConnection,
    security::{Operation, Resource},
};

pub struct OffsetDelete;

impl Handler for OffsetDelete {
    type Request = OffsetDeleteRequest;

    async fn handle(
        mut call: Call<OffsetDeleteRequest>,
    ) -> Result<Answer<OffsetDeleteResponse>, CloseConnection> {
        if !call.is_authorized(Operation::Delete, Resource::group(&call.request.group_id)) {
            return Ok(Answer::Now(OffsetDeleteResponse {
                error_code: ErrorCode::GroupAuthorizationFailed.code(),
                ..Default::default()
            }));
        }
        let topics = std::mem::take(&mut call.request.topics);
        let image = call.image();
        let mut answered = Vec::with_capacity(topics.len());
        let mut accepted = Vec::with_capacity(topics.len());
        for topic in topics {
            let answer = to_answer(&topic, find_topic(&call, &image, &topic.name));
            accepted.push((topic.name, asked(&answer)));
            answered.push(answer);
        }
        // Kafka asks about the group even if no partition is left, and so says what is wrong with it.
        let outcomes = call
            .broker
            .groups
            .delete_offsets(groups::OffsetDeleteRequest {
                group_id: call.request.group_id,
                topics: accepted,
            });
        Ok(Answer::later(async move {
            to_response(answered, outcomes.await)
        }))
    }

    fn first_error(response: &OffsetDeleteResponse) -> i16 {
        let topics = response.topics.iter();
        let partitions = topics.flat_map(|topic| &topic.partitions);
        let codes = partitions.map(|partition| partition.error_code);
        first_of(std::iter::once(response.error_code).chain(codes))
    }
}

fn find_topic<'a>(
    call: &Call<OffsetDeleteRequest>,
    image: &'a Image,
    name: &str,
) -> Result<&'a Topic, ErrorCode> {
    if !call.is_authorized(Operation::Read, Resource::topic(name)) {
        return Err(ErrorCode::TopicAuthorizationFailed);
    }
    let found = image.topic(name);
    Ok(found.ok_or(ErrorCode::UnknownTopicOrPartition)?)
}

/// The answer for a topic as far as it is known before the coordinator is asked.
fn to_answer(
    topic: &OffsetDeleteRequestTopic,
    found: Result<&Topic, ErrorCode>,
) -> OffsetDeleteResponseTopic {
    let indexes = topic
        .partitions
        .iter()
        .map(|partition| partition.partition_index);
    let partition = |partition_index: i32| {
        let error = match found {
            Err(error) => error,
            Ok(topic) if topic.partition(partition_index).is_none() => {
                ErrorCode::UnknownTopicOrPartition
            }
            Ok(_) => ErrorCode::None,
        };
        OffsetDeleteResponsePartition {
            partition_index,
            error_code: error.code(),
        }
    };
    OffsetDeleteResponseTopic {
        name: topic.name.clone(),
        partitions: indexes.map(partition).collect(),
    }
}

/// The partitions that the coordinator is asked about.
fn asked(answer: &OffsetDeleteResponseTopic) -> Vec<i32> {
    let partitions = answer.partitions.iter();
    partitions
        .filter(|partition| partition.error_code == ErrorCode::None.code())
        .map(|partition| partition.partition_index)
        .collect()
}

fn to_response(
    mut topics: Vec<OffsetDeleteResponseTopic>,
    outcomes: TopicOutcomes,
) -> OffsetDeleteResponse {
    let outcomes = match outcomes {
        Ok(outcomes) => outcomes,
        Err(error) => {
            return OffsetDeleteResponse {
                error_code: error.code(),
                ..Default::default()
            };
        }
    };
    let partitions = topics.iter_mut().flat_map(|topic| &mut topic.partitions);
    let asked = partitions
        .map(|partition| &mut partition.error_code)
        .filter(|code| **code == ErrorCode::None.code());
    fill_in(asked, &outcomes);
    OffsetDeleteResponse {
        topics,
        ..Default::default()
    }
}
