//! Giving files back when one of them is damaged: the others still are, and it is said once.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

mod support;

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use fjord_log::{Log, ReadError};
use support::*;
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

/// Counts warnings and errors.
#[derive(Clone, Default)]
struct Warnings(Arc<AtomicUsize>);

impl Subscriber for Warnings {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= Level::WARN
    }
    fn event(&self, _: &Event<'_>) {
        self.0.fetch_add(1, SeqCst);
    }
    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }
    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

/// Where in the value log a value is stored.
fn find(directory: &Path, value: &[u8]) -> (PathBuf, u64) {
    files_under(&directory.join("values"))
        .into_iter()
        .find_map(|path| {
            let bytes = fs::read(&path).unwrap();
            let at = bytes.windows(value.len()).position(|w| w == value)?;
            Some((path, at as u64))
        })
        .expect("the value is in a file")
}

fn damage(path: &Path, at: u64) {
    let file = fs::File::options().write(true).open(path).unwrap();
    file.write_all_at(b"damage", at).unwrap();
}

/// A log with two sparse files: in each, one batch of partition 1 is alive, among those of partition 2 that
/// are gone. Returns the two values.
fn sparse(directory: &Path) -> (Log, Vec<Vec<u8>>) {
    let log = open(&small(directory));
    let (kept, gone) = (partition(&log, 1), partition(&log, 2));
    let mut values = Vec::new();
    for i in 0..2 {
        // The first is the smaller part of its file, so it is always chosen first.
        let value = noise(500 + i * 1000, 1000 + i as u64);
        append(&kept, batch_of(&[(0, None, Some(&value))], None), 0).unwrap();
        values.push(value);
        for seed in 0..20 {
            append(&gone, filled(1, 5000, 0, seed), 0).unwrap();
        }
    }
    set_log_start(&gone, gone.positions().log_end).unwrap();
    (log, values)
}

fn reclaim_with(directory: &Path, log: &Log, values: &[Vec<u8>]) {
    let (warnings, partition) = (Warnings::default(), partition(log, 1));
    let (second, _) = find(directory, &values[1]);
    tracing::subscriber::with_default(warnings.clone(), || {
        for _ in 0..6 {
            log.reclaim();
        }
    });
    assert!(!second.exists(), "the file that is sound was given back");
    assert_eq!(warnings.0.load(SeqCst), 1, "it is said once");
    let found = partition.read(0, 1 << 20, 2);
    assert!(matches!(found, Err(ReadError::Damaged { .. })), "{found:?}");
    assert_eq!(read_from(&partition, 1, 1 << 20).len(), 1);
}

#[test]
fn a_damaged_batch() {
    let directory = tempfile::tempdir().unwrap();
    let (log, values) = sparse(directory.path());
    let (first, at) = find(directory.path(), &values[0]);
    drop(log);
    damage(&first, at);
    let log = open(&small(directory.path()));
    reclaim_with(directory.path(), &log, &values);
}

#[test]
fn a_damaged_entry_header_and_no_sidecar() {
    let directory = tempfile::tempdir().unwrap();
    let (log, values) = sparse(directory.path());
    let (first, at) = find(directory.path(), &values[0]);
    drop(log);
    damage(&first, at - 130);
    let sidecar = first.with_extension("idx");
    fs::remove_file(&sidecar).unwrap();
    let log = open(&small(directory.path()));
    eventually("the sidecar is written again", || sidecar.exists());
    reclaim_with(directory.path(), &log, &values);
}

/// What only the index knows of a partition must outlive the index: offsets are never given out twice.
#[test]
fn a_lost_tail_does_not_move_the_end_back() {
    let directory = tempfile::tempdir().unwrap();
    let log = open(&small(directory.path()));
    let written = partition(&log, 1);
    let tail = noise(700, 1);
    append(&written, filled(1, 5000, 0, 9), 0).unwrap();
    append(&written, batch_of(&[(0, None, Some(&tail))], None), 0).unwrap();
    drop((written, log));
    let (file, _) = find(directory.path(), &tail);
    fs::write(&file, b"").unwrap();
    fs::remove_file(file.with_extension("idx")).unwrap();
    for next in 2..4 {
        let log = open(&small(directory.path()));
        let damaged = partition(&log, 1);
        assert_eq!(damaged.positions().log_end, next);
        let found = damaged.read(1, 1 << 20, next);
        assert!(matches!(found, Err(ReadError::Damaged { .. })), "{found:?}");
        assert!(log.stats().index_rebuilds > 0 || next > 2);
        let at = append(&damaged, filled(1, 500, 0, next), 0).unwrap();
        assert_eq!(at.base_offset, next);
    }
}
