//! The one place where errors become Kafka's error codes.

use fjord_log::{AppendError, ReadError};
use fjord_wire::ErrorCode;

use crate::{
    config::{InvalidConfig, InvalidConfigKind},
    metadata::{
        ExecuteError,
        commands::{
            AlterConfigsError, AssignmentError, CreatePartitionsError, CreateTopicError,
            TooManyPartitions, UnknownTopicId,
        },
        topic_name::TopicNameError,
    },
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
            AppendError::OutOfOrderSequence { .. } => ErrorCode::OutOfOrderSequenceNumber,
            AppendError::InvalidProducerEpoch { .. } => ErrorCode::InvalidProducerEpoch,
            AppendError::Deleted => ErrorCode::UnknownTopicOrPartition,
            AppendError::Closed => ErrorCode::NotLeaderOrFollower,
        };
        ApiError::of(code, &error)
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
            AlterConfigsError::NotAList { .. } | AlterConfigsError::ValueTooLarge => {
                ErrorCode::InvalidConfig
            }
            AlterConfigsError::Config(error) => config_code(error),
        };
        ApiError::of(code, &error)
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
        | AssignmentError::Count { .. } => ErrorCode::InvalidReplicaAssignment,
    }
}
