//! What differs between two images, for those who keep something per topic.

use std::{collections::BTreeSet, ops::Range, sync::Arc};

use super::{Image, Topic, records::Record};

/// The difference that one command made. A topic that was deleted and created again under its name is
/// in both lists, with its two ids.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Delta {
    /// Topics that are gone, as they last were.
    pub topics_deleted: Vec<Arc<Topic>>,
    /// Topics that are new.
    pub topics_created: Vec<Arc<Topic>>,
    /// Topics, as they now are, that have more partitions, with the indexes of the new ones.
    pub partitions_added: Vec<(Arc<Topic>, Range<usize>)>,
    /// Topics, as they now are, whose config overrides changed.
    pub topic_configs_changed: Vec<Arc<Topic>>,
    /// Whether dynamic broker configs changed.
    pub broker_configs_changed: bool,
}

/// The entities that some records touch: what [`Delta::between`] has to look at.
#[derive(Debug, Default)]
pub struct Touched {
    topics: BTreeSet<String>,
    broker_configs: bool,
}

impl Touched {
    /// Takes note of a record.
    pub fn note(&mut self, record: &Record) {
        match record {
            Record::Topic { name, .. } => {
                self.topics.insert(name.clone());
            }
            Record::BrokerConfig { .. } => self.broker_configs = true,
            Record::Cluster(_)
            | Record::Incarnations(_)
            | Record::ProducerIds(_)
            | Record::Broker(_) => {}
        }
    }
}

impl Delta {
    /// The difference from `old` to `new` in what was touched between them.
    pub fn between(old: &Image, new: &Image, touched: &Touched) -> Delta {
        let mut delta = Delta {
            broker_configs_changed: touched.broker_configs,
            ..Delta::default()
        };
        for name in &touched.topics {
            delta.add_topic(old.topic(name), new.topic(name));
        }
        delta
    }

    /// The difference from no metadata at all to `image`, as it is after a replay.
    pub fn from_nothing(image: &Image) -> Delta {
        Delta {
            topics_created: image.topics().cloned().collect(),
            broker_configs_changed: true,
            ..Delta::default()
        }
    }

    fn add_topic(&mut self, old: Option<&Arc<Topic>>, new: Option<&Arc<Topic>>) {
        match (old, new) {
            (Some(old), Some(new)) if old.id == new.id => {
                let added = old.partitions.len()..new.partitions.len();
                assert!(added.start <= added.end, "a topic never loses partitions");
                if !added.is_empty() {
                    self.partitions_added.push((Arc::clone(new), added));
                }
                if old.configs != new.configs {
                    self.topic_configs_changed.push(Arc::clone(new));
                }
            }
            (old, new) => {
                self.topics_deleted.extend(old.cloned());
                self.topics_created.extend(new.cloned());
            }
        }
    }
}
