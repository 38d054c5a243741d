//! What was appended last: places that the index does not know yet, and data that is still in memory.

use std::collections::VecDeque;

use bytes::Bytes;

use crate::types::{Location, Lsn};

#[derive(Clone, Debug)]
pub(crate) struct RecentBatch {
    pub base_offset: u64,
    pub location: Location,
    /// Gone once newer data has pushed it out of memory.
    pub data: Option<Bytes>,
}

impl RecentBatch {
    pub fn last_offset(&self) -> u64 {
        self.base_offset + u64::from(self.location.last_offset_delta)
    }
}

/// The newest batches of a partition, without a gap, in the order of offsets and of places.
///
/// A batch leaves at the front when it is in the index and its data is gone.
#[derive(Debug, Default)]
pub(crate) struct Recent {
    batches: VecDeque<RecentBatch>,
    indexed_before: Lsn,
}

impl Recent {
    pub fn push(&mut self, base_offset: u64, location: Location, data: Bytes) {
        self.batches.push_back(RecentBatch {
            base_offset,
            location,
            data: Some(data),
        });
    }

    /// The offset from which on everything durable is here.
    pub fn first_offset(&self) -> Option<u64> {
        self.batches.front().map(|b| b.base_offset)
    }

    /// The offset from which on the index knows nothing.
    pub fn unindexed_from(&self) -> Option<u64> {
        let indexed = |batch: &RecentBatch| batch.location.lsn < self.indexed_before;
        let first = self.batches.partition_point(indexed);
        self.batches.get(first).map(|batch| batch.base_offset)
    }

    /// The batches from the one that holds `offset` on.
    pub fn from(&self, offset: u64) -> impl Iterator<Item = &RecentBatch> {
        let start = self.batches.partition_point(|b| b.last_offset() < offset);
        self.batches.range(start..)
    }

    pub fn forget_data_before(&mut self, end: Lsn) {
        let gone = self.batches.partition_point(|b| b.data.is_none());
        for batch in self
            .batches
            .range_mut(gone..)
            .take_while(|b| b.location.lsn < end)
        {
            batch.data = None;
        }
        self.trim();
    }

    pub fn indexed_before(&mut self, applied: Lsn) {
        self.indexed_before = self.indexed_before.max(applied);
        self.trim();
    }

    /// Drops batches that end before `log_start`.
    pub fn truncate_prefix(&mut self, log_start: u64) {
        while self
            .batches
            .front()
            .is_some_and(|b| b.last_offset() < log_start)
        {
            self.batches.pop_front();
        }
    }

    /// Drops batches that begin up to `offset`. They are in the index: one has been written again there.
    pub fn leave_to_index(&mut self, offset: u64) {
        while self
            .batches
            .front()
            .is_some_and(|b| b.base_offset <= offset)
        {
            self.batches.pop_front();
        }
    }

    /// Drops batches from `log_end` on.
    pub fn truncate_suffix(&mut self, log_end: u64) {
        while self
            .batches
            .back()
            .is_some_and(|b| b.base_offset >= log_end)
        {
            self.batches.pop_back();
        }
    }

    /// Bytes of the batches at `lsn` and behind it.
    pub fn bytes_from(&self, lsn: Lsn) -> u64 {
        let newest = self.batches.iter().rev();
        newest
            .take_while(|b| b.location.lsn >= lsn)
            .map(|b| u64::from(b.location.length))
            .sum()
    }

    fn trim(&mut self) {
        while self
            .batches
            .front()
            .is_some_and(|b| b.data.is_none() && b.location.lsn < self.indexed_before)
        {
            self.batches.pop_front();
        }
        if self.batches.is_empty() {
            self.batches = VecDeque::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recent() -> Recent {
        let mut recent = Recent::default();
        for i in 0..4u32 {
            let location = Location {
                lsn: Lsn::new(1, i * 100),
                length: 10,
                last_offset_delta: 9,
                leader_epoch: 0,
                max_timestamp: 0,
            };
            recent.push(
                u64::from(i) * 10,
                location,
                Bytes::from_static(b"0123456789"),
            );
        }
        recent
    }

    #[test]
    fn finds_the_batch_that_holds_an_offset() {
        let bases: Vec<_> = recent().from(15).map(|b| b.base_offset).collect();
        assert_eq!(bases, [10, 20, 30]);
    }

    #[test]
    fn a_batch_leaves_only_when_indexed_and_out_of_memory() {
        let mut recent = recent();
        recent.forget_data_before(Lsn::new(1, 200));
        assert_eq!(recent.first_offset(), Some(0));
        assert_eq!(recent.unindexed_from(), Some(0));
        recent.indexed_before(Lsn::new(1, 100));
        assert_eq!(recent.first_offset(), Some(10));
        recent.indexed_before(Lsn::new(1, 300));
        assert_eq!(recent.unindexed_from(), Some(30));
        recent.indexed_before(Lsn::new(1, 400));
        assert_eq!(
            (recent.first_offset(), recent.unindexed_from()),
            (Some(20), None)
        );
        recent.forget_data_before(Lsn::new(2, 0));
        assert_eq!(recent.first_offset(), None);
    }

    #[test]
    fn truncation_on_both_sides() {
        let mut recent = recent();
        recent.truncate_prefix(12);
        assert_eq!(recent.first_offset(), Some(10));
        assert_eq!(recent.bytes_from(Lsn::new(1, 200)), 20);
        recent.truncate_suffix(20);
        assert_eq!(recent.from(0).count(), 1);
    }
}
