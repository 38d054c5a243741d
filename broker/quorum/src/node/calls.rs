//! Proposals and reads from any node: they go to the leader, here or elsewhere, and again after a change of leader as
//! long as that cannot do anything twice.

use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use super::{ProposeError, Quorum, ReadError};
use crate::machine::Position;
use crate::proto::refused::Reason;
use crate::proto::{self, peer_request::Body, peer_response::Body as Answer};
use crate::transport::TransportError;
use crate::types::Runtime;

/// A command that was committed and applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proposed {
    /// Where it is in the log.
    pub position: Position,
    /// What the state machine replied, on the leader.
    pub reply: Bytes,
}

/// Why a call to the leader got no answer.
pub(super) enum LeaderCallError {
    /// No leader in time; nothing was done.
    NoLeader,
    /// The leader did not do it.
    Refused(proto::Refused),
    /// The leader was lost underway.
    Lost(String),
}

fn proposed(answer: Answer) -> Result<Proposed, ProposeError> {
    let Answer::Propose(answer) = answer else {
        let reason = "the leader answered something else".to_owned();
        return Err(ProposeError::OutcomeUnknown(reason));
    };
    let id = answer.log_id.unwrap_or_default();
    Ok(Proposed {
        position: Position {
            term: id.term,
            index: id.index,
        },
        reply: answer.reply,
    })
}

fn propose_refused(refused: proto::Refused) -> ProposeError {
    match refused.reason() {
        Reason::OutcomeUnknown => ProposeError::OutcomeUnknown(refused.message),
        Reason::NotLeader => ProposeError::NotLeader {
            leader: Some(refused.leader).filter(|leader| *leader != 0),
        },
        _ => ProposeError::Refused(refused.message),
    }
}

impl Quorum {
    /// Appends a command to the log, from any node, and waits until it is committed and applied on the leader.
    ///
    /// # Errors
    /// See [`ProposeError`]: only after [`ProposeError::OutcomeUnknown`] may the command have been committed.
    pub async fn propose(&self, command: impl Into<Bytes>) -> Result<Proposed, ProposeError> {
        let body = Body::Propose(proto::ProposeRequest {
            command: command.into(),
        });
        let timeout = self.inner.config.call_timeout;
        match self.call_leader(body, timeout, false).await {
            Ok(answer) => proposed(answer),
            Err(LeaderCallError::NoLeader) => Err(ProposeError::NoLeader),
            Err(LeaderCallError::Lost(reason)) => Err(ProposeError::OutcomeUnknown(reason)),
            Err(LeaderCallError::Refused(refused)) => Err(propose_refused(refused)),
        }
    }

    /// Like [`Self::propose`], but only if this node leads in `term`, and without trying again: a controller that decided
    /// in one term on what it knew then cannot have it appended in another one.
    ///
    /// # Errors
    /// See [`ProposeError`]; [`ProposeError::NotLeader`] names the leader.
    pub async fn propose_here(
        &self,
        term: u64,
        command: impl Into<Bytes>,
    ) -> Result<Proposed, ProposeError> {
        let body = Body::Propose(proto::ProposeRequest {
            command: command.into(),
        });
        let lead = self.inner.lead(body, Some(term));
        let answer = Runtime::scope(self.inner.next_seed(), lead).await;
        proposed(answer.map_err(propose_refused)?)
    }

    /// Waits until the state here holds everything that was committed, anywhere, before the call. Returns the index up
    /// to which that is. What the state machine says after this is a linearizable read.
    ///
    /// # Errors
    /// No leader with a majority, or this node is too far behind.
    pub async fn read_index(&self) -> Result<u64, ReadError> {
        let timeout = self.inner.config.call_timeout;
        let body = Body::ReadIndex(proto::ReadIndexRequest {});
        let index = match self.call_leader(body, timeout, true).await {
            Ok(Answer::ReadIndex(answer)) => answer.index,
            Err(LeaderCallError::Refused(refused)) => {
                return Err(ReadError::Stopped(refused.message));
            }
            Ok(_) | Err(_) => return Err(ReadError::NoLeader),
        };
        self.wait_applied(index).await?;
        Ok(index)
    }

    /// Waits until the state here holds the command at `index`.
    ///
    /// # Errors
    /// It does not within the call timeout.
    pub async fn wait_applied(&self, index: u64) -> Result<(), ReadError> {
        let wait = self.inner.raft().wait(Some(self.inner.config.call_timeout));
        let applied = wait.applied_index_at_least(Some(index), "applied").await;
        applied.map_err(|_| ReadError::Behind(index))?;
        Ok(())
    }

    /// Calls the leader, and the next one if it says that it is none. `again`: also if it was lost underway, because
    /// the call does no harm twice.
    pub(super) async fn call_leader(
        &self,
        body: Body,
        timeout: Duration,
        again: bool,
    ) -> Result<Answer, LeaderCallError> {
        let pause = self.inner.config.heartbeat / 10;
        let deadline = Instant::now() + timeout;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || !self.wait_state(left, |state| state.leader.is_some()).await {
                return Err(LeaderCallError::NoLeader);
            }
            match self.call_current_leader(body.clone(), left).await {
                // Either it or this node has old news.
                None => {}
                Some(Ok(Answer::Refused(refused))) if refused.reason() == Reason::NotLeader => {}
                Some(Err(_)) if again => {}
                Some(Ok(Answer::Refused(refused))) => {
                    return Err(LeaderCallError::Refused(refused));
                }
                Some(answer) => return answer,
            }
            tokio::time::sleep(pause).await;
        }
    }

    /// Calls the leader, here or elsewhere; `None` if there is none that can be called.
    async fn call_current_leader(
        &self,
        body: Body,
        timeout: Duration,
    ) -> Option<Result<Answer, LeaderCallError>> {
        let inner = &self.inner;
        let state = inner.state.borrow().clone();
        let leader = state.leader?;
        if leader == self.node_id() {
            let lead = Runtime::scope(inner.next_seed(), inner.lead(body, None));
            return Some(Ok(lead.await.unwrap_or_else(Answer::Refused)));
        }
        let member = state.members.get(&leader)?;
        let request = inner.peers.request(leader, member.incarnation, body);
        let call = inner
            .peers
            .transport
            .call(&member.address, request, timeout);
        let answer = tokio::select! {
            answer = call => match answer {
                // It was not sent.
                Err(TransportError::NotConnected { .. }) => return None,
                answer => answer.map_err(|error| LeaderCallError::Lost(error.to_string())),
            },
            () = self.another_leader(state.term) => {
                Err(LeaderCallError::Lost("another leader was elected".into()))
            }
        };
        let empty = || LeaderCallError::Lost("no answer".into());
        Some(answer.and_then(|response| response.body.ok_or_else(empty)))
    }

    /// Waits until there is a leader of a later term, and a little longer: the answer of the one before may be on its
    /// way.
    async fn another_leader(&self, term: u64) {
        let mut state = self.inner.state.clone();
        let newer = state.wait_for(|state| state.term > term && state.leader.is_some());
        if newer.await.is_err() {
            // The node has stopped, which the call will find out.
            std::future::pending::<()>().await;
        }
        tokio::time::sleep(self.inner.config.heartbeat).await;
    }
}
