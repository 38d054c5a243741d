//! Trimming: removing the rows that retention and deletion have made unreachable, some at a time.
//!
//! Removed rows stay in fjall as tombstones for a while, and walking over them costs as much as walking over
//! rows. So each partition remembers up to where it was trimmed, and the next round begins there.

use crate::index::{Index, IndexError, keys};
use crate::indexer::fold::Indexing;
use crate::indexer::removal::producer_rows;
use crate::types::PartitionId;

/// Rows that one round of trimming removes at the most.
const TRIM_AT_ONCE: usize = 4096;

impl Indexing {
    pub fn has_trims(&self) -> bool {
        !self.trims.is_empty()
    }

    /// Removes some of the rows of one partition that nothing reaches any more. True if there were some.
    pub fn trim(&mut self, index: &Index) -> Result<bool, IndexError> {
        let Some(id) = self.trims.first().copied() else {
            return Ok(false);
        };
        let mut removed = self.trim_batches(index, id)?;
        if removed < TRIM_AT_ONCE {
            removed += self.trim_times(index, id)?;
        }
        if removed < TRIM_AT_ONCE {
            self.trims.remove(&id);
            if self.rows.get(&id).is_some_and(|row| row.deleted) {
                self.remove_partition(index, id)?;
                return Ok(true);
            }
        }
        if removed > 0 {
            self.touched.insert(id);
        }
        Ok(removed > 0)
    }

    fn trim_batches(&mut self, index: &Index, id: PartitionId) -> Result<usize, IndexError> {
        let Some(row) = self.rows.get(&id) else {
            return Ok(0);
        };
        let (log_start, deleted) = (row.extent.log_start, row.deleted);
        let (mut dead, mut first_left) = (Vec::new(), None);
        index.batches(id, row.trimmed_offset, &mut |base, location| {
            if !deleted && base + u64::from(location.last_offset_delta) >= log_start {
                first_left = Some(base);
                return false;
            }
            dead.push((base, location));
            dead.len() < TRIM_AT_ONCE
        })?;
        for (base, location) in &dead {
            self.drop_batch(id, *base, location);
        }
        let next = match dead.last() {
            Some((base, location)) if dead.len() == TRIM_AT_ONCE => {
                base + u64::from(location.last_offset_delta) + 1
            }
            _ => first_left.unwrap_or(log_start),
        };
        if let Some(row) = self.rows.get_mut(&id) {
            row.trimmed_offset = next;
        }
        Ok(dead.len())
    }

    fn trim_times(&mut self, index: &Index, id: PartitionId) -> Result<usize, IndexError> {
        let Some(row) = self.rows.get_mut(&id) else {
            return Ok(0);
        };
        let (log_start, all) = (row.extent.log_start, row.deleted);
        let mut last = None;
        let (mut removed, changes) = (0, &mut self.changes);
        index.times(id, row.trimmed_timestamp..=i64::MAX, &mut |key, offset| {
            let dead = all || offset < log_start;
            if dead {
                changes.remove(key);
                last = keys::parse_time(key);
                removed += 1;
            }
            dead && removed < TRIM_AT_ONCE
        })?;
        row.trimmed_timestamp = last.unwrap_or(row.trimmed_timestamp);
        Ok(removed)
    }

    fn remove_partition(&mut self, index: &Index, id: PartitionId) -> Result<(), IndexError> {
        for (producer, _) in producer_rows(index, id)? {
            self.changes.remove(keys::producer(id, producer));
        }
        self.changes.remove(keys::partition(id));
        self.rows.remove(&id);
        self.touched.remove(&id);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::index::Changes;
    use crate::types::{Location, Lsn};
    use crate::valuelog::entry::{EntryHeader, EntryKind};
    use crate::valuelog::sidecar::EntryRecord;

    const ID: PartitionId = PartitionId(7);
    const CACHE_BYTES: u64 = 1 << 20;

    struct World {
        index: Index,
        indexing: Indexing,
        position: u32,
        _directory: tempfile::TempDir,
    }

    impl World {
        fn new() -> Self {
            let directory = tempfile::tempdir().unwrap();
            Self {
                index: Index::open(directory.path(), CACHE_BYTES).unwrap(),
                indexing: Indexing::default(),
                position: 4096,
                _directory: directory,
            }
        }

        /// Batches are of ten offsets each, large enough for a row of the time index each.
        fn entry(&mut self, kind: EntryKind, base_offset: u64) {
            self.position += 8;
            let header = EntryHeader {
                length: 64 << 10,
                payload_crc: 0,
                kind,
                lsn: Lsn::new(1, self.position),
                partition: ID,
                base_offset,
                last_offset_delta: 9,
                leader_epoch: 0,
                max_timestamp: base_offset.cast_signed(),
                durable: Lsn::default(),
            };
            let record = EntryRecord {
                header,
                producer: None,
            };
            self.indexing.apply(&self.index, &record).unwrap();
            self.indexing.commit(&self.index).unwrap();
        }

        fn trim(&mut self) {
            while self.indexing.has_trims() {
                self.indexing.trim(&self.index).unwrap();
                self.indexing.commit(&self.index).unwrap();
            }
        }

        /// Puts a row there that no entry explains: only a scan that comes by finds it.
        fn plant(&self, base_offset: u64) {
            let location = Location {
                lsn: Lsn::new(1, 8),
                length: 1,
                last_offset_delta: 9,
                leader_epoch: 0,
                max_timestamp: 0,
            };
            let mut changes = Changes::default();
            changes.put(keys::batch(ID, base_offset), location.encode());
            changes.put(keys::time(ID, base_offset.cast_signed()), [0; 8]);
            self.index.commit(&changes).unwrap();
        }

        fn batches(&self) -> Vec<u64> {
            let mut found = Vec::new();
            let mut visit = |base, _| {
                found.push(base);
                true
            };
            self.index.batches(ID, 0, &mut visit).unwrap();
            found
        }

        fn times(&self) -> Vec<i64> {
            let mut found = Vec::new();
            let mut visit = |key: &[u8], _| {
                found.extend(keys::parse_time(key));
                true
            };
            let all = i64::MIN..=i64::MAX;
            self.index.times(ID, all, &mut visit).unwrap();
            found
        }
    }

    #[test]
    fn trimming_begins_where_it_ended() {
        let mut world = World::new();
        for i in 0..10 {
            world.entry(EntryKind::Append, i * 10);
        }
        world.entry(EntryKind::LogStart, 45);
        world.trim();
        assert_eq!(world.batches(), [40, 50, 60, 70, 80, 90]);
        world.plant(20);
        world.entry(EntryKind::LogStart, 70);
        world.trim();
        assert_eq!(world.batches(), [20, 70, 80, 90], "20 was not visited");
        assert_eq!(world.times(), [20, 70, 80, 90], "nor by its time");
        // Neither is anything visited of a partition that was emptied.
        world.entry(EntryKind::LogStart, 100);
        world.trim();
        world.entry(EntryKind::Append, 100);
        world.entry(EntryKind::LogStart, 110);
        world.trim();
        assert_eq!((world.batches(), world.times()), (vec![20], vec![20]));
        // Deletion takes what is left from there on, and the row of the partition.
        world.entry(EntryKind::Append, 110);
        world.entry(EntryKind::Delete, 0);
        world.trim();
        assert_eq!(world.batches(), [20]);
        assert_eq!(world.index.partitions().unwrap(), []);
    }

    #[test]
    fn a_batch_that_is_written_again_after_its_end_is_trimmed() {
        let mut world = World::new();
        for i in 0..5 {
            world.entry(EntryKind::Append, i * 10);
        }
        world.entry(EntryKind::LogStart, 30);
        world.trim();
        world.entry(EntryKind::Relocate, 10);
        world.trim();
        assert_eq!(world.batches(), [30, 40]);
        assert_eq!(
            world.indexing.rows[&ID].size_bytes,
            2 * (64 << 10),
            "what was trimmed counts no more"
        );
    }

    #[test]
    fn after_a_truncation_trimming_sees_what_is_appended_before_its_mark() {
        let mut world = World::new();
        for i in 0..5 {
            world.entry(EntryKind::Append, i * 10);
        }
        world.entry(EntryKind::LogStart, 30);
        world.trim();
        world.entry(EntryKind::TruncateSuffix, 20);
        world.entry(EntryKind::Append, 20);
        world.entry(EntryKind::LogStart, 30);
        world.trim();
        assert_eq!(world.batches(), []);
    }
}
