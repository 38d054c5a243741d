//! Raft's calls to one other member, over the [`Transport`].

use std::future::Future;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use openraft::errors::{
    NetworkError, RPCError, ReplicationClosed, StreamingError, Timeout, Unreachable,
};
use openraft::network::{RPCOption, RaftNetworkFactory};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, TransferLeaderRequest,
    TransferLeaderResponse, VoteRequest, VoteResponse,
};
use openraft::{RPCTypes, RaftNetworkV2};

use crate::codec::{self, CodecError};
use crate::notices::{Notices, Topic};
use crate::proto::{self, peer_request::Body, peer_response::Body as Answer};
use crate::transport::{Transport, TransportError};
use crate::types::{Member, NodeId, Snapshot, TypeConfig, Vote};

/// How this node calls others.
#[derive(Clone)]
pub(crate) struct Peers {
    pub node_id: NodeId,
    /// Set once the node belongs to a cluster.
    pub cluster_id: Arc<OnceLock<String>>,
    pub transport: Arc<dyn Transport>,
    pub snapshot_timeout: Duration,
    /// How long an append may take.
    pub append_timeout: Duration,
    pub notices: Arc<Notices>,
}

impl Peers {
    /// A request to a node, of which the incarnation is checked too unless it is zero.
    pub fn request(&self, to: NodeId, incarnation: u64, body: Body) -> proto::PeerRequest {
        proto::PeerRequest {
            identity: Some(proto::Identity {
                cluster_id: self.cluster_id.get().cloned().unwrap_or_default(),
                from_node: self.node_id,
                to_node: to,
                to_incarnation: incarnation,
            }),
            body: Some(body),
        }
    }
}

/// The way to one member.
pub(crate) struct Network {
    peers: Peers,
    target: NodeId,
    member: Member,
}

impl RaftNetworkFactory<TypeConfig> for Peers {
    type Network = Network;

    async fn new_client(&mut self, target: NodeId, member: &Member) -> Network {
        Network {
            peers: self.clone(),
            target,
            member: member.clone(),
        }
    }
}

type RpcError = RPCError<TypeConfig>;

fn unexpected() -> RpcError {
    NetworkError::from_string("the node answered something else").into()
}

impl From<CodecError> for RpcError {
    fn from(error: CodecError) -> Self {
        NetworkError::new(&error).into()
    }
}

impl Network {
    async fn call(
        &self,
        body: Body,
        action: RPCTypes,
        timeout: Duration,
    ) -> Result<Answer, RpcError> {
        let request = self
            .peers
            .request(self.target, self.member.incarnation, body);
        let call = self
            .peers
            .transport
            .call(&self.member.address, request, timeout);
        let warn = |topic, message: &str| self.peers.notices.warn(self.target, topic, message);
        match call.await {
            Ok(proto::PeerResponse {
                body: Some(Answer::Refused(refused)),
            }) => {
                warn(Topic::RefusedBy, &refused.message);
                Err(Unreachable::from_string(refused.message).into())
            }
            Ok(proto::PeerResponse { body: Some(answer) }) => Ok(answer),
            Ok(proto::PeerResponse { body: None }) => Err(unexpected()),
            Err(error) => {
                warn(Topic::NoAnswer, &error.to_string());
                Err(match error {
                    TransportError::Timeout { timeout, .. } => Timeout {
                        action,
                        id: self.peers.node_id,
                        target: self.target,
                        timeout,
                    }
                    .into(),
                    error => Unreachable::new(&error).into(),
                })
            }
        }
    }

    async fn ask_vote(
        &self,
        request: VoteRequest<TypeConfig>,
        body: fn(proto::VoteRequest) -> Body,
        option: &RPCOption,
    ) -> Result<VoteResponse<TypeConfig>, RpcError> {
        let message = proto::VoteRequest {
            vote: Some(codec::vote(&request.vote)),
            last_log_id: request.last_log_id.as_ref().map(codec::log_id),
            leadership_transfer: request.leadership_transfer,
        };
        let answer = self
            .call(body(message), RPCTypes::Vote, option.soft_ttl())
            .await?;
        let Answer::Vote(answer) = answer else {
            return Err(unexpected());
        };
        let vote = codec::read_vote(answer.vote.as_ref())?;
        let last = answer.last_log_id.as_ref().map(codec::read_log_id);
        Ok(VoteResponse::new(vote, last, answer.granted))
    }
}

impl RaftNetworkV2<TypeConfig> for Network {
    type SnapshotData = Bytes;

    async fn append_entries(
        &mut self,
        request: AppendEntriesRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<AppendEntriesResponse<TypeConfig>, RpcError> {
        let body = Body::Append(proto::AppendRequest {
            vote: Some(codec::vote(&request.vote)),
            previous_log_id: request.prev_log_id.as_ref().map(codec::log_id),
            entries: request.entries.iter().map(codec::entry).collect(),
            leader_commit: request.leader_commit.as_ref().map(codec::log_id),
        });
        // openraft allows one heartbeat, within which a slow disk or a long message may not be done. It cuts heartbeats
        // off itself.
        let timeout = self.peers.append_timeout.max(option.hard_ttl());
        let answer = self.call(body, RPCTypes::AppendEntries, timeout).await?;
        let Answer::Append(answer) = answer else {
            return Err(unexpected());
        };
        use proto::append_response::Outcome;
        match answer.outcome() {
            Outcome::Success => Ok(AppendEntriesResponse::Success),
            Outcome::PartialSuccess => {
                let matching = answer.matching.as_ref().map(codec::read_log_id);
                Ok(AppendEntriesResponse::PartialSuccess(matching))
            }
            Outcome::Conflict => Ok(AppendEntriesResponse::Conflict),
            Outcome::HigherVote => {
                let vote = codec::read_vote(answer.vote.as_ref())?;
                Ok(AppendEntriesResponse::HigherVote(vote))
            }
            Outcome::Unspecified => Err(unexpected()),
        }
    }

    async fn vote(
        &mut self,
        request: VoteRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<VoteResponse<TypeConfig>, RpcError> {
        self.ask_vote(request, Body::Vote, &option).await
    }

    async fn pre_vote(
        &mut self,
        request: VoteRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<VoteResponse<TypeConfig>, RpcError> {
        self.ask_vote(request, Body::PreVote, &option).await
    }

    async fn full_snapshot(
        &mut self,
        vote: Vote,
        snapshot: Snapshot,
        cancel: impl Future<Output = ReplicationClosed> + Send + 'static,
        _option: RPCOption,
    ) -> Result<SnapshotResponse<TypeConfig>, StreamingError<TypeConfig>> {
        let body = Body::Snapshot(proto::SnapshotRequest {
            vote: Some(codec::vote(&vote)),
            meta: Some(codec::snapshot_meta(&snapshot.meta)),
            data: snapshot.snapshot,
        });
        let timeout = self.peers.snapshot_timeout;
        let answer = tokio::select! {
            answer = self.call(body, RPCTypes::InstallSnapshot, timeout) => answer,
            closed = cancel => return Err(closed.into()),
        };
        let failed = |error: &dyn std::error::Error| NetworkError::from_string(error);
        match answer {
            Ok(Answer::Snapshot(answer)) => match codec::read_vote(answer.vote.as_ref()) {
                Ok(vote) => Ok(SnapshotResponse::new(vote)),
                Err(error) => Err(failed(&error).into()),
            },
            Ok(_) => Err(failed(&unexpected()).into()),
            Err(RPCError::Timeout(error)) => Err(error.into()),
            Err(RPCError::Unreachable(error)) => Err(error.into()),
            Err(error) => Err(failed(&error).into()),
        }
    }

    async fn transfer_leader(
        &mut self,
        request: TransferLeaderRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<TransferLeaderResponse<TypeConfig>, RpcError> {
        let body = Body::TransferLeader(proto::TransferLeaderRequest {
            from_leader: Some(codec::vote(request.from_leader())),
            last_log_id: request.last_log_id().map(codec::log_id),
            to_node: *request.to_node_id(),
        });
        let answer = self
            .call(body, RPCTypes::TransferLeader, option.soft_ttl())
            .await?;
        match answer {
            Answer::TransferLeader(answer) if answer.refusal.is_empty() => Ok(Ok(())),
            Answer::TransferLeader(answer) => Err(NetworkError::from_string(answer.refusal).into()),
            _ => Err(unexpected()),
        }
    }
}
