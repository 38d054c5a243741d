//! Committed offsets that nobody needs any more, and groups without any (KIP-211).
//!
//! After `offsets.retention.minutes` the offsets go that
//! - a group without members holds, counted from when it lost its last member,
//! - a client outside any membership committed, counted from the commit,
//! - a stable group of consumers no longer reads, counted from the commit.
//!
//! Offsets committed with a retention time of their own (OffsetCommit 2 to 4) go by that instead.

use std::collections::BTreeSet;

use super::context::Context;
use super::delete::remove_offsets;
use super::group::Group;
use super::records::offset_commit::OffsetCommitValue;
use super::types::GroupState;

/// From when an offset's retention counts.
enum Since {
    /// From a time that all offsets of the group share.
    Time(i64),
    /// From each offset's commit.
    Commit,
}

/// Removes up to `limit` expired offsets of a group and returns how many there were.
pub fn expire_offsets(group: &mut Group, cx: &mut Context, limit: usize) -> usize {
    let Some(since) = retention_start(group) else {
        return 0;
    };
    let now_ms = cx.now.wall_ms;
    let retention_ms = cx.config.offsets_retention_ms;
    let is_expired = |value: &OffsetCommitValue| match (value.expire_timestamp_ms, &since) {
        (Some(expire_ms), _) => now_ms >= expire_ms,
        (None, Since::Time(start_ms)) => now_ms.saturating_sub(*start_ms) >= retention_ms,
        (None, Since::Commit) => now_ms.saturating_sub(value.commit_timestamp_ms) >= retention_ms,
    };
    let topics = group.offsets.topics().map(|(topic, _)| topic);
    let kept: BTreeSet<String> = topics
        .filter(|topic| group.is_subscribed_to(topic))
        .cloned()
        .collect();
    remove_offsets(
        group,
        cx,
        |topic, _, value| is_expired(value) && !kept.contains(topic),
        limit,
    )
}

/// Whether a group has no reason to exist: nobody is in it or about to be, and nothing committed.
pub fn is_over(group: &Group) -> bool {
    group.state() == GroupState::Empty && group.offsets.is_empty() && group.pending_joins.is_empty()
}

fn retention_start(group: &Group) -> Option<Since> {
    if group.protocol_type.is_none() {
        return Some(Since::Commit);
    }
    match group.state() {
        GroupState::Empty => Some(
            group
                .state_timestamp_ms()
                .map_or(Since::Commit, Since::Time),
        ),
        GroupState::Stable if group.knows_subscribed_topics() => Some(Since::Commit),
        _ => None,
    }
}
