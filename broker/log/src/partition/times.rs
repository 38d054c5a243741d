//! Offsets by time: what ListOffsets asks for.

use fjord_wire::records::Batch;

use crate::error::ReadError;
use crate::partition::Partition;
use crate::types::Location;

/// A record found by its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// The record's offset.
    pub offset: u64,
    /// The record's timestamp in milliseconds.
    pub timestamp: i64,
    /// The leader epoch under which it was appended.
    pub leader_epoch: i32,
}
