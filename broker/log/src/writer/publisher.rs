//! What shows durable groups to readers, and tells whoever waits for them.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use bytes::Bytes;

use crate::log::Shared;
use crate::partition::Partition;
use crate::queue::{Op, Work};
use crate::ring::Ring;
use crate::types::{Lsn, length_u32};
use crate::valuelog::entry::{ENTRY_HEADER, EntryHeader};
use crate::valuelog::file::ValueLogFile;
use crate::valuelog::page_cache::{PageCache, WriteCost};
use crate::valuelog::sidecar::EntryRecord;

/// A group that is in its file, and what it was written for.
pub(super) struct Written {
    pub ops: Vec<Op>,
    /// What is in the file: the entries after each other.
    pub buffer: Bytes,
    /// Bytes that the buffer takes, used or not.
    pub buffer_bytes: usize,
    /// An entry for each operation that is to write one; without operations, that of a snapshot.
    pub records: Vec<EntryRecord>,
    /// What it took to write them, in large pieces.
    pub cost: WriteCost,
    /// The file that it is in; nothing if there was nothing to write yet.
    pub file: Option<Arc<ValueLogFile>>,
    /// Whether the file must be synced before the operations are done.
    pub must_sync: bool,
    /// Where the log ends with this group.
    pub end: Lsn,
}

impl Written {
    /// Shows the batches to those who may have them before they are synced, and tells them.
    pub fn show(&self) {
        let mut records = self.records.iter();
        let mut start = 0usize;
        for ops in self
            .ops
            .chunk_by(|a, b| Arc::ptr_eq(&a.partition, &b.partition))
        {
            let mut appended = Vec::with_capacity(ops.len());
            for op in ops {
                if let Work::Entry(entry) = &op.work
                    && let Some(EntryRecord { header, .. }) = records.next()
                {
                    if entry.extends_log() {
                        appended.push((header, start));
                    }
                    start += header.stored_bytes() as usize;
                }
            }
            let appended = appended.into_iter();
            let appended =
                appended.map(|(header, at)| (header, payload_of(&self.buffer, at, header)));
            if let Some(hook) = ops
                .first()
                .and_then(|op| op.partition.show_written(appended))
            {
                hook();
            }
        }
    }
}

/// The payload of an entry that begins at byte `start` of its group.
fn payload_of(buffer: &Bytes, start: usize, header: &EntryHeader) -> Bytes {
    let payload = start + ENTRY_HEADER as usize;
    buffer.slice(payload..payload + header.length as usize)
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
            buffer,
            buffer_bytes,
            records,
            cost,
            file,
            end,
            ..
        } = written;
        let mut records = records.into_iter();
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
                if let Work::Entry(entry) = &op.work
                    && let Some(record) = records.next()
                {
                    let data = payload_of(&buffer, start, &record.header);
                    published.entry(&record.header, data, entry.extends_log());
                    start += record.header.stored_bytes() as usize;
                    fed.push((record, Some(partition.clone())));
                }
                completed.push(op);
            }
            if let Some(hook) = published.finish() {
                hook();
            }
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
            self.ring.push(buffer, buffer_bytes, end, partitions);
            self.shared
                .counters
                .recent_bytes
                .store(self.ring.bytes() as u64, Relaxed);
        }
    }
}
