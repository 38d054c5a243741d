//! SyncGroup (key 14), versions 0 to 5: the leader hands in the assignment, and every member gets its
//! own once it is durable.
//!
//! - From version 5 a member must say which protocol it believes in (KIP-559); without one the answer is
//!   INCONSISTENT_GROUP_PROTOCOL.

use fjord_wire::{
    ErrorCode,
    messages::{sync_group_request::SyncGroupRequest, sync_group_response::SyncGroupResponse},
};

use crate::{
    api::{Answer, Call, Handler},
    coordinator::groups::{SyncReply, SyncRequest},
    net::CloseConnection,
    security::{Operation, Resource},
};

/// The first version that must name the protocol and its type.
const FIRST_VERSION_WITH_PROTOCOL: i16 = 5;

pub struct SyncGroup;

impl Handler for SyncGroup {
    type Request = SyncGroupRequest;

    async fn handle(
        call: Call<SyncGroupRequest>,
    ) -> Result<Answer<SyncGroupResponse>, CloseConnection> {
        if let Err(error) = check(&call) {
            return Ok(Answer::Now(to_response(SyncReply::refuse(error))));
        }
        let reply = call.broker.groups.sync(to_request(call.request));
        Ok(Answer::later(async move { to_response(reply.await) }))
    }

    fn first_error(response: &SyncGroupResponse) -> i16 {
        response.error_code
    }
}

fn check(call: &Call<SyncGroupRequest>) -> Result<(), ErrorCode> {
    let request = &call.request;
    let names_protocol = request.protocol_type.is_some() && request.protocol_name.is_some();
    if call.version >= FIRST_VERSION_WITH_PROTOCOL && !names_protocol {
        return Err(ErrorCode::InconsistentGroupProtocol);
    }
    if !call.is_authorized(Operation::Read, Resource::group(&request.group_id)) {
        return Err(ErrorCode::GroupAuthorizationFailed);
    }
    Ok(())
}

fn to_request(request: SyncGroupRequest) -> SyncRequest {
    let assignments = request
        .assignments
        .into_iter()
        .map(|assignment| (assignment.member_id, assignment.assignment));
    SyncRequest {
        group_id: request.group_id,
        generation_id: request.generation_id,
        member_id: request.member_id,
        group_instance_id: request.group_instance_id,
        protocol_type: request.protocol_type,
        protocol_name: request.protocol_name,
        assignments: assignments.collect(),
    }
}

fn to_response(reply: SyncReply) -> SyncGroupResponse {
    SyncGroupResponse {
        error_code: reply.error.code(),
        protocol_type: reply.protocol_type,
        protocol_name: reply.protocol_name,
        assignment: reply.assignment,
        ..Default::default()
    }
}
