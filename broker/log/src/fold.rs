//! What a sequence of entries means for a partition.
//!
//! Pure. The writer runs this fold at the end of what is written, the indexer at the end of what is
//! indexed, recovery from the last indexed place to the end; so the three cannot disagree.

use std::collections::HashMap;

use crate::types::{Lsn, OFFSET_LIMIT, PartitionId, le_u32, le_u64};
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

    /// Where a follower with this table, whose log ends at `log_end`, cuts its log when its leader has said that its
    /// own greatest epoch up to the follower's newest is `leader_epoch`, and ends at `leader_end` (KIP-101, KIP-279,
    /// KIP-595).
    ///
    /// What follows is of epochs that the leader does not have, or of more of an epoch than the leader has. What is
    /// before may diverge still, if this log has not that epoch either: the follower asks again, with what is its
    /// newest epoch then. It always gets on: where the leader says that the logs diverge, this is before the log's
    /// end, or the newest epoch has no records and goes with [`crate::Partition::truncate_suffix`] there.
    #[must_use]
    pub fn diverges_at(&self, leader_epoch: i32, leader_end: u64, log_end: u64) -> u64 {
        let own_end = match self.end_offset_for(leader_epoch, log_end) {
            Some((_, end)) => end,
            None => self.entries.first().map_or(log_end, |e| e.start_offset),
        };
        own_end.min(leader_end).min(log_end)
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

/// A truncation that older files may know nothing of.
///
/// It must be remembered as long as there are files from before it: when the index is filled again, what it
/// cut off must stay cut off, even when the file that held the truncation itself is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Truncation {
    /// Batches from this offset on...
    pub offset: u64,
    /// ...that were written before this place are gone.
    pub before: Lsn,
}

/// A partition's bounds at some place in the value log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Extent {
    pub log_start: u64,
    pub log_end: u64,
    pub epochs: EpochTable,
    /// In the order of their places; offsets ascend too, since a later truncation at a lower offset
    /// includes the earlier ones.
    pub truncations: Vec<Truncation>,
}

impl Extent {
    /// An empty log that starts at `offset`.
    pub fn starting_at(offset: u64) -> Self {
        Self {
            log_start: offset,
            log_end: offset,
            ..Self::default()
        }
    }

    /// Takes one entry of this partition into account.
    pub fn apply(&mut self, entry: &EntryHeader) {
        match entry.kind {
            EntryKind::Append => {
                // The truncation that must have been before this append was lost to damage.
                self.truncate_suffix(entry.base_offset, entry.lsn);
                self.epochs.begin(entry.leader_epoch, entry.base_offset);
                self.log_end = entry.last_offset() + 1;
            }
            EntryKind::TruncateSuffix => {
                self.truncate_suffix(entry.base_offset, entry.lsn);
                // Also epochs that began at the log's end, and got no records.
                self.epochs.truncate_suffix(entry.base_offset);
            }
            EntryKind::LogStart => {
                self.log_start = self.log_start.max(entry.base_offset);
                self.log_end = self.log_end.max(self.log_start);
                self.epochs.truncate_prefix(self.log_start);
            }
            EntryKind::Epoch => self.epochs.begin(entry.leader_epoch, entry.base_offset),
            EntryKind::Create => *self = Self::starting_at(entry.base_offset),
            // They are part of the log, whatever damage has taken of what said so before.
            EntryKind::Replace | EntryKind::Relocate => {
                self.log_end = self.log_end.max(entry.last_offset() + 1);
            }
            EntryKind::Snapshot | EntryKind::Cleaned | EntryKind::Delete => {}
        }
        assert!(
            self.log_start <= self.log_end,
            "log start {} is after log end {}",
            self.log_start,
            self.log_end
        );
    }

    fn truncate_suffix(&mut self, offset: u64, before: Lsn) {
        if offset >= self.log_end {
            return;
        }
        self.log_end = offset;
        self.log_start = self.log_start.min(offset);
        self.epochs.truncate_suffix(offset);
        self.truncations.retain(|t| t.offset < offset);
        self.truncations.push(Truncation { offset, before });
    }

    /// Whether a truncation has cut off the batch at `base_offset` that was written at `lsn`.
    pub fn has_cut_off(&self, base_offset: u64, lsn: Lsn) -> bool {
        self.truncations
            .iter()
            .any(|t| base_offset >= t.offset && lsn < t.before)
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
            EntryKind::Replace | EntryKind::Relocate | EntryKind::Cleaned => {
                if let Some(extent) = self.partitions.get_mut(&entry.partition) {
                    extent.apply(entry);
                }
            }
            _ => self
                .partitions
                .entry(entry.partition)
                .or_default()
                .apply(entry),
        }
    }

    /// Forgets truncations that are older than the oldest file: nothing that they cut off is left.
    pub fn forget_truncations(&mut self, oldest_file: u32) {
        for extent in self.partitions.values_mut() {
            extent
                .truncations
                .retain(|t| t.before.file() >= oldest_file);
        }
    }

    /// The payload of a snapshot entry: a count, then for each partition its id and its extent;
    /// little-endian.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(8 + self.partitions.len() * 48);
        put_count(&mut out, self.partitions.len());
        for (id, extent) in &self.partitions {
            out.extend_from_slice(&id.0.to_le_bytes());
            encode_extent(extent, &mut out);
        }
        out
    }

    /// The inverse of [`Extents::encode`]; nothing if the bytes are not a snapshot.
    pub fn decode(mut bytes: &[u8]) -> Option<Self> {
        let count = take_u32(&mut bytes)?;
        let mut partitions = HashMap::new();
        for _ in 0..count {
            let id = PartitionId(take_u64(&mut bytes)?);
            partitions.insert(id, decode_extent(&mut bytes)?);
        }
        bytes.is_empty().then_some(Self { partitions })
    }
}

/// Appends an extent: log start, log end, the leader epoch table, the truncations.
pub(crate) fn encode_extent(extent: &Extent, out: &mut Vec<u8>) {
    out.extend_from_slice(&extent.log_start.to_le_bytes());
    out.extend_from_slice(&extent.log_end.to_le_bytes());
    encode_epochs(&extent.epochs, out);
    put_count(out, extent.truncations.len());
    for truncation in &extent.truncations {
        out.extend_from_slice(&truncation.offset.to_le_bytes());
        out.extend_from_slice(&truncation.before.0.to_le_bytes());
    }
}

/// The inverse of [`encode_extent`]; takes what it reads off the front of `bytes`.
pub(crate) fn decode_extent(bytes: &mut &[u8]) -> Option<Extent> {
    let (log_start, log_end) = (take_u64(bytes)?, take_u64(bytes)?);
    let epochs = decode_epochs(bytes)?;
    let count = take_u32(bytes)?;
    let mut truncations = Vec::new();
    for _ in 0..count {
        truncations.push(Truncation {
            offset: take_u64(bytes)?,
            before: Lsn(take_u64(bytes)?),
        });
    }
    let extent = Extent {
        log_start,
        log_end,
        epochs,
        truncations,
    };
    (log_start <= log_end && log_end <= OFFSET_LIMIT).then_some(extent)
}

/// Appends a leader epoch table: a count, then epoch (i32) and start offset (u64) of each.
fn encode_epochs(epochs: &EpochTable, out: &mut Vec<u8>) {
    put_count(out, epochs.entries.len());
    for entry in &epochs.entries {
        out.extend_from_slice(&entry.epoch.to_le_bytes());
        out.extend_from_slice(&entry.start_offset.to_le_bytes());
    }
}

/// The inverse of [`encode_epochs`].
fn decode_epochs(bytes: &mut &[u8]) -> Option<EpochTable> {
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
    use proptest::collection::{hash_map, vec};
    use proptest::prelude::*;

    fn extents() -> impl Strategy<Value = Extent> {
        let epochs = vec((0..9i32, 0..99u64), 0..4);
        let truncations = vec((any::<u64>(), any::<u64>()), 0..3);
        (0..1u64 << 40, 0..1u64 << 40, epochs, truncations).prop_map(
            |(log_start, length, epochs, truncations)| Extent {
                log_start,
                log_end: log_start + length,
                epochs: table(&epochs),
                truncations: truncations
                    .into_iter()
                    .map(|(offset, before)| Truncation {
                        offset,
                        before: Lsn(before),
                    })
                    .collect(),
            },
        )
    }

    fn entry(
        kind: EntryKind,
        position: u32,
        base_offset: u64,
        last_offset_delta: u32,
    ) -> EntryHeader {
        EntryHeader {
            length: 0,
            payload_crc: 0,
            kind,
            lsn: Lsn::new(1, position),
            partition: PartitionId(1),
            base_offset,
            last_offset_delta,
            leader_epoch: 0,
            max_timestamp: -1,
            durable: Lsn::default(),
        }
    }

    #[test]
    fn truncations_are_remembered_until_a_later_one_includes_them() {
        let mut extent = Extent::default();
        extent.apply(&entry(EntryKind::Append, 100, 0, 99));
        extent.apply(&entry(EntryKind::TruncateSuffix, 200, 50, 0));
        assert!(extent.has_cut_off(50, Lsn::new(1, 199)));
        assert!(
            !extent.has_cut_off(49, Lsn::new(1, 199)) && !extent.has_cut_off(50, Lsn::new(1, 201))
        );
        extent.apply(&entry(EntryKind::Append, 300, 50, 49));
        extent.apply(&entry(EntryKind::TruncateSuffix, 400, 70, 0));
        assert_eq!(extent.truncations.len(), 2);
        extent.apply(&entry(EntryKind::TruncateSuffix, 500, 50, 0));
        assert_eq!(extent.truncations.len(), 1);
        let mut all = Extents {
            partitions: HashMap::from([(PartitionId(1), extent)]),
        };
        all.forget_truncations(1);
        assert_eq!(all.partitions[&PartitionId(1)].truncations.len(), 1);
        all.forget_truncations(2);
        assert_eq!(all.partitions[&PartitionId(1)].truncations.len(), 0);
    }

    #[test]
    fn an_append_before_the_log_end_stands_for_a_lost_truncation() {
        let mut extent = Extent::default();
        extent.apply(&entry(EntryKind::Append, 100, 0, 99));
        extent.apply(&entry(EntryKind::LogStart, 200, 60, 0));
        extent.apply(&entry(EntryKind::Append, 300, 20, 9));
        assert_eq!((extent.log_start, extent.log_end), (20, 30));
        assert!(extent.has_cut_off(20, Lsn::new(1, 100)));
    }

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
    fn a_truncation_at_the_logs_end_takes_an_epoch_without_records() {
        let mut extent = Extent::default();
        extent.apply(&entry(EntryKind::Append, 100, 0, 9));
        let epoch = EntryHeader {
            leader_epoch: 7,
            ..entry(EntryKind::Epoch, 200, 10, 0)
        };
        extent.apply(&epoch);
        assert_eq!(extent.epochs, table(&[(0, 0), (7, 10)]));
        extent.apply(&entry(EntryKind::TruncateSuffix, 300, 10, 0));
        assert_eq!(extent.epochs, table(&[(0, 0)]));
        assert_eq!((extent.log_end, extent.truncations.len()), (10, 0));
    }

    /// Which epoch each record of a log is of; the table of a log that was appended to so.
    fn table_of(log: &[i32]) -> EpochTable {
        let mut table = EpochTable::default();
        for (offset, epoch) in (0..).zip(log) {
            table.begin(*epoch, offset);
        }
        table
    }

    fn common(a: &[i32], b: &[i32]) -> usize {
        a.iter().zip(b).take_while(|(a, b)| a == b).count()
    }

    /// What a follower does until its leader says that the logs agree. Returns how often it was told otherwise.
    fn follow(follower: &mut Vec<i32>, leader: &[i32]) -> usize {
        let leader_table = table_of(leader);
        let mut rounds = 0;
        while let Some(newest) = follower.last().copied() {
            let end = follower.len() as u64;
            let answer = leader_table.end_offset_for(newest, leader.len() as u64);
            let Some((epoch, epoch_end)) = answer else {
                follower.clear();
                break;
            };
            if epoch == newest && epoch_end >= end {
                break;
            }
            let cut = table_of(follower).diverges_at(epoch, epoch_end, end);
            assert!(cut < end, "it gets on");
            follower.truncate(usize::try_from(cut).unwrap());
            rounds += 1;
        }
        rounds
    }

    #[test]
    fn two_failovers_in_a_row_take_two_rounds() {
        // KIP-279: neither knows the newest epoch of the other.
        let leader = [1, 1, 1, 3, 3];
        let mut follower = vec![1, 1, 2, 2, 4, 4];
        assert_eq!(table_of(&follower).diverges_at(3, 5, 6), 4);
        assert_eq!(follow(&mut follower, &leader), 2);
        assert_eq!(follower, [1, 1]);
        let mut longer = vec![1, 1, 1, 1];
        assert_eq!(follow(&mut longer, &leader), 1);
        assert_eq!(longer, [1, 1, 1]);
        assert_eq!(table_of(&[5, 5]).diverges_at(3, 5, 2), 0);
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
        fn snapshots_round_trip(rows in hash_map(any::<u64>(), extents(), 0..20)) {
            let partitions = rows.into_iter().map(|(id, extent)| (PartitionId(id), extent)).collect();
            let extents = Extents { partitions };
            prop_assert_eq!(Extents::decode(&extents.encode()), Some(extents));
        }

        /// Replicas that take turns as leader, each with an epoch of its own: whoever follows then cuts off what
        /// differs, and nothing else.
        #[test]
        fn followers_cut_off_exactly_what_differs(
            turns in vec((0..3usize, 0..6usize, vec((0..3usize, 0..9usize), 0..3)), 1..12),
        ) {
            let mut logs = vec![Vec::new(); 3];
            for (epoch, (leader, appended, fetches)) in (0..).zip(turns) {
                logs[leader].extend(std::iter::repeat_n(epoch, appended));
                for (follower, fetched) in fetches.into_iter().filter(|(f, _)| *f != leader) {
                    let leading = logs[leader].clone();
                    let agreed = common(&logs[follower], &leading);
                    follow(&mut logs[follower], &leading);
                    prop_assert_eq!(logs[follower].len(), agreed);
                    let until = leading.len().min(agreed + fetched);
                    logs[follower].extend_from_slice(&leading[agreed..until]);
                }
            }
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in vec(any::<u8>(), 0..200)) {
            let _ = Extents::decode(&bytes);
        }
    }
}
