//! Commands: what clients and brokers ask of the metadata, one file per command.
//!
//! Each is a pure function of an image and a request. It yields the records that carry the change out,
//! if any, and the outcome for the caller, which is told once the records are durable. Errors are per
//! topic or resource, so that one of them never fails the others of its request. The messages are those
//! of Kafka's controller, since clients show them to people.

mod alter_configs;
mod cluster;
mod create_partitions;
mod create_topics;
mod delete_topics;
mod internal_topic;
mod producer_ids;

#[cfg(test)]
mod random_tests;
#[cfg(test)]
pub(crate) mod testing;

use super::{Image, image::NO_LEADER, placement::Candidate, records::PartitionRecord};

pub use alter_configs::{
    AlterConfigsError, Alteration, ConfigOperation, ConfigResource, MAX_CONFIG_VALUE_BYTES,
    ResourceAlteration, alter_configs,
};
pub use cluster::{RegisterBroker, ensure_cluster_id, register_broker};
pub use create_partitions::{CreatePartitionsError, NewPartitions, create_partitions};
pub use create_topics::{
    CreateTopicError, CreatedTopic, CreationDefaults, NewTopic, create_topics,
};
pub use delete_topics::{UnknownTopicId, delete_topics};
pub use internal_topic::{InternalTopic, InternalTopicError, ensure_internal_topic};
pub use producer_ids::{PRODUCER_ID_BLOCK_SIZE, ProducerIdsExhausted, allocate_producer_ids};

/// Most partitions that one request creates, over all of its topics; Kafka's bound.
pub const MAX_PARTITIONS_PER_REQUEST: usize = 10_000;

/// Most partitions of one topic. A topic is one record, which this keeps in the range of a megabyte.
pub const MAX_PARTITIONS_PER_TOPIC: usize = 10_000;

/// A request that creates more than [`MAX_PARTITIONS_PER_REQUEST`] partitions; all of it is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("Excessively large number of partitions per request.")]
pub struct TooManyPartitions;

/// A manual replica assignment that cannot be; the messages are Kafka's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AssignmentError {
    /// A partition without replicas.
    #[error("The manual partition assignment includes an empty replica list.")]
    Empty,
    /// A replica on a broker that is not registered.
    #[error(
        "The manual partition assignment includes broker {0}, but no such broker is registered."
    )]
    UnknownBroker(i32),
    /// Two replicas of a partition on the same broker.
    #[error("The manual partition assignment includes the broker {0} more than once.")]
    RepeatedBroker(i32),
    /// Partitions of one topic with different numbers of replicas.
    #[error(
        "The manual partition assignment includes a partition with {found} replica(s), but this is \
         not consistent with previous partitions, which have {expected} replica(s)."
    )]
    Inconsistent {
        /// Replicas of this partition.
        found: usize,
        /// Replicas of the partitions before it.
        expected: usize,
    },
    /// The same partition index twice.
    #[error("Found multiple manual partition assignments for partition {0}")]
    RepeatedPartition(i32),
    /// Indexes that are not 0, 1, 2 and so on.
    #[error("partitions should be a consecutive 0-based integer sequence")]
    Gaps,
    /// More or fewer assignments than partitions are added.
    #[error(
        "Attempted to add {additional} additional partition(s), but only {assignments} \
         assignment(s) were specified."
    )]
    Count {
        /// Partitions to add.
        additional: usize,
        /// Assignments given.
        assignments: usize,
    },
}

/// Checks one partition's manual assignment.
fn check_assignment(
    image: &Image,
    brokers: &[i32],
    expected_count: Option<usize>,
) -> Result<(), AssignmentError> {
    if brokers.is_empty() {
        return Err(AssignmentError::Empty);
    }
    let mut sorted = brokers.to_vec();
    sorted.sort_unstable();
    for (place, id) in sorted.iter().enumerate() {
        if image.broker(*id).is_none() {
            return Err(AssignmentError::UnknownBroker(*id));
        }
        if place > 0 && sorted[place - 1] == *id {
            return Err(AssignmentError::RepeatedBroker(*id));
        }
    }
    match expected_count {
        Some(expected) if expected != brokers.len() => Err(AssignmentError::Inconsistent {
            found: brokers.len(),
            expected,
        }),
        _ => Ok(()),
    }
}

/// The registered brokers as the placement sees them.
fn candidates(image: &Image) -> Vec<Candidate> {
    let candidate = |broker: &std::sync::Arc<super::Broker>| Candidate {
        broker_id: broker.broker_id,
        rack: broker.rack.clone(),
    };
    image.brokers().map(candidate).collect()
}

/// New partitions on the given brokers, with incarnations from `next_incarnation` on.
fn new_partitions(placements: Vec<Vec<i32>>, next_incarnation: u64) -> Vec<PartitionRecord> {
    let partition = |(replicas, incarnation): (Vec<i32>, u64)| PartitionRecord {
        incarnation,
        in_sync_replicas: replicas.clone(),
        leader: replicas.first().copied().unwrap_or(NO_LEADER),
        replicas,
        leader_epoch: 0,
        partition_epoch: 0,
    };
    placements
        .into_iter()
        .zip(next_incarnation..)
        .map(partition)
        .collect()
}

/// `count` as the position that many incarnations further on.
fn advance_incarnation(next: u64, count: usize) -> u64 {
    let count = u64::try_from(count).expect("a usize fits in 64 bits");
    next.checked_add(count)
        .expect("2^64 partitions are never created")
}
