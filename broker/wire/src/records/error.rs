//! Why a record batch is refused, and the error code that says so to a client.

use std::fmt;

use super::compression::Compression;
use crate::ErrorCode;

/// A record batch cannot be read, or may not be written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BatchError {
    /// The bytes end before the batch does.
    #[error("a batch of {needed} bytes in {available} bytes")]
    Truncated {
        /// The size of the batch, or of its header, in bytes.
        needed: usize,
        /// How many bytes there are.
        available: usize,
    },
    /// The batch's length is less than that of its header, or negative.
    #[error("batch length {length} is less than a header")]
    BatchLength {
        /// The length field.
        length: i32,
    },
    /// There are bytes behind the batch where there should be one batch only.
    #[error("{extra} bytes behind the batch")]
    TrailingBytes {
        /// How many there are.
        extra: usize,
    },
    /// A message format other than v2.
    #[error("message format {magic}, only 2 is supported")]
    Magic {
        /// The magic byte.
        magic: i8,
    },
    /// The checksum does not match the bytes.
    #[error("checksum {stored:#010x} stored, {computed:#010x} computed")]
    Checksum {
        /// CRC-32C in the header.
        stored: u32,
        /// CRC-32C of the bytes.
        computed: u32,
    },
    /// The batch is larger than the topic's `max.message.bytes`.
    #[error(
        "a batch of {size} bytes is larger than its topic takes, {limit} bytes; send fewer records at a time, or raise \
         the topic's max.message.bytes"
    )]
    TooLarge {
        /// The size of the batch in bytes.
        size: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// The records are larger than allowed once decompressed.
    #[error("more than {limit} bytes when decompressed")]
    DecompressedTooLarge {
        /// The limit in bytes.
        limit: usize,
    },
    /// A compression code that Kafka does not define.
    #[error("compression code {code}")]
    UnknownCompression {
        /// The code in the attributes.
        code: i16,
    },
    /// The compressed records cannot be decompressed.
    #[error("{codec} data cannot be decompressed: {reason}")]
    Decompress {
        /// The codec.
        codec: Compression,
        /// What its decoder says.
        reason: String,
    },
    /// The number of records does not fit the last offset delta.
    #[error("{record_count} records, last offset delta {last_offset_delta}")]
    RecordCount {
        /// The record count of the header.
        record_count: i32,
        /// The last offset delta of the header.
        last_offset_delta: i32,
    },
    /// A client's batch starts at an offset other than 0.
    #[error("base offset {base_offset}, a producer has to send 0")]
    BaseOffset {
        /// The base offset of the header.
        base_offset: i64,
    },
    /// A client sent control records.
    #[error("control records are not for clients to write")]
    ControlBatch,
    /// A producer id without a sequence number.
    #[error("producer id {producer_id} with base sequence {base_sequence}")]
    Sequence {
        /// The producer id of the header.
        producer_id: i64,
        /// The base sequence of the header.
        base_sequence: i32,
    },
    /// A client claims that the timestamps are those of the log.
    #[error("a producer may not set the timestamp type to log append time")]
    TimestampType,
    /// Records that are sound but not what the topic takes.
    #[error("{0}")]
    Refused(RefusedRecords),
    /// A record is malformed.
    #[error("record {index}: {problem}")]
    Record {
        /// Which record of the batch, from 0.
        index: i32,
        /// What is wrong.
        problem: RecordProblem,
    },
    /// There are bytes behind the last record.
    #[error("bytes behind the last record")]
    BytesBehindRecords,
}

/// What is wrong with a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RecordProblem {
    /// The record ends behind the batch.
    #[error("it goes beyond the end of the batch")]
    BeyondBatch,
    /// A field ends behind the record, or the record behind its last field.
    #[error("its length does not fit its content")]
    Length,
    /// A variable-length integer of more bytes than its type has.
    #[error("a variable-length integer does not end")]
    Varint,
    /// A negative length where null is not possible, or one that does not mean null.
    #[error("a negative length")]
    NegativeLength,
    /// An offset that does not follow the one before, or lies beyond the batch's last.
    #[error("its offset is out of order")]
    Offset,
    /// A timestamp beyond 64 bits.
    #[error("its timestamp overflows")]
    Timestamp,
}

/// Most refused records that are listed one by one: a response that names them stays small, however
/// many a batch has.
pub const MAX_LISTED_RECORDS: usize = 1000;

/// The records of a batch that its topic does not take. Kafka names all of them to the producer
/// (KIP-467), which then knows which of its records were only in bad company.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedRecords {
    /// How many there are.
    pub count: usize,
    /// The first [`MAX_LISTED_RECORDS`] of them, in order.
    pub listed: Vec<RefusedRecord>,
}

/// A record that the topic does not take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("record {index}: {refusal}")]
pub struct RefusedRecord {
    /// Which record of the batch, from 0.
    pub index: i32,
    /// Why it is refused.
    pub refusal: RecordRefusal,
}

/// Why a topic does not take a sound record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RecordRefusal {
    /// Its timestamp is too far from the broker's time.
    #[error("its timestamp is {timestamp}, allowed are {earliest} to {latest}")]
    Timestamp {
        /// Its timestamp, in milliseconds since 1970.
        timestamp: i64,
        /// The earliest timestamp allowed.
        earliest: i64,
        /// The latest timestamp allowed.
        latest: i64,
    },
    /// It has no key.
    #[error("it has no key, which a compacted topic requires")]
    MissingKey,
}

impl RefusedRecords {
    pub(super) fn none() -> Self {
        Self {
            count: 0,
            listed: Vec::new(),
        }
    }

    pub(super) fn add(&mut self, record: RefusedRecord) {
        self.count += 1;
        if self.listed.len() < MAX_LISTED_RECORDS {
            self.listed.push(record);
        }
    }

    pub(super) fn into_result(self) -> Result<(), BatchError> {
        match self.count {
            0 => Ok(()),
            _ => Err(BatchError::Refused(self)),
        }
    }

    fn error_code(&self) -> ErrorCode {
        let is_late =
            |record: &RefusedRecord| matches!(record.refusal, RecordRefusal::Timestamp { .. });
        match self.listed.iter().any(is_late) {
            true => ErrorCode::InvalidTimestamp,
            false => ErrorCode::InvalidRecord,
        }
    }
}

impl fmt::Display for RefusedRecords {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} refused", self.count)?;
        match self.listed.first() {
            Some(first) => write!(formatter, ", the first is {first}"),
            None => Ok(()),
        }
    }
}

impl BatchError {
    /// What a produce request is answered with.
    ///
    /// Damage on the way is `CORRUPT_MESSAGE`, which producers retry; what a producer made wrong
    /// itself is `INVALID_RECORD`, which they do not.
    pub fn error_code(&self) -> ErrorCode {
        match self {
            Self::Truncated { .. }
            | Self::BatchLength { .. }
            | Self::TrailingBytes { .. }
            | Self::Checksum { .. } => ErrorCode::CorruptMessage,
            Self::TooLarge { .. } | Self::DecompressedTooLarge { .. } => ErrorCode::MessageTooLarge,
            Self::UnknownCompression { .. } => ErrorCode::UnsupportedCompressionType,
            Self::TimestampType
            | Self::Record {
                problem: RecordProblem::Timestamp,
                ..
            } => ErrorCode::InvalidTimestamp,
            Self::Refused(records) => records.error_code(),
            Self::Magic { .. }
            | Self::Decompress { .. }
            | Self::RecordCount { .. }
            | Self::BaseOffset { .. }
            | Self::ControlBatch
            | Self::Sequence { .. }
            | Self::Record { .. }
            | Self::BytesBehindRecords => ErrorCode::InvalidRecord,
        }
    }

    /// Which records of the batch are to blame, and for what: the `RecordErrors` of a produce
    /// response.
    pub fn record_errors(&self) -> Vec<(i32, String)> {
        match self {
            Self::Refused(records) => {
                let listed = records.listed.iter();
                listed
                    .map(|record| (record.index, record.refusal.to_string()))
                    .collect()
            }
            Self::Record { index, problem } => vec![(*index, problem.to_string())],
            _ => Vec::new(),
        }
    }
}
