//! Follows one leading broker: connects, keeps the stream, connects again.

use std::{sync::Arc, time::Duration};

use fjord_proto::peer::v1::{
    Hello, ReplicateRequest, replicate_request::Message,
    replication_service_client::ReplicationServiceClient,
};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;
use tracing::{debug, info};

use super::{Assignment, following::Following};
use crate::replication::peers::PeerChannels;

/// Messages that wait for the network.
const MESSAGES: usize = 16;
/// Largest message from a leader: a chunk, or one batch that is larger.
const MAX_MESSAGE_BYTES: usize = 1 << 30;
/// Pauses between tries to connect.
const SHORTEST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

/// See the module's documentation.
pub struct Fetcher {
    broker_id: i32,
    leader_id: i32,
    assignment: Arc<Assignment>,
    peers: Arc<PeerChannels>,
}

impl Fetcher {
    pub fn new(
        broker_id: i32,
        leader_id: i32,
        assignment: Arc<Assignment>,
        peers: Arc<PeerChannels>,
    ) -> Self {
        Self {
            broker_id,
            leader_id,
            assignment,
            peers,
        }
    }

    /// Follows for ever.
    pub async fn run(self) {
        let leader = self.leader_id;
        let mut pause = SHORTEST_PAUSE;
        loop {
            let changed = self.assignment.changed.notified();
            if self.assignment.lock().is_empty() {
                changed.await;
                continue;
            }
            match self.follow().await {
                Ok(()) => pause = SHORTEST_PAUSE,
                Err(status) => {
                    debug!(leader, %status, "the stream from a leader has ended");
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
            }
        }
    }

    /// Follows until the stream ends, or there is nothing to follow.
    async fn follow(&self) -> Result<(), Status> {
        let unavailable = |what: &str| Status::unavailable(what.to_owned());
        let channel = self
            .peers
            .to(self.leader_id)
            .ok_or_else(|| unavailable("the leader has no address"))?;
        let (cluster_id, broker_epoch) = self
            .peers
            .registration(self.broker_id)
            .ok_or_else(|| unavailable("this broker is not registered yet"))?;
        let (requests, outgoing) = mpsc::channel(MESSAGES);
        let hello = Message::Hello(Hello {
            cluster_id,
            broker_id: self.broker_id,
            broker_epoch,
            leader_id: self.leader_id,
        });
        let first = ReplicateRequest {
            message: Some(hello),
        };
        requests
            .try_send(first)
            .map_err(|_| unavailable("the stream has no room"))?;
        let mut client =
            ReplicationServiceClient::new(channel).max_decoding_message_size(MAX_MESSAGE_BYTES);
        let stream = client.replicate(ReceiverStream::new(outgoing)).await?;
        info!(leader = self.leader_id, "following");
        Following::new(Arc::clone(&self.assignment), requests)
            .run(stream.into_inner())
            .await
    }
}
