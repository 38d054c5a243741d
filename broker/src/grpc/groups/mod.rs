//! `GroupService`: consumer groups, of Kafka clients and of gRPC clients alike.

mod describe;
mod reset;

use fjord_proto::v1::{
    CommittedOffset, DeleteGroupRequest, DeleteGroupResponse, DeleteOffsetsRequest,
    DeleteOffsetsResponse, DescribeGroupRequest, DescribeGroupResponse, ListGroupsRequest,
    ListGroupsResponse, ListedGroup, ResetOffsetsRequest, ResetOffsetsResponse, TopicPartition,
    group_service_server::GroupService,
};
use fjord_wire::{
    ErrorCode,
    messages::{
        delete_groups_request::DeleteGroupsRequest,
        list_groups_request,
        offset_delete_request::{
            OffsetDeleteRequest, OffsetDeleteRequestPartition, OffsetDeleteRequestTopic,
        },
    },
};
use tonic::{Request, Response, Status};

use super::{backend::Backend, committed::committed, error, topics};
use crate::{api::error::ApiError, metadata::Topic};

const LIST_GROUPS: i16 = 5;
const DELETE_GROUPS: i16 = 2;
const OFFSET_DELETE: i16 = 0;

/// See the module's documentation.
pub struct Groups {
    backend: Backend,
}

impl Groups {
    pub fn new(backend: Backend) -> Self {
        Self { backend }
    }
}

#[tonic::async_trait]
impl GroupService for Groups {
    async fn list_groups(
        &self,
        request: Request<ListGroupsRequest>,
    ) -> Result<Response<ListGroupsResponse>, Status> {
        let client = self.backend.client(&request);
        let asked = list_groups_request::ListGroupsRequest::default();
        let response = client.call(LIST_GROUPS, asked).await?;
        error::check(response.error_code, None)?;
        let listed = response.groups.into_iter().map(|group| ListedGroup {
            group: group.group_id,
            state: group.group_state,
            protocol_type: group.protocol_type,
        });
        let mut groups: Vec<ListedGroup> = listed.collect();
        groups.sort_by(|a, b| a.group.cmp(&b.group));
        Ok(Response::new(ListGroupsResponse { groups }))
    }

    async fn describe_group(
        &self,
        request: Request<DescribeGroupRequest>,
    ) -> Result<Response<DescribeGroupResponse>, Status> {
        let client = self.backend.client(&request);
        let group = request.into_inner().group;
        describe::describe(&client, &group).await.map(Response::new)
    }

    async fn reset_offsets(
        &self,
        request: Request<ResetOffsetsRequest>,
    ) -> Result<Response<ResetOffsetsResponse>, Status> {
        let client = self.backend.client(&request);
        reset::reset(&self.backend, &client, request.into_inner())
            .await
            .map(Response::new)
    }

    async fn delete_offsets(
        &self,
        request: Request<DeleteOffsetsRequest>,
    ) -> Result<Response<DeleteOffsetsResponse>, Status> {
        let client = self.backend.client(&request);
        let request = request.into_inner();
        if request.topics.is_empty() {
            return Err(error::invalid("name the topics whose offsets are to go"));
        }
        let committed = committed(&client, &request.group, None).await?;
        let mut asked = OffsetDeleteRequest {
            group_id: request.group,
            topics: Vec::with_capacity(request.topics.len()),
        };
        for name in request.topics {
            asked.topics.push(to_delete(&*self.backend.topic(&name)?));
        }
        let response = client.call(OFFSET_DELETE, asked).await?;
        error::check(response.error_code, None)?;
        let mut partitions = Vec::new();
        for topic in response.topics {
            for partition in topic.partitions {
                error::check(partition.error_code, None)?;
                let is_this = |c: &CommittedOffset| {
                    c.topic == topic.name && c.partition == partition.partition_index
                };
                if !committed.iter().any(is_this) {
                    continue;
                }
                partitions.push(TopicPartition {
                    topic: topic.name.clone(),
                    partition: partition.partition_index,
                });
            }
        }
        Ok(Response::new(DeleteOffsetsResponse { partitions }))
    }

    async fn delete_group(
        &self,
        request: Request<DeleteGroupRequest>,
    ) -> Result<Response<DeleteGroupResponse>, Status> {
        let client = self.backend.client(&request);
        let group = request.into_inner().group;
        let asked = DeleteGroupsRequest {
            groups_names: vec![group.clone()],
        };
        let response = client.call(DELETE_GROUPS, asked).await?;
        for result in response.results {
            error::api_error(result.error_code, None)
                .map_err(|error| error::status(&explained(error, &group)))?;
        }
        Ok(Response::new(DeleteGroupResponse {}))
    }
}

fn to_delete(topic: &Topic) -> OffsetDeleteRequestTopic {
    let partition = |partition_index| OffsetDeleteRequestPartition { partition_index };
    OffsetDeleteRequestTopic {
        name: topic.name.to_string(),
        partitions: topics::numbers(topic).into_iter().map(partition).collect(),
    }
}

/// What the error says of a group, in words that say what to do.
fn explained(error: ApiError, group: &str) -> ApiError {
    match error.code {
        ErrorCode::GroupIdNotFound => {
            ApiError::new(error.code, format!("there is no group {group}"))
        }
        ErrorCode::NonEmptyGroup | ErrorCode::UnknownMemberId => ApiError::new(
            ErrorCode::NonEmptyGroup,
            format!("group {group} has members; stop them first"),
        ),
        _ => error,
    }
}
