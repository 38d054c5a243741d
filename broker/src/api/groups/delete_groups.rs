//! DeleteGroups (key 42), versions 0 to 2: groups without members go, with what they committed.
//!
//! - Errors are per group, among them NON_EMPTY_GROUP and GROUP_ID_NOT_FOUND. A group that is named
//!   twice is answered once. The response comes when the groups are durably gone.

use std::collections::HashSet;

use fjord_wire::{
    ErrorCode,
    messages::{
        delete_groups_request::DeleteGroupsRequest,
        delete_groups_response::{DeletableGroupResult, DeleteGroupsResponse},
    },
};

use crate::{
    api::{Answer, Call, Handler, call::first_of},
    net::CloseConnection,
    security::{Operation, Resource},
};

pub struct DeleteGroups;

impl Handler for DeleteGroups {
    type Request = DeleteGroupsRequest;

    async fn handle(
        mut call: Call<DeleteGroupsRequest>,
    ) -> Result<Answer<DeleteGroupsResponse>, CloseConnection> {
        let mut seen = HashSet::new();
        let mut names = std::mem::take(&mut call.request.groups_names);
        names.retain(|name| seen.insert(name.clone()));
        let delete = |name: String| {
            let is_authorized = call.is_authorized(Operation::Delete, Resource::group(&name));
            let outcome = is_authorized.then(|| call.broker.groups.delete_group(&name));
            (name, outcome)
        };
        let outcomes: Vec<_> = names.into_iter().map(delete).collect();
        Ok(Answer::later(async move {
            let mut results = Vec::with_capacity(outcomes.len());
            for (group_id, outcome) in outcomes {
                let error = match outcome {
                    Some(outcome) => outcome.await,
                    None => ErrorCode::GroupAuthorizationFailed,
                };
                results.push(DeletableGroupResult {
                    group_id,
                    error_code: error.code(),
                });
            }
            DeleteGroupsResponse {
                results,
                ..Default::default()
            }
        }))
    }

    fn first_error(response: &DeleteGroupsResponse) -> i16 {
        first_of(response.results.iter().map(|group| group.error_code))
    }
}
