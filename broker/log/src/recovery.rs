//! Opening a log: what was written, up to which place, and what of it the index knows already.
//!
//! ```text
//! index opens? ──no──► wipe it ─► replay all files (sidecars where there are some)
//!      │yes
//!      ▼
//! verify from `durable` on ─► end before `applied`? ──yes──► wipe, replay all
//!      │no                     (the index is ahead of the log)
//!      ▼
//! fold what is between `applied` and the end
//! ```

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::error::OpenError;
use crate::fold::Extents;
use crate::index::{Index, IndexError};
use crate::indexer::{Indexing, Stored};
use crate::options::LogOptions;
use crate::types::Lsn;
use crate::valuelog::entry::{ENTRY_HEADER, EntryKind, FILE_HEADER, file_header_is_sound};
use crate::valuelog::file::ValueLogFile;
use crate::valuelog::files::Files;
use crate::valuelog::scan::{self, ScanReport};
use crate::valuelog::sidecar::{EntryRecord, Sidecar};

/// Changes in one commit while a log is replayed.
const COMMIT_AT: usize = 65_536;

/// What opening a log found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecoveryReport {
    /// The log was closed in order.
    pub clean: bool,
    /// Entries that the index did not know yet.
    pub replayed_entries: u64,
    /// Why the index was filled anew, if it was.
    pub index_rebuilt: Option<String>,
    /// Stretches of value log files that should hold entries and are damaged: file, from, to.
    pub damaged: Vec<(u32, u32, u32)>,
    /// Bytes of entries that were never acknowledged, were not written whole, and have been cut off.
    pub torn_bytes: u64,
    /// How long it took.
    pub elapsed: Duration,
}

/// A log's state as it was found.
pub(crate) struct Recovered {
    pub index: Index,
    pub indexing: Indexing,
    /// All partitions as the index holds them.
    pub stored: Stored,
    pub next_id: u32,
    /// Files that the last process did not come to write a sidecar for.
    pub without_sidecar: Vec<Arc<ValueLogFile>>,
    pub report: RecoveryReport,
}

/// Brings index and value log together. `closed_at` says where the log ended, if it was closed in order.
pub(crate) fn recover(
    options: &LogOptions,
    files: &Files,
    index_directory: &Path,
    closed_at: Option<Lsn>,
) -> Result<Recovered, OpenError> {
    let began = Instant::now();
    let mut report = RecoveryReport {
        clean: closed_at.is_some(),
        ..RecoveryReport::default()
    };
    // What was there when the log was closed is durable: if it does not read now, it is damaged, not torn.
    let proven = closed_at.unwrap_or_default();
    let opened = Index::open(index_directory, options.index_cache_bytes)
        .and_then(|index| Ok((Indexing::load(&index)?, index)))
        .map_err(|e| e.to_string())
        .and_then(|(indexing, index)| usable(&indexing, files).map(|()| (index, indexing)));
    let found = opened.and_then(|(index, indexing)| {
        match catch_up(files, &index, indexing, proven, &mut report) {
            Ok(indexing) => Ok((index, indexing)),
            Err(error) => Err(error.to_string()),
        }
    });
    let failed = |e: IndexError| OpenError::Index(e.to_string());
    let refill = |reason: String, report: &mut RecoveryReport| {
        if files.all().iter().any(|f| first_header(f).is_some()) {
            tracing::warn!(reason, "filling the index anew from the value log");
            report.index_rebuilt = Some(reason);
        }
        rebuild(options, files, index_directory, proven, report)
    };
    let (mut index, mut indexing) = match found {
        Ok(found) => found,
        Err(reason) => refill(reason, &mut report)?,
    };
    let tail = close_tail(files, &indexing)?;
    let stored = match settle(files, &index, &mut indexing) {
        Ok(stored) => stored,
        Err(error) => {
            drop(index);
            (index, indexing) = refill(error.to_string(), &mut report)?;
            settle(files, &index, &mut indexing).map_err(failed)?
        }
    };
    report.elapsed = began.elapsed();
    Ok(Recovered {
        index,
        indexing,
        stored,
        next_id: tail.next_id,
        without_sidecar: tail.without_sidecar,
        report,
    })
}

/// Commits what was taken in; returns all that the index holds of the partitions then.
fn settle(files: &Files, index: &Index, indexing: &mut Indexing) -> Result<Stored, IndexError> {
    let oldest = files.all().first().map_or(0, |f| f.id);
    indexing.forget_files(|id| files.get(id).is_some(), oldest);
    indexing.commit(index)?;
    indexing.stored(index)
}

/// Whether the index can belong to these files.
fn usable(indexing: &Indexing, files: &Files) -> Result<(), String> {
    let applied = indexing.applied();
    if applied == Lsn::default() {
        return Err("the index is empty".into());
    }
    if files.get(applied.file()).is_none() {
        return Err(format!(
            "the index ends in file {}, which is not there",
            applied.file()
        ));
    }
    match indexing
        .live_bytes()
        .iter()
        .find(|(id, live)| **live > 0 && files.get(**id).is_none())
    {
        Some((id, _)) => Err(format!("the index points to file {id}, which is not there")),
        None => Ok(()),
    }
}

/// Takes in what was written after the index was.
fn catch_up(
    files: &Files,
    index: &Index,
    mut indexing: Indexing,
    proven: Lsn,
    report: &mut RecoveryReport,
) -> Result<Indexing, IndexError> {
    let (applied, durable) = (indexing.applied(), indexing.durable());
    let from = applied.min(durable);
    let all = files.all();
    let mut end = from;
    for file in all.iter().filter(|f| f.id >= from.file()) {
        let start = if file.id == from.file() {
            from.position()
        } else {
            FILE_HEADER
        };
        let proven = proven_by_later(&all, file.id).max(durable).max(proven);
        let scanned = scan::verify(file, start, proven)?;
        note(file, &scanned, report);
        cut_torn(file, &scanned)?;
        let mut replayed = 0;
        each_scanned(file, start, &scanned, &mut |record| {
            if record.header.lsn < applied {
                return Ok(());
            }
            replayed += 1;
            take_in(index, &mut indexing, &record)
        })?;
        report.replayed_entries += replayed;
        if scanned.end > FILE_HEADER {
            end = Lsn::new(file.id, scanned.end);
        }
    }
    if end < applied {
        return Err(IndexError::new(format!(
            "the index is at {applied}, the value log ends at {end}"
        )));
    }
    indexing.advance(end, end);
    Ok(indexing)
}

/// Visits the entries that a scan has found, until `visit` fails.
fn each_scanned(
    file: &ValueLogFile,
    from: u32,
    scanned: &ScanReport,
    visit: &mut dyn FnMut(EntryRecord) -> Result<(), IndexError>,
) -> Result<(), IndexError> {
    let mut result = Ok(());
    scan::visit(file, from, scanned, &mut |record| {
        if result.is_ok() {
            result = visit(record);
        }
    })?;
    result
}

fn take_in(index: &Index, indexing: &mut Indexing, record: &EntryRecord) -> Result<(), IndexError> {
    indexing.apply(index, record)?;
    if indexing.pending() >= COMMIT_AT {
        indexing.commit(index)?;
    }
    Ok(())
}

/// What the head of the next file that has one says was durable.
fn proven_by_later(all: &[Arc<ValueLogFile>], id: u32) -> Lsn {
    let later = all.iter().filter(|f| f.id > id);
    later
        .filter_map(|f| first_header(f))
        .map(|h| h.durable)
        .next()
        .unwrap_or_default()
}

fn first_header(file: &ValueLogFile) -> Option<crate::valuelog::entry::EntryHeader> {
    let mut bytes = [0; ENTRY_HEADER as usize];
    file.read_exact_at(&mut bytes, FILE_HEADER).ok()?;
    crate::valuelog::entry::EntryHeader::decode(&bytes)
        .filter(|h| h.lsn == Lsn::new(file.id, FILE_HEADER))
}

fn note(file: &ValueLogFile, scanned: &ScanReport, report: &mut RecoveryReport) {
    if scanned.torn_bytes > 0 {
        tracing::warn!(
            file = file.id,
            bytes = scanned.torn_bytes,
            "cutting off a torn tail that was never acknowledged"
        );
        report.torn_bytes += u64::from(scanned.torn_bytes);
    }
    for (from, to) in &scanned.holes {
        tracing::error!(
            file = file.id,
            from,
            to,
            "value log is damaged: entries are missing here"
        );
        report.damaged.push((file.id, *from, *to));
    }
    for position in &scanned.bad_payloads {
        tracing::error!(
            file = file.id,
            position,
            "value log is damaged: a payload fails its checksum"
        );
        report
            .damaged
            .push((file.id, *position, *position + ENTRY_HEADER));
    }
}

/// What is cut off must not come back when the file is read without what is known now.
fn cut_torn(file: &ValueLogFile, scanned: &ScanReport) -> io::Result<()> {
    if scanned.torn_bytes > 0 {
        file.cut(scanned.end)?;
        file.sync()?;
    }
    Ok(())
}

fn rebuild(
    options: &LogOptions,
    files: &Files,
    directory: &Path,
    proven: Lsn,
    report: &mut RecoveryReport,
) -> Result<(Index, Indexing), OpenError> {
    let failed = |e: IndexError| OpenError::Index(e.to_string());
    let index = wipe_index(directory, options.index_cache_bytes).map_err(failed)?;
    report.damaged.clear();
    (report.replayed_entries, report.torn_bytes) = (0, 0);
    let indexing = Replay {
        files: files.all(),
        limit: None,
        proven,
    }
    .run(&index, report)
    .map_err(failed)?;
    Ok((index, indexing))
}

/// Deletes the index and makes an empty one.
pub(crate) fn wipe_index(directory: &Path, cache_bytes: u64) -> Result<Index, IndexError> {
    match fs::remove_dir_all(directory) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e.into()),
        _ => {}
    }
    Index::open(directory, cache_bytes)
}

/// Fills an empty index from the value log, up to `applied`, where the partitions' bounds are known to be `bounds`.
pub(crate) fn replay_all(
    files: &Files,
    index: &Index,
    bounds: &Extents,
    applied: Lsn,
    durable: Lsn,
) -> Result<Indexing, IndexError> {
    let replay = Replay {
        files: files.all(),
        limit: Some(applied),
        proven: applied,
    };
    let mut indexing = replay.run(index, &mut RecoveryReport::default())?;
    indexing.apply_snapshot(index, bounds)?;
    indexing.advance(applied, durable);
    indexing.commit(index)?;
    Ok(indexing)
}

/// Filling an empty index from all files.
struct Replay {
    files: Vec<Arc<ValueLogFile>>,
    /// Entries from this place on are not taken in.
    limit: Option<Lsn>,
    /// Everything before this place is known to be durable.
    proven: Lsn,
}

impl Replay {
    fn run(&self, index: &Index, report: &mut RecoveryReport) -> Result<Indexing, IndexError> {
        let mut indexing = Indexing::replaying();
        let mut previous = None;
        for file in &self.files {
            if previous.is_some_and(|id| id + 1 != file.id) {
                // What producers wrote next may have been in the files between, which are gone: an old
                // state would make the log refuse batches that follow; no state makes it take them.
                indexing.forget_all_producers(index)?;
            }
            previous = Some(file.id);
            let end = self.file(file, index, &mut indexing, report)?;
            if end > FILE_HEADER {
                let end = Lsn::new(file.id, end);
                let end = self.limit.map_or(end, |limit| end.min(limit));
                indexing.advance(end, end);
            }
        }
        indexing.commit(index)?;
        indexing.replayed();
        Ok(indexing)
    }

    /// Takes in all entries of a file, from its sidecar or else by reading it; says where they end.
    fn file(
        &self,
        file: &ValueLogFile,
        index: &Index,
        indexing: &mut Indexing,
        report: &mut RecoveryReport,
    ) -> Result<u32, IndexError> {
        let mut replayed = 0;
        let mut take_in = |record: EntryRecord| {
            if self.limit.is_some_and(|limit| record.header.lsn >= limit) {
                return Ok(());
            }
            replayed += 1;
            if record.header.kind == EntryKind::Snapshot
                && let Some(extents) = read_snapshot(file, &record)
            {
                indexing.apply_snapshot(index, &extents)?;
            }
            take_in(index, indexing, &record)
        };
        let end = match Sidecar::read(&file.sidecar_path(), file.id) {
            Some(sidecar) => {
                sidecar.entries().try_for_each(take_in)?;
                sidecar.end
            }
            None => {
                let proven = proven_by_later(&self.files, file.id).max(self.proven);
                let scanned = scan::verify(file, FILE_HEADER, proven)?;
                note(file, &scanned, report);
                if self.limit.is_none() {
                    cut_torn(file, &scanned)?;
                }
                each_scanned(file, FILE_HEADER, &scanned, &mut take_in)?;
                scanned.end
            }
        };
        report.replayed_entries += replayed;
        Ok(end)
    }
}

fn read_snapshot(file: &ValueLogFile, record: &EntryRecord) -> Option<Extents> {
    let position = record.header.lsn.position();
    let end = position.checked_add(record.header.stored_bytes())?;
    if end > file.len().ok()? {
        return None;
    }
    let mut payload = vec![0; record.header.length as usize];
    file.read_exact_at(&mut payload, position + ENTRY_HEADER)
        .ok()?;
    match record.header.check_payload(&payload) {
        Ok(()) => Extents::decode(&payload),
        Err(reason) => {
            tracing::warn!(
                file = file.id,
                reason,
                "the snapshot at the head of a file is damaged; going on without"
            );
            None
        }
    }
}

/// What closing the tail leaves to do.
struct Tail {
    next_id: u32,
    without_sidecar: Vec<Arc<ValueLogFile>>,
}

/// Seals what was written to last, and drops files without entries.
fn close_tail(files: &Files, indexing: &Indexing) -> Result<Tail, OpenError> {
    let end = indexing.applied();
    let mut without_sidecar = Vec::new();
    for file in files.all() {
        let failed = |path: PathBuf| OpenError::io(path);
        if end == Lsn::default() || file.id > end.file() {
            files.discard(file.id).map_err(failed(file.path.clone()))?;
            continue;
        }
        warn_about_header(&file);
        if file.id == end.file() {
            file.cut(end.position())
                .and_then(|()| file.sync())
                .map_err(failed(file.path.clone()))?;
        }
        if !file.sidecar_path().exists() {
            without_sidecar.push(file);
        }
    }
    // The ids have no gaps but those of files given back: see `Replay::run`.
    Ok(Tail {
        next_id: end.file() + 1,
        without_sidecar,
    })
}

fn warn_about_header(file: &ValueLogFile) {
    let mut head = [0; 64];
    if file.read_exact_at(&mut head, 0).is_err() || !file_header_is_sound(&head, file.id) {
        tracing::warn!(
            file = file.id,
            "the header of a value log file is damaged; its entries are used all the same"
        );
    }
}
