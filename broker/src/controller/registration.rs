//! The registration of this broker in its cluster.

use std::time::Duration;

use tokio::time::{Instant, sleep};
use tracing::info;
use uuid::Uuid;

use super::{client::Controller, error::StartError, join::PATIENCE};
use crate::{
    config::{AdvertisedListener, BrokerConfig, Durability, ListenerConfig, PeerAddress},
    metadata::{
        ExecuteError,
        commands::{Register, Registration, RegistrationError, Request, supported_features},
        records::Endpoint,
    },
};

/// The name of the endpoint by which other brokers reach this one. Clients are not told of it.
pub const PEER_ENDPOINT: &str = "PEER";

/// How long one try may take.
const TIMEOUT: Duration = Duration::from_secs(15);
/// Pause while another process is still thought to be alive under the id.
const RETRY: Duration = Duration::from_millis(100);

/// Who this broker is.
#[derive(Debug, Clone)]
pub struct Identity(Registration);

impl Identity {
    /// From the configs, with the directory's id, and where other brokers reach this one.
    pub fn new(config: &BrokerConfig, directory_id: Uuid, peer: &PeerAddress) -> Identity {
        let mut endpoints: Vec<Endpoint> = config
            .net
            .listeners
            .iter()
            .map(|listener| endpoint(listener, &peer.host))
            .collect();
        endpoints.push(Endpoint {
            listener: PEER_ENDPOINT.to_owned(),
            host: peer.host.clone(),
            port: peer.port,
        });
        Identity(Registration {
            broker_id: config.node.node_id,
            incarnation_id: Uuid::new_v4(),
            directory_id,
            rack: config.node.rack.clone(),
            endpoints,
            supported_features: supported_features(),
            clean_epoch: None,
            is_log_synced: config.log.durability == Durability::Fsync,
        })
    }

    /// With the epoch under which the broker has stopped in order, if it has.
    pub fn stopped_under(mut self, epoch: Option<i64>) -> Identity {
        self.0.clean_epoch = epoch;
        self
    }
}

/// What the other brokers tell their clients. A listener on every interface has no host of its own; the one by which
/// the other brokers come is known to be this one's.
fn endpoint(listener: &ListenerConfig, peer_host: &str) -> Endpoint {
    let (host, port) = match &listener.advertised {
        AdvertisedListener::Fixed { host, port } => (host.clone(), *port),
        AdvertisedListener::AsConnected => (peer_host.to_owned(), None),
    };
    Endpoint {
        listener: listener.name.clone(),
        host,
        port: port.unwrap_or(listener.bind.port),
    }
}

/// Registers, and waits until this broker has applied the metadata up to there. The outcome is the epoch. Where another
/// process seems to be alive under the id, it may be this broker's former self: so long as that could still be thought
/// to live, registering is tried again.
pub async fn register(
    controller: &Controller,
    identity: Identity,
    session_timeout: Duration,
) -> Result<i64, StartError> {
    let deadline = Instant::now() + session_timeout + PATIENCE;
    loop {
        let registration = identity.0.clone();
        let decided = controller
            .decide(Register { registration }.into(), TIMEOUT)
            .await;
        let outcome = match decided {
            Ok(decided) => Register::outcome(decided.answer),
            // The others may still be starting.
            Err(
                ExecuteError::NoController | ExecuteError::OutcomeUnknown | ExecuteError::NotSeen,
            ) => {
                info!("the cluster has no leader yet; registering again");
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        match outcome {
            Some(Ok(epoch)) => return Ok(epoch),
            Some(Err(RegistrationError::Duplicate(_))) if Instant::now() < deadline => {
                sleep(RETRY).await;
            }
            Some(Err(refused)) => return Err(refused.into()),
            None => {
                let reason = "the answer is not to a registration".to_owned();
                return Err(ExecuteError::Misunderstood(reason).into());
            }
        }
    }
}
