//! Why a record batch is refused, and the error code that says so to a client.

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
    #[error("a batch of {size} bytes, {limit} are allowed")]
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
    /// A timestamp is too far from the broker's time.
    #[error("record {index} has timestamp {timestamp}, allowed are {earliest} to {latest}")]
    Timestamp {
        /// Which record of the batch, from 0.
        index: i32,
        /// Its timestamp, in milliseconds since 1970.
        timestamp: i64,
        /// The earliest timestamp allowed.
        earliest: i64,
        /// The latest timestamp allowed.
        latest: i64,
    },
    /// A record without a key on a compacted topic.
    #[error("record {index} has no key, which a compacted topic requires")]
    MissingKey {
        /// Which record of the batch, from 0.
        index: i32,
    },
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
            Self::TimestampType | Self::Timestamp { .. } => ErrorCode::InvalidTimestamp,
            Self::Magic { .. }
            | Self::Decompress { .. }
            | Self::RecordCount { .. }
            | Self::BaseOffset { .. }
            | Self::ControlBatch
            | Self::Sequence { .. }
            | Self::MissingKey { .. }
            | Self::Record { .. }
            | Self::BytesBehindRecords => ErrorCode::InvalidRecord,
        }
    }

    /// Which record of the batch is to blame, for the `RecordErrors` of a produce response.
    pub fn record_index(&self) -> Option<i32> {
        match self {
            Self::Timestamp { index, .. }
            | Self::MissingKey { index }
            | Self::Record { index, .. } => Some(*index),
            _ => None,
        }
    }
}
