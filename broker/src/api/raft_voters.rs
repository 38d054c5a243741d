//! AddRaftVoter (key 80, versions 0 and 1) and RemoveRaftVoter (key 81, version 0): who decides on the metadata (KIP-853).
//!
//! - A broker is a member of the quorum, without a vote, from its first start on; what gets a vote is such a one, at the
//!   address that it has told. Listeners in the request are not looked at.
//! - A broker whose vote is taken away follows on. A directory's id is compared where one is given.
//! - Every broker takes the requests; the quorum's leader carries them out.

use fjord_wire::{
    ErrorCode,
    messages::{
        add_raft_voter_request::AddRaftVoterRequest, add_raft_voter_response::AddRaftVoterResponse,
        remove_raft_voter_request::RemoveRaftVoterRequest,
        remove_raft_voter_response::RemoveRaftVoterResponse,
    },
};
use uuid::Uuid;

use super::{
    Answer, Call, Handler,
    error::{ApiError, code_and_message},
};
use crate::{
    cluster_view::MemberChange,
    net::CloseConnection,
    security::{Operation, Resource},
};

pub struct AddRaftVoter;
pub struct RemoveRaftVoter;

impl Handler for AddRaftVoter {
    type Request = AddRaftVoterRequest;

    async fn handle(
        call: Call<AddRaftVoterRequest>,
    ) -> Result<Answer<AddRaftVoterResponse>, CloseConnection> {
        let asked = &call.request;
        let voter = (asked.voter_id, asked.voter_directory_id);
        let change = MemberChange::AddVoter(asked.voter_id);
        let outcome = changed(&call, asked.cluster_id.as_deref(), voter, change);
        Ok(Answer::later(async move {
            let (error_code, error_message) = code_and_message(outcome.await);
            AddRaftVoterResponse {
                throttle_time_ms: 0,
                error_code,
                error_message,
            }
        }))
    }

    fn first_error(response: &AddRaftVoterResponse) -> i16 {
        response.error_code
    }
}

impl Handler for RemoveRaftVoter {
    type Request = RemoveRaftVoterRequest;

    async fn handle(
        call: Call<RemoveRaftVoterRequest>,
    ) -> Result<Answer<RemoveRaftVoterResponse>, CloseConnection> {
        let asked = &call.request;
        let voter = (asked.voter_id, asked.voter_directory_id);
        let change = MemberChange::RemoveVoter(asked.voter_id);
        let outcome = changed(&call, asked.cluster_id.as_deref(), voter, change);
        Ok(Answer::later(async move {
            let (error_code, error_message) = code_and_message(outcome.await);
            RemoveRaftVoterResponse {
                throttle_time_ms: 0,
                error_code,
                error_message,
            }
        }))
    }

    fn first_error(response: &RemoveRaftVoterResponse) -> i16 {
        response.error_code
    }
}

/// Whether the request may be made, and means this cluster and the voter that is there.
fn check<R>(call: &Call<R>, cluster_id: Option<&str>, voter: (i32, Uuid)) -> Result<(), ApiError> {
    if !call.is_authorized(Operation::Alter, Resource::cluster()) {
        return Err(ErrorCode::ClusterAuthorizationFailed.into());
    }
    let image = call.image();
    if cluster_id.is_some_and(|asked| image.cluster_id() != Some(asked)) {
        return Err(ErrorCode::InconsistentClusterId.into());
    }
    let (id, directory) = voter;
    let known = image.broker(id).map(|broker| broker.directory_id);
    match known {
        Some(known) if !directory.is_nil() && directory != known => Err(ApiError::new(
            ErrorCode::InvalidVoterKey,
            format!("the directory of broker {id} is {known}"),
        )),
        _ => Ok(()),
    }
}

/// The change, if it may be made, as soon as the quorum has it.
fn changed<R>(
    call: &Call<R>,
    cluster_id: Option<&str>,
    voter: (i32, Uuid),
    change: MemberChange,
) -> impl Future<Output = Result<(), ApiError>> + Send + use<R> {
    let checked = check(call, cluster_id, voter);
    let changed = checked.map(|()| call.broker.cluster.change_members(change));
    async move { Ok(changed?.await?) }
}
