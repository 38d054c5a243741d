//! The one place where errors become Kafka's error codes.

use fjord_log::{AppendError, ReadError};
use fjord_wire::ErrorCode;

use crate::{
    cluster_view::{MemberChangeError, NoQuorumLeader},
    config::{InvalidConfig, InvalidConfigKind},
    metadata::{
        ExecuteError,
        commands::{
            AlterConfigsError, AssignmentError, BrokerLifeError, CreatePartitionsError,
            CreateTopicError, ElectLeaderError, ReassignmentError, TooManyPartitions,
            UnknownTopicId, UpdateFeatureError,
        },
        topic_name::TopicNameError,
    },
    partition::{NotHere, WriteError},
    producer_ids::ProducerIdError,
};

/// An error as a response carries it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiError {
    /// The code.
    pub code: ErrorCode,
    /// The words; clients fall back to their own for the code where there are none.
    pub message: Option<String>,
}

impl ApiError {
    /// An error with words of its own.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> ApiError {
        ApiError {
            code,
            message: Some(message.into()),
        }
    }

    /// The request as a whole, or this part of it, makes no sense.
    pub fn invalid_request(message: impl Into<String>) -> ApiError {
        ApiError::new(ErrorCode::InvalidRequest, message)
    }

    fn of(code: ErrorCode, error: &dyn std::error::Error) -> ApiError {
        ApiError::new(code, error.to_string())
    }
}

/// The two fields that most responses have for the outcome of a part of them.
pub fn code_and_message(outcome: Result<(), ApiError>) -> (i16, Option<String>) {
    match outcome {
        Ok(()) => (ErrorCode::None.code(), None),
        Err(error) => (error.code.code(), error.message),
    }
}

impl From<MemberChangeError> for ApiError {
    fn from(error: MemberChangeError) -> ApiError {
        let code = match &error {
            MemberChangeError::OnlyBroker => ErrorCode::UnsupportedVersion,
            MemberChangeError::Votes(_) => ErrorCode::DuplicateVoter,
            MemberChangeError::NoVoter(_) => ErrorCode::VoterNotFound,
            MemberChangeError::NoMember(_) => ErrorCode::BrokerIdNotRegistered,
            MemberChangeError::StillVotes(_) | MemberChangeError::LastVoter(_) => {
                ErrorCode::InvalidRequest
            }
            // Retriable: what was done is not done twice.
            MemberChangeError::Refused(_) => ErrorCode::RequestTimedOut,
        };
        ApiError::of(code, &error)
    }
}

impl From<AppendError> for ApiError {
    fn from(error: AppendError) -> ApiError {
        let code = match &error {
            // Retriable: the client tries again, and in the end there is room.
            AppendError::DiskFull => ErrorCode::KafkaStorageError,
            AppendError::Busy | AppendError::IndexBehind | AppendError::Superseded => {
                ErrorCode::RequestTimedOut
            }
            AppendError::TooLarge(_) => ErrorCode::MessageTooLarge,
            AppendError::Malformed(_) => ErrorCode::CorruptMessage,
            // Only replicas are told so.
            AppendError::OutOfStep { .. } => ErrorCode::OffsetOutOfRange,
            AppendError::OldLeaderEpoch { .. } => ErrorCode::FencedLeaderEpoch,
            AppendError::OutOfOrderSequence { .. } => ErrorCode::OutOfOrderSequenceNumber,
            AppendError::InvalidProducerEpoch { .. } => ErrorCode::InvalidProducerEpoch,
            AppendError::Deleted => ErrorCode::UnknownTopicOrPartition,
            AppendError::Closed => ErrorCode::NotLeaderOrFollower,
        };
        ApiError::of(code, &error)
    }
}

impl From<WriteError> for ApiError {
    fn from(error: WriteError) -> ApiError {
        let code = match &error {
            WriteError::Log(refused) => return refused.clone().into(),
            WriteError::NotLeader => ErrorCode::NotLeaderOrFollower,
            WriteError::NotEnoughReplicas { .. } => ErrorCode::NotEnoughReplicas,
            WriteError::NotEnoughReplicasAfterAppend => ErrorCode::NotEnoughReplicasAfterAppend,
        };
        ApiError::of(code, &error)
    }
}

impl From<NotHere> for ErrorCode {
    fn from(error: NotHere) -> ErrorCode {
        match error {
            NotHere::Unknown => ErrorCode::UnknownTopicOrPartition,
            NotHere::LedElsewhere => ErrorCode::NotLeaderOrFollower,
        }
    }
}

impl From<ReadError> for ApiError {
    fn from(error: ReadError) -> ApiError {
        let code = match &error {
            ReadError::OffsetOutOfRange { .. } => ErrorCode::OffsetOutOfRange,
            ReadError::Damaged { .. } => ErrorCode::CorruptMessage,
            ReadError::Io { .. } => ErrorCode::KafkaStorageError,
            ReadError::Deleted => ErrorCode::UnknownTopicOrPartition,
        };
        ApiError::of(code, &error)
    }
}

impl From<ProducerIdError> for ApiError {
    fn from(error: ProducerIdError) -> ApiError {
        match error {
            ProducerIdError::Exhausted(error) => {
                ApiError::of(ErrorCode::UnknownServerError, &error)
            }
            ProducerIdError::Execute(error) => error.into(),
        }
    }
}

impl From<ErrorCode> for ApiError {
    fn from(code: ErrorCode) -> ApiError {
        ApiError {
            code,
            message: None,
        }
    }
}

impl From<ExecuteError> for ApiError {
    fn from(error: ExecuteError) -> ApiError {
        let code = match &error {
            ExecuteError::Log(_) => ErrorCode::KafkaStorageError,
            ExecuteError::Stopped => ErrorCode::UnknownServerError,
            // Retriable: Kafka's admin clients look for the controller again.
            ExecuteError::NoController => ErrorCode::NotController,
            ExecuteError::OutcomeUnknown | ExecuteError::NotSeen => ErrorCode::RequestTimedOut,
            ExecuteError::Misunderstood(_) => ErrorCode::UnsupportedVersion,
        };
        ApiError::of(code, &error)
    }
}

impl From<TooManyPartitions> for ApiError {
    fn from(error: TooManyPartitions) -> ApiError {
        ApiError::of(ErrorCode::PolicyViolation, &error)
    }
}

impl From<CreateTopicError> for ApiError {
    fn from(error: CreateTopicError) -> ApiError {
        let code = match &error {
            CreateTopicError::Name(_) | CreateTopicError::Collision { .. } => {
                ErrorCode::InvalidTopicException
            }
            CreateTopicError::AlreadyExists(_) => ErrorCode::TopicAlreadyExists,
            CreateTopicError::PartitionCount | CreateTopicError::TooManyPartitions => {
                ErrorCode::InvalidPartitions
            }
            CreateTopicError::ReplicationFactor | CreateTopicError::Placement { .. } => {
                ErrorCode::InvalidReplicationFactor
            }
            CreateTopicError::Metadata
            | CreateTopicError::AssignmentWithReplicationFactor
            | CreateTopicError::AssignmentWithPartitionCount => ErrorCode::InvalidRequest,
            CreateTopicError::Assignment(error) => assignment_code(error),
            CreateTopicError::NullConfigs(_) => ErrorCode::InvalidConfig,
            CreateTopicError::Config(error) => config_code(error),
        };
        ApiError::of(code, &error)
    }
}

impl From<TopicNameError> for ApiError {
    fn from(error: TopicNameError) -> ApiError {
        ApiError::of(ErrorCode::InvalidTopicException, &error)
    }
}

impl From<UnknownTopicId> for ApiError {
    fn from(error: UnknownTopicId) -> ApiError {
        ApiError::of(ErrorCode::UnknownTopicId, &error)
    }
}

impl From<CreatePartitionsError> for ApiError {
    fn from(error: CreatePartitionsError) -> ApiError {
        let code = match &error {
            CreatePartitionsError::UnknownTopic => ErrorCode::UnknownTopicOrPartition,
            CreatePartitionsError::CountIsFixed(_) => ErrorCode::InvalidRequest,
            CreatePartitionsError::SameCount(_)
            | CreatePartitionsError::NotAnIncrease { .. }
            | CreatePartitionsError::TooManyPartitions => ErrorCode::InvalidPartitions,
            CreatePartitionsError::Placement { .. } => ErrorCode::InvalidReplicationFactor,
            CreatePartitionsError::Assignment(error) => assignment_code(error),
        };
        ApiError::of(code, &error)
    }
}

impl From<AlterConfigsError> for ApiError {
    fn from(error: AlterConfigsError) -> ApiError {
        let code = match &error {
            AlterConfigsError::UnknownTopic(_) => ErrorCode::UnknownTopicOrPartition,
            AlterConfigsError::NotAList { .. }
            | AlterConfigsError::ValueTooLarge
            | AlterConfigsError::MinInSyncOfBroker
            | AlterConfigsError::MinInSyncRemoved => ErrorCode::InvalidConfig,
            AlterConfigsError::Config(error) => config_code(error),
        };
        ApiError::of(code, &error)
    }
}

impl From<ReassignmentError> for ApiError {
    fn from(error: ReassignmentError) -> ApiError {
        let code = match &error {
            ReassignmentError::UnknownPartition => ErrorCode::UnknownTopicOrPartition,
            ReassignmentError::NotInProgress => ErrorCode::NoReassignmentInProgress,
            ReassignmentError::Assignment(error) => assignment_code(error),
            ReassignmentError::ReplicationFactor { .. } => ErrorCode::InvalidReplicationFactor,
            ReassignmentError::NothingInSync => ErrorCode::InvalidReplicaAssignment,
        };
        ApiError::of(code, &error)
    }
}

impl From<ElectLeaderError> for ApiError {
    fn from(error: ElectLeaderError) -> ApiError {
        let code = match &error {
            ElectLeaderError::UnknownPartition => ErrorCode::UnknownTopicOrPartition,
            ElectLeaderError::NotNeeded => ErrorCode::ElectionNotNeeded,
            ElectLeaderError::PreferredNotAvailable => ErrorCode::PreferredLeaderNotAvailable,
            ElectLeaderError::NoneAvailable => ErrorCode::EligibleLeadersNotAvailable,
        };
        ApiError::of(code, &error)
    }
}

impl From<UpdateFeatureError> for ApiError {
    fn from(error: UpdateFeatureError) -> ApiError {
        ApiError::of(ErrorCode::InvalidUpdateVersion, &error)
    }
}

impl From<BrokerLifeError> for ApiError {
    fn from(error: BrokerLifeError) -> ApiError {
        let code = match &error {
            BrokerLifeError::NotRegistered(_) => ErrorCode::BrokerIdNotRegistered,
            BrokerLifeError::StaleEpoch { .. } => ErrorCode::StaleBrokerEpoch,
            BrokerLifeError::ShuttingDown(_)
            | BrokerLifeError::NotShuttingDown(_)
            | BrokerLifeError::NotFenced(_) => ErrorCode::InvalidRequest,
        };
        ApiError::of(code, &error)
    }
}

impl From<NoQuorumLeader> for ApiError {
    fn from(error: NoQuorumLeader) -> ApiError {
        // Retriable: the client asks again until there is a leader.
        ApiError::of(ErrorCode::NotLeaderOrFollower, &error)
    }
}

fn config_code(error: &InvalidConfig) -> ErrorCode {
    match error.kind {
        InvalidConfigKind::Unknown | InvalidConfigKind::Value => ErrorCode::InvalidConfig,
        InvalidConfigKind::ReadOnly => ErrorCode::InvalidRequest,
    }
}

fn assignment_code(error: &AssignmentError) -> ErrorCode {
    match error {
        AssignmentError::Empty
        | AssignmentError::UnknownBroker(_)
        | AssignmentError::RepeatedBroker(_)
        | AssignmentError::Inconsistent { .. }
        | AssignmentError::RepeatedPartition(_)
        | AssignmentError::Gaps
        | AssignmentError::NoneActive
        | AssignmentError::Count { .. } => ErrorCode::InvalidReplicaAssignment,
    }
}
