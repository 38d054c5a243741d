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
use crate::indexer::Indexing;
use crate::options::LogOptions;
use crate::types::Lsn;
use crate::valuelog::entry::{ENTRY_HEADER, EntryKind, FILE_HEADER, file_header_is_sound};
use crate::valuelog::files::{Files, ValueLogFile};
use crate::valuelog::scan::{self, ScanReport};
use crate::valuelog::sidecar::{self, EntryRecord, SidecarBuilder};

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
    /// Bytes of a torn tail that were never acknowledged and have been cut off.
    pub torn_bytes: u64,
    /// How long it took.
    pub elapsed: Duration,
}

/// A log's state as it was found.
pub(crate) struct Recovered {
    pub index: Index,
    pub indexing: Indexing,
    pub next_id: u32,
    pub report: RecoveryReport,
}

/// Brings index and value log together. `clean` says whether the log was closed in order.
pub(crate) fn recover(
    options: &LogOptions,
    files: &Files,
    index_directory: &Path,
    clean: bool,
) -> Result<Recovered, OpenError> {
    let began = Instant::now();
    let mut report = RecoveryReport {
        clean,
        ..RecoveryReport::default()
    };
    let opened = Index::open(index_directory, options.index_cache_bytes)
        .and_then(|index| Ok((Indexing::load(&index)?, index)))
        .map_err(|e| e.to_string())
        .and_then(|(indexing, index)| usable(&indexing, files).map(|()| (index, indexing)));
    let found =
        opened.and_then(
            |(index, indexing)| match catch_up(files, &index, indexing, &mut report) {
                Ok(indexing) => Ok((index, indexing)),
                Err(error) => Err(error.to_string()),
            },
        );
    let (index, mut indexing) = match found {
        Ok(found) => found,
        Err(reason) => {
            let entries_exist = files
                .all()
                .iter()
                .any(|f| f.len().is_ok_and(|l| l > FILE_HEADER));
            if entries_exist {
                tracing::warn!(reason, "filling the index anew from the value log");
                report.index_rebuilt = Some(reason);
            }
            rebuild(options, files, index_directory, &mut report)?
        }
    };
    let next_id = close_tail(files, &indexing, &mut report)?;
    indexing.forget_files(|id| files.get(id).is_some());
    indexing
        .commit(&index)
        .map_err(|e| OpenError::Index(e.to_string()))?;
    report.elapsed = began.elapsed();
    Ok(Recovered {
        index,
        indexing,
        next_id,
        report,
    })
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
        let proven = proven_by_later(&all, file.id).max(durable);
        let scanned = scan::verify(file, start, proven)?;
        note(file, &scanned, report);
        let mut failed = None;
        scan::visit(file, start, &scanned, &mut |record| {
            if record.header.lsn >= applied && failed.is_none() {
                report.replayed_entries += 1;
                failed = take_in(index, &mut indexing, &record).err();
            }
        })?;
        if let Some(error) = failed {
            return Err(error);
        }
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

fn rebuild(
    options: &LogOptions,
    files: &Files,
    directory: &Path,
    report: &mut RecoveryReport,
) -> Result<(Index, Indexing), OpenError> {
    let index = wipe_index(directory, options.index_cache_bytes)
        .map_err(|e| OpenError::Index(e.to_string()))?;
    report.damaged.clear();
    let indexing =
        replay_files(files, &index, None, report).map_err(|e| OpenError::Index(e.to_string()))?;
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

/// Fills an empty index from the value log, up to `applied`.
pub(crate) fn replay_all(
    files: &Files,
    index: &Index,
    applied: Lsn,
    durable: Lsn,
) -> Result<Indexing, IndexError> {
    let mut indexing = replay_files(files, index, Some(applied), &mut RecoveryReport::default())?;
    indexing.advance(applied, durable);
    indexing.commit(index)?;
    Ok(indexing)
}

fn replay_files(
    files: &Files,
    index: &Index,
    limit: Option<Lsn>,
    report: &mut RecoveryReport,
) -> Result<Indexing, IndexError> {
    let mut indexing = Indexing::default();
    let all = files.all();
    for file in &all {
        let (records, end) = read_file(file, &all, report)?;
        for record in records {
            if limit.is_some_and(|limit| record.header.lsn >= limit) {
                break;
            }
            report.replayed_entries += 1;
            if record.header.kind == EntryKind::Snapshot
                && let Some(extents) = read_snapshot(file, &record)
            {
                indexing.apply_snapshot(index, &extents)?;
            }
            take_in(index, &mut indexing, &record)?;
        }
        if end > FILE_HEADER {
            let end = Lsn::new(file.id, end);
            let end = limit.map_or(end, |limit| end.min(limit));
            indexing.advance(end, end);
        }
    }
    indexing.commit(index)?;
    Ok(indexing)
}

/// All entries of a file: from its sidecar, or else by reading it.
fn read_file(
    file: &ValueLogFile,
    all: &[Arc<ValueLogFile>],
    report: &mut RecoveryReport,
) -> Result<(Vec<EntryRecord>, u32), IndexError> {
    if let Some(found) = sidecar::read(&file.sidecar_path(), file.id) {
        return Ok(found);
    }
    let scanned = scan::verify(file, FILE_HEADER, proven_by_later(all, file.id))?;
    note(file, &scanned, report);
    let mut records = Vec::new();
    scan::visit(file, FILE_HEADER, &scanned, &mut |record| {
        records.push(record)
    })?;
    Ok((records, scanned.end))
}

fn read_snapshot(file: &ValueLogFile, record: &EntryRecord) -> Option<Extents> {
    let mut payload = vec![0; record.header.length as usize];
    file.read_exact_at(&mut payload, record.header.lsn.position() + ENTRY_HEADER)
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

/// Seals what was written to last, drops files without entries; the next file's id comes back.
fn close_tail(
    files: &Files,
    indexing: &Indexing,
    report: &mut RecoveryReport,
) -> Result<u32, OpenError> {
    let end = indexing.applied();
    let mut next_id = 1;
    for file in files.all() {
        next_id = next_id.max(file.id + 1);
        let failed = |path: PathBuf| OpenError::io(path);
        if end == Lsn::default() || file.id > end.file() {
            files.discard(file.id).map_err(failed(file.path.clone()))?;
            continue;
        }
        warn_about_header(&file);
        if file.id == end.file() {
            let torn = torn_bytes(&file, end.position()).map_err(failed(file.path.clone()))?;
            report.torn_bytes = torn;
            if torn > 0 {
                tracing::warn!(
                    file = file.id,
                    bytes = torn,
                    "cutting off a torn tail that was never acknowledged"
                );
            }
            file.cut(end.position())
                .and_then(|()| file.sync())
                .map_err(failed(file.path.clone()))?;
        }
        if !file.sidecar_path().exists() && file.id >= indexing.durable().file() {
            write_sidecar(&file).map_err(failed(file.sidecar_path()))?;
        }
    }
    Ok(next_id)
}

/// Bytes behind the end that are not zeros, up to a bound: an allocated file is all zeros there.
fn torn_bytes(file: &ValueLogFile, end: u32) -> io::Result<u64> {
    let mut bytes = vec![0; 1 << 16];
    let read = file.read_at(&mut bytes, end)?;
    let last = bytes[..read].iter().rposition(|b| *b != 0);
    Ok(last.map_or(0, |at| at as u64 + 1))
}

fn write_sidecar(file: &ValueLogFile) -> io::Result<()> {
    let scanned = scan::verify(file, FILE_HEADER, Lsn::default())?;
    let mut builder = SidecarBuilder::default();
    scan::visit(file, FILE_HEADER, &scanned, &mut |record| {
        builder.push(&record)
    })?;
    sidecar::write(
        &file.sidecar_path(),
        &builder.finish(file.len()?.max(scanned.end)),
    )
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
