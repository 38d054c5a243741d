//! The controller's side of the peer protocol: commands, sessions, and brokers that join.

use std::sync::Arc;

use fjord_proto::peer::v1::{
    self, Decided, Heartbeat, HeartbeatAnswer, JoinRequest, JoinResponse, SubmitRequest,
    SubmitResponse,
    controller_service_server::{ControllerService, ControllerServiceServer},
    submit_response::Outcome,
    undecided::Reason,
};
use fjord_quorum::Quorum;
use tokio::sync::{mpsc, oneshot};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, Streaming};
use tracing::{info, warn};

use super::{
    channels::MESSAGE_BYTES,
    committed::Committed,
    join,
    leader::{SharedSessions, Submission, Undecided},
    sessions::Beat,
};
use crate::{clock::monotonic_ms, metadata::commands::Command};

/// Answers to heartbeats that wait for the network.
const ANSWERS: usize = 4;

/// What the service works with.
#[derive(Clone)]
pub struct Service {
    /// The quorum.
    pub quorum: Quorum,
    /// The cluster that this broker belongs to.
    pub cluster_id: String,
    /// The metadata.
    pub committed: Arc<Committed>,
    /// Who is heard of.
    pub sessions: Arc<SharedSessions>,
    /// What the leader is to decide.
    pub queue: mpsc::Sender<Submission>,
    /// Ends the sessions when the broker stops.
    pub stop: CancellationToken,
}

impl Service {
    /// The service, to be served.
    pub fn into_server(self) -> ControllerServiceServer<Service> {
        ControllerServiceServer::new(self)
            .max_decoding_message_size(MESSAGE_BYTES)
            .max_encoding_message_size(MESSAGE_BYTES)
    }

    /// Refuses brokers of other clusters.
    fn check_cluster(&self, asking: &str) -> Result<(), Status> {
        if asking == self.cluster_id {
            return Ok(());
        }
        let here = &self.cluster_id;
        warn!(
            cluster_id = here,
            asking, "a broker of another cluster called"
        );
        Err(Status::failed_precondition(format!(
            "this broker belongs to cluster {here}, and was called as one of cluster {asking}: give each cluster's \
             brokers the addresses of their own cluster"
        )))
    }

    /// Opens the session of a broker.
    fn open(&self, first: &Heartbeat) -> Result<Open, Status> {
        self.check_cluster(&first.cluster_id)?;
        let (id, epoch) = (first.broker_id, first.broker_epoch);
        let image = self.committed.image();
        let registered = image.broker(id).map(|broker| broker.epoch);
        let stream = {
            let mut sessions = self.sessions.lock();
            match registered {
                Some(registered) if registered > epoch => {
                    return Err(Status::aborted(format!(
                        "another process has registered as broker {id}, with epoch {registered} after {epoch}"
                    )));
                }
                _ => sessions.connected(id, epoch, monotonic_ms()),
            }
        };
        let not_leader = || Status::unavailable("this broker does not lead the metadata's quorum");
        let stream = stream.ok_or_else(not_leader)?;
        Ok(Open {
            broker_id: id,
            broker_epoch: epoch,
            stream,
            sessions: Arc::clone(&self.sessions),
        })
    }

    /// Takes the heartbeats of a session, and answers them, until it ends.
    async fn hear(
        self,
        open: Open,
        mut heartbeat: Heartbeat,
        mut heartbeats: Streaming<Heartbeat>,
        answers: mpsc::Sender<Result<HeartbeatAnswer, Status>>,
    ) {
        loop {
            let Some(answer) = self.answer(&open, &heartbeat) else {
                return;
            };
            let sent = answers.send(answer).await;
            if sent.is_err() {
                return;
            }
            let next = tokio::select! {
                () = self.stop.cancelled() => return,
                () = answers.closed() => return,
                next = heartbeats.message() => next,
            };
            match next {
                Ok(Some(next)) => heartbeat = next,
                Ok(None) | Err(_) => return,
            }
        }
    }

    fn answer(
        &self,
        open: &Open,
        heartbeat: &Heartbeat,
    ) -> Option<Result<HeartbeatAnswer, Status>> {
        let image = self.committed.image();
        let registered = image.broker(open.broker_id).map(|broker| broker.epoch);
        if registered.is_some_and(|registered| registered > open.broker_epoch) {
            return Some(Err(Status::aborted(
                "another process has registered as this broker",
            )));
        }
        let beat = Beat {
            position: heartbeat.position,
            is_ready: heartbeat.ready,
            stop_after: heartbeat.stop_after,
        };
        let now_ms = monotonic_ms();
        let mut sessions = self.sessions.lock();
        if !sessions.heard(open.broker_id, open.stream, beat, now_ms) {
            return None;
        }
        let may_stop = sessions.may_stop(open.broker_id, &image, now_ms);
        drop(sessions);
        let is_fenced = image
            .broker(open.broker_id)
            .is_some_and(|broker| broker.fenced);
        if is_fenced {
            self.sessions.changed();
        }
        Some(Ok(HeartbeatAnswer { may_stop }))
    }
}

/// A session that counts. However it ends, the leader learns of it.
struct Open {
    broker_id: i32,
    broker_epoch: i64,
    stream: u64,
    sessions: Arc<SharedSessions>,
}

impl Drop for Open {
    fn drop(&mut self) {
        let mut sessions = self.sessions.lock();
        sessions.disconnected(self.broker_id, self.stream, monotonic_ms());
        drop(sessions);
        self.sessions.changed();
        info!(broker_id = self.broker_id, "a broker's session ended");
    }
}

#[tonic::async_trait]
impl ControllerService for Service {
    async fn submit(
        &self,
        request: Request<SubmitRequest>,
    ) -> Result<Response<SubmitResponse>, Status> {
        let SubmitRequest {
            cluster_id,
            command,
        } = request.into_inner();
        self.check_cluster(&cluster_id)?;
        let command = match Command::decode(&command) {
            Ok(command) => command,
            Err(error) => return Ok(undecided(Reason::Invalid, &error.to_string())),
        };
        let (answer, answered) = oneshot::channel();
        if self
            .queue
            .send(Submission { command, answer })
            .await
            .is_err()
        {
            return Ok(undecided(Reason::NotLeader, "the broker stops"));
        }
        let outcome = answered.await.unwrap_or(Err(Undecided::OutcomeUnknown));
        Ok(match outcome {
            Ok(decided) => Response::new(SubmitResponse {
                outcome: Some(Outcome::Decided(Decided {
                    answer: decided.answer.encode().into(),
                    position: decided.position,
                })),
            }),
            Err(Undecided::NotLeader) => undecided(Reason::NotLeader, "this broker does not lead"),
            Err(Undecided::OutcomeUnknown) => {
                undecided(Reason::OutcomeUnknown, "the quorum was lost underway")
            }
        })
    }

    type SessionStream = ReceiverStream<Result<HeartbeatAnswer, Status>>;

    async fn session(
        &self,
        request: Request<Streaming<Heartbeat>>,
    ) -> Result<Response<Self::SessionStream>, Status> {
        let mut heartbeats = request.into_inner();
        let first = heartbeats.message().await?;
        let first = first.ok_or_else(|| Status::invalid_argument("no heartbeat"))?;
        let open = self.open(&first)?;
        info!(
            broker_id = open.broker_id,
            broker_epoch = open.broker_epoch,
            "a broker's session began"
        );
        let (answers, responses) = mpsc::channel(ANSWERS);
        tokio::spawn(self.clone().hear(open, first, heartbeats, answers));
        Ok(Response::new(ReceiverStream::new(responses)))
    }

    async fn join(&self, request: Request<JoinRequest>) -> Result<Response<JoinResponse>, Status> {
        let request = request.into_inner();
        self.check_cluster(&request.cluster_id)?;
        let is_alive = self
            .sessions
            .lock()
            .is_live(request.broker_id, monotonic_ms());
        let response = join::take_in(&self.quorum, &request, is_alive).await;
        Ok(Response::new(response))
    }
}

fn undecided(reason: Reason, message: &str) -> Response<SubmitResponse> {
    let undecided = v1::Undecided {
        reason: reason.into(),
        message: message.to_owned(),
    };
    Response::new(SubmitResponse {
        outcome: Some(Outcome::Undecided(undecided)),
    })
}
