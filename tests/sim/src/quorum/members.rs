//! Who votes is changed while everything goes on: for a voter that has lost its disk, and for no reason at all.
//!
//! A quorum can stand that one disk is lost at a time, and not while there are fewer voters than at the beginning. So one
//! change is under way at a time, and a while after it, what is left of it on the way has died with its connection.

use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use fjord_quorum::NodeId;
use tracing::info;

use super::cluster::Cluster;
use super::disk::Disk;
use super::node::{self, Order, UnderWay};

/// Pauses between tries, and after a change until something else is done to the members.
const PAUSE: Duration = Duration::from_secs(1);
const REST: Duration = Duration::from_secs(3);

/// What is being done to the members.
pub struct Members {
    /// So many voters there should be at least.
    least: usize,
    /// The node that has lost its disk and is not replaced yet.
    lost: Option<NodeId>,
    under_way: UnderWay,
    not_before: Duration,
}

impl Members {
    /// Those of the beginning.
    pub fn new(least: usize) -> Self {
        Self {
            least,
            lost: None,
            under_way: Arc::default(),
            not_before: Duration::ZERO,
        }
    }

    fn may_change(&self, now: Duration) -> bool {
        Arc::strong_count(&self.under_way) == 1 && now >= self.not_before
    }
}

impl Cluster<'_> {
    /// A voter loses its disk for ever, unless the quorum could not stand it.
    pub fn lose_a_disk(&mut self) {
        let voters: Vec<NodeId> = self.history.voters().into_iter().collect();
        let now = self.now();
        let members = &mut self.members;
        if members.lost.is_some() || voters.len() < members.least || !members.may_change(now) {
            return;
        }
        let node = self.dice.one_of(&voters);
        info!(node, "disk lost");
        members.lost = Some(node);
        members.not_before = now + PAUSE;
        self.stop(node, Disk::power_fails);
        self.replace_disk(node);
    }

    /// Some other node gets a vote, or one has it taken away.
    pub fn change_members(&mut self) {
        let voters = self.history.voters();
        let now = self.now();
        if voters.is_empty() || self.members.lost.is_some() || !self.members.may_change(now) {
            return;
        }
        let others = self.nodes.keys().filter(|id| !voters.contains(id));
        let others: Vec<NodeId> = others.copied().collect();
        let order = if !others.is_empty() && self.dice.happens(60) {
            let node = self.dice.one_of(&others);
            let under_way = Arc::clone(&self.members.under_way);
            Order::Add(node, node::address(self.nodes[&node].name), under_way)
        } else if voters.len() > self.members.least {
            let voters: Vec<NodeId> = voters.into_iter().collect();
            let under_way = Arc::clone(&self.members.under_way);
            Order::Remove(self.dice.one_of(&voters), under_way)
        } else {
            return;
        };
        self.members.not_before = now + REST;
        if let Some(asked) = self.some_voter_but(None) {
            self.order(asked, order);
        }
    }

    /// A voter that runs: whoever is no member knows no leader.
    fn some_voter_but(&self, other: Option<NodeId>) -> Option<NodeId> {
        let mut up = self.up();
        let voters = self.history.voters();
        up.retain(|id| voters.contains(id) && Some(*id) != other);
        (!up.is_empty()).then(|| self.dice.one_of(&up))
    }

    /// The node that should be replaced: it has lost its disk, or is no voter any more because replacing it was
    /// interrupted.
    pub fn missing(&self) -> Option<NodeId> {
        let voters = self.history.voters();
        let are_too_few = !voters.is_empty() && voters.len() < self.members.least;
        let mut others = self.nodes.keys().filter(|id| !voters.contains(id));
        let other = others.next().copied().filter(|_| are_too_few);
        self.members.lost.or(other)
    }

    /// Has the node that is missing replaced, by any other one.
    pub fn restore_members(&mut self) {
        let now = self.now();
        if self.members.under_way.swap(false, SeqCst) {
            self.members.lost = None;
            self.members.not_before = now + REST;
        }
        let Some(missing) = self.missing() else {
            return;
        };
        if !self.members.may_change(now) {
            return;
        }
        let Some(asked) = self.some_voter_but(Some(missing)) else {
            return;
        };
        self.members.not_before = now + PAUSE;
        let address = node::address(self.nodes[&missing].name);
        let under_way = Arc::clone(&self.members.under_way);
        let order = Order::Replace(missing, address, under_way);
        self.order(asked, order);
    }
}
