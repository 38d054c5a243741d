//! A group in full: its members, their partitions, and how far it is.

use std::collections::{BTreeMap, BTreeSet};

use fjord_proto::v1::{
    DescribeGroupResponse, GroupMember, GroupPartition, ListedGroup, TopicPartition,
};
use fjord_wire::messages::{
    describe_groups_request::DescribeGroupsRequest,
    describe_groups_response::{DescribedGroup, DescribedGroupMember},
};
use tonic::Status;

use super::explained;
use crate::grpc::{
    backend::Client,
    committed::committed,
    consumer::{Partitions, decode_assignment, each},
    error,
    offsets::{self, Place},
};

const DESCRIBE_GROUPS: i16 = 6;

/// A group as its coordinator describes it.
///
/// # Errors
///
/// `NOT_FOUND`.
pub async fn group(client: &Client, name: &str) -> Result<DescribedGroup, Status> {
    let request = DescribeGroupsRequest {
        groups: vec![name.to_owned()],
        ..DescribeGroupsRequest::default()
    };
    let response = client.call(DESCRIBE_GROUPS, request).await?;
    let Some(group) = response.groups.into_iter().next() else {
        return Err(Status::internal("DescribeGroups left the group out"));
    };
    error::api_error(group.error_code, group.error_message.clone())
        .map_err(|error| error::status(&explained(error, name)))?;
    Ok(group)
}

/// See the module's documentation.
pub async fn describe(client: &Client, name: &str) -> Result<DescribeGroupResponse, Status> {
    let group = group(client, name).await?;
    let committed = committed(client, name, None).await?;
    let mut found: BTreeMap<(String, i32), GroupPartition> = BTreeMap::new();
    for offset in committed {
        let partition = at(&mut found, offset.topic, offset.partition);
        partition.committed_offset = Some(offset.offset);
        partition.metadata = offset.metadata;
    }
    let mut members = Vec::with_capacity(group.members.len());
    for member in group.members {
        let partitions = decode_assignment(member.member_assignment.clone()).unwrap_or_default();
        for (topic, partition) in each(&partitions) {
            at(&mut found, topic.to_owned(), partition)
                .member_id
                .clone_from(&member.member_id);
        }
        members.push(to_member(member, &partitions));
    }
    fill_in_ends(client, &mut found).await?;
    Ok(DescribeGroupResponse {
        group: Some(ListedGroup {
            group: group.group_id,
            state: group.group_state,
            protocol_type: group.protocol_type,
        }),
        assignor: group.protocol_data,
        members,
        partitions: found.into_values().collect(),
    })
}

fn at(
    found: &mut BTreeMap<(String, i32), GroupPartition>,
    topic: String,
    partition: i32,
) -> &mut GroupPartition {
    found
        .entry((topic.clone(), partition))
        .or_insert_with(|| GroupPartition {
            topic,
            partition,
            log_start_offset: -1,
            high_watermark: -1,
            ..GroupPartition::default()
        })
}

fn to_member(member: DescribedGroupMember, partitions: &Partitions) -> GroupMember {
    let named = |(topic, partition): (&str, i32)| TopicPartition {
        topic: topic.to_owned(),
        partition,
    };
    GroupMember {
        member_id: member.member_id,
        instance_id: member.group_instance_id.unwrap_or_default(),
        client_id: member.client_id,
        host: member.client_host.trim_start_matches('/').to_owned(),
        partitions: each(partitions).map(named).collect(),
    }
}

/// Asks where the partitions begin and end; one that is not there any more keeps -1, and has no lag.
async fn fill_in_ends(
    client: &Client,
    found: &mut BTreeMap<(String, i32), GroupPartition>,
) -> Result<(), Status> {
    let topics: BTreeSet<String> = found.keys().map(|(topic, _)| topic.clone()).collect();
    for topic in topics {
        let of_topic = found.keys().filter(|(name, _)| *name == topic);
        let numbers: Vec<i32> = of_topic.map(|(_, number)| *number).collect();
        for place in [Place::Earliest, Place::Latest] {
            let ends = offsets::list(client, &topic, &numbers, place).await?;
            for (number, end) in ends {
                if let Ok(end) = end
                    && let Some(partition) = found.get_mut(&(topic.clone(), number))
                {
                    match place {
                        Place::Earliest => partition.log_start_offset = end.offset,
                        _ => partition.high_watermark = end.offset,
                    }
                }
            }
        }
    }
    for partition in found.values_mut() {
        let from = partition
            .committed_offset
            .unwrap_or(partition.log_start_offset);
        partition.lag = (partition.high_watermark - from).max(0);
    }
    Ok(())
}
