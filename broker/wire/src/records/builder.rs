//! Building batches: for internal topics, for compaction, and for topics that ask for another codec
//! than their producers used.

use super::compression::{Compression, compress, decompress};
use super::error::BatchError;
use super::header::{
    Attributes, BATCH_HEADER_BYTES, BatchHeader, LOG_OVERHEAD_BYTES, NO_PRODUCER_EPOCH,
    NO_PRODUCER_ID, NO_SEQUENCE, NO_TIMESTAMP, TimestampType, set_crc,
};
use super::record::RecordHeader;
use super::split::Batch;
use super::varint;
use bytes::Bytes;

/// A batch cannot be built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// A record's offset is not above the one before, or further from the base than 31 bits say.
    #[error("offset {offset} cannot follow {previous} in a batch that starts at {base_offset}")]
    Offset {
        /// The record's offset.
        offset: i64,
        /// The last offset so far.
        previous: i64,
        /// The batch's base offset.
        base_offset: i64,
    },
    /// A record's timestamp is too far from the batch's.
    #[error("timestamp {timestamp} is too far from {base_timestamp}")]
    Timestamp {
        /// The record's timestamp.
        timestamp: i64,
        /// The batch's base timestamp.
        base_timestamp: i64,
    },
    /// A record or the whole batch is larger than 2 GiB.
    #[error("a record or batch of {size} bytes")]
    TooLarge {
        /// Its size in bytes.
        size: usize,
    },
    /// Neither a record nor a last offset was given.
    #[error("a batch of no offsets")]
    Empty,
    /// The codec failed.
    #[error("compression failed")]
    Compress(#[source] std::io::Error),
    /// The batch to recompress is not what it should be.
    #[error(transparent)]
    Batch(#[from] BatchError),
}

/// What is the same for all records of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchOptions {
    /// The codec.
    pub compression: Compression,
    /// The codec's level; `None` is its default.
    pub compression_level: Option<i32>,
    /// Where the timestamps come from; with log append time all records should have the same one.
    pub timestamp_type: TimestampType,
    /// Whether the batch is part of a transaction.
    pub transactional: bool,
    /// Whether the records are control records.
    pub control: bool,
    /// The time from which compaction may drop the batch's tombstones (KIP-534).
    pub delete_horizon: Option<i64>,
    /// Id of the producer.
    pub producer_id: i64,
    /// Epoch of the producer.
    pub producer_epoch: i16,
    /// Sequence number of the first record.
    pub base_sequence: i32,
    /// Epoch of the leader that appends the batch.
    pub partition_leader_epoch: i32,
}

impl Default for BatchOptions {
    fn default() -> Self {
        Self {
            compression: Compression::None,
            compression_level: None,
            timestamp_type: TimestampType::CreateTime,
            transactional: false,
            control: false,
            delete_horizon: None,
            producer_id: NO_PRODUCER_ID,
            producer_epoch: NO_PRODUCER_EPOCH,
            base_sequence: NO_SEQUENCE,
            partition_leader_epoch: 0,
        }
    }
}

/// Builds one batch from records in the order of their offsets; there may be gaps.
#[derive(Debug)]
pub struct BatchBuilder {
    options: BatchOptions,
    base_offset: i64,
    /// Highest offset so far; below the base offset if there is none.
    last_offset: i64,
    base_timestamp: Option<i64>,
    max_timestamp: i64,
    record_count: i32,
    records: Vec<u8>,
    /// The body of the record being appended, kept for its memory.
    scratch: Vec<u8>,
}

impl BatchBuilder {
    /// A batch that starts at `base_offset`.
    pub fn new(base_offset: i64, options: BatchOptions) -> Self {
        Self {
            options,
            base_offset,
            last_offset: base_offset.saturating_sub(1),
            base_timestamp: options.delete_horizon,
            max_timestamp: NO_TIMESTAMP,
            record_count: 0,
            records: Vec::new(),
            scratch: Vec::new(),
        }
    }

    /// A batch that takes the place of one whose records were compacted: same offsets, producer and
    /// flags, whichever records are appended. With none it keeps the producer's last sequence
    /// number alive, as Kafka's cleaner does.
    ///
    /// # Errors
    /// [`BatchError::UnknownCompression`].
    pub fn retaining(original: &BatchHeader) -> Result<Self, BatchError> {
        let options = BatchOptions {
            compression: original.compression()?,
            compression_level: None,
            timestamp_type: original.timestamp_type(),
            transactional: original.is_transactional(),
            control: original.is_control(),
            delete_horizon: original.delete_horizon(),
            producer_id: original.producer_id,
            producer_epoch: original.producer_epoch,
            base_sequence: original.base_sequence,
            partition_leader_epoch: original.partition_leader_epoch,
        };
        Ok(Self::new(original.base_offset, options))
    }

    /// Sets the time from which compaction may drop the batch's tombstones; before any record.
    #[must_use]
    pub fn with_delete_horizon(mut self, delete_horizon: i64) -> Self {
        self.options.delete_horizon = Some(delete_horizon);
        self.base_timestamp = Some(delete_horizon);
        self
    }

    /// Appends a record.
    ///
    /// # Errors
    /// [`BuildError::Offset`], [`BuildError::Timestamp`], [`BuildError::TooLarge`]; the batch is
    /// then as it was before.
    pub fn append(
        &mut self,
        offset: i64,
        timestamp: i64,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: &[RecordHeader],
    ) -> Result<(), BuildError> {
        let offset_delta = self.offset_delta(offset)?;
        if offset <= self.last_offset {
            return Err(self.offset_error(offset));
        }
        let base_timestamp = self.base_timestamp.unwrap_or(timestamp);
        let timestamp_delta =
            timestamp
                .checked_sub(base_timestamp)
                .ok_or(BuildError::Timestamp {
                    timestamp,
                    base_timestamp,
                })?;
        let body = &mut self.scratch;
        body.clear();
        // No attribute of a record is in use.
        body.push(0);
        varint::push(body, timestamp_delta);
        varint::push(body, i64::from(offset_delta));
        push_nullable(body, key)?;
        push_nullable(body, value)?;
        varint::push(body, i64::from(length(headers.len())?));
        for header in headers {
            push_nullable(body, Some(&header.key))?;
            push_nullable(body, header.value.as_deref())?;
        }
        let size = length(body.len())?;
        varint::push(&mut self.records, i64::from(size));
        self.records.extend_from_slice(&self.scratch);
        self.base_timestamp = Some(base_timestamp);
        self.max_timestamp = self.max_timestamp.max(timestamp);
        self.last_offset = offset;
        self.record_count += 1;
        Ok(())
    }

    /// Makes the batch reach to `last_offset`, although the records there are gone, and keep
    /// `max_timestamp` if there are no records at all.
    ///
    /// # Errors
    /// [`BuildError::Offset`] if it is below a record's offset, or too far from the base.
    pub fn extend_to(&mut self, last_offset: i64, max_timestamp: i64) -> Result<(), BuildError> {
        self.offset_delta(last_offset)?;
        if last_offset < self.last_offset {
            return Err(self.offset_error(last_offset));
        }
        self.last_offset = last_offset;
        if self.record_count == 0 {
            self.max_timestamp = max_timestamp;
        }
        Ok(())
    }

    /// How many records there are.
    pub fn record_count(&self) -> i32 {
        self.record_count
    }

    /// Size of the batch so far, before compression, in bytes.
    pub fn size(&self) -> usize {
        BATCH_HEADER_BYTES + self.records.len()
    }

    /// The batch.
    ///
    /// # Errors
    /// [`BuildError::Empty`], [`BuildError::Compress`], [`BuildError::TooLarge`].
    pub fn build(self) -> Result<Bytes, BuildError> {
        if self.last_offset < self.base_offset {
            return Err(BuildError::Empty);
        }
        let options = &self.options;
        let header = BatchHeader {
            base_offset: self.base_offset,
            batch_length: 0,
            partition_leader_epoch: options.partition_leader_epoch,
            crc: 0,
            attributes: Attributes::default()
                .with_compression(options.compression)
                .with_timestamp_type(options.timestamp_type)
                .with_transactional(options.transactional)
                .with_control(options.control)
                .with_delete_horizon(options.delete_horizon.is_some()),
            last_offset_delta: self.offset_delta(self.last_offset)?,
            base_timestamp: self.base_timestamp.unwrap_or(NO_TIMESTAMP),
            max_timestamp: self.max_timestamp,
            producer_id: options.producer_id,
            producer_epoch: options.producer_epoch,
            base_sequence: options.base_sequence,
            record_count: self.record_count,
        };
        assemble(header, &self.records, options.compression_level)
    }

    fn offset_delta(&self, offset: i64) -> Result<i32, BuildError> {
        offset
            .checked_sub(self.base_offset)
            .and_then(|delta| i32::try_from(delta).ok())
            .filter(|delta| *delta >= 0)
            .ok_or_else(|| self.offset_error(offset))
    }

    fn offset_error(&self, offset: i64) -> BuildError {
        BuildError::Offset {
            offset,
            previous: self.last_offset,
            base_offset: self.base_offset,
        }
    }
}

/// The same batch with its records compressed by another codec, for a topic whose
/// `compression.type` asks for it.
///
/// # Errors
/// [`BuildError::Batch`] if the records cannot be decompressed to `max_decompressed_bytes` or less,
/// [`BuildError::Compress`], [`BuildError::TooLarge`].
pub fn recompress(
    batch: &Batch,
    codec: Compression,
    level: Option<i32>,
    max_decompressed_bytes: usize,
) -> Result<Bytes, BuildError> {
    let body = batch
        .bytes
        .slice(BATCH_HEADER_BYTES.min(batch.bytes.len())..);
    let body = match batch.header.compression()? {
        Compression::None => body,
        current => Bytes::from(decompress(current, &body, max_decompressed_bytes)?),
    };
    let attributes = batch.header.attributes.with_compression(codec);
    assemble(
        BatchHeader {
            attributes,
            ..batch.header
        },
        &body,
        level,
    )
}

/// Puts header and records together, compressed as the header's attributes say.
fn assemble(
    mut header: BatchHeader,
    records: &[u8],
    level: Option<i32>,
) -> Result<Bytes, BuildError> {
    let codec = header.compression()?;
    let compressed = match codec {
        Compression::None => None,
        _ => Some(compress(codec, records, level).map_err(BuildError::Compress)?),
    };
    let body = compressed.as_deref().unwrap_or(records);
    header.batch_length = length(BATCH_HEADER_BYTES - LOG_OVERHEAD_BYTES + body.len())?;
    let mut start = [0; BATCH_HEADER_BYTES];
    header.write(&mut start);
    let mut batch = Vec::with_capacity(BATCH_HEADER_BYTES + body.len());
    batch.extend_from_slice(&start);
    batch.extend_from_slice(body);
    set_crc(&mut batch)?;
    Ok(Bytes::from(batch))
}

fn push_nullable(buffer: &mut Vec<u8>, bytes: Option<&[u8]>) -> Result<(), BuildError> {
    match bytes {
        Some(bytes) => {
            varint::push(buffer, i64::from(length(bytes.len())?));
            buffer.extend_from_slice(bytes);
        }
        None => varint::push(buffer, -1),
    }
    Ok(())
}

fn length(size: usize) -> Result<i32, BuildError> {
    i32::try_from(size).map_err(|_| BuildError::TooLarge { size })
}
