//! Where a member is in each of its partitions.

use std::collections::BTreeMap;

use fjord_proto::v1::{AssignedPartition, PartitionRecords, TopicPartition};

use crate::grpc::fetch::Wanted;

/// A partition that the member has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Position {
    /// The offset behind the last record that was sent.
    next_offset: i64,
    paused: bool,
    /// It cannot be read any more.
    failed: bool,
}

/// All partitions of a member, with how many records may still be sent.
#[derive(Debug, Default)]
pub struct Positions {
    partitions: BTreeMap<(String, i32), Position>,
    /// Records that the client has allowed and that were not sent; nothing if it does not count.
    credit: Option<u64>,
}

impl Positions {
    pub fn new(credit: Option<u32>) -> Self {
        Self {
            partitions: BTreeMap::new(),
            credit: credit.map(u64::from),
        }
    }

    /// Takes other partitions in place of those before.
    pub fn assign(&mut self, starts: impl IntoIterator<Item = ((String, i32), i64)>) {
        let position = |(key, next_offset)| {
            let position = Position {
                next_offset,
                paused: false,
                failed: false,
            };
            (key, position)
        };
        self.partitions = starts.into_iter().map(position).collect();
    }

    pub fn add_credit(&mut self, records: u32) {
        if let Some(credit) = &mut self.credit {
            *credit = credit.saturating_add(records.into());
        }
    }

    /// What can be read now.
    pub fn wanted(&self) -> Vec<Wanted<'_>> {
        if self.credit == Some(0) {
            return Vec::new();
        }
        let readable = self
            .partitions
            .iter()
            .filter(|(_, p)| !p.paused && !p.failed);
        let wanted = readable.map(|((topic, partition), position)| Wanted {
            topic,
            partition: *partition,
            offset: position.next_offset,
        });
        wanted.collect()
    }

    /// Whether the member has a partition.
    pub fn contains(&self, topic: &str, partition: i32) -> bool {
        self.partitions.contains_key(&(topic.to_owned(), partition))
    }

    /// Goes on elsewhere. False if the member does not have the partition.
    pub fn seek(&mut self, topic: &str, partition: i32, offset: i64) -> bool {
        let Some(position) = self.partitions.get_mut(&(topic.to_owned(), partition)) else {
            return false;
        };
        position.next_offset = offset;
        position.failed = false;
        true
    }

    /// Pauses partitions, or lets them go on; all of them if none is named. Returns where they are.
    pub fn pause(&mut self, named: &[TopicPartition], paused: bool) -> Vec<AssignedPartition> {
        let mut places = Vec::new();
        for ((topic, partition), position) in &mut self.partitions {
            let is_named =
                |named: &TopicPartition| named.topic == *topic && named.partition == *partition;
            if named.is_empty() || named.iter().any(is_named) {
                position.paused = paused;
                places.push(AssignedPartition {
                    topic: topic.clone(),
                    partition: *partition,
                    offset: position.next_offset,
                });
            }
        }
        places
    }

    /// Notes what is sent, and leaves no more in it than may be; false if there is nothing to send.
    pub fn send(&mut self, records: &mut PartitionRecords) -> bool {
        let key = (records.topic.clone(), records.partition);
        let Some(position) = self.partitions.get_mut(&key) else {
            return false;
        };
        if records.error.is_some() {
            position.failed = true;
            return true;
        }
        if let Some(credit) = &mut self.credit {
            let allowed = usize::try_from(*credit).unwrap_or(usize::MAX);
            if records.records.len() > allowed {
                records.records.truncate(allowed);
                let last = records.records.last();
                records.next_offset = last.map_or(position.next_offset, |last| last.offset + 1);
            }
            *credit -= records.records.len() as u64;
        }
        let moved = records.next_offset > position.next_offset;
        position.next_offset = records.next_offset;
        moved && !records.records.is_empty()
    }

    pub fn names(&self) -> Vec<TopicPartition> {
        let name = |(topic, partition): &(String, i32)| TopicPartition {
            topic: topic.clone(),
            partition: *partition,
        };
        self.partitions.keys().map(name).collect()
    }

    pub fn is_empty(&self) -> bool {
        self.partitions.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use fjord_proto::v1::ConsumedRecord;

    use super::*;

    fn records(offsets: std::ops::Range<i64>) -> PartitionRecords {
        let record = |offset| ConsumedRecord {
            offset,
            ..ConsumedRecord::default()
        };
        PartitionRecords {
            topic: "t".into(),
            next_offset: offsets.end,
            records: offsets.map(record).collect(),
            ..PartitionRecords::default()
        }
    }

    fn positions(credit: Option<u32>) -> Positions {
        let mut positions = Positions::new(credit);
        positions.assign([(("t".to_owned(), 0), 10)]);
        positions
    }

    #[test]
    fn no_more_is_sent_than_was_allowed() {
        let mut positions = positions(Some(3));
        let mut first = records(10..15);
        assert!(positions.send(&mut first));
        assert_eq!((first.records.len(), first.next_offset), (3, 13));
        assert!(positions.wanted().is_empty());
        positions.add_credit(100);
        assert_eq!(positions.wanted()[0].offset, 13);
    }

    #[test]
    fn paused_partitions_are_not_read() {
        let mut positions = positions(None);
        assert_eq!(positions.pause(&[], true)[0].offset, 10);
        assert!(positions.wanted().is_empty());
        assert_eq!(positions.pause(&positions.names(), false).len(), 1);
        assert_eq!(positions.wanted().len(), 1);
        assert!(positions.seek("t", 0, 4) && !positions.seek("t", 1, 4));
        assert_eq!(positions.wanted()[0].offset, 4);
    }

    #[test]
    fn what_is_of_no_partition_of_ours_is_not_sent() {
        let mut positions = positions(None);
        let mut other = PartitionRecords {
            partition: 7,
            ..records(0..1)
        };
        assert!(!positions.send(&mut other));
        assert!(!positions.send(&mut records(10..10)));
    }
}
