//! The rebalance that all membership changes lead to.
//!
//! ```text
//!            first member joins              everybody joined, or time is up
//!   Empty ─────────────────────► Preparing ───────────────────────────► Completing
//!     ▲                          Rebalance ◄── a member comes, goes or ── Rebalance
//!     │ nobody joined            │     ▲       changes what it supports   │
//!     └──────────────────────────┘     └──────────── Stable ◄─────────────┘
//!                                                      the leader's assignment is stored
//! ```

use std::sync::Arc;

use tracing::{debug, info};

use super::context::Context;
use super::group::{Group, InitialDelay};
use super::member::Member;
use super::reply::Reply;
use super::timers::Timer;
use super::types::{GroupState, JoinReply, JoinedMember};
use fjord_wire::ErrorCode;

/// The shortest time after which a rebalance that nobody joined is looked at again, whatever
/// rebalance timeout the members ask for.
const MIN_JOIN_RETRY_MS: u64 = 100;

/// Starts a rebalance unless one is being prepared already; then looks whether it is complete.
pub fn rebalance(group: &mut Group, cx: &mut Context, reason: &str) {
    if group.state() == GroupState::PreparingRebalance {
        maybe_complete_join(group, cx);
    } else {
        prepare_rebalance(group, cx, reason);
    }
}

/// Starts a rebalance: everybody has to join again.
pub fn prepare_rebalance(group: &mut Group, cx: &mut Context, reason: &str) {
    if group.state() == GroupState::CompletingRebalance {
        reset_assignment(group, cx, ErrorCode::RebalanceInProgress);
    }
    group.pending_syncs.clear();
    cx.timers.cancel(&Timer::Sync(group.id.clone()));
    let is_initial = group.state() == GroupState::Empty;
    group.transition_to(GroupState::PreparingRebalance, cx.now.wall_ms);
    info!(group = %group.id, generation = group.generation, reason, "preparing a rebalance");
    if is_initial {
        let delay_ms = cx.config.initial_rebalance_delay_ms;
        let remaining_ms = group.rebalance_timeout_ms().saturating_sub(delay_ms);
        group.initial_delay = Some(InitialDelay {
            delay_ms,
            remaining_ms,
        });
        cx.schedule(Timer::Join(group.id.clone()), delay_ms);
    } else if group.has_all_members_joined() {
        complete_join(group, cx);
    } else {
        cx.schedule(Timer::Join(group.id.clone()), group.rebalance_timeout_ms());
    }
}

/// Completes the join phase if everybody is there. An initial rebalance waits out its delay.
pub fn maybe_complete_join(group: &mut Group, cx: &mut Context) {
    if group.state() == GroupState::PreparingRebalance
        && group.previous_state() != GroupState::Empty
        && group.has_all_members_joined()
    {
        complete_join(group, cx);
    }
}

/// The join phase's time is up. While members keep coming, an initial rebalance takes more time,
/// but no more than a rebalance may take.
pub fn join_time_is_up(group: &mut Group, cx: &mut Context) {
    if group.state() != GroupState::PreparingRebalance {
        return;
    }
    if let Some(InitialDelay {
        delay_ms,
        remaining_ms,
    }) = group.initial_delay
        && remaining_ms > 0
        && std::mem::take(&mut group.new_member_added)
    {
        let next_ms = cx.config.initial_rebalance_delay_ms.min(remaining_ms);
        let remaining_ms = remaining_ms.saturating_sub(delay_ms);
        group.initial_delay = Some(InitialDelay {
            delay_ms: next_ms,
            remaining_ms,
        });
        cx.schedule(Timer::Join(group.id.clone()), next_ms);
        return;
    }
    complete_join(group, cx);
}

/// The sync phase's time is up: who has not asked for its assignment is removed.
pub fn sync_time_is_up(group: &mut Group, cx: &mut Context) {
    let late = std::mem::take(&mut group.pending_syncs);
    if late.is_empty()
        || !matches!(
            group.state(),
            GroupState::CompletingRebalance | GroupState::Stable
        )
    {
        return;
    }
    for id in &late {
        remove_member(group, cx, id);
    }
    prepare_rebalance(group, cx, "members did not sync in time");
}

/// Ends the join phase with whoever is there.
pub fn complete_join(group: &mut Group, cx: &mut Context) {
    cx.timers.cancel(&Timer::Join(group.id.clone()));
    group.initial_delay = None;
    group.new_member_added = false;
    for id in group.member_ids() {
        // Static members may be away until their session ends (KIP-345).
        let late = group
            .member(&id)
            .is_some_and(|m| !m.is_awaiting_join() && m.instance_id.is_none());
        if late {
            info!(group = %group.id, member = %id, "removing a member that did not join in time");
            remove_member(group, cx, &id);
        }
    }
    if group.size() > 0 && !elect_joined_leader(group) {
        let retry_ms = group.rebalance_timeout_ms().max(MIN_JOIN_RETRY_MS);
        cx.schedule(Timer::Join(group.id.clone()), retry_ms);
        return;
    }
    group.start_generation(cx.now.wall_ms);
    if group.size() == 0 {
        info!(group = %group.id, generation = group.generation, "the group is now empty");
        group.leader = None;
        cx.store_group(group);
        return;
    }
    info!(group = %group.id, generation = group.generation, members = group.size(),
        "all members joined");
    for id in group.member_ids() {
        let reply = joined(group, &id, group.is_leader(&id));
        if let Some(token) = group.set_awaiting_join(&id, None) {
            cx.reply(token, Reply::Join(reply));
        }
        cx.restart_session(group, &id);
        if let Some(member) = group.member_mut(&id) {
            member.is_new = false;
        }
        group.pending_syncs.insert(id);
    }
    cx.schedule(Timer::Sync(group.id.clone()), group.rebalance_timeout_ms());
}

/// What a member learns about the present generation.
pub fn joined(group: &Group, member_id: &str, with_members: bool) -> JoinReply {
    let protocol = group.protocol.as_deref().unwrap_or_default();
    let see = |member: &Member| JoinedMember {
        member_id: member.id.to_string(),
        group_instance_id: member.instance_id.clone(),
        metadata: member.metadata(protocol),
    };
    JoinReply {
        error: ErrorCode::None,
        generation_id: group.generation,
        protocol_type: group.protocol_type.clone(),
        protocol_name: group.protocol.clone(),
        leader: group.leader.as_deref().unwrap_or_default().to_owned(),
        skip_assignment: false,
        member_id: member_id.to_owned(),
        members: if with_members {
            group.members().map(see).collect()
        } else {
            Vec::new()
        },
    }
}

/// Removes a member, and answers what it waits in: it may try again if it is still there.
pub fn remove_member(group: &mut Group, cx: &mut Context, id: &Arc<str>) {
    cx.end_session(group, id);
    if let Some(member) = group.remove(id) {
        cx.refuse_parked_join(member.awaiting_join, ErrorCode::UnknownMemberId, "");
        cx.refuse_parked_sync(member.awaiting_sync, ErrorCode::UnknownMemberId);
    }
}

/// A member's session ended without a sign of life.
pub fn session_ended(group: &mut Group, cx: &mut Context, id: &Arc<str>) {
    if group.pending_joins.contains(id) {
        debug!(group = %group.id, member = %id, "a pending member did not join in time");
        group.remove(id);
    } else {
        let Some(member) = group.member(id) else {
            return;
        };
        if member.has_satisfied_heartbeat() {
            return;
        }
        info!(group = %group.id, member = %id, "a member's session ended");
        remove_member(group, cx, id);
        if matches!(
            group.state(),
            GroupState::Stable | GroupState::CompletingRebalance
        ) {
            prepare_rebalance(group, cx, "a member's session ended");
            return;
        }
    }
    if group.state() == GroupState::PreparingRebalance && group.has_all_members_joined() {
        complete_join(group, cx);
    }
}

/// Takes every assignment back and tells the members that wait for theirs.
pub fn reset_assignment(group: &mut Group, cx: &mut Context, error: ErrorCode) {
    for id in group.member_ids() {
        if let Some(member) = group.member_mut(&id) {
            member.assignment = bytes::Bytes::new();
        }
        if let Some(token) = group.set_awaiting_sync(&id, None) {
            cx.refuse_sync(token, error);
            cx.restart_session(group, &id);
        }
    }
}

/// Makes sure that the leader is a member that joined. Returns whether there is one.
fn elect_joined_leader(group: &mut Group) -> bool {
    let leader = group.leader.as_deref().and_then(|id| group.member(id));
    if leader.is_some_and(Member::is_awaiting_join) {
        return true;
    }
    let successor = group.members().find(|member| member.is_awaiting_join());
    let Some(id) = successor.map(|member| member.id.clone()) else {
        return false;
    };
    info!(group = %group.id, member = %id, "the leader did not join in time; another one leads");
    group.leader = Some(id);
    true
}
