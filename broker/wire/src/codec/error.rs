//! Why bytes are not a message, and why a message has no bytes.

use std::fmt;

/// A message could not be decoded: what is wrong, in which field, and how far into the frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DecodeError {
    /// What is wrong.
    pub kind: DecodeErrorKind,
    /// The innermost field that was being read, such as `FetchTopic.Partitions`; empty outside of
    /// any field.
    pub field: &'static str,
    /// Where reading stopped, in bytes from the start of what the [`Reader`](super::Reader) was given.
    pub position: usize,
}

/// What is wrong with bytes that should be a message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeErrorKind {
    /// The bytes end before the value does.
    #[error("{needed} bytes needed, {remaining} remain")]
    Truncated {
        /// How many bytes the value takes.
        needed: usize,
        /// How many there are.
        remaining: usize,
    },
    /// An array claims more elements than can be in the bytes that remain.
    #[error("an array of {count} elements cannot be in the {remaining} bytes that remain")]
    ArrayTooLong {
        /// The claimed number of elements.
        count: usize,
        /// How many bytes there are.
        remaining: usize,
    },
    /// A negative length other than that of null.
    #[error("length {length}")]
    NegativeLength {
        /// The claimed length.
        length: i64,
    },
    /// A string longer than 32,767 bytes.
    #[error("a string of {length} bytes")]
    StringTooLong {
        /// The claimed length, in bytes.
        length: usize,
    },
    /// Null in a field that has no null in this version.
    #[error("null where a value is required")]
    UnexpectedNull,
    /// A string that is not UTF-8.
    #[error("a string that is not UTF-8 from its byte {valid_up_to} on")]
    InvalidUtf8 {
        /// How many of its bytes are UTF-8.
        valid_up_to: usize,
    },
    /// A variable-length integer of more bytes than its type has.
    #[error("a variable-length integer that does not end")]
    VarintTooLong,
    /// A tagged field whose content is shorter or longer than its length says.
    #[error("tagged field {tag} is not as long as it says")]
    TaggedFieldLength {
        /// The field's tag.
        tag: u32,
    },
    /// The message would take more memory than its frame entitles it to.
    #[error("more memory needed than a frame of this size may use")]
    MemoryLimit,
    /// No such version of this message.
    #[error("version {version} is not supported")]
    UnsupportedVersion {
        /// The version asked for.
        version: i16,
    },
}

impl DecodeError {
    pub(crate) fn new(kind: DecodeErrorKind, position: usize) -> Self {
        Self {
            kind,
            field: "",
            position,
        }
    }

    /// Names the field, unless a field within it is named already.
    pub(crate) fn in_field(mut self, field: &'static str) -> Self {
        if self.field.is_empty() {
            self.field = field;
        }
        self
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            kind,
            field,
            position,
        } = self;
        if field.is_empty() {
            write!(formatter, "at byte {position}: {kind}")
        } else {
            write!(formatter, "{field} at byte {position}: {kind}")
        }
    }
}

impl std::error::Error for DecodeError {}

/// A message could not be encoded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// No such version of this message.
    #[error("{message} has no version {version}")]
    UnsupportedVersion {
        /// The message's name.
        message: &'static str,
        /// The version asked for.
        version: i16,
    },
    /// A field has a value, but the version has no such field, and it may not be left out.
    #[error("{field} has a value, but version {version} has no such field")]
    FieldUnsupported {
        /// The struct and the field.
        field: &'static str,
        /// The version asked for.
        version: i16,
    },
    /// A field is null, but has no null in this version.
    #[error("{field} is null where a value is required")]
    UnexpectedNull {
        /// The struct and the field.
        field: &'static str,
    },
    /// A string or array is longer than its length field can say.
    #[error("{field} has a length of {length}, more than fits")]
    TooLong {
        /// The struct and the field.
        field: &'static str,
        /// Its length, in bytes or elements.
        length: usize,
    },
    /// A frame of more than 2 GiB.
    #[error("a frame of {length} bytes")]
    FrameTooLarge {
        /// Its length, in bytes.
        length: usize,
    },
}

impl EncodeError {
    /// Names the field, unless a field within it is named already.
    pub(crate) fn in_field(mut self, name: &'static str) -> Self {
        match &mut self {
            Self::UnexpectedNull { field } | Self::TooLong { field, .. } if field.is_empty() => {
                *field = name;
            }
            _ => {}
        }
        self
    }
}
