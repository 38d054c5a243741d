//! From entries to rows: what the indexer thread and recovery both run.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use crate::fold::{Extent, Extents};
use crate::index::rows::{Applied, FileRow, PartitionRow};
use crate::index::{Changes, Index, IndexError, keys};
use crate::indexer::removal::decode_producer;
use crate::partition::producers::ProducerTable;
use crate::types::{Location, Lsn, PartitionId};
use crate::valuelog::entry::{EntryHeader, EntryKind, stored_bytes};
use crate::valuelog::sidecar::EntryRecord;

/// What is stored of each partition.
pub(crate) type Stored = HashMap<PartitionId, (PartitionRow, ProducerTable)>;

/// The derived state as of some place in the value log, and the changes that are not committed yet.
#[derive(Default)]
pub(crate) struct Indexing {
    pub(super) rows: HashMap<PartitionId, PartitionRow>,
    pub(super) files: HashMap<u32, FileRow>,
    pub(super) applied: Applied,
    /// Where the last commit left the index.
    committed: Lsn,
    /// Batch rows that are not committed yet; nothing: the row is removed.
    batches: BTreeMap<(PartitionId, u64), Option<Location>>,
    pub(super) changes: Changes,
    pub(super) touched: HashSet<PartitionId>,
    touched_files: HashSet<u32>,
    /// Producers changed since the last commit.
    pub(super) producers: HashMap<PartitionId, (ProducerTable, HashSet<i64>)>,
    /// Partitions with rows that nothing can reach any more.
    pub(super) trims: BTreeSet<PartitionId>,
    /// By how much other things than appends have changed the partitions' sizes.
    size_changes: HashMap<PartitionId, i64>,
    /// The whole log is being replayed into an empty index; see [`Indexing::replaying`].
    replaying: bool,
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

    /// For replaying the whole log into an empty index. Batches come in the order in which they were
    /// written last, not in that of their offsets, and some entries that once explained others are gone.
    pub fn replaying() -> Self {
        Self {
            replaying: true,
            ..Self::default()
        }
    }

    /// The log has been replayed; from here on it goes on entry by entry.
    pub fn replayed(&mut self) {
        self.replaying = false;
        self.size_changes.clear();
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

    /// All partitions as the index holds them, producers included. Everything must be committed.
    pub fn stored(&self, index: &Index) -> Result<Stored, IndexError> {
        let mut found: Stored = self
            .rows()
            .map(|(id, row)| (*id, (row.clone(), ProducerTable::default())))
            .collect();
        let mut result = Ok(());
        index.producers(&mut |id, producer, bytes| {
            if let Some((_, table)) = found.get_mut(&id)
                && result.is_ok()
            {
                result = decode_producer(table, producer, bytes);
            }
        })?;
        result.map(|()| found)
    }

    /// Partitions that are deleted and not yet out of the index.
    pub fn deleted(&self) -> impl Iterator<Item = PartitionId> {
        self.rows
            .iter()
            .filter_map(|(id, row)| row.deleted.then_some(*id))
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

    /// By how much other things than appends have changed the partitions' sizes since the last call.
    pub fn take_size_changes(&mut self) -> HashMap<PartitionId, i64> {
        std::mem::take(&mut self.size_changes)
    }

    /// Everything before `applied` has been taken in.
    pub fn advance(&mut self, applied: Lsn, durable: Lsn) {
        self.applied = Applied {
            applied: self.applied.applied.max(applied),
            durable: self.applied.durable.max(durable),
        };
    }

    /// Changes that wait for a commit, about.
    pub fn pending(&self) -> usize {
        self.changes.len() + self.batches.len()
    }

    /// Takes an entry in. The partitions' bounds are right after it even if the index fails.
    pub fn apply(&mut self, index: &Index, record: &EntryRecord) -> Result<(), IndexError> {
        let header = &record.header;
        self.advance(header.lsn, Lsn::default());
        let id = header.partition;
        if header.kind == EntryKind::Snapshot || self.rows.get(&id).is_some_and(|row| row.deleted) {
            return Ok(());
        }
        let indexed = match header.kind {
            EntryKind::Append => self.append(index, record),
            EntryKind::Replace | EntryKind::Relocate => self.rewrite(index, header),
            EntryKind::TruncateSuffix => self.truncate(index, id, header.base_offset),
            EntryKind::LogStart | EntryKind::Delete => {
                self.trims.insert(id);
                Ok(())
            }
            EntryKind::Epoch | EntryKind::Create | EntryKind::Cleaned | EntryKind::Snapshot => {
                Ok(())
            }
        };
        let row = self
            .rows
            .entry(id)
            .or_insert_with(|| PartitionRow::new(Extent::starting_at(header.base_offset)));
        row.extent.apply(header);
        match header.kind {
            EntryKind::Delete => row.deleted = true,
            EntryKind::Cleaned => {
                row.cleaned_end = header.base_offset.min(row.extent.log_end);
                row.delete_horizon = header.max_timestamp;
            }
            _ => row.cleaned_end = row.cleaned_end.min(row.extent.log_end),
        }
        self.touched.insert(id);
        indexed
    }

    /// Takes in what is known of all partitions, when the whole log is replayed: files before this place may be
    /// gone or damaged, and with them what they said of appends, deletions and truncations.
    pub fn apply_snapshot(&mut self, index: &Index, extents: &Extents) -> Result<(), IndexError> {
        let known = &extents.partitions;
        for (id, row) in &mut self.rows {
            if !known.contains_key(id) {
                row.deleted = true;
                self.trims.insert(*id);
                self.touched.insert(*id);
            }
        }
        for (id, extent) in known {
            if let Some(row) = self.rows.get(id) {
                if row.extent.log_end > extent.log_end {
                    self.truncate(index, *id, extent.log_end)?;
                }
                self.cut_off(index, *id, extent)?;
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
            // The truncation that must have been before this append was lost to damage.
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
            {
                decode_producer(table, stamp.producer_id, &bytes)?;
            }
            table.record(stamp, base, header.last_offset_delta, header.max_timestamp);
        }
        Ok(())
    }

    fn put_batch(&mut self, header: &EntryHeader) {
        self.batches.insert(
            (header.partition, header.base_offset),
            Some(header.location()),
        );
        self.file(header.lsn.file()).live_bytes += u64::from(header.stored_bytes());
    }

    fn file(&mut self, id: u32) -> &mut FileRow {
        self.touched_files.insert(id);
        self.files.entry(id).or_default()
    }

    /// Batches got another form, or a batch another place. The order of entries is the truth here: that
    /// the batches still were part of the log is checked before such an entry is queued.
    ///
    /// Without payload the row stays as a marker: "nothing is left of these offsets". So the rows of a
    /// partition always cover its log without a gap, and no older copy can come back when the index is
    /// filled again.
    fn rewrite(&mut self, index: &Index, header: &EntryHeader) -> Result<(), IndexError> {
        let (id, base, last) = (header.partition, header.base_offset, header.last_offset());
        let mut upper = last;
        while let Some((found, location)) = self.floor(index, id, upper)? {
            if found + u64::from(location.last_offset_delta) < base {
                break;
            }
            self.drop_batch(id, found, &location);
            // Rows do not overlap: none before this one reaches as far.
            if found <= base {
                break;
            }
            upper = found - 1;
        }
        let row = self
            .rows
            .entry(id)
            .or_insert_with(|| PartitionRow::new(Extent::starting_at(base)));
        // The log's start may have passed it while it was on its way: trimming, which does not look back, is
        // to find it.
        row.trimmed_offset = row.trimmed_offset.min(base);
        if last < row.extent.log_start {
            self.trims.insert(id);
        }
        row.size_bytes += u64::from(header.length);
        *self.size_changes.entry(id).or_default() += i64::from(header.length);
        self.put_batch(header);
        // A marker has no record that could be found by its time.
        if self.replaying && header.length > 0 {
            self.note_late_timestamp(index, header)?;
        }
        Ok(())
    }

    /// A batch that is replayed after batches with greater offsets, since it was copied forward: rows of
    /// the time index that say that every batch before them is older may be wrong now.
    fn note_late_timestamp(
        &mut self,
        index: &Index,
        header: &EntryHeader,
    ) -> Result<(), IndexError> {
        let (id, timestamp) = (header.partition, header.max_timestamp);
        if let Some(row) = self.rows.get_mut(&id)
            && timestamp > row.max_timestamp
        {
            row.max_timestamp = timestamp;
            row.max_timestamp_offset = header.base_offset;
        }
        let (from, to) = (keys::times_start(id), keys::time(id, timestamp));
        let pending = self.changes.puts(&from, &to).next_back();
        let wrong = |offset: Option<u64>| offset.is_some_and(|at| at > header.base_offset);
        if wrong(pending.and_then(|(_, value)| keys::parse_u64(value)))
            || wrong(index.time_floor(id, timestamp)?)
        {
            self.remove_times(index, id, timestamp, header.base_offset)?;
        }
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
        // Nothing is before what was trimmed but what fjall still keeps of removed rows.
        let lowest = self.rows.get(&id).map_or(0, |row| row.trimmed_offset);
        let mut below = offset;
        let committed = loop {
            match index.last_batch_in(id, lowest..=below)? {
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

    pub(super) fn drop_batch(&mut self, id: PartitionId, base: u64, location: &Location) {
        self.batches.insert((id, base), None);
        let file = self.file(location.lsn.file());
        file.live_bytes = file
            .live_bytes
            .saturating_sub(u64::from(stored_bytes(location.length)));
        *self.size_changes.entry(id).or_default() -= i64::from(location.length);
        if let Some(row) = self.rows.get_mut(&id) {
            row.size_bytes = row.size_bytes.saturating_sub(u64::from(location.length));
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
        index.commit(&self.take_changes().0)
    }
}
