//! SyncGroup: the leader hands in the assignment, and every member gets its part of it.
//!
//! Followers wait for the leader. The assignment is stored before anybody gets it: the replies are
//! held until the group's record is durable. Versions from 5 on may name the protocol type and the
//! protocol, which then must be the group's (INCONSISTENT_GROUP_PROTOCOL, KIP-559).

use std::sync::Arc;

use tracing::{error, info};

use super::super::shard::Token;
use super::context::Context;
use super::group::Group;
use super::rebalance::{prepare_rebalance, reset_assignment};
use super::reply::Reply;
use super::timers::Timer;
use super::types::{GroupState, SyncReply, SyncRequest};
use fjord_wire::ErrorCode;

/// Handles a request for a group that exists.
pub fn sync(group: &mut Group, cx: &mut Context, token: Token, request: SyncRequest) {
    if let Err(error) = validate(group, &request) {
        cx.refuse_sync(token, error);
        return;
    }
    let id: Arc<str> = request.member_id.as_str().into();
    match group.state() {
        GroupState::Empty | GroupState::Dead => cx.refuse_sync(token, ErrorCode::UnknownMemberId),
        GroupState::PreparingRebalance => cx.refuse_sync(token, ErrorCode::RebalanceInProgress),
        GroupState::CompletingRebalance => {
            let before = group.set_awaiting_sync(&id, Some(token));
            // The client gave the earlier request up; its connection may still need a response.
            cx.refuse_parked_sync(before, ErrorCode::RebalanceInProgress);
            synced(group, cx, &id);
            if group.is_leader(&id) {
                complete(group, cx, request);
            }
        }
        GroupState::Stable => {
            synced(group, cx, &id);
            cx.restart_session(group, &id);
            let reply = assignment(group, &id);
            cx.reply_durably(token, Reply::Sync(reply));
        }
    }
}

fn validate(group: &Group, request: &SyncRequest) -> Result<(), ErrorCode> {
    group.validate_member(&request.member_id, request.group_instance_id.as_deref())?;
    if request.generation_id != group.generation {
        return Err(ErrorCode::IllegalGeneration);
    }
    let differs = |given: &Option<String>, ours: &Option<String>| {
        given.is_some() && ours.is_some() && given != ours
    };
    if differs(&request.protocol_type, &group.protocol_type)
        || differs(&request.protocol_name, &group.protocol)
    {
        return Err(ErrorCode::InconsistentGroupProtocol);
    }
    Ok(())
}

fn synced(group: &mut Group, cx: &mut Context, id: &Arc<str>) {
    group.pending_syncs.remove(id);
    if group.pending_syncs.is_empty() {
        cx.timers.cancel(&Timer::Sync(group.id.clone()));
    }
}

/// The leader's assignment makes the group stable.
fn complete(group: &mut Group, cx: &mut Context, request: SyncRequest) {
    group.assign(request.assignments.into_iter().collect());
    group.transition_to(GroupState::Stable, cx.now.wall_ms);
    let record = group.to_record();
    let size: usize = record.stored_size();
    if size > cx.config.max_group_record_bytes {
        error!(group = %group.id, bytes = size, limit = cx.config.max_group_record_bytes,
            "a group's assignment is too large to be stored");
        reset_assignment(group, cx, ErrorCode::UnknownServerError);
        prepare_rebalance(group, cx, "the assignment cannot be stored");
        return;
    }
    info!(group = %group.id, generation = group.generation, members = group.size(),
        "the group is stable");
    cx.store_group_record(group, &record);
    for id in group.member_ids() {
        if let Some(token) = group.set_awaiting_sync(&id, None) {
            let reply = assignment(group, &id);
            cx.reply_durably(token, Reply::Sync(reply));
            // While the member waited, its session may have ended without effect.
            cx.restart_session(group, &id);
        }
    }
}

fn assignment(group: &Group, id: &str) -> SyncReply {
    SyncReply {
        error: ErrorCode::None,
        protocol_type: group.protocol_type.clone(),
        protocol_name: group.protocol.clone(),
        assignment: group
            .member(id)
            .map(|member| member.assignment.clone())
            .unwrap_or_default(),
    }
}
