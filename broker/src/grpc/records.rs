//! Records between the two protocols: proto messages to record batches and back.

use bytes::Bytes;
use fjord_proto::v1;
use fjord_wire::{
    ErrorCode, Records,
    records::{BatchBuilder, BatchOptions, Compression, RecordHeader},
};

use crate::{api::error::ApiError, clock::now_ms};

/// What one batch may become when it is decompressed. The broker took it in, so it is no bomb; see
/// `api::produce`.
const MAX_DECOMPRESSED_BYTES: usize = 1 << 30;

/// Who numbers the batch.
#[derive(Debug, Clone, Copy)]
pub struct Sequence {
    /// The producer's id.
    pub producer_id: i64,
    /// Its epoch.
    pub producer_epoch: i16,
    /// The number of the first record.
    pub first: i32,
}

/// One batch of the records at these places of a request.
///
/// # Errors
///
/// If the records do not fit into one batch.
pub fn batch(
    records: &[v1::Record],
    places: &[u32],
    compression: Compression,
    sequence: Option<Sequence>,
) -> Result<Records, ApiError> {
    let mut options = BatchOptions {
        compression,
        ..BatchOptions::default()
    };
    if let Some(sequence) = sequence {
        options.producer_id = sequence.producer_id;
        options.producer_epoch = sequence.producer_epoch;
        options.base_sequence = sequence.first;
    }
    let now_ms = now_ms();
    let mut builder = BatchBuilder::new(0, options);
    for (offset, record) in (0i64..).zip(places.iter().map(|place| &records[*place as usize])) {
        let header = |header: &v1::Header| RecordHeader {
            key: Bytes::copy_from_slice(header.key.as_bytes()),
            value: header.value.clone(),
        };
        let headers: Vec<RecordHeader> = record.headers.iter().map(header).collect();
        let timestamp = record.timestamp_ms.unwrap_or(now_ms);
        let (key, value) = (record.key.as_deref(), record.value.as_deref());
        builder
            .append(offset, timestamp, key, value, &headers)
            .map_err(|error| ApiError::new(ErrorCode::InvalidRecord, error.to_string()))?;
    }
    let batch = builder
        .build()
        .map_err(|error| ApiError::new(ErrorCode::InvalidRecord, error.to_string()))?;
    Ok(Records::from(batch))
}

/// The records of stored batches from `offset` on, and the offset behind them.
///
/// # Errors
///
/// If a stored batch cannot be read.
pub fn decode(records: &Records, offset: i64) -> Result<(Vec<v1::ConsumedRecord>, i64), ApiError> {
    let damaged = |error: fjord_wire::records::BatchError| {
        ApiError::new(ErrorCode::CorruptMessage, error.to_string())
    };
    let mut decoded = Vec::new();
    let mut next_offset = offset;
    for batch in records.batches() {
        let batch = batch.map_err(damaged)?;
        next_offset = next_offset.max(batch.header.next_offset());
        if batch.header.is_control() {
            continue;
        }
        for record in batch.records(MAX_DECOMPRESSED_BYTES).map_err(damaged)? {
            let record = record.map_err(damaged)?;
            if record.offset < offset {
                continue;
            }
            let header = |header: RecordHeader| v1::Header {
                key: String::from_utf8_lossy(&header.key).into_owned(),
                value: header.value,
            };
            decoded.push(v1::ConsumedRecord {
                offset: record.offset,
                timestamp_ms: record.timestamp,
                key: record.key,
                value: record.value,
                headers: record.headers.into_iter().map(header).collect(),
            });
        }
    }
    Ok((decoded, next_offset))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(key: Option<&'static [u8]>, value: Option<&'static [u8]>) -> v1::Record {
        v1::Record {
            key: key.map(Bytes::from_static),
            value: value.map(Bytes::from_static),
            headers: vec![
                v1::Header {
                    key: "h".into(),
                    value: Some(Bytes::from_static(b"1")),
                },
                v1::Header {
                    key: "h".into(),
                    value: None,
                },
                v1::Header {
                    key: "h".into(),
                    value: Some(Bytes::new()),
                },
            ],
            timestamp_ms: Some(1_700_000_000_000),
        }
    }

    #[test]
    fn null_and_empty_are_kept_apart_and_headers_in_order() {
        let records = vec![
            record(None, None),
            record(Some(b""), Some(b"")),
            record(Some(b"k"), Some(b"v")),
        ];
        for codec in [Compression::None, Compression::Lz4, Compression::Zstd] {
            let batch = batch(&records, &[0, 1, 2], codec, None).unwrap();
            let (decoded, next) = decode(&batch, 0).unwrap();
            assert_eq!(next, 3);
            for (record, decoded) in records.iter().zip(&decoded) {
                assert_eq!(
                    (&record.key, &record.value, &record.headers),
                    (&decoded.key, &decoded.value, &decoded.headers)
                );
                assert_eq!(record.timestamp_ms, Some(decoded.timestamp_ms));
            }
            let (decoded, next) = decode(&batch, 2).unwrap();
            assert_eq!((decoded.len(), next), (1, 3), "what is before is left out");
        }
    }
}
