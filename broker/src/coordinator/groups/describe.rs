//! DescribeGroups and ListGroups: what groups look like from outside.

use super::group::Group;
use super::member::Member;
use super::types::{
    DescribedGroup, DescribedMember, GROUP_TYPE, GroupState, ListRequest, ListedGroup,
};
use fjord_wire::ErrorCode;

/// Describes a group. Metadata and protocol are those of the present generation, so they are shown
/// only while it is stable.
pub fn describe(group: &Group) -> DescribedGroup {
    let protocol = match group.state() {
        GroupState::Stable => group.protocol.clone().unwrap_or_default(),
        _ => String::new(),
    };
    let member = |member: &Member| DescribedMember {
        member_id: member.id.to_string(),
        group_instance_id: member.instance_id.clone(),
        client_id: member.client_id.clone(),
        client_host: member.client_host.clone(),
        metadata: match group.state() {
            GroupState::Stable => member.metadata(&protocol),
            _ => bytes::Bytes::new(),
        },
        assignment: member.assignment.clone(),
    };
    DescribedGroup {
        group_id: group.id.to_string(),
        error: ErrorCode::None,
        error_message: None,
        state: group.state(),
        protocol_type: group.protocol_type.clone().unwrap_or_default(),
        members: group.members().map(member).collect(),
        protocol,
    }
}

/// The description of a group that cannot be described.
pub fn undescribed(group_id: String, error: ErrorCode, message: Option<String>) -> DescribedGroup {
    DescribedGroup {
        group_id,
        error,
        error_message: message,
        state: GroupState::Dead,
        protocol_type: String::new(),
        protocol: String::new(),
        members: Vec::new(),
    }
}

/// The description of a group that does not exist.
pub fn unknown_group(group_id: String) -> DescribedGroup {
    let message = format!("Group {group_id} not found.");
    undescribed(group_id, ErrorCode::GroupIdNotFound, Some(message))
}

/// Lists the groups that pass the filters.
pub fn list<'a>(
    groups: impl Iterator<Item = &'a Group>,
    request: &ListRequest,
) -> Vec<ListedGroup> {
    let any_type = request.types.is_empty();
    if !any_type
        && !request
            .types
            .iter()
            .any(|name| name.trim().eq_ignore_ascii_case(GROUP_TYPE))
    {
        return Vec::new();
    }
    let wanted = |state: GroupState| {
        let mut names = request.states.iter();
        request.states.is_empty()
            || names.any(|name| name.trim().eq_ignore_ascii_case(state.name()))
    };
    let listed = groups
        .filter(|group| wanted(group.state()))
        .map(|group| ListedGroup {
            group_id: group.id.to_string(),
            protocol_type: group.protocol_type.clone().unwrap_or_default(),
            state: group.state(),
        });
    listed.collect()
}
