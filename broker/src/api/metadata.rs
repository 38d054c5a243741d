//! Metadata (key 3), versions 0 to 13: brokers, topics, and who leads what.
//!
//! - All topics are asked for by null, and in version 0 by an empty list; from version 1 an empty list
//!   asks for none.
//! - A topic that is asked for twice is answered once.
//! - A topic that does not exist is created if the client allows it (version 4 and up; before that
//!   always) and `auto.create.topics.enable` does. Kafka answers LEADER_NOT_AVAILABLE or
//!   UNKNOWN_TOPIC_OR_PARTITION and lets the client ask again; here the topic exists by the time of the
//!   response, so that the first answer is complete.
//! - Version 8 adds authorized operations, of the cluster only up to version 10.
//! - Version 12 takes topic ids (KIP-516); 10 and 11 have the fields but must not use them.
//! - Version 13 has an error code for the whole response.
//! - It is answered as the metadata is when the response leaves, which may be after earlier requests have waited for
//!   followers of a broker that was lost. Such a broker is listed for a while ([`crate::lost_brokers`]), and the list is
//!   never empty.
//! - The broker that is asked names itself as the controller, since any broker takes what clients send
//!   to one.

use std::{collections::BTreeSet, sync::Arc, time::Instant};

use fjord_wire::{
    ErrorCode,
    messages::{
        metadata_request::{MetadataRequest, MetadataRequestTopic},
        metadata_response::{
            MetadataResponse, MetadataResponseBroker, MetadataResponsePartition,
            MetadataResponseTopic,
        },
    },
};
use uuid::Uuid;

use super::{
    Answer, Call, Handler,
    authorized_operations::{NOT_ASKED, bit_field},
    call::first_of,
    create_topics,
    endpoints::{ReachableBroker, known_brokers},
};
use crate::{
    metadata::{
        Image, Partition, Topic, commands::NewTopic, image::NO_LEADER, new_topic_id, topic_name,
    },
    net::CloseConnection,
    security::{Operation, Resource},
};

/// The first version that may give topics by id.
const FIRST_VERSION_WITH_IDS: i16 = 12;

pub struct Metadata;

impl Handler for Metadata {
    type Request = MetadataRequest;

    async fn handle(
        mut call: Call<MetadataRequest>,
    ) -> Result<Answer<MetadataResponse>, CloseConnection> {
        let topics = match call.request.topics.take() {
            Some(topics) if call.version == 0 && topics.is_empty() => None,
            topics => topics,
        };
        if call.version < FIRST_VERSION_WITH_IDS
            && topics
                .iter()
                .flatten()
                .any(|topic| topic.name.is_none() || !topic.topic_id.is_nil())
        {
            return Ok(Answer::Now(refuse_all(topics.unwrap_or_default())));
        }
        let refused = match &topics {
            Some(topics) => auto_create(&call, topics).await,
            None => Vec::new(),
        };
        Ok(Answer::in_turn(async move {
            let cluster = &call.broker.cluster;
            cluster.reached(cluster.committed_offset()).await;
            respond(&call, topics, &refused)
        }))
    }

    fn first_error(response: &MetadataResponse) -> i16 {
        first_of(response.topics.iter().map(|topic| topic.error_code))
    }
}

/// The response as the metadata is now.
fn respond(
    call: &Call<MetadataRequest>,
    topics: Option<Vec<MetadataRequestTopic>>,
    refused: &[(String, ErrorCode)],
) -> MetadataResponse {
    let image = call.image();
    let mut seen = BTreeSet::new();
    let topics = match topics {
        Some(topics) => topics
            .into_iter()
            .filter(|topic| seen.insert((topic.name.clone(), topic.topic_id)))
            .map(|topic| describe_requested(call, &image, topic, refused))
            .collect(),
        None => describe_all(call, &image),
    };
    let now = Instant::now();
    let brokers = known_brokers(&call.broker, &image, &call.context.connection);
    let brokers = to_look_for(brokers, |id| call.broker.lost.is_listed(id, now));
    MetadataResponse {
        brokers: brokers.into_iter().map(to_response_broker).collect(),
        cluster_id: image.cluster_id().map(str::to_owned),
        controller_id: call.broker.id(),
        topics,
        cluster_authorized_operations: cluster_operations(call),
        ..Default::default()
    }
}

/// The brokers that a client should know: those that are there or were a moment ago. If there is none, because all of
/// them are fenced for now, it should know all that may come back: a client that is told of nobody (librdkafka 2.16) has
/// nobody left whom it could ask again.
fn to_look_for(
    mut known: Vec<ReachableBroker>,
    was_there: impl Fn(i32) -> bool,
) -> Vec<ReachableBroker> {
    let is_wanted = |broker: &ReachableBroker| !broker.is_fenced || was_there(broker.id);
    if known.iter().any(is_wanted) {
        known.retain(is_wanted);
    }
    known
}

/// What a client is told about a partition besides what its metadata says.
pub(super) struct PartitionState {
    /// LEADER_NOT_AVAILABLE if it has no leader that is there.
    pub error: ErrorCode,
    /// The leader, or -1.
    pub leader_id: i32,
    /// Replicas on brokers that are not registered, or fenced.
    pub offline_replicas: Vec<i32>,
}

/// Whether a partition can be used, as far as its metadata tells.
pub(super) fn partition_state(image: &Image, partition: &Partition) -> PartitionState {
    let is_there = |id: &i32| image.broker(*id).is_some_and(|broker| !broker.fenced);
    let offline_replicas = partition
        .replicas
        .iter()
        .copied()
        .filter(|id| !is_there(id))
        .collect();
    let has_leader = partition.leader != NO_LEADER && is_there(&partition.leader);
    let (error, leader_id) = match has_leader {
        true => (ErrorCode::None, partition.leader),
        false => (ErrorCode::LeaderNotAvailable, NO_LEADER),
    };
    PartitionState {
        error,
        leader_id,
        offline_replicas,
    }
}

/// The response to a request that uses fields before their version.
fn refuse_all(topics: Vec<MetadataRequestTopic>) -> MetadataResponse {
    let error_code = ErrorCode::InvalidRequest.code();
    let refused = |topic: MetadataRequestTopic| MetadataResponseTopic {
        error_code,
        name: Some(topic.name.unwrap_or_default()),
        topic_id: topic.topic_id,
        ..Default::default()
    };
    let topics = topics.into_iter().map(refused).collect();
    MetadataResponse {
        topics,
        error_code,
        cluster_id: None,
        ..Default::default()
    }
}

/// Creates those of the topics that are missing, where that is wanted. Returns the error codes of those
/// that could not be created.
async fn auto_create(
    call: &Call<MetadataRequest>,
    topics: &[MetadataRequestTopic],
) -> Vec<(String, ErrorCode)> {
    let is_wanted =
        call.request.allow_auto_topic_creation && call.broker.config().api.auto_create_topics;
    if !is_wanted {
        return Vec::new();
    }
    let image = call.image();
    let missing = topics
        .iter()
        .filter(|topic| topic.topic_id.is_nil())
        .filter_map(|topic| topic.name.as_deref())
        .filter(|name| image.topic(name).is_none() && is_visible(call, name));
    let mut refused = Vec::new();
    let mut ordinary: Vec<NewTopic> = Vec::new();
    for name in missing {
        if !is_creation_authorized(call, name) {
            refused.push((name.to_owned(), ErrorCode::TopicAuthorizationFailed));
        } else if topic_name::is_internal(name) {
            if call.broker.ensure_internal_topic(name).await.is_err() {
                refused.push((name.to_owned(), ErrorCode::UnknownTopicOrPartition));
            }
        } else if ordinary.iter().all(|other| other.name != name) {
            ordinary.push(NewTopic {
                name: name.to_owned(),
                topic_id: new_topic_id(),
                partition_count: -1,
                replication_factor: -1,
                assignments: Vec::new(),
                configs: Vec::new(),
            });
        }
    }
    if !ordinary.is_empty() {
        let names: Vec<String> = ordinary.iter().map(|topic| topic.name.clone()).collect();
        let results = create_topics::create(&call.broker, ordinary, false).await;
        for (name, result) in names.into_iter().zip(results) {
            if let Err(error) = result {
                refused.push((name, error.code));
            }
        }
    }
    refused
}

fn describe_requested(
    call: &Call<MetadataRequest>,
    image: &Image,
    requested: MetadataRequestTopic,
    refused: &[(String, ErrorCode)],
) -> MetadataResponseTopic {
    let MetadataRequestTopic { topic_id, name } = requested;
    // A topic that is asked for by its id has no name, or (from the Java client) an empty one.
    let Some(name) = name.filter(|_| topic_id.is_nil()) else {
        return match image.topic_by_id(&topic_id) {
            Some(topic) if is_visible(call, &topic.name) => describe(call, image, topic),
            // Whether an id that may not be seen exists is not given away.
            _ => without_partitions(None, topic_id, ErrorCode::UnknownTopicId),
        };
    };
    if !is_visible(call, &name) {
        let code = ErrorCode::TopicAuthorizationFailed;
        return without_partitions(Some(name), Uuid::nil(), code);
    }
    if let Some(topic) = image.topic(&name) {
        return describe(call, image, topic);
    }
    let code = match refused.iter().find(|(other, _)| *other == name) {
        _ if topic_name::validate(&name).is_err() => ErrorCode::InvalidTopicException,
        Some((_, code)) => *code,
        None => ErrorCode::UnknownTopicOrPartition,
    };
    without_partitions(Some(name), Uuid::nil(), code)
}

fn describe_all(call: &Call<MetadataRequest>, image: &Image) -> Vec<MetadataResponseTopic> {
    let visible = image.topics().filter(|topic| is_visible(call, &topic.name));
    visible.map(|topic| describe(call, image, topic)).collect()
}

fn describe(call: &Call<MetadataRequest>, image: &Image, topic: &Topic) -> MetadataResponseTopic {
    let partition = |(partition, index): (&Arc<Partition>, i32)| {
        let state = partition_state(image, partition);
        MetadataResponsePartition {
            error_code: state.error.code(),
            partition_index: index,
            leader_id: state.leader_id,
            leader_epoch: partition.leader_epoch,
            replica_nodes: partition.replicas.clone(),
            isr_nodes: partition.in_sync_replicas.clone(),
            offline_replicas: state.offline_replicas,
        }
    };
    let name = Some(topic.name.to_string());
    let mut described = without_partitions(name, topic.id, ErrorCode::None);
    described.partitions = topic.partitions.iter().zip(0..).map(partition).collect();
    if call.request.include_topic_authorized_operations {
        described.topic_authorized_operations =
            bit_field(Resource::topic(&topic.name), |operation, resource| {
                call.is_authorized(operation, resource)
            });
    }
    described
}

fn without_partitions(
    name: Option<String>,
    topic_id: Uuid,
    code: ErrorCode,
) -> MetadataResponseTopic {
    let is_internal = name.as_deref().is_some_and(topic_name::is_internal);
    MetadataResponseTopic {
        error_code: code.code(),
        name,
        topic_id,
        is_internal,
        ..Default::default()
    }
}

fn to_response_broker(broker: ReachableBroker) -> MetadataResponseBroker {
    MetadataResponseBroker {
        node_id: broker.id,
        host: broker.host,
        port: broker.port.into(),
        rack: broker.rack,
    }
}

fn cluster_operations(call: &Call<MetadataRequest>) -> i32 {
    if !call.request.include_cluster_authorized_operations {
        NOT_ASKED
    } else if call.is_authorized(Operation::Describe, Resource::cluster()) {
        bit_field(Resource::cluster(), |operation, resource| {
            call.is_authorized(operation, resource)
        })
    } else {
        0
    }
}

fn is_visible(call: &Call<MetadataRequest>, name: &str) -> bool {
    call.is_authorized(Operation::Describe, Resource::topic(name))
}

fn is_creation_authorized(call: &Call<MetadataRequest>, name: &str) -> bool {
    call.is_authorized(Operation::Create, Resource::cluster())
        || call.is_authorized(Operation::Create, Resource::topic(name))
}
