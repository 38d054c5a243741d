//! What the group coordinator learns from the metadata.

use std::sync::Arc;

use super::groups::Groups;
use crate::metadata::{Delta, Image, ImageObserver, Topic, topic_name};

/// Has the coordinator host the partitions of `__consumer_offsets` that this broker leads, closes it when the topic
/// goes, and tells it of other deleted topics, whose offsets it forgets. It must observe the metadata after the
/// partitions have.
pub struct GroupsObserver {
    groups: Groups,
    broker_id: i32,
}

impl GroupsObserver {
    /// Observes on behalf of the `groups` of this broker.
    pub fn new(groups: Groups, broker_id: i32) -> Self {
        Self { groups, broker_id }
    }

    /// Takes over what this broker leads, and gives up what it does not.
    fn follow_leaders(&self, topic: &Topic) {
        let count = topic.partitions.len();
        let count = i32::try_from(count).expect("partitions are counted by an i32");
        self.groups.set_partition_count(count);
        for (index, partition) in (0..count).zip(&topic.partitions) {
            match partition.leader == self.broker_id {
                true => self.groups.host(index, partition.leader_epoch),
                false => self.groups.give_up(index),
            }
        }
    }
}

impl ImageObserver for GroupsObserver {
    fn before_publish(&self, _old: &Image, new: &Image, delta: &Delta) {
        let offsets = |topics: &[Arc<Topic>]| {
            let mut topics = topics.iter();
            topics
                .find(|topic| &*topic.name == topic_name::CONSUMER_OFFSETS)
                .cloned()
        };
        if offsets(&delta.topics_deleted).is_some() {
            // What is in memory must not outlive what it was read from.
            self.groups.close();
        }
        let changed = delta.partitions_changed.iter().map(|(topic, _)| topic);
        let changed: Vec<_> = changed.cloned().collect();
        for topic in [&delta.topics_created, &changed] {
            if let Some(topic) = offsets(topic) {
                self.follow_leaders(&topic);
            }
        }
        let deleted: Vec<_> = delta
            .topics_deleted
            .iter()
            .map(|topic| (topic.name.to_string(), topic.id))
            .collect();
        if !deleted.is_empty() && new.topic(topic_name::CONSUMER_OFFSETS).is_some() {
            // The step is taken at once; what the future waits for is only told to the log.
            tokio::spawn(self.groups.topics_deleted(deleted));
        }
    }
}
