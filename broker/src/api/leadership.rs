//! The leader epoch that a client knows, against the one that is (KIP-320).

use std::sync::Arc;

use fjord_wire::ErrorCode;

use super::Call;
use crate::{
    partition::Replica,
    security::{Operation, Resource},
};

/// A client that knows no epoch.
const UNKNOWN_EPOCH: i32 = -1;

/// Checks the epoch that a client sent.
///
/// # Errors
///
/// FENCED_LEADER_EPOCH if it is older, UNKNOWN_LEADER_EPOCH if it is newer than this leader's.
pub(super) fn check_epoch(leader: &Replica, known: i32) -> Result<(), ErrorCode> {
    match known {
        UNKNOWN_EPOCH => Ok(()),
        known if known < leader.leader_epoch() => Err(ErrorCode::FencedLeaderEpoch),
        known if known > leader.leader_epoch() => Err(ErrorCode::UnknownLeaderEpoch),
        _ => Ok(()),
    }
}

/// The partition `index` of the topic `name`, if the client may do `operation` there.
///
/// # Errors
///
/// TOPIC_AUTHORIZATION_FAILED, UNKNOWN_TOPIC_OR_PARTITION, or NOT_LEADER_OR_FOLLOWER.
pub(super) fn find<M>(
    call: &Call<M>,
    operation: Operation,
    name: &str,
    index: i32,
) -> Result<Arc<Replica>, ErrorCode> {
    if !call.is_authorized(operation, Resource::topic(name)) {
        return Err(ErrorCode::TopicAuthorizationFailed);
    }
    let image = call.image();
    let topic = image
        .topic(name)
        .ok_or(ErrorCode::UnknownTopicOrPartition)?;
    call.broker
        .partitions
        .leader(&topic.id, index)
        .map_err(ErrorCode::from)
}
