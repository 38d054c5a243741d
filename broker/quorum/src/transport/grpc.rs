//! The peer protocol over gRPC.

use std::collections::HashMap;
use std::error::Error;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::stream;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Response, Status, Streaming};

use super::{Call, Transport, TransportError};
use crate::handler::PeerHandler;
use crate::proto;
use crate::proto::peer_request::Body;
use crate::proto::quorum_client::QuorumClient;
use crate::proto::quorum_server::{Quorum, QuorumServer};

/// Largest message. Entries of the log must fit, 512 of them at a time.
const MESSAGE_BYTES: usize = 64 * 1024 * 1024;
/// Size of a snapshot's pieces on the wire.
const PIECE_BYTES: usize = 1024 * 1024;
/// Largest snapshot that is taken.
const SNAPSHOT_BYTES: usize = 1024 * 1024 * 1024;
/// How long a connection may take to come up.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(500);
/// How often a connection is asked whether it lives, and how long it may take to answer. One that was cut off would
/// otherwise stay silent for as long again after the network is back, because TCP repeats itself ever more slowly.
const KEEP_ALIVE: Duration = Duration::from_secs(1);
/// Connections that are kept. Addresses of nodes that are gone are forgotten when there are more.
const CONNECTIONS: usize = 256;

/// Makes the connection to an address, lazily.
pub type ChannelFactory =
    Arc<dyn Fn(&str) -> Result<Channel, tonic::transport::Error> + Send + Sync>;

/// Calls over gRPC. One connection for each address, made at the first call and again after it broke.
pub struct GrpcTransport {
    factory: ChannelFactory,
    channels: Mutex<HashMap<String, Channel>>,
}

impl Default for GrpcTransport {
    fn default() -> Self {
        Self::new(Arc::new(|address: &str| {
            let endpoint = Endpoint::from_shared(format!("http://{address}"))?;
            Ok(endpoint
                .connect_timeout(CONNECT_TIMEOUT)
                .http2_keep_alive_interval(KEEP_ALIVE)
                .keep_alive_timeout(KEEP_ALIVE)
                .keep_alive_while_idle(true)
                .tcp_nodelay(true)
                .connect_lazy())
        }))
    }
}

impl GrpcTransport {
    /// A transport whose connections are made by `factory`: with TLS, or through a simulated network.
    #[must_use]
    pub fn new(factory: ChannelFactory) -> Self {
        Self {
            factory,
            channels: Mutex::default(),
        }
    }

    fn client(&self, address: &str) -> Result<QuorumClient<Channel>, TransportError> {
        let mut channels = self.channels.lock().unwrap_or_else(PoisonError::into_inner);
        let channel = if let Some(channel) = channels.get(address) {
            channel.clone()
        } else {
            let channel =
                (self.factory)(address).map_err(|error| TransportError::NotConnected {
                    address: address.to_owned(),
                    reason: error.to_string(),
                })?;
            if channels.len() >= CONNECTIONS {
                channels.clear();
            }
            channels.insert(address.to_owned(), channel.clone());
            channel
        };
        Ok(QuorumClient::new(channel)
            .max_decoding_message_size(MESSAGE_BYTES)
            .max_encoding_message_size(MESSAGE_BYTES))
    }

    async fn send(
        &self,
        address: &str,
        mut request: proto::PeerRequest,
    ) -> Result<proto::PeerResponse, TransportError> {
        let mut client = self.client(address)?;
        let answer = if let Some(Body::Snapshot(snapshot)) = &mut request.body {
            let data = std::mem::take(&mut snapshot.data);
            client
                .install_snapshot(stream::iter(parts(request, data)))
                .await
        } else {
            client.call(request).await
        };
        let answer = answer.map_err(|status| failed(address, &status))?;
        Ok(answer.into_inner())
    }
}

/// Tells a connection that did not come up from one that broke.
fn failed(address: &str, status: &Status) -> TransportError {
    let address = address.to_owned();
    let first = status.source();
    let mut causes = std::iter::successors(first, |error| (*error).source());
    let unconnected = causes.find(|error| error.is::<tonic::ConnectError>());
    if let Some(error) = unconnected {
        return TransportError::NotConnected {
            address,
            reason: error.to_string(),
        };
    }
    TransportError::Unreachable {
        address,
        reason: status.message().to_owned(),
    }
}

/// The messages that carry a snapshot: the request, then the data in pieces.
fn parts(request: proto::PeerRequest, data: Bytes) -> impl Iterator<Item = proto::SnapshotPart> {
    let head = proto::SnapshotPart {
        request: Some(request),
        data: Bytes::new(),
    };
    let pieces = (0..data.len().div_ceil(PIECE_BYTES)).map(move |number| {
        let from = number * PIECE_BYTES;
        proto::SnapshotPart {
            request: None,
            data: data.slice(from..data.len().min(from + PIECE_BYTES)),
        }
    });
    std::iter::once(head).chain(pieces)
}

impl Transport for GrpcTransport {
    fn call<'a>(
        &'a self,
        address: &'a str,
        request: proto::PeerRequest,
        timeout: Duration,
    ) -> Call<'a> {
        Box::pin(async move {
            let answer = tokio::time::timeout(timeout, self.send(address, request)).await;
            answer.unwrap_or_else(|_| {
                Err(TransportError::Timeout {
                    address: address.to_owned(),
                    timeout,
                })
            })
        })
    }
}

/// The gRPC service that answers other nodes' calls with `handler`.
#[must_use]
pub fn service(handler: PeerHandler) -> QuorumServer<Service> {
    QuorumServer::new(Service(handler))
        .max_decoding_message_size(MESSAGE_BYTES)
        .max_encoding_message_size(MESSAGE_BYTES)
}

/// The gRPC service of one node.
pub struct Service(PeerHandler);

#[tonic::async_trait]
impl Quorum for Service {
    async fn call(
        &self,
        request: Request<proto::PeerRequest>,
    ) -> Result<Response<proto::PeerResponse>, Status> {
        Ok(Response::new(self.0.handle(request.into_inner()).await))
    }

    async fn install_snapshot(
        &self,
        request: Request<Streaming<proto::SnapshotPart>>,
    ) -> Result<Response<proto::PeerResponse>, Status> {
        let mut parts = request.into_inner();
        let head = parts.message().await?.and_then(|part| part.request);
        let mut request = head.ok_or_else(|| Status::invalid_argument("no request"))?;
        // Before the data is taken: a stranger's snapshot is not worth the memory.
        if let Err(refused) = self.0.check(&request) {
            return Ok(Response::new(refused));
        }
        let mut data = BytesMut::new();
        while let Some(part) = parts.message().await? {
            if data.len() + part.data.len() > SNAPSHOT_BYTES {
                return Err(Status::resource_exhausted("the snapshot is too large"));
            }
            data.extend_from_slice(&part.data);
        }
        let Some(Body::Snapshot(snapshot)) = &mut request.body else {
            return Err(Status::invalid_argument("not a snapshot"));
        };
        snapshot.data = data.freeze();
        Ok(Response::new(self.0.handle(request).await))
    }
}
