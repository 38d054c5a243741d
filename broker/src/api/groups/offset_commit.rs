//! OffsetCommit (key 8), versions 2 to 10: a member, or a client outside any membership, stores how far
//! it has read. The response comes when that is durable.
//!
//! - Errors are per partition: what does not exist or may not be read is refused, the rest proceeds.
//! - Versions 2 to 4 have a retention time of their own, version 6 leader epochs, version 7 static
//!   members, and version 9 calls an unknown group so (KIP-848).
//! - Version 10 names topics by their ids (KIP-848); an unknown one is UNKNOWN_TOPIC_ID.
//! - Offsets are stored with the topic's id whatever the version, so that a topic that is deleted and
//!   created again starts from nothing.

use fjord_wire::{
    ErrorCode,
    messages::{
        offset_commit_request::{
            OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic,
        },
        offset_commit_response::{
            OffsetCommitResponse, OffsetCommitResponsePartition, OffsetCommitResponseTopic,
        },
    },
};

use super::fill_in;
use crate::{
    api::{Answer, Call, Handler, call::first_of},
    coordinator::groups::{CommitPartition, CommitRequest, CommitTopic, TopicOutcomes},
    metadata::{Image, Topic},
    net::CloseConnection,
    security::{Operation, Resource},
};

/// The first version that names topics by their ids.
const FIRST_VERSION_WITH_IDS: i16 = 10;

pub struct OffsetCommit;

impl Handler for OffsetCommit {
    type Request = OffsetCommitRequest;

    async fn handle(
        mut call: Call<OffsetCommitRequest>,
    ) -> Result<Answer<OffsetCommitResponse>, CloseConnection> {
        let topics = std::mem::take(&mut call.request.topics);
        let group = Resource::group(&call.request.group_id);
        let is_group_authorized = call.is_authorized(Operation::Read, group);
        let image = call.image();
        let mut answered = Vec::with_capacity(topics.len());
        let mut accepted = Vec::with_capacity(topics.len());
        for topic in topics {
            let found = if is_group_authorized {
                find_topic(&call, &image, &topic)
            } else {
                Err(ErrorCode::GroupAuthorizationFailed)
            };
            answered.push(to_answer(&topic, &found));
            accepted.extend(found.ok().and_then(|found| to_commit(found, topic)));
        }
        if accepted.is_empty() {
            return Ok(Answer::Now(to_response(answered)));
        }
        let outcomes = call
            .broker
            .groups
            .commit(to_request(call.version, call.request, accepted));
        Ok(Answer::later(async move {
            settle(&mut answered, outcomes.await);
            to_response(answered)
        }))
    }

    fn first_error(response: &OffsetCommitResponse) -> i16 {
        let topics = response.topics.iter();
        let partitions = topics.flat_map(|topic| &topic.partitions);
        first_of(partitions.map(|partition| partition.error_code))
    }
}

fn find_topic<'a>(
    call: &Call<OffsetCommitRequest>,
    image: &'a Image,
    topic: &OffsetCommitRequestTopic,
) -> Result<&'a Topic, ErrorCode> {
    let is_authorized = |name: &str| call.is_authorized(Operation::Read, Resource::topic(name));
    if call.version >= FIRST_VERSION_WITH_IDS {
        let found = image.topic_by_id(&topic.topic_id);
        let found = found.ok_or(ErrorCode::UnknownTopicId)?;
        return match is_authorized(&found.name) {
            true => Ok(found),
            false => Err(ErrorCode::TopicAuthorizationFailed),
        };
    }
    if !is_authorized(&topic.name) {
        return Err(ErrorCode::TopicAuthorizationFailed);
    }
    let found = image.topic(&topic.name);
    Ok(found.ok_or(ErrorCode::UnknownTopicOrPartition)?)
}

/// The answer for a topic as far as it is known before the coordinator is asked: partitions without an
/// error are those that it will be asked about.
fn to_answer(
    topic: &OffsetCommitRequestTopic,
    found: &Result<&Topic, ErrorCode>,
) -> OffsetCommitResponseTopic {
    let partition = |partition: &OffsetCommitRequestPartition| {
        let partition_index = partition.partition_index;
        let error = match found {
            Err(error) => *error,
            Ok(topic) if topic.partition(partition_index).is_none() => {
                ErrorCode::UnknownTopicOrPartition
            }
            Ok(_) => ErrorCode::None,
        };
        OffsetCommitResponsePartition {
            partition_index,
            error_code: error.code(),
        }
    };
    OffsetCommitResponseTopic {
        name: topic.name.clone(),
        topic_id: topic.topic_id,
        partitions: topic.partitions.iter().map(partition).collect(),
    }
}

/// What is to be committed for a topic; `None` if none of the partitions exists.
fn to_commit(found: &Topic, topic: OffsetCommitRequestTopic) -> Option<CommitTopic> {
    let partitions: Vec<CommitPartition> = topic
        .partitions
        .into_iter()
        .filter(|partition| found.partition(partition.partition_index).is_some())
        .map(|partition| CommitPartition {
            partition: partition.partition_index,
            offset: partition.committed_offset,
            leader_epoch: partition.committed_leader_epoch,
            metadata: partition.committed_metadata,
        })
        .collect();
    (!partitions.is_empty()).then(|| CommitTopic {
        name: found.name.to_string(),
        topic_id: found.id,
        partitions,
    })
}

fn to_request(
    version: i16,
    request: OffsetCommitRequest,
    topics: Vec<CommitTopic>,
) -> CommitRequest {
    CommitRequest {
        group_id: request.group_id,
        generation_id: request.generation_id_or_member_epoch,
        member_id: request.member_id,
        group_instance_id: request.group_instance_id,
        retention_time_ms: request.retention_time_ms,
        api_version: version,
        topics,
    }
}

fn settle(topics: &mut [OffsetCommitResponseTopic], outcomes: TopicOutcomes) {
    let partitions = topics.iter_mut().flat_map(|topic| &mut topic.partitions);
    let asked = partitions
        .map(|partition| &mut partition.error_code)
        .filter(|code| **code == ErrorCode::None.code());
    match outcomes {
        Ok(outcomes) => fill_in(asked, &outcomes),
        Err(error) => asked.for_each(|code| *code = error.code()),
    }
}

fn to_response(topics: Vec<OffsetCommitResponseTopic>) -> OffsetCommitResponse {
    OffsetCommitResponse {
        topics,
        ..Default::default()
    }
}
