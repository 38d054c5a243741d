//! The files of the value log: their names, how they are made, reused and deleted.
//!
//! What was written last stays in the page cache for a while, see [`super::page_cache`]. What is older is read
//! past it, where the kernel can do that: bytes that are read once are not worth new pages, which cost more than
//! the copy and push others out. Readers that go through a file from its start on have the kernel read ahead
//! (`RWF_DONTCACHE`, Linux 6.14); large pieces here and there come straight from the disk (`O_DIRECT`).

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, IoSliceMut};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};

use bytes::Bytes;
use rustix::fs::{Advice, FallocateFlags, Mode, OFlags, SeekFrom};
use rustix::io::{Errno, ReadWriteFlags};

use crate::stats::DiskSpace;
use crate::types::length_u32;
use crate::valuelog::entry::{FILE_HEADER, encode_file_header};
use crate::valuelog::read_buffers::ReadBuffers;

/// The first files are this small, so that a broker that is only tried out takes little space.
const SMALLEST_FILE: u32 = 16 << 20;
/// A file takes at most this share of the file system that it is on.
const SHARE_OF_DISK: u64 = 16;
/// No file is smaller than this because the disk is small.
const LEAST_FILE: u32 = 2 << 20;
/// A file made of the reserve takes this share of it, so that there can be several.
const SHARE_OF_RESERVE: u64 = 8;
/// What the page cache holds is asked for and let go in units of this.
const PAGE_BYTES: u32 = 4096;
/// Reads of old data from this size on go past the page cache altogether, unless they go on where the last one
/// ended (see [`READ_ON_BYTES`]): they cost a fifth of the processor time.
const DIRECT_LEAST_BYTES: usize = 128 << 10;
/// A read that begins so near to where the last one ended goes on with it.
const READ_ON_BYTES: u32 = 64 << 10;
/// `RWF_DONTCACHE` of Linux 6.14, which rustix has no name for.
const DONT_CACHE: ReadWriteFlags = ReadWriteFlags::from_bits_retain(0x80);
/// Set when the kernel or the file system turns out not to know it.
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
    /// What is before this position is not kept in the page cache.
    uncached_before: AtomicU32,
    /// Where the last read ended.
    read_end: AtomicU32,
}

impl ValueLogFile {
    fn open(id: u32, path: PathBuf) -> io::Result<Self> {
        let file = OpenOptions::new().read(true).write(true).open(&path)?;
        let capacity = u32::try_from(file.metadata()?.len()).unwrap_or(u32::MAX);
        Ok(Self::new(id, capacity, path, file))
    }

    fn new(id: u32, capacity: u32, path: PathBuf, file: File) -> Self {
        Self {
            id,
            capacity,
            path,
            file,
            direct: OnceLock::new(),
            uncached_before: AtomicU32::new(0),
            read_end: AtomicU32::new(0),
        }
    }

    pub fn write_at(&self, bytes: &[u8], position: u32) -> io::Result<()> {
        self.file.write_all_at(bytes, u64::from(position))
    }

    /// Reads some bytes; none at the end of the file.
    pub fn read_at(&self, bytes: &mut [u8], position: u32) -> io::Result<usize> {
        loop {
            match self.read_some(&self.file, bytes, position) {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                result => return result,
            }
        }
    }

    pub fn read_exact_at(&self, bytes: &mut [u8], position: u32) -> io::Result<()> {
        let length = bytes.len();
        self.read_at_least(&self.file, bytes, length, position)
    }

    /// Reads a range into a buffer of `buffers`.
    pub fn read_range(
        &self,
        buffers: &ReadBuffers,
        start: u32,
        length: usize,
    ) -> io::Result<Bytes> {
        if length >= DIRECT_LEAST_BYTES
            && self.is_uncached(start)
            && !self.goes_on(start, length)
            && let Some(direct) = self.direct()
        {
            let from = start & !(PAGE_BYTES - 1);
            let skipped = (start - from) as usize;
            let least = skipped + length;
            // The file may end before the last page does.
            let most = least.next_multiple_of(PAGE_BYTES as usize);
            let read = |bytes: &mut [u8]| self.read_at_least(direct, bytes, least, from);
            match buffers.read(most, read) {
                // This file system wants direct reads otherwise.
                Err(error) if error.kind() == io::ErrorKind::InvalidInput => {}
                result => return Ok(result?.slice(skipped..least)),
            }
        }
        buffers.read(length, |bytes| self.read_exact_at(bytes, start))
    }

    /// Fills `bytes` from `position` on: `least` of them, or more.
    fn read_at_least(
        &self,
        file: &File,
        bytes: &mut [u8],
        least: usize,
        position: u32,
    ) -> io::Result<()> {
        let mut filled = 0;
        while filled < least {
            let at = position + length_u32(filled);
            match self.read_some(file, &mut bytes[filled..], at) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn read_some(&self, file: &File, bytes: &mut [u8], position: u32) -> io::Result<usize> {
        if self.is_uncached(position) && !CANNOT_PASS_CACHE.load(Relaxed) {
            let mut slices = [IoSliceMut::new(bytes)];
            match rustix::io::preadv2(file, &mut slices, u64::from(position), DONT_CACHE) {
                Err(Errno::OPNOTSUPP | Errno::NOSYS) => CANNOT_PASS_CACHE.store(true, Relaxed),
                result => return Ok(result?),
            }
        }
        file.read_at(bytes, u64::from(position))
    }

    /// Whether a read goes on where the last one ended: the kernel reads ahead for it then.
    fn goes_on(&self, start: u32, length: usize) -> bool {
        let last_end = self.read_end.swap(start + length_u32(length), Relaxed);
        start.abs_diff(last_end) <= READ_ON_BYTES
    }

    fn is_uncached(&self, position: u32) -> bool {
        position < self.uncached_before.load(Relaxed)
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

    /// Lets go of what the page cache has of the file up to `end`, as far as it is on disk; what is not, is
    /// written. It is read past the page cache from now on. Returns the end of the last whole page.
    pub fn leave_page_cache(&self, start: u32, end: u32) -> u32 {
        let end = end & !(PAGE_BYTES - 1);
        self.uncached_before.fetch_max(end, Relaxed);
        if let Some(length) = end.checked_sub(start).and_then(std::num::NonZeroU32::new) {
            // A hint: the kernel finds out by itself what is not used, if it does not take it.
            let length = Some(length.into());
            let _ = rustix::fs::fadvise(&self.file, u64::from(start), length, Advice::DontNeed);
        }
        end
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

/// All files of the value log, by id.
#[derive(Debug)]
pub(crate) struct Files {
    directory: PathBuf,
    open: RwLock<BTreeMap<u32, Arc<ValueLogFile>>>,
    /// Paths of dead files that wait to be used again.
    free: Mutex<Vec<PathBuf>>,
    limits: FileLimits,
}

/// A file that was made.
#[derive(Debug)]
pub(crate) struct Made {
    pub file: Arc<ValueLogFile>,
    /// Whether nothing was ever written to its space, as far as the file system is concerned.
    pub is_new: bool,
}

/// Whose room a new file takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Room {
    /// What is free beyond the reserve.
    Free,
    /// The reserve: for what is needed to get out of a full disk.
    Reserve,
}

/// What bounds the making of files.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FileLimits {
    pub file_bytes: u32,
    pub reserve_bytes: u64,
    pub recycled_files: usize,
    /// Whether old data is read past the page cache.
    pub bounds_page_cache: bool,
}

impl Files {
    /// Opens all files in `directory`, which is made if it is not there.
    pub fn open(directory: &Path, limits: FileLimits) -> io::Result<Self> {
        fs::create_dir_all(directory)?;
        let mut open = BTreeMap::new();
        let mut free = Vec::new();
        let mut sidecars = Vec::new();
        for entry in fs::read_dir(directory)? {
            let path = entry?.path();
            let Some(id) = path
                .file_stem()
                .and_then(|s| s.to_str())
                .and_then(|s| s.split('.').next())
                .and_then(|s| s.parse::<u32>().ok())
            else {
                continue;
            };
            match path.extension().and_then(|e| e.to_str()) {
                Some("vlog") => {
                    let file = ValueLogFile::open(id, path)?;
                    if limits.bounds_page_cache {
                        file.uncached_before.store(u32::MAX, Relaxed);
                    }
                    open.insert(id, Arc::new(file));
                }
                Some("free") => free.push(path),
                Some("idx") => sidecars.push((id, path)),
                Some("tmp") => fs::remove_file(&path)?,
                _ => {}
            }
        }
        // A file may be gone while its sidecar was still being written.
        for (id, path) in sidecars {
            if !open.contains_key(&id) {
                fs::remove_file(&path)?;
            }
        }
        Ok(Self {
            directory: directory.to_owned(),
            open: RwLock::new(open),
            free: Mutex::new(free),
            limits,
        })
    }

    pub fn get(&self, id: u32) -> Option<Arc<ValueLogFile>> {
        self.open
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&id)
            .cloned()
    }

    /// All files, oldest first.
    pub fn all(&self) -> Vec<Arc<ValueLogFile>> {
        self.open
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .values()
            .cloned()
            .collect()
    }

    pub fn insert(&self, file: Arc<ValueLogFile>) {
        self.open
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(file.id, file);
    }

    /// Free and total bytes of the file system.
    pub fn disk_space(&self) -> io::Result<DiskSpace> {
        let status = rustix::fs::statvfs(&self.directory)?;
        Ok(DiskSpace {
            total: status.f_blocks * status.f_frsize,
            available: status.f_bavail * status.f_frsize,
        })
    }

    /// Makes file `id`, with at least `least` bytes: reuses a dead file, or allocates a new one.
    ///
    /// # Errors
    ///
    /// `StorageFull` if there is not enough of the room that it may take.
    pub fn make(&self, id: u32, least: u32, room: Room) -> io::Result<Made> {
        let path = self.directory.join(format!("{id:08}.vlog"));
        let recycled = self
            .free
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop();
        let made = match recycled {
            Some(old) => self.reuse(&old, id, &path, least, room),
            None => self.allocate(id, &path, least, room),
        };
        if made.is_err() {
            // Half a file must not be taken for one at the next start. If it cannot be removed either, it
            // holds no entries, and recovery drops it.
            let _ = fs::remove_file(&path);
        }
        made
    }

    fn reuse(&self, old: &Path, id: u32, path: &Path, least: u32, room: Room) -> io::Result<Made> {
        if fs::metadata(old)?.len() < u64::from(least) {
            fs::remove_file(old)?;
            return self.allocate(id, path, least, room);
        }
        fs::rename(old, path)?;
        let file = ValueLogFile::open(id, path.to_owned())?;
        self.begin(file, false)
    }

    fn allocate(&self, id: u32, path: &Path, least: u32, room: Room) -> io::Result<Made> {
        let space = self.disk_space()?;
        let reserve = self.limits.reserve(space);
        let (capacity, kept) = match room {
            Room::Free => (
                file_capacity(self.limits.file_bytes, id, space, least),
                reserve,
            ),
            Room::Reserve => (
                reserve_file_capacity(self.limits.file_bytes, reserve, least),
                0,
            ),
        };
        if space.available < u64::from(capacity) + kept {
            return Err(io::Error::from(io::ErrorKind::StorageFull));
        }
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .open(path)?;
        match rustix::fs::fallocate(&file, FallocateFlags::empty(), 0, u64::from(capacity)) {
            // A file system that cannot allocate ahead gets a sparse file.
            Err(Errno::OPNOTSUPP) => file.set_len(u64::from(capacity))?,
            result => result?,
        }
        self.begin(ValueLogFile::new(id, capacity, path.to_owned(), file), true)
    }

    fn begin(&self, file: ValueLogFile, is_new: bool) -> io::Result<Made> {
        file.write_at(&encode_file_header(file.id, file.capacity), 0)?;
        file.file.sync_all()?;
        self.sync_directory()?;
        Ok(Made {
            file: Arc::new(file),
            is_new,
        })
    }

    pub fn sync_directory(&self) -> io::Result<()> {
        File::open(&self.directory)?.sync_all()
    }

    /// Gives a file back that holds nothing alive: keeps it for reuse, or unlinks it.
    ///
    /// A reader may hold the file for a moment longer; then it is unlinked, never overwritten.
    pub fn retire(&self, id: u32) -> io::Result<()> {
        let removed = self
            .open
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&id);
        let Some(file) = removed else { return Ok(()) };
        remove_if_there(&file.sidecar_path())?;
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let unread = Arc::strong_count(&file) == 1;
        // Sealing may have cut the file: what counts is its length now.
        let full_size = file.len()? == self.limits.file_bytes;
        if unread && full_size && free.len() < self.limits.recycled_files {
            let kept = file.path.with_extension("free");
            fs::rename(&file.path, &kept)?;
            free.push(kept);
        } else {
            fs::remove_file(&file.path)?;
        }
        drop(free);
        self.sync_directory()
    }

    /// Unlinks a file that holds no entries.
    pub fn discard(&self, id: u32) -> io::Result<()> {
        let removed = self
            .open
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&id);
        let Some(file) = removed else { return Ok(()) };
        remove_if_there(&file.sidecar_path())?;
        fs::remove_file(&file.path)
    }

    /// Unlinks the files that are kept for reuse: the disk is full.
    pub fn drop_recycled(&self) {
        for path in self
            .free
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .drain(..)
        {
            if let Err(error) = fs::remove_file(&path) {
                tracing::warn!(path = %path.display(), %error, "could not remove a recycled file");
            }
        }
    }
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}

impl FileLimits {
    /// The reserve, but never more than a sixteenth of a small disk.
    fn reserve(&self, space: DiskSpace) -> u64 {
        self.reserve_bytes.min(space.total / SHARE_OF_DISK)
    }
}

/// The size of the next file: small at first and on small disks, never too small for `least`.
fn file_capacity(configured: u32, id: u32, space: DiskSpace, least: u32) -> u32 {
    let grown = u64::from(SMALLEST_FILE) << id.saturating_sub(1).min(8);
    let grown = u32::try_from(grown).unwrap_or(u32::MAX);
    let share = u32::try_from(space.total / SHARE_OF_DISK).unwrap_or(u32::MAX);
    let wanted = configured.min(grown).min(share.max(LEAST_FILE)) & !(FILE_HEADER - 1);
    wanted.max(
        least
            .checked_next_multiple_of(FILE_HEADER)
            .unwrap_or(u32::MAX),
    )
}

/// The size of a file that is made of the reserve: small, so that the reserve lasts for several.
fn reserve_file_capacity(configured: u32, reserve: u64, least: u32) -> u32 {
    let share = u32::try_from(reserve / SHARE_OF_RESERVE).unwrap_or(u32::MAX);
    let wanted = share.min(LEAST_FILE).min(configured);
    wanted
        .max(least)
        .checked_next_multiple_of(FILE_HEADER)
        .unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_allocated_ahead_is_not_written() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("1");
        fs::write(&path, b"head").unwrap();
        let file = ValueLogFile::open(1, path).unwrap();
        file.cut(8 << 20).unwrap();
        file.write_at(b"far", 5 << 20).unwrap();
        let end = file.written_end().unwrap();
        assert!(end >= (5 << 20) + 3, "{end}");
        let tells_holes = rustix::fs::seek(&file.file, SeekFrom::Hole(0)).unwrap() < 8 << 20;
        assert!(end < 6 << 20 || !tells_holes, "{end}");
    }

    #[test]
    fn files_grow_to_the_configured_size_and_stay_small_on_small_disks() {
        let large = DiskSpace {
            total: 1 << 40,
            available: 1 << 40,
        };
        assert_eq!(file_capacity(256 << 20, 1, large, 0), 16 << 20);
        assert_eq!(file_capacity(256 << 20, 2, large, 0), 32 << 20);
        assert_eq!(file_capacity(256 << 20, 5, large, 0), 256 << 20);
        assert_eq!(file_capacity(256 << 20, 900, large, 0), 256 << 20);
        assert_eq!(file_capacity(256 << 20, 900, large, 300 << 20), 300 << 20);
        let small = DiskSpace {
            total: 64 << 20,
            available: 64 << 20,
        };
        assert_eq!(file_capacity(256 << 20, 9, small, 0), 4 << 20);
        assert_eq!(reserve_file_capacity(256 << 20, 16 << 20, 0), 2 << 20);
        assert_eq!(reserve_file_capacity(256 << 20, 1 << 20, 5000), 128 << 10);
        assert_eq!(
            reserve_file_capacity(256 << 20, 1 << 20, 200_000),
            49 * 4096
        );
    }
}
