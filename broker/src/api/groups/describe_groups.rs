//! DescribeGroups (key 15), versions 0 to 6: groups with their members and assignments.
//!
//! - Version 3 adds authorized operations (KIP-430), version 4 static members.
//! - A group that does not exist is Dead; from version 6 that also is GROUP_ID_NOT_FOUND, with a message
//!   (KIP-1043), before that it is no error.

use fjord_wire::{
    ErrorCode,
    messages::{
        describe_groups_request::DescribeGroupsRequest,
        describe_groups_response::{self, DescribeGroupsResponse, DescribedGroupMember},
    },
};

use crate::{
    api::{
        Answer, Call, Handler,
        authorized_operations::{NOT_ASKED, bit_field},
        call::first_of,
    },
    coordinator::groups::{DescribedGroup, DescribedMember},
    net::CloseConnection,
    security::{Operation, Resource},
};

/// The first version in which a group can be unknown.
const FIRST_VERSION_WITH_NOT_FOUND: i16 = 6;

pub struct DescribeGroups;

impl Handler for DescribeGroups {
    type Request = DescribeGroupsRequest;

    async fn handle(
        mut call: Call<DescribeGroupsRequest>,
    ) -> Result<Answer<DescribeGroupsResponse>, CloseConnection> {
        let names = std::mem::take(&mut call.request.groups);
        let describe = |name: String| {
            let is_authorized = call.is_authorized(Operation::Describe, Resource::group(&name));
            let described = is_authorized.then(|| call.broker.groups.describe(&name));
            (name, described)
        };
        let described: Vec<_> = names.into_iter().map(describe).collect();
        Ok(Answer::later(async move {
            let mut groups = Vec::with_capacity(described.len());
            for (name, described) in described {
                groups.push(match described {
                    Some(described) => to_group(&call, described.await),
                    None => refused(name, ErrorCode::GroupAuthorizationFailed),
                });
            }
            DescribeGroupsResponse {
                groups,
                ..Default::default()
            }
        }))
    }

    fn first_error(response: &DescribeGroupsResponse) -> i16 {
        first_of(response.groups.iter().map(|group| group.error_code))
    }
}

fn to_group(
    call: &Call<DescribeGroupsRequest>,
    described: DescribedGroup,
) -> describe_groups_response::DescribedGroup {
    let knows_not_found = call.version >= FIRST_VERSION_WITH_NOT_FOUND;
    let error = match described.error {
        ErrorCode::GroupIdNotFound if !knows_not_found => ErrorCode::None,
        ErrorCode::None | ErrorCode::GroupIdNotFound => described.error,
        error => return refused(described.group_id, error),
    };
    let authorized_operations =
        if call.request.include_authorized_operations && error == ErrorCode::None {
            bit_field(
                Resource::group(&described.group_id),
                |operation, resource| call.is_authorized(operation, resource),
            )
        } else {
            NOT_ASKED
        };
    describe_groups_response::DescribedGroup {
        error_code: error.code(),
        error_message: described.error_message.filter(|_| knows_not_found),
        group_id: described.group_id,
        group_state: described.state.name().to_owned(),
        protocol_type: described.protocol_type,
        protocol_data: described.protocol,
        members: described.members.into_iter().map(to_member).collect(),
        authorized_operations,
    }
}

/// A group about which nothing is said, not even a state.
fn refused(group_id: String, error: ErrorCode) -> describe_groups_response::DescribedGroup {
    describe_groups_response::DescribedGroup {
        error_code: error.code(),
        group_id,
        ..Default::default()
    }
}

fn to_member(member: DescribedMember) -> DescribedGroupMember {
    DescribedGroupMember {
        member_id: member.member_id,
        group_instance_id: member.group_instance_id,
        client_id: member.client_id,
        client_host: member.client_host,
        member_metadata: member.metadata,
        member_assignment: member.assignment,
    }
}
