//! Partition logs on a shared, group-committed value log, indexed by fjall.
//!
//! This crate is where records become durable. It knows Kafka's record batch v2 as its stored form, and
//! nothing of networks, topics or async runtimes.
//!
//! ```text
//!  Partition::append ──► queue ──► writer thread ──► value log file ──► fdatasync ──► completion
//!     (assigns offsets)               │ one group, one sync
//!                  (what is written, but not synced, is shown to followers of a leader alone)
//!                                     ├──► recent entries (in memory, bounded)  ◄── Partition::read
//!                                     └──► indexer thread ──► fjall (derived)   ◄── Partition::read
//! ```
//!
//! - `valuelog` holds the files: entry headers, sidecars, scanning, and the thread that prepares files.
//! - `writer` is the one thread that writes them.
//! - `fold` says what a sequence of entries means for a partition. Writer, indexer and recovery run
//!   the same fold at their own positions in the log.
//! - `index` keeps the places of batches and other derived state in fjall, and can be rebuilt.
//! - `partition` is what users of the crate hold: append, read, truncate, look up.
//! - `retention`, `compaction` and `reclaim` give space back.

mod compaction;
mod directory;
mod error;
mod fold;
mod index;
mod indexer;
mod log;
mod options;
mod partition;
mod queue;
mod reclaim;
mod recovery;
mod retention;
mod ring;
mod stats;
mod types;
mod valuelog;
mod writer;

#[doc(hidden)]
pub mod fuzzing;

pub use compaction::{CompactionPace, CompactionPolicy, CompactionResult};
pub use error::{AppendError, OpenError, ReadError};
pub use fold::{EpochEntry, EpochTable};
pub use log::Log;
pub use options::{Durability, LogOptions};
pub use partition::producers::{BatchMetadata, ProducerCheck, ProducerTable};
pub use partition::{
    AppendOutcome, Completion, Found, Partition, Positions, ReadBatches, ReadLimit, WrittenHook,
};
pub use recovery::RecoveryReport;
pub use retention::RetentionPolicy;
pub use stats::{DiskSpace, Stats};
pub use types::{Location, Lsn, PartitionId};
