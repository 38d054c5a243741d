//! How much of the value log stays in the page cache of the operating system.
//!
//! Consumers that lag read from there, without the disk, so it may hold as much as the kernel gives. But where
//! memory is handed out by a hypervisor page by page, touching a new one costs many times the copy into it, and
//! a log that only grows does little else. So the cost of writing is measured: once it shows that memory is dear,
//! the log keeps what it has, and lets go of as much as it adds: the pages that come back are used again. Reads of
//! what is not there go past the page cache then. Now and then it tries whether memory is cheap again.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Weak};
use std::time::Duration;

use crate::valuelog::file::ValueLogFile;

/// Pages are let go in steps of this many bytes.
const STEP_BYTES: u64 = 4 << 20;
/// What is let go reaches back over this many bytes that were before: those that the kernel was still writing
/// then, which happens if nobody syncs.
const AGAIN_BYTES: u32 = 16 << 20;
/// However dear memory is, this much stays.
const LEAST_BYTES: u64 = 256 << 20;
/// How much is written before its cost is judged.
const SAMPLE_BYTES: u64 = 64 << 20;
/// Memory is dear if writing a byte takes more processor time than this. A copy takes about 0.2 ns.
const DEAR_PICOSECONDS: u128 = 800;
/// How much is written before it is tried again whether memory is cheap.
const TRY_AGAIN_BYTES: u64 = 4 << 30;

/// Whether reads should leave the page cache alone. Clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Bypass(Arc<AtomicBool>);

impl Bypass {
    pub fn is_on(&self) -> bool {
        self.0.load(Relaxed)
    }

    fn set(&self, on: bool) {
        self.0.store(on, Relaxed);
    }
}

/// What large writes have cost.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct WriteCost {
    pub bytes: u64,
    /// Processor time.
    pub time: Duration,
}

impl WriteCost {
    pub fn add(&mut self, other: Self) {
        self.bytes += other.bytes;
        self.time += other.time;
    }

    fn is_dear(self) -> bool {
        self.time.as_nanos() * 1000 > u128::from(self.bytes) * DEAR_PICOSECONDS
    }
}

/// How much may stay.
#[derive(Debug)]
enum Bound {
    /// So many bytes, as configured.
    Fixed(u64),
    /// As much as the kernel gives; what that has cost since the last judgement.
    Kernel(WriteCost),
    /// So many bytes, since memory is dear, for as long as it takes to write `left`.
    Dear { bytes: u64, left: u64 },
}

/// What was written last, oldest first.
pub(crate) struct PageCache {
    bound: Bound,
    bypass: Bypass,
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
    /// With at most about `limit` bytes; nothing: as much as is cheap. Tells `bypass` what reads should do.
    pub fn new(limit: Option<u64>, bypass: Bypass) -> Self {
        bypass.set(limit.is_some());
        Self {
            bound: limit.map_or(Bound::Kernel(WriteCost::default()), Bound::Fixed),
            bypass,
            ranges: VecDeque::new(),
            bytes: 0,
        }
    }

    /// Notes that `file` was written from `start` to `end` at a cost, and lets go of what is old.
    pub fn wrote(&mut self, file: &Arc<ValueLogFile>, start: u32, end: u32, cost: WriteCost) {
        match self.ranges.back_mut() {
            Some(last) if last.id == file.id => last.end = end,
            _ => {
                // Those of files that are gone may be anywhere.
                self.ranges.retain(|range| range.file.strong_count() > 0);
                self.bytes = self.ranges.iter().map(Range::len).sum();
                self.ranges.push_back(Range {
                    file: Arc::downgrade(file),
                    id: file.id,
                    start,
                    end,
                });
            }
        }
        let written = u64::from(end - start);
        self.bytes += written;
        if let Some(limit) = self.limit(written, cost) {
            self.keep(limit);
        }
    }

    /// How much may stay now that so much more was written; nothing: all.
    fn limit(&mut self, written: u64, cost: WriteCost) -> Option<u64> {
        match &mut self.bound {
            Bound::Fixed(bytes) => return Some(*bytes),
            Bound::Dear { bytes, left } if *left > written => {
                *left -= written;
                return Some(*bytes);
            }
            Bound::Dear { .. } => self.bound = Bound::Kernel(WriteCost::default()),
            Bound::Kernel(until_now) => {
                until_now.add(cost);
                if until_now.bytes < SAMPLE_BYTES {
                    return None;
                }
                let is_dear = std::mem::take(until_now).is_dear();
                self.bypass.set(is_dear);
                if is_dear {
                    let bytes = self.bytes.max(LEAST_BYTES);
                    tracing::debug!(bytes, "memory is dear: the page cache does not grow");
                    self.bound = Bound::Dear {
                        bytes,
                        left: TRY_AGAIN_BYTES,
                    };
                }
            }
        }
        None
    }

    /// Lets go of the oldest bytes beyond `limit`.
    fn keep(&mut self, limit: u64) {
        while self.bytes >= limit + STEP_BYTES
            && let Some(oldest) = self.ranges.front_mut()
        {
            let length = oldest.len().min(self.bytes - limit);
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

impl Range {
    fn len(&self) -> u64 {
        u64::from(self.end - self.start)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::valuelog::files::{FileLimits, Files, Room};

    const PIECE: u32 = 8 << 20;

    fn cost(nanos_per_mebibyte: u64) -> WriteCost {
        WriteCost {
            bytes: u64::from(PIECE),
            time: Duration::from_nanos(u64::from(PIECE >> 20) * nanos_per_mebibyte),
        }
    }

    /// Writes `bytes` at a cost; the file itself is not touched.
    fn write(cache: &mut PageCache, file: &Arc<ValueLogFile>, bytes: u64, each: WriteCost) {
        for _ in 0..bytes / u64::from(PIECE) {
            let start = cache.ranges.back().map_or(0, |range| range.end);
            cache.wrote(file, start, start + PIECE, each);
        }
    }

    fn file(directory: &std::path::Path) -> Arc<ValueLogFile> {
        let limits = FileLimits {
            file_bytes: 2 << 20,
            reserve_bytes: 0,
            recycled_files: 0,
        };
        let files = Files::open(directory, limits).unwrap();
        files.make(1, 0, Room::Free).unwrap().file
    }

    #[test]
    fn it_grows_while_memory_is_cheap_and_stays_as_it_is_while_it_is_dear() {
        let directory = tempfile::tempdir().unwrap();
        let file = file(directory.path());
        let bypass = Bypass::default();
        let mut cache = PageCache::new(None, bypass.clone());
        let (cheap, dear) = (cost(200_000), cost(3_000_000));
        write(&mut cache, &file, 1 << 30, cheap);
        assert_eq!((cache.bytes, bypass.is_on()), (1 << 30, false));
        write(&mut cache, &file, SAMPLE_BYTES, dear);
        assert!(bypass.is_on());
        // Pages are used again now, so it is cheap; that says nothing about new ones.
        write(&mut cache, &file, 2 << 30, cheap);
        let least = (1 << 30) + SAMPLE_BYTES;
        assert!((least..least + STEP_BYTES + u64::from(PIECE)).contains(&cache.bytes));
        assert!(bypass.is_on());
    }

    #[test]
    fn a_fixed_bound_holds_whatever_it_costs() {
        let directory = tempfile::tempdir().unwrap();
        let file = file(directory.path());
        let bypass = Bypass::default();
        let mut cache = PageCache::new(Some(32 << 20), bypass.clone());
        write(&mut cache, &file, 1 << 30, cost(100_000));
        assert!(cache.bytes < (32 << 20) + STEP_BYTES + u64::from(PIECE));
        assert!(bypass.is_on());
    }
}
