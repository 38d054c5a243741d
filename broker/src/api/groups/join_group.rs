//! JoinGroup (key 11), versions 0 to 9: a member asks to be in the group's next generation. The response
//! comes when the members have gathered.
//!
//! - Version 1 has a rebalance timeout of its own, version 5 static members (KIP-345), version 8 a
//!   reason (KIP-800), and version 9 can tell the leader not to assign (KIP-814).
//! - From version 7 the response has the protocol's type, and no protocol is null instead of empty.

use fjord_wire::{
    ErrorCode,
    messages::{
        join_group_request::JoinGroupRequest,
        join_group_response::{JoinGroupResponse, JoinGroupResponseMember},
    },
};
use uuid::Uuid;

use crate::{
    api::{Answer, Call, Handler},
    coordinator::groups::{JoinReply, JoinRequest, JoinedMember, Protocol},
    net::CloseConnection,
    security::{Operation, Resource},
};

/// The first version in which the protocol's name may be null.
const FIRST_VERSION_WITH_NULL_PROTOCOL: i16 = 7;

pub struct JoinGroup;

impl Handler for JoinGroup {
    type Request = JoinGroupRequest;

    async fn handle(
        call: Call<JoinGroupRequest>,
    ) -> Result<Answer<JoinGroupResponse>, CloseConnection> {
        let version = call.version;
        if !call.is_authorized(Operation::Read, Resource::group(&call.request.group_id)) {
            let code = ErrorCode::GroupAuthorizationFailed;
            let refused = JoinReply::refuse(code, call.request.member_id);
            return Ok(Answer::Now(to_response(version, refused)));
        }
        let groups = call.broker.groups.clone();
        let reply = groups.join(to_request(call));
        Ok(Answer::later(
            async move { to_response(version, reply.await) },
        ))
    }

    fn first_error(response: &JoinGroupResponse) -> i16 {
        response.error_code
    }
}

fn to_request(call: Call<JoinGroupRequest>) -> JoinRequest {
    let request = call.request;
    let protocols = request.protocols.into_iter().map(|protocol| Protocol {
        name: protocol.name,
        metadata: protocol.metadata,
    });
    JoinRequest {
        group_id: request.group_id,
        member_id: request.member_id,
        group_instance_id: request.group_instance_id,
        client_id: call.client_id,
        // An IPv4 client of an IPv6 socket is shown by the address that people know it by.
        client_host: format!("/{}", call.context.connection.peer.ip().to_canonical()),
        protocol_type: request.protocol_type,
        protocols: protocols.collect(),
        session_timeout_ms: request.session_timeout_ms,
        rebalance_timeout_ms: request.rebalance_timeout_ms,
        api_version: call.version,
        reason: request.reason,
        entropy: Uuid::new_v4(),
    }
}

fn to_response(version: i16, reply: JoinReply) -> JoinGroupResponse {
    let protocol_name = match reply.protocol_name {
        None if version < FIRST_VERSION_WITH_NULL_PROTOCOL => Some(String::new()),
        name => name,
    };
    let member = |member: JoinedMember| JoinGroupResponseMember {
        member_id: member.member_id,
        group_instance_id: member.group_instance_id,
        metadata: member.metadata,
    };
    JoinGroupResponse {
        error_code: reply.error.code(),
        generation_id: reply.generation_id,
        protocol_type: reply.protocol_type,
        protocol_name,
        leader: reply.leader,
        skip_assignment: reply.skip_assignment,
        member_id: reply.member_id,
        members: reply.members.into_iter().map(member).collect(),
        ..Default::default()
    }
}
