//! The HTTP listener: `/healthz`, `/readyz` and `/metrics`.
//!
//! It is bounded like everything that listens: connections, header size and count, and the time
//! that a request's headers may take. Request bodies are never read.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::{
    Json, Router,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use serde_json::json;
use tokio::{
    net::TcpStream,
    sync::Semaphore,
    time::{sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{debug, warn};

use super::{
    health::{Health, Reason},
    metrics::{CONTENT_TYPE, Metrics},
};
use crate::config::ListenAddress;
use crate::net::{BindError, BoundListener, bind_tcp};

/// Connections at once; further ones wait in the backlog.
const MAX_CONNECTIONS: usize = 256;

/// Connections that wait for being accepted.
const BACKLOG: u32 = 128;

/// The buffer of a connection, and so the most that a request's headers may take.
const MAX_HEADER_BYTES: usize = 16 * 1024;

/// Headers of one request.
const MAX_HEADERS: usize = 64;

/// How long a request's headers may take to arrive; it also ends idle connections.
const HEADER_TIMEOUT: Duration = Duration::from_secs(15);

/// How long a connection may live, which bounds clients that do not read their responses.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(300);

/// How long a stop waits for responses on their way.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(5);

/// The pause after a failed `accept`, whose cause is mostly a lack of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(500);

const NOT_FOUND: &str = "not found; there are /healthz (is the process alive), /readyz (should clients come here) and /metrics (for Prometheus)\n";

/// The HTTP listener, bound but not serving yet.
pub struct HttpServer {
    bound: BoundListener,
    router: Router,
}

#[derive(Clone)]
struct Shown {
    health: Health,
    metrics: Metrics,
}

impl HttpServer {
    /// Binds to `address`; port 0 lets the system choose.
    ///
    /// # Errors
    ///
    /// [`BindError`] with the address.
    pub fn bind(
        address: &ListenAddress,
        health: Health,
        metrics: Metrics,
    ) -> Result<Self, BindError> {
        Ok(Self {
            bound: bind_tcp(address, BACKLOG, |_| Ok(()))?,
            router: router(Shown { health, metrics }),
        })
    }

    /// The address that is listened on.
    pub fn local_addr(&self) -> SocketAddr {
        self.bound.local_addr
    }

    /// Serves until `shutdown` is cancelled and the responses on their way are written.
    pub async fn run(self, shutdown: CancellationToken) {
        let connections = TaskTracker::new();
        let slots = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        let accepting = async {
            loop {
                let slot = Arc::clone(&slots)
                    .acquire_owned()
                    .await
                    .expect("the semaphore is never closed");
                match self.bound.listener.accept().await {
                    Ok((stream, _peer)) => {
                        let connection = serve(stream, self.router.clone(), shutdown.clone());
                        connections.spawn(async move {
                            connection.await;
                            drop(slot);
                        });
                    }
                    Err(error) => {
                        warn!(%error, "http accept failed");
                        sleep(ACCEPT_PAUSE).await;
                    }
                }
            }
        };
        tokio::select! {
            () = shutdown.cancelled() => {}
            () = accepting => {}
        }
        connections.close();
        if timeout(SHUTDOWN_TIMEOUT, connections.wait()).await.is_err() {
            warn!(
                connections = connections.len(),
                "http connections left open by their clients"
            );
        }
    }
}

async fn serve(stream: TcpStream, router: Router, shutdown: CancellationToken) {
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .max_buf_size(MAX_HEADER_BYTES)
        .max_headers(MAX_HEADERS)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    let mut connection = std::pin::pin!(connection);
    let served = timeout(CONNECTION_TIMEOUT, async {
        tokio::select! {
            served = connection.as_mut() => served,
            () = shutdown.cancelled() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        }
    });
    match served.await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => debug!(%error, "http connection failed"),
        Err(_elapsed) => debug!("http connection was open for too long"),
    }
}

fn router(shown: Shown) -> Router {
    Router::new()
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .fallback(async || (StatusCode::NOT_FOUND, NOT_FOUND))
        .with_state(shown)
}

async fn healthz(State(shown): State<Shown>) -> Response {
    probe(&shown.health.liveness())
}

async fn readyz(State(shown): State<Shown>) -> Response {
    probe(&shown.health.readiness())
}

fn probe(reasons: &[Reason]) -> Response {
    if reasons.is_empty() {
        (StatusCode::OK, Json(json!({"status": "ok"}))).into_response()
    } else {
        let body = json!({"status": "unavailable", "reasons": reasons});
        (StatusCode::SERVICE_UNAVAILABLE, Json(body)).into_response()
    }
}

async fn metrics(State(shown): State<Shown>) -> Response {
    match shown.metrics.render() {
        Ok(text) => ([(header::CONTENT_TYPE, CONTENT_TYPE)], text).into_response(),
        Err(error) => {
            warn!(%error, "metrics could not be rendered");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}
