//! Why a command failed, and the exit code that tells scripts.

use std::{io, process::ExitCode};

use fjord_client::{Code, Error};
use serde_json::{Value, json};

/// A request was refused, or something could not be done.
pub const EXIT_FAILED: u8 = 1;
/// The command line is wrong.
pub const EXIT_USAGE: u8 = 2;
/// No broker could be reached, or the connection was lost.
pub const EXIT_CONNECT: u8 = 3;
/// What was asked for is not there: a topic, a group, a partition.
pub const EXIT_NOT_FOUND: u8 = 4;
/// No answer came in time.
pub const EXIT_TIMEOUT: u8 = 5;

/// Kafka's names for things that are not there.
const NOT_FOUND: [&str; 4] = [
    "UNKNOWN_TOPIC_OR_PARTITION",
    "UNKNOWN_TOPIC_ID",
    "GROUP_ID_NOT_FOUND",
    "RESOURCE_NOT_FOUND",
];

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// What the client library says.
    #[error("{}", sentence(.0))]
    Client(#[from] Error),
    /// Arguments that contradict each other, or input that cannot be read.
    #[error("{0}")]
    Usage(String),
    /// Anything else that is told in one sentence.
    #[error("{0}")]
    Other(String),
    /// Reading or writing a file.
    #[error("{what}: {error}")]
    File {
        /// Which file, and what was to be done with it.
        what: String,
        /// What the system says.
        error: io::Error,
    },
    /// Writing to standard output.
    #[error("cannot write the output: {0}")]
    Output(io::Error),
}

impl Failure {
    /// Whether whoever read the output has read enough.
    pub fn is_broken_pipe(&self) -> bool {
        matches!(self, Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe)
    }

    /// The exit code.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Usage(_) | Self::Client(Error::Invalid(_)) => EXIT_USAGE,
            Self::Client(Error::Connect { .. } | Error::Disconnected { .. }) => EXIT_CONNECT,
            Self::Client(Error::Timeout { .. }) => EXIT_TIMEOUT,
            Self::Client(Error::Api(error)) => {
                if NOT_FOUND.contains(&error.reason.as_str()) || error.code == Code::NotFound {
                    EXIT_NOT_FOUND
                } else if error.code == Code::DeadlineExceeded
                    || error.reason == "REQUEST_TIMED_OUT"
                {
                    EXIT_TIMEOUT
                } else {
                    EXIT_FAILED
                }
            }
            Self::Client(Error::Closed) | Self::Other(_) | Self::File { .. } | Self::Output(_) => {
                EXIT_FAILED
            }
        }
    }

    /// The form for programs: `{"error": {...}}`.
    pub fn to_json(&self) -> Value {
        let mut error = json!({
            "kind": self.kind(),
            "message": self.to_string(),
            "exit_code": self.exit_code(),
        });
        match self {
            Self::Client(Error::Api(api)) => {
                error["code"] = json!(format!("{:?}", api.code));
                error["reason"] = json!(api.reason);
                error["retriable"] = json!(api.retriable);
            }
            Self::Client(Error::Connect { tried }) => {
                error["tried"] = tried
                    .iter()
                    .map(|attempt| json!({"address": attempt.address, "cause": attempt.cause}))
                    .collect();
            }
            _ => {}
        }
        json!({ "error": error })
    }

    /// Prints it to standard error, and returns how the process is to end.
    pub fn report(&self, as_json: bool) -> ExitCode {
        if self.is_broken_pipe() {
            return ExitCode::SUCCESS;
        }
        if as_json {
            eprintln!("{}", self.to_json());
        } else {
            eprintln!("fjord: {self}");
        }
        ExitCode::from(self.exit_code())
    }

    fn kind(&self) -> &'static str {
        match self {
            Self::Client(Error::Connect { .. }) => "connect",
            Self::Client(Error::Disconnected { .. }) => "disconnected",
            Self::Client(Error::Timeout { .. }) => "timeout",
            Self::Client(Error::Api(_)) => "api",
            Self::Client(Error::Invalid(_)) | Self::Usage(_) => "usage",
            Self::Client(Error::Closed) | Self::Other(_) => "failed",
            Self::File { .. } | Self::Output(_) => "io",
        }
    }
}

/// The library's sentence, with what a person at a terminal can do about it.
fn sentence(error: &Error) -> String {
    match error {
        Error::Connect { .. } => {
            format!("{error}. Is one running there? Name others with --broker or FJORD_BROKER")
        }
        Error::Disconnected { .. } => {
            format!("{error}. Did the broker stop, or is that not the port of fjord.grpc.listen?")
        }
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use fjord_client::{ApiError, Attempt};

    use super::*;

    fn api(code: Code, reason: &str) -> Failure {
        Failure::Client(Error::Api(ApiError {
            code,
            reason: reason.to_owned(),
            message: "no".to_owned(),
            retriable: false,
        }))
    }

    #[test]
    fn exit_codes_are_what_the_manual_says() {
        let connect = Failure::Client(Error::Connect { tried: Vec::new() });
        let cases = [
            (Failure::Usage("x".to_owned()), 2),
            (connect, 3),
            (api(Code::NotFound, ""), 4),
            (api(Code::Unknown, "UNKNOWN_TOPIC_OR_PARTITION"), 4),
            (api(Code::DeadlineExceeded, ""), 5),
            (api(Code::AlreadyExists, "TOPIC_ALREADY_EXISTS"), 1),
        ];
        for (failure, code) in cases {
            assert_eq!(failure.exit_code(), code, "{failure:?}");
        }
    }

    #[test]
    fn json_says_what_was_tried() {
        let tried = vec![Attempt {
            address: "a:1".to_owned(),
            cause: "refused".to_owned(),
        }];
        let value = Failure::Client(Error::Connect { tried }).to_json();
        assert_eq!(value["error"]["kind"], "connect");
        assert_eq!(value["error"]["exit_code"], 3);
        assert_eq!(value["error"]["tried"][0]["address"], "a:1");
    }

    #[test]
    fn a_broken_pipe_is_no_failure_to_tell() {
        let failure = Failure::Output(io::ErrorKind::BrokenPipe.into());
        assert!(failure.is_broken_pipe());
        assert!(!Failure::Output(io::ErrorKind::StorageFull.into()).is_broken_pipe());
    }
}
