//! What was appended is read back: over many partitions and sizes, from memory and from disk, before and
//! after the log was closed.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

mod support;

use std::sync::Arc;

use fjord_log::{Log, LogOptions, Partition};
use support::*;

const PARTITIONS: u64 = 12;
const SIZES: [(usize, usize); 5] = [(1, 1), (3, 300), (40, 4_000), (2, 15_000), (1, 40_000)];

fn fill(log: &Log) -> Vec<(Arc<Partition>, Vec<Row>)> {
    let mut all: Vec<_> = (1..=PARTITIONS)
        .map(|id| (partition(log, id), Vec::new()))
        .collect();
    let mut answers = Vec::new();
    for round in 0..8u64 {
        for (id, (partition, expected)) in all.iter_mut().enumerate() {
            let seed = round << 8 | id as u64;
            let (count, bytes) = SIZES[(round as usize + id) % SIZES.len()];
            let batch = filled(count, bytes, seed as i64, seed);
            let (done, answer) = completion();
            let outcome = partition.append(batch.clone(), 0, done).unwrap();
            expected.extend(rows_at(&batch, outcome.base_offset));
            answers.push((answer, outcome));
        }
    }
    for (answer, outcome) in answers {
        assert_eq!(wait(&answer), Ok(outcome));
    }
    all
}

fn check(all: &[(Arc<Partition>, Vec<Row>)]) {
    for (partition, expected) in all {
        for max_bytes in [1, 5_000, 1 << 20] {
            assert_eq!(read_from(partition, 0, max_bytes), *expected);
        }
        // From the middle: whole batches come, the first may begin earlier.
        let middle = expected.len() as u64 / 2;
        assert_eq!(
            read_from(partition, middle, 5_000),
            expected[middle as usize..]
        );
        let sizes = partition.size_bytes();
        assert!(sizes > 0, "{sizes}");
    }
}

fn run(options: LogOptions) {
    let log = open(&options);
    let all = fill(&log);
    check(&all);
    assert!(log.wait_until_indexed());
    check(&all);
    drop(log);
    let log = open(&options);
    assert!(log.recovery().clean);
    assert_eq!(log.recovery().index_rebuilt, None);
    assert_eq!(log.recovery().replayed_entries, 0);
    assert_eq!(log.unclaimed().len() as u64, PARTITIONS);
    let again: Vec<_> = all
        .iter()
        .map(|(before, rows)| {
            let now = partition(&log, before.id().0);
            assert_eq!(now.size_bytes(), before.size_bytes());
            (now, rows.clone())
        })
        .collect();
    check(&again);
    assert_eq!(log.unclaimed(), []);
}

#[test]
fn from_memory() {
    let directory = tempfile::tempdir().unwrap();
    run(LogOptions {
        recent_bytes: 64 << 20,
        ..small(directory.path())
    });
}

#[test]
fn from_disk() {
    let directory = tempfile::tempdir().unwrap();
    run(LogOptions {
        recent_bytes: 0,
        ..small(directory.path())
    });
}

#[test]
fn in_large_files() {
    let directory = tempfile::tempdir().unwrap();
    run(LogOptions::new(directory.path()));
}

#[test]
fn the_end_of_a_read_is_respected() {
    let directory = tempfile::tempdir().unwrap();
    for recent_bytes in [0, 64 << 20] {
        let path = directory.path().join(recent_bytes.to_string());
        let log = open(&LogOptions {
            recent_bytes,
            ..small(&path)
        });
        let p = partition(&log, 1);
        for seed in 0..3 {
            append(&p, filled(10, 1_000, 0, seed), 0).unwrap();
        }
        assert!(log.wait_until_indexed());
        // One read is either from memory or from disk, and the last batch leaves memory after it is told.
        eventually("one read gets all", || {
            p.read(0, 1 << 20, 30).unwrap().batches.len() == 3
        });
        assert_eq!(p.read(0, 1 << 20, 29).unwrap().batches.len(), 2);
        assert_eq!(p.read(0, 1 << 20, 10).unwrap().batches.len(), 1);
        let none = p.read(5, 1 << 20, 9).unwrap();
        assert_eq!((none.batches.len(), none.next_offset), (0, 5));
        assert_eq!(p.read(30, 1 << 20, 99).unwrap().batches.len(), 0);
        assert!(p.read(31, 1 << 20, 99).is_err());
    }
}

#[test]
fn a_batch_larger_than_a_file() {
    let directory = tempfile::tempdir().unwrap();
    let options = small(directory.path());
    let log = open(&options);
    let p = partition(&log, 1);
    let mut expected = Vec::new();
    for (seed, bytes) in [100, 300_000, 100, 5_000_000, 70_000]
        .into_iter()
        .enumerate()
    {
        let batch = filled(1, bytes, 0, seed as u64);
        let outcome = append(&p, batch.clone(), 0).unwrap();
        expected.extend(rows_at(&batch, outcome.base_offset));
    }
    assert_eq!(read_all(&p), expected);
    drop((p, log));
    std::fs::remove_dir_all(directory.path().join("index")).unwrap();
    let log = open(&options);
    assert_eq!(read_all(&partition(&log, 1)), expected);
}

/// What the index still knows of records that were truncated must not hide what was appended in their place.
#[test]
fn times_are_found_right_after_a_truncation() {
    let directory = tempfile::tempdir().unwrap();
    let log = open(&small(directory.path()));
    let partition = partition(&log, 1);
    for round in 0..60i64 {
        let start = partition.positions().log_end;
        for older in 0..4 {
            append(&partition, filled(1, 70_000, round * 100 + older, 1), 0).unwrap();
        }
        assert!(log.wait_until_indexed());
        truncate(&partition, start).unwrap();
        let newer = round * 100 + 50;
        append(&partition, filled(1, 100, newer, 2), 0).unwrap();
        let found = partition.offset_for_timestamp(newer, u64::MAX).unwrap();
        let found = found.map(|found| (found.offset, found.timestamp));
        assert_eq!(found, Some((start, newer)), "round {round}");
    }
}
