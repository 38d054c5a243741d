//! Entry and file headers of the value log, as bytes.
//!
//! ```text
//! file  = file header (4096) , snapshot entry , entry*
//! entry = entry header (64, 8-byte aligned) , payload , padding to 8
//! ```

use crate::types::{Location, Lsn, OFFSET_LIMIT, PartitionId, align8, le_u32, le_u64};

/// Size of an entry's header in bytes.
pub(crate) const ENTRY_HEADER: u32 = 64;
/// Size of a file's header in bytes: one page.
pub(crate) const FILE_HEADER: u32 = 4096;
/// Version of the entry format.
const ENTRY_VERSION: u8 = 1;
const FILE_MAGIC: [u8; 8] = *b"FJORDVL\n";
const FILE_VERSION: u32 = 1;
/// How much of a record batch its own CRC does not cover: everything up to and with the CRC itself.
pub(crate) const BATCH_PREFIX: usize = 21;
/// Length of a record batch's header (Kafka record batch v2).
pub(crate) const BATCH_HEADER: usize = 61;

/// What an entry says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum EntryKind {
    /// A record batch, appended at `base_offset`.
    Append = 1,
    /// The log now ends at `base_offset`; batches from there on are gone.
    TruncateSuffix = 2,
    /// The log now starts at `base_offset`; batches before it are gone.
    LogStart = 3,
    /// `leader_epoch` begins at `base_offset`.
    Epoch = 4,
    /// The state of all partitions at this point; at the head of every file.
    Snapshot = 5,
    /// Another form of the batch at `base_offset`, made by compaction; without payload: the batch is gone.
    Replace = 6,
    /// The partition is deleted.
    Delete = 7,
    /// The partition exists from here on, and starts at `base_offset`.
    Create = 8,
    /// The batch at `base_offset`, copied forward unchanged so that its old file can be given back.
    Relocate = 9,
    /// Compaction has looked at everything before `base_offset`; the next tombstone may go at
    /// `max_timestamp` (-1: there is none).
    Cleaned = 10,
}

impl EntryKind {
    pub(crate) fn from_byte(byte: u8) -> Option<Self> {
        Some(match byte {
            1 => Self::Append,
            2 => Self::TruncateSuffix,
            3 => Self::LogStart,
            4 => Self::Epoch,
            5 => Self::Snapshot,
            6 => Self::Replace,
            7 => Self::Delete,
            8 => Self::Create,
            9 => Self::Relocate,
            10 => Self::Cleaned,
            _ => return None,
        })
    }

    /// Whether the payload is a record batch, which carries a CRC of its own.
    pub(crate) fn holds_batch(self) -> bool {
        matches!(self, Self::Append | Self::Replace | Self::Relocate)
    }
}

/// The header before every payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct EntryHeader {
    pub length: u32,
    /// CRC-32C of the payload; of a record batch, of its first [`BATCH_PREFIX`] bytes, since the batch's
    /// own CRC covers the rest.
    pub payload_crc: u32,
    pub kind: EntryKind,
    /// The entry's own place.
    pub lsn: Lsn,
    pub partition: PartitionId,
    pub base_offset: u64,
    pub last_offset_delta: u32,
    pub leader_epoch: i32,
    pub max_timestamp: i64,
    /// Everything before this place had been synced when this entry was written. Tells a torn tail from
    /// damage in the middle.
    pub durable: Lsn,
}

impl EntryHeader {
    /// Bytes that the entry takes in the file.
    pub(crate) fn stored_bytes(&self) -> u32 {
        stored_bytes(self.length)
    }

    /// Offset of the entry's last record.
    pub(crate) fn last_offset(&self) -> u64 {
        self.base_offset + u64::from(self.last_offset_delta)
    }

    /// What the index keeps of the entry.
    pub(crate) fn location(&self) -> Location {
        Location {
            lsn: self.lsn,
            length: self.length,
            last_offset_delta: self.last_offset_delta,
            leader_epoch: self.leader_epoch,
            max_timestamp: self.max_timestamp,
        }
    }

    pub(crate) fn encode(&self) -> [u8; ENTRY_HEADER as usize] {
        let mut out = [0; ENTRY_HEADER as usize];
        out[4..8].copy_from_slice(&self.length.to_le_bytes());
        out[8..12].copy_from_slice(&self.payload_crc.to_le_bytes());
        out[12] = self.kind as u8;
        out[14] = ENTRY_VERSION;
        out[16..24].copy_from_slice(&self.lsn.0.to_le_bytes());
        out[24..32].copy_from_slice(&self.partition.0.to_le_bytes());
        out[32..40].copy_from_slice(&self.base_offset.to_le_bytes());
        out[40..44].copy_from_slice(&self.last_offset_delta.to_le_bytes());
        out[44..48].copy_from_slice(&self.leader_epoch.to_le_bytes());
        out[48..56].copy_from_slice(&self.max_timestamp.to_le_bytes());
        out[56..64].copy_from_slice(&self.durable.0.to_le_bytes());
        let crc = crc32c::crc32c(&out[4..]);
        out[..4].copy_from_slice(&crc.to_le_bytes());
        out
    }

    /// The header at the start of `bytes`, if there is a whole one with a right checksum.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let bytes = bytes.get(..ENTRY_HEADER as usize)?;
        if bytes[14] != ENTRY_VERSION
            || le_u64(bytes, 32) >= OFFSET_LIMIT
            || le_u32(bytes, 0) != crc32c::crc32c(&bytes[4..])
        {
            return None;
        }
        Some(Self {
            length: le_u32(bytes, 4),
            payload_crc: le_u32(bytes, 8),
            kind: EntryKind::from_byte(bytes[12])?,
            lsn: Lsn(le_u64(bytes, 16)),
            partition: PartitionId(le_u64(bytes, 24)),
            base_offset: le_u64(bytes, 32),
            last_offset_delta: le_u32(bytes, 40),
            leader_epoch: le_u32(bytes, 44).cast_signed(),
            max_timestamp: le_u64(bytes, 48).cast_signed(),
            durable: Lsn(le_u64(bytes, 56)),
        })
    }

    /// Checks a payload against this header, and a record batch against its own CRC too.
    ///
    /// # Errors
    ///
    /// Says in a few words what does not fit.
    pub(crate) fn check_payload(&self, payload: &[u8]) -> Result<(), &'static str> {
        if payload.len() != self.length as usize {
            return Err("length differs");
        }
        if payload_crc(self.kind, payload) != self.payload_crc {
            return Err("checksum of the entry differs");
        }
        if self.kind.holds_batch() && !payload.is_empty() {
            if payload.len() < BATCH_HEADER {
                return Err("too short for a record batch");
            }
            let mut stored = [0; 4];
            stored.copy_from_slice(&payload[17..BATCH_PREFIX]);
            if u32::from_be_bytes(stored) != crc32c::crc32c(&payload[BATCH_PREFIX..]) {
                return Err("checksum of the record batch differs");
            }
        }
        Ok(())
    }
}

/// Bytes that an entry with a payload of `length` takes in a file.
pub(crate) fn stored_bytes(length: u32) -> u32 {
    ENTRY_HEADER.saturating_add(align8(length))
}

/// The checksum that an entry header keeps of its payload.
pub(crate) fn payload_crc(kind: EntryKind, payload: &[u8]) -> u32 {
    let covered = if kind.holds_batch() {
        payload.len().min(BATCH_PREFIX)
    } else {
        payload.len()
    };
    crc32c::crc32c(&payload[..covered])
}

/// The first page of a file. It is a courtesy to people and tools: entries carry their own place, so a
/// damaged file header costs nothing.
pub(crate) fn encode_file_header(id: u32, capacity: u32) -> Vec<u8> {
    let mut out = vec![0; FILE_HEADER as usize];
    out[..8].copy_from_slice(&FILE_MAGIC);
    out[8..12].copy_from_slice(&FILE_VERSION.to_le_bytes());
    out[12..16].copy_from_slice(&id.to_le_bytes());
    out[16..20].copy_from_slice(&capacity.to_le_bytes());
    let crc = crc32c::crc32c(&out[..20]);
    out[20..24].copy_from_slice(&crc.to_le_bytes());
    out
}

/// Whether `bytes` starts with a sound header of file `id`.
pub(crate) fn file_header_is_sound(bytes: &[u8], id: u32) -> bool {
    bytes.len() >= 24
        && bytes[..8] == FILE_MAGIC
        && le_u32(bytes, 8) == FILE_VERSION
        && le_u32(bytes, 12) == id
        && le_u32(bytes, 20) == crc32c::crc32c(&bytes[..20])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> EntryHeader {
        EntryHeader {
            length: 100,
            payload_crc: 7,
            kind: EntryKind::Append,
            lsn: Lsn::new(3, 4096),
            partition: PartitionId(9),
            base_offset: 12,
            last_offset_delta: 4,
            leader_epoch: -1,
            max_timestamp: -1,
            durable: Lsn::new(2, 8),
        }
    }

    #[test]
    fn header_round_trips() {
        assert_eq!(EntryHeader::decode(&header().encode()), Some(header()));
    }

    #[test]
    fn any_flipped_bit_is_noticed() {
        let bytes = header().encode();
        for bit in 0..bytes.len() * 8 {
            let mut damaged = bytes;
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(EntryHeader::decode(&damaged), None, "bit {bit}");
        }
    }
}
