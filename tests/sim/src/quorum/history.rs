//! What all nodes and clients of a simulation have seen, held against the invariants as it comes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use fjord_quorum::{NodeId, ProposeError, Proposed, QuorumState, Role};
use tracing::{debug, info};

use super::invariants::{Acknowledged, OneLeader, OneSequence, Refused};
use super::machine::Chain;
use crate::verdict::Verdict;

/// See the module's documentation.
pub struct History {
    verdict: Arc<Verdict>,
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    leaders: OneLeader,
    sequence: OneSequence,
    acknowledged: Acknowledged,
    refused: Refused,
    /// By node, how far its state is.
    applied: BTreeMap<NodeId, u64>,
    newest_term: u64,
    /// As the newest leader saw them last, with its term.
    voters: (u64, BTreeSet<NodeId>),
}

impl History {
    /// Nothing has happened yet. What is violated goes to `verdict`.
    pub fn new(verdict: Arc<Verdict>) -> Arc<Self> {
        let seen = Mutex::default();
        Arc::new(Self { verdict, seen })
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A node sees its quorum in this state.
    pub fn state(&self, node: NodeId, state: &QuorumState) {
        let (role, term, leader) = (state.role, state.term, state.leader);
        debug!(node, ?role, term, leader, voters = ?state.voters, "state");
        let mut seen = self.seen();
        seen.newest_term = seen.newest_term.max(term);
        if role == Role::Leader && term >= seen.voters.0 {
            seen.voters = (term, state.voters.clone());
        }
        if let Some(leader) = leader {
            self.verdict.hold(seen.leaders.seen(term, leader));
        }
    }

    /// A node's state machine has taken a command.
    pub fn applied(&self, node: NodeId, before: Chain, after: Chain, command: &[u8]) {
        let command = String::from_utf8_lossy(command).into_owned();
        debug!(node, index = after.index, command, "applied");
        let mut seen = self.seen();
        seen.applied.insert(node, after.index);
        self.verdict
            .hold(seen.refused.applied(&command, after.index));
        self.verdict
            .hold(seen.sequence.applied(node, before, after, command));
    }

    /// A node has taken over a state as a whole.
    pub fn restored(&self, node: NodeId, chain: Chain) {
        info!(node, ?chain, "restored");
        let mut seen = self.seen();
        seen.applied.insert(node, chain.index);
        self.verdict.hold(seen.sequence.restored(node, chain));
    }

    /// A client was told that its command is committed.
    pub fn acknowledged(&self, command: &str, proposed: &Proposed) {
        debug!(command, position = ?proposed.position, "acknowledged");
        let mut seen = self.seen();
        let at = seen
            .sequence
            .command_at(proposed.position.index)
            .map(str::to_owned);
        self.verdict.hold(
            seen.acknowledged
                .told(command, proposed.position.index, at.as_deref()),
        );
    }

    /// A client was told that its command was not taken, and never will be.
    pub fn refused(&self, command: &str, why: &ProposeError) {
        debug!(command, %why, "refused");
        self.verdict.hold(self.seen().refused.told(command));
    }

    /// A client begins to read; what it will see must reach at least as far as is returned.
    pub fn reads_at_least(&self) -> u64 {
        self.seen().acknowledged.newest_index()
    }

    /// A client that should see at least the command at `least` sees everything up to `index`.
    pub fn has_read(&self, node: NodeId, least: u64, index: u64) {
        debug!(node, least, index, "read");
        self.verdict
            .hold(self.seen().acknowledged.read(node, least, index));
    }

    /// The index of the last command that a node has taken.
    pub fn applied_index(&self, node: NodeId) -> u64 {
        self.seen().applied.get(&node).copied().unwrap_or(0)
    }

    /// The voters, as the newest leader has seen them last.
    pub fn voters(&self) -> BTreeSet<NodeId> {
        self.seen().voters.1.clone()
    }

    /// The highest term that was seen.
    pub fn newest_term(&self) -> u64 {
        self.seen().newest_term
    }

    /// Commands that were acknowledged, and the last one's index.
    pub fn acknowledged_so_far(&self) -> (u64, u64) {
        let seen = self.seen();
        (seen.acknowledged.count(), seen.acknowledged.newest_index())
    }

    /// A number over everything that was committed.
    pub fn digest(&self) -> u64 {
        self.seen().sequence.digest()
    }
}
