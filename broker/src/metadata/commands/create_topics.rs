//! CreateTopics, and auto-creation.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{
    AssignmentError, MAX_PARTITIONS_PER_REQUEST, MAX_PARTITIONS_PER_TOPIC, TooManyPartitions,
    advance_incarnation, candidates, check_assignment, check_some_active, new_partitions,
};
use crate::{
    config::{InvalidConfig, validate::validate_topic_configs},
    metadata::{
        Decision, Image,
        image::Configs,
        placement::{self, PlacementError},
        records::{IncarnationsRecord, Record, TopicRecord},
        topic_name::{self, TopicNameError},
    },
};

/// A topic to create, as requested.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewTopic {
    /// Its name, unchecked.
    pub name: String,
    /// The id that it gets; chosen by the caller, never used before.
    pub topic_id: Uuid,
    /// Number of partitions; -1 for the default.
    pub partition_count: i32,
    /// Number of replicas of each; -1 for the default.
    pub replication_factor: i16,
    /// Manual assignment: partition index and brokers. Empty for an automatic one.
    pub assignments: Vec<(i32, Vec<i32>)>,
    /// Config overrides.
    pub configs: Vec<(String, Option<String>)>,
}

/// What -1 stands for (KIP-464).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreationDefaults {
    /// `num.partitions`.
    pub partition_count: i32,
    /// `default.replication.factor`.
    pub replication_factor: i16,
}

/// A topic that was created, or would be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreatedTopic {
    /// Its id.
    pub topic_id: Uuid,
    /// Its number of partitions.
    pub partition_count: usize,
    /// The number of replicas of each.
    pub replication_factor: usize,
    /// Its config overrides.
    pub configs: Configs,
}

/// Why a topic is not created; the messages are Kafka's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum CreateTopicError {
    /// The name breaks the rules.
    #[error(transparent)]
    Name(#[from] TopicNameError),
    /// A topic has the same name but for `.` and `_`.
    #[error("Topic '{name}' collides with existing topic: {existing}")]
    Collision {
        /// The name asked for.
        name: String,
        /// The topic that exists.
        existing: String,
    },
    /// The name is that of the metadata's own partition.
    #[error(
        "Creation of internal topic {} is prohibited.",
        topic_name::CLUSTER_METADATA
    )]
    Metadata,
    /// A topic has this name.
    #[error("Topic '{0}' already exists.")]
    AlreadyExists(String),
    /// A number of partitions that is neither positive nor -1.
    #[error("Number of partitions was set to an invalid non-positive value.")]
    PartitionCount,
    /// More partitions than a topic may have.
    #[error("Number of partitions is larger than the maximum of {MAX_PARTITIONS_PER_TOPIC}.")]
    TooManyPartitions,
    /// A number of replicas that is neither positive nor -1.
    #[error("Replication factor must be larger than 0, or -1 to use the default value.")]
    ReplicationFactor,
    /// More replicas than brokers.
    #[error("Unable to replicate the partition {replication_factor} time(s): {source}")]
    Placement {
        /// Replicas asked for.
        replication_factor: i16,
        /// Why they have no place.
        source: PlacementError,
    },
    /// A manual assignment together with a number of replicas.
    #[error(
        "A manual partition assignment was specified, but replication factor was not set to -1."
    )]
    AssignmentWithReplicationFactor,
    /// A manual assignment together with a number of partitions.
    #[error("A manual partition assignment was specified, but numPartitions was not set to -1.")]
    AssignmentWithPartitionCount,
    /// A manual assignment that cannot be.
    #[error(transparent)]
    Assignment(#[from] AssignmentError),
    /// A config without a value.
    #[error("Null value not supported for topic configs: {0}")]
    NullConfigs(String),
    /// An unknown config, or a value that is not valid.
    #[error(transparent)]
    Config(#[from] InvalidConfig),
}

/// Creates what can be created of `topics`. Outcomes are in the order of the topics.
pub fn create_topics(
    image: &Image,
    topics: &[NewTopic],
    defaults: CreationDefaults,
) -> Result<Decision<Vec<Result<CreatedTopic, CreateTopicError>>>, TooManyPartitions> {
    check_total(topics, defaults)?;
    // Topics of one request see each other, so that names cannot collide within it either.
    let mut working = image.clone();
    let mut records = Vec::new();
    let mut outcome = Vec::with_capacity(topics.len());
    for topic in topics {
        outcome.push(create_topic(&working, topic, defaults).map(|record| {
            let created = CreatedTopic {
                topic_id: record.topic_id,
                partition_count: record.partitions.len(),
                replication_factor: record.partitions.first().map_or(0, |p| p.replicas.len()),
                configs: record.configs.clone(),
            };
            let next = advance_incarnation(working.next_incarnation(), record.partitions.len());
            // The numbers are taken out of use before anything uses them.
            let incarnations = Record::Incarnations(IncarnationsRecord { next });
            let topic = Record::Topic {
                name: topic.name.clone(),
                value: Some(record),
            };
            working = std::mem::take(&mut working)
                .apply(incarnations)
                .apply(topic.clone());
            records.push(topic);
            created
        }));
    }
    if !records.is_empty() {
        let next = working.next_incarnation();
        records.insert(0, Record::Incarnations(IncarnationsRecord { next }));
    }
    Ok(Decision { records, outcome })
}

fn check_total(topics: &[NewTopic], defaults: CreationDefaults) -> Result<(), TooManyPartitions> {
    let count = |topic: &NewTopic| match (topic.assignments.len(), topic.partition_count) {
        (0, -1) => usize::try_from(defaults.partition_count).unwrap_or(0),
        (0, count) => usize::try_from(count).unwrap_or(0),
        (assignments, _) => assignments,
    };
    let total = topics.iter().map(count).fold(0, usize::saturating_add);
    if total > MAX_PARTITIONS_PER_REQUEST {
        Err(TooManyPartitions)
    } else {
        Ok(())
    }
}

fn create_topic(
    image: &Image,
    topic: &NewTopic,
    defaults: CreationDefaults,
) -> Result<TopicRecord, CreateTopicError> {
    check_name(image, &topic.name)?;
    let configs = collect_configs(&topic.configs)?;
    validate_topic_configs(&configs)?;
    let placements = if topic.assignments.is_empty() {
        place(image, topic, defaults)?
    } else {
        check_manual(image, topic)?
    };
    if placements.len() > MAX_PARTITIONS_PER_TOPIC {
        return Err(CreateTopicError::TooManyPartitions);
    }
    let partitions = new_partitions(image, placements, image.next_incarnation());
    Ok(TopicRecord {
        topic_id: topic.topic_id,
        partitions,
        configs,
    })
}

fn check_name(image: &Image, name: &str) -> Result<(), CreateTopicError> {
    topic_name::validate(name)?;
    if name == topic_name::CLUSTER_METADATA {
        return Err(CreateTopicError::Metadata);
    }
    if image.topic(name).is_some() {
        return Err(CreateTopicError::AlreadyExists(name.to_owned()));
    }
    match image.colliding_topic(name) {
        Some(existing) => {
            let existing = existing.to_string();
            Err(CreateTopicError::Collision {
                name: name.to_owned(),
                existing,
            })
        }
        None => Ok(()),
    }
}

fn collect_configs(configs: &[(String, Option<String>)]) -> Result<Configs, CreateTopicError> {
    let without_value: Vec<&str> = configs
        .iter()
        .filter(|(_, v)| v.is_none())
        .map(|(name, _)| name.as_str())
        .collect();
    if !without_value.is_empty() {
        return Err(CreateTopicError::NullConfigs(without_value.join(",")));
    }
    Ok(configs
        .iter()
        .filter_map(|(name, v)| Some((name.clone(), v.clone()?)))
        .collect())
}

fn place(
    image: &Image,
    topic: &NewTopic,
    defaults: CreationDefaults,
) -> Result<Vec<Vec<i32>>, CreateTopicError> {
    let replication_factor = match topic.replication_factor {
        -1 => defaults.replication_factor,
        factor => factor,
    };
    let partition_count = match topic.partition_count {
        -1 => defaults.partition_count,
        count => count,
    };
    let replicas = usize::try_from(replication_factor)
        .ok()
        .filter(|replicas| *replicas > 0)
        .ok_or(CreateTopicError::ReplicationFactor)?;
    let partitions = usize::try_from(partition_count)
        .ok()
        .filter(|partitions| *partitions > 0)
        .ok_or(CreateTopicError::PartitionCount)?;
    placement::place(
        &candidates(image),
        partitions,
        replicas,
        image.partition_count(),
    )
    .map_err(|source| CreateTopicError::Placement {
        replication_factor,
        source,
    })
}

fn check_manual(image: &Image, topic: &NewTopic) -> Result<Vec<Vec<i32>>, CreateTopicError> {
    if topic.replication_factor != -1 {
        return Err(CreateTopicError::AssignmentWithReplicationFactor);
    }
    if topic.partition_count != -1 {
        return Err(CreateTopicError::AssignmentWithPartitionCount);
    }
    let mut by_index = std::collections::BTreeMap::new();
    let mut expected_count = None;
    for (index, brokers) in &topic.assignments {
        if by_index.insert(*index, brokers.clone()).is_some() {
            return Err(AssignmentError::RepeatedPartition(*index).into());
        }
        check_assignment(image, brokers, expected_count)?;
        check_some_active(image, brokers)?;
        expected_count = Some(brokers.len());
    }
    if !by_index.keys().copied().eq((0..).take(by_index.len())) {
        return Err(AssignmentError::Gaps.into());
    }
    Ok(by_index.into_values().collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metadata::commands::testing::{DEFAULTS, image_with_brokers, new_topic};

    fn create(image: &Image, topic: NewTopic) -> Result<CreatedTopic, CreateTopicError> {
        let decision = create_topics(image, &[topic], DEFAULTS).unwrap();
        decision.outcome.into_iter().next().unwrap()
    }

    #[test]
    fn minus_one_means_the_defaults() {
        let created = create(&image_with_brokers(1), new_topic("t")).unwrap();
        assert_eq!(created.partition_count, 3);
        assert_eq!(created.replication_factor, 1);
    }

    #[test]
    fn refusals_are_kafkas() {
        let image = image_with_brokers(2);
        let check = |change: fn(&mut NewTopic), expected: &str| {
            let mut topic = new_topic("t");
            change(&mut topic);
            assert_eq!(create(&image, topic).unwrap_err().to_string(), expected);
        };
        check(
            |t| t.partition_count = 0,
            "Number of partitions was set to an invalid non-positive value.",
        );
        check(
            |t| t.partition_count = -2,
            "Number of partitions was set to an invalid non-positive value.",
        );
        check(
            |t| t.replication_factor = 0,
            "Replication factor must be larger than 0, or -1 to use the default value.",
        );
        check(
            |t| t.replication_factor = 3,
            "Unable to replicate the partition 3 time(s): The target replication factor of 3 cannot \
             be reached because only 2 broker(s) are registered.",
        );
        check(
            |t| t.assignments = vec![(0, vec![0]), (0, vec![1])],
            "Found multiple manual partition assignments for partition 0",
        );
        check(
            |t| t.assignments = vec![(0, vec![0]), (2, vec![1])],
            "partitions should be a consecutive 0-based integer sequence",
        );
        check(
            |t| t.assignments = vec![(0, vec![7])],
            "The manual partition assignment includes broker 7, but no such broker is registered.",
        );
        check(
            |t| t.assignments = vec![(0, vec![0, 0])],
            "The manual partition assignment includes the broker 0 more than once.",
        );
        check(
            |t| {
                t.assignments = vec![(0, vec![0])];
                t.partition_count = 1;
            },
            "A manual partition assignment was specified, but numPartitions was not set to -1.",
        );
        check(
            |t| t.configs = vec![("a".into(), None), ("b".into(), None)],
            "Null value not supported for topic configs: a,b",
        );
        let mut topic = new_topic("t");
        topic.configs = vec![("no.such.config".into(), Some("1".into()))];
        let error = create(&image, topic).unwrap_err().to_string();
        assert!(error.starts_with("no.such.config "), "{error}");
        check(
            |t| t.name = "__cluster_metadata".into(),
            "Creation of internal topic __cluster_metadata is prohibited.",
        );
    }

    #[test]
    fn one_bad_topic_does_not_fail_the_others() {
        let image = image_with_brokers(1);
        let topics = [
            new_topic("a.b"),
            new_topic("a_b"),
            new_topic("a.b"),
            new_topic("c"),
        ];
        let decision = create_topics(&image, &topics, DEFAULTS).unwrap();
        assert!(decision.outcome[0].is_ok());
        assert!(matches!(
            decision.outcome[1],
            Err(CreateTopicError::Collision { .. })
        ));
        assert!(matches!(
            decision.outcome[2],
            Err(CreateTopicError::AlreadyExists(_))
        ));
        assert!(decision.outcome[3].is_ok());
        let image = decision.records.into_iter().fold(image, Image::apply);
        assert_eq!(image.topic_count(), 2);
        assert_eq!(image.validate(), Ok(()));
    }

    #[test]
    fn a_request_is_bounded() {
        let image = image_with_brokers(1);
        let mut topic = new_topic("t");
        topic.partition_count = i32::MAX;
        assert!(create_topics(&image, &[topic], DEFAULTS).is_err());
        let mut largest = new_topic("t");
        largest.partition_count = i32::try_from(MAX_PARTITIONS_PER_REQUEST).unwrap();
        assert!(create(&image, largest.clone()).is_ok());
        let two = [largest, new_topic("u")];
        assert!(create_topics(&image, &two, DEFAULTS).is_err());
    }

    #[test]
    fn manual_assignments_are_kept_in_the_order_of_their_indexes() {
        let image = image_with_brokers(3);
        let mut topic = new_topic("t");
        topic.assignments = vec![(1, vec![2, 0]), (0, vec![1, 2])];
        let decision = create_topics(&image, &[topic], DEFAULTS).unwrap();
        let image = decision.records.into_iter().fold(image, Image::apply);
        let partitions = &image.topic("t").unwrap().partitions;
        assert_eq!(partitions[0].replicas, [1, 2]);
        assert_eq!(partitions[1].leader, 2);
    }
}
