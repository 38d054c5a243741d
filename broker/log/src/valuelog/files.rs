//! The files of the value log: their names, how they are made, reused and deleted.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use rustix::fs::FallocateFlags;
use rustix::io::Errno;

use crate::stats::DiskSpace;
use crate::valuelog::entry::{FILE_HEADER, encode_file_header};
use crate::valuelog::file::ValueLogFile;
use crate::valuelog::page_cache::Bypass;

/// The first files are this small, so that a broker that is only tried out takes little space.
const SMALLEST_FILE: u32 = 16 << 20;
/// A file takes at most this share of the file system that it is on.
const SHARE_OF_DISK: u64 = 16;
/// No file is smaller than this because the disk is small.
const LEAST_FILE: u32 = 2 << 20;
/// A file made of the reserve takes this share of it, so that there can be several.
const SHARE_OF_RESERVE: u64 = 8;

/// All files of the value log, by id.
#[derive(Debug)]
pub(crate) struct Files {
    directory: PathBuf,
    open: RwLock<BTreeMap<u32, Arc<ValueLogFile>>>,
    /// Paths of dead files that wait to be used again.
    free: Mutex<Vec<PathBuf>>,
    limits: FileLimits,
    /// Whether reads should leave the page cache alone.
    bypass: Bypass,
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
}

impl Files {
    /// Opens all files in `directory`, which is made if it is not there.
    pub fn open(directory: &Path, limits: FileLimits) -> io::Result<Self> {
        fs::create_dir_all(directory)?;
        let bypass = Bypass::default();
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
                    let file = ValueLogFile::open(id, path, bypass.clone())?;
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
            bypass,
        })
    }

    /// Whether reads leave the page cache alone.
    pub fn bypass(&self) -> Bypass {
        self.bypass.clone()
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
        let file = ValueLogFile::open(id, path.to_owned(), self.bypass.clone())?;
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
        self.begin(
            ValueLogFile::new(id, capacity, path.to_owned(), file, self.bypass.clone()),
            true,
        )
    }

    fn begin(&self, file: ValueLogFile, is_new: bool) -> io::Result<Made> {
        file.write_at(&encode_file_header(file.id, file.capacity), 0)?;
        file.sync_all()?;
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
