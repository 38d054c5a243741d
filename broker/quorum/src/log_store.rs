//! Raft's log and vote over a [`Store`].
//!
//! Writes are visible at once and handed to one task, which syncs them together and then says so: while one sync
//! runs, the appends that arrive share the next one. A vote waits for its sync. Batches become durable in order, so a
//! crash leaves a prefix of what was written, never a hole.

use std::fmt::Debug;
use std::io;
use std::ops::{Bound, RangeBounds};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use openraft::storage::{IOFlushed, RaftLogStorage};
use openraft::{LogState, OptionalSend, RaftLogReader};
use prost::Message;
use tokio::sync::{mpsc, oneshot};

use crate::codec;
#[cfg(feature = "mistakes")]
use crate::mistakes;
use crate::proto;
use crate::store::{self, Change, Store, StoreError, Table};
use crate::types::{Entry, LogId, TypeConfig, Vote};

const VOTE: &[u8] = b"vote";
const COMMITTED: &[u8] = b"committed";
const PURGED: &[u8] = b"purged";
/// Appends and votes that wait for a sync. Raft's core waits when there are more.
const WAITING_SYNCS: usize = 1024;
/// Most entries that one read returns.
const ENTRIES_PER_READ: usize = 1024;
/// Most entries that one batch removes.
const REMOVALS_PER_BATCH: usize = if cfg!(test) { 2 } else { 4096 };

impl From<StoreError> for io::Error {
    fn from(error: StoreError) -> Self {
        Self::other(error)
    }
}

/// Figures of the log store.
#[derive(Debug, Default)]
pub(crate) struct LogFigures {
    pub syncs: AtomicU64,
    pub appended_entries: AtomicU64,
}

enum Waiting {
    Append(IOFlushed<TypeConfig>),
    Write(oneshot::Sender<Result<(), StoreError>>),
}

/// Raft's log and vote. Clones share the store and the task that syncs.
#[derive(Clone)]
pub(crate) struct LogStore {
    store: Arc<dyn Store>,
    waiting: mpsc::Sender<Waiting>,
    pub figures: Arc<LogFigures>,
}

/// Syncs what waits, until the log store is gone. After a failure everything fails: what is durable is not known.
async fn sync_all(
    store: Arc<dyn Store>,
    mut waiting: mpsc::Receiver<Waiting>,
    figures: Arc<LogFigures>,
) {
    let mut batch = Vec::new();
    let mut failed: Option<StoreError> = None;
    while waiting.recv_many(&mut batch, WAITING_SYNCS).await > 0 {
        if failed.is_none() {
            figures.syncs.fetch_add(1, Ordering::Relaxed);
            failed = store::sync(&store).await.err();
            if let Some(error) = &failed {
                tracing::error!(%error, "the quorum's log cannot be synced");
            }
        }
        let result = failed.clone().map_or(Ok(()), Err);
        for waiter in batch.drain(..) {
            match waiter {
                Waiting::Append(flushed) => {
                    flushed.io_completed(result.clone().map_err(Into::into));
                }
                // Nobody waits any more if the core has stopped.
                Waiting::Write(done) => drop(done.send(result.clone())),
            }
        }
    }
}

fn key(index: u64) -> Vec<u8> {
    index.to_be_bytes().to_vec()
}

fn position(name: &[u8], id: &LogId) -> Change {
    let value = codec::log_id(id).encode_to_vec();
    Change::Put(Table::Meta, name.to_vec(), value)
}

/// The change that ends a log in `store` which does not reach beyond `id`, because a snapshot up to there is kept. It
/// belongs into the batch that keeps the snapshot: of what the log held instead, some may never have been committed.
pub(crate) fn replaced_by_snapshot(
    store: &dyn Store,
    id: &LogId,
) -> Result<Option<Change>, StoreError> {
    let last = store.last(Table::Log)?;
    let beyond = last.is_some_and(|(last, _)| last > key(id.index));
    Ok((!beyond).then(|| position(PURGED, id)))
}

fn damaged(error: impl std::fmt::Display) -> StoreError {
    StoreError(format!("a row cannot be read: {error}"))
}

impl LogStore {
    /// The log in `store`. Must be called inside a tokio runtime.
    pub fn new(store: Arc<dyn Store>) -> Self {
        let (sender, receiver) = mpsc::channel(WAITING_SYNCS);
        let figures = Arc::new(LogFigures::default());
        tokio::spawn(sync_all(Arc::clone(&store), receiver, Arc::clone(&figures)));
        Self {
            store,
            waiting: sender,
            figures,
        }
    }

    /// Whether there is nothing of a log: no entry, no vote, no snapshot.
    pub fn is_empty(&self) -> Result<bool, StoreError> {
        Ok(self.store.last(Table::Log)?.is_none()
            && self.store.get(Table::Meta, PURGED)?.is_none()
            && self.store.last(Table::Snapshot)?.is_none())
    }

    async fn write_synced(&self, changes: Vec<Change>) -> Result<(), StoreError> {
        store::write(&self.store, changes).await?;
        let (sender, done) = oneshot::channel();
        let gone = |_| StoreError("the task that syncs has ended".into());
        let waiting = self.waiting.send(Waiting::Write(sender)).await;
        waiting.map_err(|_| gone(()))?;
        done.await.map_err(|_| gone(()))?
    }

    fn read_position(&self, name: &[u8]) -> Result<Option<LogId>, StoreError> {
        let Some(bytes) = self.store.get(Table::Meta, name)? else {
            return Ok(None);
        };
        let id = proto::LogId::decode(bytes.as_slice()).map_err(damaged)?;
        Ok(Some(codec::read_log_id(&id)))
    }

    fn read_entries(&self, from: u64, to: u64, limit: usize) -> Result<Vec<Entry>, StoreError> {
        let rows = self.store.range(Table::Log, &key(from), &key(to), limit)?;
        let entries = rows.into_iter().map(|(_, value)| {
            let message = proto::Entry::decode(bytes::Bytes::from(value)).map_err(damaged)?;
            codec::read_entry(message).map_err(damaged)
        });
        entries.collect()
    }

    /// Removes the entries of `from..=to`, the last ones first, so that a crash leaves no hole.
    async fn remove_backwards(&self, from: u64, to: u64) -> Result<(), StoreError> {
        let mut keys = self
            .store
            .keys(Table::Log, &key(from), &key(to), usize::MAX)?;
        keys.reverse();
        for keys in keys.chunks(REMOVALS_PER_BATCH) {
            self.remove(keys).await?;
        }
        Ok(())
    }

    /// Removes the entries up to `to`, the first ones first, so that a crash leaves no hole.
    async fn remove_forwards(&self, to: u64) -> Result<(), StoreError> {
        let mut from = key(0);
        loop {
            let keys = self
                .store
                .keys(Table::Log, &from, &key(to), REMOVALS_PER_BATCH)?;
            self.remove(&keys).await?;
            if keys.len() < REMOVALS_PER_BATCH {
                return Ok(());
            }
            // The next search does not go over what was just removed.
            from = keys.into_iter().next_back().unwrap_or(from);
        }
    }

    async fn remove(&self, keys: &[Vec<u8>]) -> Result<(), StoreError> {
        if keys.is_empty() {
            return Ok(());
        }
        let removals = keys
            .iter()
            .map(|key| Change::Remove(Table::Log, key.clone()));
        self.write_synced(removals.collect()).await
    }
}

/// First and last index of a range; `None` if it is empty.
fn bounds(range: &impl RangeBounds<u64>) -> Option<(u64, u64)> {
    let from = match range.start_bound() {
        Bound::Included(from) => *from,
        Bound::Excluded(from) => from.checked_add(1)?,
        Bound::Unbounded => 0,
    };
    let to = match range.end_bound() {
        Bound::Included(to) => *to,
        Bound::Excluded(to) => to.checked_sub(1)?,
        Bound::Unbounded => u64::MAX,
    };
    (from <= to).then_some((from, to))
}

impl RaftLogReader<TypeConfig> for LogStore {
    async fn try_get_log_entries<RB>(&mut self, range: RB) -> Result<Vec<Entry>, io::Error>
    where
        RB: RangeBounds<u64> + Clone + Debug + OptionalSend,
    {
        let Some((from, to)) = bounds(&range) else {
            return Ok(Vec::new());
        };
        Ok(self.read_entries(from, to, usize::MAX)?)
    }

    async fn limited_get_log_entries(
        &mut self,
        from: u64,
        end: u64,
    ) -> Result<Vec<Entry>, io::Error> {
        let Some((from, to)) = bounds(&(from..end)) else {
            return Ok(Vec::new());
        };
        Ok(self.read_entries(from, to, ENTRIES_PER_READ)?)
    }

    async fn read_vote(&mut self) -> Result<Option<Vote>, io::Error> {
        let Some(bytes) = self.store.get(Table::Meta, VOTE)? else {
            return Ok(None);
        };
        let vote = proto::Vote::decode(bytes.as_slice()).map_err(damaged)?;
        Ok(Some(codec::read_vote(Some(&vote)).map_err(damaged)?))
    }
}

impl RaftLogStorage<TypeConfig> for LogStore {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> Result<LogState<TypeConfig>, io::Error> {
        let purged = self.read_position(PURGED)?;
        let last = match self.store.last(Table::Log)? {
            Some((_, value)) => {
                let message = proto::Entry::decode(value.as_slice()).map_err(damaged)?;
                message.log_id.as_ref().map(codec::read_log_id)
            }
            None => None,
        };
        // A crash may have come after the position was written and before the entries were removed.
        let gone = |id: &LogId| purged.is_some_and(|purged| id.index <= purged.index);
        let last = last.filter(|id| !gone(id));
        Ok(LogState {
            last_log_id: last.or(purged),
            last_purged_log_id: purged,
        })
    }

    async fn get_log_reader(&mut self) -> Self::LogReader {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote) -> Result<(), io::Error> {
        let value = codec::vote(vote).encode_to_vec();
        let change = Change::Put(Table::Meta, VOTE.to_vec(), value);
        #[cfg(feature = "mistakes")]
        if mistakes::made(mistakes::VOTE_NOT_SYNCED) {
            return Ok(store::write(&self.store, vec![change]).await?);
        }
        Ok(self.write_synced(vec![change]).await?)
    }

    /// Not synced: a node that restarts with an older position applies the rest once it hears from a leader.
    async fn save_committed(&mut self, committed: Option<LogId>) -> Result<(), io::Error> {
        let change = match committed {
            Some(id) => position(COMMITTED, &id),
            None => Change::Remove(Table::Meta, COMMITTED.to_vec()),
        };
        Ok(store::write(&self.store, vec![change]).await?)
    }

    /// Nothing if it is beyond the log: then what was there is not known to be committed, and a leader will say it.
    async fn read_committed(&mut self) -> Result<Option<LogId>, io::Error> {
        let last = self.get_log_state().await?.last_log_id;
        let committed = self.read_position(COMMITTED)?;
        Ok(committed.filter(|id| last.is_some_and(|last| id.index <= last.index)))
    }

    async fn append<I>(
        &mut self,
        entries: I,
        flushed: IOFlushed<TypeConfig>,
    ) -> Result<(), io::Error>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let changes: Vec<_> = entries
            .into_iter()
            .map(|entry| {
                let value = codec::entry(&entry).encode_to_vec();
                Change::Put(Table::Log, key(entry.log_id.index), value)
            })
            .collect();
        let count = changes.len() as u64;
        self.figures
            .appended_entries
            .fetch_add(count, Ordering::Relaxed);
        store::write(&self.store, changes).await?;
        #[cfg(feature = "mistakes")]
        if mistakes::made(mistakes::APPEND_NOT_SYNCED) {
            flushed.io_completed(Ok(()));
            return Ok(());
        }
        let waiting = self.waiting.send(Waiting::Append(flushed)).await;
        waiting.map_err(|_| io::Error::other("the task that syncs has ended"))
    }

    async fn truncate_after(&mut self, last: Option<LogId>) -> Result<(), io::Error> {
        let Some(from) = last.map_or(Some(0), |id| id.index.checked_add(1)) else {
            return Ok(());
        };
        Ok(self.remove_backwards(from, u64::MAX).await?)
    }

    async fn purge(&mut self, upto: LogId) -> Result<(), io::Error> {
        // The position first: entries at or before it count as gone, whether they are there or not.
        self.write_synced(vec![position(PURGED, &upto)]).await?;
        Ok(self.remove_forwards(upto.index).await?)
    }
}
