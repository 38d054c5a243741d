//! AlterPartitionReassignments and ListPartitionReassignments (KIP-455).

use super::{
    AssignmentError, check_assignment,
    partition_change::{ElectionDefaults, PartitionChange, TopicRules, change_record},
};
use crate::metadata::{
    Decision, Image, Partition,
    records::{Record, without},
};
use serde::{Deserialize, Serialize};

/// Where a partition's replicas shall be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reassignment {
    /// The topic.
    pub topic: String,
    /// The partition's index.
    pub index: i32,
    /// The replicas, the preferred leader first; `None` cancels the reassignment that is going on.
    pub replicas: Option<Vec<i32>>,
}

/// Why a partition is not reassigned.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum ReassignmentError {
    /// UNKNOWN_TOPIC_OR_PARTITION.
    #[error("this partition is not known")]
    UnknownPartition,
    /// NO_REASSIGNMENT_IN_PROGRESS: there is nothing to cancel.
    #[error("No partition reassignment is in progress.")]
    NotInProgress,
    /// INVALID_REPLICA_ASSIGNMENT: the replicas are not possible.
    #[error(transparent)]
    Assignment(#[from] AssignmentError),
    /// INVALID_REPLICATION_FACTOR: the number of replicas would change, which the request forbids.
    #[error("The replication factor is changed from {from} to {to}")]
    ReplicationFactor {
        /// Replicas now.
        from: usize,
        /// Replicas asked for.
        to: usize,
    },
    /// INVALID_REPLICA_ASSIGNMENT: none of the replicas that would stay has the records.
    #[error("no replica that would remain is in sync")]
    NothingInSync,
}

/// Begins, replaces or cancels reassignments. Outcomes are in the order of the requests.
pub fn alter_reassignments(
    image: &Image,
    reassignments: &[Reassignment],
    may_change_replication_factor: bool,
    defaults: ElectionDefaults,
) -> Decision<Vec<Result<(), ReassignmentError>>> {
    let mut working = image.clone();
    let mut records = Vec::new();
    let mut outcome = Vec::with_capacity(reassignments.len());
    for request in reassignments {
        let altered = alter_one(&working, request, may_change_replication_factor, defaults);
        outcome.push(altered.map(|record| {
            if let Some(record) = record {
                working = std::mem::take(&mut working).apply(record.clone());
                records.push(record);
            }
        }));
    }
    Decision { records, outcome }
}

fn alter_one(
    image: &Image,
    request: &Reassignment,
    may_change_replication_factor: bool,
    defaults: ElectionDefaults,
) -> Result<Option<Record>, ReassignmentError> {
    let topic = image
        .topic(&request.topic)
        .ok_or(ReassignmentError::UnknownPartition)?;
    let partition = topic
        .partition(request.index)
        .ok_or(ReassignmentError::UnknownPartition)?;
    let original = partition.original_replicas();
    let target = match &request.replicas {
        None if !partition.is_reassigned() => return Err(ReassignmentError::NotInProgress),
        None => original.clone(),
        Some(target) => {
            check_assignment(image, target, None)?;
            target.clone()
        }
    };
    let is_forbidden = request.replicas.is_some() && !may_change_replication_factor;
    if is_forbidden && target.len() != original.len() {
        return Err(ReassignmentError::ReplicationFactor {
            from: original.len(),
            to: target.len(),
        });
    }
    let removing = without(&original, &target);
    let mut replicas = target.clone();
    replicas.extend(&removing);
    refuse_to_lose(partition, &replicas)?;
    let mut change = PartitionChange::new(image, TopicRules::of(image, topic, defaults), partition);
    change.wanted.adding_replicas = without(&target, &original);
    change.wanted.removing_replicas = removing;
    change.wanted.replicas = replicas;
    let index = usize::try_from(request.index).expect("the partition was found by it");
    Ok(change
        .build()
        .map(|state| change_record(topic, index, state)))
}

/// Replicas of an earlier reassignment are dropped at once, but not the last that have the records.
fn refuse_to_lose(partition: &Partition, replicas: &[i32]) -> Result<(), ReassignmentError> {
    let in_sync = &partition.in_sync_replicas;
    let eligible = &partition.eligible_leader_replicas;
    let have_records = match in_sync.is_empty() {
        true => eligible,
        false => in_sync,
    };
    match have_records.is_empty() || have_records.iter().any(|id| replicas.contains(id)) {
        true => Ok(()),
        false => Err(ReassignmentError::NothingInSync),
    }
}

/// The partitions that are being reassigned, by topic and index.
pub fn list_reassignments(image: &Image) -> impl Iterator<Item = (&str, usize, &Partition)> {
    image
        .partitions()
        .filter(|(_, _, partition)| partition.is_reassigned())
        .map(|(topic, index, partition)| (topic.name.as_ref(), index, partition.as_ref()))
}
