//! Giving files back: those that hold nothing alive, and, after what is alive in them was copied forward,
//! those that hold little.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::channel;

use crate::error::AppendError;
use crate::log::Log;
use crate::queue::PendingEntry;
use crate::stats::Counters;
use crate::types::{Location, Lsn};
use crate::valuelog::entry::{EntryKind, FILE_HEADER};
use crate::valuelog::files::ValueLogFile;
use crate::valuelog::scan;
use crate::valuelog::sidecar::{self, EntryRecord};

/// Entries under way at a time while a file is copied forward.
const IN_FLIGHT: usize = 256;
/// A file smaller than this is copied forward whatever is alive in it, once it is one of many.
const MANY_FILES: usize = 64;

impl Log {
    /// Gives back the files that hold nothing alive, and copies forward the one that holds least, if that
    /// is under half. Returns the number of files given back. May wait for the disk.
    pub fn reclaim(&self) -> usize {
        if !self.wait_until_indexed() {
            return 0;
        }
        let mut retired = self.retire_dead();
        if let Some(file) = self.sparsest() {
            match self.copy_forward(&file) {
                Ok(bytes) => {
                    Counters::add(&self.shared().counters.relocated_bytes, bytes);
                    drop(file);
                    if self.wait_until_indexed() {
                        retired += self.retire_dead();
                    }
                }
                Err(error) => {
                    tracing::warn!(file = file.id, %error, "could not copy a file's live entries forward")
                }
            }
        }
        retired
    }

    /// The files that get no more entries, oldest first.
    fn sealed(&self) -> Vec<Arc<ValueLogFile>> {
        let mut files = self.shared().files.all();
        files.pop();
        files
    }

    fn retire_dead(&self) -> usize {
        let dead: Vec<u32> = self
            .sealed()
            .iter()
            .map(|f| f.id)
            .filter(|id| self.shared().live_bytes(*id) == 0)
            .collect();
        let mut retired = 0;
        for id in dead {
            match self.shared().files.retire(id) {
                Ok(()) => {
                    tracing::debug!(file = id, "gave a value log file back");
                    retired += 1;
                }
                Err(error) => {
                    tracing::warn!(file = id, %error, "could not give a value log file back")
                }
            }
        }
        Counters::add(&self.shared().counters.reclaimed_files, retired as u64);
        retired
    }

    /// The file with the smallest share alive, if that is under half of it.
    fn sparsest(&self) -> Option<Arc<ValueLogFile>> {
        let files = self.sealed();
        let small = if files.len() > MANY_FILES {
            self.shared().options.file_bytes / 8
        } else {
            0
        };
        files
            .into_iter()
            .filter_map(|file| {
                let length = file.len().ok()?.max(1);
                let live = self.shared().live_bytes(file.id);
                let sparse = live * 2 < u64::from(length) || length < small;
                sparse.then_some((live * 1000 / u64::from(length), file))
            })
            .min_by_key(|(share, _)| *share)
            .map(|(_, file)| file)
    }

    /// Writes what is alive in `file` again, at the end of the log; returns how many bytes that were.
    fn copy_forward(&self, file: &ValueLogFile) -> io::Result<u64> {
        let (done, finished) = channel::<Result<(), AppendError>>();
        let (mut under_way, mut bytes) = (0usize, 0u64);
        let wait = |under_way: &mut usize| -> io::Result<()> {
            *under_way -= 1;
            finished
                .recv()
                .map_err(|_| io::Error::other("the log is closed"))?
                .map_err(io::Error::other)
        };
        for record in entries(file)? {
            let Some(entry) = self.live_entry(file, &record)? else {
                continue;
            };
            let Some(partition) = self.shared().partition(record.header.partition) else {
                continue;
            };
            bytes += u64::from(record.header.stored_bytes());
            let done = done.clone();
            let completion = Box::new(move |result: Result<_, _>| {
                // The receiver waits for every entry, unless it has given up.
                let _ = done.send(result.map(|_| ()));
            });
            if partition.enqueue_rewrite(entry, completion).is_ok() {
                under_way += 1;
            }
            if under_way == IN_FLIGHT {
                wait(&mut under_way)?;
            }
        }
        while under_way > 0 {
            wait(&mut under_way)?;
        }
        Ok(bytes)
    }

    /// The entry to write for `record`, if the index still points to it.
    fn live_entry(
        &self,
        file: &ValueLogFile,
        record: &EntryRecord,
    ) -> io::Result<Option<PendingEntry>> {
        let header = &record.header;
        if !header.kind.holds_batch()
            || self.indexed_at(header.partition, header.base_offset)? != Some(header.lsn)
        {
            return Ok(None);
        }
        let Some(partition) = self.shared().partition(header.partition) else {
            return Ok(None);
        };
        let location = Location {
            lsn: header.lsn,
            length: header.length,
            last_offset_delta: header.last_offset_delta,
            leader_epoch: header.leader_epoch,
            max_timestamp: header.max_timestamp,
        };
        let payload = match header.length {
            0 => bytes::Bytes::new(),
            _ => partition
                .read_at(self.shared(), header.base_offset, location)
                .map_err(|e| {
                    io::Error::other(format!(
                        "file {} stays, since an entry in it is damaged: {e}",
                        file.id
                    ))
                })?,
        };
        Ok(Some(PendingEntry {
            kind: EntryKind::Relocate,
            base_offset: header.base_offset,
            last_offset_delta: header.last_offset_delta,
            leader_epoch: header.leader_epoch,
            max_timestamp: header.max_timestamp,
            payload,
            producer: record.producer,
        }))
    }

    fn indexed_at(
        &self,
        partition: crate::types::PartitionId,
        base: u64,
    ) -> io::Result<Option<Lsn>> {
        let mut found = None;
        self.shared()
            .with_index(|index| {
                found = index
                    .floor(partition, base)?
                    .filter(|(b, _)| *b == base)
                    .map(|(_, l)| l.lsn);
                Ok(())
            })
            .map_err(io::Error::other)?;
        Ok(found)
    }
}

/// All entries of a sealed file.
fn entries(file: &ValueLogFile) -> io::Result<Vec<EntryRecord>> {
    if let Some((records, _)) = sidecar::read(&file.sidecar_path(), file.id) {
        return Ok(records);
    }
    let scanned = scan::verify(file, FILE_HEADER, Lsn::default())?;
    let mut records = Vec::new();
    scan::visit(file, FILE_HEADER, &scanned, &mut |record| {
        records.push(record)
    })?;
    Ok(records)
}
