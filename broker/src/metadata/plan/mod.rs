//! Plans of reassignments: what would balance the cluster, empty a broker, or give topics another replication
//! factor. Nothing is carried out; the moves are what `alter_reassignments` takes.
//!
//! A plan moves one replica at a time in its working copy, and takes the move that helps most. Racks come
//! first: no move puts more replicas of a partition on one rack than it had. Leaders are balanced by
//! the order of replicas alone, which copies nothing.
//!
//! The working copy knows which partitions each broker has, the smallest first, and how far each pair of
//! brokers has been searched, so that a step does not look at all partitions again.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::Image;

mod planner;
mod working_copy;

use planner::Planner;

/// A partition, by topic name and index.
pub type PartitionKey = (Arc<str>, usize);

/// What a plan is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Goal {
    /// Brokers shall have as many replicas, bytes and preferred leaderships as each other.
    Balance,
    /// These brokers shall have no replicas.
    Drain(BTreeSet<i32>),
    /// The partitions of these topics shall have this many replicas, at least one.
    ReplicationFactor {
        /// The topics, by name.
        topics: BTreeSet<String>,
        /// Replicas of each of their partitions.
        factor: usize,
    },
}

/// How much a plan may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Most replicas that are copied to another broker.
    pub max_moves: usize,
    /// Most partitions that get another preferred leader without copying anything.
    pub max_leader_moves: usize,
}

/// The new replicas of one partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedMove {
    /// The topic's name.
    pub topic: Arc<str>,
    /// The partition's index.
    pub index: usize,
    /// Replicas now, the preferred leader first.
    pub from: Vec<i32>,
    /// Replicas afterwards.
    pub to: Vec<i32>,
    /// Bytes to be copied: the partition's size for each replica that is added.
    pub bytes: u64,
}

/// Proposes moves. Partitions that are being reassigned are left alone, as are brokers that are not
/// active. `sizes` says how many bytes a replica of a partition has; what is missing counts as empty.
pub fn plan(
    image: &Image,
    sizes: &BTreeMap<PartitionKey, u64>,
    goal: &Goal,
    bounds: Bounds,
) -> Vec<PlannedMove> {
    let no_brokers = BTreeSet::new();
    let drained = match goal {
        Goal::Balance | Goal::ReplicationFactor { .. } => &no_brokers,
        Goal::Drain(brokers) => brokers,
    };
    let mut planner = Planner::new(image, sizes, drained);
    match goal {
        Goal::Drain(brokers) => planner.drain(brokers, bounds.max_moves),
        Goal::ReplicationFactor { topics, factor } => {
            planner.set_replication_factor(topics, (*factor).max(1), bounds.max_moves);
        }
        Goal::Balance => {
            let left = planner.balance_replicas(bounds.max_moves);
            planner.balance_bytes(left);
            planner.balance_leaders(bounds.max_leader_moves);
        }
    }
    planner.moves()
}

/// How many partitions would not be as the goal wants them after these moves: the bounds were too narrow, there
/// is no broker for a replica, or they are being reassigned. A balance is never short of anything.
pub fn unfinished(image: &Image, goal: &Goal, moves: &[PlannedMove]) -> usize {
    let planned: BTreeMap<(&str, usize), &[i32]> = moves
        .iter()
        .map(|planned| ((planned.topic.as_ref(), planned.index), &planned.to[..]))
        .collect();
    let is_short = |topic: &str, replicas: &[i32]| match goal {
        Goal::Balance => false,
        Goal::Drain(brokers) => replicas.iter().any(|id| brokers.contains(id)),
        Goal::ReplicationFactor { topics, factor } => {
            topics.contains(topic) && replicas.len() != (*factor).max(1)
        }
    };
    let short = image.partitions().filter(|(topic, index, partition)| {
        let replicas = planned.get(&(topic.name.as_ref(), *index)).copied();
        is_short(&topic.name, replicas.unwrap_or(&partition.replicas))
    });
    short.count()
}

#[cfg(test)]
mod tests;
