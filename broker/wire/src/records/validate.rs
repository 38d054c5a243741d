//! Checking a batch that a producer sent, before it goes to the log.

use super::compression::Compression;
use super::error::{BatchError, RecordProblem, RecordRefusal, RefusedRecord, RefusedRecords};
use super::header::{
    BATCH_HEADER_BYTES, BatchHeader, NO_SEQUENCE, NO_TIMESTAMP, TimestampType, compute_crc,
};
use super::record::{RawRecord, parse_record, timestamp_of};
use super::source::{Skim, Source, SourceError, Stream};
use std::ops::RangeInclusive;

/// How closely the records of a compressed batch are looked at. Those of an uncompressed batch
/// always are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// Header and checksum only.
    Shallow,
    /// Records are decompressed, as a stream, and checked one by one. This is what the broker uses
    /// for whatever a client sends, as Kafka's does: a batch that cannot be decompressed would
    /// otherwise stop every consumer of the partition.
    Deep,
}

/// What a topic asks of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchLimits {
    /// Largest batch, compressed if it is, in bytes: `max.message.bytes`.
    pub max_batch_bytes: usize,
    /// Most that its records may take when decompressed, in bytes.
    pub max_decompressed_bytes: usize,
    /// How closely compressed records are looked at.
    pub depth: Depth,
    /// Whether every record needs a key, as on a compacted topic.
    pub require_keys: bool,
    /// The timestamps (milliseconds since 1970) that records may have; `None` if the broker sets
    /// them. A record without a timestamp always passes.
    pub timestamps: Option<RangeInclusive<i64>>,
}

/// A batch that passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ValidBatch {
    /// Its header.
    pub header: BatchHeader,
    /// The latest timestamp of its records, in milliseconds since 1970. Where the header's differs,
    /// the producer got it wrong and it is to be set: see
    /// [`set_max_timestamp`](super::set_max_timestamp). Without a look at the records it is the
    /// header's.
    pub max_timestamp: i64,
}

/// Checks one batch of a producer: lengths, checksum, counts, and its records as far as `limits`
/// ask for it. Takes memory for one block of the codec at most, however much the batch expands.
///
/// # Errors
/// The first thing that is wrong, or all records that the topic does not take;
/// [`BatchError::error_code`] says it to the producer.
pub fn validate_batch(batch: &[u8], limits: &BatchLimits) -> Result<ValidBatch, BatchError> {
    let header = check_header(batch, limits)?;
    let body = batch.get(BATCH_HEADER_BYTES..).unwrap_or(&[]);
    let latest = match (header.compression()?, limits.depth) {
        (Compression::None, _) => check_records(&mut Skim::new(body), &header, limits)?,
        (codec, Depth::Deep) => {
            let mut stream = Stream::new(codec, body, limits.max_decompressed_bytes)?;
            check_records(&mut stream, &header, limits)?
        }
        (_, Depth::Shallow) => {
            let mut refused = RefusedRecords::none();
            if let Err(refusal) = check_timestamp(header.max_timestamp, limits) {
                let index = header.last_offset_delta;
                refused.add(RefusedRecord { index, refusal });
            }
            refused.into_result()?;
            header.max_timestamp
        }
    };
    Ok(ValidBatch {
        header,
        max_timestamp: latest,
    })
}

/// Everything but the records.
fn check_header(batch: &[u8], limits: &BatchLimits) -> Result<BatchHeader, BatchError> {
    let header = BatchHeader::parse(batch)?;
    let (size, available) = (header.size(), batch.len());
    if available < size {
        return Err(BatchError::Truncated {
            needed: size,
            available,
        });
    }
    if available > size {
        return Err(BatchError::TrailingBytes {
            extra: available - size,
        });
    }
    if size > limits.max_batch_bytes {
        return Err(BatchError::TooLarge {
            size,
            limit: limits.max_batch_bytes,
        });
    }
    let computed = compute_crc(batch);
    if computed != header.crc {
        return Err(BatchError::Checksum {
            stored: header.crc,
            computed,
        });
    }
    let BatchHeader {
        base_offset,
        record_count,
        last_offset_delta,
        ..
    } = header;
    if record_count < 1 || record_count - 1 != last_offset_delta {
        return Err(BatchError::RecordCount {
            record_count,
            last_offset_delta,
        });
    }
    if base_offset != 0 {
        return Err(BatchError::BaseOffset { base_offset });
    }
    if header.is_control() {
        return Err(BatchError::ControlBatch);
    }
    let BatchHeader {
        producer_id,
        base_sequence,
        ..
    } = header;
    if header.has_producer_id() && base_sequence <= NO_SEQUENCE {
        return Err(BatchError::Sequence {
            producer_id,
            base_sequence,
        });
    }
    if header.timestamp_type() == TimestampType::LogAppendTime {
        return Err(BatchError::TimestampType);
    }
    Ok(header)
}

/// Checks the records one by one; returns their latest timestamp.
fn check_records<S: Source>(
    source: &mut S,
    header: &BatchHeader,
    limits: &BatchLimits,
) -> Result<i64, BatchError> {
    let mut latest = NO_TIMESTAMP;
    let mut refused = RefusedRecords::none();
    for index in 0..header.record_count {
        let record = parse_record(source, |_, _| {}).map_err(|error| error.at(index))?;
        let timestamp = timestamp_in_order(&record, index, header)?;
        if let Err(refusal) = check_record(&record, timestamp, limits) {
            refused.add(RefusedRecord { index, refusal });
        }
        latest = latest.max(timestamp);
    }
    match source.at_end() {
        Ok(true) => refused.into_result().map(|()| latest),
        Ok(false) => Err(BatchError::BytesBehindRecords),
        Err(SourceError::Failed(error)) => Err(*error),
        Err(SourceError::Problem(_)) => Err(BatchError::BytesBehindRecords),
    }
}

/// The timestamp of a record that comes where its offset says.
fn timestamp_in_order<B>(
    record: &RawRecord<B>,
    index: i32,
    header: &BatchHeader,
) -> Result<i64, BatchError> {
    let is_wrong = |problem| BatchError::Record { index, problem };
    if record.offset_delta != index {
        return Err(is_wrong(RecordProblem::Offset));
    }
    timestamp_of(header, record.timestamp_delta).map_err(is_wrong)
}

/// Checks what the topic asks of a record.
fn check_record<B>(
    record: &RawRecord<B>,
    timestamp: i64,
    limits: &BatchLimits,
) -> Result<(), RecordRefusal> {
    if limits.require_keys && record.key.is_none() {
        return Err(RecordRefusal::MissingKey);
    }
    check_timestamp(timestamp, limits)
}

fn check_timestamp(timestamp: i64, limits: &BatchLimits) -> Result<(), RecordRefusal> {
    match &limits.timestamps {
        Some(allowed) if timestamp != NO_TIMESTAMP && !allowed.contains(&timestamp) => {
            Err(RecordRefusal::Timestamp {
                timestamp,
                earliest: *allowed.start(),
                latest: *allowed.end(),
            })
        }
        _ => Ok(()),
    }
}
