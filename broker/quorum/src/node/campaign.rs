//! Whether a node may stand for election.
//!
//! A node that has lost its disk is not the member that it was, though it has its number: it has forgotten what it
//! acknowledged. It is removed and added again, as a member with another incarnation, and then given the log from its
//! beginning on. In that log it meets old memberships, in which it had a vote: in those of a cluster that has begun
//! with one node, it was the only one. If it stood for election by one of them, it would elect itself, and its log, of
//! which the newest is missing, would replace that of all others.
//!
//! So a node stands for election only by a membership that names it with the incarnation that its disk has. A node that
//! founds a cluster is elected by [`found`](super::Quorum::found) itself.

use openraft::{Raft, async_runtime::WatchReceiver};

use crate::{
    machine::Machine,
    types::{Membership, NodeId, TypeConfig},
};

/// Lets the node stand for election by the right memberships, until it has stopped.
pub(super) async fn follow_membership(
    raft: Raft<TypeConfig, Machine>,
    node_id: NodeId,
    incarnation: u64,
) {
    let mut metrics = raft.metrics();
    loop {
        let may_stand = {
            let metrics = metrics.borrow_watched();
            let membership = metrics.membership_config.membership();
            is_member(membership, node_id, incarnation)
        };
        raft.runtime_config().elect(may_stand);
        if metrics.changed().await.is_err() {
            return;
        }
    }
}

/// Whether the membership names the node with the disk that it has.
fn is_member(membership: &Membership, node_id: NodeId, incarnation: u64) -> bool {
    let member = membership.get_node(&node_id);
    member.is_some_and(|member| member.incarnation == incarnation)
}
