//! One file of the value log: how it is written and read.
//!
//! Where the page cache is not to grow (see [`super::page_cache`]), reads go past it: readers that go through a file
//! from its start on have the kernel read ahead (`RWF_DONTCACHE`, Linux 6.14); large pieces here and there come
//! straight from the disk (`O_DIRECT`), unless they are in the page cache anyway.

use std::fs::{File, OpenOptions};
use std::io::{self, IoSliceMut};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};

use bytes::Bytes;
use fjord_buffers::BufferPool;
use rustix::fs::{Advice, Mode, OFlags, SeekFrom};
use rustix::io::{Errno, ReadWriteFlags};

use crate::types::length_u32;
use crate::valuelog::page_cache::Bypass;

/// What the page cache holds, and direct reads transfer, are whole pages.
const PAGE_BYTES: u32 = 4096;
/// Reads from this size on go past the page cache altogether, unless they go on where the last one ended (see
/// [`READ_ON_BYTES`]): they cost a fifth of the processor time.
const DIRECT_LEAST_BYTES: usize = 128 << 10;
/// A read that begins so near to where the last one ended goes on with it.
const READ_ON_BYTES: u32 = 64 << 10;
/// `RWF_DONTCACHE` of Linux 6.14, which rustix has no name for.
const DONT_CACHE: ReadWriteFlags = ReadWriteFlags::from_bits_retain(0x80);
/// Reads what is in the page cache, and nothing else.
const NO_WAIT: ReadWriteFlags = ReadWriteFlags::NOWAIT;
/// Set when the kernel or the file system turns out not to know [`DONT_CACHE`].
static CANNOT_PASS_CACHE: AtomicBool = AtomicBool::new(false);

/// One file of the value log.
#[derive(Debug)]
pub(crate) struct ValueLogFile {
    pub id: u32,
    /// Bytes that entries may take, file header included.
    pub capacity: u32,
    pub path: PathBuf,
    file: File,
    /// Opened when the first read needs it.
    direct: OnceLock<Option<File>>,
    /// Whether reads should leave the page cache alone.
    bypass: Bypass,
    /// Where the last read ended.
    read_end: AtomicU32,
}

impl ValueLogFile {
    pub fn open(id: u32, path: PathBuf, bypass: Bypass) -> io::Result<Self> {
        let file = OpenOptions::new().read(true).write(true).open(&path)?;
        let capacity = u32::try_from(file.metadata()?.len()).unwrap_or(u32::MAX);
        Ok(Self::new(id, capacity, path, file, bypass))
    }

    pub fn new(id: u32, capacity: u32, path: PathBuf, file: File, bypass: Bypass) -> Self {
        Self {
            id,
            capacity,
            path,
            file,
            direct: OnceLock::new(),
            bypass,
            read_end: AtomicU32::new(0),
        }
    }

    pub fn write_at(&self, bytes: &[u8], position: u32) -> io::Result<()> {
        self.file.write_all_at(bytes, u64::from(position))
    }

    /// Reads some bytes; none at the end of the file.
    pub fn read_at(&self, bytes: &mut [u8], position: u32) -> io::Result<usize> {
        loop {
            match self.read_some(bytes, position) {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                result => return result,
            }
        }
    }

    pub fn read_exact_at(&self, bytes: &mut [u8], position: u32) -> io::Result<()> {
        fill(bytes, bytes.len(), position, |rest, at| {
            self.read_some(rest, at)
        })
    }

    /// Reads a range into a buffer of `buffers`.
    pub fn read_range(&self, buffers: &BufferPool, start: u32, length: usize) -> io::Result<Bytes> {
        if length >= DIRECT_LEAST_BYTES
            && self.bypass.is_on()
            && !self.goes_on(start, length)
            && let Some(direct) = self.direct()
        {
            if let Some(cached) = self.read_cached(buffers, start, length) {
                return Ok(cached);
            }
            let from = start & !(PAGE_BYTES - 1);
            let skipped = (start - from) as usize;
            let least = skipped + length;
            // The file may end before the last page does.
            let mut buffer = buffers.take(least.next_multiple_of(PAGE_BYTES as usize));
            let read = |rest: &mut [u8], at| direct.read_at(rest, u64::from(at));
            match fill(buffer.as_mut(), least, from, read) {
                // This file system wants direct reads otherwise.
                Err(error) if error.kind() == io::ErrorKind::InvalidInput => {}
                Err(error) => return Err(error),
                Ok(()) => return Ok(buffer.freeze().slice(skipped..least)),
            }
        }
        let mut buffer = buffers.take(length);
        self.read_exact_at(buffer.as_mut(), start)?;
        Ok(buffer.freeze())
    }

    /// Reads a range if all of it is in the page cache.
    fn read_cached(&self, buffers: &BufferPool, start: u32, length: usize) -> Option<Bytes> {
        let mut buffer = buffers.take(length);
        let mut slices = [IoSliceMut::new(buffer.as_mut())];
        let read = rustix::io::preadv2(&self.file, &mut slices, u64::from(start), NO_WAIT);
        read.is_ok_and(|count| count == length)
            .then(|| buffer.freeze())
    }

    fn read_some(&self, bytes: &mut [u8], position: u32) -> io::Result<usize> {
        if self.bypass.is_on() && !CANNOT_PASS_CACHE.load(Relaxed) {
            let mut slices = [IoSliceMut::new(bytes)];
            match rustix::io::preadv2(&self.file, &mut slices, u64::from(position), DONT_CACHE) {
                Err(Errno::OPNOTSUPP | Errno::NOSYS) => CANNOT_PASS_CACHE.store(true, Relaxed),
                result => return Ok(result?),
            }
        }
        self.file.read_at(bytes, u64::from(position))
    }

    /// Whether a read goes on where the last one ended: the kernel reads ahead for it then.
    fn goes_on(&self, start: u32, length: usize) -> bool {
        let last_end = self.read_end.swap(start + length_u32(length), Relaxed);
        start.abs_diff(last_end) <= READ_ON_BYTES
    }

    fn direct(&self) -> Option<&File> {
        self.direct.get_or_init(|| self.open_direct(false)).as_ref()
    }

    /// Opens the file once more, for what goes between the disk and memory without a copy: pieces that begin and
    /// end at whole pages, in memory too. Nothing if the file system does not have that.
    pub fn open_direct(&self, to_write: bool) -> Option<File> {
        let access = if to_write {
            OFlags::RDWR
        } else {
            OFlags::RDONLY
        };
        let flags = access | OFlags::DIRECT | OFlags::CLOEXEC;
        let opened = rustix::fs::open(&self.path, flags, Mode::empty()).ok()?;
        Some(opened.into())
    }

    /// Lets go of whole pages that the page cache has of a range, as far as they are on disk; what is not, is
    /// written.
    pub fn leave_page_cache(&self, start: u32, end: u32) {
        if let Some(length) = end.checked_sub(start).and_then(std::num::NonZeroU32::new) {
            // A hint: the kernel finds out by itself what is not used, if it does not take it.
            let length = Some(length.into());
            let _ = rustix::fs::fadvise(&self.file, u64::from(start), length, Advice::DontNeed);
        }
    }

    /// Data, length and all.
    pub fn sync_all(&self) -> io::Result<()> {
        self.file.sync_all()
    }

    pub fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    /// Current length in bytes.
    pub fn len(&self) -> io::Result<u32> {
        Ok(u32::try_from(self.file.metadata()?.len()).unwrap_or(u32::MAX))
    }

    /// End of what was ever written: behind it is only what was allocated ahead, which reads as zeros. Where
    /// the file system does not tell, the end of the file.
    pub fn written_end(&self) -> io::Result<u32> {
        let mut end = 0;
        loop {
            let data = match rustix::fs::seek(&self.file, SeekFrom::Data(end)) {
                Ok(data) => data,
                Err(Errno::NXIO) => return Ok(u32::try_from(end).unwrap_or(u32::MAX)),
                Err(_) => return self.len(),
            };
            match rustix::fs::seek(&self.file, SeekFrom::Hole(data)) {
                Ok(hole) if hole > data => end = hole,
                _ => return self.len(),
            }
        }
    }

    /// Cuts off what is behind the last entry.
    pub fn cut(&self, end: u32) -> io::Result<()> {
        self.file.set_len(u64::from(end))
    }

    /// Tells the kernel that a range will be read soon.
    pub fn will_need(&self, position: u32, length: u32) {
        let length = std::num::NonZeroU64::new(u64::from(length));
        // A hint: if the file system does not take it, reading works all the same.
        let _ = rustix::fs::fadvise(&self.file, u64::from(position), length, Advice::WillNeed);
    }

    pub fn sidecar_path(&self) -> PathBuf {
        self.path.with_extension("idx")
    }
}

/// Reads at least `least` bytes from `position` on into `bytes`.
fn fill(
    bytes: &mut [u8],
    least: usize,
    position: u32,
    mut read: impl FnMut(&mut [u8], u32) -> io::Result<usize>,
) -> io::Result<()> {
    let mut filled = 0;
    while filled < least {
        match read(&mut bytes[filled..], position + length_u32(filled)) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::valuelog::page_cache::PageCache;

    #[test]
    fn what_is_allocated_ahead_is_not_written() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("1");
        std::fs::write(&path, b"head").unwrap();
        let file = ValueLogFile::open(1, path, Bypass::default()).unwrap();
        file.cut(8 << 20).unwrap();
        file.write_at(b"far", 5 << 20).unwrap();
        let end = file.written_end().unwrap();
        assert!(end >= (5 << 20) + 3, "{end}");
        let tells_holes = rustix::fs::seek(&file.file, SeekFrom::Hole(0)).unwrap() < 8 << 20;
        assert!(end < 6 << 20 || !tells_holes, "{end}");
    }

    /// Reads all ranges of a file of random bytes, whether its reads pass the page cache or not, and whether or not
    /// they are in it.
    #[test]
    fn every_way_of_reading_reads_the_same() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("1");
        let content: Vec<u8> = (0..900_001u32)
            .flat_map(|i| i.wrapping_mul(2_654_435_761).to_le_bytes())
            .collect();
        std::fs::write(&path, &content).unwrap();
        let bypass = Bypass::default();
        let file = ValueLogFile::open(1, path, bypass.clone()).unwrap();
        file.sync().unwrap();
        let buffers = BufferPool::new(8 << 20);
        let ranges = [
            (0, 300_000),
            (1_000_001, 131_072),
            (77, 2_500_000),
            (3_400_001, 200_003),
            (3_600_003, 1),
            (2_000_000, 60_000),
        ];
        for passes in [false, true] {
            let _cache = PageCache::new(passes.then_some(0), bypass.clone());
            for (start, length) in ranges {
                for _ in 0..2 {
                    file.leave_page_cache(0, length_u32(content.len()));
                    let read = file.read_range(&buffers, start, length).unwrap();
                    let end = start as usize + length;
                    assert_eq!(
                        read,
                        content[start as usize..end],
                        "{passes} {start} {length}"
                    );
                    let mut again = vec![0; length];
                    file.read_exact_at(&mut again, start).unwrap();
                    assert_eq!(read, again);
                    let cached = file.read_range(&buffers, start, length).unwrap();
                    assert_eq!(read, cached);
                }
            }
            let behind = length_u32(content.len()) - 200_000;
            let error = file.read_range(&buffers, behind, 200_001).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
        }
    }
}
