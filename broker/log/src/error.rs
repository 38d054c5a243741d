//! What can go wrong, one enum per operation.

use std::io;
use std::path::PathBuf;

use crate::types::Lsn;

/// Why a log could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has the directory.
    #[error("{0} is in use by another process; stop that one, or choose another data directory")]
    Locked(PathBuf),
    /// The directory was written by a newer release.
    #[error(
        "{path} has format version {found}, this release reads up to {supported}; \
         use a newer release, or another data directory"
    )]
    NewerFormat {
        /// The file that says so.
        path: PathBuf,
        /// The version it names.
        found: u32,
        /// The newest version that this release reads.
        supported: u32,
    },
    /// The format file cannot be understood.
    #[error(
        "{0} is not a format file of this log; if the directory is not a log's, choose another"
    )]
    ForeignDirectory(PathBuf),
    /// Something failed on disk.
    #[error("{path}: {source}")]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The index could not even be made anew.
    #[error("index: {0}")]
    Index(String),
}

impl OpenError {
    pub(crate) fn io(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { path, source }
    }
}

/// Why an append (or another change) was refused. Nothing of it is in the log then.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// No room for another file (or only the reserve is left).
    #[error("the disk is full; free space or delete records, appends go on by themselves")]
    DiskFull,
    /// Too much waits for the writer already.
    #[error("too many bytes wait to be written; try again")]
    Busy,
    /// The indexer cannot keep up, or fails.
    #[error("the index is too far behind the log; try again")]
    IndexBehind,
    /// The batch is larger than a file can hold.
    #[error("a batch of {0} bytes does not fit into a value log file")]
    TooLarge(usize),
    /// Not a record batch of format v2.
    #[error("not a record batch: {0}")]
    Malformed(String),
    /// A leader's batch begins before this log's end: the caller is out of step with its leader.
    #[error("a leader's batch begins at offset {found}, the log ends at {expected}")]
    OutOfStep {
        /// Where this log ends: no batch may begin before.
        expected: u64,
        /// Where the batch begins.
        found: u64,
    },
    /// A leader's batch is of an older leader epoch than this log's newest: the logs diverge, and the caller
    /// must truncate first.
    #[error("a leader's batch is of leader epoch {found}, the log's newest is {latest}")]
    OldLeaderEpoch {
        /// The newest leader epoch of this log.
        latest: i32,
        /// The batch's leader epoch.
        found: i32,
    },
    /// An idempotent producer's sequence has a gap.
    #[error("producer {producer_id} sent sequence {found}, expected {expected}")]
    OutOfOrderSequence {
        /// The producer.
        producer_id: i64,
        /// What it sent.
        found: i32,
        /// What would have followed.
        expected: i32,
    },
    /// A newer instance of the producer has written already.
    #[error("producer {producer_id} is fenced: epoch {found}, current epoch {current}")]
    InvalidProducerEpoch {
        /// The producer.
        producer_id: i64,
        /// What it sent.
        found: i16,
        /// The newest epoch seen.
        current: i16,
    },
    /// An earlier append of the same partition was refused while this one waited; or a truncation is not wanted any
    /// more.
    #[error("the log of this partition has changed meanwhile; try again")]
    Superseded,
    /// The partition was deleted.
    #[error("the partition was deleted")]
    Deleted,
    /// The log has stopped, or has failed and must be opened again.
    #[error("the log is closed")]
    Closed,
}

/// Why a read could not be answered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// The offset is before the log's start or after its end.
    #[error("offset {offset} is outside of the log ({log_start} to {log_end})")]
    OffsetOutOfRange {
        /// The offset asked for.
        offset: u64,
        /// First offset there is.
        log_start: u64,
        /// Offset after the last.
        log_end: u64,
    },
    /// A stored batch fails its checksum, or is missing. It is never served.
    #[error("{partition}: damaged record batch at offset {offset} (value log {place}): {reason}")]
    Damaged {
        /// The partition, by the label its user gave it.
        partition: String,
        /// First offset that cannot be read.
        offset: u64,
        /// Where it is (or was to be) in the value log.
        place: Lsn,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The disk failed to read.
    #[error("{partition}: reading at offset {offset} failed: {reason}")]
    Io {
        /// The partition, by the label its user gave it.
        partition: String,
        /// The offset.
        offset: u64,
        /// What the system said.
        reason: String,
    },
    /// The partition was deleted.
    #[error("the partition was deleted")]
    Deleted,
}
