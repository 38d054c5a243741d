//! The gRPC listener, with the standard health service (`grpc.health.v1.Health`), which follows readiness,
//! beside the services that it is given.

use std::{net::SocketAddr, time::Duration};

use thiserror::Error;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tonic::{
    service::Routes,
    transport::{Server, server::TcpIncoming},
};
use tonic_health::{ServingStatus, server::HealthReporter};
use tracing::warn;

use super::{calls::CallsLayer, services::NAMES};
use crate::{
    config::ListenAddress,
    net::{BindError, BoundListener, bind_tcp},
    observability::{health::Health, metrics::GrpcMetrics},
};

/// Connections that wait for being accepted.
const BACKLOG: u32 = 1024;

/// What may be under way to a client or to the broker, by stream and by connection: enough for a fast network's
/// bandwidth and delay.
const STREAM_WINDOW_BYTES: u32 = 4 << 20;
const CONNECTION_WINDOW_BYTES: u32 = 8 << 20;

/// The size of one request's headers.
const MAX_HEADER_LIST_BYTES: u32 = 16 * 1024;

/// How often a connection without traffic is asked whether its peer is still there.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(60);

/// How long the peer has for its answer.
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(20);

/// How long a stop waits for requests in flight; a health watch would keep it for ever, as would a client that does
/// not read.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(2);

/// The name of the service that stands for the whole broker, by gRPC's health protocol.
const WHOLE_SERVER: &str = "";

/// The gRPC listener failed while it served.
#[derive(Debug, Error)]
#[error("gRPC listener failed: {0}")]
pub struct GrpcError(#[from] tonic::transport::Error);

/// The gRPC listener, bound but not serving yet.
pub struct GrpcServer {
    bound: BoundListener,
    health: Health,
    max_streams: u32,
}

impl GrpcServer {
    /// Binds to `address`; port 0 lets the system choose. A connection has at most `max_streams` calls at once.
    ///
    /// # Errors
    ///
    /// [`BindError`] with the address.
    pub fn bind(
        address: &ListenAddress,
        max_streams: u32,
        health: Health,
    ) -> Result<Self, BindError> {
        Ok(Self {
            bound: bind_tcp(address, BACKLOG, |_| Ok(()))?,
            health,
            max_streams,
        })
    }

    /// The address that is listened on.
    pub fn local_addr(&self) -> SocketAddr {
        self.bound.local_addr
    }

    /// Serves `services`, whose calls are counted in `metrics`, until `shutdown` is cancelled and requests in flight are answered.
    ///
    /// # Errors
    ///
    /// [`GrpcError`] if the listener fails for good.
    pub async fn run(
        self,
        services: Routes,
        metrics: GrpcMetrics,
        shutdown: CancellationToken,
    ) -> Result<(), GrpcError> {
        let (reporter, service) = tonic_health::server::health_reporter();
        // The reporter begins with "serving", which may not be true yet.
        set_all(&reporter, ServingStatus::NotServing).await;
        let following = self.health.follow_readiness(|ready| {
            let status = if ready {
                ServingStatus::Serving
            } else {
                ServingStatus::NotServing
            };
            set_all(&reporter, status)
        });
        let incoming = TcpIncoming::from(self.bound.listener).with_nodelay(Some(true));
        let serving = Server::builder()
            .max_concurrent_streams(self.max_streams)
            .http2_max_header_list_size(MAX_HEADER_LIST_BYTES)
            .http2_keepalive_interval(Some(KEEPALIVE_INTERVAL))
            .http2_keepalive_timeout(Some(KEEPALIVE_TIMEOUT))
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .layer(CallsLayer::new(metrics))
            .add_routes(services.add_service(service))
            .serve_with_incoming_shutdown(incoming, shutdown.clone().cancelled_owned());
        let mut serving = std::pin::pin!(serving);
        tokio::select! {
            served = &mut serving => return Ok(served?),
            () = following => {}
            () = shutdown.cancelled() => {}
        }
        match timeout(SHUTDOWN_TIMEOUT, serving).await {
            Ok(served) => Ok(served?),
            Err(_elapsed) => {
                warn!("gRPC connections left open by their clients");
                Ok(())
            }
        }
    }
}

async fn set_all(reporter: &HealthReporter, status: ServingStatus) {
    for name in NAMES.into_iter().chain([WHOLE_SERVER]) {
        reporter.set_service_status(name, status).await;
    }
}
