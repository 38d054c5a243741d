//! Requests about one group, for its coordinator, and about all of them.

use std::collections::BTreeMap;

use fjord_wire::{
    ErrorCode,
    messages::{
        delete_groups_request::DeleteGroupsRequest,
        delete_groups_response::{DeletableGroupResult, DeleteGroupsResponse},
        describe_groups_request::DescribeGroupsRequest,
        describe_groups_response::{DescribeGroupsResponse, DescribedGroup},
        heartbeat_request::HeartbeatRequest,
        heartbeat_response::HeartbeatResponse,
        join_group_request::JoinGroupRequest,
        join_group_response::JoinGroupResponse,
        leave_group_request::LeaveGroupRequest,
        leave_group_response::LeaveGroupResponse,
        list_groups_request::ListGroupsRequest,
        list_groups_response::ListGroupsResponse,
        offset_commit_request::OffsetCommitRequest,
        offset_commit_response::{
            OffsetCommitResponse, OffsetCommitResponsePartition, OffsetCommitResponseTopic,
        },
        offset_delete_request::OffsetDeleteRequest,
        offset_delete_response::OffsetDeleteResponse,
        offset_fetch_request::OffsetFetchRequest,
        offset_fetch_response::{OffsetFetchResponse, OffsetFetchResponseGroup},
        sync_group_request::SyncGroupRequest,
        sync_group_response::SyncGroupResponse,
    },
};
use futures::future::join_all;
use tokio::time::Instant;

use super::{
    outcome::{Failed, Outcome, is_coordinated_elsewhere},
    route,
    router::{PATIENCE, Routed, Router},
};
use crate::{
    api::{Handler, local::Served},
    metadata::topic_name::CONSUMER_OFFSETS,
};

/// What is done when the coordinator has moved, or is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Again {
    /// The new one is asked, within a bound.
    Always,
    /// The same, unless the request may have been carried out: the second time would be an error.
    IfNotDone,
    /// Whoever has called asks again: there is more to do meanwhile.
    Never,
}

/// A request about one group.
trait OfGroup: Served + Clone + Sync {
    /// What is done when the coordinator is lost.
    const AGAIN: Again;

    /// The group.
    fn group(&self) -> &str;

    /// A response that is nothing but an error.
    fn refused(&self, code: ErrorCode) -> Self::Response;
}

/// Sends a request to the coordinator of its group.
async fn to_coordinator<M: OfGroup>(
    router: &Router,
    version: i16,
    request: M,
) -> Result<M::Response, Failed> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let image = router.image();
        if image.topic(CONSUMER_OFFSETS).is_none() {
            // There are no groups yet, as this broker says best.
            return router.here(version, request).await;
        }
        let place = route::of_group(&image, router.this(), request.group());
        let (response, position, is_done) = match router.ask(place, version, request.clone()).await
        {
            Outcome::Answered(Some(response), position) => {
                let code = M::Handler::first_error(&response);
                if !is_coordinated_elsewhere(code) {
                    return Ok(response);
                }
                (response, position, false)
            }
            Outcome::Refused(close) => return Err(close.into()),
            Outcome::NotDone(_) | Outcome::Answered(None, _) => (
                request.refused(ErrorCode::CoordinatorNotAvailable),
                0,
                false,
            ),
            Outcome::Unknown(_) => (request.refused(ErrorCode::CoordinatorNotAvailable), 0, true),
        };
        let is_over = match M::AGAIN {
            Again::Always => false,
            Again::IfNotDone => is_done,
            Again::Never => true,
        };
        if is_over || !router.moved(position, deadline).await {
            return Ok(response);
        }
    }
}

impl Routed for ListGroupsRequest {
    /// Asks all brokers, each of which knows the groups that it coordinates.
    async fn route(
        router: &Router,
        version: i16,
        request: Self,
    ) -> Result<ListGroupsResponse, Failed> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let places = route::of_all(&router.image(), router.this());
            let asked = places
                .into_iter()
                .map(|place| router.ask(place, version, request.clone()));
            let mut groups = BTreeMap::new();
            let mut error_code = ErrorCode::None.code();
            let mut newest = 0;
            for outcome in join_all(asked).await {
                match outcome {
                    Outcome::Answered(Some(response), position) => {
                        if response.error_code != ErrorCode::None.code() {
                            error_code = response.error_code;
                            newest = newest.max(position);
                        }
                        let listed = response.groups.into_iter();
                        groups.extend(listed.map(|group| (group.group_id.clone(), group)));
                    }
                    Outcome::Refused(close) => return Err(close.into()),
                    Outcome::Answered(None, _) | Outcome::NotDone(_) | Outcome::Unknown(_) => {
                        error_code = ErrorCode::CoordinatorNotAvailable.code();
                    }
                }
            }
            let is_passing = is_coordinated_elsewhere(error_code);
            if !is_passing || !router.moved(newest, deadline).await {
                return Ok(ListGroupsResponse {
                    error_code,
                    groups: groups.into_values().collect(),
                    ..ListGroupsResponse::default()
                });
            }
        }
    }
}

macro_rules! of_group {
    ($($request:ident, $again:ident, $group:expr, $refused:expr;)*) => {
        $(
            impl OfGroup for $request {
                const AGAIN: Again = Again::$again;

                fn group(&self) -> &str {
                    let group: fn(&$request) -> &str = $group;
                    group(self)
                }

                fn refused(&self, code: ErrorCode) -> Self::Response {
                    let refused: fn(&$request, i16) -> Self::Response = $refused;
                    refused(self, code.code())
                }
            }

            impl Routed for $request {
                async fn route(
                    router: &Router,
                    version: i16,
                    request: Self,
                ) -> Result<Self::Response, Failed> {
                    to_coordinator(router, version, request).await
                }
            }
        )*
    };
}

of_group! {
    JoinGroupRequest, Never, |asked| &asked.group_id, |asked, error_code| JoinGroupResponse {
        error_code,
        member_id: asked.member_id.clone(),
        ..JoinGroupResponse::default()
    };
    SyncGroupRequest, Never, |asked| &asked.group_id, |_, error_code| SyncGroupResponse {
        error_code,
        ..SyncGroupResponse::default()
    };
    HeartbeatRequest, Never, |asked| &asked.group_id, |_, error_code| HeartbeatResponse {
        error_code,
        ..HeartbeatResponse::default()
    };
    LeaveGroupRequest, Always, |asked| &asked.group_id, |_, error_code| LeaveGroupResponse {
        error_code,
        ..LeaveGroupResponse::default()
    };
    OffsetCommitRequest, Always, |asked| &asked.group_id, |asked, error_code| {
        let topics = asked.topics.iter().map(|topic| OffsetCommitResponseTopic {
            name: topic.name.clone(),
            partitions: topic
                .partitions
                .iter()
                .map(|partition| OffsetCommitResponsePartition {
                    partition_index: partition.partition_index,
                    error_code,
                })
                .collect(),
            ..OffsetCommitResponseTopic::default()
        });
        OffsetCommitResponse {
            topics: topics.collect(),
            ..OffsetCommitResponse::default()
        }
    };
    OffsetFetchRequest, Always, |asked| first(asked.groups.first().map(|group| &group.group_id)),
    |asked, error_code| {
        let groups = asked.groups.iter().map(|group| OffsetFetchResponseGroup {
            group_id: group.group_id.clone(),
            error_code,
            ..OffsetFetchResponseGroup::default()
        });
        OffsetFetchResponse {
            groups: groups.collect(),
            ..OffsetFetchResponse::default()
        }
    };
    DescribeGroupsRequest, Always, |asked| first(asked.groups.first()), |asked, error_code| {
        let groups = asked.groups.iter().map(|group| DescribedGroup {
            group_id: group.clone(),
            error_code,
            ..DescribedGroup::default()
        });
        DescribeGroupsResponse {
            groups: groups.collect(),
            ..DescribeGroupsResponse::default()
        }
    };
    DeleteGroupsRequest, IfNotDone, |asked| first(asked.groups_names.first()), |asked, error_code| {
        let results = asked.groups_names.iter().map(|group| DeletableGroupResult {
            group_id: group.clone(),
            error_code,
        });
        DeleteGroupsResponse {
            results: results.collect(),
            ..DeleteGroupsResponse::default()
        }
    };
    OffsetDeleteRequest, Always, |asked| &asked.group_id, |_, error_code| OffsetDeleteResponse {
        error_code,
        ..OffsetDeleteResponse::default()
    };
}

/// The one group of a request that could name several: a gRPC call is about one.
fn first(group: Option<&String>) -> &str {
    group.map_or("", String::as_str)
}
