//! Answers to other nodes: who may ask is checked first, in every request.

use std::sync::Arc;

use openraft::errors::Fatal;
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, TransferLeaderRequest, VoteRequest,
};

use crate::codec::{self, CodecError};
#[cfg(feature = "mistakes")]
use crate::mistakes;
use crate::node::Inner;
use crate::notices::Topic;
use crate::proto::refused::Reason;
use crate::proto::{self, peer_request::Body, peer_response::Body as Answer};
use crate::types::{Runtime, Snapshot, TypeConfig};

/// Answers the requests of other nodes. A [`Transport`](crate::Transport)'s other end calls it. Clones share the node.
#[derive(Clone)]
pub struct PeerHandler(pub(crate) Arc<Inner>);

pub(crate) fn refused(reason: Reason, message: impl Into<String>) -> proto::Refused {
    proto::Refused {
        reason: reason.into(),
        message: message.into(),
        leader: 0,
    }
}

impl From<CodecError> for proto::Refused {
    fn from(error: CodecError) -> Self {
        refused(Reason::Invalid, error.to_string())
    }
}

pub(crate) fn stopped(error: &Fatal<TypeConfig>) -> proto::Refused {
    refused(Reason::Stopped, error.to_string())
}

fn response(body: Answer) -> proto::PeerResponse {
    proto::PeerResponse { body: Some(body) }
}

fn read_vote_request(request: &proto::VoteRequest) -> Result<VoteRequest<TypeConfig>, CodecError> {
    let vote = codec::read_vote(request.vote.as_ref())?;
    let last = request.last_log_id.as_ref().map(codec::read_log_id);
    let mut read = VoteRequest::new(vote, last);
    read.leadership_transfer = request.leadership_transfer;
    Ok(read)
}

fn append_response(answer: AppendEntriesResponse<TypeConfig>) -> proto::AppendResponse {
    use proto::append_response::Outcome;
    let mut response = proto::AppendResponse::default();
    let outcome = match answer {
        AppendEntriesResponse::Success => Outcome::Success,
        AppendEntriesResponse::PartialSuccess(matching) => {
            response.matching = matching.as_ref().map(codec::log_id);
            Outcome::PartialSuccess
        }
        AppendEntriesResponse::Conflict => Outcome::Conflict,
        AppendEntriesResponse::HigherVote(vote) => {
            response.vote = Some(codec::vote(&vote));
            Outcome::HigherVote
        }
    };
    response.set_outcome(outcome);
    response
}

impl PeerHandler {
    /// Answers one request; whatever goes wrong is in the answer.
    pub async fn handle(&self, request: proto::PeerRequest) -> proto::PeerResponse {
        if let Err(response) = self.check(&request) {
            return response;
        }
        let Some(body) = request.body else {
            return response(Answer::Refused(refused(
                Reason::Invalid,
                "the request is empty",
            )));
        };
        let answer = Runtime::scope(self.0.next_seed(), self.answer(body)).await;
        response(answer.unwrap_or_else(Answer::Refused))
    }

    /// Whether the request is meant for this node, of this cluster, with this disk.
    ///
    /// # Errors
    /// It is not; the response says so.
    pub fn check(&self, request: &proto::PeerRequest) -> Result<(), proto::PeerResponse> {
        let inner = &self.0;
        let from = request.identity.as_ref().map_or(0, |id| id.from_node);
        let refuse = |reason: Reason, message: String| {
            inner.peers.notices.warn(from, Topic::Refused, &message);
            Err(response(Answer::Refused(refused(reason, message))))
        };
        let Some(identity) = &request.identity else {
            return refuse(
                Reason::Invalid,
                "the request names no cluster and no nodes".into(),
            );
        };
        let asks = matches!(request.body, Some(Body::Identify(_)));
        let here = inner.peers.node_id;
        match inner.peers.cluster_id.get() {
            Some(cluster) if *cluster != identity.cluster_id => {
                return refuse(
                    Reason::OtherCluster,
                    format!(
                        "node {here} belongs to cluster {cluster}, and node {from} called it as one of cluster {}: \
                         give each cluster's nodes the addresses of their own cluster",
                        identity.cluster_id
                    ),
                );
            }
            None if !asks => {
                return refuse(
                    Reason::Unfounded,
                    format!(
                        "node {here} belongs to no cluster yet: start it with the cluster's id"
                    ),
                );
            }
            _ => {}
        }
        if identity.to_node != here {
            return refuse(
                Reason::OtherNode,
                format!(
                    "node {from} looked for node {} and found node {here}",
                    identity.to_node
                ),
            );
        }
        let is_other = identity.to_incarnation != 0 && identity.to_incarnation != inner.incarnation;
        #[cfg(feature = "mistakes")]
        let is_other = is_other && !mistakes::made(mistakes::NEW_DISK_ACCEPTED);
        if is_other {
            return refuse(
                Reason::OtherIncarnation,
                format!(
                    "node {here} has a new disk: remove the node from the quorum and add it again"
                ),
            );
        }
        Ok(())
    }

    async fn answer(&self, body: Body) -> Result<Answer, proto::Refused> {
        let inner = &self.0;
        let raft = inner.raft();
        match body {
            Body::Identify(_) => inner.identified().map(Answer::Identified),
            Body::PreVote(request) => {
                let answer = raft.pre_vote(read_vote_request(&request)?).await;
                self.voted(answer.map_err(|e| refused(Reason::Stopped, e.to_string()))?)
            }
            Body::Vote(request) => {
                let answer = raft.vote(read_vote_request(&request)?).await;
                self.voted(answer.map_err(|e| refused(Reason::Stopped, e.to_string()))?)
            }
            Body::Append(request) => self.append(request).await,
            Body::Snapshot(request) => {
                let vote = codec::read_vote(request.vote.as_ref())?;
                let meta = request
                    .meta
                    .as_ref()
                    .ok_or(CodecError("a snapshot's meta"))?;
                let snapshot = Snapshot {
                    meta: codec::read_snapshot_meta(meta)?,
                    snapshot: request.data,
                };
                let answer = raft.install_full_snapshot(vote, snapshot).await;
                let vote = codec::vote(&answer.map_err(|e| stopped(&e))?.vote);
                Ok(Answer::Snapshot(proto::SnapshotResponse {
                    vote: Some(vote),
                }))
            }
            Body::TransferLeader(request) => {
                let from = codec::read_vote(request.from_leader.as_ref())?;
                let last = request.last_log_id.as_ref().map(codec::read_log_id);
                let request = TransferLeaderRequest::new(from, request.to_node, last);
                let answer = raft
                    .handle_transfer_leader(request)
                    .await
                    .map_err(|e| stopped(&e))?;
                let refusal = answer.err().map_or_else(String::new, |e| e.to_string());
                Ok(Answer::TransferLeader(proto::TransferLeaderResponse {
                    refusal,
                }))
            }
            Body::Propose(_) | Body::ReadIndex(_) | Body::Change(_) => inner.lead(body, None).await,
        }
    }

    fn voted(
        &self,
        answer: openraft::raft::VoteResponse<TypeConfig>,
    ) -> Result<Answer, proto::Refused> {
        Ok(Answer::Vote(proto::VoteResponse {
            vote: Some(codec::vote(&answer.vote)),
            granted: answer.vote_granted,
            last_log_id: answer.last_log_id.as_ref().map(codec::log_id),
        }))
    }

    async fn append(&self, request: proto::AppendRequest) -> Result<Answer, proto::Refused> {
        let entries = request.entries.into_iter().map(codec::read_entry);
        let request = AppendEntriesRequest {
            vote: codec::read_vote(request.vote.as_ref())?,
            prev_log_id: request.previous_log_id.as_ref().map(codec::read_log_id),
            entries: entries.collect::<Result<_, _>>()?,
            leader_commit: request.leader_commit.as_ref().map(codec::read_log_id),
        };
        let answer = self.0.raft().append_entries(request).await;
        let answer = answer.map_err(|e| refused(Reason::Stopped, e.to_string()))?;
        Ok(Answer::Append(append_response(answer)))
    }
}
