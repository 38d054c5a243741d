//! DeleteTopics (key 20), versions 1 to 6.
//!
//! - Topics are named, and from version 6 named or given by id (KIP-516); one that is given twice, in
//!   whatever way, is refused with INVALID_REQUEST and stays.
//! - With `delete.topic.enable=false` everything is refused: with TOPIC_DELETION_DISABLED, and before
//!   version 3, which lacks it, with INVALID_REQUEST.
//! - Version 5 adds error messages.

use std::collections::{BTreeMap, BTreeSet};

use fjord_wire::{
    ErrorCode,
    messages::{
        delete_topics_request::{DeleteTopicState, DeleteTopicsRequest},
        delete_topics_response::{DeletableTopicResult, DeleteTopicsResponse},
    },
};
use uuid::Uuid;

use super::{
    Answer, Call, Handler,
    call::first_of,
    error::{ApiError, code_and_message},
};
use crate::{
    metadata::{
        Image,
        commands::{self, DeleteTopics as Deletion},
    },
    net::CloseConnection,
    security::{Operation, QuotaKind, Resource},
};

/// The first version in which deletion can be refused by its own error code.
const FIRST_VERSION_WITH_DISABLED: i16 = 3;

pub struct DeleteTopics;

impl Handler for DeleteTopics {
    type Request = DeleteTopicsRequest;

    async fn handle(
        call: Call<DeleteTopicsRequest>,
    ) -> Result<Answer<DeleteTopicsResponse>, CloseConnection> {
        let mut plan = Plan::default();
        plan.collect(&call.request);
        if !call.broker.config().api.delete_topics {
            let responses = plan.refuse_all(call.version);
            return Ok(Answer::Now(DeleteTopicsResponse {
                throttle_time_ms: 0,
                responses,
            }));
        }
        let image = call.image();
        plan.resolve(&image, &|operation, name| {
            call.is_authorized(operation, Resource::cluster())
                || call.is_authorized(operation, Resource::topic(name))
        });
        let partitions = plan.partition_count(&image);
        let mut responses = plan.responses;
        responses.extend(delete(&call, plan.to_delete).await);
        let throttle_time_ms = call.throttle_time_ms(QuotaKind::ControllerMutation, partitions);
        Ok(Answer::Now(DeleteTopicsResponse {
            throttle_time_ms,
            responses,
        }))
    }

    fn first_error(response: &DeleteTopicsResponse) -> i16 {
        first_of(response.responses.iter().map(|topic| topic.error_code))
    }
}

/// A topic by the way in which the request gives it, which is how the response gives it back.
#[derive(Debug, Clone, PartialEq, Eq)]
enum GivenBy {
    Name,
    Id,
}

/// What becomes of each topic of a request.
#[derive(Debug, Default)]
struct Plan {
    names: BTreeSet<String>,
    ids: BTreeSet<Uuid>,
    /// Topics that exist and may be deleted.
    to_delete: BTreeMap<Uuid, (String, GivenBy)>,
    /// Answers that are settled.
    responses: Vec<DeletableTopicResult>,
}

impl Plan {
    /// Sorts what the request gives into names and ids.
    fn collect(&mut self, request: &DeleteTopicsRequest) {
        let mut repeated_names = BTreeSet::new();
        let mut repeated_ids = BTreeSet::new();
        let mut add_name = |names: &mut BTreeSet<String>, name: &String| {
            if !names.insert(name.clone()) {
                repeated_names.insert(name.clone());
            }
        };
        for name in &request.topic_names {
            add_name(&mut self.names, name);
        }
        for DeleteTopicState { name, topic_id } in &request.topics {
            match (name, topic_id.is_nil()) {
                (Some(name), true) => add_name(&mut self.names, name),
                (None, false) => {
                    if !self.ids.insert(*topic_id) {
                        repeated_ids.insert(*topic_id);
                    }
                }
                (None, true) => self.refuse(
                    None,
                    Uuid::nil(),
                    ApiError::invalid_request("Neither topic name nor id were specified."),
                ),
                (Some(name), false) => self.refuse(
                    Some(name.clone()),
                    *topic_id,
                    ApiError::invalid_request("You may not specify both topic name and topic id."),
                ),
            }
        }
        for name in repeated_names {
            self.names.remove(&name);
            let error = ApiError::invalid_request("Duplicate topic name.");
            self.refuse(Some(name), Uuid::nil(), error);
        }
        for id in repeated_ids {
            self.ids.remove(&id);
            self.refuse(None, id, ApiError::invalid_request("Duplicate topic id."));
        }
    }

    /// Finds the topics, and asks whether they may be seen and deleted.
    fn resolve(&mut self, image: &Image, is_authorized: &dyn Fn(Operation, &str) -> bool) {
        let denied = || {
            let code = ErrorCode::TopicAuthorizationFailed;
            ApiError::new(code, code.message())
        };
        for id in std::mem::take(&mut self.ids) {
            let Some(topic) = image.topic_by_id(&id) else {
                self.refuse(None, id, commands::UnknownTopicId.into());
                continue;
            };
            let name = topic.name.to_string();
            if is_authorized(Operation::Delete, &name) {
                self.to_delete.insert(id, (name, GivenBy::Id));
            } else {
                // The name of a topic that may not be seen is not given away.
                let visible = is_authorized(Operation::Describe, &name).then_some(name);
                self.refuse(visible, id, denied());
            }
        }
        for name in std::mem::take(&mut self.names) {
            if !is_authorized(Operation::Describe, &name) {
                self.refuse(Some(name), Uuid::nil(), denied());
                continue;
            }
            let Some(topic) = image.topic(&name) else {
                let code = ErrorCode::UnknownTopicOrPartition;
                self.refuse(Some(name), Uuid::nil(), ApiError::new(code, code.message()));
                continue;
            };
            if !is_authorized(Operation::Delete, &name) {
                self.refuse(Some(name), Uuid::nil(), denied());
            } else if self.to_delete.remove(&topic.id).is_some() {
                let error = ApiError::invalid_request(
                    "The provided topic name maps to an ID that was already supplied.",
                );
                self.refuse(Some(name), topic.id, error);
            } else {
                self.to_delete.insert(topic.id, (name, GivenBy::Name));
            }
        }
    }

    /// The answers where deletion is disabled.
    fn refuse_all(mut self, version: i16) -> Vec<DeletableTopicResult> {
        let error = if version < FIRST_VERSION_WITH_DISABLED {
            ApiError::invalid_request("This version does not support topic deletion.")
        } else {
            ApiError::new(
                ErrorCode::TopicDeletionDisabled,
                "Topic deletion is disabled.",
            )
        };
        for name in std::mem::take(&mut self.names) {
            self.refuse(Some(name), Uuid::nil(), error.clone());
        }
        for id in std::mem::take(&mut self.ids) {
            self.refuse(None, id, error.clone());
        }
        self.responses
    }

    fn partition_count(&self, image: &Image) -> usize {
        let topics = self.to_delete.keys().filter_map(|id| image.topic_by_id(id));
        topics.map(|topic| topic.partitions.len()).sum()
    }

    fn refuse(&mut self, name: Option<String>, topic_id: Uuid, error: ApiError) {
        self.responses.push(result(name, topic_id, Err(error)));
    }
}

async fn delete(
    call: &Call<DeleteTopicsRequest>,
    to_delete: BTreeMap<Uuid, (String, GivenBy)>,
) -> Vec<DeletableTopicResult> {
    if to_delete.is_empty() {
        return Vec::new();
    }
    let ids: Vec<Uuid> = to_delete.keys().copied().collect();
    let executed = call.broker.metadata.submit(Deletion { ids }).await;
    let outcomes: Vec<Result<(), ApiError>> = match executed {
        Ok(outcomes) => outcomes
            .into_iter()
            .map(|outcome| outcome.map_err(Into::into))
            .collect(),
        Err(error) => std::iter::repeat_n(Err(ApiError::from(error)), to_delete.len()).collect(),
    };
    let results = to_delete
        .into_iter()
        .zip(outcomes)
        .map(|((id, (name, given_by)), outcome)| {
            // A topic that vanished meanwhile is unknown in the terms in which it was given.
            let outcome = outcome.map_err(|error| match (given_by, error.code) {
                (GivenBy::Name, ErrorCode::UnknownTopicId) => {
                    let code = ErrorCode::UnknownTopicOrPartition;
                    ApiError::new(code, code.message())
                }
                _ => error,
            });
            result(Some(name), id, outcome)
        });
    results.collect()
}

fn result(
    name: Option<String>,
    topic_id: Uuid,
    outcome: Result<(), ApiError>,
) -> DeletableTopicResult {
    let (error_code, error_message) = code_and_message(outcome);
    DeletableTopicResult {
        name,
        topic_id,
        error_code,
        error_message,
    }
}
