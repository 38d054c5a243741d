//! Heartbeat: a member shows that it lives, and learns whether it has to join again.

use std::sync::Arc;

use super::context::Context;
use super::group::Group;
use super::types::{GroupState, HeartbeatRequest};
use fjord_wire::ErrorCode;

/// Handles a request for a group that exists.
pub fn heartbeat(group: &Group, cx: &mut Context, request: &HeartbeatRequest) -> ErrorCode {
    let instance_id = request.group_instance_id.as_deref();
    if let Err(error) = group.validate_member(&request.member_id, instance_id) {
        return error;
    }
    if request.generation_id != group.generation {
        return ErrorCode::IllegalGeneration;
    }
    let id: Arc<str> = request.member_id.as_str().into();
    match group.state() {
        GroupState::Empty | GroupState::Dead => ErrorCode::UnknownMemberId,
        GroupState::PreparingRebalance => {
            cx.restart_session(group, &id);
            ErrorCode::RebalanceInProgress
        }
        // Members may send heartbeats as soon as they have joined.
        GroupState::CompletingRebalance | GroupState::Stable => {
            cx.restart_session(group, &id);
            ErrorCode::None
        }
    }
}
