//! `ConsumerService`: one stream is one member of a group.
//!
//! ```text
//!   commands ─► session ─► membership ─► the group coordinator (JoinGroup, SyncGroup, Heartbeat, OffsetCommit)
//!   events  ◄──────┴─────► fetch: the partitions that the member has
//! ```
//!
//! To the coordinator the broker is the member, on behalf of its client: with Kafka's own protocol for groups,
//! so that clients of both kinds share a group.

mod assign;
mod membership;
mod positions;
mod progress;
mod protocol;
mod session;

use fjord_proto::v1::{
    ConsumeRequest, ConsumeResponse, consume_request::Command,
    consumer_service_server::ConsumerService,
};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use self::session::Session;
use super::{backend::Backend, error};

pub use self::protocol::{Partitions, decode_assignment, each};

/// Events that wait for the client to take them.
const EVENTS: usize = 2;

/// Where a member's events go.
type Events = mpsc::Sender<Result<ConsumeResponse, Status>>;

/// See the module's documentation.
pub struct Consumer {
    backend: Backend,
}

impl Consumer {
    pub fn new(backend: Backend) -> Self {
        Self { backend }
    }
}

#[tonic::async_trait]
impl ConsumerService for Consumer {
    type ConsumeStream = ReceiverStream<Result<ConsumeResponse, Status>>;

    async fn consume(
        &self,
        request: Request<Streaming<ConsumeRequest>>,
    ) -> Result<Response<Self::ConsumeStream>, Status> {
        let backend = self.backend.clone();
        let nobody = backend.client(&request);
        let mut commands = request.into_inner();
        let (events, receiver) = mpsc::channel(EVENTS);
        let sessions = backend.broker().sessions.clone();
        sessions.spawn(async move {
            let stopping = backend.broker().stopping.clone();
            let session = async {
                let subscribe = match commands.message().await? {
                    Some(first) => match first.command {
                        Some(Command::Subscribe(subscribe)) => subscribe,
                        _ => return Err(error::invalid("the first command must be subscribe")),
                    },
                    None => return Ok(()),
                };
                let client = nobody.named(&subscribe.client_id);
                Session::new(backend, client, subscribe, commands, events.clone())?
                    .run(stopping)
                    .await
            };
            let outcome = tokio::select! {
                outcome = session => outcome,
                () = events.closed() => return,
            };
            if let Err(status) = outcome {
                // A stop of the broker need not wait for a client that does not read. Whoever has gone hears nothing.
                tokio::spawn(async move { events.send(Err(status)).await });
            }
        });
        Ok(Response::new(ReceiverStream::new(receiver)))
    }
}
