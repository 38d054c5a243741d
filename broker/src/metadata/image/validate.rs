//! What must hold in every image.

use std::collections::HashSet;

use super::{Image, NO_LEADER, Partition, loads::Loads};

impl Image {
    /// Checks what must hold in every image, at a cost that grows with the number of partitions; used
    /// after replay and in tests. The error says what does not hold.
    pub fn validate(&self) -> Result<(), String> {
        let mut incarnations = HashSet::new();
        let mut partition_count = 0;
        for topic in self.topics.values() {
            let name = &topic.name;
            if self.topic_by_id(&topic.id) != Some(topic) {
                return Err(format!("topic {name} is not found by its id {}", topic.id));
            }
            if topic.partitions.is_empty() {
                return Err(format!("topic {name} has no partitions"));
            }
            partition_count += topic.partitions.len();
            for (index, partition) in topic.partitions.iter().enumerate() {
                let problem = partition_problem(partition, self.next_incarnation);
                if let Some(problem) = problem {
                    return Err(format!("partition {name}-{index}: {problem}"));
                }
                if !incarnations.insert(partition.incarnation) {
                    return Err(format!("partition {name}-{index}: incarnation used twice"));
                }
            }
        }
        if self.topics_by_id.size() != self.topics.size() {
            return Err("there are ids without a topic".to_owned());
        }
        if partition_count != self.partition_count {
            return Err("partitions are miscounted".to_owned());
        }
        let all = self.partitions().map(|(_, _, partition)| partition);
        if self.loads != Loads::default().with(all) {
            return Err("the brokers' loads are miscounted".to_owned());
        }
        let newest = self.brokers().map(|broker| broker.epoch).max();
        if newest.is_some_and(|epoch| epoch >= self.next_broker_epoch) {
            return Err("a broker epoch would be handed out twice".to_owned());
        }
        Ok(())
    }
}

/// What is wrong with a partition by itself.
fn partition_problem(partition: &Partition, next_incarnation: u64) -> Option<&'static str> {
    let Partition {
        replicas,
        in_sync_replicas: in_sync,
        eligible_leader_replicas: eligible,
        leader,
        ..
    } = partition;
    let is_replica = |id: &i32| replicas.contains(id);
    if partition.incarnation >= next_incarnation {
        Some("its incarnation was never handed out")
    } else if replicas.is_empty() || has_repeated(replicas) {
        Some("it has no replicas, or one of them twice")
    } else if !in_sync.iter().all(is_replica) || has_repeated(in_sync) {
        Some("a broker that is not a replica is in sync")
    } else if !eligible.iter().all(is_replica) || has_repeated(eligible) {
        Some("a broker that is not a replica is eligible")
    } else if eligible.iter().any(|id| in_sync.contains(id)) {
        Some("a replica is eligible and in sync at once")
    } else if *leader != NO_LEADER && !in_sync.contains(leader) {
        Some("its leader is not in sync")
    } else if !partition.leader_recovery_state.is_recovered() && in_sync.len() > 1 {
        Some("others are in sync with a leader that recovers")
    } else if !partition.adding_replicas.iter().all(is_replica)
        || !partition.removing_replicas.iter().all(is_replica)
    {
        Some("a broker that is not a replica is being added or removed")
    } else {
        None
    }
}

fn has_repeated(brokers: &[i32]) -> bool {
    let distinct: HashSet<i32> = brokers.iter().copied().collect();
    distinct.len() != brokers.len()
}
