//! The way to the broker that decides, from any broker: itself, or the leader of the quorum over the peer protocol.
//!
//! ```text
//!   submit ─► leader known? ─► here: queue ──────────────► answer, position ─► published up to it? ─► answer
//!                    └───────► there: Submit (peer gRPC) ──┘
//! ```
//!
//! A command goes to the next leader if it certainly was not carried out. If that is not known, it goes there only if
//! carrying it out twice does no harm; otherwise whoever asked is told.

use std::{error::Error, sync::Arc, time::Duration};

use fjord_proto::peer::v1::{
    SubmitRequest, SubmitResponse, submit_response::Outcome, undecided::Reason,
};
use fjord_quorum::Quorum;
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::{Instant, sleep, timeout_at},
};
use tonic::Status;
use tracing::debug;

use super::{
    batch::is_repeatable,
    channels::Channels,
    leader::{Decided, Submission, Undecided},
    publisher::Published,
};
use crate::metadata::{
    Decider, ExecuteError,
    commands::{Answer, Command},
    store::BoxFuture,
};

/// How long a command may take, with all its tries.
const TIMEOUT: Duration = Duration::from_secs(15);
/// Pause before the next try.
const RETRY: Duration = Duration::from_millis(20);
/// How long the answer of a leader may be under way that has just been replaced.
const LATE_ANSWER: Duration = Duration::from_millis(50);

/// The way to the controller. Clones are one.
#[derive(Clone)]
pub struct Controller {
    inner: Arc<Inner>,
}

struct Inner {
    quorum: Quorum,
    cluster_id: String,
    queue: mpsc::Sender<Submission>,
    channels: Channels,
    applied: watch::Receiver<u64>,
    published: Published,
}

/// One try at the current leader.
enum Try {
    Decided(Decided),
    /// Nothing was done, or nobody is there to do it.
    NotDone,
    Unknown,
    Misunderstood(String),
}

impl From<Result<Decided, Undecided>> for Try {
    fn from(outcome: Result<Decided, Undecided>) -> Try {
        match outcome {
            Ok(decided) => Try::Decided(decided),
            Err(Undecided::NotLeader) => Try::NotDone,
            Err(Undecided::OutcomeUnknown) => Try::Unknown,
        }
    }
}

impl Controller {
    /// The way to the leader of `quorum`; `queue` is that of the leader's task here.
    pub fn new(
        quorum: Quorum,
        cluster_id: String,
        queue: mpsc::Sender<Submission>,
        channels: Channels,
        applied: watch::Receiver<u64>,
        published: Published,
    ) -> Controller {
        Controller {
            inner: Arc::new(Inner {
                quorum,
                cluster_id,
                queue,
                channels,
                applied,
                published,
            }),
        }
    }

    /// Has a command carried out within `limit`, and waits until this broker has applied it. Its observers need not have
    /// acted on it yet.
    ///
    /// # Errors
    /// See [`ExecuteError`].
    pub async fn decide(&self, command: Command, limit: Duration) -> Result<Decided, ExecuteError> {
        let deadline = Instant::now() + limit;
        let decided = self.decided(command, deadline).await?;
        let mut applied = self.inner.applied.clone();
        let reached = applied.wait_for(|applied| *applied >= decided.position);
        match timeout_at(deadline, reached).await {
            Ok(Ok(_)) => Ok(decided),
            Ok(Err(_)) => Err(ExecuteError::Stopped),
            Err(_) => Err(ExecuteError::NotSeen),
        }
    }

    /// Asks one leader after the other.
    async fn decided(&self, command: Command, deadline: Instant) -> Result<Decided, ExecuteError> {
        let repeatable = is_repeatable(&command);
        loop {
            let tried = timeout_at(deadline, self.ask(&command)).await;
            match tried.unwrap_or(Try::Unknown) {
                Try::Decided(decided) => return Ok(decided),
                Try::Misunderstood(reason) => return Err(ExecuteError::Misunderstood(reason)),
                Try::NotDone if Instant::now() >= deadline => {
                    return Err(ExecuteError::NoController);
                }
                Try::Unknown if !repeatable || Instant::now() >= deadline => {
                    return Err(ExecuteError::OutcomeUnknown);
                }
                Try::NotDone | Try::Unknown => {
                    debug!(kind = command.kind(), "a command is submitted again");
                }
            }
            sleep(RETRY).await;
        }
    }

    /// Asks whoever leads now.
    async fn ask(&self, command: &Command) -> Try {
        let inner = &self.inner;
        let (leader, term, address) = {
            let state = inner.quorum.watch();
            let state = state.borrow();
            let Some(leader) = state.leader else {
                return Try::NotDone;
            };
            let member = state.members.get(&leader);
            (
                leader,
                state.term,
                member.map(|member| member.address.clone()),
            )
        };
        if leader == inner.quorum.node_id() {
            let (answer, answered) = oneshot::channel();
            let command = command.clone();
            if inner
                .queue
                .send(Submission { command, answer })
                .await
                .is_err()
            {
                return Try::NotDone;
            }
            // A leader's task that ends may have had it proposed.
            return answered.await.map_or(Try::Unknown, Try::from);
        }
        let Some(address) = address else {
            return Try::NotDone;
        };
        tokio::select! {
            tried = self.ask_there(&address, command) => tried,
            () = self.another_leader(term) => Try::Unknown,
        }
    }

    async fn ask_there(&self, address: &str, command: &Command) -> Try {
        let request = SubmitRequest {
            cluster_id: self.inner.cluster_id.clone(),
            command: command.encode().into(),
        };
        let Ok(mut client) = self.inner.channels.controller(address) else {
            return Try::NotDone;
        };
        match client.submit(request).await {
            Ok(response) => answered(response.into_inner()),
            Err(status) if was_not_sent(&status) => Try::NotDone,
            Err(status) => {
                debug!(%status, "the leader of the quorum was lost");
                Try::Unknown
            }
        }
    }

    /// Waits until there is a leader of a later term, and a little longer.
    async fn another_leader(&self, term: u64) {
        let mut state = self.inner.quorum.watch();
        let newer = state.wait_for(|state| state.term > term && state.leader.is_some());
        if newer.await.is_err() {
            // The node has stopped; the deadline ends the wait.
            std::future::pending::<()>().await;
        }
        sleep(LATE_ANSWER).await;
    }

    async fn publish(&self, position: u64) -> Result<(), ExecuteError> {
        let mut published = self.inner.published.changes.subscribe();
        let reached = published.wait_for(|published| *published >= position);
        match tokio::time::timeout(TIMEOUT, reached).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) => Err(ExecuteError::Stopped),
            Err(_) => Err(ExecuteError::NotSeen),
        }
    }
}

impl Decider for Controller {
    fn submit(&self, command: Command) -> BoxFuture<Result<Answer, ExecuteError>> {
        let controller = self.clone();
        Box::pin(async move {
            let Decided { answer, position } = controller.decide(command, TIMEOUT).await?;
            controller.publish(position).await?;
            Ok(answer)
        })
    }
}

fn answered(response: SubmitResponse) -> Try {
    match response.outcome {
        Some(Outcome::Decided(decided)) => match Answer::decode(&decided.answer) {
            Ok(answer) => Try::Decided(Decided {
                answer,
                position: decided.position,
            }),
            Err(error) => Try::Misunderstood(error.to_string()),
        },
        Some(Outcome::Undecided(undecided)) => match undecided.reason() {
            Reason::NotLeader => Try::NotDone,
            Reason::Invalid => Try::Misunderstood(undecided.message),
            Reason::OutcomeUnknown | Reason::Unspecified => Try::Unknown,
        },
        None => Try::Unknown,
    }
}

/// Whether there was no connection to send the request over.
pub fn was_not_sent(status: &Status) -> bool {
    let first = status.source();
    let mut causes = std::iter::successors(first, |error| (*error).source());
    causes.any(<dyn Error + 'static>::is::<tonic::ConnectError>)
}
