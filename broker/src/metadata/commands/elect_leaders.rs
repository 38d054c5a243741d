//! ElectLeaders (KIP-460), and preferred leaders put back without being asked (rule 6).

use super::partition_change::{
    Election, ElectionDefaults, PartitionChange, TopicRules, change_record,
};
use crate::metadata::{Decision, Image, Partition, image::NO_LEADER, records::Record};
use serde::{Deserialize, Serialize};

/// The kind of election that is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ElectionKind {
    /// The first replica takes over where it is valid.
    Preferred,
    /// Any replica takes over where there is no leader, whatever the topic says.
    Unclean,
}

/// Why no election takes place; each has the Kafka error of its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum ElectLeaderError {
    /// UNKNOWN_TOPIC_OR_PARTITION.
    #[error("this partition is not known")]
    UnknownPartition,
    /// ELECTION_NOT_NEEDED.
    #[error("the leader is already the one that is asked for, or there is a leader")]
    NotNeeded,
    /// PREFERRED_LEADER_NOT_AVAILABLE.
    #[error("the preferred leader is not in sync")]
    PreferredNotAvailable,
    /// ELIGIBLE_LEADERS_NOT_AVAILABLE.
    #[error("no replica is available")]
    NoneAvailable,
}

/// Whether a partition has another leader than the one that is asked for, or none.
pub fn needs_election(partition: &Partition, kind: ElectionKind) -> bool {
    match kind {
        ElectionKind::Preferred => partition.leader != partition.replicas[0],
        ElectionKind::Unclean => partition.leader == NO_LEADER,
    }
}

/// Elects a leader for each of the partitions, named by topic and index. Outcomes are in their order and
/// hold the leader.
pub fn elect_leaders(
    image: &Image,
    kind: ElectionKind,
    partitions: &[(String, i32)],
    defaults: ElectionDefaults,
) -> Decision<Vec<Result<i32, ElectLeaderError>>> {
    let mut working = image.clone();
    let mut records = Vec::new();
    let mut outcome = Vec::with_capacity(partitions.len());
    for (name, index) in partitions {
        let elected = elect(&working, kind, name, *index, defaults);
        outcome.push(elected.map(|(record, leader)| {
            // A partition that is named twice is elected once.
            working = std::mem::take(&mut working).apply(record.clone());
            records.push(record);
            leader
        }));
    }
    Decision { records, outcome }
}

fn elect(
    image: &Image,
    kind: ElectionKind,
    name: &str,
    index: i32,
    defaults: ElectionDefaults,
) -> Result<(Record, i32), ElectLeaderError> {
    let topic = image
        .topic(name)
        .ok_or(ElectLeaderError::UnknownPartition)?;
    let partition = topic
        .partition(index)
        .ok_or(ElectLeaderError::UnknownPartition)?;
    let election = match kind {
        ElectionKind::Preferred => Election::Preferred,
        ElectionKind::Unclean => Election::Unclean,
    };
    if !needs_election(partition, kind) {
        return Err(ElectLeaderError::NotNeeded);
    }
    let mut change = PartitionChange::new(image, TopicRules::of(image, topic, defaults), partition);
    change.election = election;
    let state = change.build();
    let index = usize::try_from(index).expect("the partition was found by it");
    match (kind, state) {
        (ElectionKind::Preferred, Some(state)) if state.leader == state.replicas[0] => {
            let leader = state.leader;
            Ok((change_record(topic, index, state), leader))
        }
        (ElectionKind::Preferred, _) => Err(ElectLeaderError::PreferredNotAvailable),
        (ElectionKind::Unclean, Some(state)) if state.leader != NO_LEADER => {
            let leader = state.leader;
            Ok((change_record(topic, index, state), leader))
        }
        (ElectionKind::Unclean, _) => Err(ElectLeaderError::NoneAvailable),
    }
}

/// Gives leadership back to preferred replicas that are in sync again, for at most `limit` partitions.
/// The outcome is how many changed.
pub fn restore_preferred_leaders(
    image: &Image,
    limit: usize,
    defaults: ElectionDefaults,
) -> Decision<usize> {
    let is_misled =
        |p: &Partition| p.leader != p.replicas[0] && p.in_sync_replicas.contains(&p.replicas[0]);
    let restored = image
        .partitions()
        .filter(|(_, _, partition)| is_misled(partition))
        .filter_map(|(topic, index, partition)| {
            let rules = TopicRules::of(image, topic, defaults);
            let mut change = PartitionChange::new(image, rules, partition);
            change.election = Election::Preferred;
            Some(change_record(topic, index, change.build()?))
        });
    let records: Vec<Record> = restored.take(limit).collect();
    Decision {
        outcome: records.len(),
        records,
    }
}

/// Elects leaders for partitions that have none and could have one, at most `limit` of them. They come from a
/// topic that has opted in to unclean elections since, or from a log that ended within a command. The
/// outcome is how many changed.
pub fn elect_missing_leaders(
    image: &Image,
    limit: usize,
    defaults: ElectionDefaults,
) -> Decision<usize> {
    let leaderless = image
        .partitions()
        .filter(|(_, _, partition)| partition.leader == NO_LEADER);
    let elected = leaderless.filter_map(|(topic, index, partition)| {
        let rules = TopicRules::of(image, topic, defaults);
        let state = PartitionChange::new(image, rules, partition).build()?;
        Some(change_record(topic, index, state))
    });
    let records: Vec<Record> = elected.take(limit).collect();
    Decision {
        outcome: records.len(),
        records,
    }
}
