//! Removing rows: what a truncation cuts off, what retention and deletion leave behind, and producers.

use crate::fold::Extent;
use crate::index::{Index, IndexError, keys};
use crate::indexer::fold::Indexing;
use crate::partition::producers::ProducerTable;
use crate::types::PartitionId;

/// Rows that one round of trimming removes at the most.
const TRIM_AT_ONCE: usize = 4096;

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
        self.commit(index)?;
        let mut batches = Vec::new();
        index.batches(id, log_end, &mut |base, location| {
            batches.push((base, location));
            true
        })?;
        for (base, location) in batches {
            self.drop_batch(id, base, &location);
        }
        self.remove_times(index, id, i64::MAX, log_end.saturating_sub(1))?;
        if let Some(row) = self.rows.get_mut(&id) {
            row.trimmed_offset = row.trimmed_offset.min(log_end);
        }
        for (producer, bytes) in producer_rows(index, id)? {
            let mut table = ProducerTable::default();
            table.decode_into(producer, &bytes);
            table.truncate_suffix(log_end);
            match table.encode(producer) {
                Some(bytes) => self.changes.put(keys::producer(id, producer), bytes),
                None => self.changes.remove(keys::producer(id, producer)),
            }
        }
        self.touched.insert(id);
        self.commit(index)
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
        index.scan(&from, &to, &mut |key, value| {
            if wrong(value) {
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
                        table.decode_into(*producer, &bytes);
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

    pub fn has_trims(&self) -> bool {
        !self.trims.is_empty()
    }

    /// Removes some of the rows of one partition that nothing reaches any more. True if there were some.
    pub fn trim(&mut self, index: &Index) -> Result<bool, IndexError> {
        let Some(id) = self.trims.first().copied() else {
            return Ok(false);
        };
        let Some(row) = self.rows.get(&id) else {
            self.trims.remove(&id);
            return Ok(false);
        };
        let (log_start, deleted) = (row.extent.log_start, row.deleted);
        let mut removed = self.trim_batches(index, id)?;
        if removed < TRIM_AT_ONCE {
            removed += self.trim_times(index, id)?;
        }
        if removed < TRIM_AT_ONCE {
            self.trims.remove(&id);
            if let Some(row) = self.rows.get_mut(&id) {
                row.trimmed_offset = log_start;
            }
            if deleted {
                self.remove_partition(index, id)?;
                return Ok(true);
            }
        }
        if removed > 0 {
            self.touched.insert(id);
        }
        Ok(removed > 0)
    }

    fn trim_batches(&mut self, index: &Index, id: PartitionId) -> Result<usize, IndexError> {
        let Some(row) = self.rows.get(&id) else {
            return Ok(0);
        };
        let (log_start, deleted) = (row.extent.log_start, row.deleted);
        // The batch that held the old log start may have begun before it.
        let from = match index.floor(id, row.trimmed_offset)? {
            Some((base, _)) => base,
            None => row.trimmed_offset,
        };
        let mut dead = Vec::new();
        index.batches(id, from, &mut |base, location| {
            let reachable = !deleted && base + u64::from(location.last_offset_delta) >= log_start;
            if !reachable {
                dead.push((base, location));
            }
            !reachable && dead.len() < TRIM_AT_ONCE
        })?;
        for (base, location) in &dead {
            self.drop_batch(id, *base, location);
        }
        if let (Some((base, location)), Some(row)) = (dead.last(), self.rows.get_mut(&id)) {
            row.trimmed_offset = base + u64::from(location.last_offset_delta) + 1;
        }
        Ok(dead.len())
    }

    fn trim_times(&mut self, index: &Index, id: PartitionId) -> Result<usize, IndexError> {
        let Some(row) = self.rows.get_mut(&id) else {
            return Ok(0);
        };
        let (log_start, all) = (row.extent.log_start, row.deleted);
        let mut last = None;
        let (mut removed, changes) = (0, &mut self.changes);
        index.scan(
            &keys::time(id, row.trimmed_timestamp),
            &keys::times_end(id),
            &mut |key, value| {
                let dead = all || keys::parse_u64(value).is_none_or(|offset| offset < log_start);
                if dead {
                    changes.remove(key);
                    last = keys::parse_time(key);
                    removed += 1;
                }
                dead && removed < TRIM_AT_ONCE
            },
        )?;
        row.trimmed_timestamp = last.unwrap_or(row.trimmed_timestamp);
        Ok(removed)
    }

    fn remove_partition(&mut self, index: &Index, id: PartitionId) -> Result<(), IndexError> {
        for (producer, _) in producer_rows(index, id)? {
            self.changes.remove(keys::producer(id, producer));
        }
        self.changes.remove(keys::partition(id));
        self.rows.remove(&id);
        self.touched.remove(&id);
        Ok(())
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

/// The stored state of all producers of a partition.
fn producer_rows(index: &Index, id: PartitionId) -> Result<Vec<(i64, Vec<u8>)>, IndexError> {
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
