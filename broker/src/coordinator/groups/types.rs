//! Requests to the group coordinator and its replies, as plain values.
//!
//! They are independent of any version of a wire message; where a version changes a rule, the
//! request says which version it came in. Times are in milliseconds.

use bytes::Bytes;
use uuid::Uuid;

use fjord_wire::ErrorCode;

/// Where a group stands in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum GroupState {
    /// No members; the group lives on for its committed offsets.
    Empty,
    /// Waiting for the members to join the next generation.
    PreparingRebalance,
    /// Waiting for the leader's assignment.
    CompletingRebalance,
    /// The members work by their assignments.
    Stable,
    /// The group does not exist.
    Dead,
}

impl GroupState {
    /// The state's name in Kafka's protocol.
    pub fn name(self) -> &'static str {
        match self {
            Self::Empty => "Empty",
            Self::PreparingRebalance => "PreparingRebalance",
            Self::CompletingRebalance => "CompletingRebalance",
            Self::Stable => "Stable",
            Self::Dead => "Dead",
        }
    }
}

/// One way of assigning that a member supports, with the member's metadata for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Protocol {
    /// The protocol's name, for consumers the assignor's.
    pub name: String,
    /// What the member says about itself, for consumers its subscription.
    pub metadata: Bytes,
}

/// JoinGroup.
#[derive(Debug, Clone)]
pub struct JoinRequest {
    /// The group to join.
    pub group_id: String,
    /// The member's id, empty if it has none yet.
    pub member_id: String,
    /// The id that makes the member a static one (KIP-345).
    pub group_instance_id: Option<String>,
    /// The client id of the request's header.
    pub client_id: String,
    /// The client's address; Kafka shows it as `/` and the IP address.
    pub client_host: String,
    /// "consumer", "connect", "sr" or another.
    pub protocol_type: String,
    /// In the member's order of preference.
    pub protocols: Vec<Protocol>,
    /// After which silence the member is taken for dead.
    pub session_timeout_ms: i32,
    /// How long a rebalance waits for this member; negative (version 0) means the session timeout.
    pub rebalance_timeout_ms: i32,
    /// The request's version: from 4 on a new member is first given an id (KIP-394), from 9 on the
    /// leader can be told not to assign (KIP-814).
    pub api_version: i16,
    /// Why the member joins (KIP-800), for the log.
    pub reason: Option<String>,
    /// A fresh random value; it makes the member's id unique.
    pub entropy: Uuid,
}

/// A member as the leader of its group sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JoinedMember {
    /// The member's id.
    pub member_id: String,
    /// The static member's id.
    pub group_instance_id: Option<String>,
    /// The member's metadata for the group's protocol.
    pub metadata: Bytes,
}

/// The reply to [`JoinRequest`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JoinReply {
    /// The outcome.
    pub error: ErrorCode,
    /// The generation joined; -1 with an error.
    pub generation_id: i32,
    /// The group's protocol type.
    pub protocol_type: Option<String>,
    /// The protocol that the group chose. Versions before 7 say an empty string for none.
    pub protocol_name: Option<String>,
    /// The leader's member id; empty with an error.
    pub leader: String,
    /// Tells a leader not to assign (KIP-814).
    pub skip_assignment: bool,
    /// The member's id, or the new id it must join with.
    pub member_id: String,
    /// All members, for the leader only.
    pub members: Vec<JoinedMember>,
}

impl JoinReply {
    /// A refusal.
    pub fn refuse(error: ErrorCode, member_id: impl Into<String>) -> Self {
        Self {
            error,
            generation_id: -1,
            protocol_type: None,
            protocol_name: None,
            leader: String::new(),
            skip_assignment: false,
            member_id: member_id.into(),
            members: Vec::new(),
        }
    }
}

/// SyncGroup.
#[derive(Debug, Clone)]
pub struct SyncRequest {
    /// The group.
    pub group_id: String,
    /// The generation that the member joined.
    pub generation_id: i32,
    /// The member.
    pub member_id: String,
    /// The static member's id.
    pub group_instance_id: Option<String>,
    /// From version 5 on: must be the group's, if given.
    pub protocol_type: Option<String>,
    /// From version 5 on: must be the group's, if given.
    pub protocol_name: Option<String>,
    /// Member ids and their assignments; only the leader's count.
    pub assignments: Vec<(String, Bytes)>,
}

/// The reply to [`SyncRequest`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyncReply {
    /// The outcome.
    pub error: ErrorCode,
    /// The group's protocol type.
    pub protocol_type: Option<String>,
    /// The group's protocol.
    pub protocol_name: Option<String>,
    /// The member's assignment.
    pub assignment: Bytes,
}

impl SyncReply {
    /// A refusal.
    pub fn refuse(error: ErrorCode) -> Self {
        Self {
            error,
            protocol_type: None,
            protocol_name: None,
            assignment: Bytes::new(),
        }
    }
}

/// Heartbeat; its reply is an error code.
#[derive(Debug, Clone)]
pub struct HeartbeatRequest {
    /// The group.
    pub group_id: String,
    /// The generation that the member is in.
    pub generation_id: i32,
    /// The member.
    pub member_id: String,
    /// The static member's id.
    pub group_instance_id: Option<String>,
}

/// A member that leaves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeavingMember {
    /// The member's id; empty if an administrator removes a static member.
    pub member_id: String,
    /// The static member's id.
    pub group_instance_id: Option<String>,
    /// Why it leaves (KIP-800), for the log.
    pub reason: Option<String>,
}

/// LeaveGroup; versions before 3 have exactly one member.
#[derive(Debug, Clone)]
pub struct LeaveRequest {
    /// The group.
    pub group_id: String,
    /// Who leaves.
    pub members: Vec<LeavingMember>,
}

/// What became of one leaving member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftMember {
    /// As in the request.
    pub member_id: String,
    /// As in the request.
    pub group_instance_id: Option<String>,
    /// The outcome. Versions before 3 report this as the response's error.
    pub error: ErrorCode,
}

/// The reply to [`LeaveRequest`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaveReply {
    /// The outcome for the request as a whole.
    pub error: ErrorCode,
    /// The outcome for each member, in the order of the request.
    pub members: Vec<LeftMember>,
}

/// OffsetCommit. Whether the topics exist is for the caller to check.
#[derive(Debug, Clone)]
pub struct CommitRequest {
    /// The group; may be empty.
    pub group_id: String,
    /// The member's generation; -1 from clients outside the group's membership.
    pub generation_id: i32,
    /// The member; empty from clients outside the group's membership.
    pub member_id: String,
    /// The static member's id.
    pub group_instance_id: Option<String>,
    /// How long to keep the offsets (versions 2 to 4); -1 for the broker's setting.
    pub retention_time_ms: i64,
    /// The request's version: from 9 on an unknown group is called that.
    pub api_version: i16,
    /// What to commit.
    pub topics: Vec<CommitTopic>,
}

/// One topic of a [`CommitRequest`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommitTopic {
    /// The topic's name.
    pub name: String,
    /// The topic's id; nil if not known.
    pub topic_id: Uuid,
    /// The partitions.
    pub partitions: Vec<CommitPartition>,
}

/// One partition of a [`CommitRequest`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommitPartition {
    /// The partition's index.
    pub partition: i32,
    /// The next offset to read.
    pub offset: i64,
    /// The leader epoch of the last record read; -1 if not known.
    pub leader_epoch: i32,
    /// Whatever the client wants to keep with it.
    pub metadata: Option<String>,
}

/// The outcomes for the partitions of one topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicOutcome {
    /// The topic's name.
    pub name: String,
    /// The topic's id as in the request; nil where a request has none.
    pub topic_id: Uuid,
    /// Partition indexes and their outcomes, in the order of the request.
    pub partitions: Vec<(i32, ErrorCode)>,
}

/// Outcomes by topic, or an error that holds for every partition of the request.
pub type TopicOutcomes = Result<Vec<TopicOutcome>, ErrorCode>;

/// OffsetFetch for one group.
#[derive(Debug, Clone)]
pub struct FetchRequest {
    /// The group; may be empty.
    pub group_id: String,
    /// Topics with their ids (nil if not known) and partition indexes; none for all.
    pub topics: Option<Vec<FetchTopic>>,
}

/// One topic of a [`FetchRequest`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchTopic {
    /// The topic's name.
    pub name: String,
    /// The topic's id; offsets committed for another topic of this name are not given out.
    pub topic_id: Uuid,
    /// The partitions' indexes.
    pub partitions: Vec<i32>,
}

/// The reply to [`FetchRequest`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchReply {
    /// The group.
    pub group_id: String,
    /// The outcome; versions before 2 have no such field and repeat it for every partition.
    pub error: ErrorCode,
    /// Offsets by topic.
    pub topics: Vec<FetchedTopic>,
}

/// One topic of a [`FetchReply`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchedTopic {
    /// The topic's name.
    pub name: String,
    /// The topic's id as in the request; nil if all topics were asked for.
    pub topic_id: Uuid,
    /// Offsets by partition.
    pub partitions: Vec<FetchedOffset>,
}

/// A committed offset; all fields say "none" if there is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchedOffset {
    /// The partition's index.
    pub partition: i32,
    /// The committed offset; -1 if there is none.
    pub offset: i64,
    /// The leader epoch committed with it; -1 if not known.
    pub leader_epoch: i32,
    /// What the client stored with it.
    pub metadata: String,
}

/// OffsetDelete. Whether the topics exist is for the caller to check.
#[derive(Debug, Clone)]
pub struct OffsetDeleteRequest {
    /// The group.
    pub group_id: String,
    /// Topics and partition indexes.
    pub topics: Vec<(String, Vec<i32>)>,
}

/// DescribeGroups' reply for one group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DescribedGroup {
    /// The group.
    pub group_id: String,
    /// Whether it could be described. An unknown group is GROUP_ID_NOT_FOUND and Dead here;
    /// versions before 6 know no such error and say NONE and Dead.
    pub error: ErrorCode,
    /// A message for version 6 and later.
    pub error_message: Option<String>,
    /// The group's state.
    pub state: GroupState,
    /// The protocol type; empty if the group never had members.
    pub protocol_type: String,
    /// The chosen protocol; empty unless the group is stable.
    pub protocol: String,
    /// The members.
    pub members: Vec<DescribedMember>,
}

/// One member of a [`DescribedGroup`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DescribedMember {
    /// The member's id.
    pub member_id: String,
    /// The static member's id.
    pub group_instance_id: Option<String>,
    /// The client's own name.
    pub client_id: String,
    /// Where the client connected from.
    pub client_host: String,
    /// The metadata for the chosen protocol; empty unless the group is stable.
    pub metadata: Bytes,
    /// The assignment.
    pub assignment: Bytes,
}

/// ListGroups. Empty filters let everything through.
#[derive(Debug, Clone, Default)]
pub struct ListRequest {
    /// Names of states, in any case (KIP-518).
    pub states: Vec<String>,
    /// Names of group types, in any case (KIP-848); this coordinator's groups are "classic".
    pub types: Vec<String>,
}

/// One group of ListGroups' reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedGroup {
    /// The group.
    pub group_id: String,
    /// The protocol type; empty if the group never had members.
    pub protocol_type: String,
    /// The group's state.
    pub state: GroupState,
}

/// The name of the type of this coordinator's groups.
pub const GROUP_TYPE: &str = "classic";
