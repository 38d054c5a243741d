//! `TopicService`: topics, their partitions, and what is in them.

use std::{collections::HashMap, sync::Arc};

use fjord_proto::v1::{
    AlterTopicRequest, AlterTopicResponse, CreateTopicRequest, CreateTopicResponse,
    DeleteRecordsRequest, DeleteRecordsResponse, DeleteTopicRequest, DeleteTopicResponse,
    DescribeTopicRequest, DescribeTopicResponse, DescribedPartition, ElectLeadersRequest,
    ElectLeadersResponse, ListOffsetsRequest, ListOffsetsResponse, ListReassignmentsRequest,
    ListReassignmentsResponse, ListTopicsRequest, ListTopicsResponse, ListedOffset, ListedTopic,
    ReassignPartitionsRequest, ReassignPartitionsResponse, list_offsets_request::At,
    topic_service_server::TopicService,
};
use fjord_wire::ErrorCode;
use fjord_wire::messages::{
    create_partitions_request::{CreatePartitionsRequest, CreatePartitionsTopic},
    create_topics_request::{CreatableTopic, CreatableTopicConfig, CreateTopicsRequest},
    delete_records_request::{self, DeleteRecordsPartition, DeleteRecordsTopic},
    delete_topics_request::{DeleteTopicState, DeleteTopicsRequest},
};
use tonic::{Request, Response, Status};
use uuid::Uuid;

use super::{
    backend::{Backend, Client, unknown_topic},
    configs::{self, Changes, Of},
    disks, error,
    offsets::{self, Place},
    reassignments,
};
use crate::{api::error::ApiError, metadata::Topic};

const CREATE_TOPICS: i16 = 7;
const CREATE_PARTITIONS: i16 = 3;
const DELETE_TOPICS: i16 = 6;
const DELETE_RECORDS: i16 = 2;
/// How long changes may take, in milliseconds.
const TIMEOUT_MS: i32 = 30_000;

/// See the module's documentation.
pub struct Topics {
    backend: Backend,
}

impl Topics {
    pub fn new(backend: Backend) -> Self {
        Self { backend }
    }

    /// The topic that is to go, by its id if that was given: so nobody deletes another one that has got the name since.
    fn topic_to_delete(&self, request: DeleteTopicRequest) -> Result<DeleteTopicState, Status> {
        let DeleteTopicRequest { topic, topic_id } = request;
        if topic_id.is_empty() {
            self.backend.topic(&topic)?;
            return Ok(DeleteTopicState {
                name: Some(topic),
                ..DeleteTopicState::default()
            });
        }
        let topic_id = Uuid::parse_str(&topic_id)
            .map_err(|_| error::invalid(format!("a topic's id is a UUID, not '{topic_id}'")))?;
        let image = self.backend.image();
        let found = image.topic_by_id(&topic_id);
        match found.filter(|found| topic.is_empty() || *found.name == *topic) {
            Some(_) => Ok(DeleteTopicState {
                topic_id,
                ..DeleteTopicState::default()
            }),
            None => Err(error::status(&unknown_topic(&format!(
                "{topic} with the id {topic_id}"
            )))),
        }
    }

    async fn add_partitions(
        &self,
        client: &Client,
        request: &AlterTopicRequest,
    ) -> Result<(), Status> {
        let asked = CreatePartitionsRequest {
            topics: vec![CreatePartitionsTopic {
                name: request.topic.clone(),
                count: request.partitions,
                assignments: None,
            }],
            timeout_ms: TIMEOUT_MS,
            validate_only: request.validate_only,
        };
        let response = client.call(CREATE_PARTITIONS, asked).await?;
        for result in response.results {
            error::check(result.error_code, result.error_message)?;
        }
        Ok(())
    }

    /// The partitions, each with what its leader says of it.
    async fn described(
        &self,
        client: &Client,
        topic: &Topic,
    ) -> Result<Vec<DescribedPartition>, Status> {
        let mut disks = disks::by_broker(client, Some(topic)).await?;
        // A partition without a leader says nothing, and is not waited for.
        let led = (0i32..).zip(&topic.partitions);
        let led = led.filter(|(_, partition)| disks.contains_key(&partition.leader));
        let led: Vec<i32> = led.map(|(index, _)| index).collect();
        let starts = ends(client, topic, &led, Place::Earliest).await?;
        let high_watermarks = ends(client, topic, &led, Place::Latest).await?;
        let described = |(index, partition): (i32, &Arc<crate::metadata::Partition>)| {
            let key = (Arc::clone(&topic.name), usize::try_from(index).ok()?);
            let of_leader = disks.get_mut(&partition.leader);
            Some(DescribedPartition {
                partition: index,
                leader: partition.leader,
                leader_epoch: partition.leader_epoch,
                replicas: partition.replicas.clone(),
                in_sync_replicas: partition.in_sync_replicas.clone(),
                log_start_offset: starts.get(&index).copied().unwrap_or(-1),
                high_watermark: high_watermarks.get(&index).copied().unwrap_or(-1),
                size_bytes: of_leader
                    .and_then(|disks| disks.partitions.remove(&key))
                    .unwrap_or(0),
            })
        };
        let partitions = (0i32..).zip(&topic.partitions);
        Ok(partitions.filter_map(described).collect())
    }
}

/// The offsets of one end, as far as the leaders know them.
async fn ends(
    client: &Client,
    topic: &Topic,
    partitions: &[i32],
    place: Place,
) -> Result<HashMap<i32, i64>, Status> {
    let found = offsets::list(client, &topic.name, partitions, place).await?;
    let known = found
        .into_iter()
        .filter_map(|(index, found)| Some((index, found.ok()?.offset)));
    Ok(known.collect())
}

#[tonic::async_trait]
impl TopicService for Topics {
    async fn create_topic(
        &self,
        request: Request<CreateTopicRequest>,
    ) -> Result<Response<CreateTopicResponse>, Status> {
        let client = self.backend.client(&request);
        let request = request.into_inner();
        // -1 stands for the broker's own number.
        let or_default = |given: i32| if given == 0 { -1 } else { given };
        let refused = |code, message: &str| error::status(&ApiError::new(code, message));
        if request.partitions < 0 {
            let message = "a topic has at least one partition; 0 stands for num.partitions";
            return Err(refused(ErrorCode::InvalidPartitions, message));
        }
        let factor = i16::try_from(or_default(request.replication_factor)).ok();
        let factor = factor.filter(|_| request.replication_factor >= 0);
        let replication_factor = factor.ok_or_else(|| {
            let message = "the replication factor is at most the number of brokers";
            refused(ErrorCode::InvalidReplicationFactor, message)
        })?;
        let config = |(name, value)| CreatableTopicConfig {
            name,
            value: Some(value),
        };
        let asked = CreateTopicsRequest {
            topics: vec![CreatableTopic {
                name: request.topic,
                num_partitions: or_default(request.partitions),
                replication_factor,
                configs: request.configs.into_iter().map(config).collect(),
                ..CreatableTopic::default()
            }],
            timeout_ms: TIMEOUT_MS,
            validate_only: request.validate_only,
        };
        let response = client.call(CREATE_TOPICS, asked).await?;
        let Some(made) = response.topics.into_iter().next() else {
            return Err(Status::internal("CreateTopics left the topic out"));
        };
        error::check(made.error_code, made.error_message)?;
        Ok(Response::new(CreateTopicResponse {
            topic: Some(ListedTopic {
                topic: made.name,
                topic_id: made.topic_id.to_string(),
                partitions: made.num_partitions,
                replication_factor: made.replication_factor.into(),
                internal: false,
            }),
        }))
    }

    async fn list_topics(
        &self,
        request: Request<ListTopicsRequest>,
    ) -> Result<Response<ListTopicsResponse>, Status> {
        let internal = request.into_inner().include_internal;
        let image = self.backend.image();
        let topics = image
            .topics()
            .filter(|topic| internal || !topic.is_internal());
        Ok(Response::new(ListTopicsResponse {
            topics: topics.map(listed).collect(),
        }))
    }

    async fn describe_topic(
        &self,
        request: Request<DescribeTopicRequest>,
    ) -> Result<Response<DescribeTopicResponse>, Status> {
        let client = self.backend.client(&request);
        let topic = self.backend.topic(&request.into_inner().topic)?;
        let of = Of::Topic(topic.name.to_string());
        Ok(Response::new(DescribeTopicResponse {
            topic: Some(listed(&topic)),
            partitions: self.described(&client, &topic).await?,
            configs: configs::describe(&client, &of, &[]).await?,
        }))
    }

    async fn alter_topic(
        &self,
        request: Request<AlterTopicRequest>,
    ) -> Result<Response<AlterTopicResponse>, Status> {
        let client = self.backend.client(&request);
        let request = request.into_inner();
        let topic = self.backend.topic(&request.topic)?;
        let changes = |validate_only| Changes {
            set: request.set_configs.clone(),
            reset: request.reset_configs.clone(),
            validate_only,
        };
        let of = Of::Topic(request.topic.clone());
        // Both or nothing: what can be refused is refused before anything changes.
        configs::alter(&client, &of, changes(true)).await?;
        if request.partitions != 0 && request.partitions != listed(&topic).partitions {
            self.add_partitions(&client, &request).await?;
        }
        if !request.validate_only {
            configs::alter(&client, &of, changes(false)).await?;
        }
        Ok(Response::new(AlterTopicResponse {}))
    }

    async fn delete_topic(
        &self,
        request: Request<DeleteTopicRequest>,
    ) -> Result<Response<DeleteTopicResponse>, Status> {
        let client = self.backend.client(&request);
        let asked = DeleteTopicsRequest {
            topics: vec![self.topic_to_delete(request.into_inner())?],
            timeout_ms: TIMEOUT_MS,
            ..DeleteTopicsRequest::default()
        };
        let response = client.call(DELETE_TOPICS, asked).await?;
        for result in response.responses {
            error::check(result.error_code, result.error_message)?;
        }
        Ok(Response::new(DeleteTopicResponse {}))
    }

    async fn delete_records(
        &self,
        request: Request<DeleteRecordsRequest>,
    ) -> Result<Response<DeleteRecordsResponse>, Status> {
        let client = self.backend.client(&request);
        let request = request.into_inner();
        self.backend.topic(&request.topic)?;
        let asked = delete_records_request::DeleteRecordsRequest {
            topics: vec![DeleteRecordsTopic {
                name: request.topic,
                partitions: vec![DeleteRecordsPartition {
                    partition_index: request.partition,
                    offset: request.before_offset,
                }],
            }],
            timeout_ms: TIMEOUT_MS,
        };
        let response = client.call(DELETE_RECORDS, asked).await?;
        let mut partitions = response
            .topics
            .into_iter()
            .flat_map(|topic| topic.partitions);
        let Some(deleted) = partitions.next() else {
            return Err(Status::internal("DeleteRecords left the partition out"));
        };
        error::check(deleted.error_code, None)?;
        Ok(Response::new(DeleteRecordsResponse {
            log_start_offset: deleted.low_watermark,
        }))
    }

    async fn list_offsets(
        &self,
        request: Request<ListOffsetsRequest>,
    ) -> Result<Response<ListOffsetsResponse>, Status> {
        let client = self.backend.client(&request);
        let request = request.into_inner();
        let topic = self.backend.topic(&request.topic)?;
        let place = match request.at {
            Some(At::TimestampMs(time)) => Place::Time(time),
            Some(At::Position(position)) => Place::of_position(position, Place::Latest),
            None => Place::Latest,
        };
        let partitions = match request.partitions.is_empty() {
            true => numbers(&topic),
            false => request.partitions,
        };
        let found = offsets::list(&client, &topic.name, &partitions, place).await?;
        let listed = |(partition, found): (i32, Result<offsets::FoundOffset, _>)| match found {
            Ok(found) => ListedOffset {
                partition,
                offset: Some(found.offset).filter(|offset| *offset >= 0),
                timestamp_ms: Some(found.timestamp_ms).filter(|time| *time >= 0),
                error: None,
            },
            Err(failed) => ListedOffset {
                partition,
                error: Some(error::part(&failed)),
                ..ListedOffset::default()
            },
        };
        Ok(Response::new(ListOffsetsResponse {
            offsets: found.into_iter().map(listed).collect(),
        }))
    }

    async fn reassign_partitions(
        &self,
        request: Request<ReassignPartitionsRequest>,
    ) -> Result<Response<ReassignPartitionsResponse>, Status> {
        let client = self.backend.client(&request);
        let partitions = reassignments::reassign(&client, request.into_inner()).await?;
        Ok(Response::new(ReassignPartitionsResponse { partitions }))
    }

    async fn list_reassignments(
        &self,
        request: Request<ListReassignmentsRequest>,
    ) -> Result<Response<ListReassignmentsResponse>, Status> {
        let client = self.backend.client(&request);
        let reassignments = reassignments::list(&client, &request.into_inner()).await?;
        Ok(Response::new(ListReassignmentsResponse { reassignments }))
    }

    async fn elect_leaders(
        &self,
        request: Request<ElectLeadersRequest>,
    ) -> Result<Response<ElectLeadersResponse>, Status> {
        let client = self.backend.client(&request);
        let partitions = reassignments::elect(&client, request.into_inner()).await?;
        Ok(Response::new(ElectLeadersResponse { partitions }))
    }
}

/// A topic's partitions.
pub fn numbers(topic: &Topic) -> Vec<i32> {
    (0i32..).zip(&topic.partitions).map(|(n, _)| n).collect()
}

fn listed(topic: &Arc<Topic>) -> ListedTopic {
    let count = |count: usize| i32::try_from(count).unwrap_or(i32::MAX);
    ListedTopic {
        topic: topic.name.to_string(),
        topic_id: topic.id.to_string(),
        partitions: count(topic.partitions.len()),
        replication_factor: topic
            .partitions
            .first()
            .map_or(0, |p| count(p.replicas.len())),
        internal: topic.is_internal(),
    }
}
