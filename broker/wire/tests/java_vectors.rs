//! Messages and record batches that Apache Kafka's own classes wrote, decoded and encoded again.
//! `vectors/Vectors.java` wrote them.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

mod common;

use bytes::Bytes;
use common::{message_types, message_vectors, unhex};
use fjord_wire::records::{
    Batch, BatchBuilder, BatchLimits, Batches, Compression, Depth, Record, RecordHeader,
    TimestampType, validate_batch, verify_batch,
};
use std::collections::HashSet;

#[test]
fn messages_have_the_bytes_of_kafka() {
    for vector in message_vectors() {
        for version in vector.versions.clone() {
            let name = format!("{} version {version}, {}", vector.message.name, vector.kind);
            let decoded = (vector.message.round_trip)(&vector.bytes, version)
                .unwrap_or_else(|error| panic!("{name}: {error}"));
            assert_eq!(decoded.trailing, 0, "{name}");
            assert_eq!(decoded.encoded, Ok(vector.bytes.clone()), "{name}");
            assert!(decoded.stable, "{name}");
        }
    }
}

#[test]
fn there_is_a_vector_for_every_version() {
    let mut covered = HashSet::new();
    for vector in message_vectors() {
        for version in vector.versions {
            covered.insert((vector.message.name, version, vector.kind));
        }
    }
    for message in message_types() {
        for version in message.min_version..=message.max_version {
            for kind in ["full", "sparse"] {
                let name = message.name;
                assert!(
                    covered.contains(&(name, version, kind)),
                    "{name} version {version}"
                );
            }
        }
    }
}

/// The generator of the vectors gave every field a value that follows from its name. Reading the
/// fields' names and values from `Debug` shows that each name got the value of its own place.
#[test]
fn every_field_has_its_own_value() {
    let mut checked = 0;
    for vector in message_vectors()
        .iter()
        .filter(|vector| vector.kind == "full")
    {
        for version in vector.versions.clone() {
            let decoded = (vector.message.round_trip)(&vector.bytes, version).unwrap();
            for (name, value) in scalar_fields(&decoded.debug) {
                let is_default = DEFAULTS.contains(&value);
                let expected = expected_values(name);
                let matches = expected.iter().any(|expected| expected == value);
                assert!(
                    matches || is_default,
                    "{} version {version}: {name} is {value}, expected one of {expected:?}",
                    vector.message.name
                );
                checked += usize::from(matches);
            }
        }
    }
    assert!(checked > 3000, "only {checked} fields were checked");
}

/// What fields have that a version lacks.
const DEFAULTS: [&str; 13] = [
    "0",
    "-1",
    "-2",
    "1",
    "16",
    "2000",
    "60000",
    "-2147483648",
    "2147483647",
    "9223372036854775807",
    "\"\"",
    "false",
    "00000000-0000-0000-0000-000000000000",
];

/// Names and values of the fields in a `Debug` output that are numbers, strings, booleans or uuids.
fn scalar_fields(debug: &str) -> Vec<(&str, &str)> {
    let mut fields = Vec::new();
    for part in debug.split([',', '{', '}', '[', ']']) {
        if let Some((name, value)) = part.split_once(": ") {
            let value = value
                .trim()
                .trim_start_matches("Some(")
                .trim_end_matches(')');
            let compound = value.is_empty() || value == "None" || value.starts_with("b\"");
            let is_struct = value.starts_with(char::is_uppercase);
            if !compound && !is_struct {
                fields.push((name.trim(), value));
            }
        }
    }
    fields
}

fn expected_values(name: &str) -> Vec<String> {
    let name = name.trim_start_matches("r#").replace('_', "");
    let sum: i64 = name.bytes().map(i64::from).sum();
    let number = sum % 97 + 20;
    let byte = format!("{number:02x}");
    vec![
        format!("{name:?}"),
        "true".to_owned(),
        number.to_string(),
        (256 * number + 1).to_string(),
        (65_536 * number + 1).to_string(),
        (4_294_967_296 * number + 1).to_string(),
        format!("00000000-0000-00{byte}-0000-0000000000{byte}"),
    ]
}

fn batch_vectors() -> Vec<(&'static str, Batch)> {
    let mut vectors = Vec::new();
    for line in include_str!("vectors/batches.txt")
        .lines()
        .filter(|line| !line.starts_with('#'))
    {
        let (name, hex) = line.split_once(' ').unwrap();
        let mut batches = Batches::from(unhex(hex));
        vectors.push((name, batches.next().unwrap().unwrap()));
        assert!(batches.next().is_none());
    }
    vectors
}

fn batch_vector(name: &str) -> Batch {
    batch_vectors()
        .into_iter()
        .find(|(found, _)| *found == name)
        .unwrap()
        .1
}

fn records(batch: &Batch) -> Vec<Record> {
    batch
        .records(1 << 20)
        .unwrap()
        .map(Result::unwrap)
        .collect()
}

fn sample(base_offset: i64) -> Vec<Record> {
    let record = |index: i64, timestamp, key: Option<&'static str>, value: Option<&'static str>| {
        let (key, value) = (key.map(Bytes::from), value.map(Bytes::from));
        Record {
            offset: base_offset + index,
            timestamp,
            key,
            value,
            headers: Vec::new(),
        }
    };
    let header = |key: &'static str, value: Option<&'static str>| RecordHeader {
        key: Bytes::from(key),
        value: value.map(Bytes::from),
    };
    let mut records = vec![
        record(0, 1000, Some("key"), Some("value")),
        record(1, 999, None, Some("")),
        record(2, 2500, Some(""), None),
        record(3, 2000, None, None),
    ];
    records[1].headers = vec![
        header("b", Some("1")),
        header("a", None),
        header("b", Some("")),
        header("", Some("2")),
    ];
    records
}

#[test]
fn batches_of_every_codec_are_read() {
    let limits = BatchLimits {
        max_batch_bytes: 1 << 20,
        max_decompressed_bytes: 1 << 20,
        depth: Depth::Deep,
        require_keys: false,
        timestamps: Some(0..=2500),
    };
    for codec in ["none", "gzip", "snappy", "lz4", "zstd"] {
        let batch = batch_vector(codec);
        assert_eq!(batch.header.compression().unwrap().name(), codec);
        let valid = validate_batch(&batch.bytes, &limits).unwrap();
        assert_eq!((valid.header, valid.max_timestamp), (batch.header, 2500));
        assert_eq!(records(&batch), sample(0), "{codec}");
        if codec != "none" {
            let large = batch_vector(&format!("{codec}-large"));
            validate_batch(&large.bytes, &limits).unwrap();
            let value = records(&large)[0].value.clone().unwrap();
            assert_eq!(value, "0123456789".repeat(4000), "{codec}");
        }
    }
}

#[test]
fn built_batches_have_the_bytes_of_kafka() {
    let names = [
        "none",
        "idempotent",
        "transactional",
        "log-append-time",
        "commit-marker",
    ];
    for name in names {
        let batch = batch_vector(name);
        verify_batch(&batch.bytes).unwrap();
        let mut builder = BatchBuilder::retaining(&batch.header).unwrap();
        let log_append_time = batch.header.timestamp_type() == TimestampType::LogAppendTime;
        for record in records(&batch) {
            let (key, value) = (record.key.as_deref(), record.value.as_deref());
            builder
                .append(record.offset, record.timestamp, key, value, &record.headers)
                .unwrap();
        }
        let built = builder.build().unwrap();
        if log_append_time {
            // The producer's timestamps are gone; all else is the same.
            verify_batch(&built).unwrap();
            continue;
        }
        assert_eq!(built, batch.bytes, "{name}");
    }
}

#[test]
fn headers_say_what_kafka_wrote() {
    let idempotent = batch_vector("idempotent").header;
    assert_eq!(idempotent.base_offset, 5_000_000_000);
    assert_eq!((idempotent.producer_id, idempotent.producer_epoch), (77, 3));
    assert_eq!(
        (idempotent.base_sequence, idempotent.last_sequence()),
        (42, 45)
    );
    assert_eq!(
        (idempotent.partition_leader_epoch, idempotent.record_count),
        (9, 4)
    );
    assert!(!idempotent.is_transactional() && !idempotent.is_control());
    assert!(batch_vector("transactional").header.is_transactional());
    let marker = batch_vector("commit-marker");
    assert!(marker.header.is_transactional() && marker.header.is_control());
    assert_eq!(
        records(&marker)[0].key.as_deref(),
        Some([0, 0, 0, 1].as_slice())
    );
    let append = batch_vector("log-append-time");
    assert_eq!(append.header.compression(), Ok(Compression::None));
    assert_eq!(append.header.timestamp_type(), TimestampType::LogAppendTime);
    let expected: Vec<i64> = vec![append.header.max_timestamp; 4];
    let timestamps: Vec<i64> = records(&append)
        .iter()
        .map(|record| record.timestamp)
        .collect();
    assert_eq!(timestamps, expected);
}
