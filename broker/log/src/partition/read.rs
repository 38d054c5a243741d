//! Reading batches: from memory where they are recent, else by the index from the files.

use std::sync::Arc;

use bytes::Bytes;

use crate::error::ReadError;
use crate::log::Shared;
use crate::partition::Partition;
use crate::partition::fetch::is_wrong_place;
use crate::stats::Counters;
use crate::types::{Location, Lsn};

/// Rows of the index that one look takes at most; iterators of fjall must stay short.
const ROWS_AT_ONCE: usize = 4096;
/// How often a read begins again because a batch moved, or the index was rebuilt, under it.
const ATTEMPTS: usize = 4;

/// Stored batches, as they are on disk.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReadBatches {
    /// Whole record batches in the order of offsets. The first may begin before the offset asked for.
    pub batches: Vec<Bytes>,
    /// Sum of their lengths in bytes.
    pub bytes: usize,
    /// The offset to read from next.
    pub next_offset: u64,
}

impl ReadBatches {
    pub(super) fn empty_at(next_offset: u64) -> Self {
        Self {
            next_offset,
            ..Self::default()
        }
    }

    pub(super) fn push(&mut self, last_offset: u64, data: Bytes) {
        self.bytes += data.len();
        self.next_offset = last_offset + 1;
        self.batches.push(data);
    }
}

/// How much a read returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadLimit {
    /// About the most bytes.
    pub bytes: usize,
    /// Whether the first batch comes whole even if it is larger, so that no reader gets stuck (KIP-74).
    pub first_whole: bool,
}

impl From<usize> for ReadLimit {
    /// So many bytes, or one batch that is larger.
    fn from(bytes: usize) -> Self {
        Self {
            bytes,
            first_whole: true,
        }
    }
}

/// What a read asks for.
#[derive(Clone, Copy)]
struct Wanted {
    offset: u64,
    limit: ReadLimit,
    end: u64,
}

impl Wanted {
    /// Whether a batch of `length` still goes with what is there.
    fn takes(&self, have: usize, length: u32) -> bool {
        (have == 0 && self.limit.first_whole) || have + length as usize <= self.limit.bytes
    }
}

/// What the index says to what is wanted.
enum Asked {
    /// It is in these places.
    Places(Vec<(u64, Location)>),
    /// Compaction has left nothing before this offset.
    Markers { next_offset: u64 },
    /// The batch that holds the offset does not end before the end that is wanted.
    Nothing,
    /// The log or the index has changed meanwhile: begin again.
    Changed,
}

/// Up to where a read goes at the most.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Upto {
    Durable,
    Written,
}

/// How a read goes on.
enum Plan {
    /// From memory.
    Done(ReadBatches),
    /// These are on disk.
    Fetch(Vec<(u64, Location)>),
    /// The index knows; from this offset on, what is recent is known better.
    Ask { recent_from: u64 },
}

impl Partition {
    /// Reads batches from the one that holds `offset` on, up to `end` (exclusive) and within `limit`,
    /// if all are in memory. Never waits. Nothing: [`Partition::read`] is needed.
    pub fn read_recent(
        &self,
        offset: u64,
        limit: impl Into<ReadLimit>,
        end: u64,
    ) -> Option<Result<ReadBatches, ReadError>> {
        self.read_memory(offset, limit.into(), end, Upto::Durable)
    }

    /// Reads what is in memory.
    pub(super) fn read_memory(
        &self,
        offset: u64,
        limit: ReadLimit,
        end: u64,
        upto: Upto,
    ) -> Option<Result<ReadBatches, ReadError>> {
        match self.plan(Wanted { offset, limit, end }, upto) {
            Ok(Plan::Done(found)) => Some(Ok(found)),
            Ok(_) => None,
            Err(error) => Some(Err(error)),
        }
    }

    /// Reads batches from the one that holds `offset` on, up to `end` (exclusive) and within `limit`. May wait
    /// for the disk. Every batch from disk is checked.
    ///
    /// # Errors
    ///
    /// [`ReadError::Damaged`] if the first batch fails its checksum; batches before a damaged one are
    /// returned without error.
    pub fn read(
        &self,
        offset: u64,
        limit: impl Into<ReadLimit>,
        end: u64,
    ) -> Result<ReadBatches, ReadError> {
        let limit = limit.into();
        let mut wanted = Wanted { offset, limit, end };
        let shared = self.shared.upgrade().ok_or(ReadError::Deleted)?;
        let mut attempts = 0;
        loop {
            let places = match self.plan(wanted, Upto::Durable)? {
                Plan::Done(found) => return Ok(found),
                Plan::Fetch(places) => places,
                Plan::Ask { recent_from } => match self.ask_index(&shared, wanted, recent_from)? {
                    Asked::Places(places) => places,
                    Asked::Nothing => return Ok(ReadBatches::empty_at(wanted.offset)),
                    // That is always forward.
                    Asked::Markers { next_offset } => {
                        wanted.offset = next_offset;
                        continue;
                    }
                    Asked::Changed if attempts < ATTEMPTS => {
                        attempts += 1;
                        continue;
                    }
                    Asked::Changed => {
                        return Err(self.io_error(wanted.offset, "the index keeps changing".into()));
                    }
                },
            };
            match self.fetch(&shared, wanted.offset, &places) {
                Ok(found) => return Ok(found),
                // The batch may have moved since the index was asked; or the index is wrong about it.
                Err(error) if is_wrong_place(&error) && attempts < ATTEMPTS => attempts += 1,
                Err(error)
                    if is_wrong_place(&error)
                        && attempts == ATTEMPTS
                        && shared.rebuild_once(&error.to_string()) =>
                {
                    attempts += 1;
                }
                Err(error) => return Err(self.report(&shared, error)),
            }
        }
    }

    fn report(&self, shared: &Shared, error: ReadError) -> ReadError {
        if let ReadError::Damaged { .. } = &error {
            Counters::add(&shared.counters.damaged_reads, 1);
            tracing::error!(partition = self.label(), %error, "refusing to serve a damaged record batch");
        }
        error
    }

    fn plan(&self, wanted: Wanted, upto: Upto) -> Result<Plan, ReadError> {
        let state = self.lock();
        if self.is_deleted() {
            return Err(ReadError::Deleted);
        }
        let Wanted { offset, end, .. } = wanted;
        let written = (upto == Upto::Written).then_some(&state.written);
        let log_end = written.map_or(state.durable_end, |_| state.written_end());
        let log_start = state.extent.log_start;
        if offset < log_start || offset > log_end {
            return Err(ReadError::OffsetOutOfRange {
                offset,
                log_start,
                log_end,
            });
        }
        let end = end.min(log_end);
        let mut found = ReadBatches::empty_at(offset);
        if offset >= end {
            return Ok(Plan::Done(found));
        }
        let first = state.recent.first_offset();
        let recent_from = first.or_else(|| written?.first_offset()).unwrap_or(log_end);
        if offset < recent_from {
            return Ok(Plan::Ask { recent_from });
        }
        let mut places = Vec::new();
        let mut place_bytes = 0;
        let written = written.into_iter().flat_map(|written| written.from(offset));
        for batch in state.recent.from(offset).chain(written) {
            let fits = batch.last_offset() < end
                && wanted.takes(found.bytes + place_bytes, batch.location.length);
            if !fits {
                break;
            }
            // A marker over offsets that the leader had nothing of.
            if batch.location.length == 0 {
                if places.is_empty() {
                    found.next_offset = batch.last_offset() + 1;
                }
                continue;
            }
            match &batch.data {
                Some(data) if places.is_empty() => found.push(batch.last_offset(), data.clone()),
                None if found.batches.is_empty() => {
                    place_bytes += batch.location.length as usize;
                    places.push((batch.base_offset, batch.location));
                }
                _ => break,
            }
        }
        Ok(if places.is_empty() {
            Plan::Done(found)
        } else {
            Plan::Fetch(places)
        })
    }

    /// The places of the batches wanted; markers of compaction are passed over.
    fn ask_index(
        &self,
        shared: &Arc<Shared>,
        wanted: Wanted,
        recent_from: u64,
    ) -> Result<Asked, ReadError> {
        let (mut places, mut next_offset) = (Vec::new(), wanted.offset);
        let (mut bytes, mut next_place, mut ends_within) = (0usize, Lsn::default(), false);
        self.visit_indexed(shared, wanted.offset, &mut |base, location| {
            let last = base + u64::from(location.last_offset_delta);
            // Rows cover the log without a gap; what is recent is known better elsewhere.
            if base > next_offset || base >= recent_from {
                next_place = location.lsn;
                return false;
            }
            if last >= wanted.end || !wanted.takes(bytes, location.length) {
                ends_within = true;
                return false;
            }
            bytes += location.length as usize;
            next_offset = last + 1;
            if location.length > 0 {
                places.push((base, location));
            }
            places.len() < ROWS_AT_ONCE
        })
        .map_err(|reason| self.io_error(wanted.offset, reason))?;
        if !places.is_empty() {
            return Ok(Asked::Places(places));
        }
        if next_offset > wanted.offset {
            return Ok(Asked::Markers { next_offset });
        }
        if ends_within {
            return Ok(Asked::Nothing);
        }
        // Rows are removed only after the log's bounds have moved.
        let positions = self.positions();
        let there = positions.log_start..positions.durable_end.min(recent_from);
        if self.is_deleted() || !there.contains(&wanted.offset) {
            return Ok(Asked::Changed);
        }
        let reason = format!(
            "it holds no batch at offset {} of {}",
            wanted.offset,
            self.label()
        );
        if shared.rebuild_once(&reason) {
            return Ok(Asked::Changed);
        }
        let damage = self.damaged(wanted.offset, next_place, "no batch is stored there");
        Err(self.report(shared, damage))
    }

    /// Visits indexed batches from the one that holds `offset` (or the next one) on, until `visit` says
    /// false. An index that fails is rebuilt, once.
    pub(crate) fn visit_indexed(
        &self,
        shared: &Arc<Shared>,
        offset: u64,
        visit: &mut dyn FnMut(u64, Location) -> bool,
    ) -> Result<(), String> {
        shared.with_index(|index| {
            let from = index
                .last_batch_in(self.id(), 0..=offset)?
                .filter(|(base, location)| base + u64::from(location.last_offset_delta) >= offset)
                .map_or(offset, |(base, _)| base);
            index.batches(self.id(), from, visit)
        })
    }

    /// Visits batches from the one that holds `offset` on, those in memory included, until `visit` says
    /// false. Markers of compaction are visited too.
    pub(crate) fn visit(
        &self,
        shared: &Arc<Shared>,
        offset: u64,
        visit: &mut dyn FnMut(u64, Location) -> bool,
    ) -> Result<(), String> {
        let mut next = offset;
        loop {
            let places = self.places(shared, next)?;
            let Some((base, location)) = places.last() else {
                return Ok(());
            };
            next = base + u64::from(location.last_offset_delta) + 1;
            if !places
                .iter()
                .all(|(base, location)| visit(*base, *location))
            {
                return Ok(());
            }
        }
    }

    /// Some batches from the one that holds `offset` on, markers included; none only at the log's end.
    pub(crate) fn places(
        &self,
        shared: &Arc<Shared>,
        offset: u64,
    ) -> Result<Vec<(u64, Location)>, String> {
        loop {
            let (recent_from, end) = {
                let state = self.lock();
                let first = match state.recent.first_offset() {
                    Some(first) if offset >= first => {
                        let recent = state.recent.from(offset).take(ROWS_AT_ONCE);
                        return Ok(recent.map(|b| (b.base_offset, b.location)).collect());
                    }
                    first => first,
                };
                (first, state.durable_end)
            };
            let mut places = Vec::new();
            self.visit_indexed(shared, offset, &mut |base, location| {
                // Behind the end the index may still have what was truncated.
                let take = recent_from.is_none_or(|first| base < first) && base < end;
                if take {
                    places.push((base, location));
                }
                take && places.len() < ROWS_AT_ONCE
            })?;
            if !places.is_empty() || recent_from.is_none() {
                return Ok(places);
            }
            // Nothing before what is recent: go on there, unless it has moved into the index meanwhile.
            let state = self.lock();
            if state.recent.first_offset() == recent_from {
                let recent = state.recent.from(offset).take(ROWS_AT_ONCE);
                return Ok(recent.map(|b| (b.base_offset, b.location)).collect());
            }
        }
    }

    pub(super) fn damaged(&self, offset: u64, place: Lsn, reason: &'static str) -> ReadError {
        ReadError::Damaged {
            partition: self.label().to_owned(),
            offset,
            place,
            reason,
        }
    }

    pub(super) fn io_error(&self, offset: u64, reason: String) -> ReadError {
        ReadError::Io {
            partition: self.label().to_owned(),
            offset,
            reason,
        }
    }
}
