//! What can go wrong, with the broker's own sentence kept.

use std::{error::Error as _, fmt::Write as _, time::Duration};

use fjord_proto::{ERROR_DOMAIN, v1};
use tonic::{Code, Status};
use tonic_types::StatusExt;

/// The key of an error's details under which the broker says whether the same request may succeed later.
const RETRIABLE: &str = "retriable";
/// The broker's name for a batch, or a message, that is larger than it takes.
pub(crate) const TOO_LARGE: &str = "MESSAGE_TOO_LARGE";
/// What tonic says when the time that was set for a call is over.
const TIMED_OUT: &str = "Timeout expired";

/// Why a call failed. It is cheap to clone enough: one failed batch is told to each of its records.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// No broker could be reached.
    #[error("cannot connect to a broker: tried {}", list_attempts(.tried))]
    Connect {
        /// The addresses that were tried, in order, and what happened at each.
        tried: Vec<Attempt>,
    },
    /// The connection broke while a request was under way. Whether the broker took the request is not known.
    #[error("the connection to {address} was lost: {cause}")]
    Disconnected {
        /// Where the broker was.
        address: String,
        /// What the transport said.
        cause: String,
    },
    /// No answer came in time. Whether the broker took the request is not known.
    #[error("no answer from {address} within {} s", .after.as_secs_f64())]
    Timeout {
        /// Where the broker is.
        address: String,
        /// How long was waited.
        after: Duration,
    },
    /// The broker refused the request, or could not do it.
    #[error(transparent)]
    Api(#[from] ApiError),
    /// An option or an address cannot be used.
    #[error("{0}")]
    Invalid(String),
    /// The producer was closed, or its records were given up because it was dropped.
    #[error("the producer is closed")]
    Closed,
}

/// One address that was tried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// The address, `host:port`.
    pub address: String,
    /// What happened there.
    pub cause: String,
}

/// The broker's refusal.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ApiError {
    /// The code of gRPC; [`Code::Unknown`] for an error about a part of a request, which has none of its own.
    pub code: Code,
    /// A name for programs, one of Kafka's, such as `UNKNOWN_TOPIC_OR_PARTITION`; empty if the broker named none.
    pub reason: String,
    /// The broker's sentence, which says what to do.
    pub message: String,
    /// Whether the same request may succeed later.
    pub retriable: bool,
}

impl Error {
    /// Whether the same request may succeed later.
    #[must_use]
    pub fn is_retriable(&self) -> bool {
        match self {
            Self::Connect { .. } | Self::Disconnected { .. } | Self::Timeout { .. } => true,
            Self::Api(error) => error.retriable,
            Self::Invalid(_) | Self::Closed => false,
        }
    }

    /// Whether nobody could take the request: the broker says so, or the connection broke.
    pub(crate) fn is_unavailable(&self) -> bool {
        match self {
            Self::Disconnected { .. } => true,
            Self::Api(error) => error.code == Code::Unavailable && error.retriable,
            Self::Connect { .. } | Self::Timeout { .. } | Self::Invalid(_) | Self::Closed => false,
        }
    }

    /// The broker's name for what went wrong, such as `UNKNOWN_TOPIC_OR_PARTITION`; empty if it did not name it.
    #[must_use]
    pub fn reason(&self) -> &str {
        match self {
            Self::Api(error) => &error.reason,
            _ => "",
        }
    }

    /// Makes an error of the status of a call.
    ///
    /// A status that the broker sent has no source; one that the transport made has, and then nobody knows whether
    /// the broker took the request.
    pub(crate) fn from_status(status: &Status, address: &str, timeout: Duration) -> Self {
        let of_the_broker = status.source().is_none();
        if status.code() == Code::Cancelled && status.message() == TIMED_OUT {
            return Self::Timeout {
                address: address.to_owned(),
                after: timeout,
            };
        }
        if !of_the_broker {
            return Self::Disconnected {
                address: address.to_owned(),
                cause: root_cause(status),
            };
        }
        let info = status
            .get_details_error_info()
            .filter(|info| info.domain == ERROR_DOMAIN);
        let retriable = info
            .as_ref()
            .and_then(|info| info.metadata.get(RETRIABLE).map(|value| value == "true"))
            .unwrap_or_else(|| matches!(status.code(), Code::Unavailable | Code::Aborted));
        Self::Api(ApiError {
            code: status.code(),
            reason: info.map(|info| info.reason).unwrap_or_default(),
            message: if status.message().is_empty() {
                status.code().description().to_owned()
            } else {
                status.message().to_owned()
            },
            retriable,
        })
    }
}

/// The error of a part of a request.
impl From<v1::Error> for Error {
    fn from(error: v1::Error) -> Self {
        Self::Api(error.into())
    }
}

/// The error of a part of a request.
impl From<v1::Error> for ApiError {
    fn from(error: v1::Error) -> Self {
        Self {
            code: Code::Unknown,
            message: if error.message.is_empty() {
                error.reason.clone()
            } else {
                error.message
            },
            reason: error.reason,
            retriable: error.retriable,
        }
    }
}

/// The innermost error that `error` came from: the one that says what really happened, such as "connection refused".
pub(crate) fn root_cause(error: &(dyn std::error::Error + 'static)) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    let said = innermost.to_string();
    // The number of the system's error says nothing that its text does not.
    match said.split_once(" (os error ") {
        Some((text, _)) => text.to_owned(),
        None => said,
    }
}

fn list_attempts(tried: &[Attempt]) -> String {
    let mut list = String::new();
    for Attempt { address, cause } in tried {
        if !list.is_empty() {
            list.push_str(", ");
        }
        // Writing to a string cannot fail.
        let _ = write!(list, "{address} ({cause})");
    }
    list
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use tonic_types::ErrorDetails;

    use super::*;

    fn decode(status: &Status) -> Error {
        Error::from_status(status, "a:1", Duration::from_secs(2))
    }

    #[test]
    fn the_brokers_sentence_and_reason_are_kept() {
        let details = ErrorDetails::with_error_info(
            "TOPIC_ALREADY_EXISTS",
            ERROR_DOMAIN,
            HashMap::<String, String>::new(),
        );
        let status =
            Status::with_error_details(Code::AlreadyExists, "topic a is there already", details);
        let Error::Api(error) = decode(&status) else {
            panic!("not the broker's")
        };
        assert_eq!(error.reason, "TOPIC_ALREADY_EXISTS");
        assert_eq!(error.message, "topic a is there already");
        assert_eq!(error.code, Code::AlreadyExists);
        assert!(!error.retriable);
    }

    #[test]
    fn a_status_without_details_is_kept_too() {
        let error = decode(&Status::unavailable("starting"));
        assert_eq!(error.to_string(), "starting");
        assert!(error.is_retriable());
        let error = decode(&Status::unimplemented(""));
        assert!(!error.to_string().is_empty());
    }

    #[test]
    fn what_nobody_could_take_is_told_from_a_refusal() {
        let reset = Status::from_error(Box::new(std::io::Error::other("reset")));
        assert!(decode(&reset).is_unavailable());
        assert!(decode(&Status::unavailable("starting")).is_unavailable());
        assert!(!decode(&Status::cancelled(TIMED_OUT)).is_unavailable());
        // Kafka calls it retriable, but there is an answer.
        let details = ErrorDetails::with_error_info(
            "UNKNOWN_TOPIC_OR_PARTITION",
            ERROR_DOMAIN,
            HashMap::from([(RETRIABLE.to_owned(), "true".to_owned())]),
        );
        let status = Status::with_error_details(Code::NotFound, "there is no topic a", details);
        let error = decode(&status);
        assert!(error.is_retriable() && !error.is_unavailable());
    }

    #[test]
    fn a_broken_transport_is_not_the_brokers_refusal() {
        let status = Status::from_error(Box::new(std::io::Error::other("reset")));
        assert_eq!(
            decode(&status).to_string(),
            "the connection to a:1 was lost: reset"
        );
        assert_eq!(
            decode(&Status::cancelled(TIMED_OUT)).to_string(),
            "no answer from a:1 within 2 s"
        );
    }

    #[test]
    fn a_failed_connection_names_what_was_tried() {
        let attempt = |address: &str, cause: &str| Attempt {
            address: address.to_owned(),
            cause: cause.to_owned(),
        };
        let error = Error::Connect {
            tried: vec![
                attempt("a:1", "connection refused"),
                attempt("b:2", "no such host"),
            ],
        };
        assert_eq!(
            error.to_string(),
            "cannot connect to a broker: tried a:1 (connection refused), b:2 (no such host)"
        );
    }
}
