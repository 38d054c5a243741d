//! Giving files back: those that hold nothing alive, and, after what is alive in them was copied forward,
//! those that hold little.
//!
//! Deleting a file is the one thing that cannot be taken back. So the bytes that the index counts for it
//! only make it a candidate: every single entry is looked up before it goes.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};

use crate::error::AppendError;
use crate::index::IndexError;
use crate::log::Log;
use crate::options::Durability;
use crate::partition::Completion;
use crate::queue::PendingEntry;
use crate::stats::Counters;
use crate::types::{Lsn, PartitionId};
use crate::valuelog::entry::{EntryHeader, EntryKind, FILE_HEADER};
use crate::valuelog::file::ValueLogFile;
use crate::valuelog::scan;
use crate::valuelog::sidecar::{EntryRecord, Sidecar};

/// Bytes under way at a time while a file is copied forward, unless a single batch is larger.
const BYTES_IN_FLIGHT: u64 = 4 << 20;
/// A file smaller than its share is copied forward whatever is alive in it, once it is one of many.
const MANY_FILES: usize = 64;
const SMALL_SHARE: u32 = 8;

impl Log {
    /// Gives back the files that hold nothing alive, and copies forward the one that holds least, if that
    /// is under half. Returns the number of files given back. May wait for the disk.
    pub fn reclaim(&self) -> usize {
        let _alone = self.rewriting();
        if !self.wait_until_indexed() {
            tracing::warn!("the index is behind; no files are given back");
            return 0;
        }
        let mut retired = self.retire_dead();
        let Some(file) = self.sparsest() else {
            return retired;
        };
        let (id, copied) = (file.id, self.copy_forward(&file));
        // A file that somebody reads cannot be used again.
        drop(file);
        match copied {
            Ok(bytes) => {
                Counters::add(&self.shared().counters.relocated_bytes, bytes);
                if self.wait_until_indexed() {
                    retired += self.retire_dead();
                    if bytes == 0 && self.shared().live_bytes(id) > 0 {
                        self.set_aside(id, "entries in it cannot be found, or belong to a partition that nobody has opened");
                    }
                }
            }
            Err(CopyError::File(error)) => self.set_aside(id, &error.to_string()),
            // The next round tries again; that the disk is full is said where it is noticed.
            Err(CopyError::Log(error)) => {
                tracing::debug!(file = id, %error, "live entries were not copied forward now");
            }
        }
        retired
    }

    /// Leaves a file alone until the log is opened again: it would be chosen, and fail, again and again.
    fn set_aside(&self, id: u32, reason: &str) {
        if self.shared().keep_file(id) {
            tracing::warn!(
                file = id,
                reason,
                "cannot copy a file's live entries forward; it stays as it is"
            );
        }
    }

    /// The files that get no more entries, and of which the index knows all, oldest first.
    fn settled(&self) -> Vec<Arc<ValueLogFile>> {
        let applied = self.shared().feed.applied();
        let mut files = self.shared().files.all();
        files.pop();
        files.retain(|file| file.id < applied.file());
        files
    }

    fn retire_dead(&self) -> usize {
        let mut dead = self.settled();
        dead.retain(|file| self.shared().live_bytes(file.id) == 0);
        if dead.is_empty() || !self.is_durable() {
            return 0;
        }
        let mut retired = 0;
        for file in dead {
            let id = file.id;
            match self.first_live(&file) {
                Ok(None) => {}
                Ok(Some(place)) => {
                    tracing::error!(%place, "the index counts no live entries in a file, but there are some; rebuilding it");
                    self.shared()
                        .rebuild("the live entries of a file are miscounted");
                    return retired;
                }
                Err(error) => {
                    if self.shared().keep_file(id) {
                        tracing::warn!(file = id, %error, "could not look at a file that seems dead");
                    }
                    continue;
                }
            }
            // A file that somebody reads cannot be used again.
            drop(file);
            match self.shared().files.retire(id) {
                Ok(()) => {
                    tracing::debug!(file = id, "gave a value log file back");
                    retired += 1;
                }
                Err(error) => {
                    tracing::warn!(file = id, %error, "could not give a value log file back");
                }
            }
        }
        Counters::add(&self.shared().counters.reclaimed_files, retired as u64);
        retired
    }

    /// Makes sure that what has replaced the entries of a dead file survives loss of power.
    fn is_durable(&self) -> bool {
        if self.shared().options.durability == Durability::Fsync {
            return true;
        }
        let Some(partition) = self.shared().partitions().pop() else {
            return false;
        };
        let (done, finished) = channel();
        partition.enqueue_sync(completion(&done)).is_ok() && matches!(finished.recv(), Ok(Ok(())))
    }

    /// The first entry of a file that the index points to.
    fn first_live(&self, file: &ValueLogFile) -> io::Result<Option<Lsn>> {
        let mut live = None;
        each_entry(file, &mut |record| {
            if live.is_none() && self.is_live(&record.header)? {
                live = Some(record.header.lsn);
            }
            Ok::<_, io::Error>(())
        })?;
        Ok(live)
    }

    fn is_live(&self, header: &EntryHeader) -> io::Result<bool> {
        Ok(header.kind.holds_batch()
            && self.indexed_at(header.partition, header.base_offset)? == Some(header.lsn))
    }

    /// The file with the smallest share alive, if that is under half of it.
    fn sparsest(&self) -> Option<Arc<ValueLogFile>> {
        let files = self.settled();
        let small = match files.len() > MANY_FILES {
            true => self.shared().options.file_bytes / SMALL_SHARE,
            false => 0,
        };
        files
            .into_iter()
            .filter(|file| !self.shared().is_kept(file.id))
            .filter_map(|file| {
                let length = file.len().ok()?.max(1);
                let live = self.shared().live_bytes(file.id);
                let sparse = live * 2 < u64::from(length) || length < small;
                (live > 0 && sparse).then_some((live * 1000 / u64::from(length), file))
            })
            .min_by_key(|(share, _)| *share)
            .map(|(_, file)| file)
    }

    /// Writes what is alive in `file` again, at the end of the log; returns how many bytes that were.
    fn copy_forward(&self, file: &ValueLogFile) -> Result<u64, CopyError> {
        let mut copies = Copies::default();
        let mut bytes = 0;
        each_entry(file, &mut |record| {
            let copied = self.copy_entry(record, &mut copies)?;
            bytes += copied;
            copies.wait_below(BYTES_IN_FLIGHT)?;
            Ok::<_, CopyError>(())
        })?;
        copies.wait_below(1)?;
        Ok(bytes)
    }

    /// Writes an entry again, if the index still points to it; returns how many bytes that were.
    fn copy_entry(&self, record: &EntryRecord, copies: &mut Copies) -> Result<u64, CopyError> {
        let header = &record.header;
        let Some(partition) = self.shared().partition(header.partition) else {
            return Ok(0);
        };
        // What is truncated from here on is not written again.
        let truncations = partition.truncations();
        if !self.is_live(header)? {
            return Ok(0);
        }
        let payload = match header.length {
            0 => bytes::Bytes::new(),
            _ => partition
                .read_at(self.shared(), header.base_offset, header.location())
                .map_err(io::Error::other)?,
        };
        let entry = PendingEntry {
            kind: EntryKind::Relocate,
            base_offset: header.base_offset,
            last_offset_delta: header.last_offset_delta,
            leader_epoch: header.leader_epoch,
            max_timestamp: header.max_timestamp,
            payload,
            producer: record.producer,
            fills_gap: false,
        };
        let bytes = u64::from(header.stored_bytes());
        match partition.enqueue_rewrite(entry, truncations, copies.completion(bytes)) {
            Ok(()) => {
                copies.under_way += bytes;
                Ok(bytes)
            }
            // It has gone meanwhile, or will be looked at in the next round.
            Err(_) => Ok(0),
        }
    }

    fn indexed_at(&self, partition: PartitionId, base: u64) -> io::Result<Option<Lsn>> {
        let mut found = None;
        self.shared()
            .with_index(|index| {
                found = index.batch_at(partition, base)?.map(|l| l.lsn);
                Ok::<_, IndexError>(())
            })
            .map_err(io::Error::other)?;
        Ok(found)
    }
}

/// Why live entries were not copied forward.
#[derive(Debug, thiserror::Error)]
enum CopyError {
    /// The file cannot be read, or an entry in it is damaged.
    #[error(transparent)]
    File(#[from] io::Error),
    /// The log does not take the copies now.
    #[error(transparent)]
    Log(#[from] AppendError),
}

type Copied = (u64, Result<(), AppendError>);

/// Entries on their way to the end of the log.
struct Copies {
    under_way: u64,
    done: Sender<Copied>,
    finished: Receiver<Copied>,
}

impl Default for Copies {
    fn default() -> Self {
        let (done, finished) = channel();
        Self {
            under_way: 0,
            done,
            finished,
        }
    }
}

impl Copies {
    fn completion(&self, bytes: u64) -> Completion {
        let done = self.done.clone();
        Box::new(move |result: Result<_, _>| {
            // The receiver waits for every entry, unless it has given up.
            let _ = done.send((bytes, result.map(|_| ())));
        })
    }

    /// Waits until fewer than `limit` bytes are under way.
    fn wait_below(&mut self, limit: u64) -> Result<(), AppendError> {
        while self.under_way >= limit {
            let (bytes, result) = self.finished.recv().map_err(|_| AppendError::Closed)?;
            self.under_way -= bytes;
            result?;
        }
        Ok(())
    }
}

fn completion(done: &Sender<Result<(), AppendError>>) -> Completion {
    let done = done.clone();
    Box::new(move |result: Result<_, _>| {
        // The receiver waits, unless it has given up.
        let _ = done.send(result.map(|_| ()));
    })
}

/// Visits all entries of a sealed file, until `visit` fails.
fn each_entry<E: From<io::Error>>(
    file: &ValueLogFile,
    visit: &mut dyn FnMut(&EntryRecord) -> Result<(), E>,
) -> Result<(), E> {
    if let Some(sidecar) = Sidecar::read(&file.sidecar_path(), file.id) {
        return sidecar.entries().try_for_each(|record| visit(&record));
    }
    // Everything in a sealed file was durable.
    let scanned = scan::verify(file, FILE_HEADER, Lsn::new(file.id, file.len()?))?;
    let mut result = Ok(());
    scan::visit(file, FILE_HEADER, &scanned, &mut |record| {
        if result.is_ok() {
            result = visit(&record);
        }
    })?;
    result
}
