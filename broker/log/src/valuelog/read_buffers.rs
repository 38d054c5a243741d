//! Memory that batches are read into from disk, used again and again.
//!
//! A reader takes about a mebibyte at once, sends it, and is done with it. Memory that is new to the process costs
//! the kernel as much as reading does, and clearing it as much again.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

/// Reads from this size on have their buffers kept; smaller ones the allocator serves as well.
const LEAST_BYTES: usize = 64 << 10;
/// Buffers are not kept if they are larger than this.
const MOST_BYTES: usize = 2 << 20;
/// Where buffers begin in memory, as direct reads want it (`open(2)`, `O_DIRECT`).
const ALIGNMENT: usize = 4096;
/// Most bytes that are kept while nobody reads.
const SPARE_BYTES: usize = 8 << 20;

/// Buffers that wait for the next reader. Clones share them.
#[derive(Clone, Default)]
pub(crate) struct ReadBuffers {
    spare: Arc<Mutex<Spare>>,
}

#[derive(Default)]
struct Spare {
    buffers: Vec<Buffer>,
    bytes: usize,
}

/// Memory that begins at a multiple of [`ALIGNMENT`], zeros at first.
pub(super) struct Buffer {
    memory: Vec<u8>,
    start: usize,
}

impl Buffer {
    pub fn new(length: usize) -> Self {
        let memory = vec![0; length + ALIGNMENT];
        let start = memory.as_ptr().align_offset(ALIGNMENT);
        Self { memory, start }
    }

    fn len(&self) -> usize {
        self.memory.len() - ALIGNMENT
    }

    pub fn bytes(&self) -> &[u8] {
        &self.memory[self.start..self.start + self.len()]
    }
}

impl ReadBuffers {
    /// `length` bytes, as `read` fills them in. The buffer comes back when the last slice of it is dropped.
    pub fn read(
        &self,
        length: usize,
        read: impl FnOnce(&mut [u8]) -> io::Result<()>,
    ) -> io::Result<Bytes> {
        if length < LEAST_BYTES {
            let mut buffer = vec![0; length];
            read(&mut buffer)?;
            return Ok(buffer.into());
        }
        let mut lent = Lent {
            buffer: Some(self.take(length)),
            length,
            home: self.clone(),
        };
        if let Some(Buffer { memory, start }) = &mut lent.buffer {
            read(&mut memory[*start..*start + length])?;
        }
        Ok(Bytes::from_owner(lent))
    }

    fn take(&self, length: usize) -> Buffer {
        let mut spare = self.lock();
        let fits = |buffer: &Buffer| (length..=2 * length).contains(&buffer.len());
        match spare.buffers.iter().rposition(fits) {
            Some(at) => {
                let buffer = spare.buffers.swap_remove(at);
                spare.bytes -= buffer.len();
                buffer
            }
            None => {
                drop(spare);
                let is_kept = length <= MOST_BYTES;
                Buffer::new(if is_kept {
                    length.next_power_of_two()
                } else {
                    length
                })
            }
        }
    }

    fn give_back(&self, buffer: Buffer) {
        let mut spare = self.lock();
        if buffer.len() <= MOST_BYTES && spare.bytes + buffer.len() <= SPARE_BYTES {
            spare.bytes += buffer.len();
            spare.buffers.push(buffer);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Spare> {
        self.spare.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A buffer with somebody.
struct Lent {
    /// Nothing only while it is dropped.
    buffer: Option<Buffer>,
    length: usize,
    home: ReadBuffers,
}

impl AsRef<[u8]> for Lent {
    fn as_ref(&self) -> &[u8] {
        match &self.buffer {
            Some(buffer) => &buffer.bytes()[..self.length],
            None => &[],
        }
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if let Some(buffer) = self.buffer.take() {
            self.home.give_back(buffer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(buffers: &ReadBuffers, length: usize, with: u8) -> Bytes {
        let fill = |bytes: &mut [u8]| {
            bytes.fill(with);
            Ok(())
        };
        buffers.read(length, fill).unwrap()
    }

    #[test]
    fn a_buffer_is_used_again_only_when_nobody_has_any_of_it() {
        let buffers = ReadBuffers::default();
        let first = filled(&buffers, 100_000, 1);
        let (place, kept) = (first.as_ptr(), first.slice(5..9));
        drop(first);
        let second = filled(&buffers, 100_000, 2);
        assert_ne!(second.as_ptr(), place);
        assert_eq!(kept, [1; 4][..]);
        drop(kept);
        let third = filled(&buffers, 90_000, 3);
        assert_eq!(third.as_ptr(), place);
        assert_eq!((third.len(), third[89_999]), (90_000, 3));
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let buffers = ReadBuffers::default();
        let large = filled(&buffers, MOST_BYTES + 1, 1);
        assert_eq!(large.as_ptr().align_offset(ALIGNMENT), 0);
        drop(large);
        drop(filled(&buffers, LEAST_BYTES - 1, 1));
        assert_eq!(buffers.lock().bytes, 0);
        let many: Vec<_> = (0..20).map(|_| filled(&buffers, 1 << 20, 1)).collect();
        drop(many);
        assert_eq!(buffers.lock().bytes, SPARE_BYTES);
        let failed = buffers.read(1 << 20, |_| Err(io::ErrorKind::NotFound.into()));
        assert!(failed.is_err());
        assert_eq!(buffers.lock().bytes, SPARE_BYTES);
    }
}
