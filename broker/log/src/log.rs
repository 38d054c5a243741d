//! The log of a data directory: opening, its partitions, closing.

use std::collections::HashMap;
use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::thread::JoinHandle;

use crate::error::{AppendError, OpenError};
use crate::fold::Extent;
use crate::index::rows::PartitionRow;
use crate::index::{Index, IndexError};
use crate::indexer::{Feed, Indexer};
use crate::options::LogOptions;
use crate::partition::producers::ProducerTable;
use crate::partition::{Partition, fits_a_file};
use crate::queue::Queue;
use crate::recovery::{self, RecoveryReport};
use crate::stats::{Counters, DiskSpace, Stats};
use crate::types::{Lsn, PartitionId};
use crate::valuelog::entry::EntryKind;
use crate::valuelog::files::{FileLimits, Files};
use crate::writer::Writer;

/// Version of the on-disk format; a directory with a newer one is refused.
const FORMAT_VERSION: u32 = 1;
const FORMAT_FILE: &str = "format";
const FORMAT_WORD: &str = "fjord-log";
const LOCK_FILE: &str = "lock";
const CLEAN_FILE: &str = "clean";

/// What the parts of an open log have in common.
pub(crate) struct Shared {
    pub options: LogOptions,
    pub files: Arc<Files>,
    pub queue: Queue,
    pub feed: Feed,
    pub counters: Counters,
    /// Nothing only while it is being replaced, and that happens under the write lock; or when it could
    /// not be opened again.
    index: RwLock<Option<Index>>,
    partitions: RwLock<HashMap<PartitionId, Arc<Partition>>>,
    /// Partitions that were found on disk and not opened yet.
    found: Mutex<HashMap<PartitionId, (PartitionRow, ProducerTable)>>,
    /// Bytes of each file that the index points to.
    live_bytes: Mutex<HashMap<u32, u64>>,
    failure: Mutex<Option<String>>,
}

/// The log of one data directory. Dropping it closes it.
pub struct Log {
    shared: Arc<Shared>,
    threads: Mutex<Option<Threads>>,
    recovery: RecoveryReport,
    _lock: File,
}

struct Threads {
    writer: JoinHandle<Lsn>,
    indexer: JoinHandle<()>,
}

impl Log {
    /// Opens the log in `options.directory`, or makes one; recovers what an unclean stop left behind.
    ///
    /// # Errors
    ///
    /// See [`OpenError`]; in every case the directory is as it was, but for the index.
    pub fn open(options: LogOptions) -> Result<Self, OpenError> {
        let directory = options.directory.clone();
        fs::create_dir_all(&directory).map_err(OpenError::io(&directory))?;
        let lock = lock(&directory)?;
        check_format(&directory)?;
        let clean = take_clean_marker(&directory)?;
        let limits = FileLimits {
            file_bytes: options.file_bytes,
            reserve_bytes: options.reserve_bytes,
            recycled_files: options.recycled_files,
        };
        let values = directory.join("values");
        let files = Arc::new(Files::open(&values, limits).map_err(OpenError::io(&values))?);
        let recovered = recovery::recover(&options, &files, &directory.join("index"), clean)?;
        let extents = recovered.indexing.extents();
        let found = load_found(&recovered.index, &recovered.indexing)?;
        let shared = Arc::new(Shared {
            queue: Queue::new(options.queue_bytes),
            feed: Feed::new(recovered.indexing.applied(), recovered.indexing.durable()),
            counters: Counters::default(),
            index: RwLock::new(Some(recovered.index)),
            partitions: RwLock::default(),
            found: Mutex::new(found),
            live_bytes: Mutex::new(recovered.indexing.live_bytes()),
            failure: Mutex::default(),
            files,
            options,
        });
        let writer = Writer::new(shared.clone(), recovered.next_id, extents)
            .map_err(OpenError::io(&directory))?;
        let indexer = Indexer::new(shared.clone(), recovered.indexing);
        let threads = Threads {
            writer: spawn("fjord-writer", move || writer.run())
                .map_err(OpenError::io(&directory))?,
            indexer: spawn("fjord-indexer", move || indexer.run())
                .map_err(OpenError::io(&directory))?,
        };
        Ok(Self {
            shared,
            threads: Mutex::new(Some(threads)),
            recovery: recovered.report,
            _lock: lock,
        })
    }

    /// What opening found.
    #[must_use]
    pub fn recovery(&self) -> &RecoveryReport {
        &self.recovery
    }

    /// The partition `id`, made if it is not there; `label` stands in errors and logs. A `privileged`
    /// partition may use the last room of a full disk: what it holds is needed to free some.
    ///
    /// # Errors
    ///
    /// [`AppendError::Closed`].
    pub fn open_partition(
        &self,
        id: PartitionId,
        label: &str,
        privileged: bool,
    ) -> Result<Arc<Partition>, AppendError> {
        let shared = &self.shared;
        let found = shared
            .found
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&id);
        let mut partitions = shared
            .partitions
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(partition) = partitions.get(&id) {
            return Ok(partition.clone());
        }
        let is_new = found.is_none();
        let (row, producers) = found.unwrap_or_else(|| {
            (
                PartitionRow::new(Extent::default()),
                ProducerTable::default(),
            )
        });
        let partition = Arc::new(Partition::new(
            id,
            label.to_owned(),
            privileged,
            Arc::downgrade(shared),
            &row,
            producers,
        ));
        if is_new {
            let done = Box::new(|_| {});
            partition.enqueue_control(shared, partition.clone(), EntryKind::Create, 0, -1, done)?;
        }
        partitions.insert(id, partition.clone());
        Ok(partition)
    }

    /// Partitions that are on disk and have not been opened since.
    #[must_use]
    pub fn unclaimed(&self) -> Vec<PartitionId> {
        self.shared
            .found
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .keys()
            .copied()
            .collect()
    }

    /// Deletes a partition's data. Its id must never be used again.
    ///
    /// # Errors
    ///
    /// [`AppendError::Closed`].
    pub fn delete_partition(&self, id: PartitionId) -> Result<(), AppendError> {
        let partition = self.open_partition(id, "deleted", false)?;
        partition.mark_deleted();
        let done = Box::new(|_| {});
        partition.enqueue_control(
            &self.shared,
            partition.clone(),
            EntryKind::Delete,
            0,
            -1,
            done,
        )?;
        self.shared
            .partitions
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&id);
        Ok(())
    }

    /// Why the log takes no more appends, if something has failed. The process should end then, and
    /// recover when it is started again.
    #[must_use]
    pub fn failure(&self) -> Option<String> {
        self.shared
            .failure
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Counters and gauges.
    #[must_use]
    pub fn stats(&self) -> Stats {
        Stats {
            index_backlog: self.shared.feed.backlog() as u64,
            queued_bytes: self.shared.queue.bytes() as u64,
            files: self.shared.files.all().len() as u64,
            ..self.shared.counters.snapshot()
        }
    }

    /// Free and total bytes of the file system.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn disk_space(&self) -> io::Result<DiskSpace> {
        self.shared.files.disk_space()
    }

    /// The directory that the log is in.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.shared.options.directory
    }

    /// Waits until everything that is durable now is in the index too. False if that does not happen.
    pub fn wait_until_indexed(&self) -> bool {
        self.shared.feed.wait_until_applied()
    }

    /// Writes what is queued, brings the index up to date, and leaves a mark that all is in order.
    pub fn close(&self) {
        let Some(threads) = self
            .threads
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
        else {
            return;
        };
        self.shared.queue.close();
        let end = threads.writer.join();
        self.shared.feed.close();
        let indexed = threads.indexer.join();
        match (end, indexed) {
            (Ok(end), Ok(())) if self.failure().is_none() => {
                if let Err(error) = leave_clean_marker(&self.shared.options.directory, end) {
                    tracing::warn!(%error, "could not leave the mark of a clean stop");
                }
            }
            _ => tracing::error!("the log did not stop in order; the next start recovers"),
        }
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        self.close();
    }
}

impl Shared {
    pub fn index_directory(&self) -> PathBuf {
        self.options.directory.join("index")
    }

    pub fn partition(&self, id: PartitionId) -> Option<Arc<Partition>> {
        self.partitions
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&id)
            .cloned()
    }

    /// All open partitions.
    pub fn partitions(&self) -> Vec<Arc<Partition>> {
        self.partitions
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .values()
            .cloned()
            .collect()
    }

    /// Whether an append of `length` bytes can be taken now.
    pub fn check_append(&self, length: usize) -> Result<(), AppendError> {
        if !fits_a_file(length) {
            return Err(AppendError::TooLarge(length));
        }
        if self.feed.backlog() > self.options.index_backlog {
            return Err(AppendError::IndexBehind);
        }
        self.queue.check()
    }

    /// Runs `look` on the index as it is.
    pub fn with_open_index<T>(
        &self,
        look: impl FnOnce(&Index) -> Result<T, IndexError>,
    ) -> Result<T, IndexError> {
        match &*self.index.read().unwrap_or_else(PoisonError::into_inner) {
            Some(index) => look(index),
            None => Err(IndexError::new("the index is not open".into())),
        }
    }

    /// Runs `look` on the index; if it fails, has the index rebuilt, and runs it once more.
    pub fn with_index(
        &self,
        mut look: impl FnMut(&Index) -> Result<(), IndexError>,
    ) -> Result<(), String> {
        let seen = self.feed.rebuilds();
        match self.with_open_index(&mut look) {
            Ok(()) => Ok(()),
            Err(error) => {
                tracing::warn!(%error, "the index failed a read");
                if !self.feed.rebuild_after(seen, &format!("reading: {error}")) {
                    return Err(format!(
                        "the index failed ({error}) and could not be rebuilt"
                    ));
                }
                self.with_open_index(look).map_err(|e| e.to_string())
            }
        }
    }

    /// Rebuilds the index, if that has not been done since the log was opened. True if it was done now.
    pub fn rebuild_once(&self, reason: &str) -> bool {
        self.feed.rebuilds() == 0 && self.feed.rebuild_after(0, reason)
    }

    /// Closes the index, and puts what `make` returns in its place; readers wait.
    pub fn replace_index(
        &self,
        make: impl FnOnce() -> Result<Index, IndexError>,
    ) -> Result<(), IndexError> {
        let mut index = self.index.write().unwrap_or_else(PoisonError::into_inner);
        *index = None;
        *index = Some(make()?);
        Ok(())
    }

    pub fn set_live_bytes(&self, live: HashMap<u32, u64>) {
        *self
            .live_bytes
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = live;
    }

    /// Bytes of file `id` that the index points to.
    pub fn live_bytes(&self, id: u32) -> u64 {
        self.live_bytes
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&id)
            .copied()
            .unwrap_or(0)
    }

    pub fn fail(&self, reason: &str) {
        self.failure
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get_or_insert_with(|| reason.to_owned());
    }
}

fn spawn<T: Send + 'static>(
    name: &str,
    run: impl FnOnce() -> T + Send + 'static,
) -> io::Result<JoinHandle<T>> {
    std::thread::Builder::new().name(name.to_owned()).spawn(run)
}

/// The state of all partitions on disk, producers included.
fn load_found(
    index: &Index,
    indexing: &crate::indexer::Indexing,
) -> Result<HashMap<PartitionId, (PartitionRow, ProducerTable)>, OpenError> {
    let failed = |e: IndexError| OpenError::Index(e.to_string());
    let mut found: HashMap<_, _> = indexing
        .rows()
        .map(|(id, row)| (*id, (row.clone(), ProducerTable::default())))
        .collect();
    index
        .producers(&mut |id, producer, bytes| {
            if let Some((_, table)) = found.get_mut(&id) {
                table.decode_into(producer, bytes);
            }
        })
        .map_err(failed)?;
    Ok(found)
}

/// Makes sure that this process is the only one in the directory, as long as it holds the result.
fn lock(directory: &Path) -> Result<File, OpenError> {
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

fn check_format(directory: &Path) -> Result<(), OpenError> {
    let path = directory.join(FORMAT_FILE);
    match fs::read_to_string(&path) {
        Ok(text) => {
            let version = text
                .trim()
                .strip_prefix(FORMAT_WORD)
                .and_then(|v| v.trim().parse::<u32>().ok())
                .ok_or_else(|| OpenError::ForeignDirectory(path.clone()))?;
            if version > FORMAT_VERSION {
                return Err(OpenError::NewerFormat {
                    path,
                    found: version,
                    supported: FORMAT_VERSION,
                });
            }
            Ok(())
        }
        Err(e) if e.kind() == io::ErrorKind::NotFound => write_synced(
            directory,
            FORMAT_FILE,
            &format!("{FORMAT_WORD} {FORMAT_VERSION}\n"),
        )
        .map_err(OpenError::io(&path)),
        Err(e) if e.kind() == io::ErrorKind::InvalidData => Err(OpenError::ForeignDirectory(path)),
        Err(source) => Err(OpenError::Io { path, source }),
    }
}

/// Whether the last stop was in order; the mark is taken away, so that a crash from now on is noticed.
fn take_clean_marker(directory: &Path) -> Result<bool, OpenError> {
    let path = directory.join(CLEAN_FILE);
    match fs::remove_file(&path) {
        Ok(()) => Ok(true),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(source) => Err(OpenError::Io { path, source }),
    }
}

fn leave_clean_marker(directory: &Path, end: Lsn) -> io::Result<()> {
    write_synced(directory, CLEAN_FILE, &format!("{end}\n"))
}

fn write_synced(directory: &Path, name: &str, text: &str) -> io::Result<()> {
    let temporary = directory.join(format!("{name}.tmp"));
    fs::write(&temporary, text)?;
    File::open(&temporary)?.sync_all()?;
    fs::rename(&temporary, directory.join(name))?;
    File::open(directory)?.sync_all()
}
