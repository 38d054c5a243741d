//! What the writer and the indexer tell a partition.

use std::sync::MutexGuard;

use bytes::Bytes;

use crate::partition::{Partition, State};
use crate::types::Lsn;
use crate::valuelog::entry::{EntryHeader, EntryKind};

impl Partition {
    /// Locks the partition so that the writer can show several entries at once.
    pub(crate) fn publishing(&self) -> Publishing<'_> {
        Publishing { state: self.lock() }
    }

    /// Drops recent data before `end` from memory; the places stay until they are indexed.
    pub(crate) fn forget_data_before(&self, end: Lsn) {
        self.lock().recent.forget_data_before(end);
    }

    /// Everything before `applied` is in the index now.
    pub(crate) fn indexed_before(&self, applied: Lsn) {
        self.lock().recent.indexed_before(applied);
    }
}

/// The writer's view of a partition whose entries have become durable.
pub(crate) struct Publishing<'a> {
    state: MutexGuard<'a, State>,
}

impl Publishing<'_> {
    pub fn entry(&mut self, header: &EntryHeader, data: Bytes) {
        let state = &mut *self.state;
        // Its old place may be given back soon.
        if matches!(header.kind, EntryKind::Replace | EntryKind::Relocate) {
            state.recent.leave_to_index(header.last_offset());
        }
        if header.kind != EntryKind::Append {
            return;
        }
        let end = header.last_offset() + 1;
        if end > state.extent.log_end {
            return;
        }
        state.durable_end = state.durable_end.max(end);
        state.size_bytes += u64::from(header.length);
        if header.max_timestamp > state.max_timestamp {
            state.max_timestamp = header.max_timestamp;
            state.max_timestamp_offset = header.base_offset;
        }
        state
            .recent
            .push(header.base_offset, header.location(), data);
    }
}
