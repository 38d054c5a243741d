//! Record batches: built, split, validated and read back, with every codec.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use bytes::Bytes;
use fjord_wire::records::{
    Batch, BatchBuilder, BatchError, BatchLimits, BatchOptions, Batches, Compression, Depth,
    MAX_LISTED_RECORDS, Record, RecordHeader, RecordProblem, TimestampType, compute_crc,
    recompress, set_append_time, set_base_offset, set_max_timestamp, set_partition_leader_epoch,
    validate_batch, verify_batch,
};
use fjord_wire::{ErrorCode, Records};

const CODECS: [Compression; 5] = [
    Compression::None,
    Compression::Gzip,
    Compression::Snappy,
    Compression::Lz4,
    Compression::Zstd,
];
const MIB: usize = 1024 * 1024;

fn limits() -> BatchLimits {
    BatchLimits {
        max_batch_bytes: MIB,
        max_decompressed_bytes: 16 * MIB,
        depth: Depth::Deep,
        require_keys: false,
        timestamps: Some(0..=10_000),
    }
}

fn header(key: &'static str, value: Option<&'static [u8]>) -> RecordHeader {
    RecordHeader {
        key: Bytes::from(key),
        value: value.map(Bytes::from_static),
    }
}

/// Records with null and empty keys and values, repeated headers, and timestamps out of order.
fn sample() -> Vec<Record> {
    let record = |offset, timestamp, key: Option<&'static [u8]>, value: Option<&'static [u8]>| {
        let (key, value) = (key.map(Bytes::from_static), value.map(Bytes::from_static));
        Record {
            offset,
            timestamp,
            key,
            value,
            headers: Vec::new(),
        }
    };
    let mut records = vec![
        record(0, 1000, Some(b"key"), Some(b"value")),
        record(1, 999, None, Some(b"")),
        record(2, 2500, Some(b""), None),
        record(3, 2000, None, None),
    ];
    records[1].headers = vec![
        header("b", Some(b"1")),
        header("a", None),
        header("b", Some(b"")),
        header("", Some(b"2")),
    ];
    records
}

fn build(base_offset: i64, options: BatchOptions, records: &[Record]) -> Bytes {
    let mut builder = BatchBuilder::new(base_offset, options);
    for record in records {
        let (key, value) = (record.key.as_deref(), record.value.as_deref());
        builder
            .append(record.offset, record.timestamp, key, value, &record.headers)
            .unwrap();
    }
    builder.build().unwrap()
}

fn with_codec(compression: Compression) -> BatchOptions {
    BatchOptions {
        compression,
        ..BatchOptions::default()
    }
}

fn only_batch(bytes: Bytes) -> Batch {
    let mut batches = Batches::from(bytes);
    let batch = batches.next().unwrap().unwrap();
    assert!(batches.next().is_none());
    batch
}

fn read(bytes: Bytes) -> Result<Vec<Record>, BatchError> {
    only_batch(bytes).records(16 * MIB)?.collect()
}

/// Changes a built batch and sets its checksum right again.
fn tampered(batch: &Bytes, change: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut bytes = batch.to_vec();
    change(&mut bytes);
    let length = i32::try_from(bytes.len() - 12).unwrap();
    bytes[8..12].copy_from_slice(&length.to_be_bytes());
    let crc = compute_crc(&bytes);
    bytes[17..21].copy_from_slice(&crc.to_be_bytes());
    bytes
}

fn refused_indexes(error: &BatchError) -> Vec<i32> {
    let errors = error.record_errors().into_iter();
    errors.map(|(index, _)| index).collect()
}

fn check_refused(batch: &[u8], limits: &BatchLimits, code: ErrorCode) -> BatchError {
    let error = validate_batch(batch, limits).unwrap_err();
    assert_eq!(error.error_code(), code, "{error}");
    error
}

#[test]
fn every_codec_gives_the_records_back() {
    for codec in CODECS {
        let bytes = build(0, with_codec(codec), &sample());
        let valid = validate_batch(&bytes, &limits()).unwrap();
        assert_eq!(valid.header.compression(), Ok(codec));
        assert_eq!(valid.max_timestamp, 2500);
        assert_eq!(valid.header.max_timestamp, 2500);
        assert_eq!(valid.header.record_count, 4);
        assert_eq!(read(bytes), Ok(sample()), "{codec}");
    }
}

#[test]
fn large_records_survive_every_codec() {
    let value: Vec<u8> = (0..400_000u32)
        .map(|index| (index.wrapping_mul(index) / 7).to_le_bytes()[1])
        .collect();
    for codec in CODECS {
        let mut builder = BatchBuilder::new(0, with_codec(codec));
        builder.append(0, 1, None, Some(&value), &[]).unwrap();
        builder.append(1, 1, None, Some(b"last"), &[]).unwrap();
        let bytes = builder.build().unwrap();
        validate_batch(&bytes, &limits()).unwrap();
        let records = read(bytes).unwrap();
        assert_eq!(
            records[0].value.as_deref(),
            Some(value.as_slice()),
            "{codec}"
        );
        assert_eq!(records[1].value.as_deref(), Some(b"last".as_slice()));
    }
}

#[test]
fn recompressed_records_are_the_same() {
    for from in CODECS {
        for to in CODECS {
            let batch = only_batch(build(0, with_codec(from), &sample()));
            let bytes = recompress(&batch, to, None, MIB).unwrap();
            let valid = validate_batch(&bytes, &limits()).unwrap();
            assert_eq!(valid.header.compression(), Ok(to));
            assert_eq!(read(bytes), Ok(sample()));
        }
    }
}

#[test]
fn a_decompression_bomb_is_refused_within_its_bound() {
    let zeros = vec![0; 32 * MIB];
    for codec in [
        Compression::Gzip,
        Compression::Snappy,
        Compression::Lz4,
        Compression::Zstd,
    ] {
        let mut builder = BatchBuilder::new(0, with_codec(codec));
        builder.append(0, 1, None, Some(&zeros), &[]).unwrap();
        let bytes = builder.build().unwrap();
        let limits = BatchLimits {
            max_batch_bytes: 4 * MIB,
            ..limits()
        };
        let error = check_refused(&bytes, &limits, ErrorCode::MessageTooLarge);
        assert_eq!(error, BatchError::DecompressedTooLarge { limit: 16 * MIB });
        assert_eq!(read(bytes), Err(error));
    }
}

#[test]
fn a_raw_snappy_block_is_read() {
    let plain = build(0, with_codec(Compression::None), &sample());
    let compressed = snap::raw::Encoder::new()
        .compress_vec(&plain[61..])
        .unwrap();
    let batch = tampered(&plain, |bytes| {
        bytes.truncate(61);
        bytes.extend_from_slice(&compressed);
        bytes[22] |= 2;
    });
    validate_batch(&batch, &limits()).unwrap();
    assert_eq!(read(Bytes::from(batch)), Ok(sample()));
    // A block that claims four gigabytes.
    let batch = tampered(&plain, |bytes| {
        bytes.truncate(61);
        bytes.extend_from_slice(&[0xff, 0xff, 0xff, 0xff, 0x0f, 0]);
        bytes[22] |= 2;
    });
    check_refused(&batch, &limits(), ErrorCode::MessageTooLarge);
}

#[test]
fn what_is_wrong_with_a_batch_decides_its_error_code() {
    let good = build(0, BatchOptions::default(), &sample());
    let limits = limits();
    validate_batch(&good, &limits).unwrap();
    check_refused(&good[..60], &limits, ErrorCode::CorruptMessage);
    check_refused(&good[..good.len() - 1], &limits, ErrorCode::CorruptMessage);
    check_refused(
        &[&good[..], b"x"].concat(),
        &limits,
        ErrorCode::CorruptMessage,
    );
    let mut flipped = good.to_vec();
    flipped[70] ^= 1;
    check_refused(&flipped, &limits, ErrorCode::CorruptMessage);
    let small = BatchLimits {
        max_batch_bytes: good.len() - 1,
        ..limits.clone()
    };
    check_refused(&good, &small, ErrorCode::MessageTooLarge);

    let changed = |at: usize, value: &[u8], code| {
        let batch = tampered(&good, |bytes| {
            bytes[at..at + value.len()].copy_from_slice(value);
        });
        check_refused(&batch, &limits, code)
    };
    changed(16, &[1], ErrorCode::InvalidRecord);
    changed(0, &1i64.to_be_bytes(), ErrorCode::InvalidRecord);
    changed(
        21,
        &5i16.to_be_bytes(),
        ErrorCode::UnsupportedCompressionType,
    );
    changed(21, &1i16.to_be_bytes(), ErrorCode::InvalidRecord);
    changed(21, &0x08i16.to_be_bytes(), ErrorCode::InvalidTimestamp);
    changed(21, &0x20i16.to_be_bytes(), ErrorCode::InvalidRecord);
    changed(23, &4i32.to_be_bytes(), ErrorCode::InvalidRecord);
    changed(43, &7i64.to_be_bytes(), ErrorCode::InvalidRecord);
    changed(57, &i32::MIN.to_be_bytes(), ErrorCode::InvalidRecord);
    changed(27, &i64::MAX.to_be_bytes(), ErrorCode::InvalidTimestamp);
    let fewer = tampered(&good, |bytes| {
        bytes[23..27].copy_from_slice(&2i32.to_be_bytes());
        bytes[57..61].copy_from_slice(&3i32.to_be_bytes());
    });
    let error = check_refused(&fewer, &limits, ErrorCode::InvalidRecord);
    assert_eq!(error, BatchError::BytesBehindRecords);
}

#[test]
fn records_are_checked_one_by_one_in_every_codec() {
    for codec in CODECS {
        let gap = {
            let mut records = sample();
            records[3].offset = 4;
            let batch = build(0, with_codec(codec), &records);
            tampered(&batch, |bytes| {
                bytes[23..27].copy_from_slice(&3i32.to_be_bytes());
            })
        };
        let error = check_refused(&gap, &limits(), ErrorCode::InvalidRecord);
        assert_eq!(
            error,
            BatchError::Record {
                index: 3,
                problem: RecordProblem::Offset
            }
        );
        let good = build(0, with_codec(codec), &sample());
        let keyed = BatchLimits {
            require_keys: true,
            ..limits()
        };
        let error = check_refused(&good, &keyed, ErrorCode::InvalidRecord);
        assert_eq!(refused_indexes(&error), [1, 3]);
        let past = BatchLimits {
            timestamps: Some(1000..=2500),
            ..limits()
        };
        let error = check_refused(&good, &past, ErrorCode::InvalidTimestamp);
        assert_eq!(refused_indexes(&error), [1]);
        let unlimited = BatchLimits {
            timestamps: None,
            ..limits()
        };
        validate_batch(&good, &unlimited).unwrap();
    }
}

#[test]
fn a_batch_of_refused_records_lists_a_bounded_number_of_them() {
    let keyless = |offset| Record {
        offset,
        timestamp: 1000,
        key: None,
        value: None,
        headers: Vec::new(),
    };
    let records: Vec<Record> = (0..1500).map(keyless).collect();
    let batch = build(0, BatchOptions::default(), &records);
    let keyed = BatchLimits {
        require_keys: true,
        ..limits()
    };
    let error = check_refused(&batch, &keyed, ErrorCode::InvalidRecord);
    assert_eq!(refused_indexes(&error).len(), MAX_LISTED_RECORDS);
    assert!(error.to_string().starts_with("1500 refused"), "{error}");
}

#[test]
fn a_shallow_look_leaves_compressed_records_alone() {
    let shallow = BatchLimits {
        depth: Depth::Shallow,
        require_keys: true,
        ..limits()
    };
    for codec in CODECS {
        let batch = build(0, with_codec(codec), &sample());
        assert_eq!(
            validate_batch(&batch, &shallow).is_ok(),
            codec != Compression::None
        );
    }
}

#[test]
fn a_broker_sets_offset_epoch_and_time_in_place() {
    let mut bytes = build(0, BatchOptions::default(), &sample()).to_vec();
    set_base_offset(&mut bytes, 5_000_000_000).unwrap();
    set_partition_leader_epoch(&mut bytes, 9).unwrap();
    let header = verify_batch(&bytes).unwrap();
    assert_eq!(
        (header.base_offset, header.last_offset()),
        (5_000_000_000, 5_000_000_003)
    );
    assert_eq!(
        (header.next_offset(), header.partition_leader_epoch),
        (5_000_000_004, 9)
    );
    set_max_timestamp(&mut bytes, 2600).unwrap();
    assert_eq!(verify_batch(&bytes).unwrap().max_timestamp, 2600);
    set_append_time(&mut bytes, 7777).unwrap();
    let header = verify_batch(&bytes).unwrap();
    assert_eq!(header.timestamp_type(), TimestampType::LogAppendTime);
    let records = read(Bytes::from(bytes)).unwrap();
    assert!(records.iter().all(|record| record.timestamp == 7777));
    assert_eq!(records[3].offset, 5_000_000_003);
    assert!(set_append_time(&mut [0; 60], 1).is_err());
}

#[test]
fn batches_are_cut_from_any_chunks() {
    let first = build(0, BatchOptions::default(), &sample());
    let second = build(0, with_codec(Compression::Zstd), &sample());
    let all = [first.clone(), second.clone(), first.clone()].concat();
    for cut in 0..all.len() {
        let mut records = Records::new();
        records.push(Bytes::copy_from_slice(&all[..cut]));
        records.push(Bytes::copy_from_slice(&all[cut..]));
        let batches: Vec<Bytes> = records
            .batches()
            .map(|batch| batch.unwrap().bytes)
            .collect();
        assert_eq!(batches, [first.clone(), second.clone(), first.clone()]);
    }
    for cut in 1..first.len() {
        let mut batches = Records::from(first.slice(..cut)).batches();
        let error = batches.next().unwrap().unwrap_err();
        assert!(matches!(error, BatchError::Truncated { .. }));
        assert!(batches.next().is_none());
    }
}

#[test]
fn a_compacted_batch_keeps_its_identity() {
    let options = BatchOptions {
        producer_id: 12,
        producer_epoch: 3,
        base_sequence: i32::MAX - 1,
        transactional: true,
        partition_leader_epoch: 4,
        ..with_codec(Compression::Lz4)
    };
    let original = only_batch(build(0, options, &sample()));
    assert_eq!(original.header.last_sequence(), 1);
    let mut builder = BatchBuilder::retaining(&original.header)
        .unwrap()
        .with_delete_horizon(5000);
    let kept = sample().swap_remove(2);
    builder
        .append(2, kept.timestamp, kept.key.as_deref(), None, &[])
        .unwrap();
    builder.extend_to(3, original.header.max_timestamp).unwrap();
    let compacted = only_batch(builder.build().unwrap());
    verify_batch(&compacted.bytes).unwrap();
    let header = compacted.header;
    assert_eq!(header.delete_horizon(), Some(5000));
    assert_eq!(
        (
            header.last_offset(),
            header.record_count,
            header.producer_id
        ),
        (3, 1, 12)
    );
    assert_eq!(
        (header.last_sequence(), header.is_transactional()),
        (1, true)
    );
    let records: Result<Vec<Record>, _> = compacted.records(MIB).unwrap().collect();
    assert_eq!(records, Ok(vec![kept]));

    let mut empty = BatchBuilder::retaining(&original.header).unwrap();
    empty.extend_to(3, 2500).unwrap();
    let empty = only_batch(empty.build().unwrap());
    assert_eq!(
        (empty.header.last_offset(), empty.header.record_count),
        (3, 0)
    );
    assert_eq!(empty.header.max_timestamp, 2500);
    assert_eq!(empty.records(MIB).unwrap().count(), 0);
    assert!(
        BatchBuilder::new(0, BatchOptions::default())
            .build()
            .is_err()
    );
}

#[test]
fn offsets_have_to_rise_and_to_fit() {
    let mut builder = BatchBuilder::new(100, BatchOptions::default());
    assert!(builder.append(99, 0, None, None, &[]).is_err());
    builder.append(105, 0, None, None, &[]).unwrap();
    assert!(builder.append(105, 0, None, None, &[]).is_err());
    assert!(builder.append(100 + (1 << 31), 0, None, None, &[]).is_err());
    assert!(builder.append(106, i64::MIN, None, None, &[]).is_ok());
    assert!(builder.append(107, i64::MAX, None, None, &[]).is_ok());
    assert!(builder.extend_to(106, 0).is_err());
    let batch = only_batch(builder.build().unwrap());
    assert_eq!(
        (batch.header.base_offset, batch.header.last_offset()),
        (100, 107)
    );
    assert_eq!(batch.header.record_count, 3);
}
