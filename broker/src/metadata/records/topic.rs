//! `topic/<name>`: a topic with its partitions and config overrides.
//!
//! All of a topic is one record, so that it is created, changed and deleted in one piece, whatever
//! compaction leaves of the log.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::Body;

/// The whole state of a topic.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TopicRecord {
    /// Unique for ever; a topic created again under the same name gets another one (KIP-516).
    pub topic_id: Uuid,
    /// The partitions; the place in the list is the partition index.
    pub partitions: Vec<PartitionRecord>,
    /// Overrides by Kafka's config name.
    pub configs: BTreeMap<String, String>,
}

/// One partition of a topic.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartitionRecord {
    /// Names the partition's data in the log. Unique for ever, and never used again.
    pub incarnation: u64,
    /// The brokers that hold the partition, the preferred leader first.
    pub replicas: Vec<i32>,
    /// Those of them that are in sync with the leader.
    pub in_sync_replicas: Vec<i32>,
    /// The leading broker, or -1 while there is none.
    pub leader: i32,
    /// Grows with each change of the leader.
    pub leader_epoch: i32,
    /// Grows with each change of this record.
    pub partition_epoch: i32,
}

impl Body for TopicRecord {
    const VERSION: u32 = 0;
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;
    use crate::metadata::records::{Record, check_round_trip};

    prop_compose! {
        fn partition()(
            incarnation: u64, replicas: Vec<i32>, in_sync_replicas: Vec<i32>, leader: i32,
            leader_epoch: i32, partition_epoch: i32,
        ) -> PartitionRecord {
            PartitionRecord {
                incarnation, replicas, in_sync_replicas, leader, leader_epoch, partition_epoch,
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn round_trip(
            name in "[a-zA-Z0-9._-]{1,249}", id: u128, partitions in vec(partition(), 0..4),
            configs: BTreeMap<String, String>, deleted: bool,
        ) {
            let topic = TopicRecord { topic_id: Uuid::from_u128(id), partitions, configs };
            check_round_trip(&Record::Topic { name, value: (!deleted).then_some(topic) });
        }
    }
}
