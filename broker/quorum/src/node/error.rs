//! What can go wrong, an enum for each operation.

use crate::config::ConfigError;
use crate::store::StoreError;
use crate::types::NodeId;

/// Why a node did not start.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StartError {
    /// The disk is another cluster's.
    #[error(
        "the data directory belongs to cluster {disk}, and the node was started for cluster {given}: give it the \
         directory of its own cluster, or an empty one to join cluster {given}"
    )]
    OtherCluster {
        /// The disk's cluster.
        disk: String,
        /// The one that was asked for.
        given: String,
    },
    /// The disk is another node's.
    #[error(
        "the data directory belongs to node {disk}, and the node was started as node {given}: start it as node \
         {disk}, or give it its own directory, or an empty one"
    )]
    OtherNode {
        /// The disk's node.
        disk: NodeId,
        /// The one that was asked for.
        given: NodeId,
    },
    /// There is a log but no identity.
    #[error(
        "the data directory holds a log but does not say whose: empty it, remove node {0} from the quorum, and add \
         it again"
    )]
    NoIdentity(NodeId),
    /// Settings that contradict each other.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The consensus did not start on what the store holds.
    #[error("the quorum did not start: {0}")]
    Raft(String),
}

/// Why a cluster was not founded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FoundError {
    /// The node belongs to another cluster.
    #[error("this node belongs to cluster {0} already")]
    OtherCluster(String),
    /// There is a cluster already.
    #[error(
        "node {0} has a log already, so the cluster has been founded: start this node to join it"
    )]
    AlreadyFounded(NodeId),
    /// This node is not among the voters.
    #[error("the founding node {0} must be one of the voters")]
    NotAVoter(NodeId),
    /// A cluster id must not be empty.
    #[error("the cluster id is empty")]
    EmptyClusterId,
    /// A voter cannot be asked, or is not what it should be. Nothing was founded.
    #[error("voter {node} cannot take part: {reason}")]
    Voter {
        /// The voter.
        node: NodeId,
        /// What it said.
        reason: String,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The consensus refused.
    #[error("the quorum could not be founded: {0}")]
    Raft(String),
}

/// Why a command got no reply.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProposeError {
    /// No leader in time. Nothing was appended.
    #[error("the quorum has no leader that can be reached")]
    NoLeader,
    /// This node does not lead, or not in that term, or not yet or no longer with a majority behind it. Nothing was
    /// appended.
    #[error("this node is not the leader{}", leader.map_or_else(String::new, |leader| format!(", node {leader} is")))]
    NotLeader {
        /// The leader, if this node knows another one.
        leader: Option<NodeId>,
    },
    /// The leader was lost underway. The command may be committed, now or later, or not: whoever proposes again must
    /// be able to tell.
    #[error("whether the command was committed is not known: {0}")]
    OutcomeUnknown(String),
    /// The leader refused. Nothing was appended.
    #[error("the command was refused: {0}")]
    Refused(String),
}

/// Why there is no linearizable read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// No leader with a majority in time.
    #[error("the quorum has no leader that can be reached")]
    NoLeader,
    /// The state here did not get there in time.
    #[error("this node did not apply index {0} in time")]
    Behind(u64),
    /// The node has stopped.
    #[error("the node has stopped: {0}")]
    Stopped(String),
}

/// Why members were not changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChangeError {
    /// No leader in time.
    #[error("the quorum has no leader that can be reached")]
    NoLeader,
    /// The node to be added cannot be asked, or is not what it should be.
    #[error("node {node} cannot be added: {reason}")]
    Node {
        /// The node.
        node: NodeId,
        /// Why.
        reason: String,
    },
    /// The leader refused, or could not end the change in time. Asking again is safe.
    #[error("the members were not changed: {0}")]
    Refused(String),
}

/// Why leadership was not handed over.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TransferError {
    /// There is no leader that could.
    #[error("the quorum has no leader that can be reached")]
    NoLeader,
    /// Nobody can take it, or nobody did in time.
    #[error("leadership was not handed over: {0}")]
    Refused(String),
}
