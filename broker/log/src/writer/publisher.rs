//! What shows durable groups to readers, and tells whoever waits for them.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use super::group::Group;
use crate::log::Shared;
use crate::partition::Partition;
use crate::queue::{Op, Work};
use crate::ring::Ring;
use crate::types::{Lsn, length_u32};
use crate::valuelog::entry::ENTRY_HEADER;
use crate::valuelog::file::ValueLogFile;
use crate::valuelog::page_cache::PageCache;

/// A group that is in its file, and what it was written for.
pub(super) struct Written {
    pub ops: Vec<Op>,
    pub group: Group,
    /// The file that it is in; nothing if there was nothing to write yet.
    pub file: Option<Arc<ValueLogFile>>,
    /// Whether the file must be synced before the operations are done.
    pub must_sync: bool,
    /// Where the log ends with this group.
    pub end: Lsn,
}

/// See the module's documentation.
pub(super) struct Publisher {
    shared: Arc<Shared>,
    ring: Ring,
    page_cache: PageCache,
}

impl Publisher {
    pub fn new(shared: Arc<Shared>, ring: Ring) -> Self {
        let page_cache = PageCache::new(shared.options.page_cache_bytes, shared.files.bypass());
        Self {
            shared,
            ring,
            page_cache,
        }
    }

    /// Publishes the next group of a log that is synced before `durable`.
    pub fn publish(&mut self, written: Written, durable: Lsn) {
        let Written {
            ops,
            group,
            file,
            end,
            ..
        } = written;
        let group_bytes = group.buffer.capacity();
        let cost = group.cost;
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
        self.shared.feed.push(fed, end, durable);
        completed.into_iter().for_each(Op::complete);
        if let Some(file) = file {
            let from = end.position() - length_u32(buffer.len());
            self.page_cache.wrote(&file, from, end.position(), cost);
        }
        if start > 0 {
            self.ring.push(buffer, group_bytes, end, partitions);
            self.shared
                .counters
                .recent_bytes
                .store(self.ring.bytes() as u64, Relaxed);
        }
    }
}
