//! What a broker knows of its cluster besides the metadata: the quorum that decides on it. Handlers ask a [`ClusterView`]: [`OnlyBroker`] in a cluster of one broker, [`OneOfSeveral`] in others.

use std::sync::Arc;

use fjord_log::{AppendError, Partition};
use fjord_quorum::{NodeId, Quorum, QuorumMetrics, QuorumState};
use tokio::sync::watch;

use crate::{
    clock::now_ms,
    metadata::store::BoxFuture,
    partition::{METADATA_PARTITION, Partitions},
};

/// The label of the metadata's partition in errors and logs.
const METADATA_LABEL: &str = "__cluster_metadata-0";

/// A member of the quorum, as its leader knows it (KIP-595, KIP-836).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QuorumMember {
    /// The broker.
    pub broker_id: i32,
    /// The offset behind the last entry of its log, as far as the leader knows.
    pub log_end_offset: Option<u64>,
    /// When the leader last heard of it, in milliseconds since 1970; now for the leader itself.
    pub last_fetch_ms: Option<i64>,
    /// The last time at which it had all that the leader then had, in milliseconds since 1970.
    pub last_caught_up_ms: Option<i64>,
}

/// The quorum that decides on the metadata, as its leader sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuorumView {
    /// The broker that leads it.
    pub leader_id: i32,
    /// The leader's term.
    pub leader_epoch: i32,
    /// The offset behind the last entry that is committed.
    pub high_watermark: u64,
    /// The brokers that vote, the leader among them.
    pub voters: Vec<QuorumMember>,
    /// The brokers that follow without a vote.
    pub observers: Vec<QuorumMember>,
}

/// The quorum has no leader now, or none that answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no broker leads the metadata's quorum, or the one that does cannot be reached")]
pub struct NoQuorumLeader;

/// A change of the brokers that are the quorum.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MemberChange {
    /// This broker gets a vote.
    AddVoter(i32),
    /// It has none any more, and follows on.
    RemoveVoter(i32),
    /// It is none of the quorum any more: it has gone for good.
    Forget(i32),
}

/// Why the quorum stays as it is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MemberChangeError {
    /// A cluster of one broker stays one.
    #[error(
        "this broker was started as the only one of its cluster, without controller.quorum.voters: its metadata is in \
         no quorum"
    )]
    OnlyBroker,
    /// It has a vote.
    #[error("broker {0} has a vote already")]
    Votes(i32),
    /// It has none.
    #[error("broker {0} has no vote")]
    NoVoter(i32),
    /// It has one, and shall go.
    #[error("broker {0} has a vote in the metadata's quorum, which has to be taken away first")]
    StillVotes(i32),
    /// It is not there.
    #[error("broker {0} is no member of the metadata's quorum: it becomes one when it starts")]
    NoMember(i32),
    /// Somebody must vote.
    #[error("broker {0} is the last one that has a vote")]
    LastVoter(i32),
    /// The quorum refuses, or does not answer.
    #[error("the metadata's quorum was not changed, or that is not known yet: {0}")]
    Refused(String),
}

/// What handlers ask about the cluster.
pub trait ClusterView: Send + Sync {
    /// The broker that decides on metadata, if this one knows it.
    fn controller(&self) -> Option<i32>;

    /// An offset of the metadata's log up to which the published image has everything. It never becomes smaller.
    fn applied_offset(&self) -> u64;

    /// An offset of the metadata's log up to which this broker knows it to be committed.
    fn committed_offset(&self) -> u64;

    /// Ready when the published image has everything up to this offset of the metadata's log.
    fn reached(&self, offset: u64) -> BoxFuture<()>;

    /// Whether the leader of the quorum was heard of late. If not, others may lead what this broker believes to lead.
    fn is_in_contact(&self) -> bool;

    /// The quorum, as this broker knows it.
    fn quorum(&self) -> BoxFuture<Result<QuorumView, NoQuorumLeader>>;

    /// Whether a broker has a vote, as far as this one knows.
    fn votes(&self, broker_id: i32) -> bool;

    /// Changes who the quorum is. Answered when that is committed.
    fn change_members(&self, change: MemberChange) -> BoxFuture<Result<(), MemberChangeError>>;
}

/// The view of the only broker of a cluster: it is the quorum, and has all partitions.
pub struct OnlyBroker {
    broker_id: i32,
    metadata: Arc<Partition>,
}

impl OnlyBroker {
    /// The view of this broker, whose log has the metadata.
    ///
    /// # Errors
    ///
    /// If the log is closed.
    pub fn new(broker_id: i32, partitions: &Partitions) -> Result<OnlyBroker, AppendError> {
        let log = partitions.log();
        let metadata = log.open_partition(METADATA_PARTITION, METADATA_LABEL, true)?;
        Ok(OnlyBroker {
            broker_id,
            metadata,
        })
    }
}

impl ClusterView for OnlyBroker {
    fn controller(&self) -> Option<i32> {
        Some(self.broker_id)
    }

    fn applied_offset(&self) -> u64 {
        // What is durable is published in the same step, but for the moment in between.
        self.metadata.positions().durable_end
    }

    fn committed_offset(&self) -> u64 {
        self.applied_offset()
    }

    fn reached(&self, _offset: u64) -> BoxFuture<()> {
        // Nobody else has any metadata.
        Box::pin(std::future::ready(()))
    }

    fn is_in_contact(&self) -> bool {
        true
    }

    fn quorum(&self) -> BoxFuture<Result<QuorumView, NoQuorumLeader>> {
        let positions = self.metadata.positions();
        let now_ms = now_ms();
        let this = QuorumMember {
            broker_id: self.broker_id,
            log_end_offset: Some(positions.log_end),
            last_fetch_ms: Some(now_ms),
            last_caught_up_ms: Some(now_ms),
        };
        let view = QuorumView {
            leader_id: self.broker_id,
            leader_epoch: self
                .metadata
                .latest_epoch()
                .map_or(0, |latest| latest.epoch),
            high_watermark: positions.durable_end,
            voters: vec![this],
            observers: Vec::new(),
        };
        Box::pin(async move { Ok(view) })
    }

    fn votes(&self, _broker_id: i32) -> bool {
        // Its own metadata says enough of it.
        false
    }

    fn change_members(&self, _change: MemberChange) -> BoxFuture<Result<(), MemberChangeError>> {
        Box::pin(async { Err(MemberChangeError::OnlyBroker) })
    }
}

/// The view of one of several brokers. How far the members of the quorum are is known to their leader alone.
pub struct OneOfSeveral {
    broker_id: i32,
    quorum: Quorum,
    /// How many changes of the metadata are published.
    changes: watch::Receiver<u64>,
    /// How many are committed, as far as this broker knows.
    committed: watch::Receiver<u64>,
    /// Whether the leader of the quorum is heard.
    contact: watch::Receiver<bool>,
}

impl OneOfSeveral {
    /// The view of a member of this quorum.
    pub fn new(
        broker_id: i32,
        quorum: Quorum,
        changes: watch::Receiver<u64>,
        committed: watch::Receiver<u64>,
        contact: watch::Receiver<bool>,
    ) -> OneOfSeveral {
        OneOfSeveral {
            broker_id,
            quorum,
            changes,
            committed,
            contact,
        }
    }
}

impl ClusterView for OneOfSeveral {
    fn controller(&self) -> Option<i32> {
        self.quorum.watch().borrow().leader.and_then(broker_of)
    }

    fn applied_offset(&self) -> u64 {
        // The image is published before its number.
        *self.changes.borrow()
    }

    fn committed_offset(&self) -> u64 {
        *self.committed.borrow()
    }

    fn reached(&self, offset: u64) -> BoxFuture<()> {
        let mut changes = self.changes.clone();
        Box::pin(async move {
            if changes
                .wait_for(|changes| *changes >= offset)
                .await
                .is_err()
            {
                // Nothing is published any more: the broker stops.
                std::future::pending::<()>().await;
            }
        })
    }

    fn is_in_contact(&self) -> bool {
        *self.contact.borrow()
    }

    fn quorum(&self) -> BoxFuture<Result<QuorumView, NoQuorumLeader>> {
        let state = self.quorum.watch().borrow().clone();
        let view = view(self.broker_id, &state, &self.quorum.metrics(), now_ms());
        Box::pin(async move { view })
    }

    fn votes(&self, broker_id: i32) -> bool {
        let state = self.quorum.watch();
        state.borrow().voters.contains(&node_of(broker_id))
    }

    fn change_members(&self, change: MemberChange) -> BoxFuture<Result<(), MemberChangeError>> {
        let quorum = self.quorum.clone();
        Box::pin(async move {
            let state = quorum.watch().borrow().clone();
            check(change, &state)?;
            let changed = match change {
                MemberChange::AddVoter(id) => {
                    let member = state.members.get(&node_of(id));
                    let address = member.map(|member| member.address.clone());
                    quorum
                        .add_voter(node_of(id), &address.unwrap_or_default())
                        .await
                }
                MemberChange::RemoveVoter(id) => {
                    if state.leader == Some(node_of(id)) {
                        let moved = quorum.transfer_leader(None).await;
                        moved.map_err(|error| MemberChangeError::Refused(error.to_string()))?;
                    }
                    quorum.demote_voter(node_of(id)).await
                }
                MemberChange::Forget(id) => quorum.remove_learner(node_of(id)).await,
            };
            changed.map_err(|error| MemberChangeError::Refused(error.to_string()))
        })
    }
}

/// The quorum as one member of it knows it.
fn view(
    this: i32,
    state: &QuorumState,
    metrics: &QuorumMetrics,
    now_ms: i64,
) -> Result<QuorumView, NoQuorumLeader> {
    let leader_id = state.leader.and_then(broker_of).ok_or(NoQuorumLeader)?;
    // An index is that of an entry, an offset is behind it.
    let behind = |index: Option<u64>| index.map_or(0, |index| index + 1);
    let member = |node: &NodeId| {
        let broker_id = broker_of(*node)?;
        let is_this = broker_id == this;
        let now_ms = Some(now_ms).filter(|_| is_this && leader_id == this);
        let matching = metrics.matching_index.get(node);
        Some(QuorumMember {
            broker_id,
            log_end_offset: match is_this {
                true => Some(behind(metrics.last_log_index)),
                false => matching.map(|index| behind(*index)),
            },
            last_fetch_ms: now_ms,
            last_caught_up_ms: now_ms,
        })
    };
    let observers = state.members.keys();
    let observers = observers.filter(|node| !state.voters.contains(node));
    Ok(QuorumView {
        leader_id,
        leader_epoch: i32::try_from(state.term).unwrap_or(i32::MAX),
        high_watermark: behind(metrics.committed_index),
        voters: state.voters.iter().filter_map(member).collect(),
        observers: observers.filter_map(member).collect(),
    })
}

/// Whether a change makes sense.
fn check(change: MemberChange, state: &QuorumState) -> Result<(), MemberChangeError> {
    use MemberChange::{AddVoter, Forget, RemoveVoter};
    let (AddVoter(id) | RemoveVoter(id) | Forget(id)) = change;
    let (is_member, votes) = (
        state.members.contains_key(&node_of(id)),
        state.voters.contains(&node_of(id)),
    );
    match change {
        AddVoter(_) if votes => Err(MemberChangeError::Votes(id)),
        AddVoter(_) if !is_member => Err(MemberChangeError::NoMember(id)),
        RemoveVoter(_) if !votes => Err(MemberChangeError::NoVoter(id)),
        RemoveVoter(_) if state.voters.len() == 1 => Err(MemberChangeError::LastVoter(id)),
        Forget(_) if votes => Err(MemberChangeError::StillVotes(id)),
        AddVoter(_) | RemoveVoter(_) | Forget(_) => Ok(()),
    }
}

/// The node of the quorum that a broker is; none, for an id that no broker has.
fn node_of(broker_id: i32) -> NodeId {
    NodeId::try_from(broker_id).unwrap_or(NodeId::MAX)
}

/// The broker that a node of the quorum is.
fn broker_of(node: NodeId) -> Option<i32> {
    i32::try_from(node).ok()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn state(leader: Option<NodeId>) -> QuorumState {
        QuorumState {
            term: 5,
            leader,
            voters: [1, 2, 3].into(),
            members: [1, 2, 3, 4].map(|node| (node, Default::default())).into(),
            ..QuorumState::default()
        }
    }

    fn ends(view: &QuorumView) -> Vec<(i32, Option<u64>)> {
        let members = view.voters.iter().chain(&view.observers);
        members.map(|m| (m.broker_id, m.log_end_offset)).collect()
    }

    #[test]
    fn the_leader_knows_how_far_all_are_and_others_only_themselves() {
        let metrics = QuorumMetrics {
            last_log_index: Some(9),
            committed_index: Some(8),
            matching_index: [(1, Some(9)), (2, Some(9)), (3, None), (4, Some(3))].into(),
            ..QuorumMetrics::default()
        };
        let leads = view(1, &state(Some(1)), &metrics, 70).unwrap();
        assert_eq!((leads.leader_id, leads.leader_epoch), (1, 5));
        assert_eq!(leads.high_watermark, 9);
        assert_eq!((leads.voters.len(), leads.observers.len()), (3, 1));
        let all = [(1, Some(10)), (2, Some(10)), (3, Some(0)), (4, Some(4))];
        assert_eq!(ends(&leads), all);
        assert_eq!(leads.voters[0].last_fetch_ms, Some(70));
        assert_eq!(leads.voters[1].last_fetch_ms, None);

        let metrics = QuorumMetrics {
            matching_index: BTreeMap::new(),
            ..metrics
        };
        let follows = view(2, &state(Some(1)), &metrics, 70).unwrap();
        let own = [(1, None), (2, Some(10)), (3, None), (4, None)];
        assert_eq!(ends(&follows), own);
        assert!(follows.voters.iter().all(|m| m.last_fetch_ms.is_none()));
        assert_eq!(view(2, &state(None), &metrics, 70), Err(NoQuorumLeader));
    }

    #[test]
    fn changes_of_members_that_make_no_sense_are_refused() {
        use MemberChange::{AddVoter, Forget, RemoveVoter};
        let of = |change| check(change, &state(Some(1)));
        assert_eq!(of(AddVoter(4)), Ok(()));
        assert_eq!(of(AddVoter(3)), Err(MemberChangeError::Votes(3)));
        assert_eq!(of(AddVoter(5)), Err(MemberChangeError::NoMember(5)));
        assert_eq!(of(AddVoter(-1)), Err(MemberChangeError::NoMember(-1)));
        assert_eq!(of(RemoveVoter(3)), Ok(()));
        assert_eq!(of(RemoveVoter(4)), Err(MemberChangeError::NoVoter(4)));
        assert_eq!(of(Forget(4)), Ok(()));
        assert_eq!(of(Forget(3)), Err(MemberChangeError::StillVotes(3)));
        let alone = QuorumState {
            voters: [1].into(),
            ..state(Some(1))
        };
        let last = check(RemoveVoter(1), &alone);
        assert_eq!(last, Err(MemberChangeError::LastVoter(1)));
    }
}
