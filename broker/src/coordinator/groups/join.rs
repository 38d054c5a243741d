//! JoinGroup: a member asks to be in the group's next generation, and waits for the others.
//!
//! - A new dynamic member is first given an id and has to come back with it from version 4 on
//!   (KIP-394), so that members that never saw their id do not pile up.
//! - A static member that comes back without its id takes over from its former self; while the
//!   group is stable and the choice of protocol stays the same, nobody else notices (KIP-345). From
//!   version 9 on a leader that comes back so is told not to assign (KIP-814).
//! - Joins are refused with INVALID_SESSION_TIMEOUT, INCONSISTENT_GROUP_PROTOCOL,
//!   GROUP_MAX_SIZE_REACHED, UNKNOWN_MEMBER_ID and FENCED_INSTANCE_ID.

use std::collections::HashSet;
use std::sync::Arc;

use bytes::Bytes;
use tracing::{info, warn};

use super::super::shard::Token;
use super::config::{GroupConfig, MAX_ID_BYTES, NEW_MEMBER_JOIN_TIMEOUT_MS};
use super::context::Context;
use super::group::Group;
use super::member::Member;
use super::rebalance::{joined, maybe_complete_join, prepare_rebalance, rebalance, remove_member};
use super::reply::Reply;
use super::types::{GroupState, JoinRequest};
use fjord_wire::ErrorCode;

/// The first version whose new dynamic members must come back with the id they are given.
const FIRST_VERSION_WITH_KNOWN_MEMBER_ID: i16 = 4;

/// The first version whose leader can be told not to assign.
const FIRST_VERSION_WITH_SKIP_ASSIGNMENT: i16 = 9;

/// Handles a request whose group exists, perhaps since a moment ago.
pub fn join(group: &mut Group, cx: &mut Context, token: Token, request: JoinRequest) {
    if !has_room(group, &cx.config, &request) {
        let id: Arc<str> = request.member_id.as_str().into();
        remove_member(group, cx, &id);
        cx.refuse_join(token, ErrorCode::GroupMaxSizeReached, "");
        maybe_complete_join(group, cx);
    } else if !group.supports(&request.protocol_type, &request.protocols) {
        cx.refuse_join(
            token,
            ErrorCode::InconsistentGroupProtocol,
            &request.member_id,
        );
    } else if request.member_id.is_empty() {
        join_new(group, cx, token, request);
    } else {
        join_known(group, cx, token, request);
    }
}

/// Checks what does not depend on the group, and brings the request into the form in which the
/// rest expects it: each protocol once, a rebalance timeout that is one.
///
/// # Errors
/// The error to refuse the request with.
pub fn validate(config: &GroupConfig, request: &mut JoinRequest) -> Result<(), ErrorCode> {
    if request.group_id.is_empty() || request.group_id.len() > MAX_ID_BYTES {
        return Err(ErrorCode::InvalidGroupId);
    }
    let sessions = config.min_session_timeout_ms..=config.max_session_timeout_ms;
    if !sessions.contains(&request.session_timeout_ms) {
        return Err(ErrorCode::InvalidSessionTimeout);
    }
    let instance_id = request.group_instance_id.as_deref().unwrap_or_default();
    let ids = [
        &request.member_id,
        &request.client_id,
        &request.client_host,
        &request.protocol_type,
    ];
    let names = request.protocols.iter().map(|protocol| &protocol.name);
    if instance_id.len() > MAX_ID_BYTES
        || ids
            .into_iter()
            .chain(names)
            .any(|text| text.len() > MAX_ID_BYTES)
    {
        return Err(ErrorCode::InvalidRequest);
    }
    let metadata: usize = request
        .protocols
        .iter()
        .map(|p| p.name.len() + p.metadata.len())
        .sum();
    if metadata > config.max_member_metadata_bytes {
        warn!(
            group = request.group_id,
            bytes = metadata,
            "refusing a member's metadata: too large"
        );
        return Err(ErrorCode::PolicyViolation);
    }
    let mut seen = HashSet::new();
    request
        .protocols
        .retain(|protocol| seen.insert(protocol.name.clone()));
    if request.rebalance_timeout_ms < 0 {
        request.rebalance_timeout_ms = request.session_timeout_ms;
    }
    Ok(())
}

/// Whether the group's size lets this member in. While members join, those that have joined count,
/// so that a group that is too large (because the limit was lowered) loses its last ones. Unlike in
/// Kafka a static member that takes over from its former self is let in, as the group stays as it
/// is.
fn has_room(group: &Group, config: &GroupConfig, request: &JoinRequest) -> bool {
    let member = group.member(&request.member_id);
    let takes_over = request
        .group_instance_id
        .as_deref()
        .is_some_and(|id| group.static_member(id).is_some());
    match group.state() {
        GroupState::Empty | GroupState::Dead => true,
        GroupState::PreparingRebalance => {
            member.is_some_and(Member::is_awaiting_join)
                || group.awaiting_joins() < config.max_group_size
        }
        GroupState::CompletingRebalance | GroupState::Stable => {
            member.is_some() || takes_over || group.size() < config.max_group_size
        }
    }
}

/// A member without an id.
fn join_new(group: &mut Group, cx: &mut Context, token: Token, request: JoinRequest) {
    let prefix = request
        .group_instance_id
        .as_deref()
        .unwrap_or(&request.client_id);
    let new_id: Arc<str> = format!("{prefix}-{}", request.entropy.hyphenated()).into();
    if let Some(instance_id) = &request.group_instance_id {
        match group.static_member(instance_id).cloned() {
            Some(old_id) => replace_static(group, cx, token, request, &old_id, &new_id),
            None => add_member(group, cx, token, request, new_id),
        }
    } else if request.api_version < FIRST_VERSION_WITH_KNOWN_MEMBER_ID {
        add_member(group, cx, token, request, new_id);
    } else if group.pending_joins.len() >= cx.config.max_pending_members {
        warn!(group = %group.id, "refusing a new member: too many were given ids and did not join");
        cx.refuse_join(token, ErrorCode::GroupMaxSizeReached, "");
    } else {
        info!(group = %group.id, member = %new_id, state = group.state().name(),
            "a new member is given an id");
        group.pending_joins.insert(new_id.clone());
        let session_ms = u64::try_from(request.session_timeout_ms).unwrap_or(0);
        cx.expect_within(group, &new_id, session_ms);
        cx.refuse_join(token, ErrorCode::MemberIdRequired, &new_id);
    }
}

/// A member that says it has an id.
fn join_known(group: &mut Group, cx: &mut Context, token: Token, request: JoinRequest) {
    let id: Arc<str> = request.member_id.as_str().into();
    if request.group_instance_id.is_none() && group.pending_joins.contains(&id) {
        add_member(group, cx, token, request, id);
        return;
    }
    let known = group.validate_member(&id, request.group_instance_id.as_deref());
    if let Err(error) = known {
        cx.refuse_join(token, error, &id);
        return;
    }
    let same = group
        .member(&id)
        .is_some_and(|member| member.protocols == request.protocols);
    let leads = group.is_leader(&id);
    match group.state() {
        // The member may not have got the first reply, so it gets the same again.
        GroupState::CompletingRebalance if same => {
            let reply = joined(group, &id, leads);
            cx.reply(token, Reply::Join(reply));
        }
        // A leader joins again to have the partitions assigned anew, because of something that
        // only it knows; a follower that changes nothing does not disturb the others.
        GroupState::Stable if same && !leads => {
            let reply = joined(group, &id, false);
            cx.reply_durably(token, Reply::Join(reply));
        }
        GroupState::Empty | GroupState::Dead => {
            cx.refuse_join(token, ErrorCode::UnknownMemberId, &id);
        }
        _ => {
            update_member(group, cx, token, request, &id);
            rebalance(group, cx, "a member joins again");
        }
    }
}

fn add_member(
    group: &mut Group,
    cx: &mut Context,
    token: Token,
    request: JoinRequest,
    id: Arc<str>,
) {
    info!(group = %group.id, member = %id, state = group.state().name(),
        reason = request.reason.as_deref().unwrap_or("not provided"), "a member joins");
    if group.initial_delay.is_some() {
        group.new_member_added = true;
    }
    if group.size() == 0 {
        group.protocol_type = Some(request.protocol_type);
    }
    group.add(Member {
        id: id.clone(),
        instance_id: request.group_instance_id,
        client_id: request.client_id,
        client_host: request.client_host,
        rebalance_timeout_ms: request.rebalance_timeout_ms,
        session_timeout_ms: request.session_timeout_ms,
        protocols: request.protocols,
        assignment: Bytes::new(),
        awaiting_join: Some(token),
        awaiting_sync: None,
        is_new: true,
    });
    cx.expect_within(group, &id, NEW_MEMBER_JOIN_TIMEOUT_MS);
    rebalance(group, cx, "a new member joins");
}

fn update_member(
    group: &mut Group,
    cx: &mut Context,
    token: Token,
    request: JoinRequest,
    id: &Arc<str>,
) {
    let JoinRequest {
        protocols,
        rebalance_timeout_ms,
        session_timeout_ms,
        ..
    } = request;
    group.update(id, protocols, rebalance_timeout_ms, session_timeout_ms);
    let before = group.set_awaiting_join(id, Some(token));
    // The client gave the earlier request up; its connection may still need a response.
    cx.refuse_parked_join(before, ErrorCode::RebalanceInProgress, id);
}

/// A static member that lost its id, most likely by a restart, takes over from its former self.
fn replace_static(
    group: &mut Group,
    cx: &mut Context,
    token: Token,
    request: JoinRequest,
    old_id: &Arc<str>,
    new_id: &Arc<str>,
) {
    info!(group = %group.id, old = %old_id, member = %new_id, state = group.state().name(),
        "a static member takes over from its former self");
    let waiting_join = group.set_awaiting_join(old_id, None);
    cx.refuse_parked_join(waiting_join, ErrorCode::FencedInstanceId, old_id);
    let waiting_sync = group.set_awaiting_sync(old_id, None);
    cx.refuse_parked_sync(waiting_sync, ErrorCode::FencedInstanceId);
    cx.end_session(group, old_id);
    let old_leader = group.leader.clone();
    group.rename_static(old_id, new_id);
    let can_skip = request.api_version >= FIRST_VERSION_WITH_SKIP_ASSIGNMENT;
    update_member(group, cx, token, request, new_id);
    cx.restart_session(group, new_id);
    match group.state() {
        GroupState::Stable
            if group.select_protocol() == group.protocol
                && group.to_record().stored_size() <= cx.config.max_group_record_bytes =>
        {
            cx.store_group(group);
            group.set_awaiting_join(new_id, None);
            let leads = group.is_leader(new_id);
            let mut reply = joined(group, new_id, leads && can_skip);
            reply.skip_assignment = leads && can_skip;
            if !can_skip {
                // Such a client would assign if it saw that it leads, and nobody would ask it to.
                reply.leader = old_leader.as_deref().unwrap_or_default().to_owned();
            }
            cx.reply_durably(token, Reply::Join(reply));
        }
        GroupState::Stable => rebalance(group, cx, "a static member changes the group's protocol"),
        // The leader may have seen the old id, so its assignment would miss the new one.
        GroupState::CompletingRebalance => {
            prepare_rebalance(
                group,
                cx,
                "a static member came back while the leader assigns",
            );
        }
        _ => maybe_complete_join(group, cx),
    }
}
