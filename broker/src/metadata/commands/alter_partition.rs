//! AlterPartition: a leader changes its in-sync replicas (rules 4 and 5).

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{
    broker_life::{BrokerLifeError, registered},
    partition_change::{ElectionDefaults, PartitionChange, TopicRules, change_record},
};
use crate::metadata::{Decision, Image, Partition, Topic, records::LeaderRecoveryState};

/// What a leader asks for one of its partitions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartitionAlteration {
    /// The topic.
    pub topic_id: Uuid,
    /// The partition's index.
    pub index: i32,
    /// The leader epoch that the sender knows.
    pub leader_epoch: i32,
    /// The partition epoch that the sender knows.
    pub partition_epoch: i32,
    /// The new in-sync replicas, with the broker epochs under which they caught up (KIP-903).
    pub in_sync_replicas: Vec<(i32, i64)>,
    /// Whether the leader has recovered from an unclean election.
    pub leader_recovery_state: LeaderRecoveryState,
}

/// Why a partition stays as it is; each has the Kafka error of its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum AlterPartitionError {
    /// UNKNOWN_TOPIC_ID: there is no such topic.
    #[error("this topic id is not known")]
    UnknownTopicId,
    /// UNKNOWN_TOPIC_OR_PARTITION: the topic has no such partition.
    #[error("this partition is not known")]
    UnknownPartition,
    /// NOT_CONTROLLER: the sender knows more than this image.
    #[error("the sender knows newer metadata than this")]
    NewerEpoch,
    /// FENCED_LEADER_EPOCH: there has been an election since.
    #[error("there has been another election")]
    FencedLeaderEpoch,
    /// INVALID_REQUEST: the sender does not lead the partition.
    #[error("the sender is not the leader")]
    NotLeader,
    /// INVALID_UPDATE_VERSION: the partition has changed since.
    #[error("the partition has changed meanwhile")]
    InvalidUpdateVersion,
    /// INVALID_REQUEST: not replicas of the partition, repeated, without the leader, or more than the
    /// leader while it recovers.
    #[error("the in-sync replicas are not possible")]
    InvalidInSyncReplicas,
    /// INVALID_REQUEST: a leader that has recovered does not begin to recover.
    #[error("a recovered leader cannot go back to recovering")]
    RecoveryState,
    /// INELIGIBLE_REPLICA: fenced, not registered, shutting down, or registered anew since.
    #[error("broker {0} may not be in sync")]
    IneligibleReplica(i32),
}

/// The result for one partition: its state afterwards.
pub type AlteredPartition = Result<Partition, AlterPartitionError>;

/// Carries out what can be carried out. Outcomes are in the order of the alterations. A reassignment
/// that is complete with this ends here, and may give the partition another leader.
pub fn alter_partitions(
    image: &Image,
    sender: i32,
    sender_epoch: i64,
    alterations: &[PartitionAlteration],
    defaults: ElectionDefaults,
) -> Result<Decision<Vec<AlteredPartition>>, BrokerLifeError> {
    registered(image, sender, sender_epoch)?;
    let mut working = image.clone();
    let mut records = Vec::new();
    let mut outcome = Vec::with_capacity(alterations.len());
    for alteration in alterations {
        let result = alter_one(&working, sender, alteration, defaults);
        outcome.push(result.map(|(record, state)| {
            if let Some(record) = record {
                working = std::mem::take(&mut working).apply(record.clone());
                records.push(record);
            }
            state
        }));
    }
    Ok(Decision { records, outcome })
}

fn alter_one(
    image: &Image,
    sender: i32,
    alteration: &PartitionAlteration,
    defaults: ElectionDefaults,
) -> Result<(Option<crate::metadata::records::Record>, Partition), AlterPartitionError> {
    let topic = image
        .topic_by_id(&alteration.topic_id)
        .ok_or(AlterPartitionError::UnknownTopicId)?;
    let partition = topic
        .partition(alteration.index)
        .ok_or(AlterPartitionError::UnknownPartition)?;
    check(image, partition, sender, alteration)?;
    let mut change = PartitionChange::new(image, TopicRules::of(image, topic, defaults), partition);
    let ids = alteration.in_sync_replicas.iter().map(|(id, _)| *id);
    change.wanted.in_sync_replicas = ids.collect();
    change.wanted.leader_recovery_state = alteration.leader_recovery_state;
    Ok(match change.build() {
        Some(state) => (Some(record(topic, alteration.index, &state)), state),
        None => (None, partition.clone()),
    })
}

fn record(topic: &Topic, index: i32, state: &Partition) -> crate::metadata::records::Record {
    let index = usize::try_from(index).expect("the partition was found by it");
    change_record(topic, index, state.clone())
}

/// The checks of rule 5, in its order.
fn check(
    image: &Image,
    partition: &Partition,
    sender: i32,
    alteration: &PartitionAlteration,
) -> Result<(), AlterPartitionError> {
    use AlterPartitionError as Error;
    if alteration.leader_epoch > partition.leader_epoch
        || alteration.partition_epoch > partition.partition_epoch
    {
        return Err(Error::NewerEpoch);
    }
    if alteration.leader_epoch < partition.leader_epoch {
        return Err(Error::FencedLeaderEpoch);
    }
    if sender != partition.leader {
        return Err(Error::NotLeader);
    }
    if alteration.partition_epoch < partition.partition_epoch {
        return Err(Error::InvalidUpdateVersion);
    }
    let ids: Vec<i32> = alteration
        .in_sync_replicas
        .iter()
        .map(|(id, _)| *id)
        .collect();
    let mut sorted = ids.clone();
    sorted.sort_unstable();
    let is_repeated = sorted.windows(2).any(|pair| pair[0] == pair[1]);
    let are_replicas = ids.iter().all(|id| partition.replicas.contains(id));
    if is_repeated || !are_replicas || !ids.contains(&sender) {
        return Err(Error::InvalidInSyncReplicas);
    }
    let recovers = alteration.leader_recovery_state == LeaderRecoveryState::Recovering;
    if recovers && ids.len() > 1 {
        return Err(Error::InvalidInSyncReplicas);
    }
    if recovers && partition.leader_recovery_state.is_recovered() {
        return Err(Error::RecoveryState);
    }
    let is_ineligible = |(id, epoch): &&(i32, i64)| {
        let broker = image.broker(*id);
        !broker.is_some_and(|broker| broker.is_active() && broker.epoch == *epoch)
    };
    match alteration.in_sync_replicas.iter().find(is_ineligible) {
        Some((id, _)) => Err(Error::IneligibleReplica(*id)),
        None => Ok(()),
    }
}
