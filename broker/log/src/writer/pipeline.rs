//! While one group is synced, the next one is already written, and the one before is published: who does which,
//! and what goes between them.
//!
//! ```text
//! fjord-writer: put together, write ─► groups that wait, bounded ─► two threads `fjord-sync` take turns:
//!     sync once for all that waits ─► publish them, while the other one syncs
//! ```
//!
//! The slower the disk syncs, the more is synced at once. Nobody is kept waiting by this: if nothing else is to
//! be written, the writer syncs and publishes by itself.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Instant;

use super::publisher::{Publisher, Written};
use crate::log::{Shared, spawn};
use crate::stats::Counters;
use crate::types::Lsn;
use crate::valuelog::file::ValueLogFile;

const THREADS: usize = 2;

/// The writer's end. Dropping it ends the other threads, after what they have.
pub(super) struct Pipeline {
    handover: Arc<Handover>,
    threads: Vec<JoinHandle<()>>,
}

struct Handover {
    shared: Arc<Shared>,
    state: Mutex<State>,
    /// There is something to sync, and nobody has the turn.
    to_sync: Condvar,
    /// Groups have been taken, or published.
    progress: Condvar,
    /// Held by whoever publishes. It is taken before the turn to sync is passed on, so that groups are published
    /// in the order in which they were synced.
    publisher: Mutex<Publisher>,
    /// Everything before this place is synced.
    durable: AtomicU64,
}

#[derive(Default)]
struct State {
    waiting: Vec<Written>,
    waiting_bytes: usize,
    /// Somebody has the turn to sync.
    syncing: bool,
    /// How many have groups that are not published yet.
    busy: usize,
    closed: bool,
    /// A thread has ended; unless it was told to, the log has failed.
    ended: bool,
}

impl Pipeline {
    /// A pipeline for a log that is durable before `durable`.
    pub fn start(shared: &Arc<Shared>, publisher: Publisher, durable: Lsn) -> io::Result<Self> {
        let handover = Arc::new(Handover {
            shared: shared.clone(),
            state: Mutex::default(),
            to_sync: Condvar::new(),
            progress: Condvar::new(),
            publisher: Mutex::new(publisher),
            durable: AtomicU64::new(durable.0),
        });
        let start = |_| {
            let handover = handover.clone();
            spawn("fjord-sync", move || {
                let _ended = Ended(&handover);
                handover.shared.guard(|| {
                    if let Err(error) = handover.run() {
                        handover.shared.fail_appends(&error);
                    }
                });
            })
        };
        Ok(Self {
            threads: (0..THREADS).map(start).collect::<io::Result<_>>()?,
            handover,
        })
    }

    /// Everything before this place is synced, and perhaps more.
    pub fn durable(&self) -> Lsn {
        self.handover.durable()
    }

    /// Has a group synced and published: by another thread if there is `more` to write meanwhile or if one
    /// is busy, else here and now.
    pub fn submit(&self, written: Written, more: bool) -> io::Result<()> {
        let mut state = self.handover.lock();
        let bytes = written.buffer.len();
        let limit = self.handover.shared.options.group_bytes as usize;
        let fits = |state: &State| state.waiting_bytes + bytes <= limit;
        while !state.waiting.is_empty() && !fits(&state) && !state.ended {
            state = wait(&self.handover.progress, state);
        }
        if state.ended {
            return Err(ended());
        }
        state.waiting_bytes += bytes;
        state.waiting.push(written);
        if more || state.busy > 0 || state.waiting.len() > 1 {
            self.handover.offer_turn(&state);
            return Ok(());
        }
        self.handover.work(state)
    }

    /// Waits until everything submitted is published.
    pub fn drain(&self) -> io::Result<()> {
        let mut state = self.handover.lock();
        while (state.busy > 0 || !state.waiting.is_empty()) && !state.ended {
            state = wait(&self.handover.progress, state);
        }
        if state.ended { Err(ended()) } else { Ok(()) }
    }

    /// Makes everything before `end` durable, which is in this file, or was before. After [`Self::drain`].
    pub fn sync(&self, file: &ValueLogFile, end: Lsn) -> io::Result<()> {
        self.handover.sync(file, end)
    }
}

impl Drop for Pipeline {
    fn drop(&mut self) {
        self.handover.lock().closed = true;
        self.handover.to_sync.notify_all();
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!("a thread that syncs the value log panicked");
            }
        }
    }
}

impl Handover {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn offer_turn(&self, state: &State) {
        if !state.syncing && !state.waiting.is_empty() {
            self.to_sync.notify_one();
        }
    }

    fn durable(&self) -> Lsn {
        Lsn(self.durable.load(Relaxed))
    }

    fn sync(&self, file: &ValueLogFile, end: Lsn) -> io::Result<()> {
        let began = Instant::now();
        // A failed sync is never retried: the kernel may have dropped the pages. It ends the log.
        file.sync()
            .map_err(|e| io::Error::other(format!("fdatasync: {e}")))?;
        let micros = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
        Counters::add(&self.shared.counters.syncs, 1);
        Counters::add(&self.shared.counters.sync_micros, micros);
        self.durable.store(end.0, Relaxed);
        Ok(())
    }

    /// What the other threads do, until they are told to end, or a sync fails.
    fn run(&self) -> io::Result<()> {
        loop {
            let mut state = self.lock();
            while state.syncing || state.waiting.is_empty() {
                if state.ended || (state.closed && state.waiting.is_empty()) {
                    return Ok(());
                }
                state = wait(&self.to_sync, state);
            }
            self.work(state)?;
        }
    }

    /// Syncs what waits, passes the turn on, and publishes it. Nobody may have the turn.
    fn work(&self, mut state: MutexGuard<'_, State>) -> io::Result<()> {
        let groups = std::mem::take(&mut state.waiting);
        state.waiting_bytes = 0;
        state.syncing = true;
        state.busy += 1;
        drop(state);
        self.progress.notify_one();

        // They are all in one file. If the sync fails, the turn is never passed on.
        let file = groups
            .iter()
            .find(|written| written.must_sync)
            .and_then(|written| written.file.as_ref());
        if let (Some(file), Some(last)) = (file, groups.last()) {
            self.sync(file, last.end)?;
        }
        let durable = self.durable();
        let publisher = self.publisher.lock();
        let mut publisher = publisher.unwrap_or_else(PoisonError::into_inner);
        let mut state = self.lock();
        state.syncing = false;
        self.offer_turn(&state);
        drop(state);

        for written in groups {
            publisher.publish(written, durable);
        }
        drop(publisher);
        self.lock().busy -= 1;
        self.progress.notify_one();
        Ok(())
    }
}

fn wait<'a>(condition: &Condvar, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
    condition
        .wait(state)
        .unwrap_or_else(PoisonError::into_inner)
}

/// Says that the thread has ended, however it did.
struct Ended<'a>(&'a Handover);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.ended = true;
        let left = std::mem::take(&mut state.waiting);
        drop(state);
        self.0.to_sync.notify_all();
        self.0.progress.notify_all();
        // Dropping the operations tells whoever waits for them that the log is closed.
        drop(left);
    }
}

fn ended() -> io::Error {
    io::Error::other("a thread that syncs has ended")
}
