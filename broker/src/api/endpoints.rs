//! Where clients are told that brokers can be reached.

use crate::{
    broker::Broker as ThisBroker,
    metadata::{Broker, Image},
    net::ConnectionContext,
};

/// A broker as a client is told about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ReachableBroker {
    pub id: i32,
    pub host: String,
    pub port: u16,
    pub rack: Option<String>,
    pub is_fenced: bool,
}

/// The brokers that the client of a connection can reach, by id. A client is told about the listener
/// that it came in on; a broker without a listener of that name is left out, as is one that is fenced.
pub(super) fn reachable_brokers(
    this: &ThisBroker,
    image: &Image,
    connection: &ConnectionContext,
) -> Vec<ReachableBroker> {
    let mut brokers = known_brokers(this, image, connection);
    brokers.retain(|broker| !broker.is_fenced);
    brokers
}

/// The same with those that are fenced.
pub(super) fn known_brokers(
    this: &ThisBroker,
    image: &Image,
    connection: &ConnectionContext,
) -> Vec<ReachableBroker> {
    let known = |broker: &std::sync::Arc<Broker>| {
        let (host, port) = if broker.broker_id == this.id() {
            this.advertised_address(connection)?
        } else {
            let listener = connection.listener.as_ref();
            let endpoint = broker
                .endpoints
                .iter()
                .find(|other| other.listener == listener)?;
            (endpoint.host.clone(), endpoint.port)
        };
        Some(ReachableBroker {
            id: broker.broker_id,
            host,
            port,
            rack: broker.rack.clone(),
            is_fenced: broker.fenced,
        })
    };
    image.brokers().filter_map(known).collect()
}
