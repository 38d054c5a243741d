//! The log of a data directory: opening, its partitions, closing.

use std::collections::HashMap;
use std::collections::HashSet;
use std::fs::{self, File};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::thread::JoinHandle;

use fjord_buffers::BufferPool;

use crate::directory;
use crate::error::{AppendError, OpenError};
use crate::fold::Extent;
use crate::index::rows::PartitionRow;
use crate::index::{Index, IndexError};
use crate::indexer::{Feed, Indexer, Stored};
use crate::options::LogOptions;
use crate::partition::producers::ProducerTable;
use crate::partition::{Control, Partition, fits_a_file};
use crate::queue::Queue;
use crate::recovery::{self, RecoveryReport};
use crate::stats::{Counters, DiskSpace, Stats};
use crate::types::{Lsn, PartitionId};
use crate::valuelog::files::{FileLimits, Files};
use crate::writer::Writer;

/// Buffers for reads from disk that are kept while nobody reads.
const SPARE_READ_BYTES: usize = 8 << 20;

/// What the parts of an open log have in common.
pub(crate) struct Shared {
    pub options: LogOptions,
    pub files: Arc<Files>,
    pub read_buffers: BufferPool,
    pub queue: Queue,
    pub feed: Feed,
    pub counters: Counters,
    /// Whether anybody was ever to be told of what is written and not synced yet.
    pub shows_written: AtomicBool,
    /// Nothing only while it is being replaced, and that happens under the write lock; or when it could
    /// not be opened again.
    index: RwLock<Option<Index>>,
    partitions: RwLock<HashMap<PartitionId, Arc<Partition>>>,
    /// Partitions that were found on disk and not opened yet.
    found: Mutex<Stored>,
    /// Partitions deleted since the log was opened, as many as there were: their ids must not come again.
    deleted: Mutex<HashSet<PartitionId>>,
    /// Bytes of each file that the index points to.
    live_bytes: Mutex<HashMap<u32, u64>>,
    /// Files that cannot be copied forward, since they or an entry in them are damaged.
    kept_files: Mutex<HashSet<u32>>,
    failure: Mutex<Option<String>>,
}

/// The log of one data directory. Dropping it closes it.
pub struct Log {
    shared: Arc<Shared>,
    threads: Mutex<Option<Threads>>,
    recovery: RecoveryReport,
    /// Held by whoever writes stored batches again: compaction and copying forward would otherwise write
    /// what the other one has replaced.
    rewriting: Mutex<()>,
    _lock: File,
}

struct Threads {
    /// Returns where the log ended, unless it failed.
    writer: JoinHandle<Option<Lsn>>,
    /// Returns whether it ended in order.
    indexer: JoinHandle<bool>,
}

impl Log {
    /// Opens the log in `options.directory`, or makes one; recovers what an unclean stop left behind.
    ///
    /// # Errors
    ///
    /// See [`OpenError`]; in every case the directory is as it was, but for the index.
    pub fn open(options: LogOptions) -> Result<Self, OpenError> {
        let path = options.directory.clone();
        fs::create_dir_all(&path).map_err(OpenError::io(&path))?;
        let lock = directory::lock(&path)?;
        directory::check_format(&path)?;
        directory::make(&path).map_err(OpenError::io(&path))?;
        let closed_at = directory::take_clean_marker(&path)?;
        let limits = FileLimits {
            file_bytes: options.file_bytes,
            reserve_bytes: options.reserve_bytes,
            recycled_files: options.recycled_files,
        };
        let values = path.join(directory::VALUES);
        let files = Arc::new(Files::open(&values, limits).map_err(OpenError::io(&values))?);
        let recovered =
            recovery::recover(&options, &files, &path.join(directory::INDEX), closed_at)?;
        let extents = recovered.indexing.extents();
        let shared = Arc::new(Shared {
            queue: Queue::new(options.queue_bytes),
            feed: Feed::new(recovered.indexing.applied(), recovered.indexing.durable()),
            counters: Counters::default(),
            shows_written: AtomicBool::new(false),
            index: RwLock::new(Some(recovered.index)),
            partitions: RwLock::default(),
            found: Mutex::new(recovered.stored),
            deleted: Mutex::new(recovered.indexing.deleted().collect()),
            live_bytes: Mutex::new(recovered.indexing.live_bytes()),
            kept_files: Mutex::default(),
            failure: Mutex::default(),
            files,
            read_buffers: BufferPool::new(SPARE_READ_BYTES),
            options,
        });
        let writer = Writer::new(
            shared.clone(),
            recovered.next_id,
            extents,
            recovered.without_sidecar,
        )
        .map_err(OpenError::io(&path))?;
        let indexer = Indexer::new(shared.clone(), recovered.indexing);
        let (writing, indexing) = (shared.clone(), shared.clone());
        let writer = spawn("fjord-writer", move || writing.guard(|| writer.run()))
            .map_err(OpenError::io(&path))?;
        let indexer = spawn("fjord-indexer", move || {
            indexing.guard(|| indexer.run()).is_some()
        })
        .map_err(OpenError::io(&path))?;
        Ok(Self {
            shared,
            threads: Mutex::new(Some(Threads { writer, indexer })),
            recovery: recovered.report,
            rewriting: Mutex::default(),
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
    /// [`AppendError::Closed`]; [`AppendError::Deleted`] if a partition with this id was deleted: ids are
    /// never used again.
    pub fn open_partition(
        &self,
        id: PartitionId,
        label: &str,
        privileged: bool,
    ) -> Result<Arc<Partition>, AppendError> {
        let shared = &self.shared;
        let mut partitions = shared
            .partitions
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(partition) = partitions.get(&id) {
            return Ok(partition.clone());
        }
        if shared.deleted().contains(&id) {
            return Err(AppendError::Deleted);
        }
        let found = shared.found().remove(&id);
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
            partition.enqueue_control(shared, partition.clone(), Control::create(), done)?;
        }
        partitions.insert(id, partition.clone());
        Ok(partition)
    }

    /// Deletes a partition's data. Its id must never be used again.
    ///
    /// # Errors
    ///
    /// [`AppendError::Closed`]; [`AppendError::Deleted`] if it was deleted before.
    pub fn delete_partition(&self, id: PartitionId) -> Result<(), AppendError> {
        let partition = self.open_partition(id, "deleted", false)?;
        let done = Box::new(|_| {});
        partition.delete(&self.shared, partition.clone(), done)?;
        let mut partitions = self
            .shared
            .partitions
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        self.shared.deleted().insert(id);
        partitions.remove(&id);
        Ok(())
    }

    /// Partitions that are on disk and have not been opened since.
    #[must_use]
    pub fn unclaimed(&self) -> Vec<PartitionId> {
        self.shared.found().keys().copied().collect()
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

    /// Waits until everything that is durable now is in the index too, and what it has made unreachable is
    /// out of it. False if that does not happen.
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
            (Ok(Some(end)), Ok(true)) if self.failure().is_none() => {
                let left = directory::leave_clean_marker(self.directory(), end);
                if let Err(error) = left {
                    tracing::warn!(%error, "could not leave the mark of a clean stop");
                }
            }
            _ => tracing::error!("the log did not stop in order; the next start recovers"),
        }
    }

    /// See [`Log::rewriting`].
    pub(crate) fn rewriting(&self) -> MutexGuard<'_, ()> {
        self.rewriting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        self.close();
        // Whoever still holds a partition may hold the rest for a moment; fjall is let go of here, since the
        // directory may be opened again as soon as this returns.
        self.shared.close_index();
    }
}

impl Shared {
    pub fn index_directory(&self) -> PathBuf {
        self.options.directory.join(directory::INDEX)
    }

    /// Runs a thread's work; if that panics, the log has failed, and nobody is left waiting.
    pub fn guard<T>(&self, work: impl FnOnce() -> T) -> Option<T> {
        let result = catch_unwind(AssertUnwindSafe(work)).ok();
        if result.is_none() {
            let name = std::thread::current()
                .name()
                .unwrap_or("a thread of the log")
                .to_owned();
            tracing::error!(thread = name, "a thread of the log panicked");
            self.fail(&format!("{name} panicked"));
            self.queue.refuse_all();
            self.feed.set_broken(true);
        }
        result
    }

    fn found(&self) -> MutexGuard<'_, Stored> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn deleted(&self) -> MutexGuard<'_, HashSet<PartitionId>> {
        self.deleted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The index says that a partition's size has changed by more than its appends.
    pub fn adjust_size(&self, id: PartitionId, change: i64) {
        let partitions = self
            .partitions
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        match partitions.get(&id) {
            Some(partition) => partition.adjust_size(change),
            None => {
                if let Some((row, _)) = self.found().get_mut(&id) {
                    row.size_bytes = row.size_bytes.saturating_add_signed(change);
                }
            }
        }
    }

    /// The index says how many bytes a partition has before the place `applied`.
    pub fn set_size(&self, id: PartitionId, size_bytes: u64, applied: Lsn) {
        let partitions = self
            .partitions
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        match partitions.get(&id) {
            Some(partition) => partition.set_size(size_bytes, applied),
            None => {
                if let Some((row, _)) = self.found().get_mut(&id) {
                    row.size_bytes = size_bytes;
                }
            }
        }
    }

    fn close_index(&self) {
        *self.index.write().unwrap_or_else(PoisonError::into_inner) = None;
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

    /// Rebuilds the index. False if that fails.
    pub fn rebuild(&self, reason: &str) -> bool {
        self.feed.rebuild_after(self.feed.rebuilds(), reason)
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

    /// Notes that a file cannot be given back until the log is opened again. True the first time.
    pub fn keep_file(&self, id: u32) -> bool {
        self.kept_files().insert(id)
    }

    pub fn is_kept(&self, id: u32) -> bool {
        self.kept_files().contains(&id)
    }

    fn kept_files(&self) -> MutexGuard<'_, HashSet<u32>> {
        self.kept_files
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
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

    /// The value log cannot be written: it takes no more appends.
    pub fn fail_appends(&self, error: &io::Error) {
        // Threads that depend on each other fail one after the other: the first one knows why.
        if self.fail(&format!("value log: {error}")) {
            tracing::error!(%error, "the value log failed; the log takes no more appends until it is opened again");
        }
        self.queue.refuse_all();
    }

    /// Notes why the log has failed. False if it had failed before.
    pub fn fail(&self, reason: &str) -> bool {
        let mut failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
        let first = failure.is_none();
        failure.get_or_insert_with(|| reason.to_owned());
        first
    }
}

pub(crate) fn spawn<T: Send + 'static>(
    name: &str,
    run: impl FnOnce() -> T + Send + 'static,
) -> io::Result<JoinHandle<T>> {
    std::thread::Builder::new().name(name.to_owned()).spawn(run)
}
