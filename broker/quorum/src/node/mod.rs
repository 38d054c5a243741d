//! One node of the quorum: its start, and the handle by which it is used.

mod calls;
mod campaign;
mod error;
mod identity;
mod leader;
mod members;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use openraft::async_runtime::WatchReceiver;
use openraft::{Instant as _, Raft, RaftMetrics, ServerState};
use tokio::sync::watch;

pub use calls::Proposed;
pub use error::{ChangeError, FoundError, ProposeError, ReadError, StartError, TransferError};

use crate::config::QuorumConfig;
use crate::handler::PeerHandler;
use crate::log_store::LogStore;
use crate::machine::{Machine, StateMachine};
use crate::network::Peers;
use crate::proto::{self, refused::Reason};
use crate::store::Store;
use crate::transport::Transport;
use crate::types::{NodeId, QuorumMetrics, QuorumState, Role, Runtime, TypeConfig};

/// What a node is made of.
pub struct Options {
    /// This node's number; it must be the disk's.
    pub node_id: NodeId,
    /// The cluster that this node belongs to. A node with an empty disk joins it: it waits until it is added, or until
    /// another node founds the cluster with it. `None` on an empty disk: the node waits for [`Quorum::found`].
    pub cluster_id: Option<String>,
    /// Settings.
    pub config: QuorumConfig,
    /// Where log, vote and snapshot are kept.
    pub store: Arc<dyn Store>,
    /// The way to other nodes.
    pub transport: Arc<dyn Transport>,
    /// What takes the commands.
    pub machine: Box<dyn StateMachine>,
    /// Seed of all randomness: election timeouts, and the incarnation if the disk is empty. Different at every start
    /// but in simulations.
    pub seed: u64,
}

/// What handle and peer handler share.
pub(crate) struct Inner {
    pub peers: Peers,
    pub incarnation: u64,
    pub config: QuorumConfig,
    pub store: Arc<dyn Store>,
    pub log: LogStore,
    raft: Raft<TypeConfig, Machine>,
    seed: AtomicU64,
    state: watch::Receiver<QuorumState>,
}

impl Inner {
    pub fn raft(&self) -> &Raft<TypeConfig, Machine> {
        &self.raft
    }

    /// The seed of the randomness that one call may need.
    pub fn next_seed(&self) -> u64 {
        let number = self.seed.fetch_add(1, Ordering::Relaxed);
        identity::mix(number)
    }

    /// Who this node is.
    pub fn identified(&self) -> Result<proto::Identified, proto::Refused> {
        let empty = self.log.is_empty();
        let empty = empty.map_err(|e| crate::handler::refused(Reason::Stopped, e.to_string()))?;
        Ok(proto::Identified {
            node_id: self.peers.node_id,
            incarnation: self.incarnation,
            cluster_id: self.peers.cluster_id.get().cloned().unwrap_or_default(),
            founded: !empty,
        })
    }
}

/// The handle of one node of the quorum. Clones share the node.
#[derive(Clone)]
pub struct Quorum {
    inner: Arc<Inner>,
}

/// The state of a node. A leader that no majority has answered for `patience` does not lead, as far as anybody here is
/// concerned: nothing that it decides can be committed, and the others may have another one. It leads again once it
/// is answered, if there is none.
fn quorum_state(metrics: &RaftMetrics<TypeConfig>, patience: Duration) -> QuorumState {
    let membership = metrics.membership_config.membership();
    let acked = metrics.last_quorum_acked.as_ref();
    let is_alone = metrics.state == ServerState::Leader
        && membership.voter_ids().nth(1).is_some()
        && acked.is_some_and(|at| at.elapsed() > patience);
    let role = match (&metrics.running_state, metrics.state) {
        (Err(_), _) | (_, ServerState::Shutdown) => Role::Stopped,
        (_, ServerState::Learner) => Role::Learner,
        (_, ServerState::Follower) => Role::Follower,
        (_, ServerState::Leader) if is_alone => Role::Candidate,
        (_, ServerState::Candidate) => Role::Candidate,
        (_, ServerState::Leader) => Role::Leader,
    };
    QuorumState {
        role,
        term: metrics.current_term,
        leader: metrics.current_leader.filter(|_| !is_alone),
        voters: membership.voter_ids().collect(),
        members: membership
            .nodes()
            .map(|(id, member)| (*id, member.clone()))
            .collect(),
    }
}

/// Passes openraft's metrics on as [`QuorumState`], only when it changes, until the node has stopped.
async fn follow_state(
    mut metrics: openraft::type_config::alias::WatchReceiverOf<TypeConfig, RaftMetrics<TypeConfig>>,
    state: watch::Sender<QuorumState>,
    patience: Duration,
) {
    loop {
        let new = quorum_state(&metrics.borrow_watched(), patience);
        // What time alone changes: whether a leader is answered.
        let looks_again = matches!(new.role, Role::Leader | Role::Candidate);
        let stopped = new.role == Role::Stopped;
        state.send_if_modified(|old| {
            let modified = *old != new;
            *old = new;
            modified
        });
        let ended = tokio::select! {
            changed = metrics.changed() => changed.is_err(),
            () = tokio::time::sleep(patience / 4), if looks_again => false,
        };
        if stopped || ended {
            break;
        }
    }
    state.send_modify(|state| state.role = Role::Stopped);
}

impl Quorum {
    /// Starts a node on its store. Other nodes reach it once its [`handler`](Self::handler) is served.
    ///
    /// # Errors
    /// The disk is another node's or another cluster's, the settings are wrong, or the store fails.
    pub async fn start(options: Options) -> Result<Self, StartError> {
        let identity = identity::claim(&options).await?;
        let cluster_id = Arc::new(OnceLock::new());
        if !identity.cluster_id.is_empty() {
            // A fresh lock cannot be set already.
            let _unset = cluster_id.set(identity.cluster_id.clone());
        }
        let peers = Peers {
            node_id: options.node_id,
            cluster_id,
            transport: options.transport,
            snapshot_timeout: options.config.snapshot_timeout,
            append_timeout: options.config.append_timeout(),
            notices: Arc::default(),
        };
        let log = LogStore::new(Arc::clone(&options.store));
        let machine = Machine::new(options.machine, Arc::clone(&options.store));
        let raft_config = Arc::new(options.config.raft(&identity.cluster_id)?);
        let start = Raft::new(
            options.node_id,
            raft_config,
            peers.clone(),
            log.clone(),
            machine,
        );
        let raft = Runtime::scope(options.seed, start).await;
        let raft = raft.map_err(|error| StartError::Raft(error.to_string()))?;
        let (sender, state) = watch::channel(QuorumState::default());
        let patience = options.config.patience();
        tokio::spawn(follow_state(raft.metrics(), sender, patience));
        tokio::spawn(campaign::follow_membership(
            raft.clone(),
            options.node_id,
            identity.incarnation,
        ));
        Ok(Self {
            inner: Arc::new(Inner {
                peers,
                incarnation: identity.incarnation,
                config: options.config,
                store: options.store,
                log,
                raft,
                seed: AtomicU64::new(options.seed),
                state,
            }),
        })
    }

    /// What answers other nodes.
    #[must_use]
    pub fn handler(&self) -> PeerHandler {
        PeerHandler(Arc::clone(&self.inner))
    }

    /// This node's number.
    #[must_use]
    pub fn node_id(&self) -> NodeId {
        self.inner.peers.node_id
    }

    /// The number of this node's disk, as it stands in [`Member::incarnation`](crate::Member::incarnation).
    #[must_use]
    pub fn incarnation(&self) -> u64 {
        self.inner.incarnation
    }

    /// The cluster that this node belongs to.
    #[must_use]
    pub fn cluster_id(&self) -> Option<String> {
        self.inner.peers.cluster_id.get().cloned()
    }

    /// Leader, term and members, now and whenever they change.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<QuorumState> {
        self.inner.state.clone()
    }

    /// Figures of this node.
    #[must_use]
    pub fn metrics(&self) -> QuorumMetrics {
        let metrics = self.inner.raft.metrics();
        let metrics = metrics.borrow_watched();
        let index = |id: &Option<crate::types::LogId>| id.as_ref().map(|id| id.index);
        let replication = metrics.replication.iter().flatten();
        let matching: BTreeMap<_, _> = replication.map(|(node, id)| (*node, index(id))).collect();
        let figures = &self.inner.log.figures;
        QuorumMetrics {
            term: metrics.current_term,
            last_log_index: metrics.last_log_index,
            committed_index: index(&metrics.local_committed),
            applied_index: index(&metrics.last_applied),
            snapshot_index: index(&metrics.snapshot),
            purged_index: index(&metrics.purged),
            matching_index: matching,
            syncs: figures.syncs.load(Ordering::Relaxed),
            since_majority: metrics.last_quorum_acked.as_ref().map(|at| at.elapsed()),
            appended_entries: figures.appended_entries.load(Ordering::Relaxed),
        }
    }

    /// Makes a snapshot now, in the background.
    ///
    /// # Errors
    /// The node has stopped.
    pub async fn snapshot(&self) -> Result<(), ReadError> {
        let trigger = self.inner.raft.trigger().snapshot().await;
        trigger.map_err(|error| ReadError::Stopped(error.to_string()))
    }

    /// Stops the node. A leader should [hand leadership over](Self::transfer_leader) first.
    pub async fn shutdown(&self) {
        if let Err(error) = self.inner.raft.shutdown().await {
            tracing::error!(%error, "the quorum's core did not end in order");
        }
    }

    /// Waits until `check` is true for the state, or `timeout` is over.
    pub(crate) async fn wait_state(
        &self,
        timeout: Duration,
        check: impl FnMut(&QuorumState) -> bool,
    ) -> bool {
        let mut state = self.inner.state.clone();
        let wait = tokio::time::timeout(timeout, state.wait_for(check)).await;
        matches!(wait, Ok(Ok(_)))
    }
}
