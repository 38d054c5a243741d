//! The small files of a data directory: its lock, its format, and the mark of a stop in order.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::Path;

use crate::error::OpenError;
use crate::types::Lsn;
use crate::valuelog::entry::{FILE_HEADER, file_header_is_sound};

/// Version of the on-disk format; a directory with a newer one is refused.
const FORMAT_VERSION: u32 = 1;
const FORMAT_FILE: &str = "format";
const FORMAT_WORD: &str = "fjord-log";
const LOCK_FILE: &str = "lock";
const CLEAN_FILE: &str = "clean";
/// Where the files of the value log are.
pub(crate) const VALUES: &str = "values";
/// Where the index is.
pub(crate) const INDEX: &str = "index";

/// Makes the directory and those in it, and makes sure that they survive loss of power.
pub(crate) fn make(directory: &Path) -> io::Result<()> {
    if directory.join(VALUES).is_dir() {
        return Ok(());
    }
    fs::create_dir_all(directory.join(VALUES))?;
    sync(directory)?;
    match directory.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => sync(parent),
        _ => Ok(()),
    }
}

fn sync(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

/// Makes sure that this process is the only one in the directory, as long as it holds the result.
pub(crate) fn lock(directory: &Path) -> Result<File, OpenError> {
    let path = directory.join(LOCK_FILE);
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .map_err(OpenError::io(&path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(OpenError::Locked(directory.to_owned())),
        Err(TryLockError::Error(source)) => Err(OpenError::Io { path, source }),
    }
}

/// Checks the version of the format, or writes it into a new directory.
pub(crate) fn check_format(directory: &Path) -> Result<(), OpenError> {
    let path = directory.join(FORMAT_FILE);
    let text = match fs::read(&path) {
        Ok(bytes) => bytes,
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            return write_format(directory).map_err(OpenError::io(&path));
        }
        Err(source) => return Err(OpenError::Io { path, source }),
    };
    match parse_format(&text) {
        Some(FORMAT_VERSION) => Ok(()),
        Some(found) if found > FORMAT_VERSION => Err(OpenError::NewerFormat {
            path,
            found,
            supported: FORMAT_VERSION,
        }),
        _ if has_sound_files(directory) => {
            tracing::warn!(path = %path.display(), "the format file is damaged; the value log is sound, so it is written again");
            write_format(directory).map_err(OpenError::io(&path))
        }
        _ => Err(OpenError::ForeignDirectory(path)),
    }
}

pub(crate) fn parse_format(bytes: &[u8]) -> Option<u32> {
    let text = std::str::from_utf8(bytes).ok()?;
    text.strip_prefix(FORMAT_WORD)?
        .strip_prefix(' ')?
        .strip_suffix('\n')?
        .parse()
        .ok()
}

fn write_format(directory: &Path) -> io::Result<()> {
    let text = format!("{FORMAT_WORD} {FORMAT_VERSION}\n");
    write_synced(directory, FORMAT_FILE, &text)
}

/// Whether there is a file of the value log whose header says that it has this release's format.
fn has_sound_files(directory: &Path) -> bool {
    let Ok(entries) = fs::read_dir(directory.join(VALUES)) else {
        return false;
    };
    entries.flatten().any(|entry| {
        let path = entry.path();
        let id = path
            .file_stem()
            .and_then(|s| s.to_str())
            .and_then(|s| s.parse().ok());
        id.is_some_and(|id| read_head(&path).is_ok_and(|head| file_header_is_sound(&head, id)))
    })
}

fn read_head(path: &Path) -> io::Result<Vec<u8>> {
    use std::io::Read;
    let mut head = Vec::new();
    File::open(path)?
        .take(u64::from(FILE_HEADER))
        .read_to_end(&mut head)?;
    Ok(head)
}

/// Where the log ended, if the last stop was in order. The mark is taken away, so that a crash from now on
/// is noticed.
pub(crate) fn take_clean_marker(directory: &Path) -> Result<Option<Lsn>, OpenError> {
    let path = directory.join(CLEAN_FILE);
    let bytes = match fs::read(&path) {
        Ok(bytes) => bytes,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(OpenError::Io { path, source }),
    };
    fs::remove_file(&path)
        .and_then(|()| sync(directory))
        .map_err(OpenError::io(&path))?;
    let end = parse_clean_marker(&bytes);
    if end.is_none() {
        tracing::warn!(path = %path.display(), "the mark of a stop in order is damaged; recovering as after a crash");
    }
    Ok(end)
}

/// Leaves the mark that the log was closed in order, and where it ended.
pub(crate) fn leave_clean_marker(directory: &Path, end: Lsn) -> io::Result<()> {
    write_synced(directory, CLEAN_FILE, &encode_clean_marker(end))
}

pub(crate) fn encode_clean_marker(end: Lsn) -> String {
    let place = end.to_string();
    let crc = crc32c::crc32c(place.as_bytes());
    format!("{place} {crc:08x}\n")
}

pub(crate) fn parse_clean_marker(bytes: &[u8]) -> Option<Lsn> {
    let text = std::str::from_utf8(bytes).ok()?.strip_suffix('\n')?;
    let (place, crc) = text.split_once(' ')?;
    let (file, position) = place.split_once(':')?;
    let sound = crc == format!("{:08x}", crc32c::crc32c(place.as_bytes()));
    sound.then_some(Lsn::new(file.parse().ok()?, position.parse().ok()?))
}

fn write_synced(directory: &Path, name: &str, text: &str) -> io::Result<()> {
    let temporary = directory.join(format!("{name}.tmp"));
    fs::write(&temporary, text)?;
    File::open(&temporary)?.sync_all()?;
    fs::rename(&temporary, directory.join(name))?;
    sync(directory)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clean_markers_notice_damage() {
        let directory = tempfile::tempdir().unwrap();
        leave_clean_marker(directory.path(), Lsn::new(3, 8192)).unwrap();
        let bytes = fs::read(directory.path().join(CLEAN_FILE)).unwrap();
        assert_eq!(parse_clean_marker(&bytes), Some(Lsn::new(3, 8192)));
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1;
            assert_eq!(parse_clean_marker(&damaged), None, "byte {at}");
        }
    }
}
