//! The topics that a producer writes to: which partition a record goes to, and how large batches may be.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use fjord_proto::{partitioner::partition_for_key, v1::DescribeTopicResponse};
use rand::Rng;

use super::options::ProducerRecord;

/// After so long it is asked again how many partitions a topic has and how large its batches may be, as Kafka's
/// `metadata.max.age.ms` says.
const TOPIC_MAX_AGE: Duration = Duration::from_secs(300);
/// The topic's config that bounds its batches.
const MAX_MESSAGE_BYTES: &str = "max.message.bytes";

/// The topics, by name.
#[derive(Debug, Default)]
pub(super) struct Topics {
    topics: HashMap<Arc<str>, Topic>,
}

/// A topic.
#[derive(Debug)]
pub(super) struct Topic {
    /// The places of its partitions in the producer's list of all.
    pub(super) partitions: Vec<usize>,
    /// About the most bytes of a batch.
    pub(super) batch_bytes: usize,
    described: Instant,
    /// Where records without key go, until that batch is gone.
    sticky: usize,
}

/// What a broker says of a topic.
#[derive(Debug)]
pub(super) struct Description {
    pub(super) partitions: i32,
    /// Its `max.message.bytes`, if the broker tells it.
    pub(super) max_message_bytes: Option<usize>,
}

/// Where a record goes.
#[derive(Debug)]
pub(super) enum Place {
    /// To the partition at this place of the list.
    At(usize),
    /// Its topic has first to be described.
    Unknown,
    /// Its topic has no such partition.
    NoSuchPartition,
}

impl From<DescribeTopicResponse> for Description {
    fn from(response: DescribeTopicResponse) -> Self {
        let mut configs = response.configs.into_iter();
        Self {
            partitions: response.topic.map_or(0, |topic| topic.partitions),
            max_message_bytes: configs
                .find(|config| config.name == MAX_MESSAGE_BYTES)
                .and_then(|config| config.value?.parse().ok()),
        }
    }
}

impl Topics {
    /// Notes that a topic was described, and returns it.
    pub(super) fn described(
        &mut self,
        name: &Arc<str>,
        batch_bytes: usize,
        now: Instant,
    ) -> &mut Topic {
        let topic = self
            .topics
            .entry(Arc::clone(name))
            .or_insert_with(|| Topic {
                partitions: Vec::new(),
                batch_bytes,
                described: now,
                sticky: 0,
            });
        topic.described = now;
        topic.batch_bytes = batch_bytes;
        topic
    }

    /// Whether it has been asked for this topic since `before`.
    pub(super) fn is_described_after(&self, name: &str, before: Instant) -> bool {
        self.topics
            .get(name)
            .is_some_and(|topic| topic.described > before)
    }

    /// Notes that the broker refuses larger batches than these, until the topic is described again. Returns it if its
    /// batches become smaller by that.
    pub(super) fn limit_batches(&mut self, name: &str, bytes: usize) -> Option<&Topic> {
        let topic = self.topics.get_mut(name)?;
        if topic.batch_bytes <= bytes {
            return None;
        }
        topic.batch_bytes = bytes;
        Some(topic)
    }

    /// Where a record goes; `is_open` says whether a partition has a batch that is being filled.
    pub(super) fn place(
        &mut self,
        record: &ProducerRecord,
        now: Instant,
        is_open: impl Fn(usize) -> bool,
    ) -> Place {
        let Some(topic) = self.topics.get_mut(&record.topic) else {
            return Place::Unknown;
        };
        if topic.partitions.is_empty()
            || now.saturating_duration_since(topic.described) > TOPIC_MAX_AGE
        {
            return Place::Unknown;
        }
        let number = match (record.partition, &record.key) {
            (Some(partition), _) => usize::try_from(partition).ok(),
            (None, Some(key)) => {
                let count = i32::try_from(topic.partitions.len()).unwrap_or(i32::MAX);
                usize::try_from(partition_for_key(key, count)).ok()
            }
            (None, None) => Some(topic.stick(is_open)),
        };
        match number.and_then(|number| topic.partitions.get(number)) {
            Some(place) => Place::At(*place),
            None => Place::NoSuchPartition,
        }
    }
}

impl Topic {
    /// Where a record without key goes: with the one before, or if that batch is gone, to another partition.
    fn stick(&mut self, is_open: impl Fn(usize) -> bool) -> usize {
        let place = self.partitions.get(self.sticky);
        if !place.is_some_and(|place| is_open(*place)) {
            self.sticky = rand::rng().random_range(0..self.partitions.len());
        }
        self.sticky
    }
}
