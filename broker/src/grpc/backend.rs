//! What all services stand on: the broker, and calls of its APIs on behalf of a gRPC client.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use fjord_wire::{ErrorCode, messages::describe_log_dirs_request::DescribeLogDirsRequest};
use tonic::{Request, Status, transport::server::TcpConnectInfo};

use super::error;
use crate::{
    api::{
        error::ApiError,
        local::{self, Caller},
    },
    broker::Broker,
    forward::{Failed, LogDirs, Peers, Producing, Routed, Router},
    metadata::{Image, Topic},
    net::{CloseConnection, ConnectionContext},
    security::Principal,
};

/// Numbers of connections from here on are calls of gRPC clients; those below are connections of Kafka clients.
const FIRST_CALL_ID: u64 = 1 << 62;

/// The broker as the services see it. Clones are one.
#[derive(Clone)]
pub struct Backend {
    broker: Arc<Broker>,
    /// Where Kafka clients connect to: a response that names this broker says so too.
    kafka_port: u16,
    /// The other brokers; nothing in a cluster of one.
    peers: Option<Peers>,
    calls: Arc<AtomicU64>,
}

impl Backend {
    /// A backend for a broker whose first Kafka listener has this port; `peers` are the others of its cluster, if it may
    /// have any.
    pub fn new(broker: Arc<Broker>, kafka_port: u16, peers: Option<Peers>) -> Self {
        Self {
            broker,
            kafka_port,
            peers,
            calls: Arc::new(AtomicU64::new(FIRST_CALL_ID)),
        }
    }

    /// The broker.
    pub fn broker(&self) -> &Arc<Broker> {
        &self.broker
    }

    /// The metadata as it now is.
    pub fn image(&self) -> Arc<Image> {
        self.broker.metadata.image()
    }

    /// The topic of this name.
    ///
    /// # Errors
    ///
    /// `NOT_FOUND`.
    pub fn topic(&self, name: &str) -> Result<Arc<Topic>, Status> {
        self.image()
            .topic(name)
            .cloned()
            .ok_or_else(|| error::status(&unknown_topic(name)))
    }

    /// A client, by the call that it makes.
    pub fn client<T>(&self, request: &Request<T>) -> Client {
        let nowhere = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);
        let info = request.extensions().get::<TcpConnectInfo>();
        let peer = info.and_then(TcpConnectInfo::remote_addr);
        let local = info.and_then(TcpConnectInfo::local_addr).unwrap_or(nowhere);
        let config = self.broker.config();
        let listener = config.net.listeners.first();
        let connection = ConnectionContext::new(
            self.calls.fetch_add(1, Relaxed),
            peer.unwrap_or(nowhere),
            SocketAddr::new(local.ip(), self.kafka_port),
            listener.map_or("", |listener| &listener.name).into(),
            Principal::anonymous(),
        );
        let caller = Caller {
            connection: Arc::new(connection),
            client_id: String::new(),
        };
        Client {
            router: Router::new(Arc::clone(&self.broker), caller, self.peers.clone()),
        }
    }
}

/// What ends the streams of a broker that stops.
pub fn stopping() -> Status {
    Status::unavailable("the broker stops; call again, or another broker")
}

/// The error for a topic that is not there.
pub fn unknown_topic(name: &str) -> ApiError {
    ApiError::new(
        ErrorCode::UnknownTopicOrPartition,
        format!("there is no topic {name}; create it first, or check its name"),
    )
}

/// Calls APIs on behalf of one gRPC call, on the brokers where the calls belong.
#[derive(Clone)]
pub struct Client {
    router: Router,
}

impl Client {
    /// Ends a stream when the broker stops.
    ///
    /// # Errors
    ///
    /// `UNAVAILABLE`, once it stops.
    pub fn refuse_if_stopping(&self) -> Result<(), Status> {
        match self.router.broker().stopping.is_cancelled() {
            true => Err(stopping()),
            false => Ok(()),
        }
    }

    /// The same client under its own name for itself.
    pub fn named(&self, client_id: &str) -> Self {
        Self {
            router: self.router.named(client_id),
        }
    }

    /// The way of this call's produce requests, which take effect in their order.
    pub fn producing(&self) -> Producing {
        Producing::new(self.router.clone())
    }

    /// What the brokers that are alive have on their disks, by broker. Those that do not answer in time are left out.
    pub async fn log_dirs(&self, request: DescribeLogDirsRequest) -> LogDirs {
        self.router.log_dirs(&request).await
    }

    /// A new id for an idempotent producer, with its epoch.
    ///
    /// # Errors
    ///
    /// With the handler's message, for which Kafka's response has no room.
    pub async fn init_producer(&self) -> Result<(i64, i16), ApiError> {
        local::init_producer(self.router.broker(), self.router.caller()).await
    }

    /// Calls an API.
    ///
    /// # Errors
    ///
    /// If the request makes no sense to the API, or the broker where it belongs cannot be reached. What the response says
    /// is the caller's.
    pub async fn call<M: Routed>(&self, version: i16, request: M) -> Result<M::Response, Status> {
        let response = self.router.call(version, request).await;
        response.map_err(|failed| error::status(&failed_call(failed)))
    }
}

/// Why a call gets no response. A Kafka client's connection would be closed for one that was refused.
pub fn failed_call(failed: Failed) -> ApiError {
    match failed {
        Failed::Refused(CloseConnection { reason }) => ApiError::invalid_request(reason),
        Failed::Lost(error) => error,
    }
}
