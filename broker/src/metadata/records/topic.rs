//! `topic/<name>`: a topic with its partitions and config overrides.
//!
//! All of a topic is one record, so that it is created, changed and deleted in one piece, whatever
//! compaction leaves of the log. What happens to single partitions later is not written here, since that
//! would write all of the topic each time, but in [`PartitionChangeRecord`](super::PartitionChangeRecord).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Body, PartitionRecord};

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

impl Body for TopicRecord {
    const VERSION: u32 = 1;
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;
    use crate::metadata::records::{Record, check_round_trip, partition::tests::partition};

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
