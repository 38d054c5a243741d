//! Committed offsets, set by an administrator: first as a plan, then carried out.

use std::collections::{BTreeMap, BTreeSet};

use fjord_proto::v1::{
    Position, ResetOffset, ResetOffsetsRequest, ResetOffsetsResponse, reset_offsets_request::To,
};
use fjord_wire::{
    ErrorCode,
    messages::offset_commit_request::{
        OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic,
    },
};
use tonic::Status;

use super::explained;
use crate::{
    api::error::ApiError,
    coordinator::groups::GroupState,
    grpc::{
        backend::{Backend, Client},
        error,
        groups::describe::{self, committed},
        offsets::{self, Place},
        topics,
    },
};

/// The last version with topics' names.
const OFFSET_COMMIT: i16 = 9;

/// By topic and partition.
type ByPartition<T> = BTreeMap<(String, i32), T>;

/// See the module's documentation.
pub async fn reset(
    backend: &Backend,
    client: &Client,
    request: ResetOffsetsRequest,
) -> Result<ResetOffsetsResponse, Status> {
    let group = request.group.clone();
    if group.is_empty() {
        let error = ApiError::new(ErrorCode::InvalidGroupId, "a group needs a name");
        return Err(error::status(&error));
    }
    refuse_members(client, &group).await?;
    let dry_run = request.dry_run;
    let metadata: ByPartition<String> = match &request.to {
        Some(To::Offsets(offsets)) => offsets
            .offsets
            .iter()
            .map(|c| ((c.topic.clone(), c.partition), c.metadata.clone()))
            .collect(),
        _ => ByPartition::new(),
    };
    let mut plan = plan(backend, client, request).await?;
    if !dry_run {
        let refused = commit(client, &group, &plan, &metadata).await?;
        for ((topic, partition), code) in refused {
            let failed = plan
                .iter_mut()
                .find(|offset| offset.topic == topic && offset.partition == partition);
            if let Some(failed) = failed {
                failed.error = error::part_of(code, None);
            }
        }
    }
    Ok(ResetOffsetsResponse { offsets: plan })
}

/// Members would go on where they are, and commit over what was set.
async fn refuse_members(client: &Client, group: &str) -> Result<(), Status> {
    match describe::group(client, group).await {
        Ok(found) if found.group_state == GroupState::Empty.name() => Ok(()),
        Ok(found) if found.group_state == GroupState::Dead.name() => Ok(()),
        Ok(_) => {
            let error = ApiError::from(ErrorCode::NonEmptyGroup);
            Err(error::status(&explained(error, group)))
        }
        // It will be made.
        Err(status) if status.code() == tonic::Code::NotFound => Ok(()),
        Err(status) => Err(status),
    }
}

/// What would be committed.
async fn plan(
    backend: &Backend,
    client: &Client,
    request: ResetOffsetsRequest,
) -> Result<Vec<ResetOffset>, Status> {
    let before: ByPartition<i64> = committed(client, &request.group)
        .await?
        .into_iter()
        .map(|c| ((c.topic, c.partition), c.offset))
        .collect();
    let given: ByPartition<i64> = match &request.to {
        Some(To::Offsets(offsets)) => offsets
            .offsets
            .iter()
            .map(|c| ((c.topic.clone(), c.partition), c.offset))
            .collect(),
        Some(_) => ByPartition::new(),
        None => return Err(error::invalid("say where the group is to go on")),
    };
    let mut wanted = partitions(backend, &request)?;
    if wanted.is_empty() {
        wanted = match given.is_empty() {
            true => before.keys().cloned().collect(),
            false => given.keys().cloned().collect(),
        };
    }
    let mut plan = Vec::with_capacity(wanted.len());
    for (topic, partition) in wanted {
        let key = (topic.clone(), partition);
        let earliest = end(client, &topic, partition, Place::Earliest).await?;
        let latest = end(client, &topic, partition, Place::Latest).await?;
        let to = match &request.to {
            Some(To::Offset(offset)) => *offset,
            Some(To::Position(position)) => match Position::try_from(*position) {
                Ok(Position::Earliest) => earliest,
                Ok(Position::Latest) => latest,
                _ => return Err(error::invalid("say at which end the group is to go on")),
            },
            Some(To::TimestampMs(time)) => {
                end(client, &topic, partition, Place::Time(*time)).await?
            }
            Some(To::Shift(shift)) => {
                let from = before.get(&key).copied().unwrap_or(earliest);
                from.saturating_add(*shift)
            }
            Some(To::Offsets(_)) | None => match given.get(&key) {
                Some(offset) => *offset,
                None => continue,
            },
        };
        plan.push(ResetOffset {
            before: before.get(&key).copied(),
            topic,
            partition,
            after: to.clamp(earliest, latest),
            error: None,
        });
    }
    Ok(plan)
}

/// The partitions that a request names.
fn partitions(
    backend: &Backend,
    request: &ResetOffsetsRequest,
) -> Result<BTreeSet<(String, i32)>, Status> {
    let mut wanted = BTreeSet::new();
    for name in &request.topics {
        let topic = backend.topic(name)?;
        let numbers = topics::numbers(&topic).into_iter();
        wanted.extend(numbers.map(|number| (name.clone(), number)));
    }
    for partition in &request.partitions {
        let topic = backend.topic(&partition.topic)?;
        if topic.partition(partition.partition).is_none() {
            return Err(error::status(&ApiError::new(
                ErrorCode::UnknownTopicOrPartition,
                format!(
                    "topic {} has no partition {}",
                    partition.topic, partition.partition
                ),
            )));
        }
        wanted.insert((partition.topic.clone(), partition.partition));
    }
    Ok(wanted)
}

async fn end(client: &Client, topic: &str, partition: i32, place: Place) -> Result<i64, Status> {
    offsets::find(client, topic, partition, place)
        .await?
        .map_err(|error| error::status(&error))
}

/// Commits a plan; returns the codes of what was refused.
async fn commit(
    client: &Client,
    group: &str,
    plan: &[ResetOffset],
    metadata: &ByPartition<String>,
) -> Result<ByPartition<i16>, Status> {
    if plan.is_empty() {
        return Ok(ByPartition::new());
    }
    let mut by_topic: BTreeMap<String, Vec<OffsetCommitRequestPartition>> = BTreeMap::new();
    for offset in plan {
        by_topic
            .entry(offset.topic.clone())
            .or_default()
            .push(OffsetCommitRequestPartition {
                partition_index: offset.partition,
                committed_offset: offset.after,
                committed_leader_epoch: -1,
                committed_metadata: Some(
                    metadata
                        .get(&(offset.topic.clone(), offset.partition))
                        .cloned()
                        .unwrap_or_default(),
                ),
            });
    }
    let topic = |(name, partitions)| OffsetCommitRequestTopic {
        name,
        partitions,
        ..OffsetCommitRequestTopic::default()
    };
    let request = OffsetCommitRequest {
        group_id: group.to_owned(),
        // Not as a member.
        generation_id_or_member_epoch: -1,
        topics: by_topic.into_iter().map(topic).collect(),
        ..OffsetCommitRequest::default()
    };
    let response = client.call(OFFSET_COMMIT, request).await?;
    let mut refused = ByPartition::new();
    for topic in response.topics {
        for partition in topic.partitions {
            if partition.error_code != 0 {
                let key = (topic.name.clone(), partition.partition_index);
                refused.insert(key, partition.error_code);
            }
        }
    }
    Ok(refused)
}
