//! From entries to rows: what the indexer thread and recovery both run.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use crate::fold::{Extent, Extents};
use crate::index::rows::{Applied, FileRow, PartitionRow};
use crate::index::{Changes, Index, IndexError, keys};
use crate::partition::producers::ProducerTable;
use crate::types::{Location, Lsn, PartitionId};
use crate::valuelog::entry::{EntryHeader, EntryKind, stored_bytes};
use crate::valuelog::sidecar::EntryRecord;

/// Rows that one round of trimming removes at the most.
const TRIM_AT_ONCE: usize = 4096;

/// The derived state as of some place in the value log, and the changes that are not committed yet.
#[derive(Default)]
pub(crate) struct Indexing {
    rows: HashMap<PartitionId, PartitionRow>,
    files: HashMap<u32, FileRow>,
    applied: Applied,
    committed: Lsn,
    /// Batch rows that are not committed yet; nothing: the row is removed.
    batches: BTreeMap<(PartitionId, u64), Option<Location>>,
    changes: Changes,
    touched: HashSet<PartitionId>,
    touched_files: HashSet<u32>,
    /// Producers changed since the last commit.
    producers: HashMap<PartitionId, (ProducerTable, HashSet<i64>)>,
    /// Partitions with rows that nothing can reach any more.
    trims: BTreeSet<PartitionId>,
}

impl Indexing {
    /// What an index holds.
    pub fn load(index: &Index) -> Result<Self, IndexError> {
        let applied = index.applied()?.unwrap_or_default();
        let rows: HashMap<_, _> = index.partitions()?.into_iter().collect();
        let files = index.files()?.into_iter().collect();
        // Whether anything is left to trim is not written down: one look at each partition tells.
        let trims = rows.keys().copied().collect();
        Ok(Self {
            rows,
            files,
            applied,
            committed: applied.applied,
            trims,
            ..Self::default()
        })
    }

    pub fn applied(&self) -> Lsn {
        self.applied.applied
    }

    pub fn durable(&self) -> Lsn {
        self.applied.durable
    }

    pub fn rows(&self) -> impl Iterator<Item = (&PartitionId, &PartitionRow)> {
        self.rows.iter().filter(|(_, row)| !row.deleted)
    }

    pub fn extents(&self) -> Extents {
        Extents {
            partitions: self
                .rows()
                .map(|(id, row)| (*id, row.extent.clone()))
                .collect(),
        }
    }

    pub fn live_bytes(&self) -> HashMap<u32, u64> {
        self.files
            .iter()
            .map(|(id, row)| (*id, row.live_bytes))
            .collect()
    }

    /// Everything before `applied` has been taken in.
    pub fn advance(&mut self, applied: Lsn, durable: Lsn) {
        self.applied = Applied {
            applied: self.applied.applied.max(applied),
            durable: self.applied.durable.max(durable),
        };
    }

    /// Bytes of changes that wait for a commit, about.
    pub fn pending(&self) -> usize {
        self.changes.len() + self.batches.len()
    }

    /// Takes an entry in.
    pub fn apply(&mut self, index: &Index, record: &EntryRecord) -> Result<(), IndexError> {
        let header = &record.header;
        self.advance(header.lsn, Lsn::default());
        if header.kind == EntryKind::Snapshot {
            return Ok(());
        }
        let id = header.partition;
        if self.rows.get(&id).is_some_and(|row| row.deleted) {
            return Ok(());
        }
        match header.kind {
            EntryKind::Append => self.append(index, record)?,
            EntryKind::Replace | EntryKind::Relocate => self.rewrite(index, header)?,
            EntryKind::TruncateSuffix => self.truncate(index, id, header.base_offset)?,
            EntryKind::LogStart | EntryKind::Delete => {
                self.trims.insert(id);
            }
            EntryKind::Epoch | EntryKind::Create | EntryKind::Snapshot => {}
        }
        let row = self
            .rows
            .entry(id)
            .or_insert_with(|| PartitionRow::new(Extent::starting_at(header.base_offset)));
        row.extent.apply(header);
        row.deleted = header.kind == EntryKind::Delete;
        self.touched.insert(id);
        Ok(())
    }

    /// Takes a snapshot in, when the whole log is replayed: files before it may be gone, and with them
    /// what they said of deletions and truncations.
    pub fn apply_snapshot(&mut self, index: &Index, extents: &Extents) -> Result<(), IndexError> {
        let gone: Vec<_> = self
            .rows
            .keys()
            .filter(|id| !extents.partitions.contains_key(id))
            .copied()
            .collect();
        for id in gone {
            if let Some(row) = self.rows.get_mut(&id) {
                row.deleted = true;
                self.trims.insert(id);
                self.touched.insert(id);
            }
        }
        for (id, extent) in &extents.partitions {
            if self
                .rows
                .get(id)
                .is_some_and(|row| row.extent.log_end > extent.log_end)
            {
                self.truncate(index, *id, extent.log_end)?;
            }
            let row = self
                .rows
                .entry(*id)
                .or_insert_with(|| PartitionRow::new(extent.clone()));
            row.extent = extent.clone();
            row.deleted = false;
            self.trims.insert(*id);
            self.touched.insert(*id);
        }
        Ok(())
    }

    fn append(&mut self, index: &Index, record: &EntryRecord) -> Result<(), IndexError> {
        let header = &record.header;
        let (id, base) = (header.partition, header.base_offset);
        if self
            .rows
            .get(&id)
            .is_some_and(|row| base < row.extent.log_end)
        {
            // The truncation that must have been before this append was in a file that is gone.
            self.truncate(index, id, base)?;
        }
        let row = self
            .rows
            .entry(id)
            .or_insert_with(|| PartitionRow::new(Extent::starting_at(base)));
        if row.note_timestamp(base, header.max_timestamp, header.length) {
            self.changes
                .put(keys::time(id, row.sampled_timestamp), base.to_be_bytes());
        }
        row.size_bytes += u64::from(header.length);
        self.put_batch(header);
        if let Some(stamp) = &record.producer {
            let (table, touched) = self.producers.entry(id).or_default();
            if touched.insert(stamp.producer_id)
                && let Some(bytes) = index.producer(id, stamp.producer_id)?
                && !table.decode_into(stamp.producer_id, &bytes)
            {
                return Err(IndexError::new("malformed producer row".into()));
            }
            table.record(stamp, base, header.last_offset_delta, header.max_timestamp);
        }
        Ok(())
    }

    fn put_batch(&mut self, header: &EntryHeader) {
        let location = Location {
            lsn: header.lsn,
            length: header.length,
            last_offset_delta: header.last_offset_delta,
            leader_epoch: header.leader_epoch,
            max_timestamp: header.max_timestamp,
        };
        self.batches
            .insert((header.partition, header.base_offset), Some(location));
        self.file(header.lsn.file()).live_bytes += u64::from(header.stored_bytes());
    }

    fn file(&mut self, id: u32) -> &mut FileRow {
        self.touched_files.insert(id);
        self.files.entry(id).or_default()
    }

    /// Batches got another form, or a batch another place. It counts only if they still are the batches that
    /// were meant: a truncation may have come between, and then the offsets belong to a later leader epoch.
    ///
    /// Without payload the row stays as a marker: "nothing is left of these offsets". So the rows of a
    /// partition always cover its log without a gap, and no older copy can come back when the index is
    /// rebuilt.
    fn rewrite(&mut self, index: &Index, header: &EntryHeader) -> Result<(), IndexError> {
        let (id, base) = (header.partition, header.base_offset);
        let last = base + u64::from(header.last_offset_delta);
        if self
            .rows
            .get(&id)
            .is_none_or(|row| last >= row.extent.log_end)
        {
            return Ok(());
        }
        let mut covered = Vec::new();
        let mut upper = last;
        while let Some((found, location)) = self.floor(index, id, upper)? {
            let found_last = found + u64::from(location.last_offset_delta);
            if found_last < base {
                break;
            }
            if found < base || found_last > last || location.leader_epoch > header.leader_epoch {
                return Ok(());
            }
            covered.push((found, location));
            match found.checked_sub(1) {
                Some(lower) => upper = lower,
                None => break,
            }
        }
        for (found, location) in &covered {
            self.drop_batch(id, *found, location);
        }
        if let Some(row) = self.rows.get_mut(&id) {
            row.size_bytes += u64::from(header.length);
            if header.kind == EntryKind::Replace {
                row.cleaned_end = row.cleaned_end.max(last + 1);
            }
        }
        self.put_batch(header);
        Ok(())
    }

    /// The batch with the greatest base offset up to `offset`, committed or not.
    fn floor(
        &self,
        index: &Index,
        id: PartitionId,
        offset: u64,
    ) -> Result<Option<(u64, Location)>, IndexError> {
        let pending = self
            .batches
            .range((id, 0)..=(id, offset))
            .rev()
            .find_map(|((_, base), l)| l.map(|l| (*base, l)));
        let mut below = offset;
        let committed = loop {
            match index.floor(id, below)? {
                Some((base, _)) if self.batches.contains_key(&(id, base)) => {
                    match base.checked_sub(1) {
                        Some(lower) => below = lower,
                        None => break None,
                    }
                }
                found => break found,
            }
        };
        Ok(pending
            .into_iter()
            .chain(committed)
            .max_by_key(|(base, _)| *base))
    }

    fn drop_batch(&mut self, id: PartitionId, base: u64, location: &Location) {
        self.batches.insert((id, base), None);
        let file = self.file(location.lsn.file());
        file.live_bytes = file
            .live_bytes
            .saturating_sub(u64::from(stored_bytes(location.length)));
        if let Some(row) = self.rows.get_mut(&id) {
            row.size_bytes = row.size_bytes.saturating_sub(u64::from(location.length));
        }
    }

    fn truncate(&mut self, index: &Index, id: PartitionId, log_end: u64) -> Result<(), IndexError> {
        self.commit(index)?;
        let mut batches = Vec::new();
        index.batches(id, log_end, &mut |base, location| {
            batches.push((base, location));
            true
        })?;
        for (base, location) in batches {
            self.drop_batch(id, base, &location);
        }
        let mut times = Vec::new();
        index.scan(
            &keys::times_start(id),
            &keys::times_end(id),
            &mut |key, value| {
                if keys::parse_u64(value).is_none_or(|offset| offset >= log_end) {
                    times.push(key.to_vec());
                }
                true
            },
        )?;
        times.into_iter().for_each(|key| self.changes.remove(key));
        self.truncate_producers(index, id, log_end)?;
        self.touched.insert(id);
        self.commit(index)
    }

    fn truncate_producers(
        &mut self,
        index: &Index,
        id: PartitionId,
        log_end: u64,
    ) -> Result<(), IndexError> {
        for (producer, bytes) in producer_rows(index, id)? {
            let mut table = ProducerTable::default();
            table.decode_into(producer, &bytes);
            table.truncate_suffix(log_end);
            match table.encode(producer) {
                Some(bytes) => self.changes.put(keys::producer(id, producer), bytes),
                None => self.changes.remove(keys::producer(id, producer)),
            }
        }
        Ok(())
    }

    /// Removes the rows of producers that have expired.
    pub fn forget_producers(&mut self, partition: PartitionId, producers: &[i64]) {
        for producer in producers {
            self.changes.remove(keys::producer(partition, *producer));
            if let Some((_, touched)) = self.producers.get_mut(&partition) {
                touched.remove(producer);
            }
        }
    }

    pub fn has_trims(&self) -> bool {
        !self.trims.is_empty()
    }

    /// Removes some of the rows of one partition that nothing reaches any more; says of which, and how
    /// many bytes of batches.
    pub fn trim(&mut self, index: &Index) -> Result<Option<(PartitionId, u64)>, IndexError> {
        let Some(id) = self.trims.first().copied() else {
            return Ok(None);
        };
        let Some((log_start, deleted)) =
            self.rows.get(&id).map(|r| (r.extent.log_start, r.deleted))
        else {
            self.trims.remove(&id);
            return Ok(None);
        };
        let mut dead = Vec::new();
        index.batches(id, 0, &mut |base, location| {
            let reachable = !deleted && base + u64::from(location.last_offset_delta) >= log_start;
            if !reachable {
                dead.push((base, location));
            }
            !reachable && dead.len() < TRIM_AT_ONCE
        })?;
        let removed = dead
            .iter()
            .map(|(_, location)| u64::from(location.length))
            .sum();
        for (base, location) in &dead {
            self.drop_batch(id, *base, location);
        }
        if dead.len() < TRIM_AT_ONCE {
            self.trim_times(index, id, log_start, deleted)?;
            if deleted {
                producer_rows(index, id)?
                    .iter()
                    .for_each(|(p, _)| self.changes.remove(keys::producer(id, *p)));
                self.changes.remove(keys::partition(id));
                self.rows.remove(&id);
                self.touched.remove(&id);
            }
            self.trims.remove(&id);
        }
        if self.rows.contains_key(&id) && !dead.is_empty() {
            self.touched.insert(id);
        }
        Ok(Some((id, removed)))
    }

    /// The newest row before the log's start stays: a search for a time begins there.
    fn trim_times(
        &mut self,
        index: &Index,
        id: PartitionId,
        log_start: u64,
        all: bool,
    ) -> Result<(), IndexError> {
        let mut old = Vec::new();
        index.scan(
            &keys::times_start(id),
            &keys::times_end(id),
            &mut |key, value| {
                let dead = all || keys::parse_u64(value).is_none_or(|offset| offset < log_start);
                if dead {
                    old.push(key.to_vec());
                }
                dead && old.len() < TRIM_AT_ONCE
            },
        )?;
        old.into_iter().for_each(|key| self.changes.remove(key));
        Ok(())
    }

    /// Forgets files that are gone.
    pub fn forget_files(&mut self, exists: impl Fn(u32) -> bool) {
        let gone: Vec<u32> = self
            .files
            .keys()
            .copied()
            .filter(|id| !exists(*id))
            .collect();
        for id in gone {
            self.files.remove(&id);
            self.changes.remove(keys::file(id));
        }
    }

    /// The changes since the last call, complete with the rows that changed and how far the index is now;
    /// and how far it was before them.
    pub fn take_changes(&mut self) -> (Changes, Lsn) {
        for ((id, base), location) in std::mem::take(&mut self.batches) {
            match location {
                Some(location) => self.changes.put(keys::batch(id, base), location.encode()),
                None => self.changes.remove(keys::batch(id, base)),
            }
        }
        for id in self.touched.drain() {
            if let Some(row) = self.rows.get(&id) {
                self.changes.put(keys::partition(id), row.encode());
            }
        }
        for id in self.touched_files.drain() {
            if let Some(row) = self.files.get(&id) {
                self.changes.put(keys::file(id), row.encode());
            }
        }
        for (id, (table, touched)) in self.producers.drain() {
            for producer in touched {
                if let Some(bytes) = table.encode(producer) {
                    self.changes.put(keys::producer(id, producer), bytes);
                }
            }
        }
        self.changes.put(keys::APPLIED, self.applied.encode());
        let before = std::mem::replace(&mut self.committed, self.applied.applied);
        (std::mem::take(&mut self.changes), before)
    }

    /// Commits what has changed so far.
    pub fn commit(&mut self, index: &Index) -> Result<(), IndexError> {
        index.commit(self.take_changes().0)
    }
}

/// The stored state of all producers of a partition.
pub(crate) fn producer_rows(
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
