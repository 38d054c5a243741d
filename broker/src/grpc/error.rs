//! The one place where Kafka's error codes become gRPC statuses.
//!
//! A status has the code that gRPC clients expect, a sentence that says what to do, and as a detail a
//! `google.rpc.ErrorInfo` with Kafka's name for the error, so that programs need not read sentences.

use std::collections::HashMap;

use fjord_proto::{ERROR_DOMAIN, v1};
use fjord_wire::ErrorCode;
use http::HeaderMap;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

use crate::api::error::ApiError;

/// The key in an `ErrorInfo`'s metadata that says whether the same call may succeed later.
const RETRIABLE: &str = "retriable";

/// An error code of a response, with its message.
pub fn api_error(code: i16, message: Option<String>) -> Result<(), ApiError> {
    let code = ErrorCode::from_code(code).unwrap_or(ErrorCode::UnknownServerError);
    if code.is_none() {
        return Ok(());
    }
    Err(ApiError { code, message })
}

/// The same as a result whose error is a status.
pub fn check(code: i16, message: Option<String>) -> Result<(), Status> {
    api_error(code, message).map_err(|error| status(&error))
}

/// The status that ends a call with this error.
pub fn status(error: &ApiError) -> Status {
    let retriable = error.code.retriable().to_string();
    let metadata = HashMap::from([(RETRIABLE.to_owned(), retriable)]);
    let details = ErrorDetails::with_error_info(error.code.name(), ERROR_DOMAIN, metadata);
    Status::with_error_details(grpc_code(error.code), sentence(error), details)
}

/// A status on its way out. One that did not come from the services, but from what decodes requests and finds methods,
/// gets the same details as theirs; `headers` are those that carry it.
pub fn explained(found: Status, headers: &mut HeaderMap) -> Status {
    let Some(code) = kafka_code(found.code()).filter(|_| found.details().is_empty()) else {
        return found;
    };
    let message = match code {
        ErrorCode::MessageTooLarge => format!(
            "{}; send fewer records at a time, or raise fjord.grpc.message.max.bytes",
            found.message()
        ),
        _ => found.message().to_owned(),
    };
    let status = status(&ApiError::new(code, message));
    match status.add_header(headers) {
        Ok(()) => status,
        // It stays as it was.
        Err(_) => found,
    }
}

/// What Kafka calls the errors that come from below the services; of the others nothing more is known.
fn kafka_code(code: Code) -> Option<ErrorCode> {
    Some(match code {
        // Nothing but a message beyond the limit is out of range there.
        Code::OutOfRange => ErrorCode::MessageTooLarge,
        Code::InvalidArgument => ErrorCode::InvalidRequest,
        Code::Unimplemented => ErrorCode::UnsupportedVersion,
        Code::Unavailable => ErrorCode::NetworkException,
        Code::Internal => ErrorCode::UnknownServerError,
        _ => return None,
    })
}

/// The error as a part of a response carries it.
pub fn part(error: &ApiError) -> v1::Error {
    v1::Error {
        reason: error.code.name().to_owned(),
        message: sentence(error),
        retriable: error.code.retriable(),
    }
}

/// A part's error for a code of a response; nothing for success.
pub fn part_of(code: i16, message: Option<String>) -> Option<v1::Error> {
    api_error(code, message).err().map(|error| part(&error))
}

/// A request that makes no sense, in words that say what would.
pub fn invalid(message: impl Into<String>) -> Status {
    status(&ApiError::invalid_request(message))
}

fn sentence(error: &ApiError) -> String {
    match &error.message {
        Some(message) => message.clone(),
        None => error.code.message().to_owned(),
    }
}

fn grpc_code(code: ErrorCode) -> Code {
    use ErrorCode as E;
    match code {
        E::UnknownTopicOrPartition
        | E::UnknownTopicId
        | E::GroupIdNotFound
        | E::BrokerIdNotRegistered => Code::NotFound,
        E::TopicAlreadyExists => Code::AlreadyExists,
        E::OffsetOutOfRange => Code::OutOfRange,
        E::TopicAuthorizationFailed
        | E::GroupAuthorizationFailed
        | E::ClusterAuthorizationFailed
        | E::TransactionalIdAuthorizationFailed => Code::PermissionDenied,
        E::RequestTimedOut => Code::DeadlineExceeded,
        E::GroupMaxSizeReached | E::PolicyViolation | E::ThrottlingQuotaExceeded => {
            Code::ResourceExhausted
        }
        E::NonEmptyGroup
        | E::NoReassignmentInProgress
        | E::ElectionNotNeeded
        | E::GroupSubscribedToTopic
        | E::OutOfOrderSequenceNumber
        | E::InvalidProducerEpoch
        | E::InvalidTxnState
        | E::FencedInstanceId
        | E::InconsistentGroupProtocol => Code::FailedPrecondition,
        E::RebalanceInProgress | E::IllegalGeneration | E::UnknownMemberId => Code::Aborted,
        E::CorruptMessage
        | E::MessageTooLarge
        | E::InvalidTopicException
        | E::RecordListTooLarge
        | E::InvalidRequiredAcks
        | E::InvalidGroupId
        | E::InvalidSessionTimeout
        | E::InvalidTimestamp
        | E::InvalidPartitions
        | E::InvalidReplicationFactor
        | E::InvalidReplicaAssignment
        | E::InvalidConfig
        | E::InvalidUpdateVersion
        | E::InvalidRequest
        | E::InvalidRecord
        | E::UnsupportedCompressionType
        | E::OffsetMetadataTooLarge => Code::InvalidArgument,
        E::UnsupportedVersion => Code::Unimplemented,
        code if code.retriable() => Code::Unavailable,
        _ => Code::Internal,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_says_what_happened_to_people_and_to_programs() {
        let error = ApiError::new(ErrorCode::UnknownTopicOrPartition, "there is no topic x");
        let status = status(&error);
        assert_eq!(status.code(), Code::NotFound);
        assert_eq!(status.message(), "there is no topic x");
        let info = status.get_details_error_info().unwrap();
        assert_eq!(info.reason, "UNKNOWN_TOPIC_OR_PARTITION");
        assert_eq!(info.domain, "fjord.dev");
        assert_eq!(info.metadata[RETRIABLE], "true");
    }

    #[test]
    fn a_status_from_below_the_services_gets_details_and_theirs_stays() {
        let mut headers = HeaderMap::new();
        let bare = Status::out_of_range("found 9 bytes, the limit is 8");
        let told = explained(bare, &mut headers);
        let sent = Status::from_header_map(&headers).unwrap();
        assert_eq!(
            (told.code(), sent.code()),
            (Code::InvalidArgument, told.code())
        );
        assert!(
            sent.message().contains("the limit is 8; send fewer"),
            "{sent}"
        );
        let info = sent.get_details_error_info().unwrap();
        assert_eq!(info.reason, "MESSAGE_TOO_LARGE");

        let ours = status(&ErrorCode::OffsetOutOfRange.into());
        let mut headers = HeaderMap::new();
        ours.add_header(&mut headers).unwrap();
        assert_eq!(explained(ours, &mut headers).code(), Code::OutOfRange);
        let sent = Status::from_header_map(&headers).unwrap();
        assert_eq!(
            sent.get_details_error_info().unwrap().reason,
            "OFFSET_OUT_OF_RANGE"
        );

        let mut none = HeaderMap::new();
        assert_eq!(explained(Status::ok(""), &mut none).code(), Code::Ok);
        assert!(none.is_empty());
    }

    #[test]
    fn what_comes_from_below_keeps_its_code_but_for_messages_that_are_too_large() {
        for code in (0..=16)
            .map(Code::from)
            .filter(|code| *code != Code::OutOfRange)
        {
            if let Some(kafka) = kafka_code(code) {
                assert_eq!(grpc_code(kafka), code, "{kafka:?}");
            }
        }
    }

    #[test]
    fn every_code_but_success_is_an_error() {
        assert!(check(0, None).is_ok());
        for code in ErrorCode::ALL.iter().filter(|code| !code.is_none()) {
            let status = check(code.code(), None).unwrap_err();
            assert_ne!(status.code(), Code::Ok, "{code:?}");
            assert!(!status.message().is_empty(), "{code:?}");
        }
        assert_eq!(check(12_345, None).unwrap_err().code(), Code::Internal);
    }
}
