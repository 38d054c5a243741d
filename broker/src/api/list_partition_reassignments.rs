//! ListPartitionReassignments (key 46), version 0: where replicas are being moved (KIP-455).
//!
//! - Null topics ask for all. Topics and partitions that are not there, or not being reassigned, are left out.

use std::collections::BTreeMap;

use fjord_wire::{
    ErrorCode,
    messages::{
        list_partition_reassignments_request::{
            ListPartitionReassignmentsRequest, ListPartitionReassignmentsTopics,
        },
        list_partition_reassignments_response::{
            ListPartitionReassignmentsResponse, OngoingPartitionReassignment,
            OngoingTopicReassignment,
        },
    },
};

use super::{Answer, Call, Handler};
use crate::{
    metadata::{Image, Partition, commands::list_reassignments},
    net::CloseConnection,
    security::{Operation, Resource},
};

pub struct ListPartitionReassignments;

impl Handler for ListPartitionReassignments {
    type Request = ListPartitionReassignmentsRequest;

    async fn handle(
        call: Call<ListPartitionReassignmentsRequest>,
    ) -> Result<Answer<ListPartitionReassignmentsResponse>, CloseConnection> {
        if !call.is_authorized(Operation::Describe, Resource::cluster()) {
            return Ok(Answer::Now(ListPartitionReassignmentsResponse {
                error_code: ErrorCode::ClusterAuthorizationFailed.code(),
                error_message: None,
                ..Default::default()
            }));
        }
        let topics = ongoing(&call.image(), call.request.topics.as_deref());
        Ok(Answer::Now(ListPartitionReassignmentsResponse {
            error_message: None,
            topics,
            ..Default::default()
        }))
    }

    fn first_error(response: &ListPartitionReassignmentsResponse) -> i16 {
        response.error_code
    }
}

/// The reassignments of the partitions asked for, by topic.
fn ongoing(
    image: &Image,
    asked: Option<&[ListPartitionReassignmentsTopics]>,
) -> Vec<OngoingTopicReassignment> {
    let mut topics: BTreeMap<&str, Vec<OngoingPartitionReassignment>> = BTreeMap::new();
    match asked {
        None => {
            for (topic, index, partition) in list_reassignments(image) {
                let index = i32::try_from(index).expect("partitions are counted by an i32");
                topics
                    .entry(topic)
                    .or_default()
                    .push(shown(index, partition));
            }
        }
        Some(asked) => {
            for topic in asked {
                let Some(found) = image.topic(&topic.name) else {
                    continue;
                };
                let reassigned = topic.partition_indexes.iter().filter_map(|index| {
                    let partition = found.partition(*index)?;
                    partition.is_reassigned().then(|| shown(*index, partition))
                });
                let reassigned: Vec<_> = reassigned.collect();
                if !reassigned.is_empty() {
                    topics.entry(&topic.name).or_default().extend(reassigned);
                }
            }
        }
    }
    let topics = topics.into_iter();
    topics
        .map(|(name, partitions)| OngoingTopicReassignment {
            name: name.to_owned(),
            partitions,
        })
        .collect()
}

fn shown(partition_index: i32, partition: &Partition) -> OngoingPartitionReassignment {
    OngoingPartitionReassignment {
        partition_index,
        replicas: partition.replicas.clone(),
        adding_replicas: partition.adding_replicas.clone(),
        removing_replicas: partition.removing_replicas.clone(),
    }
}
