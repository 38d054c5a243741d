//! InitProducerId (key 22), versions 0 to 5: an id for an idempotent producer (KIP-98).
//!
//! - Ids come from blocks that the metadata hands out, so that none is given twice, not after a crash
//!   either.
//! - An idempotent producer that comes with its id and epoch (version 3, KIP-360) gets the next epoch.
//! - Transactional ids are refused: there are no transactions yet.

use fjord_wire::{
    ErrorCode,
    messages::{
        init_producer_id_request::InitProducerIdRequest,
        init_producer_id_response::InitProducerIdResponse,
    },
};

use super::{Answer, Call, Handler, error::ApiError};
use crate::{
    net::CloseConnection,
    security::{Operation, Resource},
};

const NO_PRODUCER_ID: i64 = -1;
const NO_PRODUCER_EPOCH: i16 = -1;

pub struct InitProducerId;

impl Handler for InitProducerId {
    type Request = InitProducerIdRequest;

    async fn handle(
        call: Call<InitProducerIdRequest>,
    ) -> Result<Answer<InitProducerIdResponse>, CloseConnection> {
        let response = match producer_id(&call).await {
            Ok((producer_id, producer_epoch)) => InitProducerIdResponse {
                producer_id,
                producer_epoch,
                ..InitProducerIdResponse::default()
            },
            Err(error) => InitProducerIdResponse {
                error_code: error.code.code(),
                producer_id: NO_PRODUCER_ID,
                producer_epoch: NO_PRODUCER_EPOCH,
                ..InitProducerIdResponse::default()
            },
        };
        Ok(Answer::Now(response))
    }

    fn first_error(response: &InitProducerIdResponse) -> i16 {
        response.error_code
    }
}

/// The id and the epoch that a producer gets.
///
/// # Errors
///
/// With a message, for which Kafka's response has no room.
pub async fn producer_id(call: &Call<InitProducerIdRequest>) -> Result<(i64, i16), ApiError> {
    let request = &call.request;
    if request.transactional_id.is_some() {
        return Err(ApiError::invalid_request(
            "transactions are not supported yet",
        ));
    }
    if !call.is_authorized(Operation::IdempotentWrite, Resource::cluster()) {
        return Err(ErrorCode::ClusterAuthorizationFailed.into());
    }
    let known = (request.producer_id, request.producer_epoch);
    match known {
        // The epochs of an id are used up below the greatest, which is kept for fencing.
        (id, epoch) if id >= 0 && (0..i16::MAX - 1).contains(&epoch) => Ok((id, epoch + 1)),
        _ => Ok((
            call.broker.producer_ids.next(&call.broker.metadata).await?,
            0,
        )),
    }
}
