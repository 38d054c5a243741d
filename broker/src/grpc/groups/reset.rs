//! Committed offsets, set by an administrator: first as a plan, then carried out.

use std::collections::{BTreeMap, BTreeSet};

use fjord_proto::v1::{
    CommittedOffset, Position, ResetOffset, ResetOffsetsRequest, ResetOffsetsResponse,
    reset_offsets_request::To,
};
use fjord_wire::{ErrorCode, messages::offset_commit_request::OffsetCommitRequest};
use tonic::Status;

use super::explained;
use crate::{
    api::error::ApiError,
    coordinator::groups::GroupState,
    grpc::{
        backend::{Backend, Client},
        committed::{self, Refused, committed},
        error,
        groups::describe,
        offsets::{self, Place},
        topics,
    },
};

/// By topic and partition.
type ByPartition<T> = BTreeMap<(String, i32), T>;

/// See the module's documentation.
pub async fn reset(
    backend: &Backend,
    client: &Client,
    request: ResetOffsetsRequest,
) -> Result<ResetOffsetsResponse, Status> {
    let group = &request.group;
    if group.is_empty() {
        let error = ApiError::new(ErrorCode::InvalidGroupId, "a group needs a name");
        return Err(error::status(&error));
    }
    committed::find_coordinator(client, group).await?;
    refuse_members(client, group).await?;
    let given = given(&request)?;
    let mut plan = plan(backend, client, &request, &given).await?;
    if !request.dry_run {
        for refused in commit(client, group, &plan, &given).await? {
            let failed = plan.iter_mut().find(|offset| {
                offset.topic == refused.topic && offset.partition == refused.partition
            });
            if let Some(failed) = failed {
                failed.error = Some(error::part(&refused.error));
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

/// The offsets that the request says itself, if it does.
fn given(request: &ResetOffsetsRequest) -> Result<ByPartition<&CommittedOffset>, Status> {
    match &request.to {
        Some(To::Offsets(offsets)) => Ok(offsets
            .offsets
            .iter()
            .map(|given| ((given.topic.clone(), given.partition), given))
            .collect()),
        Some(_) => Ok(ByPartition::new()),
        None => Err(error::invalid("say where the group is to go on")),
    }
}

/// What would be committed.
async fn plan(
    backend: &Backend,
    client: &Client,
    request: &ResetOffsetsRequest,
    given: &ByPartition<&CommittedOffset>,
) -> Result<Vec<ResetOffset>, Status> {
    let before: ByPartition<i64> = committed(client, &request.group, None)
        .await?
        .into_iter()
        .map(|c| ((c.topic, c.partition), c.offset))
        .collect();
    let mut wanted = partitions(backend, request)?;
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
                Some(given) => given.offset,
                None => continue,
            },
        };
        plan.push(ResetOffset {
            before: before.get(&key).copied(),
            topic,
            partition,
            after: to.min(latest).max(earliest),
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

/// Commits a plan, with the metadata that came with the offsets; returns what was refused.
async fn commit(
    client: &Client,
    group: &str,
    plan: &[ResetOffset],
    given: &ByPartition<&CommittedOffset>,
) -> Result<Vec<Refused>, Status> {
    let as_administrator = OffsetCommitRequest {
        group_id: group.to_owned(),
        // Not as a member.
        generation_id_or_member_epoch: -1,
        ..OffsetCommitRequest::default()
    };
    let metadata = |key: &(String, i32)| given.get(key).map(|given| given.metadata.clone());
    let offset = |planned: &ResetOffset| CommittedOffset {
        topic: planned.topic.clone(),
        partition: planned.partition,
        offset: planned.after,
        metadata: metadata(&(planned.topic.clone(), planned.partition)).unwrap_or_default(),
    };
    let offsets = plan.iter().map(offset).collect();
    committed::commit(client, as_administrator, offsets).await
}
