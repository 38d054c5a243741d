//! Offsets by time: what ListOffsets asks for.

use bytes::Bytes;
use fjord_wire::records::{Batch, BatchHeader};

use crate::error::ReadError;
use crate::partition::Partition;
use crate::types::Location;

/// Most bytes that a batch may take decompressed when a record is looked for in it.
const DECOMPRESSED_LIMIT: usize = 256 << 20;

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

impl Partition {
    /// The first record at `log_start` or later and before `end` whose timestamp is `timestamp` or later.
    /// May wait for the disk.
    ///
    /// # Errors
    ///
    /// As [`Partition::read`].
    pub fn offset_for_timestamp(
        &self,
        timestamp: i64,
        end: u64,
    ) -> Result<Option<Found>, ReadError> {
        let shared = self.shared.upgrade().ok_or(ReadError::Deleted)?;
        let mut start = self.positions().log_start;
        let mut floor = None;
        shared
            .with_index(|index| {
                floor = index.time_floor(self.id(), timestamp)?;
                Ok(())
            })
            .map_err(|reason| self.io_error(start, reason))?;
        start = start.max(floor.unwrap_or(0));
        loop {
            let mut candidate = None;
            self.visit(&shared, start, &mut |base, location| {
                if base < end && location.length > 0 && location.max_timestamp >= timestamp {
                    candidate = Some((base, location));
                }
                candidate.is_none() && base < end
            })
            .map_err(|reason| self.io_error(start, reason))?;
            let Some((base, location)) = candidate else {
                return Ok(None);
            };
            let log_start = self.positions().log_start;
            let found = self.search(base, location, end, &mut |offset, at| {
                offset >= log_start && at >= timestamp
            })?;
            if found.is_some() {
                return Ok(found);
            }
            // Compaction may have taken the newest record of a batch: look on behind it.
            start = base + u64::from(location.last_offset_delta) + 1;
        }
    }

    /// The record with the greatest timestamp (KIP-734). May wait for the disk.
    ///
    /// # Errors
    ///
    /// As [`Partition::read`].
    pub fn offset_of_max_timestamp(&self, end: u64) -> Result<Option<Found>, ReadError> {
        let shared = self.shared.upgrade().ok_or(ReadError::Deleted)?;
        let (hint, hinted, log_start) = {
            let state = self.lock();
            (
                state.max_timestamp,
                state.max_timestamp_offset,
                state.extent.log_start,
            )
        };
        // The hint is right unless that batch was deleted or compacted since; then all are looked at.
        let mut best: Option<(u64, Location)> = None;
        let from = if hinted >= log_start {
            hinted
        } else {
            log_start
        };
        for start in [from, log_start] {
            self.visit(&shared, start, &mut |base, location| {
                let newer = best.is_none_or(|(_, b)| location.max_timestamp > b.max_timestamp);
                if base < end && location.length > 0 && newer {
                    best = Some((base, location));
                }
                base < end && best.is_none_or(|(_, b)| b.max_timestamp < hint)
            })
            .map_err(|reason| self.io_error(start, reason))?;
            if best.is_some_and(|(_, b)| b.max_timestamp >= hint) {
                break;
            }
        }
        let Some((base, location)) = best else {
            return Ok(None);
        };
        self.search(base, location, end, &mut |_, at| {
            at >= location.max_timestamp
        })
    }

    /// The first record of a batch, before `end`, that `matches` takes by offset and timestamp.
    fn search(
        &self,
        base: u64,
        location: Location,
        end: u64,
        matches: &mut dyn FnMut(u64, i64) -> bool,
    ) -> Result<Option<Found>, ReadError> {
        let bytes = self.batch_bytes(base, location)?;
        let unreadable = |_| self.damaged(base, location.lsn, "the record batch cannot be decoded");
        let header = BatchHeader::parse(&bytes).map_err(unreadable)?;
        let records = Batch { header, bytes }
            .records(DECOMPRESSED_LIMIT)
            .map_err(unreadable)?;
        for record in records {
            let record = record.map_err(unreadable)?;
            let offset = record.offset.cast_unsigned();
            if offset < end && matches(offset, record.timestamp) {
                return Ok(Some(Found {
                    offset,
                    timestamp: record.timestamp,
                    leader_epoch: location.leader_epoch,
                }));
            }
        }
        Ok(None)
    }

    fn batch_bytes(&self, base: u64, location: Location) -> Result<Bytes, ReadError> {
        let end = base + u64::from(location.last_offset_delta) + 1;
        let found = self.read(base, location.length as usize, end)?;
        found
            .batches
            .into_iter()
            .next()
            .ok_or_else(|| self.damaged(base, location.lsn, "the batch is gone"))
    }
}
