//! DeleteTopics, by id; names are resolved by the caller.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::metadata::{Decision, Image, records::Record};

/// No topic has this id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[error("This server does not host this topic ID.")]
pub struct UnknownTopicId;

/// Deletes those of the topics that exist. Outcomes are in the order of the ids.
pub fn delete_topics(image: &Image, ids: &[Uuid]) -> Decision<Vec<Result<(), UnknownTopicId>>> {
    let mut records: Vec<Record> = Vec::new();
    let mut deleted = std::collections::HashSet::new();
    let outcome = ids.iter().map(|id| {
        let topic = image
            .topic_by_id(id)
            .filter(|_| deleted.insert(*id))
            .ok_or(UnknownTopicId)?;
        records.push(Record::Topic {
            name: topic.name.to_string(),
            value: None,
        });
        // After the topic: while it is there, its partitions must not lose their newest state.
        let changed = topic.partitions.iter().filter(|p| p.partition_epoch > 0);
        records.extend(changed.map(|partition| Record::Partition {
            incarnation: partition.incarnation,
            value: None,
        }));
        Ok(())
    });
    let outcome = outcome.collect();
    Decision { records, outcome }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metadata::commands::testing::{create, image_with_brokers};

    #[test]
    fn a_deleted_topic_is_gone_and_the_rest_stays() {
        let image = create(&create(&image_with_brokers(1), "a"), "b");
        let id = image.topic("a").unwrap().id;
        let decision = delete_topics(&image, &[Uuid::nil(), id, id]);
        assert_eq!(
            decision.outcome,
            [Err(UnknownTopicId), Ok(()), Err(UnknownTopicId)]
        );
        let after = decision
            .records
            .into_iter()
            .fold(image.clone(), Image::apply);
        assert!(after.topic("a").is_none() && after.topic_by_id(&id).is_none());
        assert!(after.topic("b").is_some());
        assert_eq!(after.next_incarnation(), image.next_incarnation());
        assert_eq!(after.validate(), Ok(()));
    }
}
