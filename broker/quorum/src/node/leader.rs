//! What only the leader can do; a node that is not says so.

use openraft::ChangeMembers;
use openraft::ReadPolicy;
use openraft::async_runtime::WatchReceiver;
use openraft::errors::{ClientWriteError, ForwardToLeader, LinearizableReadError, RaftError};
use openraft::impls::ProgressResponder;
use openraft::vote::leader_id_std::CommittedLeaderId;

use super::Inner;
use crate::codec;
use crate::handler::{refused, stopped};
use crate::proto::change_request::Change;
use crate::proto::refused::Reason;
use crate::proto::{self, peer_request::Body, peer_response::Body as Answer};
use crate::types::{Command, Member, NodeId, TypeConfig};

fn not_leader(forward: &ForwardToLeader<TypeConfig>) -> proto::Refused {
    proto::Refused {
        leader: forward.leader_id.unwrap_or(0),
        ..refused(Reason::NotLeader, "the node is not the leader")
    }
}

fn write_refused(error: ClientWriteError<TypeConfig>) -> proto::Refused {
    match error {
        // Only said before the entry is appended; afterwards it would be discarded.
        ClientWriteError::ForwardToLeader(forward) => not_leader(&forward),
        ClientWriteError::ChangeMembershipError(error) => {
            refused(Reason::ChangeRefused, error.to_string())
        }
        error => refused(Reason::OutcomeUnknown, error.to_string()),
    }
}

fn change_refused(error: RaftError<TypeConfig, ClientWriteError<TypeConfig>>) -> proto::Refused {
    match error {
        RaftError::APIError(error) => write_refused(error),
        RaftError::Fatal(error) => refused(Reason::OutcomeUnknown, error.to_string()),
    }
}

impl Inner {
    /// Does what only the leader can do.
    /// `term`: only if it leads in this term.
    pub async fn lead(&self, body: Body, term: Option<u64>) -> Result<Answer, proto::Refused> {
        match body {
            Body::Propose(request) => self.lead_propose(request, term).await,
            Body::ReadIndex(_) => self.lead_read().await,
            Body::Change(request) => {
                let change = request.change;
                let change = change.ok_or_else(|| refused(Reason::Invalid, "no change"))?;
                self.lead_change(change).await
            }
            _ => Err(refused(Reason::Invalid, "not a request to the leader")),
        }
    }

    async fn lead_propose(
        &self,
        request: proto::ProposeRequest,
        term: Option<u64>,
    ) -> Result<Answer, proto::Refused> {
        let (responder, written) = ProgressResponder::complete_only();
        let mut write = self.raft().write(Command(request.command));
        write = write.responder(responder);
        if let Some(term) = term {
            write = write.with_leader(CommittedLeaderId { term });
        }
        let write = async {
            write.await.map_err(|error| stopped(&error))?;
            // A core that ends may have appended before.
            let ended = |_| refused(Reason::OutcomeUnknown, "the node stopped underway");
            written.await.map_err(ended)?.map_err(write_refused)
        };
        let write = tokio::time::timeout(self.config.call_timeout, write).await;
        let late = |_| refused(Reason::OutcomeUnknown, "no majority in time");
        let written = write.map_err(late)??;
        Ok(Answer::Propose(proto::ProposeResponse {
            log_id: Some(codec::log_id(&written.log_id)),
            reply: written.data,
        }))
    }

    async fn lead_read(&self) -> Result<Answer, proto::Refused> {
        let read = self.raft().get_read_log_id(ReadPolicy::ReadIndex).await;
        let (id, _) = read.map_err(|error| match error {
            RaftError::APIError(LinearizableReadError::ForwardToLeader(forward)) => {
                not_leader(&forward)
            }
            RaftError::APIError(error) => refused(Reason::NotLeader, error.to_string()),
            RaftError::Fatal(error) => stopped(&error),
        })?;
        let index = id.log_id().index;
        Ok(Answer::ReadIndex(proto::ReadIndexResponse { index }))
    }

    async fn lead_change(&self, change: Change) -> Result<Answer, proto::Refused> {
        let raft = self.raft();
        let change = async move {
            match change {
                Change::AddLearner(node) => {
                    let member = Member {
                        address: node.address,
                        incarnation: node.incarnation,
                    };
                    raft.add_learner(node.node_id, member, true).await
                }
                Change::SetVoters(voters) => {
                    let voters =
                        ChangeMembers::ReplaceAllVoters(voters.node_ids.into_iter().collect());
                    raft.change_membership(voters, true).await
                }
                Change::RemoveLearner(node) => {
                    let nodes = ChangeMembers::RemoveNodes([node].into());
                    raft.change_membership(nodes, true).await
                }
                Change::TransferLeader(to) => {
                    self.hand_over(to).await?;
                    return Ok(None);
                }
            }
            .map(|written| Some(written.log_id))
            .map_err(change_refused)
        };
        let change = tokio::time::timeout(self.config.snapshot_timeout, change).await;
        let late = |_| refused(Reason::ChangeRefused, "the change did not end in time");
        let log_id = change.map_err(late)??.as_ref().map(codec::log_id);
        Ok(Answer::Change(proto::ChangeResponse { log_id }))
    }

    /// Hands leadership to `to`, or to the voter that is furthest if it is zero, and waits until it has it.
    async fn hand_over(&self, to: NodeId) -> Result<(), proto::Refused> {
        let here = self.peers.node_id;
        let deadline = tokio::time::Instant::now() + self.config.call_timeout;
        loop {
            let (leader, target) = {
                let metrics = self.raft().metrics();
                let metrics = metrics.borrow_watched();
                let voters: Vec<_> = metrics.membership_config.voter_ids().collect();
                let matching = metrics.replication.iter().flatten();
                let furthest = matching
                    .filter(|(node, _)| **node != here && voters.contains(*node))
                    .max_by_key(|(_, matching)| (**matching).map(|id| id.index))
                    .map(|(node, _)| *node);
                let named = Some(to).filter(|to| voters.contains(to));
                (
                    metrics.current_leader,
                    if to == 0 { furthest } else { named },
                )
            };
            match leader {
                Some(leader) if leader == here && to == here => return Ok(()),
                Some(leader) if leader == here => {}
                Some(leader) if to == 0 || leader == to => return Ok(()),
                Some(_) | None => {
                    return Err(refused(Reason::NotLeader, "the node is not the leader"));
                }
            }
            let target = target.filter(|target| *target != here);
            let Some(target) = target else {
                return Err(refused(
                    Reason::ChangeRefused,
                    "there is no other voter to lead",
                ));
            };
            let trigger = self.raft().trigger().transfer_leader(target).await;
            trigger.map_err(|error| stopped(&error))?;
            let mut state = self.state.clone();
            let moved = state.wait_for(|state| state.leader.is_some_and(|leader| leader != here));
            let moved = tokio::time::timeout(self.config.election_timeout_max, moved)
                .await
                .is_ok();
            if !moved && tokio::time::Instant::now() >= deadline {
                return Err(refused(
                    Reason::ChangeRefused,
                    format!("node {target} did not take it"),
                ));
            }
        }
    }
}
