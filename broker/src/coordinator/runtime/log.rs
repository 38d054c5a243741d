//! What the runtime needs of the log under its shards. The partition layer implements it.

use bytes::Bytes;
use thiserror::Error;

use super::super::shard::{Record, ReplayError};

/// Records that could not be written. None of them may be visible to a later replay unless the
/// process ends before that.
#[derive(Debug, Clone, Error)]
#[error("records cannot be written: {reason}")]
pub struct AppendFailed {
    /// Why, for the log.
    pub reason: String,
}

/// A log that could not be read to its end.
#[derive(Debug, Error)]
pub enum ReplayFailed {
    /// The log itself cannot be read.
    #[error("the log cannot be read: {0}")]
    Log(String),
    /// The log may still lose what it holds at its end; soon it will not.
    #[error("the log is not settled yet")]
    NotYet,
    /// The shard does not understand a record.
    #[error(transparent)]
    Record(#[from] ReplayError),
}

/// Learns the outcome of an append: the offset of the first record once all are durable.
pub type AppendDone = Box<dyn FnOnce(Result<i64, AppendFailed>) + Send>;

/// The partitions of a coordinator's topic as a log of keys and values.
pub trait ShardLog: Send + Sync + 'static {
    /// Appends records as one batch and returns without waiting. Batches of one partition are
    /// written in the order of the calls. `done` is called exactly once, from any thread, once the
    /// batch is durable or cannot be; it may be called before this returns. Outcomes of one
    /// partition come in the order of the calls.
    fn append(&self, partition: i32, records: Vec<Record>, timestamp_ms: i64, done: AppendDone);

    /// Reads a partition from its start to its durable end and hands each record with a key to
    /// `visit`, in order. Blocks.
    ///
    /// # Errors
    /// If the log cannot be read, or `visit` refuses a record, with which the reading ends.
    fn replay(
        &self,
        partition: i32,
        visit: &mut dyn FnMut(Bytes, Option<Bytes>) -> Result<(), ReplayError>,
    ) -> Result<(), ReplayFailed>;
}
