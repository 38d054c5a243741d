//! OffsetFetch (key 9), versions 1 to 10: how far groups have read. What is answered is durable.
//!
//! - Null topics ask for all of them, from version 2, which also has an error for the whole group;
//!   version 1 repeats it for every partition.
//! - Version 8 asks for several groups (KIP-709), version 10 names topics by their ids (KIP-848); an
//!   unknown one is UNKNOWN_TOPIC_ID.
//! - A topic that does not exist, or no longer with the same id, has no offsets, which is no error.
//! - Version 7 can ask for stable offsets only (KIP-447). Without transactions all are.
//! - Version 9 adds a member and its epoch, for groups of the protocol of KIP-848; in classic groups
//!   they mean nothing.

use std::pin::Pin;

use fjord_wire::{
    ErrorCode,
    messages::{
        offset_fetch_request::{
            OffsetFetchRequest, OffsetFetchRequestTopic, OffsetFetchRequestTopics,
        },
        offset_fetch_response::{
            OffsetFetchResponse, OffsetFetchResponseGroup, OffsetFetchResponsePartition,
            OffsetFetchResponsePartitions, OffsetFetchResponseTopic, OffsetFetchResponseTopics,
        },
    },
};
use uuid::Uuid;

use crate::{
    api::{Answer, Call, Handler, call::first_of},
    coordinator::groups::{FetchReply, FetchRequest, FetchTopic, FetchedOffset, FetchedTopic},
    metadata::Image,
    net::CloseConnection,
    security::{Operation, Resource},
};

/// The first version with an error for the group as a whole.
const FIRST_VERSION_WITH_GROUP_ERROR: i16 = 2;
/// The first version that asks for several groups.
const FIRST_VERSION_WITH_GROUPS: i16 = 8;
/// The first version that names topics by their ids.
const FIRST_VERSION_WITH_IDS: i16 = 10;

pub struct OffsetFetch;

impl Handler for OffsetFetch {
    type Request = OffsetFetchRequest;

    async fn handle(
        mut call: Call<OffsetFetchRequest>,
    ) -> Result<Answer<OffsetFetchResponse>, CloseConnection> {
        let wanted = take_wanted(&mut call);
        let image = call.image();
        let asked: Vec<Asked> = wanted
            .into_iter()
            .map(|wanted| ask(&call, &image, wanted))
            .collect();
        Ok(Answer::later(async move {
            let mut groups = Vec::with_capacity(asked.len());
            for asked in asked {
                groups.push(asked.finish(&call, &image).await);
            }
            to_response(call.version, groups)
        }))
    }

    fn first_error(response: &OffsetFetchResponse) -> i16 {
        let groups = response.groups.iter();
        let in_groups = groups.flat_map(|group| {
            let partitions = group.topics.iter().flat_map(|topic| &topic.partitions);
            std::iter::once(group.error_code)
                .chain(partitions.map(|partition| partition.error_code))
        });
        let partitions = response.topics.iter().flat_map(|topic| &topic.partitions);
        let codes = partitions.map(|partition| partition.error_code);
        first_of(
            std::iter::once(response.error_code)
                .chain(codes)
                .chain(in_groups),
        )
    }
}

/// What is asked about one group, the same for every version.
struct Wanted {
    group_id: String,
    /// None for all topics.
    topics: Option<Vec<OffsetFetchRequestTopics>>,
}

/// A group that the coordinator was asked about, unless that was refused.
struct Asked {
    reply: Pin<Box<dyn Future<Output = FetchReply> + Send>>,
    /// Whether all topics were asked for, of which the client may see only some.
    is_about_all: bool,
    /// The answers for topics that the coordinator was not asked about.
    refused: Vec<OffsetFetchResponseTopics>,
    /// The topics of the request, where the version repeats the group's error for each partition.
    repeated: Vec<OffsetFetchRequestTopics>,
}

fn take_wanted(call: &mut Call<OffsetFetchRequest>) -> Vec<Wanted> {
    let request = &mut call.request;
    if call.version >= FIRST_VERSION_WITH_GROUPS {
        let groups = std::mem::take(&mut request.groups).into_iter();
        return groups
            .map(|group| Wanted {
                group_id: group.group_id,
                topics: group.topics,
            })
            .collect();
    }
    let topic = |topic: OffsetFetchRequestTopic| OffsetFetchRequestTopics {
        name: topic.name,
        topic_id: Uuid::nil(),
        partition_indexes: topic.partition_indexes,
    };
    let topics = request.topics.take();
    vec![Wanted {
        group_id: std::mem::take(&mut request.group_id),
        topics: topics.map(|topics| topics.into_iter().map(topic).collect()),
    }]
}

fn ask(call: &Call<OffsetFetchRequest>, image: &Image, wanted: Wanted) -> Asked {
    let Wanted { group_id, topics } = wanted;
    let is_about_all = topics.is_none();
    let repeated = match &topics {
        Some(topics) if call.version < FIRST_VERSION_WITH_GROUP_ERROR => topics.clone(),
        _ => Vec::new(),
    };
    let mut accepted = Vec::new();
    let mut refused = Vec::new();
    for topic in topics.into_iter().flatten() {
        match resolve(call, image, &topic) {
            Ok((name, topic_id)) => accepted.push(FetchTopic {
                name,
                topic_id,
                partitions: topic.partition_indexes,
            }),
            Err(error) => refused.push(without_offsets(topic, error)),
        }
    }
    let reply: Pin<Box<dyn Future<Output = FetchReply> + Send>> =
        if call.is_authorized(Operation::Describe, Resource::group(&group_id)) {
            Box::pin(call.broker.groups.fetch(FetchRequest {
                group_id,
                topics: (!is_about_all).then_some(accepted),
            }))
        } else {
            Box::pin(std::future::ready(FetchReply {
                group_id,
                error: ErrorCode::GroupAuthorizationFailed,
                topics: Vec::new(),
            }))
        };
    Asked {
        reply,
        is_about_all,
        refused,
        repeated,
    }
}

/// The name and the id of a topic that is asked for; a name without a topic has no id.
fn resolve(
    call: &Call<OffsetFetchRequest>,
    image: &Image,
    topic: &OffsetFetchRequestTopics,
) -> Result<(String, Uuid), ErrorCode> {
    let (name, topic_id) = if call.version >= FIRST_VERSION_WITH_IDS {
        let found = image.topic_by_id(&topic.topic_id);
        let found = found.ok_or(ErrorCode::UnknownTopicId)?;
        (found.name.to_string(), found.id)
    } else {
        let found = image.topic(&topic.name);
        (
            topic.name.clone(),
            found.map_or(Uuid::nil(), |found| found.id),
        )
    };
    match call.is_authorized(Operation::Describe, Resource::topic(&name)) {
        true => Ok((name, topic_id)),
        false => Err(ErrorCode::TopicAuthorizationFailed),
    }
}

impl Asked {
    async fn finish(
        self,
        call: &Call<OffsetFetchRequest>,
        image: &Image,
    ) -> OffsetFetchResponseGroup {
        let FetchReply {
            group_id,
            error,
            topics,
        } = self.reply.await;
        if error != ErrorCode::None {
            let repeated = self.repeated.into_iter();
            return OffsetFetchResponseGroup {
                group_id,
                topics: repeated
                    .map(|topic| without_offsets(topic, error))
                    .collect(),
                error_code: error.code(),
            };
        }
        let topics = topics.into_iter();
        let mut answered: Vec<_> = if self.is_about_all {
            topics
                .filter_map(|topic| visible(call, image, topic))
                .map(to_topic)
                .collect()
        } else {
            topics.map(to_topic).collect()
        };
        answered.extend(self.refused);
        OffsetFetchResponseGroup {
            group_id,
            topics: answered,
            error_code: ErrorCode::None.code(),
        }
    }
}

/// A topic of all, with its id where the version names it by that; `None` if the client may not see it
/// or it cannot be named.
fn visible(
    call: &Call<OffsetFetchRequest>,
    image: &Image,
    mut topic: FetchedTopic,
) -> Option<FetchedTopic> {
    if !call.is_authorized(Operation::Describe, Resource::topic(&topic.name)) {
        return None;
    }
    if call.version >= FIRST_VERSION_WITH_IDS {
        topic.topic_id = image.topic(&topic.name)?.id;
    }
    Some(topic)
}

fn to_topic(topic: FetchedTopic) -> OffsetFetchResponseTopics {
    let partition = |offset: FetchedOffset| OffsetFetchResponsePartitions {
        partition_index: offset.partition,
        committed_offset: offset.offset,
        committed_leader_epoch: offset.leader_epoch,
        metadata: Some(offset.metadata),
        error_code: ErrorCode::None.code(),
    };
    OffsetFetchResponseTopics {
        name: topic.name,
        topic_id: topic.topic_id,
        partitions: topic.partitions.into_iter().map(partition).collect(),
    }
}

fn without_offsets(topic: OffsetFetchRequestTopics, error: ErrorCode) -> OffsetFetchResponseTopics {
    let partition = |partition_index: i32| OffsetFetchResponsePartitions {
        partition_index,
        committed_offset: -1,
        committed_leader_epoch: -1,
        metadata: Some(String::new()),
        error_code: error.code(),
    };
    OffsetFetchResponseTopics {
        name: topic.name,
        topic_id: topic.topic_id,
        partitions: topic.partition_indexes.into_iter().map(partition).collect(),
    }
}

fn to_response(version: i16, mut groups: Vec<OffsetFetchResponseGroup>) -> OffsetFetchResponse {
    if version >= FIRST_VERSION_WITH_GROUPS {
        return OffsetFetchResponse {
            groups,
            ..Default::default()
        };
    }
    let partition = |partition: OffsetFetchResponsePartitions| OffsetFetchResponsePartition {
        partition_index: partition.partition_index,
        committed_offset: partition.committed_offset,
        committed_leader_epoch: partition.committed_leader_epoch,
        metadata: partition.metadata,
        error_code: partition.error_code,
    };
    let topic = |topic: OffsetFetchResponseTopics| OffsetFetchResponseTopic {
        name: topic.name,
        partitions: topic.partitions.into_iter().map(partition).collect(),
    };
    // There is exactly one.
    let group = groups.pop().unwrap_or_default();
    OffsetFetchResponse {
        topics: group.topics.into_iter().map(topic).collect(),
        error_code: group.error_code,
        ..Default::default()
    }
}
