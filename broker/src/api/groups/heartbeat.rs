//! Heartbeat (key 12), versions 0 to 4: a member shows that it lives, and learns whether it has to join
//! again. Version 3 adds static members (KIP-345).

use fjord_wire::{
    ErrorCode,
    messages::{heartbeat_request::HeartbeatRequest, heartbeat_response::HeartbeatResponse},
};

use crate::{
    api::{Answer, Call, Handler},
    coordinator::groups,
    net::CloseConnection,
    security::{Operation, Resource},
};

pub struct Heartbeat;

impl Handler for Heartbeat {
    type Request = HeartbeatRequest;

    async fn handle(
        call: Call<HeartbeatRequest>,
    ) -> Result<Answer<HeartbeatResponse>, CloseConnection> {
        if !call.is_authorized(Operation::Read, Resource::group(&call.request.group_id)) {
            return Ok(Answer::Now(response(ErrorCode::GroupAuthorizationFailed)));
        }
        let HeartbeatRequest {
            group_id,
            generation_id,
            member_id,
            group_instance_id,
        } = call.request;
        let error = call.broker.groups.heartbeat(groups::HeartbeatRequest {
            group_id,
            generation_id,
            member_id,
            group_instance_id,
        });
        Ok(Answer::later(async move { response(error.await) }))
    }

    fn first_error(response: &HeartbeatResponse) -> i16 {
        response.error_code
    }
}

fn response(error: ErrorCode) -> HeartbeatResponse {
    HeartbeatResponse {
        error_code: error.code(),
        ..Default::default()
    }
}
