//! What a listener is told: where to listen, and every bound of its connections.

use std::time::Duration;

/// Where and how a listener listens.
#[derive(Debug, Clone)]
pub struct ServerOptions {
    /// The listener's name, as in `listeners` (`PLAINTEXT`).
    pub listener: String,
    /// The address, `HOST:PORT`; port 0 lets the system choose.
    pub address: String,
    /// Connections that wait for being accepted (`socket.listen.backlog.size`).
    pub backlog: u32,
    /// The socket's send buffer in bytes (`socket.send.buffer.bytes`), or the system's default.
    pub send_buffer_bytes: Option<usize>,
    /// The socket's receive buffer (`socket.receive.buffer.bytes`), or the system's default.
    pub receive_buffer_bytes: Option<usize>,
    /// Connections in all (`max.connections`).
    pub max_connections: usize,
    /// Connections from one address (`max.connections.per.ip`).
    pub max_connections_per_ip: usize,
    /// Memory for requests in flight, over all connections (`queued.max.request.bytes`). At least
    /// one frame of the largest size always fits.
    pub request_memory_bytes: usize,
    /// Memory of responses that wait to be written, over all connections. Above it no further
    /// requests are read, and clients that read nothing are closed after two seconds.
    pub response_memory_bytes: usize,
    /// How long a shutdown waits for what is in flight.
    pub shutdown_timeout: Duration,
    /// Bounds of every single connection.
    pub connection: ConnectionLimits,
}

impl Default for ServerOptions {
    fn default() -> Self {
        Self {
            listener: "PLAINTEXT".to_owned(),
            address: "0.0.0.0:9092".to_owned(),
            backlog: 1024,
            send_buffer_bytes: None,
            receive_buffer_bytes: None,
            max_connections: usize::MAX,
            max_connections_per_ip: usize::MAX,
            request_memory_bytes: 256 * 1024 * 1024,
            response_memory_bytes: 256 * 1024 * 1024,
            shutdown_timeout: Duration::from_secs(30),
            connection: ConnectionLimits::default(),
        }
    }
}

/// Bounds of one connection.
#[derive(Debug, Clone)]
pub struct ConnectionLimits {
    /// The largest request (`socket.request.max.bytes`).
    pub max_frame_bytes: usize,
    /// How long a connection may stay without a request (`connections.max.idle.ms`).
    pub idle_timeout: Duration,
    /// How long a frame may take to arrive from its first byte on; every 64 KiB that do arrive add
    /// a second.
    pub frame_timeout: Duration,
    /// How long a batch of responses may take to be read by the client; every 64 KiB that are read
    /// add a second. It is long since consumers may hold back their reading while they process.
    pub write_timeout: Duration,
    /// Requests of one connection that may be in flight at once.
    pub max_requests_in_flight: usize,
    /// Finished responses of one connection that may wait, in bytes; one response may exceed it.
    pub max_waiting_response_bytes: usize,
}

impl Default for ConnectionLimits {
    fn default() -> Self {
        Self {
            max_frame_bytes: 100 * 1024 * 1024,
            idle_timeout: Duration::from_secs(600),
            frame_timeout: Duration::from_secs(30),
            write_timeout: Duration::from_secs(300),
            max_requests_in_flight: 64,
            max_waiting_response_bytes: 8 * 1024 * 1024,
        }
    }
}
