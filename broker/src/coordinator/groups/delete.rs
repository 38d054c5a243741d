//! OffsetDelete, DeleteGroups, and what a topic's deletion means to groups.

use super::context::Context;
use super::group::Group;
use super::types::{GroupState, OffsetDeleteRequest, TopicOutcome, TopicOutcomes};
use fjord_wire::ErrorCode;

/// Handles OffsetDelete (KIP-496) for a group that exists. A topic that members read keeps its
/// offsets; whether others than consumers read a topic cannot be known, so their groups must have
/// no members.
pub fn delete_offsets(
    group: &mut Group,
    cx: &mut Context,
    request: OffsetDeleteRequest,
) -> TopicOutcomes {
    if group.state() != GroupState::Empty && !group.uses_consumer_protocol() {
        return Err(ErrorCode::NonEmptyGroup);
    }
    let mut outcomes = Vec::with_capacity(request.topics.len());
    for (name, indexes) in request.topics {
        let subscribed = group.is_subscribed_to(&name);
        let mut partitions = Vec::with_capacity(indexes.len());
        for partition in indexes {
            if subscribed {
                partitions.push((partition, ErrorCode::GroupSubscribedToTopic));
                continue;
            }
            if group
                .offsets
                .topic(&name)
                .is_some_and(|offsets| offsets.contains_key(&partition))
            {
                cx.store_offset(group, &name, partition, None);
            }
            partitions.push((partition, ErrorCode::None));
        }
        outcomes.push(TopicOutcome {
            name,
            topic_id: uuid::Uuid::nil(),
            partitions,
        });
    }
    Ok(outcomes)
}

/// Removes all that is stored of a group without members; the caller then drops it.
///
/// # Errors
/// NON_EMPTY_GROUP if there are members.
pub fn delete_group(group: &mut Group, cx: &mut Context) -> Result<(), ErrorCode> {
    if group.state() != GroupState::Empty {
        return Err(ErrorCode::NonEmptyGroup);
    }
    remove_offsets(group, cx, |_, _, _| true, usize::MAX);
    for id in std::mem::take(&mut group.pending_joins) {
        cx.end_session(group, &id);
    }
    cx.store_group_removal(group);
    Ok(())
}

/// Removes the offsets of a topic that was deleted. Offsets committed for another topic of the
/// same name stay; those that say no topic id go.
pub fn forget_topic(group: &mut Group, cx: &mut Context, topic: &str, topic_id: uuid::Uuid) {
    remove_offsets(
        group,
        cx,
        |name, _, value| name == topic && (value.topic_id.is_nil() || value.topic_id == topic_id),
        usize::MAX,
    );
}

/// Removes the offsets that `doomed` names, up to a limit. Returns how many there were.
pub fn remove_offsets(
    group: &mut Group,
    cx: &mut Context,
    doomed: impl Fn(&str, i32, &super::records::offset_commit::OffsetCommitValue) -> bool,
    limit: usize,
) -> usize {
    let mut keys = Vec::new();
    for (topic, partitions) in group.offsets.topics() {
        for (partition, value) in partitions {
            if keys.len() < limit && doomed(topic, *partition, value) {
                keys.push((topic.clone(), *partition));
            }
        }
    }
    for (topic, partition) in &keys {
        cx.store_offset(group, topic, *partition, None);
    }
    keys.len()
}
