//! All commands as one type, so that any broker can hand one to the broker that decides: the leader of
//! the metadata's quorum.
//!
//! ```text
//!   any broker: Request ─► Command ─► bytes ~~~► leader: decode ─► execute(image) ─► records, Answer
//!   any broker: Outcome ◄─ Answer ◄─ bytes ◄~~~  leader: encode ◄─ once they are committed and applied
//! ```
//!
//! The bytes are a version and CBOR (RFC 8949) with the names of fields, made by the same derives as the
//! records. A field that was added later has a default, and is passed over by a program that does not know
//! it; a program that must not do so is told by a higher version. A kind of command that a program does
//! not know is an error there.

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::requests::*;
use crate::metadata::{Decision, Image};

/// The version of commands and answers that is written, and the newest that is read.
pub const COMMAND_VERSION: u8 = 0;

/// Why bytes are no command or answer that this program understands.
#[derive(Debug, thiserror::Error)]
pub enum CommandDecodeError {
    /// There are no bytes at all.
    #[error("no command")]
    Empty,
    /// They were written by a newer version of the program.
    #[error("the command has version {0}, but this program reads up to {COMMAND_VERSION}")]
    NewerVersion(u8),
    /// They are not what the version promises, or a command that only a newer program has.
    #[error("the command is damaged or unknown: {0}")]
    Malformed(String),
    /// Something follows the command.
    #[error("{0} bytes follow the command")]
    TrailingBytes(usize),
}

macro_rules! commands {
    ($($kind:ident,)*) => {
        /// A change of the metadata that is asked for.
        #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
        pub enum Command {
            $(#[doc = concat!("See [`", stringify!($kind), "`].")] $kind($kind),)*
        }

        /// The outcome of a command, of the same kind.
        #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
        pub enum Answer {
            $(#[doc = concat!("See [`", stringify!($kind), "`].")]
            $kind(<$kind as Decide>::Outcome),)*
        }

        $(impl From<$kind> for Command {
            fn from(request: $kind) -> Command {
                Command::$kind(request)
            }
        })*

        $(impl Request for $kind {
            fn outcome(answer: Answer) -> Option<Self::Outcome> {
                match answer {
                    Answer::$kind(outcome) => Some(outcome),
                    _ => None,
                }
            }
        })*

        impl Command {
            /// The name of the kind, for logs and metrics.
            pub fn kind(&self) -> &'static str {
                match self {
                    $(Command::$kind(_) => stringify!($kind),)*
                }
            }
        }

        impl Answer {
            /// The name of the kind of command that is answered.
            pub fn kind(&self) -> &'static str {
                match self {
                    $(Answer::$kind(_) => stringify!($kind),)*
                }
            }
        }

        #[cfg(test)]
        const KINDS: &[&str] = &[$(stringify!($kind)),*];

        /// Carries a command out on an image: the records that make the change, and the answer for the caller
        /// once they are durable.
        pub fn execute(
            image: &Image,
            command: &Command,
            conditions: &Conditions,
        ) -> Decision<Answer> {
            match command {
                $(Command::$kind(request) => {
                    let Decision { records, outcome } = request.decide(image, conditions);
                    Decision { records, outcome: Answer::$kind(outcome) }
                })*
            }
        }
    };
}

commands! {
    CreateTopics,
    DeleteTopics,
    CreatePartitions,
    AlterConfigs,
    EnsureInternalTopic,
    AllocateProducerIds,
    EnsureClusterId,
    RegisterOnlyBroker,
    Register,
    FenceBroker,
    UnfenceBroker,
    BeginControlledShutdown,
    FinishControlledShutdown,
    UnregisterBroker,
    AlterPartitions,
    ElectLeaders,
    RestorePreferredLeaders,
    ElectMissingLeaders,
    AlterReassignments,
    UpdateFeatures,
}

impl Command {
    /// The bytes to send.
    pub fn encode(&self) -> Vec<u8> {
        encode(self)
    }

    /// Reads what [`Command::encode`] wrote, here or in an older or newer program.
    pub fn decode(bytes: &[u8]) -> Result<Command, CommandDecodeError> {
        decode(bytes)
    }
}

impl Answer {
    /// The bytes to send.
    pub fn encode(&self) -> Vec<u8> {
        encode(self)
    }

    /// Reads what [`Answer::encode`] wrote, here or in an older or newer program.
    pub fn decode(bytes: &[u8]) -> Result<Answer, CommandDecodeError> {
        decode(bytes)
    }
}

fn encode<T: Serialize>(value: &T) -> Vec<u8> {
    let mut bytes = vec![COMMAND_VERSION];
    ciborium::into_writer(value, &mut bytes).expect("a vector takes all, and so does CBOR");
    bytes
}

fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, CommandDecodeError> {
    let (version, mut rest) = bytes.split_first().ok_or(CommandDecodeError::Empty)?;
    if *version > COMMAND_VERSION {
        return Err(CommandDecodeError::NewerVersion(*version));
    }
    let value = ciborium::from_reader(&mut rest)
        .map_err(|error| CommandDecodeError::Malformed(error.to_string()))?;
    match rest.len() {
        0 => Ok(value),
        more => Err(CommandDecodeError::TrailingBytes(more)),
    }
}

#[cfg(test)]
mod tests;
