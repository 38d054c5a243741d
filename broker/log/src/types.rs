//! The small values that every part of the log speaks in.

use std::fmt;

/// Names a partition's data for ever: an incarnation id, unique across deletions and never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PartitionId(pub u64);

impl fmt::Display for PartitionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A place in the value log: file id in the upper half, byte position in the lower.
///
/// Positions in the log are totally ordered. An entry header carries its own place, so that what an
/// earlier life of a recycled file left behind is never taken for an entry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Lsn(pub u64);

impl Lsn {
    /// The place at byte `position` of file `file`.
    #[must_use]
    pub fn new(file: u32, position: u32) -> Self {
        Self(u64::from(file) << 32 | u64::from(position))
    }

    /// The id of the value log file.
    #[must_use]
    pub fn file(self) -> u32 {
        u32::try_from(self.0 >> 32).unwrap_or(u32::MAX)
    }

    /// The position in the file, in bytes.
    #[must_use]
    pub fn position(self) -> u32 {
        u32::try_from(self.0 & 0xFFFF_FFFF).unwrap_or(u32::MAX)
    }
}

impl fmt::Display for Lsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file(), self.position())
    }
}

/// Where a stored batch is, and what is known of it without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Location {
    /// The place of the entry's header.
    pub lsn: Lsn,
    /// Length of the payload (the record batch) in bytes; 0 where compaction has left nothing.
    pub length: u32,
    /// Last offset of the batch, less its base offset.
    pub last_offset_delta: u32,
    /// Leader epoch under which the batch was appended.
    pub leader_epoch: i32,
    /// Greatest record timestamp in the batch, in milliseconds; -1 if it has none.
    pub max_timestamp: i64,
}

impl Location {
    const ENCODED: usize = 28;

    pub(crate) fn encode(&self) -> [u8; Self::ENCODED] {
        let mut out = [0; Self::ENCODED];
        out[0..8].copy_from_slice(&self.lsn.0.to_le_bytes());
        out[8..12].copy_from_slice(&self.length.to_le_bytes());
        out[12..16].copy_from_slice(&self.last_offset_delta.to_le_bytes());
        out[16..20].copy_from_slice(&self.leader_epoch.to_le_bytes());
        out[20..28].copy_from_slice(&self.max_timestamp.to_le_bytes());
        out
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; Self::ENCODED] = bytes.try_into().ok()?;
        Some(Self {
            lsn: Lsn(le_u64(bytes, 0)),
            length: le_u32(bytes, 8),
            last_offset_delta: le_u32(bytes, 12),
            leader_epoch: le_u32(bytes, 16).cast_signed(),
            max_timestamp: le_u64(bytes, 20).cast_signed(),
        })
    }
}

/// Offsets stay below this, so that sums of an offset and a batch's length never overflow, neither as
/// unsigned numbers here nor as signed ones in Kafka's protocol.
pub(crate) const OFFSET_LIMIT: u64 = 1 << 62;

/// Reads a little-endian u32 at `at`. The caller has checked that `bytes` is long enough.
pub(crate) fn le_u32(bytes: &[u8], at: usize) -> u32 {
    let mut raw = [0; 4];
    raw.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(raw)
}

/// Reads a little-endian u64 at `at`. The caller has checked that `bytes` is long enough.
pub(crate) fn le_u64(bytes: &[u8], at: usize) -> u64 {
    let mut raw = [0; 8];
    raw.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(raw)
}

/// Reads a big-endian u64 at `at`. The caller has checked that `bytes` is long enough.
pub(crate) fn be_u64(bytes: &[u8], at: usize) -> u64 {
    le_u64(bytes, at).swap_bytes()
}

/// Rounds up to the next multiple of eight, the alignment of entries.
pub(crate) fn align8(length: u32) -> u32 {
    length.saturating_add(7) & !7
}

/// A length that is known to fit: values come from bounded buffers (at most a file's size, under 4 GiB).
pub(crate) fn length_u32(length: usize) -> u32 {
    u32::try_from(length).expect("lengths are bounded by the size of a value log file, below 4 GiB")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn location_round_trips(lsn: u64, length: u32, delta: u32, epoch: i32, ts: i64) {
            let location = Location { lsn: Lsn(lsn), length, last_offset_delta: delta, leader_epoch: epoch, max_timestamp: ts };
            prop_assert_eq!(Location::decode(&location.encode()), Some(location));
        }
    }
}
