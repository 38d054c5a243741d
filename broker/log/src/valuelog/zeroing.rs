//! Filling a new file with zeros before it is used.
//!
//! The space of a new file is allocated, but not written: the first sync of each place has to note in the file
//! system's metadata that it is written now, which takes as long as the data itself, or with a journal several
//! times that. Where zeros have been written before, a sync is about the data alone. It pays where syncs are
//! small; where they are large, it would take the disk away from them.
//!
//! It is done past the page cache, at twice the pace of the log, so that it is over when the file is needed
//! and nobody feels it.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use fjord_buffers::{Buffer, BufferPool};

use crate::log::Shared;
use crate::options::Durability;
use crate::stats::Counters;
use crate::valuelog::entry::FILE_HEADER;
use crate::valuelog::files::Made;

/// Bytes written at once. Small, so that a sync that comes meanwhile does not wait for long.
const STEP_BYTES: usize = 256 << 10;
/// Steps are at least so far apart...
const SHORTEST_PAUSE: Duration = Duration::from_millis(1);
/// ...and at most so far.
const LONGEST_PAUSE: Duration = Duration::from_millis(20);
/// Where groups are larger than this on average, their syncs gain less than the zeros cost.
const LARGE_GROUP_BYTES: u64 = 128 << 10;

/// File systems that write to where a block is already: ext4 and XFS (`statfs(2)`). Others would put what is
/// written over the zeros somewhere else.
const IN_PLACE: [u64; 2] = [0xEF53, 0x5846_5342];

/// A file that is being filled.
pub(super) struct Zeroing {
    file: File,
    zeros: Buffer,
    position: u64,
    end: u64,
    pause: Duration,
    /// What the log had written at the last step: groups and bytes.
    written: (u64, u64),
}

impl Zeroing {
    /// Begins with a file that nobody uses yet; nothing if it would not help.
    pub fn of(made: &Made, shared: &Shared) -> Option<Self> {
        if !made.is_new || shared.options.durability == Durability::Os {
            return None;
        }
        let file = made.file.open_direct(true)?;
        let kind = rustix::fs::fstatfs(&file).ok()?.f_type;
        if !u64::try_from(kind).is_ok_and(|kind| IN_PLACE.contains(&kind)) {
            return None;
        }
        let mut zeros = BufferPool::new(0).take(STEP_BYTES);
        zeros.as_mut().fill(0);
        Some(Self {
            file,
            zeros,
            position: u64::from(FILE_HEADER),
            end: u64::from(made.file.capacity),
            pause: LONGEST_PAUSE,
            written: written(&shared.counters),
        })
    }

    /// How long to wait before the next step.
    pub fn pause(&self) -> Duration {
        self.pause
    }

    /// Writes some zeros, if it is worth while at present; nothing when it is done.
    pub fn step(mut self, counters: &Counters) -> Option<Self> {
        let before = std::mem::replace(&mut self.written, written(counters));
        let (groups, bytes) = (self.written.0 - before.0, self.written.1 - before.1);
        if bytes > groups * LARGE_GROUP_BYTES {
            self.pause = LONGEST_PAUSE;
            return Some(self);
        }
        self.pause = pause(self.pause, bytes);
        match self.write() {
            Ok(()) if self.position < self.end => Some(self),
            Ok(()) => None,
            Err(error) => {
                tracing::debug!(%error, "a new file of the log is not filled with zeros");
                None
            }
        }
    }

    fn write(&mut self) -> io::Result<()> {
        let left = usize::try_from(self.end - self.position).unwrap_or(usize::MAX);
        let zeros = &self.zeros.as_ref()[..left.min(STEP_BYTES)];
        self.file.write_all_at(zeros, self.position)?;
        self.position += zeros.len() as u64;
        if self.position == self.end {
            self.file.sync_data()?;
        }
        Ok(())
    }
}

/// How many groups the log has written, and of how many bytes.
fn written(counters: &Counters) -> (u64, u64) {
    (
        counters.groups.load(Relaxed),
        counters.written_bytes.load(Relaxed),
    )
}

/// The pause before the next step, if the log wrote `bytes` during the last one: half as long as the log takes for
/// as many bytes as a step has.
fn pause(last: Duration, bytes: u64) -> Duration {
    let step = STEP_BYTES as u64;
    let micros = u64::try_from(last.as_micros()).unwrap_or(u64::MAX);
    let half = micros.saturating_mul(step) / bytes.saturating_mul(2).max(1);
    Duration::from_micros(half).clamp(SHORTEST_PAUSE, LONGEST_PAUSE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pace_is_twice_that_of_the_log() {
        let ms = Duration::from_millis;
        assert_eq!(pause(ms(10), 0), LONGEST_PAUSE);
        assert_eq!(pause(ms(10), STEP_BYTES as u64), ms(5));
        assert_eq!(pause(ms(5), STEP_BYTES as u64 / 2), ms(5));
        assert_eq!(pause(ms(5), 100 * STEP_BYTES as u64), SHORTEST_PAUSE);
    }
}
