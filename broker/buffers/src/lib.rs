//! Memory for large pieces of bytes, used again and again.
//!
//! A frame from a producer, or what a consumer reads from disk, takes about a mebibyte, is passed on, and is done with.
//! Memory that is new to the process costs the kernel as much as the copy into it, and clearing it as much again;
//! and an allocator keeps more of it than there is at any time. So the last few buffers wait for the next piece.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

/// Buffers of this size and more are kept; smaller ones the allocator serves as well.
const LEAST_BYTES: usize = 64 << 10;
/// Buffers are not kept if they are larger than this.
const MOST_BYTES: usize = 2 << 20;
/// Where buffers begin in memory, as direct reads from disk want it (`open(2)`, `O_DIRECT`).
const ALIGNMENT: usize = 4096;

/// Buffers that wait for the next piece. Clones share them.
#[derive(Clone, Debug)]
pub struct BufferPool {
    spare: Arc<Mutex<Spare>>,
    spare_limit: usize,
}

#[derive(Debug, Default)]
struct Spare {
    memory: Vec<Memory>,
    bytes: usize,
}

#[derive(Debug)]
struct Memory {
    bytes: Vec<u8>,
    /// Where the buffer begins in it.
    start: usize,
}

impl Memory {
    fn small(length: usize) -> Self {
        Self {
            bytes: vec![0; length],
            start: 0,
        }
    }

    /// Begins at a multiple of [`ALIGNMENT`].
    fn aligned(length: usize) -> Self {
        let bytes = vec![0; length + ALIGNMENT];
        let start = bytes.as_ptr().align_offset(ALIGNMENT);
        Self { bytes, start }
    }

    /// Of an aligned one.
    fn len(&self) -> usize {
        self.bytes.len() - ALIGNMENT
    }
}

impl BufferPool {
    /// A pool that keeps at most `spare_bytes` while nobody uses them.
    pub fn new(spare_bytes: usize) -> Self {
        Self {
            spare: Arc::default(),
            spare_limit: spare_bytes,
        }
    }

    /// A buffer of `length` bytes, whatever they are. One of 64 KiB or more begins at a multiple of 4096 bytes.
    pub fn take(&self, length: usize) -> Buffer {
        let is_kept = (LEAST_BYTES..=MOST_BYTES).contains(&length);
        let memory = match is_kept.then(|| self.lock().take(length)).flatten() {
            Some(memory) => memory,
            None if is_kept => Memory::aligned(length.next_multiple_of(LEAST_BYTES)),
            None if length < LEAST_BYTES => Memory::small(length),
            None => Memory::aligned(length),
        };
        Buffer {
            memory: Some(memory),
            length,
            home: is_kept.then(|| self.clone()),
        }
    }

    fn give_back(&self, memory: Memory) {
        let mut spare = self.lock();
        if spare.bytes + memory.len() <= self.spare_limit {
            spare.bytes += memory.len();
            spare.memory.push(memory);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Spare> {
        self.spare.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Spare {
    /// What fits, and is not much larger.
    fn take(&mut self, length: usize) -> Option<Memory> {
        let fits = |memory: &Memory| (length..=2 * length).contains(&memory.len());
        let at = self.memory.iter().rposition(fits)?;
        let memory = self.memory.swap_remove(at);
        self.bytes -= memory.len();
        Some(memory)
    }
}

/// A buffer to be filled, and then passed on. Its memory goes back to the pool when it is dropped.
#[derive(Debug)]
pub struct Buffer {
    /// Nothing only while it is dropped.
    memory: Option<Memory>,
    length: usize,
    home: Option<BufferPool>,
}

impl Buffer {
    /// Passes the bytes on. The memory goes back when the last part of them is dropped.
    pub fn freeze(self) -> Bytes {
        Bytes::from_owner(self)
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        match &self.memory {
            Some(memory) => &memory.bytes[memory.start..memory.start + self.length],
            None => &[],
        }
    }
}

impl AsMut<[u8]> for Buffer {
    fn as_mut(&mut self) -> &mut [u8] {
        match &mut self.memory {
            Some(memory) => &mut memory.bytes[memory.start..memory.start + self.length],
            None => &mut [],
        }
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        if let (Some(home), Some(memory)) = (&self.home, self.memory.take()) {
            home.give_back(memory);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1 << 20;

    fn filled(pool: &BufferPool, length: usize, with: u8) -> Bytes {
        let mut buffer = pool.take(length);
        buffer.as_mut().fill(with);
        buffer.freeze()
    }

    #[test]
    fn memory_is_used_again_only_when_nobody_has_any_of_it() {
        let pool = BufferPool::new(8 * MIB);
        let first = filled(&pool, 100_000, 1);
        let (place, kept) = (first.as_ptr(), first.slice(5..9));
        drop(first);
        let second = filled(&pool, 100_000, 2);
        assert_ne!(second.as_ptr(), place);
        assert_eq!(kept, [1; 4][..]);
        drop(kept);
        let third = filled(&pool, 90_000, 3);
        assert_eq!(third.as_ptr(), place);
        assert_eq!((third.len(), third[89_999]), (90_000, 3));
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let pool = BufferPool::new(8 * MIB);
        drop(filled(&pool, MOST_BYTES + 1, 1));
        drop(filled(&pool, LEAST_BYTES - 1, 1));
        assert_eq!(pool.lock().bytes, 0);
        let many: Vec<_> = (0..20).map(|_| filled(&pool, MIB, 1)).collect();
        drop(many);
        assert_eq!(pool.lock().bytes, 8 * MIB);
    }

    #[test]
    fn large_ones_begin_at_whole_pages() {
        let pool = BufferPool::new(MIB);
        for length in [0, 1, LEAST_BYTES - 1, LEAST_BYTES, 300_000, MOST_BYTES + 5] {
            let buffer = pool.take(length);
            assert_eq!(buffer.as_ref().len(), length);
            let misplaced = buffer.as_ref().as_ptr().align_offset(ALIGNMENT);
            assert!(length < LEAST_BYTES || misplaced == 0, "{length}");
        }
    }
}
