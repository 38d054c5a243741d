//! DescribeTopicPartitions (key 75), version 0: topics page by page (KIP-966).
//!
//! - Topics come in the order of their names; no topics in the request mean all of them.
//! - At most as many partitions are returned as the client and `max.request.partition.size.limit` allow, and then the place to
//!   go on from as the next cursor.
//! - A cursor must name one of the topics asked for, and a partition index that is not negative.

use std::collections::BTreeSet;

use fjord_wire::{
    ErrorCode,
    messages::{
        describe_topic_partitions_request::{Cursor, DescribeTopicPartitionsRequest},
        describe_topic_partitions_response::{
            Cursor as NextCursor, DescribeTopicPartitionsResponse,
            DescribeTopicPartitionsResponsePartition, DescribeTopicPartitionsResponseTopic,
        },
    },
};

use super::{Answer, Call, Handler, authorized_operations::bit_field, call::first_of};
use crate::{
    metadata::{Image, Partition, Topic, topic_name},
    net::CloseConnection,
    security::{Operation, Resource},
};

pub struct DescribeTopicPartitions;

impl Handler for DescribeTopicPartitions {
    type Request = DescribeTopicPartitionsRequest;

    async fn handle(
        call: Call<DescribeTopicPartitionsRequest>,
    ) -> Result<Answer<DescribeTopicPartitionsResponse>, CloseConnection> {
        let image = call.image();
        let max_partitions = call.broker.config().api.describe_partitions_max;
        let is_visible =
            |name: &str| call.is_authorized(Operation::Describe, Resource::topic(name));
        let mut response = describe(&image, &call.request, max_partitions, &is_visible);
        for topic in &mut response.topics {
            let name = topic.name.as_deref().unwrap_or_default();
            topic.topic_authorized_operations =
                bit_field(Resource::topic(name), |operation, resource| {
                    call.is_authorized(operation, resource)
                });
        }
        Ok(Answer::Now(response))
    }

    fn first_error(response: &DescribeTopicPartitionsResponse) -> i16 {
        first_of(response.topics.iter().map(|topic| topic.error_code))
    }
}

fn describe(
    image: &Image,
    request: &DescribeTopicPartitionsRequest,
    max_partitions: usize,
    is_visible: &dyn Fn(&str) -> bool,
) -> DescribeTopicPartitionsResponse {
    let (from_topic, from_partition) = match &request.cursor {
        Some(Cursor {
            topic_name,
            partition_index,
        }) => (topic_name.as_str(), *partition_index),
        None => ("", 0),
    };
    let all = request.topics.is_empty();
    let asked: BTreeSet<&str> = if all {
        image
            .topics_from(from_topic)
            .map(|topic| topic.name.as_ref())
            .collect()
    } else {
        let names = request.topics.iter().map(|topic| topic.name.as_str());
        names.filter(|name| *name >= from_topic).collect()
    };
    let is_cursor_foreign = request.cursor.is_some() && !all && !asked.contains(from_topic);
    let Ok(from_partition) = usize::try_from(from_partition) else {
        return refuse_all(request);
    };
    if is_cursor_foreign {
        return refuse_all(request);
    }
    let limit = usize::try_from(request.response_partition_limit).unwrap_or(0);
    let page = Page {
        image,
        remaining: limit.min(max_partitions).max(1),
        response: DescribeTopicPartitionsResponse::default(),
    };
    page.fill(&asked, (from_topic, from_partition), all, is_visible)
}

fn refuse_all(request: &DescribeTopicPartitionsRequest) -> DescribeTopicPartitionsResponse {
    let refused = |name: &String| without_partitions(name, ErrorCode::InvalidRequest, None);
    let topics = request
        .topics
        .iter()
        .map(|topic| refused(&topic.name))
        .collect();
    DescribeTopicPartitionsResponse {
        topics,
        ..Default::default()
    }
}

/// A response that is being filled.
struct Page<'a> {
    image: &'a Image,
    remaining: usize,
    response: DescribeTopicPartitionsResponse,
}

impl Page<'_> {
    fn fill(
        mut self,
        names: &BTreeSet<&str>,
        from: (&str, usize),
        all: bool,
        is_visible: &dyn Fn(&str) -> bool,
    ) -> DescribeTopicPartitionsResponse {
        let (visible, hidden): (Vec<&str>, Vec<&str>) =
            names.iter().copied().partition(|name| is_visible(name));
        self.response.next_cursor = None;
        for name in visible {
            if self.remaining == 0 {
                self.response.next_cursor = Some(cursor(name, 0));
                break;
            }
            let first = if name == from.0 { from.1 } else { 0 };
            match self.image.topic(name) {
                Some(topic) => {
                    if let Some(next) = self.add_topic(topic, first) {
                        self.response.next_cursor = Some(cursor(name, next));
                        break;
                    }
                }
                None => self.response.topics.push(unknown_topic(name)),
            }
        }
        // That hidden topics exist is not given away: they are denied whether they do or not, but only
        // where they were asked for.
        if !all {
            let denied = ErrorCode::TopicAuthorizationFailed;
            let hidden = hidden
                .into_iter()
                .map(|name| without_partitions(name, denied, None));
            self.response.topics.extend(hidden);
        }
        self.response
    }

    /// Adds partitions from `first` on, as many as still fit. Returns the index to go on from if that
    /// is not all of them.
    fn add_topic(&mut self, topic: &Topic, first: usize) -> Option<usize> {
        let end = first
            .saturating_add(self.remaining)
            .min(topic.partitions.len());
        let first = first.min(end);
        let chosen = topic.partitions[first..end].iter().zip(first..);
        let partitions: Vec<_> = chosen
            .map(|(partition, index)| describe_partition(self.image, partition, index))
            .collect();
        self.remaining -= partitions.len();
        let mut described = without_partitions(&topic.name, ErrorCode::None, Some(topic));
        described.partitions = partitions;
        self.response.topics.push(described);
        (end < topic.partitions.len()).then_some(end)
    }
}

fn cursor(topic_name: &str, partition_index: usize) -> NextCursor {
    let partition_index = i32::try_from(partition_index).unwrap_or(i32::MAX);
    NextCursor {
        topic_name: topic_name.to_owned(),
        partition_index,
    }
}

fn unknown_topic(name: &str) -> DescribeTopicPartitionsResponseTopic {
    let code = match topic_name::validate(name) {
        Ok(()) => ErrorCode::UnknownTopicOrPartition,
        Err(_) => ErrorCode::InvalidTopicException,
    };
    without_partitions(name, code, None)
}

fn without_partitions(
    name: &str,
    code: ErrorCode,
    topic: Option<&Topic>,
) -> DescribeTopicPartitionsResponseTopic {
    DescribeTopicPartitionsResponseTopic {
        error_code: code.code(),
        name: Some(name.to_owned()),
        topic_id: topic.map(|topic| topic.id).unwrap_or_default(),
        is_internal: topic_name::is_internal(name),
        ..Default::default()
    }
}

fn describe_partition(
    image: &Image,
    partition: &Partition,
    index: usize,
) -> DescribeTopicPartitionsResponsePartition {
    let state = super::metadata::partition_state(image, partition);
    DescribeTopicPartitionsResponsePartition {
        error_code: state.error.code(),
        partition_index: i32::try_from(index).unwrap_or(i32::MAX),
        leader_id: state.leader_id,
        leader_epoch: partition.leader_epoch,
        replica_nodes: partition.replicas.clone(),
        isr_nodes: partition.in_sync_replicas.clone(),
        eligible_leader_replicas: Some(partition.eligible_leader_replicas.clone()),
        last_known_elr: Some(partition.last_known_eligible_leader_replicas.clone()),
        offline_replicas: state.offline_replicas,
    }
}

#[cfg(test)]
mod tests {
    use fjord_wire::messages::describe_topic_partitions_request::TopicRequest;

    use super::*;
    use crate::metadata::commands::testing::{create, image_with_brokers};

    fn request(
        names: &[&str],
        limit: i32,
        cursor: Option<(&str, i32)>,
    ) -> DescribeTopicPartitionsRequest {
        let topic = |name: &&str| TopicRequest {
            name: (*name).to_owned(),
        };
        let cursor = cursor.map(|(topic_name, partition_index)| Cursor {
            topic_name: topic_name.to_owned(),
            partition_index,
        });
        DescribeTopicPartitionsRequest {
            topics: names.iter().map(topic).collect(),
            response_partition_limit: limit,
            cursor,
        }
    }

    /// Follows the cursor to the end: (topic, error, partition indexes) of each piece.
    fn pages(image: &Image, names: &[&str], limit: i32) -> Vec<Vec<(String, i16, Vec<i32>)>> {
        let mut pages = Vec::new();
        let mut cursor = None;
        loop {
            let from = cursor
                .as_ref()
                .map(|c: &NextCursor| (c.topic_name.as_str(), c.partition_index));
            let response = describe(image, &request(names, limit, from), 2000, &|_| true);
            let piece = |topic: &DescribeTopicPartitionsResponseTopic| {
                let indexes = topic.partitions.iter().map(|p| p.partition_index).collect();
                (topic.name.clone().unwrap(), topic.error_code, indexes)
            };
            pages.push(response.topics.iter().map(piece).collect());
            cursor = response.next_cursor;
            if cursor.is_none() {
                return pages;
            }
        }
    }

    fn two_topics() -> Image {
        create(&create(&image_with_brokers(1), "b"), "a")
    }

    #[test]
    fn pages_follow_each_other_without_gap_or_repetition() {
        let image = two_topics();
        let all = |name: &str, indexes: &[i32]| (name.to_owned(), 0, indexes.to_vec());
        assert_eq!(
            pages(&image, &[], 100),
            [[all("a", &[0, 1, 2]), all("b", &[0, 1, 2])]]
        );
        assert_eq!(
            pages(&image, &[], 2),
            [
                vec![all("a", &[0, 1])],
                vec![all("a", &[2]), all("b", &[0])],
                vec![all("b", &[1, 2])],
            ]
        );
        assert_eq!(
            pages(&image, &["b", "a"], 3),
            [[all("a", &[0, 1, 2])], [all("b", &[0, 1, 2])]]
        );
        // A limit that makes no sense is one partition at a time.
        assert_eq!(pages(&image, &["a"], -5).len(), 3);
    }

    #[test]
    fn unknown_topics_are_named_and_do_not_stop_the_others() {
        let image = two_topics();
        let pages = pages(&image, &["a", "no", "b", "?"], 100);
        let errors: Vec<_> = pages[0]
            .iter()
            .map(|(name, code, _)| (name.as_str(), *code))
            .collect();
        let unknown = ErrorCode::UnknownTopicOrPartition.code();
        let invalid = ErrorCode::InvalidTopicException.code();
        assert_eq!(
            errors,
            [("?", invalid), ("a", 0), ("b", 0), ("no", unknown)]
        );
    }

    #[test]
    fn bad_cursors_are_refused() {
        let image = two_topics();
        for cursor in [("a", -1), ("aa", 0)] {
            let response = describe(
                &image,
                &request(&["a", "b"], 10, Some(cursor)),
                2000,
                &|_| true,
            );
            let invalid = ErrorCode::InvalidRequest.code();
            assert!(
                response
                    .topics
                    .iter()
                    .all(|topic| topic.error_code == invalid)
            );
            assert_eq!(response.topics.len(), 2);
        }
        // A cursor beyond the end of its topic goes on with the next topic.
        let response = describe(&image, &request(&[], 10, Some(("a", 9))), 2000, &|_| true);
        let counts: Vec<_> = response.topics.iter().map(|t| t.partitions.len()).collect();
        assert_eq!(counts, [0, 3]);
    }

    #[test]
    fn hidden_topics_are_denied_by_name_and_left_out_of_all() {
        let image = two_topics();
        let only_a = |name: &str| name == "a";
        let response = describe(&image, &request(&[], 10, None), 2000, &only_a);
        assert_eq!(response.topics.len(), 1);
        let response = describe(&image, &request(&["b", "zz"], 10, None), 2000, &only_a);
        let denied = ErrorCode::TopicAuthorizationFailed.code();
        assert!(
            response
                .topics
                .iter()
                .all(|topic| topic.error_code == denied && topic.topic_id.is_nil())
        );
        assert_eq!(response.topics.len(), 2);
    }
}
