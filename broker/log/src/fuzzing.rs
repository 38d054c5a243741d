//! Entry points for the fuzz targets: what reads bytes from disk, without a disk; and files whose checksums
//! are right, whatever is in them.

use crate::directory;
use crate::fold::{Extent, Extents};
use crate::types::{Lsn, PartitionId, length_u32};
use crate::valuelog::entry::{self, BATCH_PREFIX, ENTRY_HEADER, EntryHeader, EntryKind};
use crate::valuelog::scan::producer_stamp;
use crate::valuelog::sidecar::{self, EntryRecord, Sidecar};

/// Decodes `bytes` as every structure that the log reads from its files. Must never panic.
pub fn decode_everything(bytes: &[u8]) {
    if let Some(header) = EntryHeader::decode(bytes) {
        let _ = header.check_payload(&bytes[ENTRY_HEADER as usize..]);
    }
    let _ = Extents::decode(bytes);
    let _ = directory::parse_clean_marker(bytes);
    let _ = directory::parse_format(bytes);
    if let Some(sidecar) = Sidecar::decode(bytes.to_vec(), 1) {
        sidecar.entries().for_each(drop);
    }
}

/// An entry of which everything can be chosen.
#[derive(Clone, Debug)]
#[expect(
    missing_docs,
    reason = "the fields are those of a stored entry, under their names there"
)]
pub struct RawEntry {
    /// Any number; it is brought into the range of kinds.
    pub kind: u8,
    pub place: u64,
    pub partition: u64,
    pub base_offset: u64,
    pub last_offset_delta: u32,
    pub leader_epoch: i32,
    pub max_timestamp: i64,
    pub durable: u64,
    pub payload: Vec<u8>,
}

fn header(raw: &RawEntry) -> EntryHeader {
    let kind = EntryKind::from_byte(raw.kind % 10 + 1).unwrap_or(EntryKind::Append);
    EntryHeader {
        length: length_u32(raw.payload.len()),
        payload_crc: entry::payload_crc(kind, &raw.payload),
        kind,
        lsn: Lsn(raw.place),
        partition: PartitionId(raw.partition),
        base_offset: raw.base_offset,
        last_offset_delta: raw.last_offset_delta,
        leader_epoch: raw.leader_epoch,
        max_timestamp: raw.max_timestamp,
        durable: Lsn(raw.durable),
    }
}

/// Header, payload and padding.
#[must_use]
pub fn encode_entry(raw: &RawEntry) -> Vec<u8> {
    let header = header(raw);
    let mut bytes = header.encode().to_vec();
    bytes.extend_from_slice(&raw.payload);
    bytes.resize(header.stored_bytes() as usize, 0);
    bytes
}

/// A sidecar that says these entries are in the file, which ends at `end`.
#[must_use]
pub fn encode_sidecar(entries: &[RawEntry], end: u64) -> Vec<u8> {
    let record = |raw: &RawEntry| EntryRecord {
        header: header(raw),
        producer: producer_stamp(&raw.payload),
    };
    let records: Vec<_> = entries.iter().map(record).collect();
    sidecar::encode(&records, Lsn(end).position())
}

/// The first page of a file.
#[must_use]
pub fn file_header(id: u32) -> Vec<u8> {
    entry::encode_file_header(id, 1 << 20)
}

/// The payload of a snapshot of these partitions: id, log start, log end.
#[must_use]
pub fn snapshot(partitions: &[(u64, u64, u64)]) -> Vec<u8> {
    let extent = |log_start, log_end| Extent {
        log_start,
        log_end,
        ..Extent::default()
    };
    let partitions = partitions
        .iter()
        .map(|(id, start, end)| (PartitionId(*id), extent(*start, *end)))
        .collect();
    Extents { partitions }.encode()
}

/// The mark of a stop in order.
#[must_use]
pub fn clean_marker(end: u64) -> Vec<u8> {
    directory::encode_clean_marker(Lsn(end)).into_bytes()
}

/// Makes the checksum right that a record batch has of itself.
pub fn set_batch_crc(batch: &mut [u8]) {
    if batch.len() > BATCH_PREFIX {
        let crc = crc(&batch[BATCH_PREFIX..]);
        batch[BATCH_PREFIX - 4..BATCH_PREFIX].copy_from_slice(&crc.to_be_bytes());
    }
}

/// CRC-32C.
#[must_use]
pub fn crc(bytes: &[u8]) -> u32 {
    crc32c::crc32c(bytes)
}
