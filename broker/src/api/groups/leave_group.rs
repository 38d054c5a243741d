//! LeaveGroup (key 13), versions 0 to 5: members go, or an administrator removes them.
//!
//! - Up to version 2 there is one member, whose outcome is that of the whole request. From version 3
//!   there are several, also static ones, each with its outcome (KIP-345). Version 5 has reasons
//!   (KIP-800).

use fjord_wire::{
    ErrorCode,
    messages::{
        leave_group_request::{LeaveGroupRequest, MemberIdentity},
        leave_group_response::{LeaveGroupResponse, MemberResponse},
    },
};

use crate::{
    api::{Answer, Call, Handler, call::first_of},
    coordinator::groups::{LeaveReply, LeaveRequest, LeavingMember, LeftMember},
    net::CloseConnection,
    security::{Operation, Resource},
};

/// The first version that names several members.
const FIRST_VERSION_WITH_MEMBERS: i16 = 3;

pub struct LeaveGroup;

impl Handler for LeaveGroup {
    type Request = LeaveGroupRequest;

    async fn handle(
        call: Call<LeaveGroupRequest>,
    ) -> Result<Answer<LeaveGroupResponse>, CloseConnection> {
        let version = call.version;
        if !call.is_authorized(Operation::Read, Resource::group(&call.request.group_id)) {
            let refused = LeaveReply {
                error: ErrorCode::GroupAuthorizationFailed,
                members: Vec::new(),
            };
            return Ok(Answer::Now(to_response(version, refused)));
        }
        let reply = call.broker.groups.leave(to_request(version, call.request));
        Ok(Answer::later(
            async move { to_response(version, reply.await) },
        ))
    }

    fn first_error(response: &LeaveGroupResponse) -> i16 {
        let members = response.members.iter().map(|member| member.error_code);
        first_of(std::iter::once(response.error_code).chain(members))
    }
}

fn to_request(version: i16, request: LeaveGroupRequest) -> LeaveRequest {
    let leaving = |member: MemberIdentity| LeavingMember {
        member_id: member.member_id,
        group_instance_id: member.group_instance_id,
        reason: member.reason,
    };
    let members = if version >= FIRST_VERSION_WITH_MEMBERS {
        request.members.into_iter().map(leaving).collect()
    } else {
        vec![LeavingMember {
            member_id: request.member_id,
            group_instance_id: None,
            reason: None,
        }]
    };
    LeaveRequest {
        group_id: request.group_id,
        members,
    }
}

fn to_response(version: i16, reply: LeaveReply) -> LeaveGroupResponse {
    if version < FIRST_VERSION_WITH_MEMBERS {
        let member = reply.members.first().map(|member| member.error.code());
        return LeaveGroupResponse {
            error_code: first_of([reply.error.code(), member.unwrap_or_default()]),
            ..Default::default()
        };
    }
    let left = |member: LeftMember| MemberResponse {
        member_id: member.member_id,
        group_instance_id: member.group_instance_id,
        error_code: member.error.code(),
    };
    LeaveGroupResponse {
        error_code: reply.error.code(),
        members: reply.members.into_iter().map(left).collect(),
        ..Default::default()
    }
}
