//! Requests that are about partitions: taken apart by their leaders, and their answers put together in the order of the
//! request. Pure.

use std::collections::{HashMap, HashSet};

use fjord_wire::messages::{
    delete_records_request::DeleteRecordsRequest,
    delete_records_response::{
        DeleteRecordsPartitionResult, DeleteRecordsResponse, DeleteRecordsTopicResult,
    },
    fetch_request::FetchRequest,
    fetch_response::{FetchResponse, FetchableTopicResponse, PartitionData},
    list_offsets_request::ListOffsetsRequest,
    list_offsets_response::{
        ListOffsetsPartitionResponse, ListOffsetsResponse, ListOffsetsTopicResponse,
    },
    produce_request::ProduceRequest,
    produce_response::{PartitionProduceResponse, ProduceResponse, TopicProduceResponse},
};

use super::route::TopicPartition;
use crate::api::{error::ApiError, local::Served};

/// A request whose every partition is answered for itself.
pub trait ByPartition: Served + Clone + Sync {
    /// The answer for one partition.
    type Answer: Send + 'static;

    /// The partitions, in the order of the request. None may be named twice.
    fn partitions(&self) -> Vec<TopicPartition>;

    /// The request for some of its partitions only.
    #[must_use]
    fn only(&self, wanted: &HashSet<&TopicPartition>) -> Self;

    /// The answers of a response.
    fn answers(response: Self::Response) -> Vec<(TopicPartition, Self::Answer)>;

    /// A response of these answers, in their order.
    fn response(answers: Vec<(TopicPartition, Self::Answer)>) -> Self::Response;

    /// The error code of an answer.
    fn code(answer: &Self::Answer) -> i16;

    /// An answer that is nothing but an error.
    fn refused(partition: i32, error: &ApiError) -> Self::Answer;

    /// The response to this request: the answers in its order, as far as they are there.
    fn in_order(&self, mut answers: HashMap<TopicPartition, Self::Answer>) -> Self::Response {
        let partitions = self.partitions().into_iter();
        let found = partitions.filter_map(|partition| {
            let answer = answers.remove(&partition)?;
            Some((partition, answer))
        });
        Self::response(found.collect())
    }
}

macro_rules! by_partition {
    ($request:ty { $topics:ident.$topic:ident, $partitions:ident.$partition:ident },
     $response:ident {
         $responses:ident: $of_topic:ident.$name:ident $(and $id:ident)?,
         $parts:ident: $answer:ident.$index:ident
     },
     $refused:expr) => {
        impl ByPartition for $request {
            type Answer = $answer;

            fn partitions(&self) -> Vec<TopicPartition> {
                let of_topic = self.$topics.iter().flat_map(|topic| {
                    let partitions = topic.$partitions.iter();
                    partitions.map(|asked| (topic.$topic.clone(), asked.$partition))
                });
                of_topic.collect()
            }

            fn only(&self, wanted: &HashSet<&TopicPartition>) -> Self {
                let mut part = self.clone();
                for topic in &mut part.$topics {
                    let name = topic.$topic.clone();
                    topic
                        .$partitions
                        .retain(|asked| wanted.contains(&(name.clone(), asked.$partition)));
                }
                part.$topics.retain(|topic| !topic.$partitions.is_empty());
                part
            }

            fn answers(response: $response) -> Vec<(TopicPartition, $answer)> {
                let of_topic = response.$responses.into_iter().flat_map(|topic| {
                    let name = topic.$name;
                    let answers = topic.$parts.into_iter();
                    answers.map(move |answer| ((name.clone(), answer.$index), answer))
                });
                of_topic.collect()
            }

            fn response(answers: Vec<(TopicPartition, $answer)>) -> $response {
                let mut response = $response::default();
                for ((name, _), answer) in answers {
                    match response.$responses.last_mut() {
                        Some(last) if last.$name == name => last.$parts.push(answer),
                        _ => response.$responses.push($of_topic {
                            $name: name,
                            $parts: vec![answer],
                            $($id: uuid::Uuid::nil(),)?
                        }),
                    }
                }
                response
            }

            fn code(answer: &$answer) -> i16 {
                answer.error_code
            }

            fn refused(partition: i32, error: &ApiError) -> $answer {
                let refused: fn(&ApiError) -> $answer = $refused;
                $answer {
                    $index: partition,
                    error_code: error.code.code(),
                    ..refused(error)
                }
            }
        }
    };
}

by_partition!(
    ProduceRequest { topic_data.name, partition_data.index },
    ProduceResponse {
        responses: TopicProduceResponse.name and topic_id,
        partition_responses: PartitionProduceResponse.index
    },
    |error| PartitionProduceResponse {
        base_offset: -1,
        log_append_time_ms: -1,
        log_start_offset: -1,
        error_message: error.message.clone(),
        ..PartitionProduceResponse::default()
    }
);

by_partition!(
    FetchRequest { topics.topic, partitions.partition },
    FetchResponse {
        responses: FetchableTopicResponse.topic and topic_id,
        partitions: PartitionData.partition_index
    },
    |_| PartitionData {
        high_watermark: -1,
        last_stable_offset: -1,
        log_start_offset: -1,
        preferred_read_replica: -1,
        ..PartitionData::default()
    }
);

by_partition!(
    ListOffsetsRequest { topics.name, partitions.partition_index },
    ListOffsetsResponse {
        topics: ListOffsetsTopicResponse.name,
        partitions: ListOffsetsPartitionResponse.partition_index
    },
    |_| ListOffsetsPartitionResponse {
        timestamp: -1,
        offset: -1,
        leader_epoch: -1,
        ..ListOffsetsPartitionResponse::default()
    }
);

by_partition!(
    DeleteRecordsRequest { topics.name, partitions.partition_index },
    DeleteRecordsResponse {
        topics: DeleteRecordsTopicResult.name,
        partitions: DeleteRecordsPartitionResult.partition_index
    },
    |_| DeleteRecordsPartitionResult {
        low_watermark: -1,
        ..DeleteRecordsPartitionResult::default()
    }
);

#[cfg(test)]
mod tests {
    use fjord_wire::{
        ErrorCode,
        messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic},
    };

    use super::*;

    fn request(topics: &[(&str, &[i32])]) -> ListOffsetsRequest {
        let partition = |index: &i32| ListOffsetsPartition {
            partition_index: *index,
            ..ListOffsetsPartition::default()
        };
        let topic = |(name, partitions): &(&str, &[i32])| ListOffsetsTopic {
            name: (*name).to_owned(),
            partitions: partitions.iter().map(partition).collect(),
        };
        ListOffsetsRequest {
            replica_id: -1,
            topics: topics.iter().map(topic).collect(),
            ..ListOffsetsRequest::default()
        }
    }

    fn named(partitions: &[(&str, i32)]) -> Vec<TopicPartition> {
        let owned = |(topic, partition): &(&str, i32)| ((*topic).to_owned(), *partition);
        partitions.iter().map(owned).collect()
    }

    #[test]
    fn a_part_of_a_request_has_the_wanted_partitions_and_everything_else() {
        let whole = request(&[("a", &[2, 0]), ("b", &[1])]);
        assert_eq!(whole.partitions(), named(&[("a", 2), ("a", 0), ("b", 1)]));
        let wanted = named(&[("a", 0), ("c", 1)]);
        let part = whole.only(&wanted.iter().collect());
        assert_eq!(part, request(&[("a", &[0])]));
    }

    #[test]
    fn answers_come_in_the_order_of_the_request_and_under_their_topics() {
        let whole = request(&[("a", &[2, 0]), ("b", &[1]), ("a", &[5])]);
        let error = ApiError::from(ErrorCode::NetworkException);
        let mut answers = HashMap::new();
        for partition in whole.partitions() {
            let answer = ListOffsetsRequest::refused(partition.1, &error);
            answers.insert(partition, answer);
        }
        let response = whole.in_order(answers);
        let topics: Vec<&str> = response.topics.iter().map(|t| t.name.as_str()).collect();
        assert_eq!(topics, ["a", "b", "a"]);
        let again = ListOffsetsRequest::answers(response);
        let order: Vec<_> = again
            .iter()
            .map(|(partition, _)| partition.clone())
            .collect();
        assert_eq!(order, whole.partitions());
        let code = ErrorCode::NetworkException.code();
        assert!(
            again
                .iter()
                .all(|(_, answer)| answer.error_code == code && answer.offset == -1)
        );
    }

    #[test]
    fn a_partition_without_an_answer_is_left_out() {
        let whole = request(&[("a", &[1, 2])]);
        let error = ApiError::from(ErrorCode::OffsetNotAvailable);
        let answer = ListOffsetsRequest::refused(2, &error);
        let response = whole.in_order(HashMap::from([(("a".to_owned(), 2), answer)]));
        assert_eq!(ListOffsetsRequest::answers(response).len(), 1);
    }
}
