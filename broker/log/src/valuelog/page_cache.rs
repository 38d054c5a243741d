//! How much of the value log stays in the page cache of the operating system: what was written last.
//!
//! Consumers that lag a little read from there, without the disk. What is older goes: a log that only grows
//! would fill the machine's memory with pages that nobody reads, and where memory is handed out by a hypervisor,
//! touching a new page costs many times the copy into it. Pages that come back are used again for what is
//! written next.

use std::collections::VecDeque;
use std::sync::{Arc, Weak};

use crate::valuelog::files::ValueLogFile;

/// Pages are let go in steps of this many bytes.
const STEP_BYTES: u64 = 4 << 20;
/// What is let go reaches back over this many bytes that were before: those that the kernel was still writing
/// then, which happens if nobody syncs.
const AGAIN_BYTES: u32 = 16 << 20;

/// What was written last, oldest first.
pub(crate) struct PageCache {
    limit: Option<u64>,
    ranges: VecDeque<Range>,
    bytes: u64,
}

struct Range {
    /// A file must be free to go while it is remembered here.
    file: Weak<ValueLogFile>,
    id: u32,
    start: u32,
    end: u32,
}

impl PageCache {
    /// With at most about `limit` bytes; nothing leaves it to the kernel.
    pub fn new(limit: Option<u64>) -> Self {
        Self {
            limit,
            ranges: VecDeque::new(),
            bytes: 0,
        }
    }

    /// Notes that `file` was written from `start` to `end`, and lets go of what is old.
    pub fn wrote(&mut self, file: &Arc<ValueLogFile>, start: u32, end: u32) {
        let Some(limit) = self.limit else { return };
        match self.ranges.back_mut() {
            Some(last) if last.id == file.id => last.end = end,
            _ => self.ranges.push_back(Range {
                file: Arc::downgrade(file),
                id: file.id,
                start,
                end,
            }),
        }
        self.bytes += u64::from(end - start);
        while self.bytes >= limit + STEP_BYTES
            && let Some(oldest) = self.ranges.front_mut()
        {
            let length = u64::from(oldest.end - oldest.start).min(self.bytes - limit);
            // It is not longer than the range.
            let end = oldest.start + u32::try_from(length).unwrap_or(u32::MAX);
            if let Some(file) = oldest.file.upgrade() {
                file.leave_page_cache(oldest.start.saturating_sub(AGAIN_BYTES), end);
            }
            oldest.start = end;
            self.bytes -= length;
            if oldest.start == oldest.end {
                self.ranges.pop_front();
            }
        }
    }
}
