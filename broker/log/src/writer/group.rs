//! A group of entries on its way to the value log, and the file that it goes to.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use rustix::time::{ClockId, clock_gettime};

use crate::queue::PendingEntry;
use crate::types::{Lsn, PartitionId, length_u32};
use crate::valuelog::entry::{ENTRY_HEADER, EntryHeader, EntryKind, payload_crc};
use crate::valuelog::file::ValueLogFile;
use crate::valuelog::files::Room;
use crate::valuelog::page_cache::WriteCost;
use crate::valuelog::sidecar::{EntryRecord, SidecarWriter};

/// Room at the end of a file that only entries which give space back may use, as a share of the file.
pub(super) const RESERVE_SHARE: u32 = 16;
pub(super) const RESERVE_MOST: u32 = 1 << 20;

/// What the page cache holds, and the disk reads and writes, are whole pages.
pub(super) const PAGE_BYTES: u32 = 4096;
/// Only of pieces from this size on does it show what a byte costs.
const LARGE_PIECE_BYTES: usize = 64 << 10;

/// The file that is written.
pub(super) struct Current {
    pub file: Arc<ValueLogFile>,
    pub position: u32,
    pub sidecar: SidecarWriter,
    /// A write failed half-way: nothing more goes into this file.
    pub spoilt: bool,
    /// What the file was made of: one made of the reserve is only for what may use that.
    pub room: Room,
}

/// Entries that are written together.
#[derive(Default)]
pub(super) struct Group {
    pub buffer: BytesMut,
    pub records: Vec<EntryRecord>,
    /// Bytes of the buffer that are in the file.
    pub written: usize,
    /// What it took to write them, in large pieces.
    pub cost: WriteCost,
}

impl Current {
    /// Writes what of the group is not in the file yet, up to the last whole page.
    pub fn write_pages(&self, group: &mut Group) -> io::Result<()> {
        let end = self.position + length_u32(group.buffer.len());
        let begun = (end % PAGE_BYTES) as usize;
        let whole = group.buffer.len().saturating_sub(begun);
        self.write(group, whole)
    }

    /// Writes what of the group is not in the file yet, and zeros up to the end of the page: if a page is not written
    /// whole, the kernel has to read it before.
    pub fn write_rest(&self, group: &mut Group) -> io::Result<()> {
        let length = group.buffer.len();
        let end = self.position + length_u32(length);
        let padded = end
            .next_multiple_of(PAGE_BYTES)
            .min(self.file.capacity.max(end));
        group.buffer.resize(length + (padded - end) as usize, 0);
        let written = self.write(group, group.buffer.len());
        group.buffer.truncate(length);
        group.written = group.written.min(length);
        written
    }

    /// Writes the group up to byte `end` of it.
    fn write(&self, group: &mut Group, end: usize) -> io::Result<()> {
        if end <= group.written {
            return Ok(());
        }
        let piece = &group.buffer[group.written..end];
        let position = self.position + length_u32(group.written);
        if piece.len() < LARGE_PIECE_BYTES {
            self.file.write_at(piece, position)?;
        } else {
            let before = processor_time();
            self.file.write_at(piece, position)?;
            group.cost.add(WriteCost {
                bytes: piece.len() as u64,
                time: processor_time().saturating_sub(before),
            });
        }
        group.written = end;
        Ok(())
    }

    /// Where the next entry goes, behind what `buffer` holds already.
    pub fn place(&self, buffer: &[u8]) -> Lsn {
        Lsn::new(self.file.id, self.position + length_u32(buffer.len()))
    }

    pub fn has_room(&self, bytes: u64, privileged: bool) -> bool {
        let reserve = match privileged {
            true => 0,
            false => (self.file.capacity / RESERVE_SHARE).min(RESERVE_MOST),
        };
        !self.spoilt
            && (privileged || self.room == Room::Free)
            && u64::from(self.position) + bytes + u64::from(reserve)
                <= u64::from(self.file.capacity)
    }
}

/// What this thread has used of the processor.
fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::try_from(time).unwrap_or_default()
}

impl Group {
    /// Adds an entry: its header, its payload with base offset and leader epoch set, and padding.
    pub fn push(&mut self, partition: PartitionId, entry: &PendingEntry, lsn: Lsn, durable: Lsn) {
        let start = self.buffer.len();
        let payload = start + ENTRY_HEADER as usize;
        self.buffer.resize(payload, 0);
        self.buffer.extend_from_slice(&entry.payload);
        if entry.kind == EntryKind::Append {
            self.buffer[payload..payload + 8].copy_from_slice(&entry.base_offset.to_be_bytes());
            self.buffer[payload + 12..payload + 16]
                .copy_from_slice(&entry.leader_epoch.to_be_bytes());
        }
        let header = EntryHeader {
            length: length_u32(entry.payload.len()),
            payload_crc: payload_crc(entry.kind, &self.buffer[payload..]),
            kind: entry.kind,
            lsn,
            partition,
            base_offset: entry.base_offset,
            last_offset_delta: entry.last_offset_delta,
            leader_epoch: entry.leader_epoch,
            max_timestamp: entry.max_timestamp,
            durable,
        };
        self.buffer[start..payload].copy_from_slice(&header.encode());
        self.buffer
            .resize(start + header.stored_bytes() as usize, 0);
        self.records.push(EntryRecord {
            header,
            producer: entry.producer,
        });
    }
}
