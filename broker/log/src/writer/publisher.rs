//! What makes written groups durable, shows them to readers, and tells whoever waits.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use super::group::Group;
use crate::log::Shared;
use crate::partition::Partition;
use crate::queue::{Op, Work};
use crate::ring::Ring;
use crate::stats::Counters;
use crate::types::Lsn;
use crate::valuelog::entry::ENTRY_HEADER;
use crate::valuelog::files::ValueLogFile;

/// A group that is in its file, and what it was written for.
pub(super) struct Written {
    pub ops: Vec<Op>,
    pub group: Group,
    /// The file that must be synced before the operations are done; nothing if they need not wait for that.
    pub sync: Option<Arc<ValueLogFile>>,
    /// Where the log ends with this group.
    pub end: Lsn,
}

/// See the module's documentation.
pub(super) struct Publisher {
    shared: Arc<Shared>,
    ring: Ring,
    /// Everything before this place is synced.
    durable: Lsn,
}

impl Publisher {
    pub fn new(shared: Arc<Shared>, ring: Ring, durable: Lsn) -> Self {
        Self {
            shared,
            ring,
            durable,
        }
    }

    pub fn durable(&self) -> Lsn {
        self.durable
    }

    /// Syncs what these groups need, once for all of them, and publishes them in their order. They are all in
    /// one file.
    pub fn finish(&mut self, groups: Vec<Written>) -> io::Result<()> {
        let end = groups.last().map_or(self.durable, |last| last.end);
        if let Some(file) = groups.iter().find_map(|written| written.sync.as_ref()) {
            self.sync(file, end)?;
        }
        for written in groups {
            self.publish(written);
        }
        Ok(())
    }

    /// Makes everything before `end` durable, which is in this file, or was before.
    pub fn sync(&mut self, file: &ValueLogFile, end: Lsn) -> io::Result<()> {
        let began = Instant::now();
        // A failed sync is never retried: the kernel may have dropped the pages. It ends the log.
        file.sync()
            .map_err(|e| io::Error::other(format!("fdatasync: {e}")))?;
        let counters = &self.shared.counters;
        Counters::add(&counters.syncs, 1);
        Counters::add(
            &counters.sync_micros,
            u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX),
        );
        self.durable = end;
        Ok(())
    }

    fn publish(&mut self, written: Written) {
        let Written {
            ops, group, end, ..
        } = written;
        let group_bytes = group.buffer.capacity();
        let buffer = group.buffer.freeze();
        let mut records = group.records.into_iter();
        let mut fed = Vec::with_capacity(records.len());
        let mut partitions: Vec<Arc<Partition>> = Vec::new();
        let mut start = 0usize;
        let mut completed = Vec::with_capacity(ops.len());
        let mut ops = VecDeque::from(ops);
        while let Some(partition) = ops.front().map(|op| op.partition.clone()) {
            let mut published = partition.publishing();
            while ops
                .front()
                .is_some_and(|op| Arc::ptr_eq(&op.partition, &partition))
            {
                let Some(op) = ops.pop_front() else { break };
                if matches!(op.work, Work::Entry(_))
                    && let Some(record) = records.next()
                {
                    let payload = start + ENTRY_HEADER as usize;
                    let data = buffer.slice(payload..payload + record.header.length as usize);
                    published.entry(&record.header, data);
                    start += record.header.stored_bytes() as usize;
                    fed.push((record, Some(partition.clone())));
                }
                completed.push(op);
            }
            drop(published);
            partitions.push(partition);
        }
        // A snapshot belongs to no partition, and nobody waits for it.
        fed.extend(records.map(|record| (record, None)));
        self.shared.feed.push(fed, end, self.durable);
        completed.into_iter().for_each(Op::complete);
        if start > 0 {
            self.ring.push(buffer, group_bytes, end, partitions);
            self.shared
                .counters
                .recent_bytes
                .store(self.ring.bytes() as u64, Relaxed);
        }
    }
}
