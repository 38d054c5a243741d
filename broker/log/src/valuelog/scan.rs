//! Reading a file of the value log from end to end: what recovery and rebuilding do.
//!
//! A file ends in one of three ways: at its last entry, in a *torn tail* (a group that was never
//! acknowledged), or past *damage in the middle* (something that was acknowledged and is broken now). The
//! `durable` field of later entries tells the last two apart: what they say was synced must be whole.

use std::io;

use crate::partition::producers::ProducerStamp;
use crate::types::{Lsn, le_u64};
use crate::valuelog::entry::{BATCH_HEADER, ENTRY_HEADER, EntryHeader, FILE_HEADER};
use crate::valuelog::file::ValueLogFile;
use crate::valuelog::sidecar::EntryRecord;

const WINDOW: usize = 1 << 20;
/// Where the producer's stamp is in a record batch's header (Kafka record batch v2).
const PRODUCER_ID_AT: usize = 43;

/// What a scan found besides entries.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ScanReport {
    /// Where the entries end.
    pub end: u32,
    /// Stretches of the file (from, to) that should hold entries and do not.
    pub holes: Vec<(u32, u32)>,
    /// Places of entries whose payload fails its checksum.
    pub bad_payloads: Vec<u32>,
    /// Bytes behind the end that look like entries and were never acknowledged.
    pub torn_bytes: u32,
}

/// Checks all entries of `file` from `from` on, payloads included. `proven` is known to be durable.
pub(crate) fn verify(file: &ValueLogFile, from: u32, proven: Lsn) -> io::Result<ScanReport> {
    // Asked before anything is read: what the kernel has read ahead counts as written.
    let written_end = file.written_end()?;
    let mut window = Window::new(file)?;
    let mut proven = proven;
    let mut doubtful: Vec<(u32, Option<u32>)> = Vec::new();
    let mut position = from.max(FILE_HEADER);
    let mut end = position;
    loop {
        match window.header(file, position)? {
            Some(header) => {
                proven = proven.max(header.durable);
                let sound = window
                    .bytes(file, position + ENTRY_HEADER, header.length)?
                    .is_some_and(|payload| header.check_payload(payload).is_ok());
                if !sound {
                    doubtful.push((position, None));
                }
                position += header.stored_bytes();
                end = position;
            }
            None => match window.next_header(file, position.saturating_add(8), written_end)? {
                Some(next) => {
                    doubtful.push((position, Some(next)));
                    position = next;
                }
                None => break,
            },
        }
    }
    Ok(judge(file.id, end, &doubtful, proven))
}

/// Cuts at the first doubtful place that nothing proves to have been durable; what is before is damage.
fn judge(file: u32, end: u32, doubtful: &[(u32, Option<u32>)], proven: Lsn) -> ScanReport {
    let mut report = ScanReport {
        end,
        ..ScanReport::default()
    };
    for (position, hole_end) in doubtful {
        if Lsn::new(file, *position) >= proven {
            report.end = *position;
            report.torn_bytes = end - *position;
            break;
        }
        match hole_end {
            Some(next) => report.holes.push((*position, *next)),
            None => report.bad_payloads.push(*position),
        }
    }
    // Damage at the very end: entries were proven to be there, and nothing readable follows.
    if proven.file() == file && proven.position() > report.end {
        report.holes.push((report.end, proven.position()));
        report.end = proven.position();
    }
    report
}

/// Visits the headers of `file` from `from` up to what `report` says is the end, holes left out.
pub(crate) fn visit(
    file: &ValueLogFile,
    from: u32,
    report: &ScanReport,
    visit: &mut dyn FnMut(EntryRecord),
) -> io::Result<()> {
    let mut window = Window::new(file)?;
    let mut position = from.max(FILE_HEADER);
    while position < report.end {
        if let Some((_, next)) = report.holes.iter().find(|(start, _)| *start == position) {
            position = *next;
            continue;
        }
        let Some(header) = window.header(file, position)? else {
            break;
        };
        let producer = window.producer(file, &header)?;
        visit(EntryRecord { header, producer });
        position += header.stored_bytes();
    }
    Ok(())
}

/// A moving view of a file.
struct Window {
    bytes: Vec<u8>,
    start: u32,
    filled: usize,
    file_length: u32,
}

impl Window {
    fn new(file: &ValueLogFile) -> io::Result<Self> {
        Ok(Self {
            bytes: Vec::new(),
            start: 0,
            filled: 0,
            file_length: file.len()?,
        })
    }

    /// `length` bytes at `position`, or nothing if the file ends before.
    fn bytes(
        &mut self,
        file: &ValueLogFile,
        position: u32,
        length: u32,
    ) -> io::Result<Option<&[u8]>> {
        let Some(end) = position
            .checked_add(length)
            .filter(|end| *end <= self.file_length)
        else {
            return Ok(None);
        };
        let inside = position >= self.start && end as usize <= self.start as usize + self.filled;
        if !inside && !self.fill(file, position, length as usize)? {
            return Ok(None);
        }
        let at = (position - self.start) as usize;
        Ok(Some(&self.bytes[at..at + length as usize]))
    }

    fn fill(&mut self, file: &ValueLogFile, position: u32, length: usize) -> io::Result<bool> {
        let wanted = length.max(WINDOW);
        self.bytes
            .resize(wanted.max(self.bytes.len().min(4 * WINDOW)), 0);
        (self.start, self.filled) = (position, 0);
        while self.filled < length {
            let at = position + crate::types::length_u32(self.filled);
            match file.read_at(&mut self.bytes[self.filled..], at)? {
                0 => return Ok(false),
                n => self.filled += n,
            }
        }
        Ok(true)
    }

    /// The entry header at `position`, if there is a sound one that says it belongs there.
    fn header(&mut self, file: &ValueLogFile, position: u32) -> io::Result<Option<EntryHeader>> {
        let file_length = self.file_length;
        let place = Lsn::new(file.id, position);
        let Some(bytes) = self.bytes(file, position, ENTRY_HEADER)? else {
            return Ok(None);
        };
        Ok(EntryHeader::decode(bytes).filter(|h| {
            h.lsn == place
                && u64::from(position) + u64::from(h.stored_bytes()) <= u64::from(file_length)
        }))
    }

    /// The first place from `position` on that holds an entry; nothing behind `written_end` does.
    fn next_header(
        &mut self,
        file: &ValueLogFile,
        mut position: u32,
        written_end: u32,
    ) -> io::Result<Option<u32>> {
        while position < written_end && self.bytes(file, position, ENTRY_HEADER)?.is_some() {
            let at = (position - self.start) as usize;
            let view = &self.bytes[at..self.filled];
            let seen = crate::types::length_u32(view.len()) & !7;
            // Every entry names its own place: that alone tells most of what is not one.
            let candidate = view
                .chunks_exact(8)
                .skip(2)
                .zip((position..).step_by(8))
                .find(|(word, place)| le_u64(word, 0) == Lsn::new(file.id, *place).0)
                .map(|(_, place)| place);
            match candidate {
                Some(place) if self.header(file, place)?.is_some() => return Ok(Some(place)),
                Some(place) => position = place + 8,
                // The last words of the window may begin an entry that it does not hold whole.
                None => position += seen.saturating_sub(16).max(8),
            }
        }
        Ok(None)
    }

    fn producer(
        &mut self,
        file: &ValueLogFile,
        header: &EntryHeader,
    ) -> io::Result<Option<ProducerStamp>> {
        if !header.kind.holds_batch() || (header.length as usize) < BATCH_HEADER {
            return Ok(None);
        }
        let batch = self.bytes(
            file,
            header.lsn.position() + ENTRY_HEADER,
            crate::types::length_u32(BATCH_HEADER),
        )?;
        Ok(batch.and_then(producer_stamp))
    }
}

/// The producer's stamp in a record batch's header; nothing if no idempotent producer wrote it.
pub(crate) fn producer_stamp(batch: &[u8]) -> Option<ProducerStamp> {
    let at = batch.get(PRODUCER_ID_AT..BATCH_HEADER)?;
    let stamp = ProducerStamp {
        producer_id: i64::from_be_bytes(at[0..8].try_into().ok()?),
        producer_epoch: i16::from_be_bytes(at[8..10].try_into().ok()?),
        base_sequence: i32::from_be_bytes(at[10..14].try_into().ok()?),
    };
    (stamp.producer_id >= 0 && stamp.base_sequence >= 0).then_some(stamp)
}
