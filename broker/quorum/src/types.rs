//! The types that the consensus is run with, and the ones that its users see.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use openraft::impls::leader_id_std;
use openraft_rt::deterministic_rng::DeterministicRng;
use openraft_rt_tokio::TokioRuntime;

/// Number of a node, unique in its cluster and never used again for another machine while it is a member.
pub type NodeId = u64;

/// The runtime of the consensus: tokio with its (pausable) clock, and randomness from one seed.
pub(crate) type Runtime = DeterministicRng<TokioRuntime>;

/// A command: bytes that only the state machine understands.
#[derive(Clone, PartialEq, Eq)]
pub struct Command(pub Bytes);

impl fmt::Debug for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Command({} bytes)", self.0.len())
    }
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// Where a member is, and which of its disks is meant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Member {
    /// Address of its peer protocol, as the transport understands it (`host:port` for gRPC).
    pub address: String,
    /// A number that a node draws when it starts with an empty disk. A voter that lost its disk has forgotten its
    /// votes, so it must not be taken for the voter that it was (the purpose of KIP-853's directory ids).
    pub incarnation: u64,
}

openraft::declare_raft_types!(
    /// Standard Raft: at most one leader per term.
    pub TypeConfig:
        D = Command,
        R = Bytes,
        NodeId = NodeId,
        Node = Member,
        LeaderId = leader_id_std::LeaderId<Self::Term, Self::NodeId>,
        AsyncRuntime = Runtime,
);

pub(crate) type LogId = openraft::type_config::alias::LogIdOf<TypeConfig>;
pub(crate) type Vote = openraft::type_config::alias::VoteOf<TypeConfig>;
pub(crate) type Entry = openraft::type_config::alias::EntryOf<TypeConfig>;
pub(crate) type StoredMembership = openraft::type_config::alias::StoredMembershipOf<TypeConfig>;
pub(crate) type SnapshotMeta = openraft::type_config::alias::SnapshotMetaOf<TypeConfig>;
pub(crate) type Snapshot = openraft::type_config::alias::SnapshotOf<TypeConfig, Bytes>;
pub(crate) type Membership = openraft::Membership<NodeId, Member>;

/// What a node is in its quorum.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Role {
    /// Follows without a vote, or is no member yet.
    #[default]
    Learner,
    /// A voter that follows the leader.
    Follower,
    /// A voter that wants to lead.
    Candidate,
    /// The leader.
    Leader,
    /// The node is stopped, or its store has failed.
    Stopped,
}

/// The quorum as one node sees it. Changes of it can be watched.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QuorumState {
    /// What this node is.
    pub role: Role,
    /// The highest term that this node has seen.
    pub term: u64,
    /// The leader of that term, if this node knows it.
    pub leader: Option<NodeId>,
    /// The nodes with a vote; while voters change, those before and after.
    pub voters: BTreeSet<NodeId>,
    /// All members, with and without a vote.
    pub members: BTreeMap<NodeId, Member>,
}

/// Figures of one node of the quorum.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QuorumMetrics {
    /// The highest term seen.
    pub term: u64,
    /// Index of the last entry in the log.
    pub last_log_index: Option<u64>,
    /// Index of the last entry known here to be committed.
    pub committed_index: Option<u64>,
    /// Index of the last entry that the state machine has taken.
    pub applied_index: Option<u64>,
    /// Index of the last entry that the last snapshot holds.
    pub snapshot_index: Option<u64>,
    /// Index of the last entry that was removed from the log because a snapshot holds it.
    pub purged_index: Option<u64>,
    /// On the leader: for each other member, the index up to which its log agrees.
    pub matching_index: BTreeMap<NodeId, Option<u64>>,
    /// On the leader: how long ago it sent what a majority has answered since. A leader that was cut off sees it grow.
    /// `None` if none has answered since its election, and on other nodes.
    pub since_majority: Option<Duration>,
    /// Syncs of the store since the start.
    pub syncs: u64,
    /// Entries appended since the start.
    pub appended_entries: u64,
}
