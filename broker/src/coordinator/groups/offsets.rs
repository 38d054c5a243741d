//! The committed offsets of one group.

use std::collections::BTreeMap;

use super::records::offset_commit::OffsetCommitValue;

/// Committed offsets by topic and partition. There are no empty topics.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Offsets {
    topics: BTreeMap<String, BTreeMap<i32, OffsetCommitValue>>,
}

impl Offsets {
    /// Whether nothing is committed.
    pub fn is_empty(&self) -> bool {
        self.topics.is_empty()
    }

    /// Topics with their committed offsets by partition.
    pub fn topics(&self) -> impl Iterator<Item = (&String, &BTreeMap<i32, OffsetCommitValue>)> {
        self.topics.iter()
    }

    /// The committed offsets of one topic by partition.
    pub fn topic(&self, topic: &str) -> Option<&BTreeMap<i32, OffsetCommitValue>> {
        self.topics.get(topic)
    }

    /// Sets or, with none, removes an offset and returns what was there before.
    pub fn replace(
        &mut self,
        topic: &str,
        partition: i32,
        value: Option<OffsetCommitValue>,
    ) -> Option<OffsetCommitValue> {
        let Some(value) = value else {
            return self.remove(topic, partition);
        };
        if let Some(partitions) = self.topics.get_mut(topic) {
            return partitions.insert(partition, value);
        }
        self.topics
            .insert(topic.to_owned(), BTreeMap::from([(partition, value)]));
        None
    }

    fn remove(&mut self, topic: &str, partition: i32) -> Option<OffsetCommitValue> {
        let partitions = self.topics.get_mut(topic)?;
        let removed = partitions.remove(&partition);
        if partitions.is_empty() {
            self.topics.remove(topic);
        }
        removed
    }
}
