//! Commands: what clients and brokers ask of the metadata, one file per command.
//!
//! Each is a pure function of an image and a request. It yields the records that carry the change out,
//! if any, and the outcome for the caller, which is told once the records are durable. Errors are per
//! topic or resource, so that one of them never fails the others of its request. The messages are those
//! of Kafka's controller, since clients show them to people.
//!
//! A command never looks at a clock, at chance or at a config of the broker that runs it. Ids come with the
//! request; what only the deciding broker knows comes as [`Conditions`]. So the same command on the same
//! image gives the same records anywhere, and a log that ends after any of them holds valid metadata.
//!
//! Each has a struct of its own, a [`Request`], whose outcome has a type; handlers hand these to
//! [`MetadataStore::submit`](super::MetadataStore::submit). [`Command`] is any of them, and [`Answer`] the
//! outcome of any of them; both have bytes, for the way to the broker that decides, and [`execute`] is
//! all that it does with them.

mod alter_configs;
mod alter_partition;
mod broker_life;
mod cluster;
mod command;
mod controlled_shutdown;
mod create_partitions;
mod create_topics;
mod delete_topics;
mod elect_leaders;
mod fence_broker;
mod internal_topic;
mod partition_change;
mod producer_ids;
mod reassign_partitions;
mod register_broker;
mod requests;
mod unfence_broker;
mod unregister_broker;
mod update_features;

#[cfg(test)]
mod random_tests;
#[cfg(test)]
mod several_brokers_random_tests;
#[cfg(test)]
mod several_brokers_tests;
#[cfg(test)]
pub(crate) mod testing;

use serde::{Deserialize, Serialize};
use std::sync::Arc;

use super::{
    Image,
    image::NO_LEADER,
    placement::Candidate,
    records::{LeaderRecoveryState, PartitionRecord},
};

pub use alter_configs::{
    AlterConfigsError, Alteration, ConfigOperation, ConfigResource, MAX_CONFIG_VALUE_BYTES,
    ResourceAlteration, alter_configs,
};
pub use alter_partition::{
    AlterPartitionError, AlteredPartition, PartitionAlteration, alter_partitions,
};
pub use broker_life::BrokerLifeError;
pub use cluster::{RegisterBroker, ensure_cluster_id, register_broker};
pub use command::{Answer, COMMAND_VERSION, Command, CommandDecodeError, execute};
pub use controlled_shutdown::{begin_controlled_shutdown, finish_controlled_shutdown};
pub use create_partitions::{CreatePartitionsError, NewPartitions, create_partitions};
pub use create_topics::{
    CreateTopicError, CreatedTopic, CreationDefaults, NewTopic, create_topics,
};
pub use delete_topics::{UnknownTopicId, delete_topics};
pub use elect_leaders::{
    ElectLeaderError, ElectionKind, elect_leaders, elect_missing_leaders, needs_election,
    restore_preferred_leaders,
};
pub use fence_broker::fence_broker;
pub use internal_topic::{InternalTopic, InternalTopicError, ensure_internal_topic};
pub use partition_change::{ElectionDefaults, min_in_sync_replicas};
pub use producer_ids::{PRODUCER_ID_BLOCK_SIZE, ProducerIdsExhausted, allocate_producer_ids};
pub use reassign_partitions::{
    Reassignment, ReassignmentError, alter_reassignments, list_reassignments,
};
pub use register_broker::{Registration, RegistrationError, register};
pub use requests::{
    AllocateProducerIds, AlterConfigs, AlterPartitions, AlterReassignments,
    BeginControlledShutdown, Conditions, CreatePartitions, CreateTopics, Decide, DeleteTopics,
    ElectLeaders, ElectMissingLeaders, EnsureClusterId, EnsureInternalTopic, FenceBroker,
    FinishControlledShutdown, Register, RegisterOnlyBroker, Request, RestorePreferredLeaders,
    UnfenceBroker, UnregisterBroker, UpdateFeatures,
};
pub use unfence_broker::unfence_broker;
pub use unregister_broker::unregister_broker;
pub use update_features::{
    FJORD_VERSION, FeatureUpdate, NEWEST_FJORD_VERSION, SEVERAL_BROKERS, UpdateFeatureError,
    supported_features, update_features,
};

/// Most partitions that one request creates, over all of its topics; Kafka's bound.
pub const MAX_PARTITIONS_PER_REQUEST: usize = 10_000;

/// Most partitions of one topic. A topic is one record, which this keeps in the range of a megabyte.
pub const MAX_PARTITIONS_PER_TOPIC: usize = 10_000;

/// A request that creates more than [`MAX_PARTITIONS_PER_REQUEST`] partitions; all of it is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[error("Excessively large number of partitions per request.")]
pub struct TooManyPartitions;

/// A manual replica assignment that cannot be; the messages are Kafka's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
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
    /// No replica that could lead.
    #[error(
        "All brokers specified in the manual partition assignment are fenced or in controlled shutdown."
    )]
    NoneActive,
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

/// The registered brokers as the placement sees them, without those that are shutting down or cordoned.
fn candidates(image: &Image) -> Vec<Candidate> {
    let candidate = |broker: &Arc<super::Broker>| {
        let load = image.load(broker.broker_id);
        Candidate {
            broker_id: broker.broker_id,
            rack: broker.rack.clone(),
            is_fenced: broker.fenced,
            replica_count: load.replicas,
            leader_count: load.preferred_leaders,
        }
    };
    let is_taken = |broker: &&Arc<super::Broker>| {
        !broker.in_controlled_shutdown && !image.is_cordoned(broker.broker_id)
    };
    image.brokers().filter(is_taken).map(candidate).collect()
}

/// Checks that a manual assignment has a broker that can lead from the start.
fn check_some_active(image: &Image, brokers: &[i32]) -> Result<(), AssignmentError> {
    let is_active = |id: &i32| image.broker(*id).is_some_and(|broker| broker.is_active());
    match brokers.iter().any(is_active) {
        true => Ok(()),
        false => Err(AssignmentError::NoneActive),
    }
}

/// New partitions on the given brokers, with incarnations from `next_incarnation` on. Only active
/// brokers are in sync from the start; each partition has one of them.
fn new_partitions(
    image: &Image,
    placements: Vec<Vec<i32>>,
    next_incarnation: u64,
) -> Vec<PartitionRecord> {
    let is_active = |id: &i32| image.broker(*id).is_some_and(|broker| broker.is_active());
    let partition = |(replicas, incarnation): (Vec<i32>, u64)| {
        let in_sync_replicas: Vec<i32> = replicas.iter().copied().filter(is_active).collect();
        PartitionRecord {
            incarnation,
            leader: in_sync_replicas.first().copied().unwrap_or(NO_LEADER),
            in_sync_replicas,
            replicas,
            leader_epoch: 0,
            partition_epoch: 0,
            eligible_leader_replicas: Vec::new(),
            last_known_eligible_leader_replicas: Vec::new(),
            last_known_leader: NO_LEADER,
            leader_recovery_state: LeaderRecoveryState::Recovered,
            adding_replicas: Vec::new(),
            removing_replicas: Vec::new(),
        }
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
