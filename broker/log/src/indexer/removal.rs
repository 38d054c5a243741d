//! Removing rows: what a truncation cuts off, producers that are forgotten, and files that are gone.

use crate::fold::Extent;
use crate::index::{Index, IndexError, keys};
use crate::indexer::fold::Indexing;
use crate::partition::producers::ProducerTable;
use crate::types::PartitionId;

/// Rows of batches that are removed with one commit.
const REMOVED_AT_ONCE: usize = 16_384;

/// Producers that have expired, or were pushed out by others.
#[derive(Debug)]
pub(crate) struct Forgotten {
    pub partition: PartitionId,
    pub producers: Vec<i64>,
    /// The log's end at that time: a producer that has written since is not meant.
    pub before: u64,
}

impl Indexing {
    /// Removes everything from `log_end` on.
    pub(super) fn truncate(
        &mut self,
        index: &Index,
        id: PartitionId,
        log_end: u64,
    ) -> Result<(), IndexError> {
        self.remove_batches(index, id, log_end)?;
        self.remove_times(index, id, i64::MAX, log_end.saturating_sub(1))?;
        if let Some(row) = self.rows.get_mut(&id) {
            row.trimmed_offset = row.trimmed_offset.min(log_end);
            if log_end == 0 {
                row.forget_times();
            }
        }
        for (producer, bytes) in producer_rows(index, id)? {
            let mut table = ProducerTable::default();
            decode_producer(&mut table, producer, &bytes)?;
            table.truncate_suffix(log_end);
            match table.encode(producer) {
                Some(bytes) => self.changes.put(keys::producer(id, producer), bytes),
                None => self.changes.remove(keys::producer(id, producer)),
            }
        }
        self.touched.insert(id);
        self.commit(index)
    }

    /// Removes the rows of batches from `log_end` on, some at a time. If the process ends meanwhile, the truncation
    /// is taken in again: the index is not past it yet.
    fn remove_batches(
        &mut self,
        index: &Index,
        id: PartitionId,
        log_end: u64,
    ) -> Result<(), IndexError> {
        let mut from = log_end;
        loop {
            self.touched.insert(id);
            self.commit(index)?;
            let mut batches = Vec::new();
            index.batches(id, from, &mut |base, location| {
                batches.push((base, location));
                batches.len() < REMOVED_AT_ONCE
            })?;
            for (base, location) in &batches {
                self.drop_batch(id, *base, location);
            }
            match batches.last() {
                Some((base, _)) if batches.len() == REMOVED_AT_ONCE => from = base + 1,
                _ => return Ok(()),
            }
        }
    }

    /// Removes the batches that truncations have cut off that are not in the log any more.
    pub(super) fn cut_off(
        &mut self,
        index: &Index,
        id: PartitionId,
        extent: &Extent,
    ) -> Result<(), IndexError> {
        let Some(from) = extent.truncations.iter().map(|t| t.offset).min() else {
            return Ok(());
        };
        self.commit(index)?;
        let mut batches = Vec::new();
        index.batches(id, from, &mut |base, location| {
            if extent.has_cut_off(base, location.lsn) {
                batches.push((base, location));
            }
            true
        })?;
        for (base, location) in batches {
            self.drop_batch(id, base, &location);
        }
        self.commit(index)
    }

    /// Removes the rows of the time index for times up to `timestamp` that point behind `offset`.
    pub(super) fn remove_times(
        &mut self,
        index: &Index,
        id: PartitionId,
        timestamp: i64,
        offset: u64,
    ) -> Result<(), IndexError> {
        let (from, to) = (keys::times_start(id), keys::times_after(id, timestamp));
        let wrong = |value: &[u8]| keys::parse_u64(value).is_none_or(|at| at > offset);
        let pending = self.changes.puts(&from, &to);
        let mut rows: Vec<Vec<u8>> = pending
            .filter(|(_, value)| wrong(value))
            .map(|(key, _)| key.to_vec())
            .collect();
        index.times(id, i64::MIN..=timestamp, &mut |key, at| {
            if at > offset {
                rows.push(key.to_vec());
            }
            true
        })?;
        rows.into_iter().for_each(|key| self.changes.remove(key));
        Ok(())
    }

    /// Removes the rows of producers that are forgotten.
    pub fn forget_producers(
        &mut self,
        index: &Index,
        forgotten: &Forgotten,
    ) -> Result<(), IndexError> {
        let id = forgotten.partition;
        for producer in &forgotten.producers {
            let newest = match self.producers.get(&id) {
                Some((table, touched)) if touched.contains(producer) => {
                    table.newest_offset(*producer)
                }
                _ => {
                    let mut table = ProducerTable::default();
                    if let Some(bytes) = index.producer(id, *producer)? {
                        decode_producer(&mut table, *producer, &bytes)?;
                    }
                    table.newest_offset(*producer)
                }
            };
            if newest.is_some_and(|offset| offset >= forgotten.before) {
                continue;
            }
            self.changes.remove(keys::producer(id, *producer));
            if let Some((_, touched)) = self.producers.get_mut(&id) {
                touched.remove(producer);
            }
        }
        Ok(())
    }

    /// Removes the state of all producers.
    pub fn forget_all_producers(&mut self, index: &Index) -> Result<(), IndexError> {
        self.commit(index)?;
        let changes = &mut self.changes;
        index.producers(&mut |id, producer, _| changes.remove(keys::producer(id, producer)))?;
        self.commit(index)
    }

    /// Forgets files that are gone, and truncations that nothing is left of.
    pub fn forget_files(&mut self, exists: impl Fn(u32) -> bool, oldest: u32) {
        for row in self.rows.values_mut() {
            let truncations = &mut row.extent.truncations;
            truncations.retain(|t| t.before.file() >= oldest);
        }
        let changes = &mut self.changes;
        self.files.retain(|id, _| {
            let there = exists(*id);
            if !there {
                changes.remove(keys::file(*id));
            }
            there
        });
    }
}

/// Takes a producer's row into `table`.
pub(super) fn decode_producer(
    table: &mut ProducerTable,
    producer: i64,
    bytes: &[u8],
) -> Result<(), IndexError> {
    match table.decode_into(producer, bytes) {
        true => Ok(()),
        false => Err(IndexError::new("malformed producer row".into())),
    }
}

/// The stored state of all producers of a partition.
pub(super) fn producer_rows(
    index: &Index,
    id: PartitionId,
) -> Result<Vec<(i64, Vec<u8>)>, IndexError> {
    let mut rows = Vec::new();
    let (from, to) = keys::producers(id);
    index.scan(&from, &to, &mut |key, value| {
        if let Some(producer) = key.get(9..).and_then(keys::parse_u64) {
            rows.push((producer.cast_signed(), value.to_vec()));
        }
        true
    })?;
    Ok(rows)
}
