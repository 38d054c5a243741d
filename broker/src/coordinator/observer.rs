//! What the group coordinator learns from the metadata.

use std::sync::Arc;

use super::groups::Groups;
use crate::metadata::{Delta, Image, ImageObserver, Topic, topic_name};

/// Opens the coordinator when `__consumer_offsets` appears, closes it when that goes, and tells it of other
/// deleted topics, whose offsets it forgets. It must observe the metadata after the partitions have.
pub struct GroupsObserver {
    groups: Groups,
}

impl GroupsObserver {
    /// Observes on behalf of `groups`.
    pub fn new(groups: Groups) -> Self {
        Self { groups }
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
        if let Some(topic) = offsets(&delta.topics_created) {
            let count = topic.partitions.len();
            self.groups
                .open(i32::try_from(count).expect("partitions are counted by an i32"));
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
