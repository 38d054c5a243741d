//! Reading batches: from memory where they are recent, else by the index from the files.

use std::sync::Arc;

use bytes::Bytes;

use crate::error::ReadError;
use crate::log::Shared;
use crate::partition::Partition;
use crate::stats::Counters;
use crate::types::{Location, Lsn};
use crate::valuelog::entry::{ENTRY_HEADER, EntryHeader, stored_bytes};

/// Neighbouring entries are read with one call up to this many bytes...
const READ_AT_ONCE: u32 = 1 << 20;
/// ...if no more than this lies between them.
const READ_OVER_GAP: u32 = 16 << 10;
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
    fn push(&mut self, last_offset: u64, data: Bytes) {
        self.bytes += data.len();
        self.next_offset = last_offset + 1;
        self.batches.push(data);
    }
}

/// What a read asks for.
#[derive(Clone, Copy)]
struct Wanted {
    offset: u64,
    max_bytes: usize,
    end: u64,
}

impl Wanted {
    /// Whether a batch of `length` still goes with what is there. The first always does (KIP-74).
    fn takes(&self, have: usize, length: u32) -> bool {
        have == 0 || have + length as usize <= self.max_bytes
    }
}

/// What the index knows of a stretch of a log.
struct Indexed {
    places: Vec<(u64, Location)>,
    next_offset: u64,
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
    /// Reads batches from the one that holds `offset` on, up to `end` (exclusive) and about `max_bytes`,
    /// if all are in memory. Never waits. Nothing: [`Partition::read`] is needed.
    pub fn read_recent(
        &self,
        offset: u64,
        max_bytes: usize,
        end: u64,
    ) -> Option<Result<ReadBatches, ReadError>> {
        match self.plan(Wanted {
            offset,
            max_bytes,
            end,
        }) {
            Ok(Plan::Done(found)) => Some(Ok(found)),
            Ok(_) => None,
            Err(error) => Some(Err(error)),
        }
    }

    /// Reads batches from the one that holds `offset` on, up to `end` (exclusive) and about `max_bytes`; the
    /// first batch comes whole even if it is larger. May wait for the disk. Every batch from disk is checked.
    ///
    /// # Errors
    ///
    /// [`ReadError::Damaged`] if the first batch fails its checksum; batches before a damaged one are
    /// returned without error.
    pub fn read(&self, offset: u64, max_bytes: usize, end: u64) -> Result<ReadBatches, ReadError> {
        let wanted = Wanted {
            offset,
            max_bytes,
            end,
        };
        let shared = self.shared.upgrade().ok_or(ReadError::Deleted)?;
        let mut wanted = wanted;
        let mut attempts = 0;
        loop {
            let places = match self.plan(wanted)? {
                Plan::Done(found) => return Ok(found),
                Plan::Fetch(places) => places,
                Plan::Ask { recent_from } => match self.ask_index(&shared, wanted, recent_from)? {
                    Some(indexed) if indexed.places.is_empty() => {
                        // Nothing but markers: go on behind them.
                        wanted.offset = indexed.next_offset;
                        continue;
                    }
                    Some(indexed) => indexed.places,
                    None => continue,
                },
            };
            match self.fetch(&shared, wanted, &places) {
                Ok(found) => return Ok(found),
                Err(error) if attempts == ATTEMPTS => return Err(self.report(&shared, error)),
                // The batch may have moved since the index was asked.
                Err(_) => attempts += 1,
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

    fn plan(&self, wanted: Wanted) -> Result<Plan, ReadError> {
        let state = self.lock();
        if self.is_deleted() {
            return Err(ReadError::Deleted);
        }
        let Wanted { offset, end, .. } = wanted;
        let (log_start, log_end) = (state.extent.log_start, state.durable_end);
        if offset < log_start || offset > log_end {
            return Err(ReadError::OffsetOutOfRange {
                offset,
                log_start,
                log_end,
            });
        }
        let end = end.min(log_end);
        let mut found = ReadBatches {
            next_offset: offset,
            ..ReadBatches::default()
        };
        if offset >= end {
            return Ok(Plan::Done(found));
        }
        let recent_from = state.recent.first_offset().unwrap_or(log_end);
        if offset < recent_from {
            return Ok(Plan::Ask { recent_from });
        }
        let mut places = Vec::new();
        let mut place_bytes = 0;
        for batch in state.recent.from(offset) {
            let fits = batch.last_offset() < end
                && wanted.takes(found.bytes + place_bytes, batch.location.length);
            if !fits {
                break;
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

    /// The places of the batches wanted; markers of compaction are passed over. Nothing: the index was
    /// rebuilt, begin again.
    fn ask_index(
        &self,
        shared: &Arc<Shared>,
        wanted: Wanted,
        recent_from: u64,
    ) -> Result<Option<Indexed>, ReadError> {
        let mut indexed = Indexed {
            places: Vec::new(),
            next_offset: wanted.offset,
        };
        let mut bytes = 0usize;
        let end = wanted.end.min(recent_from);
        let mut hole = None;
        self.visit_indexed(shared, wanted.offset, &mut |base, location| {
            let last = base + u64::from(location.last_offset_delta);
            let wanted_too =
                base < end && last < wanted.end && wanted.takes(bytes, location.length);
            if !wanted_too || base > indexed.next_offset {
                hole = (base > indexed.next_offset && indexed.next_offset < end)
                    .then_some(location.lsn);
                return false;
            }
            bytes += location.length as usize;
            indexed.next_offset = last + 1;
            if location.length > 0 {
                indexed.places.push((base, location));
            }
            indexed.places.len() < ROWS_AT_ONCE
        })
        .map_err(|reason| self.io_error(wanted.offset, reason))?;
        let nothing = indexed.next_offset == wanted.offset && wanted.offset < end;
        if !nothing {
            return Ok(Some(indexed));
        }
        // Rows cover the log without a gap: the index has lost something, or the log has.
        if shared.rebuild_once(&format!(
            "no batch at offset {} of {}",
            wanted.offset,
            self.label()
        )) {
            return Ok(None);
        }
        Err(self.damaged(
            wanted.offset,
            hole.unwrap_or_default(),
            "no batch is stored there",
        ))
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
                .floor(self.id(), offset)?
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
        let recent_from = self.lock().recent.first_offset().unwrap_or(u64::MAX);
        let mut places = Vec::new();
        if offset < recent_from {
            self.visit_indexed(shared, offset, &mut |base, location| {
                let take = base < recent_from;
                if take {
                    places.push((base, location));
                }
                take && places.len() < ROWS_AT_ONCE
            })?;
        }
        if places.is_empty() {
            let state = self.lock();
            places.extend(
                state
                    .recent
                    .from(offset)
                    .take(ROWS_AT_ONCE)
                    .map(|b| (b.base_offset, b.location)),
            );
        }
        Ok(places)
    }

    fn fetch(
        &self,
        shared: &Shared,
        wanted: Wanted,
        places: &[(u64, Location)],
    ) -> Result<ReadBatches, ReadError> {
        let mut found = ReadBatches {
            next_offset: wanted.offset,
            ..ReadBatches::default()
        };
        let mut rest = places;
        while let Some(run) = run_length(rest) {
            let (now, later) = rest.split_at(run);
            match self.fetch_run(shared, now, &mut found) {
                Ok(()) => rest = later,
                Err(error) if found.batches.is_empty() => return Err(error),
                // The damage is reported when it is what is asked for.
                Err(_) => break,
            }
        }
        Ok(found)
    }

    /// Reads entries that lie close together with one call, and checks each.
    fn fetch_run(
        &self,
        shared: &Shared,
        run: &[(u64, Location)],
        found: &mut ReadBatches,
    ) -> Result<(), ReadError> {
        let (Some((first_base, first)), Some((_, last))) = (run.first(), run.last()) else {
            return Ok(());
        };
        let start = first.lsn.position();
        let length = last.lsn.position() - start + ENTRY_HEADER + last.length;
        let file = shared
            .files
            .get(first.lsn.file())
            .ok_or_else(|| self.damaged(*first_base, first.lsn, "the value log file is missing"))?;
        let mut bytes = vec![0; length as usize];
        file.read_exact_at(&mut bytes, start)
            .map_err(|e| self.io_error(*first_base, e.to_string()))?;
        let bytes = Bytes::from(bytes);
        for (base, location) in run {
            let at = (location.lsn.position() - start) as usize;
            let payload =
                at + ENTRY_HEADER as usize..at + ENTRY_HEADER as usize + location.length as usize;
            let header = EntryHeader::decode(&bytes[at..])
                .filter(|h| {
                    h.lsn == location.lsn && h.partition == self.id() && h.base_offset == *base
                })
                .ok_or_else(|| {
                    self.damaged(*base, location.lsn, "the entry's header is damaged")
                })?;
            header
                .check_payload(&bytes[payload.clone()])
                .map_err(|reason| self.damaged(*base, location.lsn, reason))?;
            found.push(
                base + u64::from(location.last_offset_delta),
                bytes.slice(payload),
            );
        }
        Ok(())
    }

    /// Reads one stored batch and checks it.
    pub(crate) fn read_at(
        &self,
        shared: &Shared,
        base: u64,
        location: Location,
    ) -> Result<Bytes, ReadError> {
        let mut found = ReadBatches::default();
        self.fetch_run(shared, &[(base, location)], &mut found)?;
        found
            .batches
            .pop()
            .ok_or_else(|| self.damaged(base, location.lsn, "nothing was read"))
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

/// How many of the first places lie close enough together to be read with one call.
fn run_length(places: &[(u64, Location)]) -> Option<usize> {
    let (_, first) = places.first()?;
    let mut end = first.lsn.position() + stored_bytes(first.length);
    let mut count = 1;
    for (_, next) in &places[1..] {
        let position = next.lsn.position();
        let near = next.lsn.file() == first.lsn.file()
            && position >= end
            && position - end <= READ_OVER_GAP
            && position - first.lsn.position() <= READ_AT_ONCE;
        if !near {
            break;
        }
        end = position + stored_bytes(next.length);
        count += 1;
    }
    Some(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(file: u32, position: u32) -> (u64, Location) {
        let location = Location {
            lsn: Lsn::new(file, position),
            length: 100,
            last_offset_delta: 0,
            leader_epoch: 0,
            max_timestamp: 0,
        };
        (0, location)
    }

    #[test]
    fn runs_end_at_files_at_gaps_and_where_places_go_back() {
        assert_eq!(run_length(&[]), None);
        assert_eq!(
            run_length(&[place(1, 0), place(1, 168), place(2, 336)]),
            Some(2)
        );
        assert_eq!(
            run_length(&[place(1, 0), place(1, 168 + READ_OVER_GAP + 8)]),
            Some(1)
        );
        assert_eq!(run_length(&[place(1, 800), place(1, 0)]), Some(1));
    }
}
