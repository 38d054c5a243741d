//! While one group is synced, the next one is already written: two threads, and what goes between them.
//!
//! ```text
//! fjord-writer: put together, write ─► groups that wait, bounded ─► fjord-sync: sync once for all, publish
//! ```
//!
//! The slower the disk syncs, the more is synced at once. Nobody is kept waiting by this: if nothing else is to be written, the writer syncs and publishes by itself.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use super::publisher::{Publisher, Written};
use crate::log::{Shared, spawn};
use crate::types::Lsn;
use crate::valuelog::files::ValueLogFile;

/// The writer's end. Dropping it ends the other thread, after what it has.
pub(super) struct Pipeline {
    handover: Arc<Handover>,
    thread: Option<JoinHandle<()>>,
}

struct Handover {
    /// Most bytes of groups that wait, unless one alone is larger: they are synced together.
    limit: usize,
    state: Mutex<State>,
    changed: Condvar,
    /// Held by whoever syncs and publishes.
    publisher: Mutex<Publisher>,
    /// [`Publisher::durable`], without waiting for a sync.
    durable: AtomicU64,
}

#[derive(Default)]
struct State {
    waiting: Vec<Written>,
    waiting_bytes: usize,
    busy: bool,
    closed: bool,
    /// The thread has ended; unless it was told to, the log has failed.
    ended: bool,
}

impl Pipeline {
    pub fn start(shared: &Arc<Shared>, publisher: Publisher) -> io::Result<Self> {
        let handover = Arc::new(Handover {
            limit: shared.options.group_bytes as usize,
            state: Mutex::default(),
            changed: Condvar::new(),
            durable: AtomicU64::new(publisher.durable().0),
            publisher: Mutex::new(publisher),
        });
        let (shared, theirs) = (shared.clone(), handover.clone());
        let thread = spawn("fjord-sync", move || {
            let _ended = Ended(&theirs);
            shared.guard(|| {
                if let Err(error) = theirs.run() {
                    shared.fail_appends(&error);
                }
            });
        })?;
        Ok(Self {
            handover,
            thread: Some(thread),
        })
    }

    /// Everything before this place is synced, and perhaps more.
    pub fn durable(&self) -> Lsn {
        Lsn(self.handover.durable.load(Relaxed))
    }

    /// Has a group synced and published: by the other thread if there is `more` to write meanwhile or if it
    /// is busy, else here and now.
    pub fn submit(&self, written: Written, more: bool) -> io::Result<()> {
        let mut state = self.handover.lock();
        let bytes = written.group.written;
        let fits = |state: &State| state.waiting_bytes + bytes <= self.handover.limit;
        while !state.waiting.is_empty() && !fits(&state) && !state.ended {
            state = self.handover.wait(state);
        }
        if state.ended {
            return Err(ended());
        }
        if more || state.busy || !state.waiting.is_empty() {
            state.waiting_bytes += bytes;
            state.waiting.push(written);
            drop(state);
            self.handover.changed.notify_all();
            return Ok(());
        }
        drop(state);
        self.handover.finish(vec![written])
    }

    /// Waits until everything submitted is published.
    pub fn drain(&self) -> io::Result<()> {
        let mut state = self.handover.lock();
        while (state.busy || !state.waiting.is_empty()) && !state.ended {
            state = self.handover.wait(state);
        }
        if state.ended { Err(ended()) } else { Ok(()) }
    }

    /// Makes everything before `end` durable, which is in this file, or was before. After [`Self::drain`].
    pub fn sync(&self, file: &ValueLogFile, end: Lsn) -> io::Result<()> {
        let mut publisher = self.handover.publisher();
        publisher.sync(file, end)?;
        self.handover.note_durable(&publisher);
        Ok(())
    }
}

impl Drop for Pipeline {
    fn drop(&mut self) {
        self.handover.lock().closed = true;
        self.handover.changed.notify_all();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread that syncs the value log panicked");
        }
    }
}

impl Handover {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn publisher(&self) -> MutexGuard<'_, Publisher> {
        self.publisher
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        self.changed
            .wait(state)
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn note_durable(&self, publisher: &Publisher) {
        self.durable.store(publisher.durable().0, Relaxed);
    }

    fn finish(&self, groups: Vec<Written>) -> io::Result<()> {
        let mut publisher = self.publisher();
        let result = publisher.finish(groups);
        self.note_durable(&publisher);
        result
    }

    /// The other thread: works until it is told to end, or a sync fails.
    fn run(&self) -> io::Result<()> {
        loop {
            let mut state = self.lock();
            state.busy = false;
            self.changed.notify_all();
            while state.waiting.is_empty() {
                if state.closed {
                    return Ok(());
                }
                state = self.wait(state);
            }
            state.busy = true;
            state.waiting_bytes = 0;
            let groups = std::mem::take(&mut state.waiting);
            drop(state);
            self.changed.notify_all();
            self.finish(groups)?;
        }
    }
}

/// Says that the thread has ended, however it did.
struct Ended<'a>(&'a Handover);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.ended = true;
        let left = std::mem::take(&mut state.waiting);
        drop(state);
        self.0.changed.notify_all();
        // Dropping the operations tells whoever waits for them that the log is closed.
        drop(left);
    }
}

fn ended() -> io::Error {
    io::Error::other("the thread that syncs has ended")
}
