//! Record batches (format v2): the rope that carries them through the broker, their headers, their
//! validation, their records, and the building of new ones.
//!
//! A batch that a producer sent is cut out of its request ([`Records::batches`]), checked
//! ([`validate_batch`]), stamped with its offset ([`set_base_offset`] and the like), and from then
//! on only passed around. Only compaction, internal topics and lookups by timestamp look at its
//! records again ([`Batch::records`]).

mod builder;
mod compression;
mod error;
mod header;
mod record;
mod rope;
mod snappy;
mod source;
mod split;
mod validate;
mod varint;

pub use builder::{BatchBuilder, BatchOptions, BuildError, recompress};
pub use compression::{Compression, compress, decompress};
pub use error::{
    BatchError, MAX_LISTED_RECORDS, RecordProblem, RecordRefusal, RefusedRecord, RefusedRecords,
};
pub use header::{
    Attributes, BATCH_HEADER_BYTES, BatchHeader, LOG_OVERHEAD_BYTES, MAGIC_V2, NO_PRODUCER_EPOCH,
    NO_PRODUCER_ID, NO_SEQUENCE, NO_TIMESTAMP, TimestampType, compute_crc, set_append_time,
    set_base_offset, set_max_timestamp, set_partition_leader_epoch, verify_batch,
};
pub use record::{Record, RecordHeader, RecordIterator};
pub use rope::Records;
pub use split::{Batch, Batches};
pub use validate::{BatchLimits, Depth, ValidBatch, validate_batch};
