//! ListGroups (key 16), versions 0 to 5: the groups that this broker coordinates.
//!
//! - Version 4 filters by state and says it (KIP-518), version 5 by type (KIP-848).
//! - Who may not see the cluster sees the groups that it may see. While a part of the groups is being
//!   read from the log, the answer is COORDINATOR_LOAD_IN_PROGRESS.

use fjord_wire::messages::{
    list_groups_request::ListGroupsRequest,
    list_groups_response::{self, ListGroupsResponse},
};

use crate::{
    api::{Answer, Call, Handler},
    coordinator::groups::{GROUP_TYPE, ListRequest, ListedGroup},
    net::CloseConnection,
    security::{Operation, Resource},
};

pub struct ListGroups;

impl Handler for ListGroups {
    type Request = ListGroupsRequest;

    async fn handle(
        mut call: Call<ListGroupsRequest>,
    ) -> Result<Answer<ListGroupsResponse>, CloseConnection> {
        let groups = call.broker.groups.list(&ListRequest {
            states: std::mem::take(&mut call.request.states_filter),
            types: std::mem::take(&mut call.request.types_filter),
        });
        Ok(Answer::later(async move {
            match groups.await {
                Ok(groups) => to_response(&call, groups),
                Err(error) => ListGroupsResponse {
                    error_code: error.code(),
                    ..Default::default()
                },
            }
        }))
    }

    fn first_error(response: &ListGroupsResponse) -> i16 {
        response.error_code
    }
}

fn to_response(call: &Call<ListGroupsRequest>, groups: Vec<ListedGroup>) -> ListGroupsResponse {
    let sees_all = call.is_authorized(Operation::Describe, Resource::cluster());
    let is_visible = |group: &ListedGroup| {
        sees_all || call.is_authorized(Operation::Describe, Resource::group(&group.group_id))
    };
    let listed = |group: ListedGroup| list_groups_response::ListedGroup {
        group_id: group.group_id,
        protocol_type: group.protocol_type,
        group_state: group.state.name().to_owned(),
        group_type: GROUP_TYPE.to_owned(),
    };
    ListGroupsResponse {
        groups: groups.into_iter().filter(is_visible).map(listed).collect(),
        ..Default::default()
    }
}
