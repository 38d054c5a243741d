//! Rows of the index that are not of the expected length: the index is filled anew, nothing is lost.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

mod support;

use std::path::Path;

use fjall::{Database, KeyspaceCreateOptions, PersistMode};
use support::*;

const PARTITIONS: u64 = 2;
const BATCHES: u64 = 20;

fn producer(sequence: u64) -> Option<Producer> {
    Some(Producer {
        id: 9,
        epoch: 0,
        sequence: i32::try_from(sequence).unwrap(),
    })
}

fn record(sequence: u64) -> bytes::Bytes {
    let value = noise(5000, sequence);
    let timestamp = i64::try_from(sequence).unwrap();
    batch_of(&[(timestamp, None, Some(&value))], producer(sequence))
}

/// Makes every row of one kind longer or shorter.
fn alter(index: &Path, kind: u8, change: fn(&mut Vec<u8>)) -> usize {
    let database = Database::builder(index).open().unwrap();
    let rows = database
        .keyspace("derived", KeyspaceCreateOptions::default)
        .unwrap();
    let found: Vec<_> = rows
        .range([kind]..[kind + 1])
        .map(|row| row.into_inner().unwrap())
        .collect();
    for (key, value) in &found {
        let mut value = value.to_vec();
        change(&mut value);
        rows.insert(key.clone(), value).unwrap();
    }
    database.persist(PersistMode::SyncAll).unwrap();
    found.len()
}

fn check(kind: u8, change: fn(&mut Vec<u8>)) {
    let directory = tempfile::tempdir().unwrap();
    let log = open(&small(directory.path()));
    for id in 1..=PARTITIONS {
        let partition = partition(&log, id);
        for sequence in 0..BATCHES {
            append(&partition, record(sequence), 0).unwrap();
        }
    }
    drop(log);
    let altered = alter(&directory.path().join("index"), kind, change);
    let kind = char::from(kind);
    assert!(altered > 0, "there are rows of kind {kind}");
    let log = open(&small(directory.path()));
    for id in 1..=PARTITIONS {
        let partition = partition(&log, id);
        let rows = read_all(&partition);
        assert_eq!(rows.len() as u64, BATCHES, "kind {kind}");
        let found = partition.offset_for_timestamp(7, BATCHES).unwrap();
        assert_eq!(found.map(|f| f.offset), Some(7), "kind {kind}");
        let again = append(&partition, record(BATCHES - 1), 0).unwrap();
        assert!(again.duplicate, "kind {kind}: the producer is known");
    }
    let rebuilt = log.recovery().index_rebuilt.is_some() || log.stats().index_rebuilds > 0;
    assert!(rebuilt, "kind {kind}: {:?}", log.recovery());
}

#[test]
fn longer_and_shorter_rows_of_every_kind() {
    for kind in *b"abcfpqt" {
        check(kind, |row| row.push(0));
        check(kind, |row| row.truncate(row.len() - 1));
    }
}
