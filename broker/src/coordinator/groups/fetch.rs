//! OffsetFetch: how far a group has read.
//!
//! What is read here may not be durable yet, so the reply is held until it is. That makes every
//! reply both fresh and final: after a crash no committed offset that a client was shown goes
//! back. It also is what `require_stable` (KIP-447) asks for, as long as there are no transactions.

use super::group::Group;
use super::records::offset_commit::OffsetCommitValue;
use super::types::{FetchReply, FetchRequest, FetchTopic, FetchedOffset, FetchedTopic};
use fjord_wire::ErrorCode;

/// Handles a request. A group that does not exist has committed nothing.
pub fn fetch(group: Option<&Group>, request: FetchRequest) -> FetchReply {
    let topics = match request.topics {
        Some(topics) => topics
            .into_iter()
            .map(|topic| fetch_topic(group, topic))
            .collect(),
        None => group.map(fetch_all).unwrap_or_default(),
    };
    FetchReply {
        group_id: request.group_id,
        error: ErrorCode::None,
        topics,
    }
}

fn fetch_topic(group: Option<&Group>, topic: FetchTopic) -> FetchedTopic {
    let committed = group.and_then(|group| group.offsets.topic(&topic.name));
    let fetch = |partition: i32| {
        let value = committed.and_then(|partitions| partitions.get(&partition));
        // Whoever deletes a topic and creates another one of the same name starts from nothing.
        let value = value.filter(|value| {
            value.topic_id.is_nil() || topic.topic_id.is_nil() || value.topic_id == topic.topic_id
        });
        fetched(partition, value)
    };
    FetchedTopic {
        partitions: topic.partitions.iter().copied().map(fetch).collect(),
        name: topic.name,
        topic_id: topic.topic_id,
    }
}

fn fetch_all(group: &Group) -> Vec<FetchedTopic> {
    let topics = group
        .offsets
        .topics()
        .map(|(name, partitions)| FetchedTopic {
            name: name.clone(),
            topic_id: uuid::Uuid::nil(),
            partitions: partitions
                .iter()
                .map(|(id, value)| fetched(*id, Some(value)))
                .collect(),
        });
    topics.collect()
}

fn fetched(partition: i32, value: Option<&OffsetCommitValue>) -> FetchedOffset {
    FetchedOffset {
        partition,
        offset: value.map_or(-1, |value| value.offset),
        leader_epoch: value.map_or(-1, |value| value.leader_epoch),
        metadata: value
            .map(|value| value.metadata.clone())
            .unwrap_or_default(),
    }
}
