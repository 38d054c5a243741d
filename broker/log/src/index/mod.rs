//! The index: where every batch is, and what else is derived from the value log, in one fjall keyspace.
//!
//! Nothing here is the only copy of anything. If fjall does not open, or fails a read, the directory is
//! wiped and filled again from the value log.

mod chain;
pub(crate) mod keys;
pub(crate) mod rows;

use std::collections::BTreeMap;
use std::ops::{Bound, RangeInclusive};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use fjall::config::{BlockSizePolicy, CompressionPolicy, FilterPolicy};
use fjall::{CompressionType, Database, Keyspace, KeyspaceCreateOptions, PersistMode, Slice};

use crate::index::rows::{Applied, FileRow, PartitionRow};
use crate::types::{Location, PartitionId};

const KEYSPACE: &str = "derived";
/// Bytes written to the memtable before it is rotated by hand: fjall's own rotation can deadlock its
/// workers (3.1.13), so it is switched off by a limit that is never reached.
const ROTATE_AT: u64 = 16 << 20;
/// What a row takes in a memtable beside its key and value: a node of a skip list.
const ROW_OVERHEAD: usize = 112;
/// Commits after which it is rotated all the same: memtables must not hold more than the chain does.
const ROTATE_AFTER: u64 = chain::SLOTS / (SEALED_LIMIT as u64 + 2);
const NEVER: u64 = 1 << 40;
/// Sealed memtables that may wait for a flush before the indexer waits for fjall.
const SEALED_LIMIT: usize = 3;
const SEALED_WAIT: Duration = Duration::from_millis(2);
/// How often the indexer waits so before it goes on regardless: about twenty seconds.
const SEALED_WAITS: u32 = 10_000;
const JOURNAL_BYTES: u64 = 96 << 20;

/// fjall failed; its words. The index is then rebuilt.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct IndexError(String);

impl IndexError {
    pub fn new(reason: String) -> Self {
        Self(reason)
    }
}

impl From<std::io::Error> for IndexError {
    fn from(error: std::io::Error) -> Self {
        Self(error.to_string())
    }
}

impl From<fjall::Error> for IndexError {
    fn from(error: fjall::Error) -> Self {
        Self(format!("{error:?}"))
    }
}

/// Changes that become visible together. Of several changes of a row the last one counts.
#[derive(Clone, Debug, Default)]
pub(crate) struct Changes {
    /// fjall's own form of bytes: short ones are kept in place, and clones share the others.
    writes: BTreeMap<Slice, Option<Slice>>,
}

impl Changes {
    pub fn put(&mut self, key: impl Into<Slice>, value: impl Into<Slice>) {
        self.writes.insert(key.into(), Some(value.into()));
    }

    pub fn remove(&mut self, key: impl Into<Slice>) {
        self.writes.insert(key.into(), None);
    }

    pub fn is_empty(&self) -> bool {
        self.writes.is_empty()
    }

    pub fn len(&self) -> usize {
        self.writes.len()
    }

    /// The rows that are to be written with keys in `from..to`, in order.
    pub fn puts(&self, from: &[u8], to: &[u8]) -> impl DoubleEndedIterator<Item = (&[u8], &[u8])> {
        let range = (Bound::Included(from), Bound::Excluded(to));
        self.writes
            .range::<[u8], _>(range)
            .filter_map(|(key, value)| Some((key.as_ref(), value.as_deref()?)))
    }

    /// What the changes take in a memtable, about.
    fn bytes(&self) -> u64 {
        let lengths = self
            .writes
            .iter()
            .map(|(key, value)| key.len() + value.as_ref().map_or(0, |v| v.len()) + ROW_OVERHEAD);
        lengths.sum::<usize>() as u64
    }
}

/// An open index.
pub(crate) struct Index {
    database: Database,
    keyspace: Keyspace,
    /// Bytes and commits written since the memtable was rotated.
    since_rotation: AtomicU64,
    commits_since_rotation: AtomicU64,
    /// Number of the last commit.
    commits: AtomicU64,
}

impl Index {
    /// Opens or makes the index in `directory`. fjall has been seen to panic on damaged files, so that
    /// counts as an error like any other.
    pub fn open(directory: &Path, cache_bytes: u64) -> Result<Self, IndexError> {
        catch_unwind(AssertUnwindSafe(|| {
            Self::open_inner(directory, cache_bytes)
        }))
        .unwrap_or_else(|_| Err(IndexError("fjall panicked while it opened".into())))
    }

    fn open_inner(directory: &Path, cache_bytes: u64) -> Result<Self, IndexError> {
        let database = Database::builder(directory)
            .worker_threads(2)
            .cache_size(cache_bytes)
            .max_journaling_size(JOURNAL_BYTES)
            .manual_journal_persist(true)
            .journal_compression(CompressionType::None)
            .open()?;
        let keyspace = database.keyspace(KEYSPACE, || {
            KeyspaceCreateOptions::default()
                .max_memtable_size(NEVER)
                .filter_policy(FilterPolicy::disabled())
                .expect_point_read_hits(true)
                .data_block_size_policy(BlockSizePolicy::all(4096))
                .data_block_compression_policy(CompressionPolicy::disabled())
        })?;
        let index = Self {
            database,
            keyspace,
            since_rotation: AtomicU64::new(0),
            commits_since_rotation: AtomicU64::new(0),
            commits: AtomicU64::new(0),
        };
        let last = index.last_commit()?;
        index.commits.store(last, Relaxed);
        // What was read back from the journal is in the memtable, and was not counted.
        index.keyspace.rotate_memtable()?;
        Ok(index)
    }

    /// The number of the last commit; an error if any commit before it is missing.
    fn last_commit(&self) -> Result<u64, IndexError> {
        let mut rows = Vec::new();
        self.collect(keys::COMMIT, &mut rows, |key, value| {
            Some((keys::parse_u64(key.get(1..)?)?, keys::parse_u64(value)?))
        })?;
        chain::last_number(&rows)
            .ok_or_else(|| IndexError("commits are missing from the middle of the journal".into()))
    }

    /// Writes `changes` as one; they survive the end of the process, and loss of power once
    /// [`Index::persist`] has returned.
    pub fn commit(&self, changes: &Changes) -> Result<(), IndexError> {
        if changes.is_empty() {
            return Ok(());
        }
        let mut batch = self.database.batch().durability(Some(PersistMode::Buffer));
        self.since_rotation.fetch_add(changes.bytes(), Relaxed);
        self.commits_since_rotation.fetch_add(1, Relaxed);
        let number = self.commits.fetch_add(1, Relaxed) + 1;
        let slot = keys::commit(chain::slot(number));
        batch.insert(&self.keyspace, slot, number.to_be_bytes());
        for (key, value) in &changes.writes {
            match value {
                Some(value) => batch.insert(&self.keyspace, key.clone(), value.clone()),
                None => batch.remove(&self.keyspace, key.clone()),
            }
        }
        batch.commit()?;
        self.rotate_if_due()
    }

    fn rotate_if_due(&self) -> Result<(), IndexError> {
        if self.since_rotation.load(Relaxed) < ROTATE_AT
            && self.commits_since_rotation.load(Relaxed) < ROTATE_AFTER
        {
            return Ok(());
        }
        let mut waits = 0;
        while self.keyspace.sealed_memtable_count() >= SEALED_LIMIT && waits < SEALED_WAITS {
            std::thread::park_timeout(SEALED_WAIT);
            waits += 1;
        }
        self.keyspace.rotate_memtable()?;
        self.since_rotation.store(0, Relaxed);
        self.commits_since_rotation.store(0, Relaxed);
        Ok(())
    }

    /// Makes everything committed so far survive loss of power.
    pub fn persist(&self) -> Result<(), IndexError> {
        Ok(self.database.persist(PersistMode::SyncAll)?)
    }

    /// A damaged table can make fjall panic; that is an error like any other.
    fn guarded<T>(read: impl FnOnce() -> Result<T, IndexError>) -> Result<T, IndexError> {
        catch_unwind(AssertUnwindSafe(read))
            .unwrap_or_else(|_| Err(IndexError("fjall panicked while it read".into())))
    }

    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, IndexError> {
        Self::guarded(|| Ok(self.keyspace.get(key)?.map(|v| v.to_vec())))
    }

    /// Visits rows with keys in `from..to`, in order, until `visit` says false.
    pub fn scan(
        &self,
        from: &[u8],
        to: &[u8],
        visit: &mut dyn FnMut(&[u8], &[u8]) -> bool,
    ) -> Result<(), IndexError> {
        Self::guarded(|| {
            for guard in self.keyspace.range(from..to) {
                let (key, value) = guard.into_inner()?;
                if !visit(&key, &value) {
                    break;
                }
            }
            Ok(())
        })
    }

    /// The batch at `base_offset`. Unlike [`Index::last_batch_in`] this costs the same however many rows were removed
    /// around it.
    pub fn batch_at(
        &self,
        partition: PartitionId,
        base_offset: u64,
    ) -> Result<Option<Location>, IndexError> {
        let Some(value) = self.get(&keys::batch(partition, base_offset))? else {
            return Ok(None);
        };
        Location::decode(&value)
            .map(Some)
            .ok_or_else(|| IndexError("malformed batch row".into()))
    }

    /// The batch with the greatest base offset in `range`.
    pub fn last_batch_in(
        &self,
        partition: PartitionId,
        range: RangeInclusive<u64>,
    ) -> Result<Option<(u64, Location)>, IndexError> {
        if range.is_empty() {
            return Ok(None);
        }
        let (from, to) = (
            keys::batch(partition, *range.start()),
            keys::batch(partition, *range.end()),
        );
        Self::guarded(|| {
            let Some(guard) = self.keyspace.range(from..=to).next_back() else {
                return Ok(None);
            };
            let (key, value) = guard.into_inner()?;
            parse_batch(&key, &value).map(Some)
        })
    }

    /// Visits batches from base offset `from` on, in order, until `visit` says false.
    pub fn batches(
        &self,
        partition: PartitionId,
        from: u64,
        visit: &mut dyn FnMut(u64, Location) -> bool,
    ) -> Result<(), IndexError> {
        let mut bad = None;
        self.scan(
            &keys::batch(partition, from),
            &keys::batches_end(partition),
            &mut |key, value| match parse_batch(key, value) {
                Ok((base, location)) => visit(base, location),
                Err(error) => {
                    bad = Some(error);
                    false
                }
            },
        )?;
        bad.map_or(Ok(()), Err)
    }

    /// Visits the rows of a partition's time index for `times`, with the offset in each, until
    /// `visit` says false.
    pub fn times(
        &self,
        partition: PartitionId,
        times: RangeInclusive<i64>,
        visit: &mut dyn FnMut(&[u8], u64) -> bool,
    ) -> Result<(), IndexError> {
        let mut sound = true;
        self.scan(
            &keys::time(partition, *times.start()),
            &keys::times_after(partition, *times.end()),
            &mut |key, value| match keys::parse_u64(value) {
                Some(offset) => visit(key, offset),
                None => {
                    sound = false;
                    false
                }
            },
        )?;
        match sound {
            true => Ok(()),
            false => Err(IndexError("malformed time row".into())),
        }
    }

    /// The offset from which a search for `timestamp` may begin: every earlier batch is older.
    pub fn time_floor(
        &self,
        partition: PartitionId,
        timestamp: i64,
    ) -> Result<Option<u64>, IndexError> {
        let (from, to) = (
            keys::times_start(partition),
            keys::time(partition, timestamp),
        );
        Self::guarded(|| {
            let Some(guard) = self.keyspace.range(from..to).next_back() else {
                return Ok(None);
            };
            let (_, value) = guard.into_inner()?;
            keys::parse_u64(&value)
                .map(Some)
                .ok_or_else(|| IndexError("malformed time row".into()))
        })
    }

    pub fn applied(&self) -> Result<Option<Applied>, IndexError> {
        let Some(value) = self.get(&keys::APPLIED)? else {
            return Ok(None);
        };
        Applied::decode(&value)
            .map(Some)
            .ok_or_else(|| IndexError("malformed applied row".into()))
    }

    pub fn producer(
        &self,
        partition: PartitionId,
        producer: i64,
    ) -> Result<Option<Vec<u8>>, IndexError> {
        self.get(&keys::producer(partition, producer))
    }

    /// Visits the stored state of all producers.
    pub fn producers(
        &self,
        visit: &mut dyn FnMut(PartitionId, i64, &[u8]),
    ) -> Result<(), IndexError> {
        self.scan(
            &[keys::PRODUCER],
            &[keys::PRODUCER + 1],
            &mut |key, value| {
                let ids = (
                    key.get(1..9).and_then(keys::parse_u64),
                    key.get(9..).and_then(keys::parse_u64),
                );
                if let (Some(partition), Some(producer)) = ids {
                    visit(PartitionId(partition), producer.cast_signed(), value);
                }
                true
            },
        )
    }

    /// All partitions' rows.
    pub fn partitions(&self) -> Result<Vec<(PartitionId, PartitionRow)>, IndexError> {
        let mut rows = Vec::new();
        self.collect(keys::PARTITION, &mut rows, |key, value| {
            Some((
                PartitionId(keys::parse_u64(key.get(1..)?)?),
                PartitionRow::decode(value)?,
            ))
        })?;
        Ok(rows)
    }

    /// All files' rows.
    pub fn files(&self) -> Result<Vec<(u32, FileRow)>, IndexError> {
        let mut rows = Vec::new();
        self.collect(keys::FILE, &mut rows, |key, value| {
            let id = u32::try_from(keys::parse_u64(key.get(1..)?)?).ok()?;
            Some((id, FileRow::decode(value)?))
        })?;
        Ok(rows)
    }

    fn collect<T>(
        &self,
        kind: u8,
        rows: &mut Vec<T>,
        parse: impl Fn(&[u8], &[u8]) -> Option<T>,
    ) -> Result<(), IndexError> {
        let mut sound = true;
        self.scan(
            &[kind],
            &[kind + 1],
            &mut |key, value| match parse(key, value) {
                Some(row) => {
                    rows.push(row);
                    true
                }
                None => {
                    sound = false;
                    false
                }
            },
        )?;
        if sound {
            Ok(())
        } else {
            Err(IndexError(format!("malformed row of kind {kind}")))
        }
    }
}

fn parse_batch(key: &[u8], value: &[u8]) -> Result<(u64, Location), IndexError> {
    let base = key.get(9..).and_then(keys::parse_u64);
    match (base, Location::decode(value)) {
        (Some(base), Some(location)) => Ok((base, location)),
        _ => Err(IndexError("malformed batch row".into())),
    }
}
