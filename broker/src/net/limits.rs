//! What listeners are told: where to listen, and every bound of their connections.

use std::{sync::Arc, time::Duration};

use fjord_buffers::BufferPool;

use super::{
    admission::Admission,
    budget::{RequestBudget, ResponseCharge, ResponseMemory},
    descriptors,
};
use crate::{
    config::{ListenAddress, ListenerConfig, NetConfig},
    observability::metrics::Metrics,
};

/// Memory of responses that wait to be read by their clients, over all connections.
const DEFAULT_RESPONSE_MEMORY_BYTES: usize = 256 * 1024 * 1024;

/// Memory for large frames that is kept while none arrive.
const SPARE_FRAME_BYTES: usize = 8 * 1024 * 1024;

/// See [`ServerOptions::shutdown_timeout`].
const DEFAULT_SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(30);

/// See [`ConnectionLimits::frame_timeout`].
const DEFAULT_FRAME_TIMEOUT: Duration = Duration::from_secs(30);

/// See [`ConnectionLimits::write_timeout`].
const DEFAULT_WRITE_TIMEOUT: Duration = Duration::from_secs(300);

/// See [`ConnectionLimits::max_waiting_response_bytes`].
const DEFAULT_MAX_WAITING_RESPONSE_BYTES: usize = 8 * 1024 * 1024;

/// Where and how a listener listens.
#[derive(Debug, Clone)]
pub struct ServerOptions {
    /// The listener's name, as in `listeners` (`PLAINTEXT`).
    pub listener: String,
    /// What to bind; port 0 lets the system choose.
    pub address: ListenAddress,
    /// Connections that wait for being accepted (`socket.listen.backlog.size`).
    pub backlog: u32,
    /// The socket's send buffer in bytes (`socket.send.buffer.bytes`), or the system's default.
    pub send_buffer_bytes: Option<usize>,
    /// The socket's receive buffer (`socket.receive.buffer.bytes`), or the system's default.
    pub receive_buffer_bytes: Option<usize>,
    /// How long a shutdown waits for what is in flight.
    pub shutdown_timeout: Duration,
    /// Bounds of every single connection.
    pub connection: ConnectionLimits,
}

impl ServerOptions {
    /// The options of one of the configured listeners.
    pub fn new(listener: &ListenerConfig, config: &NetConfig) -> Self {
        Self {
            listener: listener.name.clone(),
            address: listener.bind.clone(),
            backlog: config.listen_backlog,
            send_buffer_bytes: config.send_buffer_bytes,
            receive_buffer_bytes: config.receive_buffer_bytes,
            shutdown_timeout: DEFAULT_SHUTDOWN_TIMEOUT,
            connection: ConnectionLimits {
                max_frame_bytes: config.request_max_bytes,
                idle_timeout: config.connections_max_idle,
                frame_timeout: DEFAULT_FRAME_TIMEOUT,
                write_timeout: DEFAULT_WRITE_TIMEOUT,
                max_requests_in_flight: config.queued_max_requests,
                max_waiting_response_bytes: DEFAULT_MAX_WAITING_RESPONSE_BYTES,
            },
        }
    }
}

/// Bounds of one connection.
#[derive(Debug, Clone)]
pub struct ConnectionLimits {
    /// The largest request (`socket.request.max.bytes`).
    pub max_frame_bytes: usize,
    /// How long a connection may stay without a request (`connections.max.idle.ms`); `None` is for
    /// ever.
    pub idle_timeout: Option<Duration>,
    /// How long a frame may take to arrive from its first byte on; every 64 KiB that do arrive add
    /// a second.
    pub frame_timeout: Duration,
    /// How long a batch of responses may take to be read by the client; every 64 KiB that are read
    /// add a second. It is long since consumers may hold back their reading while they process.
    pub write_timeout: Duration,
    /// Requests of one connection that may be in flight at once (`queued.max.requests`).
    pub max_requests_in_flight: usize,
    /// Finished responses of one connection that may wait, in bytes; one response may exceed it.
    pub max_waiting_response_bytes: usize,
}

/// Bounds of all connections together, whichever listener they came in on.
#[derive(Debug, Clone)]
pub struct BrokerLimitOptions {
    /// Connections in all (`max.connections`).
    pub max_connections: usize,
    /// Connections that there are file descriptors for: more are never let in.
    pub descriptors_for_connections: usize,
    /// Connections from one address (`max.connections.per.ip`).
    pub max_connections_per_ip: usize,
    /// Memory for requests in flight (`queued.max.request.bytes`).
    pub request_memory_bytes: usize,
    /// The largest request; it always fits the memory for requests.
    pub max_frame_bytes: usize,
    /// Memory of responses that wait to be written. Records are read from disk only as far as there is room;
    /// above it no further requests are read, and clients that read nothing for two seconds are closed.
    pub response_memory_bytes: usize,
}

impl From<&NetConfig> for BrokerLimitOptions {
    fn from(config: &NetConfig) -> Self {
        Self {
            max_connections: config.max_connections,
            descriptors_for_connections: descriptors::max_connections(),
            max_connections_per_ip: config.max_connections_per_ip,
            request_memory_bytes: config.queued_max_request_bytes,
            max_frame_bytes: config.request_max_bytes,
            response_memory_bytes: DEFAULT_RESPONSE_MEMORY_BYTES,
        }
    }
}

/// What all listeners of a broker count together. Cloning is cheap, and clones share their counts.
#[derive(Debug, Clone)]
pub struct BrokerLimits {
    pub(super) admission: Arc<Admission>,
    descriptors_for_connections: usize,
    pub(super) requests: RequestBudget,
    pub(super) responses: Arc<ResponseMemory>,
    pub(super) buffers: BufferPool,
}

impl BrokerLimits {
    /// Limits under which nothing is counted yet.
    pub fn new(options: &BrokerLimitOptions, metrics: &Metrics) -> Self {
        let most = options.descriptors_for_connections;
        let max_connections = options.max_connections.min(most);
        Self {
            admission: Admission::new(max_connections, options.max_connections_per_ip),
            descriptors_for_connections: most,
            requests: RequestBudget::new(
                options.request_memory_bytes,
                options.max_frame_bytes,
                metrics.net.request_memory.clone(),
            ),
            responses: ResponseMemory::new(
                options.response_memory_bytes,
                metrics.net.response_memory.clone(),
            ),
            buffers: BufferPool::new(SPARE_FRAME_BYTES),
        }
    }

    /// Waits until there is room for a response of about this size, which is to be made. It is counted until what
    /// is returned is dropped: when the response is made, and counted itself.
    pub async fn reserve_response(&self, size_bytes: usize) -> ResponseCharge {
        self.responses.reserve(size_bytes).await
    }

    /// Changes the limits of connections (`max.connections`, `max.connections.per.ip`) for those
    /// that come from now on.
    pub fn set_max_connections(&self, in_all: usize, per_ip: usize) {
        let in_all = in_all.min(self.descriptors_for_connections);
        self.admission.set_limits(in_all, per_ip);
    }
}
