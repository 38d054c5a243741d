//! What the writer and the indexer tell a partition.

use std::sync::MutexGuard;

use bytes::Bytes;

use crate::partition::{Partition, State, WrittenHook};
use crate::types::Lsn;
use crate::valuelog::entry::{EntryHeader, EntryKind};

impl Partition {
    /// Locks the partition so that the writer can show several entries at once.
    pub(crate) fn publishing(&self) -> Publishing<'_> {
        Publishing {
            state: self.lock(),
            written_end_moved: false,
        }
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
    written_end_moved: bool,
}

impl Publishing<'_> {
    /// Takes an entry in; `extends_log` says whether the log's end has moved with it.
    pub fn entry(&mut self, header: &EntryHeader, data: Bytes, extends_log: bool) {
        let state = &mut *self.state;
        if !extends_log {
            // Its old place may be given back soon.
            if matches!(header.kind, EntryKind::Replace | EntryKind::Relocate) {
                state.recent.leave_to_index(header.last_offset());
            }
            return;
        }
        state.appends_under_way -= 1;
        let end = header.last_offset() + 1;
        if end > state.extent.log_end {
            return;
        }
        self.written_end_moved |= end > state.written_end();
        state.written.published(header.lsn);
        state.durable_end = state.durable_end.max(end);
        state.size_bytes += u64::from(header.length);
        if header.length > 0 && header.max_timestamp > state.max_timestamp {
            state.max_timestamp = header.max_timestamp;
            state.max_timestamp_offset = header.base_offset;
        }
        state
            .recent
            .push(header.base_offset, header.location(), data);
    }

    /// Ends it; returns whom to tell that the written end has moved, which it has if the entries were not shown when
    /// they were written.
    pub fn finish(self) -> Option<WrittenHook> {
        match self.written_end_moved {
            true => self.state.written.hook.clone(),
            false => None,
        }
    }
}
