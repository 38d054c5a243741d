//! The listener for other brokers. The quorum and the controller are served from the start; what needs more of the
//! broker is added when that is there, and is unavailable until then.

use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{Arc, OnceLock},
    task::{Context, Poll},
    time::Duration,
};

use futures::future::BoxFuture;
use http::{Request, Response};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tonic::{
    Status,
    body::Body,
    service::{Routes, RoutesBuilder},
    transport::{Server, server::TcpIncoming},
};
use tower::Service;
use tracing::error;

use crate::{
    config::ListenAddress,
    net::{BindError, BoundListener, bind_tcp},
};

/// Connections that wait for being accepted.
const BACKLOG: u32 = 128;
/// What may be under way by stream and by connection: enough for a fast network's bandwidth and delay.
const STREAM_WINDOW_BYTES: u32 = 8 << 20;
const CONNECTION_WINDOW_BYTES: u32 = 32 << 20;
/// How often a connection without traffic is asked whether its peer is there, and how long that may take.
const KEEPALIVE: Duration = Duration::from_secs(1);
/// Calls that a peer gave up before they were looked at: as many come at once when a broker has stood still.
const GIVEN_UP_CALLS: usize = 1024;
/// How long a stop waits for calls in flight; streams would keep it for ever.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_millis(500);

/// The listener, bound but not serving yet.
pub struct PeerServer {
    bound: BoundListener,
    late: LateRoutes,
}

/// Services that are added while the listener serves.
#[derive(Clone, Default)]
pub struct LateRoutes(Arc<OnceLock<Routes>>);

impl LateRoutes {
    /// Serves these from now on. Only the first call counts.
    pub fn add(&self, services: RoutesBuilder) {
        if self.0.set(services.routes()).is_err() {
            error!("services for peers were added twice");
        }
    }
}

impl PeerServer {
    /// Binds to `address`; port 0 lets the system choose.
    ///
    /// # Errors
    ///
    /// [`BindError`] with the address.
    pub fn bind(address: &ListenAddress) -> Result<PeerServer, BindError> {
        Ok(PeerServer {
            bound: bind_tcp(address, BACKLOG, |_| Ok(()))?,
            late: LateRoutes::default(),
        })
    }

    /// The address that is listened on.
    pub fn local_addr(&self) -> SocketAddr {
        self.bound.local_addr
    }

    /// Where services are added later.
    pub fn late_routes(&self) -> LateRoutes {
        self.late.clone()
    }

    /// Serves `services`, and those that are added, until `stop` is cancelled.
    pub async fn run(self, services: RoutesBuilder, stop: CancellationToken) {
        let router = services.routes().into_axum_router();
        let routes = Routes::from(router.fallback_service(self.late));
        let incoming = TcpIncoming::from(self.bound.listener).with_nodelay(Some(true));
        let serving = Server::builder()
            .http2_keepalive_interval(Some(KEEPALIVE))
            .http2_keepalive_timeout(Some(KEEPALIVE))
            .http2_max_pending_accept_reset_streams(Some(GIVEN_UP_CALLS))
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .add_routes(routes)
            .serve_with_incoming_shutdown(incoming, stop.clone().cancelled_owned());
        let mut serving = std::pin::pin!(serving);
        let served = tokio::select! {
            served = &mut serving => served,
            () = stop.cancelled() => match timeout(SHUTDOWN_TIMEOUT, serving).await {
                Ok(served) => served,
                // Streams that their peers left open.
                Err(_elapsed) => Ok(()),
            },
        };
        if let Err(failed) = served {
            error!(%failed, "the listener for other brokers ended");
        }
    }
}

impl Service<Request<axum::body::Body>> for LateRoutes {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<axum::body::Body>) -> Self::Future {
        let Some(mut routes) = self.0.get().cloned() else {
            let status = Status::unavailable("the broker is starting");
            return Box::pin(std::future::ready(Ok(status.into_http())));
        };
        // They are always ready.
        Box::pin(routes.call(request))
    }
}
