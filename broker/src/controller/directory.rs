//! Small files in the data directory of a broker of several: which directory it is, and how it was left.
//!
//! - `directory.id`: a UUID, made with the directory and never changed (KIP-858). A broker that comes back under its
//!   id with another one has lost what it had.
//! - `stopped`: the epoch of the registration under which the broker has stopped in order, its log flushed. It is taken
//!   away at the start, so that a crash from then on is known as one.

use std::{
    fs::{self, File},
    io::{self, ErrorKind},
    path::{Path, PathBuf},
};

use uuid::Uuid;

use super::error::StartError;

const ID_FILE: &str = "directory.id";
const STOPPED_FILE: &str = "stopped";
/// Where the quorum's log is.
const QUORUM: &str = "quorum";

/// A file cannot be used.
fn file_error(path: PathBuf) -> impl FnOnce(io::Error) -> StartError {
    move |source| StartError::File { path, source }
}

/// The directory of the quorum's log.
pub fn quorum_directory(data: &Path) -> PathBuf {
    data.join(QUORUM)
}

/// Whether the directory is that of a broker of several.
pub fn is_of_several(data: &Path) -> bool {
    quorum_directory(data).exists()
}

/// The directory's id, made if there is none. Blocks.
///
/// # Errors
/// The file cannot be used, or is damaged.
pub fn id(data: &Path) -> Result<Uuid, StartError> {
    let path = data.join(ID_FILE);
    match fs::read_to_string(&path) {
        Ok(text) => Uuid::parse_str(text.trim()).map_err(|error| {
            let source = io::Error::new(ErrorKind::InvalidData, error);
            StartError::File { path, source }
        }),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let id = Uuid::new_v4();
            write(data, ID_FILE, &format!("{id}\n")).map_err(file_error(path))?;
            Ok(id)
        }
        Err(source) => Err(StartError::File { path, source }),
    }
}

/// The epoch under which the broker has stopped in order, if it has. Only the first call after a stop says so. Blocks.
///
/// # Errors
/// The file cannot be used. A damaged one counts as none.
pub fn take_stopped(data: &Path) -> Result<Option<i64>, StartError> {
    let path = data.join(STOPPED_FILE);
    match fs::read_to_string(&path) {
        Ok(text) => {
            let taken = fs::remove_file(&path).and_then(|()| File::open(data)?.sync_all());
            taken.map_err(file_error(path))?;
            Ok(parse_stopped(&text))
        }
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(source) => Err(StartError::File { path, source }),
    }
}

/// Leaves word that the broker has stopped in order. Blocks.
///
/// # Errors
/// The system's.
pub fn leave_stopped(data: &Path, epoch: i64) -> io::Result<()> {
    let crc = crc32c::crc32c(epoch.to_string().as_bytes());
    write(data, STOPPED_FILE, &format!("{epoch} {crc:08x}\n"))
}

fn parse_stopped(text: &str) -> Option<i64> {
    let (epoch, crc) = text.strip_suffix('\n')?.split_once(' ')?;
    let is_sound = crc == format!("{:08x}", crc32c::crc32c(epoch.as_bytes()));
    is_sound.then_some(epoch.parse().ok()?)
}

fn write(data: &Path, name: &str, text: &str) -> io::Result<()> {
    let temporary = data.join(format!("{name}.tmp"));
    fs::write(&temporary, text)?;
    File::open(&temporary)?.sync_all()?;
    fs::rename(&temporary, data.join(name))?;
    File::open(data)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_stays() {
        let data = tempfile::tempdir().unwrap();
        let made = id(data.path()).unwrap();
        assert_eq!(id(data.path()).unwrap(), made);
        fs::write(data.path().join(ID_FILE), "no id").unwrap();
        assert!(id(data.path()).is_err());
    }

    #[test]
    fn a_stop_in_order_is_told_once_and_only_if_it_was_written_whole() {
        let data = tempfile::tempdir().unwrap();
        assert_eq!(take_stopped(data.path()).unwrap(), None);
        leave_stopped(data.path(), 42).unwrap();
        assert_eq!(take_stopped(data.path()).unwrap(), Some(42));
        assert_eq!(take_stopped(data.path()).unwrap(), None);
        leave_stopped(data.path(), 42).unwrap();
        let path = data.path().join(STOPPED_FILE);
        let text = fs::read_to_string(&path).unwrap();
        for damaged in [text.replace("42", "43"), text[..3].to_owned()] {
            fs::write(&path, damaged).unwrap();
            assert_eq!(take_stopped(data.path()).unwrap(), None);
        }
    }
}
