//! Listeners and connections: framing, limits, responses in order.
//!
//! This is the outermost part: it turns sockets into request frames for the API layer behind
//! [`Service`], and response frames into bytes on the socket. It knows nothing of what is in a
//! frame. Every way in which a client could cost more than it should (connections, claimed
//! lengths, slow bytes, responses that nobody reads) is bounded here.
//!
//! ```text
//!   accept (server) ──► connection: reader ──► Service ──► pipeline ──► writer
//! ```

mod admission;
mod bind;
mod budget;
mod close;
mod connection;
pub mod descriptors;
mod frame;
mod limits;
mod pipeline;
mod policy;
mod reader;
mod server;
mod service;
mod writer;

pub use bind::BindError;
pub(crate) use bind::{BoundListener, bind_tcp};
pub use close::CloseReason;
pub use frame::{FrameAssembler, FrameError};
pub use limits::{BrokerLimitOptions, BrokerLimits, ConnectionLimits, ServerOptions};
pub use server::Server;
pub use service::{
    ClientInformation, CloseConnection, ConnectionContext, LaterReply, Reply, RequestContext,
    Service,
};
