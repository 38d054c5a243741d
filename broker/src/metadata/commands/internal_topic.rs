//! Topics that the cluster creates for itself at first need, such as `__consumer_offsets`.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{CreateTopicError, CreationDefaults, NewTopic, TooManyPartitions, create_topics};
use crate::metadata::{Decision, Image, image::Configs};

/// An internal topic and what its configs ask for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InternalTopic {
    /// Its name.
    pub name: Cow<'static, str>,
    /// The id that it gets if it has to be created.
    pub topic_id: Uuid,
    /// Number of partitions.
    pub partition_count: i32,
    /// Number of replicas wished for. While there are fewer brokers, there are fewer replicas: a single
    /// broker with no configuration has to work.
    pub replication_factor: i16,
    /// Config overrides.
    pub configs: Configs,
}

/// Why an internal topic is not created.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum InternalTopicError {
    /// Its config asks for more partitions than a topic may have.
    #[error(transparent)]
    TooManyPartitions(#[from] TooManyPartitions),
    /// What would refuse any topic.
    #[error(transparent)]
    Create(#[from] CreateTopicError),
}

/// Creates the topic unless it exists.
pub fn ensure_internal_topic(
    image: &Image,
    topic: &InternalTopic,
) -> Result<Decision<()>, InternalTopicError> {
    if image.topic(&topic.name).is_some() {
        return Ok(Decision {
            records: Vec::new(),
            outcome: (),
        });
    }
    let brokers = i16::try_from(image.broker_count()).unwrap_or(i16::MAX);
    let defaults = CreationDefaults {
        partition_count: topic.partition_count,
        replication_factor: topic.replication_factor.min(brokers),
    };
    let configs = topic
        .configs
        .iter()
        .map(|(name, v)| (name.clone(), Some(v.clone())))
        .collect();
    let request = NewTopic {
        name: topic.name.to_string(),
        topic_id: topic.topic_id,
        partition_count: -1,
        replication_factor: -1,
        assignments: Vec::new(),
        configs,
    };
    let decision = create_topics(image, &[request], defaults)?;
    for outcome in decision.outcome {
        outcome?;
    }
    Ok(Decision {
        records: decision.records,
        outcome: (),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metadata::{commands::testing::image_with_brokers, topic_name};

    #[test]
    fn it_is_created_once_with_as_many_replicas_as_there_are_brokers() {
        let topic = InternalTopic {
            name: topic_name::CONSUMER_OFFSETS.into(),
            topic_id: Uuid::from_u128(9),
            partition_count: 50,
            replication_factor: 3,
            configs: Configs::from([("cleanup.policy".to_owned(), "compact".to_owned())]),
        };
        let image = image_with_brokers(1);
        let decision = ensure_internal_topic(&image, &topic).unwrap();
        let image = decision.records.into_iter().fold(image, Image::apply);
        let created = image.topic(topic_name::CONSUMER_OFFSETS).unwrap();
        assert!(created.is_internal());
        assert_eq!(created.partitions.len(), 50);
        assert_eq!(created.partitions[0].replicas.len(), 1);
        assert_eq!(created.configs, topic.configs);
        assert_eq!(ensure_internal_topic(&image, &topic).unwrap().records, []);
    }
}
