//! The interface between the network and the API layer.
//!
//! A request has two stages. [`Service::call`] is the first: the connection awaits it before it
//! takes the next frame, so that requests of one connection take effect in their order. It yields
//! a [`Reply`], whose [`Reply::Later`] is the second stage: several of them run at once, while
//! their responses leave in the order of the requests.

use std::{
    future::Future,
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use bytes::Bytes;
use fjord_wire::Frame;

use crate::security::Principal;

/// Turns request frames into responses. One value serves all connections of a listener.
pub trait Service: Send + Sync + 'static {
    /// The first stage of a request.
    ///
    /// `frame` is a request without its length prefix, at least a request header's fixed part
    /// long. The next frame of the connection is not looked at before the returned future is
    /// done; the future is dropped early only when a shutdown has passed its deadline.
    ///
    /// # Errors
    ///
    /// [`CloseConnection`] if the connection must be closed instead of answered. Responses to
    /// earlier requests that are ready still go out.
    fn call(
        &self,
        context: &RequestContext,
        frame: Bytes,
    ) -> impl Future<Output = Result<Reply, CloseConnection>> + Send;
}

/// The second stage of a request. It is dropped, wherever it stands, when its connection ends.
pub type LaterReply = Pin<Box<dyn Future<Output = Result<Option<Frame>, CloseConnection>> + Send>>;

/// What the first stage of a request yields.
pub enum Reply {
    /// The request gets no response (a produce with acks=0).
    None,
    /// The response is there: a whole frame with its length prefix, as
    /// [`fjord_wire::encode_response`] makes it. Its chunks are written with vectored writes, so
    /// that stored record batches are never copied into it.
    Now(Frame),
    /// The response will be there when the future is done; `Ok(None)` means no response.
    Later(LaterReply),
    /// The same, and the future is not polled before all earlier responses of the connection are there: what it
    /// tells is as new as it can be.
    InTurn(LaterReply),
}

impl Reply {
    /// A [`Reply::Later`] of a future that is not boxed yet.
    pub fn later<F>(future: F) -> Self
    where
        F: Future<Output = Result<Option<Frame>, CloseConnection>> + Send + 'static,
    {
        Self::Later(Box::pin(future))
    }
}

/// The decision of a handler to close a connection, with the reason that is logged.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct CloseConnection {
    /// The reason, lowercase, as it goes to the log.
    pub reason: String,
}

impl CloseConnection {
    /// A decision with this reason.
    pub fn because(reason: impl Into<String>) -> Self {
        Self {
            reason: reason.into(),
        }
    }
}

/// What a handler knows about where a request came from. Cloning is cheap.
#[derive(Debug, Clone)]
pub struct RequestContext {
    /// The connection that the request came in on.
    pub connection: Arc<ConnectionContext>,
    /// When the request was complete; the start of its duration.
    pub received_at: Instant,
}

/// What is known about a connection for as long as it lives.
#[derive(Debug)]
pub struct ConnectionContext {
    /// A number that no other connection of this process has.
    pub id: u64,
    /// The client's address.
    pub peer: SocketAddr,
    /// This broker's address as the client sees it (but for address translation on the way).
    pub local: SocketAddr,
    /// The name of the listener that accepted the connection.
    pub listener: Arc<str>,
    /// On whose behalf the requests run.
    pub principal: Principal,
    client: Mutex<ClientInformation>,
}

/// What a client has told about itself (`ApiVersions` v3, KIP-511).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClientInformation {
    /// The client library's name, empty if not told.
    pub software_name: String,
    /// The client library's version, empty if not told.
    pub software_version: String,
}

impl ConnectionContext {
    /// The context of a new connection, whose client has not told anything yet.
    pub fn new(
        id: u64,
        peer: SocketAddr,
        local: SocketAddr,
        listener: Arc<str>,
        principal: Principal,
    ) -> Self {
        Self {
            id,
            peer,
            local,
            listener,
            principal,
            client: Mutex::default(),
        }
    }

    /// What the client has told about itself so far.
    pub fn client_information(&self) -> ClientInformation {
        self.client_lock().clone()
    }

    /// Remembers what the client has told about itself.
    pub fn set_client_information(&self, information: ClientInformation) {
        *self.client_lock() = information;
    }

    fn client_lock(&self) -> MutexGuard<'_, ClientInformation> {
        // A poisoned lock guards a plain value that is replaced as a whole: it is still good.
        self.client.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
