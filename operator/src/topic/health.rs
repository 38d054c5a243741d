//! How well the partitions of a topic are: how many are not, and the worst few of them.

use fjord_client::proto::DescribedPartition;

use crate::api::topic::PartitionHealth;

/// How many unhealthy partitions the status of a topic names.
const WORST: usize = 5;

/// How well the partitions of a topic are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Health {
    /// How many have no leader, or replicas that are not in sync.
    pub unhealthy: i32,
    /// How many have no leader.
    pub offline: i32,
    /// The worst few.
    pub worst: Vec<PartitionHealth>,
}

impl Health {
    /// What the brokers say of the partitions.
    #[must_use]
    pub fn of(partitions: &[DescribedPartition]) -> Self {
        let lost = |partition: &DescribedPartition| {
            let (all, in_sync) = (&partition.replicas, &partition.in_sync_replicas);
            all.len().saturating_sub(in_sync.len())
        };
        let mut unhealthy: Vec<&DescribedPartition> = partitions
            .iter()
            .filter(|partition| partition.leader < 0 || lost(partition) > 0)
            .collect();
        let offline = unhealthy.iter().filter(|p| p.leader < 0).count();
        unhealthy.sort_by_key(|p| (p.leader >= 0, p.in_sync_replicas.len(), p.partition));
        let count = |count: usize| i32::try_from(count).unwrap_or(i32::MAX);
        Self {
            unhealthy: count(unhealthy.len()),
            offline: count(offline),
            worst: unhealthy
                .into_iter()
                .take(WORST)
                .map(|partition| PartitionHealth {
                    partition: partition.partition,
                    leader: partition.leader,
                    replicas: partition.replicas.clone(),
                    in_sync_replicas: partition.in_sync_replicas.clone(),
                })
                .collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn partition(partition: i32, leader: i32, in_sync_replicas: &[i32]) -> DescribedPartition {
        DescribedPartition {
            partition,
            leader,
            replicas: vec![0, 1, 2],
            in_sync_replicas: in_sync_replicas.to_vec(),
            ..DescribedPartition::default()
        }
    }

    #[test]
    fn the_worst_few_come_first() {
        let mut partitions: Vec<_> = (0..10).map(|n| partition(n, 0, &[0, 1])).collect();
        partitions.push(partition(10, 1, &[1]));
        partitions.push(partition(11, -1, &[2]));
        partitions.push(partition(12, 0, &[0, 1, 2]));
        let health = Health::of(&partitions);
        assert_eq!((health.unhealthy, health.offline), (12, 1));
        let worst: Vec<i32> = health.worst.iter().map(|p| p.partition).collect();
        assert_eq!(worst, [11, 10, 0, 1, 2]);
    }

    #[test]
    fn a_topic_that_is_well_has_nothing_to_tell() {
        assert_eq!(
            Health::of(&[partition(0, 2, &[2, 1, 0])]),
            Health::default()
        );
    }
}
