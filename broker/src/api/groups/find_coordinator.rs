//! FindCoordinator (key 10), versions 0 to 6: which broker has a group.
//!
//! - Version 1 adds the kind of the key and a message. From version 4 several keys are asked for at
//!   once (KIP-699). Version 6 knows share groups (KIP-932).
//! - The first lookup of a group creates `__consumer_offsets`; while that fails, the answer is
//!   COORDINATOR_NOT_AVAILABLE, with which clients try again.
//! - The coordinator of a group is the broker that leads the group's partition of that topic.
//! - There are no transactions yet. The answer is TRANSACTIONAL_ID_AUTHORIZATION_FAILED with a message
//!   that says so, since that is the one code that every client takes as final: librdkafka tries again
//!   until its own timeout at INVALID_REQUEST and others.

use fjord_wire::{
    ErrorCode,
    messages::{
        find_coordinator_request::FindCoordinatorRequest,
        find_coordinator_response::{Coordinator, FindCoordinatorResponse},
    },
};

use crate::{
    api::{Answer, Call, Handler, call::first_of, endpoints::reachable_brokers, error::ApiError},
    coordinator::groups::config::MAX_ID_BYTES,
    metadata::topic_name,
    net::CloseConnection,
    security::{Operation, Resource},
};

const GROUP: i8 = 0;
const TRANSACTION: i8 = 1;
const SHARE: i8 = 2;

/// The first version that asks for several keys at once.
const FIRST_VERSION_WITH_KEYS: i16 = 4;

/// The node id in an answer without a coordinator.
const NO_NODE: i32 = -1;

pub struct FindCoordinator;

impl Handler for FindCoordinator {
    type Request = FindCoordinatorRequest;

    async fn handle(
        mut call: Call<FindCoordinatorRequest>,
    ) -> Result<Answer<FindCoordinatorResponse>, CloseConnection> {
        let has_keys = call.version >= FIRST_VERSION_WITH_KEYS;
        let keys = if has_keys {
            std::mem::take(&mut call.request.coordinator_keys)
        } else {
            vec![std::mem::take(&mut call.request.key)]
        };
        let mut coordinators = Vec::with_capacity(keys.len());
        for key in keys {
            let found = find(&call, &key).await;
            coordinators.push(to_coordinator(key, found));
        }
        let response = if has_keys {
            FindCoordinatorResponse {
                coordinators,
                ..Default::default()
            }
        } else {
            // There is exactly one.
            coordinators.pop().map(to_single).unwrap_or_default()
        };
        Ok(Answer::Now(response))
    }

    fn first_error(response: &FindCoordinatorResponse) -> i16 {
        let keys = response.coordinators.iter().map(|key| key.error_code);
        first_of(std::iter::once(response.error_code).chain(keys))
    }
}

/// A broker as an answer names it.
struct Node {
    id: i32,
    host: String,
    port: i32,
}

async fn find(call: &Call<FindCoordinatorRequest>, key: &str) -> Result<Node, ApiError> {
    match call.request.key_type {
        GROUP => find_group(call, key).await,
        TRANSACTION => Err(ApiError::new(
            ErrorCode::TransactionalIdAuthorizationFailed,
            "Transactions are not supported by this broker yet; use a producer without a \
             transactional id.",
        )),
        SHARE => Err(ApiError::invalid_request(
            "Share groups are not supported by this broker.",
        )),
        other => Err(ApiError::invalid_request(format!(
            "Unknown coordinator type {other}."
        ))),
    }
}

async fn find_group(call: &Call<FindCoordinatorRequest>, group_id: &str) -> Result<Node, ApiError> {
    if !call.is_authorized(Operation::Describe, Resource::group(group_id)) {
        return Err(ErrorCode::GroupAuthorizationFailed.into());
    }
    if group_id.len() > MAX_ID_BYTES {
        return Err(ErrorCode::InvalidGroupId.into());
    }
    let topic = topic_name::CONSUMER_OFFSETS;
    if let Err(error) = call.broker.ensure_internal_topic(topic).await {
        tracing::error!(topic, %error, "the topic that groups need cannot be created");
        let message = format!("{topic} cannot be created: {error}");
        return Err(ApiError::new(ErrorCode::CoordinatorNotAvailable, message));
    }
    let image = call.image();
    let leader = call
        .broker
        .groups
        .partition_for(group_id)
        .and_then(|index| image.topic(topic)?.partition(index))
        .map(|partition| partition.leader);
    let brokers = reachable_brokers(&call.broker, &image, &call.context.connection);
    let found = brokers.into_iter().find(|node| Some(node.id) == leader);
    let node = found.ok_or(ErrorCode::CoordinatorNotAvailable)?;
    Ok(Node {
        id: node.id,
        host: node.host,
        port: node.port.into(),
    })
}

fn to_coordinator(key: String, found: Result<Node, ApiError>) -> Coordinator {
    let no_node = Node {
        id: NO_NODE,
        host: String::new(),
        port: 0,
    };
    let (error, node) = match found {
        Ok(node) => (ErrorCode::None.into(), node),
        Err(error) => (error, no_node),
    };
    Coordinator {
        key,
        node_id: node.id,
        host: node.host,
        port: node.port,
        error_code: error.code.code(),
        error_message: error.message,
    }
}

fn to_single(coordinator: Coordinator) -> FindCoordinatorResponse {
    FindCoordinatorResponse {
        error_code: coordinator.error_code,
        error_message: coordinator.error_message,
        node_id: coordinator.node_id,
        host: coordinator.host,
        port: coordinator.port,
        ..Default::default()
    }
}
