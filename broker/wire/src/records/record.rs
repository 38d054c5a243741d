//! Records within a batch: parsing one, and iterating over all.
//!
//! ```text
//! length varint │ attributes i8 │ timestamp delta varlong │ offset delta varint │ key │ value
//!               │ header count varint │ (key, value)*        lengths are varints, -1 is null
//! ```

use super::compression::{Compression, decompress};
use super::error::{BatchError, RecordProblem};
use super::header::{BATCH_HEADER_BYTES, BatchHeader, TimestampType};
use super::source::{Slices, Source, SourceError};
use super::split::Batch;
use super::varint::{MAX_VARINT_BYTES, MAX_VARLONG_BYTES, unzigzag};
use bytes::Bytes;

/// A record. Null and empty are different, for keys, values and header values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Its offset in the partition.
    pub offset: i64,
    /// Milliseconds since 1970.
    pub timestamp: i64,
    /// The key.
    pub key: Option<Bytes>,
    /// The value; null is a tombstone on a compacted topic.
    pub value: Option<Bytes>,
    /// The headers in order; keys may repeat.
    pub headers: Vec<RecordHeader>,
}

/// A header of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordHeader {
    /// The key: by convention UTF-8, which is not checked.
    pub key: Bytes,
    /// The value.
    pub value: Option<Bytes>,
}

/// A record as it lies in a batch, its offset and timestamp relative to the batch's.
#[derive(Debug)]
pub(super) struct RawRecord<B> {
    pub timestamp_delta: i64,
    pub offset_delta: i32,
    pub key: Option<B>,
    pub value: Option<B>,
}

/// Parses the next record, and hands over its headers one by one.
pub(super) fn parse_record<S: Source>(
    source: &mut S,
    mut on_header: impl FnMut(S::Blob, Option<S::Blob>),
) -> Result<RawRecord<S::Blob>, SourceError> {
    let length = usize::try_from(varint(source)?).map_err(|_| RecordProblem::NegativeLength)?;
    let end = source.consumed().saturating_add(length);
    // The attributes of records are not used so far.
    source.byte()?;
    let timestamp_delta = varlong(source)?;
    let offset_delta = varint(source)?;
    let key = nullable_blob(source, end)?;
    let value = nullable_blob(source, end)?;
    let header_count = varint(source)?;
    if header_count < 0 {
        return Err(RecordProblem::NegativeLength.into());
    }
    for _ in 0..header_count {
        let key = nullable_blob(source, end)?.ok_or(RecordProblem::NegativeLength)?;
        on_header(key, nullable_blob(source, end)?);
    }
    if source.consumed() != end {
        return Err(RecordProblem::Length.into());
    }
    Ok(RawRecord {
        timestamp_delta,
        offset_delta,
        key,
        value,
    })
}

fn nullable_blob<S: Source>(source: &mut S, end: usize) -> Result<Option<S::Blob>, SourceError> {
    let length = match varint(source)? {
        -1 => return Ok(None),
        length => usize::try_from(length).map_err(|_| RecordProblem::NegativeLength)?,
    };
    if length > end.saturating_sub(source.consumed()) {
        return Err(RecordProblem::Length.into());
    }
    source.take(length).map(Some)
}

fn varint<S: Source>(source: &mut S) -> Result<i32, SourceError> {
    let value = unzigzag(unsigned(source, MAX_VARINT_BYTES)?);
    Ok(i32::try_from(value).map_err(|_| RecordProblem::Varint)?)
}

fn varlong<S: Source>(source: &mut S) -> Result<i64, SourceError> {
    unsigned(source, MAX_VARLONG_BYTES).map(unzigzag)
}

fn unsigned<S: Source>(source: &mut S, most_bytes: u32) -> Result<u64, SourceError> {
    let mut value = 0;
    for index in 0..most_bytes {
        let byte = source.byte()?;
        value |= u64::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err(RecordProblem::Varint.into())
}

/// The records of a batch, in order; ends behind the first error.
///
/// Keys, values and headers are slices of the batch, or of its decompressed records.
#[derive(Debug)]
pub struct RecordIterator {
    header: BatchHeader,
    source: Slices,
    /// How many records were parsed.
    index: i32,
    failed: bool,
}

impl Batch {
    /// The records of the batch, decompressed to at most `max_decompressed_bytes` if need be.
    ///
    /// The checksum is not checked: see [`verify_batch`](super::verify_batch).
    ///
    /// # Errors
    /// [`BatchError::UnknownCompression`], [`BatchError::Decompress`],
    /// [`BatchError::DecompressedTooLarge`]; malformed records are errors of the iterator.
    pub fn records(&self, max_decompressed_bytes: usize) -> Result<RecordIterator, BatchError> {
        let body = self.bytes.slice(BATCH_HEADER_BYTES.min(self.bytes.len())..);
        let body = match self.header.compression()? {
            Compression::None => body,
            codec => Bytes::from(decompress(codec, &body, max_decompressed_bytes)?),
        };
        let source = Slices::new(body);
        Ok(RecordIterator {
            header: self.header,
            source,
            index: 0,
            failed: false,
        })
    }
}

impl RecordIterator {
    fn parse(&mut self) -> Result<Record, SourceError> {
        let mut headers = Vec::new();
        let raw = parse_record(&mut self.source, |key, value| {
            headers.push(RecordHeader { key, value });
        })?;
        let offset = self
            .header
            .base_offset
            .checked_add(i64::from(raw.offset_delta));
        let timestamp = match self.header.timestamp_type() {
            TimestampType::LogAppendTime => self.header.max_timestamp,
            TimestampType::CreateTime => timestamp_of(&self.header, raw.timestamp_delta)?,
        };
        Ok(Record {
            offset: offset.ok_or(RecordProblem::Offset)?,
            timestamp,
            key: raw.key,
            value: raw.value,
            headers,
        })
    }
}

/// The timestamp that a producer gave a record.
pub(super) fn timestamp_of(header: &BatchHeader, delta: i64) -> Result<i64, RecordProblem> {
    header
        .base_timestamp
        .checked_add(delta)
        .ok_or(RecordProblem::Timestamp)
}

impl Iterator for RecordIterator {
    type Item = Result<Record, BatchError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        if self.index >= self.header.record_count {
            self.failed = true;
            let left_over = !matches!(self.source.at_end(), Ok(true));
            return left_over.then_some(Err(BatchError::BytesBehindRecords));
        }
        let record = self.parse().map_err(|error| error.at(self.index));
        self.failed = record.is_err();
        self.index += 1;
        Some(record)
    }
}
