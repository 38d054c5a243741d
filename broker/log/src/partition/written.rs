//! Batches that are in the file and not synced yet: what a leader's followers may have already.
//!
//! They are kept apart from [`Recent`], whose every batch is durable: what walks over that one (readers, lookups by
//! time, retention, compaction, sizes) never meets one of these. A batch moves over when it is published.
//!
//! [`Recent`]: crate::partition::recent::Recent

use std::collections::VecDeque;

use bytes::Bytes;

use crate::partition::recent::RecentBatch;
use crate::partition::replica::WrittenHook;
use crate::types::Lsn;
use crate::valuelog::entry::EntryHeader;

/// See the module's documentation. Bounded by the groups that wait to be synced.
#[derive(Default)]
pub(super) struct Written {
    /// Without a gap from the durable end on, in the order of offsets and of places.
    batches: VecDeque<RecentBatch>,
    /// Who is told; while there is nobody, nothing is taken in.
    pub hook: Option<WrittenHook>,
}

impl Written {
    /// Takes a batch in, if it carries on from `written_end`. It does not if groups before it were written without
    /// being shown: then it comes with them, when they are durable.
    pub fn show(&mut self, header: &EntryHeader, data: Bytes, written_end: u64) {
        if (header.base_offset..=header.last_offset()).contains(&written_end) {
            self.batches.push_back(RecentBatch {
                base_offset: header.base_offset,
                location: header.location(),
                data: Some(data),
            });
        }
    }

    /// Offset after the last batch.
    pub fn end(&self) -> Option<u64> {
        self.batches.back().map(|b| b.last_offset() + 1)
    }

    pub fn first_offset(&self) -> Option<u64> {
        self.batches.front().map(|b| b.base_offset)
    }

    /// The batches from the one that holds `offset` on.
    pub fn from(&self, offset: u64) -> impl Iterator<Item = &RecentBatch> {
        let start = self.batches.partition_point(|b| b.last_offset() < offset);
        self.batches.range(start..)
    }

    /// What is at `lsn` or before is durable.
    pub fn published(&mut self, lsn: Lsn) {
        while self.batches.front().is_some_and(|b| b.location.lsn <= lsn) {
            self.batches.pop_front();
        }
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
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::PartitionId;
    use crate::valuelog::entry::EntryKind;

    fn header(base_offset: u64) -> EntryHeader {
        EntryHeader {
            length: 10,
            payload_crc: 0,
            kind: EntryKind::Append,
            lsn: Lsn(base_offset),
            partition: PartitionId(1),
            base_offset,
            last_offset_delta: 9,
            leader_epoch: 0,
            max_timestamp: 0,
            durable: Lsn::default(),
        }
    }

    #[test]
    fn a_batch_behind_one_that_was_not_shown_is_not_shown() {
        let mut written = Written::default();
        written.show(&header(20), Bytes::new(), 10);
        assert_eq!(written.end(), None);
        written.show(&header(10), Bytes::new(), 10);
        written.show(&header(20), Bytes::new(), 20);
        assert_eq!(
            (written.first_offset(), written.end()),
            (Some(10), Some(30))
        );
    }

    #[test]
    fn a_batch_that_is_before_the_end_is_not_shown_and_one_that_holds_it_is() {
        let mut written = Written::default();
        written.show(&header(10), Bytes::new(), 20);
        assert_eq!(written.end(), None);
        written.show(&header(10), Bytes::new(), 15);
        assert_eq!(written.end(), Some(20));
    }

    #[test]
    fn batches_leave_when_they_are_durable_or_before_the_logs_start() {
        let mut written = Written::default();
        for base in [0, 10, 20, 30] {
            written.show(&header(base), Bytes::new(), base);
        }
        written.published(Lsn(0));
        assert_eq!(written.first_offset(), Some(10));
        written.truncate_prefix(25);
        assert_eq!(written.first_offset(), Some(20));
        assert_eq!(written.from(29).count(), 2);
    }
}
