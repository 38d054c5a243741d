//! The resources that configs belong to, by their numbers in requests (Kafka's `ConfigResource.Type`).

use std::fmt;

use super::{Call, error::ApiError};
use crate::{
    broker::Broker,
    metadata::{commands::ConfigResource, topic_name},
    security::{Operation, Resource},
};

use fjord_wire::ErrorCode;

/// The kind of a resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum ResourceType {
    Topic,
    Broker,
    BrokerLogger,
    ClientMetrics,
    Group,
}

impl ResourceType {
    pub(super) const ALL: [ResourceType; 5] = [
        ResourceType::Topic,
        ResourceType::Broker,
        ResourceType::BrokerLogger,
        ResourceType::ClientMetrics,
        ResourceType::Group,
    ];

    /// The number on the wire.
    pub(super) fn wire_id(self) -> i8 {
        match self {
            ResourceType::Topic => 2,
            ResourceType::Broker => 4,
            ResourceType::BrokerLogger => 8,
            ResourceType::ClientMetrics => 16,
            ResourceType::Group => 32,
        }
    }

    pub(super) fn from_wire(id: i8) -> Option<ResourceType> {
        ResourceType::ALL
            .into_iter()
            .find(|kind| kind.wire_id() == id)
    }
}

impl fmt::Display for ResourceType {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            ResourceType::Topic => "TOPIC",
            ResourceType::Broker => "BROKER",
            ResourceType::BrokerLogger => "BROKER_LOGGER",
            ResourceType::ClientMetrics => "CLIENT_METRICS",
            ResourceType::Group => "GROUP",
        })
    }
}

/// Refuses a client that may not do `operation` on the configs of a resource.
pub(super) fn authorize<M>(
    call: &Call<M>,
    operation: Operation,
    kind: ResourceType,
    name: &str,
) -> Result<(), ApiError> {
    let (resource, denied) = match kind {
        ResourceType::Topic => (Resource::topic(name), ErrorCode::TopicAuthorizationFailed),
        ResourceType::Group => (Resource::group(name), ErrorCode::GroupAuthorizationFailed),
        ResourceType::Broker | ResourceType::BrokerLogger | ResourceType::ClientMetrics => {
            (Resource::cluster(), ErrorCode::ClusterAuthorizationFailed)
        }
    };
    match call.is_authorized(operation, resource) {
        true => Ok(()),
        false => Err(denied.into()),
    }
}

/// The resource whose configs a client wants to alter, or why they cannot be.
pub(super) fn alterable(broker: &Broker, id: i8, name: &str) -> Result<ConfigResource, ApiError> {
    match ResourceType::from_wire(id) {
        Some(ResourceType::Topic) if name.is_empty() => Err(ApiError::invalid_request(
            "Default topic resources are not allowed.",
        )),
        Some(ResourceType::Topic) => {
            topic_name::validate(name)?;
            Ok(ConfigResource::Topic(name.to_owned()))
        }
        Some(ResourceType::Broker) if name.is_empty() => Ok(ConfigResource::Broker(None)),
        Some(ResourceType::Broker) => {
            let own = broker.id();
            match name.parse::<i32>() {
                Ok(id) if id == own => Ok(ConfigResource::Broker(Some(id))),
                Ok(id) => Err(ApiError::invalid_request(format!(
                    "Unexpected broker id, expected {own}, but received {id}"
                ))),
                Err(_) => Err(ApiError::invalid_request(format!(
                    "Node id must be an integer, but it is: {name}"
                ))),
            }
        }
        Some(ResourceType::BrokerLogger) => Err(ApiError::invalid_request(
            "Log levels cannot be changed while the broker runs; set fjord.log.level and restart it.",
        )),
        Some(kind @ (ResourceType::ClientMetrics | ResourceType::Group)) => Err(
            ApiError::invalid_request(format!("Unexpected resource type {kind}.")),
        ),
        None => Err(ApiError::invalid_request(format!(
            "Unknown resource type {id}"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_kafkas_and_come_back() {
        for kind in ResourceType::ALL {
            assert_eq!(ResourceType::from_wire(kind.wire_id()), Some(kind));
        }
        assert_eq!(ResourceType::from_wire(0), None);
        assert_eq!(ResourceType::from_wire(-1), None);
    }
}
