//! How nodes reach each other: a trait, so that a simulation can put its own network in.

mod grpc;

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

pub use grpc::{ChannelFactory, GrpcTransport, service};

use crate::proto;

/// A request that got no answer. Whether it arrived is not known, but for [`Self::NotConnected`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TransportError {
    /// There was no connection, so the request was not sent.
    #[error("the node at {address} cannot be connected to: {reason}")]
    NotConnected {
        /// Where it was looked for.
        address: String,
        /// What the network said.
        reason: String,
    },
    /// The connection broke.
    #[error("the node at {address} cannot be reached: {reason}")]
    Unreachable {
        /// Where it was looked for.
        address: String,
        /// What the network said.
        reason: String,
    },
    /// No answer in time.
    #[error("the node at {address} did not answer within {timeout:?}")]
    Timeout {
        /// Where it was looked for.
        address: String,
        /// How long was waited.
        timeout: Duration,
    },
}

/// A call under way.
pub type Call<'a> =
    Pin<Box<dyn Future<Output = Result<proto::PeerResponse, TransportError>> + Send + 'a>>;

/// Carries requests to the [`PeerHandler`](crate::PeerHandler) of another node, and its responses back. Requests may
/// be lost, and may overtake each other.
pub trait Transport: Send + Sync + 'static {
    /// Sends a request to the node at `address`.
    fn call<'a>(
        &'a self,
        address: &'a str,
        request: proto::PeerRequest,
        timeout: Duration,
    ) -> Call<'a>;
}
