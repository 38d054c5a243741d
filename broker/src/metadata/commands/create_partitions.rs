//! CreatePartitions: more partitions for topics that exist.

use serde::{Deserialize, Serialize};
use std::sync::Arc;

use super::{
    AssignmentError, MAX_PARTITIONS_PER_REQUEST, MAX_PARTITIONS_PER_TOPIC, TooManyPartitions,
    advance_incarnation, candidates, check_assignment, check_some_active, new_partitions,
};
use crate::metadata::{
    Decision, Image, Topic,
    placement::{self, PlacementError},
    records::{IncarnationsRecord, Record},
    topic_name,
};

/// How many partitions a topic shall have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewPartitions {
    /// The topic.
    pub name: String,
    /// Its number of partitions afterwards.
    pub count: i32,
    /// The brokers of each new partition; `None` for an automatic assignment.
    pub assignments: Option<Vec<Vec<i32>>>,
}

/// Why a topic does not get the partitions; the messages are Kafka's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum CreatePartitionsError {
    /// There is no such topic.
    #[error("This server does not host this topic-partition.")]
    UnknownTopic,
    /// The topic has this number already.
    #[error("Topic already has {0} partition(s).")]
    SameCount(usize),
    /// The topic has more already.
    #[error(
        "The topic {name} currently has {current} partition(s); {count} would not be an increase."
    )]
    NotAnIncrease {
        /// The topic.
        name: String,
        /// Its number of partitions.
        current: usize,
        /// The number asked for.
        count: i32,
    },
    /// More partitions than a topic may have.
    #[error("Number of partitions is larger than the maximum of {MAX_PARTITIONS_PER_TOPIC}.")]
    TooManyPartitions,
    /// The topic assigns its keys to partitions by their number, and nothing moves what is there.
    #[error(
        "The number of partitions of {0} cannot change: groups find their offsets by it, and would lose them."
    )]
    CountIsFixed(String),
    /// Fewer brokers than the topic has replicas.
    #[error("Unable to replicate the partition {replication_factor} time(s): {source}")]
    Placement {
        /// Replicas of the topic's partitions.
        replication_factor: usize,
        /// Why they have no place.
        source: PlacementError,
    },
    /// A manual assignment that cannot be.
    #[error(transparent)]
    Assignment(#[from] AssignmentError),
}

/// Grows what can be grown of `topics`. Outcomes are in the order of the topics.
pub fn create_partitions(
    image: &Image,
    topics: &[NewPartitions],
) -> Result<Decision<Vec<Result<(), CreatePartitionsError>>>, TooManyPartitions> {
    check_total(image, topics)?;
    let mut working = image.clone();
    let mut records = Vec::new();
    let mut outcome = Vec::with_capacity(topics.len());
    for topic in topics {
        outcome.push(grow_topic(&working, topic).map(|grown| {
            let current = working
                .topic(&topic.name)
                .map_or(0, |topic| topic.partitions.len());
            let added = grown.partitions.len() - current;
            let next = advance_incarnation(working.next_incarnation(), added);
            // The numbers are taken out of use before anything uses them.
            let incarnations = Record::Incarnations(IncarnationsRecord { next });
            let record = grown.to_record();
            working = std::mem::take(&mut working)
                .apply(incarnations)
                .apply(record.clone());
            records.push(record);
        }));
    }
    if !records.is_empty() {
        let next = working.next_incarnation();
        records.insert(0, Record::Incarnations(IncarnationsRecord { next }));
    }
    Ok(Decision { records, outcome })
}

fn check_total(image: &Image, topics: &[NewPartitions]) -> Result<(), TooManyPartitions> {
    let added = |topic: &NewPartitions| {
        let current = image
            .topic(&topic.name)
            .map_or(0, |topic| topic.partitions.len());
        usize::try_from(topic.count)
            .unwrap_or(0)
            .saturating_sub(current)
    };
    let total = topics.iter().map(added).fold(0, usize::saturating_add);
    if total > MAX_PARTITIONS_PER_REQUEST {
        Err(TooManyPartitions)
    } else {
        Ok(())
    }
}

fn grow_topic(image: &Image, request: &NewPartitions) -> Result<Topic, CreatePartitionsError> {
    let topic = image
        .topic(&request.name)
        .ok_or(CreatePartitionsError::UnknownTopic)?;
    if topic_name::is_internal(&request.name) {
        return Err(CreatePartitionsError::CountIsFixed(request.name.clone()));
    }
    let current = topic.partitions.len();
    let count = usize::try_from(request.count).unwrap_or(0);
    if count == current {
        return Err(CreatePartitionsError::SameCount(current));
    }
    if count < current {
        let name = request.name.clone();
        return Err(CreatePartitionsError::NotAnIncrease {
            name,
            current,
            count: request.count,
        });
    }
    if count > MAX_PARTITIONS_PER_TOPIC {
        return Err(CreatePartitionsError::TooManyPartitions);
    }
    let replication_factor = topic
        .partitions
        .first()
        .map_or(1, |p| p.target_replicas().len());
    let placements = match &request.assignments {
        Some(assignments) => {
            check_manual(image, assignments, count - current, replication_factor)?;
            assignments.clone()
        }
        None => {
            let brokers = candidates(image);
            placement::place(
                &brokers,
                count - current,
                replication_factor,
                image.partition_count(),
            )
            .map_err(|source| CreatePartitionsError::Placement {
                replication_factor,
                source,
            })?
        }
    };
    let mut grown = Topic::clone(topic);
    grown.partitions.extend(
        new_partitions(image, placements, image.next_incarnation())
            .into_iter()
            .map(Arc::new),
    );
    Ok(grown)
}

fn check_manual(
    image: &Image,
    assignments: &[Vec<i32>],
    additional: usize,
    replication_factor: usize,
) -> Result<(), AssignmentError> {
    if assignments.len() != additional {
        return Err(AssignmentError::Count {
            additional,
            assignments: assignments.len(),
        });
    }
    assignments.iter().try_for_each(|brokers| {
        check_assignment(image, brokers, Some(replication_factor))?;
        check_some_active(image, brokers)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metadata::commands::testing::{create, image_with_brokers};

    #[test]
    fn the_topic_of_committed_offsets_keeps_its_number_of_partitions() {
        let image = create(&image_with_brokers(1), topic_name::CONSUMER_OFFSETS);
        let more = NewPartitions {
            name: topic_name::CONSUMER_OFFSETS.into(),
            count: 100,
            assignments: None,
        };
        let decision = create_partitions(&image, &[more]).unwrap();
        let refused = CreatePartitionsError::CountIsFixed(topic_name::CONSUMER_OFFSETS.into());
        assert_eq!(decision.outcome, [Err(refused)]);
        assert_eq!(decision.records, []);
    }

    fn grow(
        image: &Image,
        count: i32,
        assignments: Option<Vec<Vec<i32>>>,
    ) -> Result<Image, CreatePartitionsError> {
        let request = NewPartitions {
            name: "t".into(),
            count,
            assignments,
        };
        let decision = create_partitions(image, &[request]).unwrap();
        decision.outcome.into_iter().next().unwrap()?;
        Ok(decision
            .records
            .into_iter()
            .fold(image.clone(), Image::apply))
    }

    #[test]
    fn partitions_are_added_and_the_old_ones_stay() {
        let image = create(&image_with_brokers(2), "t");
        let before = image.topic("t").unwrap().partitions.clone();
        let after = grow(&image, 5, None).unwrap();
        assert_eq!(after.validate(), Ok(()));
        let topic = after.topic("t").unwrap();
        assert_eq!(topic.partitions.len(), 5);
        assert_eq!(topic.partitions[..3], before[..]);
        assert_eq!(topic.id, image.topic("t").unwrap().id);
    }

    #[test]
    fn refusals_are_kafkas() {
        let image = create(&image_with_brokers(2), "t");
        let check = |count, assignments, expected: &str| {
            assert_eq!(
                grow(&image, count, assignments).unwrap_err().to_string(),
                expected
            );
        };
        check(3, None, "Topic already has 3 partition(s).");
        check(
            -1,
            None,
            "The topic t currently has 3 partition(s); -1 would not be an increase.",
        );
        check(
            5,
            Some(vec![vec![0]]),
            "Attempted to add 2 additional partition(s), but only 1 assignment(s) were specified.",
        );
        check(
            4,
            Some(vec![vec![0, 1]]),
            "The manual partition assignment includes a partition with 2 replica(s), but this is \
             not consistent with previous partitions, which have 1 replica(s).",
        );
        let unknown = NewPartitions {
            name: "u".into(),
            count: 1,
            assignments: None,
        };
        let decision = create_partitions(&image, &[unknown]).unwrap();
        assert_eq!(decision.outcome, [Err(CreatePartitionsError::UnknownTopic)]);
        let huge = NewPartitions {
            name: "t".into(),
            count: i32::MAX,
            assignments: None,
        };
        assert!(create_partitions(&image, &[huge]).is_err());
    }
}
