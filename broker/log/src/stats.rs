//! Figures for operators.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Counters and gauges of a log since it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Groups written.
    pub groups: u64,
    /// Entries written.
    pub entries: u64,
    /// Bytes written to the value log.
    pub written_bytes: u64,
    /// Calls of `fdatasync`.
    pub syncs: u64,
    /// Time spent in `fdatasync`, in microseconds.
    pub sync_micros: u64,
    /// Appends refused because the disk was full.
    pub refused_disk_full: u64,
    /// Batches that failed their checksum when they were read.
    pub damaged_reads: u64,
    /// Times the index was wiped and filled again from the value log.
    pub index_rebuilds: u64,
    /// Entries that wait for the indexer.
    pub index_backlog: u64,
    /// Bytes that wait for the writer.
    pub queued_bytes: u64,
    /// Bytes of recent batches in memory.
    pub recent_bytes: u64,
    /// Files of the value log.
    pub files: u64,
    /// Files given back.
    pub reclaimed_files: u64,
    /// Bytes copied forward so that a file could be given back.
    pub relocated_bytes: u64,
}

/// Free and total bytes of the file system that holds the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DiskSpace {
    /// Size of the file system.
    pub total: u64,
    /// What this process may still use.
    pub available: u64,
}

/// The counters behind [`Stats`].
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub groups: AtomicU64,
    pub entries: AtomicU64,
    pub written_bytes: AtomicU64,
    pub syncs: AtomicU64,
    pub sync_micros: AtomicU64,
    pub refused_disk_full: AtomicU64,
    pub damaged_reads: AtomicU64,
    pub index_rebuilds: AtomicU64,
    pub recent_bytes: AtomicU64,
    pub reclaimed_files: AtomicU64,
    pub relocated_bytes: AtomicU64,
}

impl Counters {
    pub fn add(counter: &AtomicU64, by: u64) {
        counter.fetch_add(by, Relaxed);
    }

    pub fn snapshot(&self) -> Stats {
        Stats {
            groups: self.groups.load(Relaxed),
            entries: self.entries.load(Relaxed),
            written_bytes: self.written_bytes.load(Relaxed),
            syncs: self.syncs.load(Relaxed),
            sync_micros: self.sync_micros.load(Relaxed),
            refused_disk_full: self.refused_disk_full.load(Relaxed),
            damaged_reads: self.damaged_reads.load(Relaxed),
            index_rebuilds: self.index_rebuilds.load(Relaxed),
            recent_bytes: self.recent_bytes.load(Relaxed),
            reclaimed_files: self.reclaimed_files.load(Relaxed),
            relocated_bytes: self.relocated_bytes.load(Relaxed),
            ..Stats::default()
        }
    }
}
