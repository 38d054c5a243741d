//! LeaveGroup: members go, or an administrator removes them, several at once from version 3 on
//! (KIP-345). An administrator names static members only by their instance id.

use std::sync::Arc;

use tracing::info;

use super::context::Context;
use super::group::Group;
use super::rebalance::{rebalance, remove_member};
use super::types::{GroupState, LeaveReply, LeaveRequest, LeavingMember, LeftMember};
use fjord_wire::ErrorCode;

/// Handles a request for a group that exists.
pub fn leave(group: &mut Group, cx: &mut Context, request: LeaveRequest) -> LeaveReply {
    let mut members = Vec::with_capacity(request.members.len());
    for leaving in request.members {
        let error = leave_one(group, cx, &leaving)
            .err()
            .unwrap_or(ErrorCode::None);
        members.push(outcome(leaving, error));
    }
    let anybody = members.iter().any(|member| member.error == ErrorCode::None);
    if anybody && group.state() != GroupState::Empty {
        rebalance(group, cx, "members left");
    }
    LeaveReply {
        error: ErrorCode::None,
        members,
    }
}

/// The reply if the group does not exist: nobody in it is known.
pub fn unknown_group(request: LeaveRequest) -> LeaveReply {
    let unknown = |leaving| outcome(leaving, ErrorCode::UnknownMemberId);
    LeaveReply {
        error: ErrorCode::None,
        members: request.members.into_iter().map(unknown).collect(),
    }
}

fn leave_one(
    group: &mut Group,
    cx: &mut Context,
    leaving: &LeavingMember,
) -> Result<(), ErrorCode> {
    let instance_id = leaving.group_instance_id.as_deref();
    let id: Arc<str> = if leaving.member_id.is_empty() {
        let by_instance = instance_id.and_then(|instance_id| group.static_member(instance_id));
        by_instance.cloned().ok_or(ErrorCode::UnknownMemberId)?
    } else {
        leaving.member_id.as_str().into()
    };
    if !group.pending_joins.contains(&id) {
        group.validate_member(&id, instance_id)?;
    }
    info!(group = %group.id, member = %id,
        reason = leaving.reason.as_deref().unwrap_or("not provided"), "a member leaves");
    remove_member(group, cx, &id);
    Ok(())
}

fn outcome(leaving: LeavingMember, error: ErrorCode) -> LeftMember {
    let LeavingMember {
        member_id,
        group_instance_id,
        ..
    } = leaving;
    LeftMember {
        member_id,
        group_instance_id,
        error,
    }
}
