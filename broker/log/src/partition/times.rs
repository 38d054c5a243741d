//! Offsets by time: what ListOffsets asks for.

use std::sync::Arc;

use bytes::Bytes;
use fjord_wire::records::{Batch, BatchHeader};

use crate::error::ReadError;
use crate::log::Shared;
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
        let (mut start, unindexed_from) = {
            let state = self.lock();
            (state.extent.log_start, state.recent.unindexed_from())
        };
        let mut floor = None;
        shared
            .with_index(|index| {
                floor = index.time_floor(self.id(), timestamp)?;
                Ok(())
            })
            .map_err(|reason| self.io_error(start, reason))?;
        // What was written after a truncation may be before a place that the index still knows.
        let floor = floor.unwrap_or(0).min(unindexed_from.unwrap_or(u64::MAX));
        start = start.max(floor);
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

    /// The first record with the greatest timestamp before `end` (KIP-734). May wait for the disk.
    ///
    /// # Errors
    ///
    /// As [`Partition::read`].
    pub fn offset_of_max_timestamp(&self, end: u64) -> Result<Option<Found>, ReadError> {
        let shared = self.shared.upgrade().ok_or(ReadError::Deleted)?;
        let (hint, hinted, log_start) = {
            let state = self.lock();
            let hinted = state.max_timestamp_offset;
            (state.max_timestamp, hinted, state.extent.log_start)
        };
        // The hint is right unless that batch was deleted, truncated or compacted since.
        if (log_start..end).contains(&hinted) {
            let mut batch = None;
            self.visit(&shared, hinted, &mut |base, location| {
                batch = Some((base, location));
                false
            })
            .map_err(|reason| self.io_error(hinted, reason))?;
            if let Some((base, location)) = batch
                && location.length > 0
                && location.max_timestamp == hint
                && let Some(found) = self.newest_record(base, location, log_start, end)?
                && found.timestamp == hint
            {
                return Ok(Some(found));
            }
        }
        self.search_max_timestamp(&shared, log_start, end)
    }

    /// Looks at all batches that may hold a newer record than those seen so far.
    fn search_max_timestamp(
        &self,
        shared: &Arc<Shared>,
        log_start: u64,
        end: u64,
    ) -> Result<Option<Found>, ReadError> {
        let mut best: Option<Found> = None;
        let mut next = log_start;
        loop {
            let places = self
                .places(shared, next)
                .map_err(|reason| self.io_error(next, reason))?;
            for (base, location) in &places {
                next = base + u64::from(location.last_offset_delta) + 1;
                let promising = location.length > 0
                    && best.is_none_or(|b| location.max_timestamp > b.timestamp);
                if *base < end
                    && promising
                    && let Some(found) = self.newest_record(*base, *location, log_start, end)?
                    && best.is_none_or(|b| found.timestamp > b.timestamp)
                {
                    best = Some(found);
                }
            }
            if places.is_empty() || next >= end {
                return Ok(best);
            }
        }
    }

    /// The first of a batch's newest records between `log_start` and `end`.
    fn newest_record(
        &self,
        base: u64,
        location: Location,
        log_start: u64,
        end: u64,
    ) -> Result<Option<Found>, ReadError> {
        let mut newest: Option<(u64, i64)> = None;
        self.search(base, location, end, &mut |offset, at| {
            if offset >= log_start && newest.is_none_or(|(_, best)| at > best) {
                newest = Some((offset, at));
            }
            false
        })?;
        Ok(newest.map(|(offset, timestamp)| Found {
            offset,
            timestamp,
            leader_epoch: location.leader_epoch,
        }))
    }

    /// The first record of a batch, before `end`, that `matches` takes by offset and timestamp.
    fn search(
        &self,
        base: u64,
        location: Location,
        end: u64,
        matches: &mut dyn FnMut(u64, i64) -> bool,
    ) -> Result<Option<Found>, ReadError> {
        let Some(bytes) = self.batch_bytes(base, location)? else {
            return Ok(None);
        };
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

    /// The batch, unless retention, compaction or a truncation has taken it meanwhile.
    fn batch_bytes(&self, base: u64, location: Location) -> Result<Option<Bytes>, ReadError> {
        let end = base + u64::from(location.last_offset_delta) + 1;
        // The log may start within the batch.
        let start = base.max(self.positions().log_start);
        match self.read(start, location.length as usize, end) {
            Ok(found) => Ok(found.batches.into_iter().next()),
            Err(ReadError::OffsetOutOfRange { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }
}
