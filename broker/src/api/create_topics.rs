//! CreateTopics (key 19), versions 2 to 7.
//!
//! - Errors are per topic. A name that appears twice is refused with INVALID_REQUEST, both times.
//! - -1 partitions or replicas mean `num.partitions` and `default.replication.factor` (KIP-464).
//! - Version 5 adds the number of partitions and replicas and all configs of the created topics, with
//!   their sources (KIP-525); version 7 adds the topic id.
//! - `validate_only` answers as if, and changes nothing.
//! - The timeout is not looked at: a topic is there when the response is.

use std::collections::BTreeSet;

use fjord_wire::{
    ErrorCode,
    messages::{
        create_topics_request::{CreatableTopic, CreateTopicsRequest},
        create_topics_response::{
            CreatableTopicConfigs, CreatableTopicResult, CreateTopicsResponse,
        },
    },
};

use super::{Answer, Call, Handler, call::first_of, error::ApiError};
use crate::{
    broker::Broker,
    config::describe::describe_topic,
    metadata::{
        commands::{self, CreatedTopic, CreationDefaults, NewTopic},
        new_topic_id,
    },
    net::CloseConnection,
    security::{Operation, QuotaKind, Resource},
};

pub struct CreateTopics;

impl Handler for CreateTopics {
    type Request = CreateTopicsRequest;

    async fn handle(
        mut call: Call<CreateTopicsRequest>,
    ) -> Result<Answer<CreateTopicsResponse>, CloseConnection> {
        let requested = std::mem::take(&mut call.request.topics);
        let repeated = repeated_names(&requested);
        let mut topics = Vec::new();
        let mut accepted = Vec::new();
        for topic in requested {
            if repeated.contains(&topic.name) {
                continue;
            }
            if is_creation_authorized(&call, &topic.name) {
                accepted.push(to_new_topic(topic));
            } else {
                let error =
                    ApiError::new(ErrorCode::TopicAuthorizationFailed, "Authorization failed.");
                topics.push(refused(topic.name, error));
            }
        }
        let duplicate = ApiError::invalid_request("Duplicate topic name.");
        topics.extend(
            repeated
                .into_iter()
                .map(|name| refused(name, duplicate.clone())),
        );

        let names: Vec<String> = accepted.iter().map(|topic| topic.name.clone()).collect();
        let results = create(&call.broker, accepted, call.request.validate_only).await;
        let mut partitions = 0;
        for (name, result) in names.into_iter().zip(results) {
            topics.push(match result {
                Ok(created) => {
                    partitions += created.partition_count;
                    accepted_result(&call, name, &created)
                }
                Err(error) => refused(name, error),
            });
        }
        let throttle_time_ms = call.throttle_time_ms(QuotaKind::ControllerMutation, partitions);
        Ok(Answer::Now(CreateTopicsResponse {
            throttle_time_ms,
            topics,
        }))
    }

    fn first_error(response: &CreateTopicsResponse) -> i16 {
        first_of(response.topics.iter().map(|topic| topic.error_code))
    }
}

/// Creates topics with the broker's defaults and rules. Results are in the order of the topics.
pub(super) async fn create(
    broker: &Broker,
    topics: Vec<NewTopic>,
    validate_only: bool,
) -> Vec<Result<CreatedTopic, ApiError>> {
    let count = topics.len();
    let config = broker.config();
    let defaults = CreationDefaults {
        partition_count: config.api.num_partitions,
        replication_factor: config.api.default_replication_factor,
    };
    let request = commands::CreateTopics {
        topics,
        defaults,
        validate_only,
    };
    let refused: ApiError = match broker.metadata.submit(request).await {
        Ok(Ok(outcomes)) => {
            return outcomes
                .into_iter()
                .map(|outcome| outcome.map_err(ApiError::from))
                .collect();
        }
        Ok(Err(too_many)) => too_many.into(),
        Err(error) => error.into(),
    };
    std::iter::repeat_n(Err(refused), count).collect()
}

fn repeated_names(topics: &[CreatableTopic]) -> BTreeSet<String> {
    let mut seen = BTreeSet::new();
    let repeated = topics
        .iter()
        .filter(|topic| !seen.insert(topic.name.as_str()));
    repeated.map(|topic| topic.name.clone()).collect()
}

fn is_creation_authorized(call: &Call<CreateTopicsRequest>, name: &str) -> bool {
    call.is_authorized(Operation::Create, Resource::cluster())
        || call.is_authorized(Operation::Create, Resource::topic(name))
}

fn to_new_topic(topic: CreatableTopic) -> NewTopic {
    let assignments = topic
        .assignments
        .into_iter()
        .map(|a| (a.partition_index, a.broker_ids));
    NewTopic {
        name: topic.name,
        topic_id: new_topic_id(),
        partition_count: topic.num_partitions,
        replication_factor: topic.replication_factor,
        assignments: assignments.collect(),
        configs: topic
            .configs
            .into_iter()
            .map(|config| (config.name, config.value))
            .collect(),
    }
}

fn refused(name: String, error: ApiError) -> CreatableTopicResult {
    CreatableTopicResult {
        name,
        error_code: error.code.code(),
        error_message: error.message,
        ..Default::default()
    }
}

fn accepted_result(
    call: &Call<CreateTopicsRequest>,
    name: String,
    created: &CreatedTopic,
) -> CreatableTopicResult {
    let mut result = CreatableTopicResult {
        name,
        topic_id: created.topic_id,
        ..Default::default()
    };
    result.error_message = None;
    if !call.is_authorized(Operation::DescribeConfigs, Resource::topic(&result.name)) {
        result.topic_config_error_code = ErrorCode::TopicAuthorizationFailed.code();
        return result;
    }
    result.num_partitions = i32::try_from(created.partition_count).unwrap_or(i32::MAX);
    result.replication_factor = i16::try_from(created.replication_factor).unwrap_or(i16::MAX);
    let configs = describe_topic(&created.configs, &call.broker.config());
    let configs = configs.into_iter().map(|config| CreatableTopicConfigs {
        name: config.name.to_owned(),
        value: config.value,
        read_only: config.read_only,
        config_source: config.source.wire_id(),
        is_sensitive: config.sensitive,
    });
    result.configs = Some(configs.collect());
    result
}
