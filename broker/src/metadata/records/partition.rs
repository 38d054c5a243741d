//! `partition/<incarnation>`: the state of one partition, written whenever it changes after its topic
//! was created. The key is the incarnation, which no other partition ever has, so that a topic that is
//! created again under its name does not meet what was written for its predecessor.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::Body;

/// The state of a partition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartitionRecord {
    /// Names the partition's data in the log. Unique for ever, and never used again.
    pub incarnation: u64,
    /// The brokers that hold the partition, the preferred leader first. While it is reassigned, these
    /// are those of the target, followed by those that it leaves.
    pub replicas: Vec<i32>,
    /// Those of them that are in sync with the leader.
    pub in_sync_replicas: Vec<i32>,
    /// The leading broker, or -1 while there is none.
    pub leader: i32,
    /// Grows with each change of the leader, also to none.
    pub leader_epoch: i32,
    /// Grows with each change of this record.
    pub partition_epoch: i32,
    /// Replicas that left the in-sync replicas while these were fewer than `min.insync.replicas`, so
    /// that they have everything below the high watermark (KIP-966).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub eligible_leader_replicas: Vec<i32>,
    /// Replicas that would be eligible, had they not stopped uncleanly (KIP-966).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub last_known_eligible_leader_replicas: Vec<i32>,
    /// While there is no leader, the broker that was the last one; else -1.
    #[serde(default = "no_broker", skip_serializing_if = "is_no_broker")]
    pub last_known_leader: i32,
    /// Whether the leader was elected cleanly.
    #[serde(default, skip_serializing_if = "LeaderRecoveryState::is_recovered")]
    pub leader_recovery_state: LeaderRecoveryState,
    /// Replicas that a reassignment adds (KIP-455).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub adding_replicas: Vec<i32>,
    /// Replicas that a reassignment removes once the added ones are in sync (KIP-455).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub removing_replicas: Vec<i32>,
}

/// Whether the leader was elected cleanly (KIP-704).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum LeaderRecoveryState {
    /// It was, or has recovered since.
    #[default]
    Recovered,
    /// It may lack records that were acknowledged, and has not yet said that it is done with what it
    /// does about that. It stays alone in the in-sync replicas until then.
    Recovering,
}

/// A partition after a change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartitionChangeRecord {
    /// The topic that it belongs to.
    pub topic_id: Uuid,
    /// Its index there.
    pub index: u32,
    /// Its state.
    #[serde(with = "short")]
    pub state: PartitionRecord,
}

/// The state of a changed partition as a list, since a broker that fails changes thousands at once: less
/// than half of what the names of the fields would make of it.
mod short {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::{LeaderRecoveryState, PartitionRecord, is_no_broker, no_broker};

    /// Incarnation, replicas, in-sync replicas, leader, leader epoch, partition epoch, and the rest.
    type State<Brokers, Rest> = (u64, Brokers, Brokers, i32, i32, i32, Rest);

    /// What most partitions have nothing of.
    #[derive(Serialize, Deserialize)]
    struct Rest {
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        eligible_leader_replicas: Vec<i32>,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        last_known_eligible_leader_replicas: Vec<i32>,
        #[serde(default = "no_broker", skip_serializing_if = "is_no_broker")]
        last_known_leader: i32,
        #[serde(default, skip_serializing_if = "LeaderRecoveryState::is_recovered")]
        leader_recovery_state: LeaderRecoveryState,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        adding_replicas: Vec<i32>,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        removing_replicas: Vec<i32>,
    }

    pub fn serialize<S: Serializer>(state: &PartitionRecord, to: S) -> Result<S::Ok, S::Error> {
        let rest = Rest {
            eligible_leader_replicas: state.eligible_leader_replicas.clone(),
            last_known_eligible_leader_replicas: state.last_known_eligible_leader_replicas.clone(),
            last_known_leader: state.last_known_leader,
            leader_recovery_state: state.leader_recovery_state,
            adding_replicas: state.adding_replicas.clone(),
            removing_replicas: state.removing_replicas.clone(),
        };
        let list: State<&[i32], Rest> = (
            state.incarnation,
            &state.replicas,
            &state.in_sync_replicas,
            state.leader,
            state.leader_epoch,
            state.partition_epoch,
            rest,
        );
        list.serialize(to)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<PartitionRecord, D::Error> {
        let list = State::<Vec<i32>, Rest>::deserialize(from)?;
        let (incarnation, replicas, in_sync_replicas, leader, leader_epoch, partition_epoch, rest) =
            list;
        Ok(PartitionRecord {
            incarnation,
            replicas,
            in_sync_replicas,
            leader,
            leader_epoch,
            partition_epoch,
            eligible_leader_replicas: rest.eligible_leader_replicas,
            last_known_eligible_leader_replicas: rest.last_known_eligible_leader_replicas,
            last_known_leader: rest.last_known_leader,
            leader_recovery_state: rest.leader_recovery_state,
            adding_replicas: rest.adding_replicas,
            removing_replicas: rest.removing_replicas,
        })
    }
}

impl PartitionRecord {
    /// Whether replicas are being added or removed.
    pub fn is_reassigned(&self) -> bool {
        !self.adding_replicas.is_empty() || !self.removing_replicas.is_empty()
    }

    /// The replicas that it has once no reassignment is going on any more.
    pub fn target_replicas(&self) -> Vec<i32> {
        without(&self.replicas, &self.removing_replicas)
    }

    /// The replicas that it had before the reassignment that is going on.
    pub fn original_replicas(&self) -> Vec<i32> {
        without(&self.replicas, &self.adding_replicas)
    }
}

/// `brokers` without `others`.
pub(in crate::metadata) fn without(brokers: &[i32], others: &[i32]) -> Vec<i32> {
    let stays = |id: &i32| !others.contains(id);
    brokers.iter().copied().filter(stays).collect()
}

impl LeaderRecoveryState {
    /// Whether the leader was elected cleanly or has recovered.
    pub fn is_recovered(&self) -> bool {
        *self == LeaderRecoveryState::Recovered
    }
}

fn no_broker() -> i32 {
    -1
}

fn is_no_broker(id: &i32) -> bool {
    *id == -1
}

impl Body for PartitionChangeRecord {
    const VERSION: u32 = 0;
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;
    use crate::metadata::records::{Record, check_round_trip};

    pub(in crate::metadata::records) fn partition() -> impl Strategy<Value = PartitionRecord> {
        let lists = vec(vec(any::<i32>(), 0..4), 6);
        (any::<(u64, i32, i32, i32, i32, bool)>(), lists).prop_map(|(numbers, lists)| {
            let (incarnation, leader, leader_epoch, partition_epoch, last_leader, recovering) =
                numbers;
            let mut lists = lists.into_iter();
            let mut list = || lists.next().expect("six lists");
            PartitionRecord {
                incarnation,
                replicas: list(),
                in_sync_replicas: list(),
                leader,
                leader_epoch,
                partition_epoch,
                eligible_leader_replicas: list(),
                last_known_eligible_leader_replicas: list(),
                last_known_leader: last_leader,
                leader_recovery_state: match recovering {
                    true => LeaderRecoveryState::Recovering,
                    false => LeaderRecoveryState::Recovered,
                },
                adding_replicas: list(),
                removing_replicas: list(),
            }
        })
    }

    proptest! {
        #[test]
        fn round_trip(id: u128, index: u32, state in partition()) {
            let incarnation = state.incarnation;
            let change = PartitionChangeRecord { topic_id: Uuid::from_u128(id), index, state };
            check_round_trip(&Record::from(change));
            check_round_trip(&Record::Partition { incarnation, value: None });
        }
    }

    #[test]
    fn the_stored_form_is_short_and_fixed() {
        let state = PartitionRecord {
            incarnation: 7,
            replicas: vec![2, 0, 1],
            in_sync_replicas: vec![2, 0],
            leader: 0,
            leader_epoch: 3,
            partition_epoch: 4,
            eligible_leader_replicas: vec![1],
            last_known_eligible_leader_replicas: vec![],
            last_known_leader: -1,
            leader_recovery_state: LeaderRecoveryState::Recovered,
            adding_replicas: vec![],
            removing_replicas: vec![],
        };
        let change = PartitionChangeRecord {
            topic_id: Uuid::from_u128(5),
            index: 6,
            state,
        };
        let stored = Record::from(change).encode().value.unwrap();
        let expected = br#"{"version":0,"body":{"topic_id":"00000000-0000-0000-0000-000000000005","index":6,"state":[7,[2,0,1],[2,0],0,3,4,{"eligible_leader_replicas":[1]}]}}"#;
        assert_eq!(
            std::str::from_utf8(&stored),
            std::str::from_utf8(&expected[..])
        );
    }
}
