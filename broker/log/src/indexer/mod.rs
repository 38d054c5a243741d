//! The thread that keeps the index up with the value log, off the acknowledgement path.
//!
//! ```text
//! writer ─► Feed ─► gather up to 8192 entries or 50 ms ─► fold into rows ─► one commit ─► trim partitions
//! ```

mod feed;
mod fold;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

pub(crate) use feed::{Fed, Feed};
pub(crate) use fold::Indexing;

use crate::index::{Changes, Index, IndexError};
use crate::log::Shared;
use crate::recovery;
use crate::stats::Counters;
use crate::types::Lsn;

/// After a failed commit (a full disk, for example) fjall is opened again this much later.
const RETRY_AFTER: Duration = Duration::from_millis(500);

/// The state of the indexer thread.
pub(crate) struct Indexer {
    shared: Arc<Shared>,
    indexing: Indexing,
    directory: PathBuf,
    /// What could not be committed, and how far the index was before.
    stuck: Option<(Changes, Lsn)>,
}

impl Indexer {
    pub fn new(shared: Arc<Shared>, indexing: Indexing) -> Self {
        let directory = shared.index_directory();
        Self {
            shared,
            indexing,
            directory,
            stuck: None,
        }
    }

    /// Works until the feed is closed and empty; leaves the index persisted.
    pub fn run(mut self) {
        loop {
            if self.stuck.is_some() {
                self.reopen();
            }
            if let Some(reason) = self.shared.feed.rebuild_requested() {
                self.rebuild(&reason);
            }
            if self.stuck.is_some() {
                if !self.shared.feed.pause(RETRY_AFTER) {
                    return;
                }
                continue;
            }
            let Some(fed) = self.shared.feed.take(self.indexing.has_trims()) else {
                break;
            };
            self.apply(&fed);
            self.trim();
            self.shared.feed.note_applied(self.indexing.applied());
        }
        let persisted = self.shared.with_open_index(Index::persist);
        if let Err(error) = persisted {
            tracing::warn!(%error, "could not persist the index; the next start replays more");
        }
    }

    fn apply(&mut self, fed: &Fed) {
        let result = self.shared.with_open_index(|index| {
            for (record, _) in &fed.entries {
                self.indexing.apply(index, record)?;
            }
            for (partition, producers) in &fed.forgotten {
                self.indexing.forget_producers(*partition, producers);
            }
            Ok(())
        });
        self.indexing.advance(fed.end, fed.durable);
        if let Err(error) = result {
            self.shared
                .feed
                .request_rebuild(&format!("applying entries: {error}"));
            return;
        }
        self.commit();
        if self.stuck.is_none() {
            // Each partition is told once; entries of one partition lie next to each other.
            let mut last = None;
            for (_, partition) in &fed.entries {
                if let Some(partition) = partition
                    && last != Some(partition.id())
                {
                    last = Some(partition.id());
                    partition.indexed_before(fed.end);
                }
            }
        }
    }

    /// One round of removing rows that retention or deletion has made unreachable.
    fn trim(&mut self) {
        if self.stuck.is_some() || !self.indexing.has_trims() {
            return;
        }
        match self
            .shared
            .with_open_index(|index| self.indexing.trim(index))
        {
            Ok(Some((partition, removed))) => {
                if let Some(partition) = self.shared.partition(partition) {
                    partition.note_removed(removed);
                }
                self.commit();
            }
            Ok(None) => {}
            Err(error) => self
                .shared
                .feed
                .request_rebuild(&format!("trimming: {error}")),
        }
    }

    fn commit(&mut self) {
        let (changes, before) = self.indexing.take_changes();
        let copy = changes.clone();
        if let Err(error) = self.shared.with_open_index(|index| index.commit(copy)) {
            tracing::warn!(%error, "the index takes no writes; acknowledgements go on, it will be opened again");
            self.stuck = Some((changes, before));
        } else {
            self.shared.set_live_bytes(self.indexing.live_bytes());
        }
    }

    /// Opens fjall again after a failed commit, and commits again what did not get in.
    fn reopen(&mut self) {
        let Some((changes, before)) = self.stuck.take() else {
            return;
        };
        let expected = self.indexing.applied();
        let result = self.shared.replace_index(|| {
            let index = Index::open(&self.directory, self.shared.options.index_cache_bytes)?;
            match index.applied()?.unwrap_or_default().applied {
                found if found == expected => {}
                found if found == before => index.commit(changes.clone())?,
                found => {
                    return Err(IndexError::new(format!(
                        "index is at {found}, expected {before} or {expected}"
                    )));
                }
            }
            Ok(index)
        });
        match result {
            Ok(()) => tracing::info!("the index was opened again"),
            Err(error) => {
                tracing::warn!(%error, "the index could not be opened again yet");
                self.stuck = Some((changes, before));
                self.shared
                    .feed
                    .request_rebuild(&format!("opening again: {error}"));
            }
        }
    }

    /// Wipes the index and fills it from the value log, up to where this thread is.
    fn rebuild(&mut self, reason: &str) {
        tracing::warn!(reason, "rebuilding the index from the value log");
        let (applied, durable) = (self.indexing.applied(), self.indexing.durable());
        let mut rebuilt = None;
        let result = self.shared.replace_index(|| {
            let index =
                recovery::wipe_index(&self.directory, self.shared.options.index_cache_bytes)?;
            rebuilt = Some(recovery::replay_all(
                &self.shared.files,
                &index,
                applied,
                durable,
            )?);
            Ok(index)
        });
        match (result, rebuilt) {
            (Ok(()), Some(indexing)) => {
                self.indexing = indexing;
                self.stuck = None;
                Counters::add(&self.shared.counters.index_rebuilds, 1);
                self.shared.set_live_bytes(self.indexing.live_bytes());
                self.shared.feed.rebuild_done();
                tracing::info!("the index is rebuilt");
            }
            (result, _) => {
                if let Err(error) = result {
                    tracing::error!(%error, "the index could not be rebuilt; reads of older data fail until it can");
                }
                self.stuck
                    .get_or_insert_with(|| (Changes::default(), applied));
            }
        }
    }
}
