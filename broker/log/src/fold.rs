//! What a sequence of entries means for a partition.
//!
//! Pure. The writer runs this fold at the end of what is written, the indexer at the end of what is
//! indexed, recovery from the last indexed place to the end; so the three cannot disagree.

use std::collections::HashMap;

use crate::types::{PartitionId, le_u32, le_u64};
use crate::valuelog::entry::{EntryHeader, EntryKind};

/// Where a leader epoch begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EpochEntry {
    /// The leader epoch.
    pub epoch: i32,
    /// The first offset appended under it.
    pub start_offset: u64,
}

/// Which leader epoch each offset was appended under (KIP-101), as the starts of the epochs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EpochTable {
    entries: Vec<EpochEntry>,
}

impl EpochTable {
    /// The newest epoch.
    #[must_use]
    pub fn latest(&self) -> Option<EpochEntry> {
        self.entries.last().copied()
    }

    /// All epochs, oldest first.
    #[must_use]
    pub fn entries(&self) -> &[EpochEntry] {
        &self.entries
    }

    /// The epoch under which the record at `offset` was appended.
    #[must_use]
    pub fn epoch_at(&self, offset: u64) -> Option<i32> {
        let after = self.entries.partition_point(|e| e.start_offset <= offset);
        after.checked_sub(1).map(|i| self.entries[i].epoch)
    }

    /// The greatest epoch that is not above `epoch`, and the offset at which the next one begins (the log's
    /// end for the newest): what OffsetForLeaderEpoch answers (KIP-279).
    #[must_use]
    pub fn end_offset_for(&self, epoch: i32, log_end: u64) -> Option<(i32, u64)> {
        let after = self.entries.partition_point(|e| e.epoch <= epoch);
        let found = after.checked_sub(1)?;
        let end = self
            .entries
            .get(after)
            .map_or(log_end, |next| next.start_offset);
        Some((self.entries[found].epoch, end))
    }

    /// Notes that `epoch` begins at `start_offset`, if it is newer than all known.
    pub(crate) fn begin(&mut self, epoch: i32, start_offset: u64) {
        if epoch < 0 || self.latest().is_some_and(|last| last.epoch >= epoch) {
            return;
        }
        // An epoch under which nothing was appended begins where its successor does: only the newer stays.
        self.entries.retain(|e| e.start_offset < start_offset);
        self.entries.push(EpochEntry {
            epoch,
            start_offset,
        });
    }

    /// Forgets the epochs that begin at `log_end` or later.
    pub(crate) fn truncate_suffix(&mut self, log_end: u64) {
        self.entries.retain(|e| e.start_offset < log_end);
    }

    /// Forgets the epochs that end before `log_start`; the one that holds it begins there now.
    pub(crate) fn truncate_prefix(&mut self, log_start: u64) {
        let after = self
            .entries
            .partition_point(|e| e.start_offset <= log_start);
        if after > 0 {
            self.entries.drain(..after - 1);
            self.entries[0].start_offset = log_start;
        }
    }
}

/// A partition's bounds at some place in the value log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Extent {
    pub log_start: u64,
    pub log_end: u64,
    pub epochs: EpochTable,
}

impl Extent {
    /// An empty log that starts at `offset`.
    pub fn starting_at(offset: u64) -> Self {
        Self {
            log_start: offset,
            log_end: offset,
            epochs: EpochTable::default(),
        }
    }

    /// Takes one entry of this partition into account.
    pub fn apply(&mut self, entry: &EntryHeader) {
        match entry.kind {
            EntryKind::Append => {
                self.epochs.begin(entry.leader_epoch, entry.base_offset);
                self.log_end = entry.base_offset + u64::from(entry.last_offset_delta) + 1;
            }
            EntryKind::TruncateSuffix => {
                self.log_end = self.log_end.min(entry.base_offset);
                self.log_start = self.log_start.min(self.log_end);
                self.epochs.truncate_suffix(entry.base_offset);
            }
            EntryKind::LogStart => {
                self.log_start = self.log_start.max(entry.base_offset);
                self.log_end = self.log_end.max(self.log_start);
                self.epochs.truncate_prefix(self.log_start);
            }
            EntryKind::Epoch => self.epochs.begin(entry.leader_epoch, entry.base_offset),
            EntryKind::Create => *self = Self::starting_at(entry.base_offset),
            EntryKind::Snapshot | EntryKind::Replace | EntryKind::Relocate | EntryKind::Delete => {}
        }
        assert!(
            self.log_start <= self.log_end,
            "log start {} is after log end {}",
            self.log_start,
            self.log_end
        );
    }
}

/// The bounds of all partitions at some place in the value log; what a snapshot entry holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Extents {
    pub partitions: HashMap<PartitionId, Extent>,
}

impl Extents {
    /// Takes one entry into account.
    pub fn apply(&mut self, entry: &EntryHeader) {
        match entry.kind {
            EntryKind::Snapshot => {}
            EntryKind::Delete => {
                self.partitions.remove(&entry.partition);
            }
            _ => self
                .partitions
                .entry(entry.partition)
                .or_default()
                .apply(entry),
        }
    }

    /// The payload of a snapshot entry: a count, then for each partition its id, log start, log end, and
    /// its leader epochs with their start offsets; little-endian.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(8 + self.partitions.len() * 40);
        put_count(&mut out, self.partitions.len());
        for (id, extent) in &self.partitions {
            out.extend_from_slice(&id.0.to_le_bytes());
            out.extend_from_slice(&extent.log_start.to_le_bytes());
            out.extend_from_slice(&extent.log_end.to_le_bytes());
            encode_epochs(&extent.epochs, &mut out);
        }
        out
    }

    /// The inverse of [`Extents::encode`]; nothing if the bytes are not a snapshot.
    pub fn decode(mut bytes: &[u8]) -> Option<Self> {
        let count = take_u32(&mut bytes)?;
        let mut partitions = HashMap::new();
        for _ in 0..count {
            let id = PartitionId(take_u64(&mut bytes)?);
            let (log_start, log_end) = (take_u64(&mut bytes)?, take_u64(&mut bytes)?);
            let epochs = decode_epochs(&mut bytes)?;
            if log_start > log_end {
                return None;
            }
            partitions.insert(
                id,
                Extent {
                    log_start,
                    log_end,
                    epochs,
                },
            );
        }
        bytes.is_empty().then_some(Self { partitions })
    }
}

/// Appends a leader epoch table: a count, then epoch (i32) and start offset (u64) of each.
pub(crate) fn encode_epochs(epochs: &EpochTable, out: &mut Vec<u8>) {
    put_count(out, epochs.entries.len());
    for entry in &epochs.entries {
        out.extend_from_slice(&entry.epoch.to_le_bytes());
        out.extend_from_slice(&entry.start_offset.to_le_bytes());
    }
}

/// The inverse of [`encode_epochs`]; takes what it reads off the front of `bytes`.
pub(crate) fn decode_epochs(bytes: &mut &[u8]) -> Option<EpochTable> {
    let count = take_u32(bytes)?;
    let mut entries = Vec::new();
    for _ in 0..count {
        let epoch = take_u32(bytes)?.cast_signed();
        entries.push(EpochEntry {
            epoch,
            start_offset: take_u64(bytes)?,
        });
    }
    Some(EpochTable { entries })
}

fn put_count(out: &mut Vec<u8>, count: usize) {
    out.extend_from_slice(&crate::types::length_u32(count).to_le_bytes());
}

pub(crate) fn take_u32(bytes: &mut &[u8]) -> Option<u32> {
    let (head, rest) = bytes.split_at_checked(4)?;
    *bytes = rest;
    Some(le_u32(head, 0))
}

pub(crate) fn take_u64(bytes: &mut &[u8]) -> Option<u64> {
    let (head, rest) = bytes.split_at_checked(8)?;
    *bytes = rest;
    Some(le_u64(head, 0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn table(starts: &[(i32, u64)]) -> EpochTable {
        let mut table = EpochTable::default();
        for (epoch, start) in starts {
            table.begin(*epoch, *start);
        }
        table
    }

    #[test]
    fn epoch_ends_where_the_next_begins() {
        let epochs = table(&[(1, 0), (3, 10), (4, 25)]);
        assert_eq!(epochs.end_offset_for(0, 40), None);
        assert_eq!(epochs.end_offset_for(1, 40), Some((1, 10)));
        assert_eq!(epochs.end_offset_for(2, 40), Some((1, 10)));
        assert_eq!(epochs.end_offset_for(3, 40), Some((3, 25)));
        assert_eq!(epochs.end_offset_for(9, 40), Some((4, 40)));
        assert_eq!(epochs.epoch_at(9), Some(1));
        assert_eq!(epochs.epoch_at(10), Some(3));
    }

    #[test]
    fn epoch_without_records_gives_way_to_its_successor() {
        assert_eq!(
            table(&[(1, 0), (2, 10), (3, 10)]),
            table(&[(1, 0), (3, 10)])
        );
    }

    #[test]
    fn truncation_keeps_the_epoch_that_holds_the_start() {
        let mut epochs = table(&[(1, 0), (3, 10), (4, 25)]);
        epochs.truncate_prefix(12);
        assert_eq!(epochs, table(&[(3, 12), (4, 25)]));
        epochs.truncate_suffix(25);
        assert_eq!(epochs, table(&[(3, 12)]));
    }

    proptest! {
        #[test]
        fn snapshots_round_trip(rows in proptest::collection::hash_map(any::<u64>(), (0..1u64 << 40, 0..1u64 << 40, proptest::collection::vec((0..9i32, 0..99u64), 0..4)), 0..20)) {
            let partitions = rows.into_iter().map(|(id, (start, length, epochs))| {
                (PartitionId(id), Extent { log_start: start, log_end: start + length, epochs: table(&epochs) })
            }).collect();
            let extents = Extents { partitions };
            prop_assert_eq!(Extents::decode(&extents.encode()), Some(extents));
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Extents::decode(&bytes);
        }
    }
}
