//! A member's dealings with the group coordinator: joining, staying, committing, leaving.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use fjord_proto::v1::CommittedOffset;
use fjord_wire::{
    ErrorCode,
    messages::{
        heartbeat_request::HeartbeatRequest,
        join_group_request::{JoinGroupRequest, JoinGroupRequestProtocol},
        join_group_response::JoinGroupResponse,
        leave_group_request::{LeaveGroupRequest, MemberIdentity},
        offset_commit_request::OffsetCommitRequest,
        sync_group_request::{SyncGroupRequest, SyncGroupRequestAssignment},
    },
};
use tonic::Status;

use super::{
    assign::{Assignor, Subscriber},
    protocol::{self, PROTOCOL_TYPE, Partitions},
};
use crate::{
    grpc::{
        backend::Client,
        committed::{self, Refused},
        error,
    },
    metadata::Image,
};

const JOIN_GROUP: i16 = 9;
const SYNC_GROUP: i16 = 5;
const HEARTBEAT: i16 = 4;
const LEAVE_GROUP: i16 = 5;

/// How long to wait before the coordinator is asked again that could not answer.
const RETRY_AFTER: Duration = Duration::from_millis(100);

/// What a member is in its group.
pub struct Membership {
    pub client: Client,
    pub group: String,
    pub instance_id: Option<String>,
    pub session_timeout_ms: i32,
    pub rebalance_timeout_ms: i32,
    pub member_id: String,
    pub generation: i32,
    /// Whether this member assigns.
    pub leads: bool,
    /// Whether the group has a coordinator, as far as it has said.
    pub knows_coordinator: bool,
}

/// What a committed offset is found by.
pub type Committed = HashMap<(String, i32), i64>;

impl Membership {
    /// Joins the next generation, and gets the partitions in it. The topics are those that the member reads.
    ///
    /// # Errors
    ///
    /// If the group does not take the member.
    pub async fn join(
        &mut self,
        topics: &BTreeSet<String>,
        image: impl Fn() -> std::sync::Arc<Image>,
    ) -> Result<Partitions, Status> {
        loop {
            if !self.knows_coordinator {
                committed::find_coordinator(&self.client, &self.group).await?;
                self.knows_coordinator = true;
            }
            let joined = self.join_generation(topics).await?;
            match ErrorCode::from_code(joined.error_code) {
                Some(ErrorCode::None) => {}
                // KIP-394: the coordinator gives the member its id first.
                Some(ErrorCode::MemberIdRequired) => {
                    self.member_id = joined.member_id;
                    continue;
                }
                Some(ErrorCode::UnknownMemberId) => {
                    self.member_id.clear();
                    continue;
                }
                Some(code) if is_passing(code) => {
                    self.wait_for_coordinator(code).await;
                    continue;
                }
                _ => {
                    error::check(joined.error_code, None)?;
                    continue;
                }
            }
            self.member_id.clone_from(&joined.member_id);
            self.generation = joined.generation_id;
            self.leads = joined.leader == joined.member_id;
            let assignments = match self.leads && !joined.skip_assignment {
                true => assignments(&joined, &image())?,
                false => Vec::new(),
            };
            let request = SyncGroupRequest {
                group_id: self.group.clone(),
                generation_id: self.generation,
                member_id: self.member_id.clone(),
                group_instance_id: self.instance_id.clone(),
                protocol_type: Some(PROTOCOL_TYPE.to_owned()),
                protocol_name: joined.protocol_name,
                assignments,
            };
            let synced = self.client.call(SYNC_GROUP, request).await?;
            match ErrorCode::from_code(synced.error_code) {
                Some(ErrorCode::None) => {
                    return protocol::decode_assignment(synced.assignment).map_err(malformed);
                }
                // Somebody came or went meanwhile.
                Some(ErrorCode::RebalanceInProgress | ErrorCode::IllegalGeneration) => {}
                Some(ErrorCode::UnknownMemberId) => self.member_id.clear(),
                Some(code) if is_passing(code) => self.wait_for_coordinator(code).await,
                _ => error::check(synced.error_code, None)?,
            }
        }
    }

    /// Waits until the coordinator may know better.
    async fn wait_for_coordinator(&mut self, code: ErrorCode) {
        self.knows_coordinator &= !is_elsewhere(code);
        tokio::time::sleep(RETRY_AFTER).await;
    }

    async fn join_generation(
        &self,
        topics: &BTreeSet<String>,
    ) -> Result<JoinGroupResponse, Status> {
        let protocol = |assignor: Assignor| JoinGroupRequestProtocol {
            name: assignor.name().to_owned(),
            metadata: protocol::encode_subscription(topics.iter()),
        };
        let request = JoinGroupRequest {
            group_id: self.group.clone(),
            session_timeout_ms: self.session_timeout_ms,
            rebalance_timeout_ms: self.rebalance_timeout_ms,
            member_id: self.member_id.clone(),
            group_instance_id: self.instance_id.clone(),
            protocol_type: PROTOCOL_TYPE.to_owned(),
            protocols: Assignor::ALL.into_iter().map(protocol).collect(),
            reason: None,
        };
        self.client.call(JOIN_GROUP, request).await
    }

    /// Tells the coordinator that the member is alive, and hears how the group is.
    pub async fn heartbeat(&self) -> Result<ErrorCode, Status> {
        let request = HeartbeatRequest {
            group_id: self.group.clone(),
            generation_id: self.generation,
            member_id: self.member_id.clone(),
            group_instance_id: self.instance_id.clone(),
        };
        let response = self.client.call(HEARTBEAT, request).await?;
        Ok(ErrorCode::from_code(response.error_code).unwrap_or(ErrorCode::UnknownServerError))
    }

    /// Leaves the group. A static member leaves too: that is what `leave` says.
    pub async fn leave(&self) -> Result<(), Status> {
        if self.member_id.is_empty() {
            return Ok(());
        }
        let request = LeaveGroupRequest {
            group_id: self.group.clone(),
            members: vec![MemberIdentity {
                member_id: self.member_id.clone(),
                group_instance_id: self.instance_id.clone(),
                reason: Some("the client left".to_owned()),
            }],
            ..LeaveGroupRequest::default()
        };
        self.client.call(LEAVE_GROUP, request).await?;
        Ok(())
    }

    /// What the group has committed for some partitions; those without are left out.
    pub async fn committed(&self, partitions: &Partitions) -> Result<Committed, Status> {
        let found = committed::committed(&self.client, &self.group, Some(partitions)).await?;
        let by_partition = found
            .into_iter()
            .map(|found| ((found.topic, found.partition), found.offset));
        Ok(by_partition.collect())
    }

    /// Commits offsets; returns what was refused.
    pub async fn commit(&self, offsets: Vec<CommittedOffset>) -> Result<Vec<Refused>, Status> {
        let as_member = OffsetCommitRequest {
            group_id: self.group.clone(),
            generation_id_or_member_epoch: self.generation,
            member_id: self.member_id.clone(),
            group_instance_id: self.instance_id.clone(),
            ..OffsetCommitRequest::default()
        };
        committed::commit(&self.client, as_member, offsets).await
    }
}

/// What the leader assigns.
fn assignments(
    joined: &JoinGroupResponse,
    image: &Image,
) -> Result<Vec<SyncGroupRequestAssignment>, Status> {
    let name = joined.protocol_name.as_deref().unwrap_or_default();
    let assignor = Assignor::of_name(name)
        .ok_or_else(|| Status::internal(format!("the group chose an unknown assignor {name}")))?;
    let member = |member: &fjord_wire::messages::join_group_response::JoinGroupResponseMember| {
        Ok(Subscriber {
            member_id: member.member_id.clone(),
            instance_id: member.group_instance_id.clone(),
            topics: protocol::decode_subscription(member.metadata.clone()).map_err(malformed)?,
        })
    };
    let members: Vec<Subscriber> = joined
        .members
        .iter()
        .map(member)
        .collect::<Result<_, Status>>()?;
    let topics = members.iter().flat_map(|member| &member.topics);
    let count = |topic: &String| {
        let found = image.topic(topic)?;
        let count = i32::try_from(found.partitions.len()).unwrap_or(i32::MAX);
        Some((topic.clone(), count))
    };
    let counts: BTreeMap<String, i32> = topics.filter_map(count).collect();
    let assigned = assignor.assign(members, &counts);
    let to_send = |(member_id, partitions): (String, Partitions)| SyncGroupRequestAssignment {
        member_id,
        assignment: protocol::encode_assignment(&partitions),
    };
    Ok(assigned.into_iter().map(to_send).collect())
}

fn malformed(error: protocol::Malformed) -> Status {
    Status::failed_precondition(format!(
        "another member of the group sent {error}; look for a client that is none of consumers"
    ))
}

/// Whether the group's coordinator has to be asked for.
fn is_elsewhere(code: ErrorCode) -> bool {
    matches!(
        code,
        ErrorCode::CoordinatorNotAvailable | ErrorCode::NotCoordinator
    )
}

/// Whether the coordinator will know better soon.
pub fn is_passing(code: ErrorCode) -> bool {
    matches!(
        code,
        ErrorCode::CoordinatorLoadInProgress
            | ErrorCode::CoordinatorNotAvailable
            | ErrorCode::NotCoordinator
            | ErrorCode::RebalanceInProgress
    )
}
