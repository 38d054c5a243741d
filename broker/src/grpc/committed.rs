//! Offsets that a group has committed: read and written, by members and by administrators.

use std::collections::BTreeMap;

use fjord_proto::v1::CommittedOffset;
use fjord_wire::messages::{
    find_coordinator_request::FindCoordinatorRequest,
    offset_commit_request::{
        OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic,
    },
    offset_fetch_request::{OffsetFetchRequest, OffsetFetchRequestGroup, OffsetFetchRequestTopics},
};
use tonic::Status;

use super::{backend::Client, consumer::Partitions, error};
use crate::api::error::ApiError;

/// The last versions with topics' names.
const OFFSET_COMMIT: i16 = 9;
const OFFSET_FETCH: i16 = 9;
const FIND_COORDINATOR: i16 = 4;

/// An offset that the coordinator did not note.
#[derive(Debug)]
pub struct Refused {
    /// The topic's name.
    pub topic: String,
    /// The partition's number.
    pub partition: i32,
    /// Why.
    pub error: ApiError,
}

/// Has the topic made in which groups are kept, if it is not there.
///
/// # Errors
///
/// If the group cannot have a coordinator.
pub async fn find_coordinator(client: &Client, group: &str) -> Result<(), Status> {
    let request = FindCoordinatorRequest {
        coordinator_keys: vec![group.to_owned()],
        ..FindCoordinatorRequest::default()
    };
    let found = client.call(FIND_COORDINATOR, request).await?;
    match found.coordinators.into_iter().next() {
        Some(found) => error::check(found.error_code, found.error_message),
        None => Ok(()),
    }
}

/// What a group has committed, for some partitions or for all; those without a commit are left out.
///
/// # Errors
///
/// If the coordinator does not say it all.
pub async fn committed(
    client: &Client,
    group: &str,
    partitions: Option<&Partitions>,
) -> Result<Vec<CommittedOffset>, Status> {
    let topic = |(name, numbers): (&String, &Vec<i32>)| OffsetFetchRequestTopics {
        name: name.clone(),
        partition_indexes: numbers.clone(),
        ..OffsetFetchRequestTopics::default()
    };
    let request = OffsetFetchRequest {
        groups: vec![OffsetFetchRequestGroup {
            group_id: group.to_owned(),
            member_epoch: -1,
            topics: partitions.map(|partitions| partitions.iter().map(topic).collect()),
            ..OffsetFetchRequestGroup::default()
        }],
        ..OffsetFetchRequest::default()
    };
    let response = client.call(OFFSET_FETCH, request).await?;
    let mut committed = Vec::new();
    for group in response.groups {
        error::check(group.error_code, None)?;
        for topic in group.topics {
            for partition in topic.partitions {
                error::check(partition.error_code, None)?;
                if partition.committed_offset >= 0 {
                    committed.push(CommittedOffset {
                        topic: topic.name.clone(),
                        partition: partition.partition_index,
                        offset: partition.committed_offset,
                        metadata: partition.metadata.unwrap_or_default(),
                    });
                }
            }
        }
    }
    Ok(committed)
}

/// Commits offsets, in the name of whoever `request` says; returns what was refused.
///
/// # Errors
///
/// If the request makes no sense.
pub async fn commit(
    client: &Client,
    request: OffsetCommitRequest,
    offsets: Vec<CommittedOffset>,
) -> Result<Vec<Refused>, Status> {
    if offsets.is_empty() {
        return Ok(Vec::new());
    }
    let mut topics: BTreeMap<String, Vec<OffsetCommitRequestPartition>> = BTreeMap::new();
    for offset in offsets {
        topics
            .entry(offset.topic)
            .or_default()
            .push(OffsetCommitRequestPartition {
                partition_index: offset.partition,
                committed_offset: offset.offset,
                committed_leader_epoch: -1,
                committed_metadata: Some(offset.metadata),
            });
    }
    let topic = |(name, partitions)| OffsetCommitRequestTopic {
        name,
        partitions,
        ..OffsetCommitRequestTopic::default()
    };
    let request = OffsetCommitRequest {
        topics: topics.into_iter().map(topic).collect(),
        ..request
    };
    let response = client.call(OFFSET_COMMIT, request).await?;
    let mut refused = Vec::new();
    for topic in response.topics {
        for partition in topic.partitions {
            if let Err(error) = error::api_error(partition.error_code, None) {
                refused.push(Refused {
                    topic: topic.name.clone(),
                    partition: partition.partition_index,
                    error,
                });
            }
        }
    }
    Ok(refused)
}
