//! The thread that keeps the index up with the value log, off the acknowledgement path.
//!
//! ```text
//! writer ─► Feed ─► gather up to 8192 entries or 50 ms ─► fold into rows ─► one commit ─► trim partitions
//!                                                                             │ failed
//!                     a full disk: wait for room, open fjall again, repeat ◄──┤
//!                     anything else: wipe the index, replay the value log  ◄──┘
//! ```

mod feed;
mod fold;
mod removal;
mod trim;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

pub(crate) use feed::{Fed, Feed};
pub(crate) use fold::{Indexing, Stored};
pub(crate) use removal::Forgotten;

use crate::index::{Changes, Index, IndexError};
use crate::log::Shared;
use crate::recovery;
use crate::stats::Counters;
use crate::types::Lsn;

/// How long the thread waits before it tries to repair the index again.
const RETRY_AFTER: Duration = Duration::from_millis(500);
/// Free bytes without which it does not try, but on a small disk this share of it is enough. fjall writes a
/// little as it opens; as long as it stays as it is, it can be read.
const ROOM_TO_REPAIR: u64 = 4 << 20;
const SHARE_TO_REPAIR: u64 = 64;

/// Why the index is not what it should be.
enum Trouble {
    /// These changes could not be committed; the index was at this place before.
    Stuck(Changes, Lsn),
    /// It has to be filled anew.
    Lost(String),
}

/// The state of the indexer thread.
pub(crate) struct Indexer {
    shared: Arc<Shared>,
    indexing: Indexing,
    directory: PathBuf,
    trouble: Option<Trouble>,
}

impl Indexer {
    pub fn new(shared: Arc<Shared>, indexing: Indexing) -> Self {
        let directory = shared.index_directory();
        Self {
            shared,
            indexing,
            directory,
            trouble: None,
        }
    }

    /// Works until the feed is closed and empty; leaves the index persisted.
    pub fn run(mut self) {
        loop {
            if !self.repair() {
                self.shared.feed.set_broken(true);
                if !self.shared.feed.pause(RETRY_AFTER) {
                    tracing::warn!("the index is behind; the next start replays what is missing");
                    return;
                }
                continue;
            }
            let Some(fed) = self.shared.feed.take(self.indexing.has_trims()) else {
                break;
            };
            self.apply(&fed);
            self.trim();
            self.conclude(&fed);
        }
        if let Err(error) = self.shared.with_open_index(Index::persist) {
            tracing::warn!(%error, "could not persist the index; the next start replays more");
        }
    }

    fn apply(&mut self, fed: &Fed) {
        let result = self.shared.with_open_index(|index| {
            // Whatever fails, the bounds go on: a rebuild depends on them.
            let mut result = Ok(());
            for (record, _) in &fed.entries {
                result = result.and(self.indexing.apply(index, record));
            }
            for forgotten in &fed.forgotten {
                result = result.and(self.indexing.forget_producers(index, forgotten));
            }
            result
        });
        self.indexing.advance(fed.end, fed.durable);
        match result {
            Ok(()) => self.commit(),
            Err(error) => self.lost(format!("applying entries: {error}")),
        }
    }

    /// One round of removing rows that retention or deletion has made unreachable.
    fn trim(&mut self) {
        if self.trouble.is_some() || !self.indexing.has_trims() {
            return;
        }
        match self
            .shared
            .with_open_index(|index| self.indexing.trim(index))
        {
            Ok(true) => self.commit(),
            Ok(false) => {}
            Err(error) => self.lost(format!("trimming: {error}")),
        }
    }

    fn commit(&mut self) {
        let (changes, before) = self.indexing.take_changes();
        if let Err(error) = self.shared.with_open_index(|index| index.commit(&changes)) {
            tracing::warn!(%error, "the index takes no writes; acknowledgements go on, it will be opened again");
            self.trouble = Some(Trouble::Stuck(changes, before));
        }
    }

    fn lost(&mut self, reason: String) {
        self.trouble = Some(Trouble::Lost(reason));
    }

    /// Says what the index holds now, if it does: to the partitions, which can let go of places, and to
    /// whoever waits for it.
    fn conclude(&mut self, fed: &Fed) {
        if self.trouble.is_some() {
            return;
        }
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
        self.announce();
    }

    fn announce(&mut self) {
        for (id, change) in self.indexing.take_size_changes() {
            self.shared.adjust_size(id, change);
        }
        self.shared.set_live_bytes(self.indexing.live_bytes());
        self.shared
            .feed
            .note_applied(self.indexing.applied(), self.indexing.has_trims());
    }

    /// Mends what is wrong with the index, and what a reader says is wrong. False if that is not possible
    /// now; what can be read can still be read then.
    fn repair(&mut self) -> bool {
        if self.trouble.is_none() {
            self.trouble = self.shared.feed.rebuild_requested().map(Trouble::Lost);
        }
        if self.trouble.is_none() {
            return true;
        }
        if !self.has_room() {
            return false;
        }
        if let Some(Trouble::Stuck(changes, before)) = &self.trouble
            && let Err(error) = self.reopen(changes, *before)
        {
            tracing::warn!(%error, "the index could not be opened again");
            self.lost(format!("opening again: {error}"));
        }
        if let Some(Trouble::Lost(reason)) = &self.trouble {
            tracing::warn!(reason, "rebuilding the index from the value log");
            if let Err(error) = self.rebuild() {
                tracing::error!(%error, "the index could not be rebuilt; reads of older data fail until it can");
                return false;
            }
        }
        self.trouble = None;
        self.shared.feed.set_broken(false);
        for partition in self.shared.partitions() {
            partition.indexed_before(self.indexing.applied());
        }
        self.announce();
        true
    }

    fn has_room(&self) -> bool {
        self.shared
            .files
            .disk_space()
            .is_ok_and(|space| space.available >= ROOM_TO_REPAIR.min(space.total / SHARE_TO_REPAIR))
    }

    /// Opens fjall again after a failed commit, and commits again what did not get in.
    fn reopen(&self, changes: &Changes, before: Lsn) -> Result<(), IndexError> {
        let expected = self.indexing.applied();
        self.shared.replace_index(|| {
            let index = Index::open(&self.directory, self.shared.options.index_cache_bytes)?;
            match index.applied()?.unwrap_or_default().applied {
                // Changes are the same twice, so it does not matter whether they got in.
                found if found == expected || found == before => index.commit(changes)?,
                found => {
                    return Err(IndexError::new(format!(
                        "index is at {found}, expected {before} or {expected}"
                    )));
                }
            }
            Ok(index)
        })?;
        tracing::info!("the index was opened again");
        Ok(())
    }

    /// Wipes the index and fills it from the value log, up to where this thread is. Partitions keep their bounds,
    /// whatever the files have lost: an offset that was given to a record is never given to another one.
    fn rebuild(&mut self) -> Result<(), IndexError> {
        let (applied, durable) = (self.indexing.applied(), self.indexing.durable());
        let bounds = self.indexing.extents();
        let mut rebuilt = None;
        self.shared.replace_index(|| {
            let index =
                recovery::wipe_index(&self.directory, self.shared.options.index_cache_bytes)?;
            rebuilt = Some(recovery::replay_all(
                &self.shared.files,
                &index,
                &bounds,
                applied,
                durable,
            )?);
            Ok(index)
        })?;
        if let Some(indexing) = rebuilt {
            self.indexing = indexing;
        }
        for (id, row) in self.indexing.rows() {
            self.shared.set_size(*id, row.size_bytes, applied);
        }
        Counters::add(&self.shared.counters.index_rebuilds, 1);
        self.shared.feed.rebuild_done();
        tracing::info!("the index is rebuilt");
        Ok(())
    }
}
