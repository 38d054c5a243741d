//! OffsetCommit: a member, or a client outside any membership, stores how far it has read.
//!
//! - A client outside the membership (generation -1, no member id) may commit while the group has
//!   no members; its first commit creates the group.
//! - A member must be of the present generation (ILLEGAL_GENERATION) and may not commit between
//!   its join and its sync (REBALANCE_IN_PROGRESS). A commit is a sign of life.
//! - Metadata above `offset.metadata.max.bytes` is refused for its partition only.

use std::sync::Arc;

use super::config::MAX_ID_BYTES;
use super::context::Context;
use super::group::Group;
use super::records::offset_commit::OffsetCommitValue;
use super::types::{CommitPartition, CommitRequest, GroupState, TopicOutcome, TopicOutcomes};
use fjord_wire::ErrorCode;

/// The first version that calls an unknown group so (KIP-848).
const FIRST_VERSION_WITH_GROUP_ID_NOT_FOUND: i16 = 9;

/// How to refuse a commit of a member to a group that does not exist.
pub fn unknown_group(request: &CommitRequest) -> ErrorCode {
    if request.api_version >= FIRST_VERSION_WITH_GROUP_ID_NOT_FOUND {
        ErrorCode::GroupIdNotFound
    } else {
        ErrorCode::IllegalGeneration
    }
}

/// Handles a request for a group that exists, perhaps since a moment ago.
pub fn commit(group: &mut Group, cx: &mut Context, request: CommitRequest) -> TopicOutcomes {
    validate(group, &request)?;
    if matches!(
        group.state(),
        GroupState::Stable | GroupState::PreparingRebalance
    ) {
        let id: Arc<str> = request.member_id.as_str().into();
        cx.restart_session(group, &id);
    }
    let keep_ms = (request.retention_time_ms >= 0).then_some(request.retention_time_ms);
    let now_ms = cx.now.wall_ms;
    let expire_timestamp_ms = keep_ms.map(|keep_ms| now_ms.saturating_add(keep_ms));
    let mut outcomes = Vec::with_capacity(request.topics.len());
    for topic in request.topics {
        let mut partitions = Vec::with_capacity(topic.partitions.len());
        for committed in topic.partitions {
            let CommitPartition {
                partition,
                offset,
                leader_epoch,
                metadata,
            } = committed;
            let metadata = metadata.unwrap_or_default();
            if is_too_large(&metadata, cx.config.offset_metadata_max_bytes) {
                partitions.push((partition, ErrorCode::OffsetMetadataTooLarge));
                continue;
            }
            let value = OffsetCommitValue {
                offset,
                leader_epoch: leader_epoch.max(-1),
                metadata,
                commit_timestamp_ms: now_ms,
                expire_timestamp_ms,
                topic_id: topic.topic_id,
            };
            cx.store_offset(group, &topic.name, partition, Some(value));
            partitions.push((partition, ErrorCode::None));
        }
        outcomes.push(TopicOutcome {
            name: topic.name,
            topic_id: topic.topic_id,
            partitions,
        });
    }
    Ok(outcomes)
}

/// Checks what does not depend on the group.
///
/// # Errors
/// The error to refuse the request with.
pub fn validate_form(request: &CommitRequest) -> Result<(), ErrorCode> {
    if request.group_id.len() > MAX_ID_BYTES {
        return Err(ErrorCode::InvalidGroupId);
    }
    if request
        .topics
        .iter()
        .any(|topic| topic.name.len() > MAX_ID_BYTES)
    {
        return Err(ErrorCode::InvalidRequest);
    }
    Ok(())
}

fn validate(group: &Group, request: &CommitRequest) -> Result<(), ErrorCode> {
    let has_no_members = group.state() == GroupState::Empty;
    if request.generation_id < 0 && has_no_members {
        return Ok(());
    }
    let instance_id = request.group_instance_id.as_deref();
    if request.generation_id >= 0 || !request.member_id.is_empty() || instance_id.is_some() {
        group.validate_member(&request.member_id, instance_id)?;
        if request.generation_id != group.generation {
            return Err(ErrorCode::IllegalGeneration);
        }
    } else if !has_no_members {
        return Err(ErrorCode::UnknownMemberId);
    }
    if group.state() == GroupState::CompletingRebalance {
        return Err(ErrorCode::RebalanceInProgress);
    }
    Ok(())
}

/// Kafka counts the UTF-16 units of the text, of which there are never more than bytes. Whatever
/// the limit, a stored string cannot be longer than its 16-bit length says.
fn is_too_large(metadata: &str, limit: usize) -> bool {
    let fits = metadata.len() <= limit || metadata.encode_utf16().count() <= limit;
    !fits || metadata.len() > i16::MAX as usize
}
