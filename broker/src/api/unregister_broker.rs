//! UnregisterBroker (key 64), version 0: removes a broker that will not come back (KIP-500).
//!
//! - One that votes on the metadata has to lose its vote first (RemoveRaftVoter); the quorum forgets it too.
//! - Only a broker that is fenced can be removed: what it has of partitions counts as lost afterwards, so
//!   removing one that runs would lose records. Kafka removes it all the same.

use fjord_wire::{
    ErrorCode,
    messages::{
        unregister_broker_request::UnregisterBrokerRequest,
        unregister_broker_response::UnregisterBrokerResponse,
    },
};

use super::{
    Answer, Call, Handler,
    error::{ApiError, code_and_message},
};
use crate::{
    cluster_view::{MemberChange, MemberChangeError},
    metadata::commands,
    net::CloseConnection,
    security::{Operation, Resource},
};

pub struct UnregisterBroker;

impl Handler for UnregisterBroker {
    type Request = UnregisterBrokerRequest;

    async fn handle(
        call: Call<UnregisterBrokerRequest>,
    ) -> Result<Answer<UnregisterBrokerResponse>, CloseConnection> {
        let (error_code, error_message) = code_and_message(unregister(&call).await);
        Ok(Answer::Now(UnregisterBrokerResponse {
            throttle_time_ms: 0,
            error_code,
            error_message,
        }))
    }

    fn first_error(response: &UnregisterBrokerResponse) -> i16 {
        response.error_code
    }
}

async fn unregister(call: &Call<UnregisterBrokerRequest>) -> Result<(), ApiError> {
    if !call.is_authorized(Operation::Alter, Resource::cluster()) {
        return Err(ErrorCode::ClusterAuthorizationFailed.into());
    }
    let broker_id = call.request.broker_id;
    let cluster = &call.broker.cluster;
    if cluster.votes(broker_id) {
        return Err(MemberChangeError::StillVotes(broker_id).into());
    }
    let request = commands::UnregisterBroker { broker_id };
    call.broker.metadata.submit(request).await??;
    match cluster
        .change_members(MemberChange::Forget(broker_id))
        .await
    {
        // There is no quorum that could know it.
        Err(MemberChangeError::OnlyBroker) => Ok(()),
        forgotten => Ok(forgotten?),
    }
}
