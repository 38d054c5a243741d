//! Reading stored batches from the files, and checking every one of them.

use std::io;

use bytes::Bytes;

use crate::error::ReadError;
use crate::log::Shared;
use crate::partition::{Partition, ReadBatches};
use crate::types::Location;
use crate::valuelog::entry::{ENTRY_HEADER, EntryHeader, stored_bytes};

/// Neighbouring entries are read with one call up to this many bytes...
const READ_AT_ONCE: u32 = 1 << 20;
/// ...if no more than this lies between them.
const READ_OVER_GAP: u32 = 16 << 10;

const FILE_MISSING: &str = "the value log file is missing";
const FILE_SHORT: &str = "the value log file ends before";
const HEADER_DAMAGED: &str = "the entry's header is damaged";

/// Whether the entry may be somewhere else: it was moved, or the index is wrong.
pub(super) fn is_wrong_place(error: &ReadError) -> bool {
    matches!(error, ReadError::Damaged { reason, .. }
        if [FILE_MISSING, FILE_SHORT, HEADER_DAMAGED].contains(reason))
}

impl Partition {
    /// Reads the batches in these places, up to the first that cannot be read.
    pub(super) fn fetch(
        &self,
        shared: &Shared,
        offset: u64,
        places: &[(u64, Location)],
    ) -> Result<ReadBatches, ReadError> {
        let mut found = ReadBatches::empty_at(offset);
        prefetch(shared, places);
        let mut rest = places;
        while let Some(run) = run_length(rest) {
            let (now, later) = rest.split_at(run);
            let before = found.batches.len();
            let mut result = self.fetch_run(shared, now, &mut found);
            if result.is_err() && run > 1 {
                // One batch that cannot be read must not take its neighbours along.
                let mut rest_of_run = now[found.batches.len() - before..].iter();
                result =
                    rest_of_run.try_for_each(|place| self.fetch_run(shared, &[*place], &mut found));
            }
            match result {
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
        let damaged = |reason| self.damaged(*first_base, first.lsn, reason);
        let file = shared
            .files
            .get(first.lsn.file())
            .ok_or_else(|| damaged(FILE_MISSING))?;
        let end = u64::from(last.lsn.position()) + u64::from(ENTRY_HEADER) + u64::from(last.length);
        let failed = |error: io::Error| self.io_error(*first_base, error.to_string());
        if end > u64::from(file.len().map_err(failed)?) {
            return Err(damaged(FILE_SHORT));
        }
        let length = end.saturating_sub(u64::from(start)) as usize;
        let bytes = file
            .read_range(&shared.read_buffers, start, length)
            .map_err(failed)?;
        for (base, location) in run {
            let at = (location.lsn.position() - start) as usize;
            let payload =
                at + ENTRY_HEADER as usize..at + ENTRY_HEADER as usize + location.length as usize;
            let header = EntryHeader::decode(&bytes[at..])
                .filter(|h| {
                    h.lsn == location.lsn && h.partition == self.id() && h.base_offset == *base
                })
                .ok_or_else(|| self.damaged(*base, location.lsn, HEADER_DAMAGED))?;
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
}

/// Has the kernel read everything but the first run already, so that a scan waits for the disk once.
fn prefetch(shared: &Shared, places: &[(u64, Location)]) {
    let mut rest = &places[run_length(places).unwrap_or(0)..];
    while let Some(run) = run_length(rest) {
        let (now, later) = rest.split_at(run);
        if let (Some((_, first)), Some((_, last))) = (now.first(), now.last())
            && let Some(file) = shared.files.get(first.lsn.file())
        {
            let start = first.lsn.position();
            let end = last
                .lsn
                .position()
                .saturating_add(stored_bytes(last.length));
            file.will_need(start, end.saturating_sub(start));
        }
        rest = later;
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
    use crate::types::Lsn;

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
