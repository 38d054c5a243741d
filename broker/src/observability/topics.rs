//! Metrics by topic, for a bounded number of topics.
//!
//! The first topics that are used get series of their own, up to `fjord.metrics.topics.max`; the
//! traffic of all others is counted under the topic [`OTHER`]. A topic that is deleted makes room.

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock},
};

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
};

/// The value of the label `topic` that topics without series of their own share.
pub const OTHER: &str = "_other";

/// The label `topic`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct TopicLabel {
    topic: String,
}

impl TopicLabel {
    fn of(topic: &str) -> Self {
        Self {
            topic: topic.to_owned(),
        }
    }
}

/// The families that are registered.
#[derive(Debug, Default)]
pub(super) struct TopicFamilies {
    pub(super) produced_bytes: Family<TopicLabel, Counter>,
    pub(super) produced_records: Family<TopicLabel, Counter>,
    pub(super) fetched_bytes: Family<TopicLabel, Counter>,
    pub(super) fetched_records: Family<TopicLabel, Counter>,
    pub(super) tracked: Gauge,
}

/// The counters of one topic.
#[derive(Debug)]
pub struct TopicCounters {
    /// Bytes of record batches appended.
    pub produced_bytes: Counter,
    /// Records appended.
    pub produced_records: Counter,
    /// Bytes of record batches sent to consumers.
    pub fetched_bytes: Counter,
    /// Records sent to consumers.
    pub fetched_records: Counter,
}

/// The counters of all topics. Cloning is cheap, and clones share their values.
#[derive(Debug, Clone)]
pub struct TopicMetrics {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    families: TopicFamilies,
    max_topics: usize,
    other: Arc<TopicCounters>,
    topics: RwLock<HashMap<String, Arc<TopicCounters>>>,
}

impl TopicMetrics {
    pub(super) fn new(families: TopicFamilies, max_topics: usize) -> Self {
        let other = Arc::new(families.counters(OTHER));
        let inner = Inner {
            families,
            max_topics,
            other,
            topics: RwLock::default(),
        };
        Self {
            inner: Arc::new(inner),
        }
    }

    /// The counters of a topic, which are its own if there is room. They are looked up for every
    /// request rather than kept, so that a topic made anew does not count into forgotten ones.
    pub fn of(&self, topic: &str) -> Arc<TopicCounters> {
        let inner = &self.inner;
        {
            let topics = inner.topics.read().unwrap_or_else(PoisonError::into_inner);
            if let Some(counters) = topics.get(topic) {
                return Arc::clone(counters);
            }
            if topics.len() >= inner.max_topics {
                return Arc::clone(&inner.other);
            }
        }
        let mut topics = inner.topics.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(counters) = topics.get(topic) {
            return Arc::clone(counters);
        }
        if topics.len() >= inner.max_topics {
            return Arc::clone(&inner.other);
        }
        let counters = Arc::new(inner.families.counters(topic));
        topics.insert(topic.to_owned(), Arc::clone(&counters));
        inner
            .families
            .tracked
            .set(i64::try_from(topics.len()).unwrap_or(i64::MAX));
        counters
    }

    /// Forgets a topic that was deleted, with its series.
    pub fn forget(&self, topic: &str) {
        let families = &self.inner.families;
        let mut topics = self
            .inner
            .topics
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        if topics.remove(topic).is_none() {
            return;
        }
        families
            .tracked
            .set(i64::try_from(topics.len()).unwrap_or(i64::MAX));
        let label = TopicLabel::of(topic);
        for family in [
            &families.produced_bytes,
            &families.produced_records,
            &families.fetched_bytes,
            &families.fetched_records,
        ] {
            family.remove(&label);
        }
    }
}

impl TopicFamilies {
    fn counters(&self, topic: &str) -> TopicCounters {
        let label = TopicLabel::of(topic);
        TopicCounters {
            produced_bytes: self.produced_bytes.get_or_create_owned(&label),
            produced_records: self.produced_records.get_or_create_owned(&label),
            fetched_bytes: self.fetched_bytes.get_or_create_owned(&label),
            fetched_records: self.fetched_records.get_or_create_owned(&label),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_beyond_the_cap_share_one_series() {
        let metrics = TopicMetrics::new(TopicFamilies::default(), 2);
        for topic in ["a", "b", "c", "d", "a"] {
            metrics.of(topic).produced_records.inc();
        }
        let records = |topic: &str| metrics.of(topic).produced_records.get();
        assert_eq!([records("a"), records("b"), records("c")], [2, 1, 2]);
        assert!(Arc::ptr_eq(&metrics.of("c"), &metrics.of("d")));
        assert_eq!(metrics.inner.families.tracked.get(), 2);
    }

    #[test]
    fn a_deleted_topic_makes_room() {
        let metrics = TopicMetrics::new(TopicFamilies::default(), 1);
        metrics.of("a").fetched_bytes.inc_by(5);
        metrics.forget("a");
        assert!(
            metrics
                .inner
                .families
                .fetched_bytes
                .get(&TopicLabel::of("a"))
                .is_none()
        );
        metrics.of("b").fetched_bytes.inc_by(3);
        assert!(
            metrics
                .inner
                .families
                .fetched_bytes
                .get(&TopicLabel::of("b"))
                .is_some()
        );
        metrics.forget("never seen");
        assert_eq!(metrics.inner.families.tracked.get(), 1);
    }
}
