//! Requests to a shard of the group coordinator and its replies, one variant for each kind.

use super::types::{
    CommitRequest, DescribedGroup, FetchReply, FetchRequest, HeartbeatRequest, JoinReply,
    JoinRequest, LeaveReply, LeaveRequest, ListRequest, ListedGroup, OffsetDeleteRequest,
    SyncReply, SyncRequest, TopicOutcomes,
};
use fjord_wire::ErrorCode;

/// A request to the shard that a group belongs to.
#[derive(Debug, Clone)]
pub enum Request {
    /// JoinGroup.
    Join(JoinRequest),
    /// SyncGroup.
    Sync(SyncRequest),
    /// Heartbeat.
    Heartbeat(HeartbeatRequest),
    /// LeaveGroup.
    Leave(LeaveRequest),
    /// OffsetCommit.
    Commit(CommitRequest),
    /// OffsetFetch for one group.
    Fetch(FetchRequest),
    /// OffsetDelete.
    OffsetDelete(OffsetDeleteRequest),
    /// DeleteGroups for one group.
    DeleteGroup(String),
    /// DescribeGroups for one group.
    Describe(String),
    /// ListGroups.
    List(ListRequest),
    /// These topics (names and ids) are gone; their committed offsets go too.
    TopicsDeleted(Vec<(String, uuid::Uuid)>),
}

/// A reply to the request of the same name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// JoinGroup.
    Join(JoinReply),
    /// SyncGroup.
    Sync(SyncReply),
    /// Heartbeat.
    Heartbeat(ErrorCode),
    /// LeaveGroup.
    Leave(LeaveReply),
    /// OffsetCommit.
    Commit(TopicOutcomes),
    /// OffsetFetch.
    Fetch(FetchReply),
    /// OffsetDelete.
    OffsetDelete(TopicOutcomes),
    /// DeleteGroups for one group.
    DeleteGroup(ErrorCode),
    /// DescribeGroups for one group.
    Describe(DescribedGroup),
    /// ListGroups.
    List(Vec<ListedGroup>),
    /// The offsets of the deleted topics are removed.
    TopicsDeleted,
}
