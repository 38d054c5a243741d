//! Changes of members, from any node, and the handing over of leadership.

use std::collections::BTreeSet;

use super::calls::LeaderCallError;
use super::{ChangeError, Quorum, TransferError};
use crate::proto::change_request::{Change, Voters};
use crate::proto::{self, peer_request::Body};
use crate::types::NodeId;

impl Quorum {
    /// Adds the node at `address`, which follows without a vote, and waits until it has caught up. The node must have
    /// been started with this cluster's id.
    ///
    /// # Errors
    /// The node is not there or is another one, or the leader refuses.
    pub async fn add_learner(&self, node: NodeId, address: &str) -> Result<(), ChangeError> {
        let cluster = self.cluster_id().ok_or(ChangeError::NoLeader)?;
        let identified = self.identify(&cluster, node, address).await;
        let identified = identified.map_err(|reason| ChangeError::Node { node, reason })?;
        let change = Change::AddLearner(proto::Node {
            node_id: node,
            address: address.to_owned(),
            incarnation: identified.incarnation,
        });
        self.change(change).await
    }

    /// Makes these members the voters, in one step of joint consensus. Voters that are left out follow on, as learners.
    ///
    /// # Errors
    /// One of them is no member, another change is under way, or no majority agrees in time.
    pub async fn set_voters(&self, voters: BTreeSet<NodeId>) -> Result<(), ChangeError> {
        let node_ids = voters.into_iter().collect();
        self.change(Change::SetVoters(Voters { node_ids })).await
    }

    /// Removes a member that has no vote.
    ///
    /// # Errors
    /// It has one, or no majority agrees in time.
    pub async fn remove_learner(&self, node: NodeId) -> Result<(), ChangeError> {
        self.change(Change::RemoveLearner(node)).await
    }

    /// Adds a node and gives it a vote.
    ///
    /// # Errors
    /// See [`Self::add_learner`] and [`Self::set_voters`]. It can be tried again.
    pub async fn add_voter(&self, node: NodeId, address: &str) -> Result<(), ChangeError> {
        self.add_learner(node, address).await?;
        let mut voters = self.voters().await;
        voters.insert(node);
        self.set_voters(voters).await
    }

    /// Takes a node's vote away and removes it, whether it is there or not.
    ///
    /// # Errors
    /// No majority of the voters before and of those after agrees in time. It can be tried again.
    pub async fn remove_voter(&self, node: NodeId) -> Result<(), ChangeError> {
        self.demote_voter(node).await?;
        self.remove_learner(node).await
    }

    /// Takes a node's vote away, if it has one; it follows on.
    ///
    /// # Errors
    /// No majority of the voters before and of those after agrees in time. It can be tried again.
    pub async fn demote_voter(&self, node: NodeId) -> Result<(), ChangeError> {
        let mut voters = self.voters().await;
        match voters.remove(&node) {
            true => self.set_voters(voters).await,
            false => Ok(()),
        }
    }

    /// Puts the node `new` in the place of the voter `old`, which may be lost for ever. They may have the same number:
    /// then it is a machine that comes back with an empty disk, and the node is removed and added in two changes, because
    /// the quorum must not count a disk that has forgotten its votes. In between there is one voter fewer, of which none
    /// is lost, so as many may fail as before.
    ///
    /// # Errors
    /// See [`Self::add_learner`] and [`Self::set_voters`]. It can be tried again.
    pub async fn replace_voter(
        &self,
        old: NodeId,
        new: NodeId,
        address: &str,
    ) -> Result<(), ChangeError> {
        if old == new {
            self.remove_voter(old).await?;
            return self.add_voter(new, address).await;
        }
        self.add_learner(new, address).await?;
        let mut voters = self.voters().await;
        voters.remove(&old);
        voters.insert(new);
        self.set_voters(voters).await?;
        self.remove_learner(old).await
    }

    /// Hands leadership to this voter, or to the one that is furthest, and waits until it has it: before a planned
    /// stop.
    ///
    /// # Errors
    /// There is no leader, or nobody took it.
    pub async fn transfer_leader(&self, to: Option<NodeId>) -> Result<(), TransferError> {
        let change = Change::TransferLeader(to.unwrap_or(0));
        self.call_change(change).await.map_err(|error| match error {
            LeaderCallError::NoLeader => TransferError::NoLeader,
            LeaderCallError::Lost(reason) => TransferError::Refused(reason),
            LeaderCallError::Refused(refused) => TransferError::Refused(refused.message),
        })
    }

    /// The voters, as they are on the leader if it can be asked.
    async fn voters(&self) -> BTreeSet<NodeId> {
        if let Err(error) = self.read_index().await {
            tracing::debug!(%error, "the voters may be old news");
        }
        self.inner.state.borrow().voters.clone()
    }

    async fn call_change(&self, change: Change) -> Result<(), LeaderCallError> {
        let change = Some(change);
        let body = Body::Change(proto::ChangeRequest { change });
        let timeout = self.inner.config.snapshot_timeout;
        self.call_leader(body, timeout, true).await.map(drop)
    }

    async fn change(&self, change: Change) -> Result<(), ChangeError> {
        self.call_change(change).await.map_err(|error| match error {
            LeaderCallError::NoLeader => ChangeError::NoLeader,
            LeaderCallError::Lost(reason) => ChangeError::Refused(reason),
            LeaderCallError::Refused(refused) => ChangeError::Refused(refused.message),
        })
    }
}
