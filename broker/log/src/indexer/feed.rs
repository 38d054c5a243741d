//! What the writer hands to the indexer: a bounded queue, with a way to wait until something is indexed.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::indexer::Forgotten;
use crate::partition::Partition;
use crate::types::Lsn;
use crate::valuelog::sidecar::EntryRecord;

/// Entries in one commit, about.
const AT_ONCE: usize = 8192;
/// How long entries are gathered; until they are indexed they are found in memory.
const GATHER: Duration = Duration::from_millis(50);
/// How long a caller waits for a rebuild or for the indexer at the most.
const PATIENCE: Duration = Duration::from_secs(600);

/// What the indexer takes at a time.
#[derive(Default)]
pub(crate) struct Fed {
    pub entries: Vec<(EntryRecord, Option<Arc<Partition>>)>,
    /// Producers whose state goes.
    pub forgotten: Vec<Forgotten>,
    /// Everything before this place is in `entries` or was before.
    pub end: Lsn,
    pub durable: Lsn,
}

#[derive(Default)]
struct State {
    waiting: Fed,
    applied: Lsn,
    /// Rows that retention or deletion has made unreachable are still there.
    trimming: bool,
    /// The index cannot be written now; whoever waits for it waits in vain.
    broken: bool,
    closed: bool,
    hurry: bool,
    rebuild: Option<String>,
    rebuilds: u64,
}

/// The queue. See the module's documentation.
pub(crate) struct Feed {
    state: Mutex<State>,
    changed: Condvar,
}

impl Feed {
    /// A feed for an index that holds everything before `applied`.
    pub fn new(applied: Lsn, durable: Lsn) -> Self {
        let waiting = Fed {
            end: applied,
            durable,
            ..Fed::default()
        };
        Self {
            state: Mutex::new(State {
                waiting,
                applied,
                trimming: true,
                ..State::default()
            }),
            changed: Condvar::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands over a group. Bounded by the appends that [`Feed::backlog`] lets in.
    pub fn push(
        &self,
        entries: Vec<(EntryRecord, Option<Arc<Partition>>)>,
        end: Lsn,
        durable: Lsn,
    ) {
        let mut state = self.lock();
        let wake = state.waiting.entries.is_empty()
            || state.waiting.entries.len() + entries.len() >= AT_ONCE;
        state.waiting.entries.extend(entries);
        state.waiting.end = end;
        state.waiting.durable = durable;
        drop(state);
        if wake {
            self.changed.notify_all();
        }
    }

    /// Hands over producers whose state is to be removed.
    pub fn forget_producers(&self, forgotten: Forgotten) {
        self.lock().waiting.forgotten.push(forgotten);
        self.changed.notify_all();
    }

    /// Entries that wait.
    pub fn backlog(&self) -> usize {
        self.lock().waiting.entries.len()
    }

    /// Waits for entries and gathers some. Returns at once, perhaps empty, if `busy`. Nothing: closed.
    pub fn take(&self, busy: bool) -> Option<Fed> {
        let mut state = self.lock();
        let mut deadline = None;
        loop {
            let count = state.waiting.entries.len();
            let idle = count == 0
                && state.waiting.forgotten.is_empty()
                && state.waiting.end == state.applied;
            if state.closed && idle {
                return None;
            }
            if busy || state.closed || state.hurry || state.rebuild.is_some() || count >= AT_ONCE {
                break;
            }
            if idle {
                deadline = None;
                state = self
                    .changed
                    .wait(state)
                    .unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            let until = *deadline.get_or_insert_with(|| Instant::now() + GATHER);
            let Some(left) = until
                .checked_duration_since(Instant::now())
                .filter(|d| !d.is_zero())
            else {
                break;
            };
            state = self
                .changed
                .wait_timeout(state, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
        state.hurry = false;
        let (end, durable) = (state.waiting.end, state.waiting.durable);
        Some(std::mem::replace(
            &mut state.waiting,
            Fed {
                end,
                durable,
                ..Fed::default()
            },
        ))
    }

    /// Waits a moment while the index is broken. False when the feed is closed.
    pub fn pause(&self, time: Duration) -> bool {
        let deadline = Instant::now() + time;
        let mut state = self.lock();
        while !state.closed
            && let Some(left) = deadline
                .checked_duration_since(Instant::now())
                .filter(|d| !d.is_zero())
        {
            state = self
                .changed
                .wait_timeout(state, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
        !state.closed
    }

    /// The index now holds everything before `applied`. `trimming`: it holds rows that must still go.
    pub fn note_applied(&self, applied: Lsn, trimming: bool) {
        let mut state = self.lock();
        state.applied = applied;
        state.trimming = trimming;
        drop(state);
        self.changed.notify_all();
    }

    /// The index holds everything before this place.
    pub fn applied(&self) -> Lsn {
        self.lock().applied
    }

    /// Says whether the index can be written.
    pub fn set_broken(&self, broken: bool) {
        self.lock().broken = broken;
        self.changed.notify_all();
    }

    /// Waits until everything handed over so far is indexed, and what it has made unreachable is out. False
    /// if that does not happen.
    pub fn wait_until_applied(&self) -> bool {
        let target = self.lock().waiting.end;
        self.wait_for(|state| {
            let done = state.applied >= target && !state.trimming;
            state.hurry |= !done;
            done
        })
    }

    /// Waits until `done`, which may leave a word for the indexer. False if that does not happen.
    fn wait_for(&self, mut done: impl FnMut(&mut State) -> bool) -> bool {
        let deadline = Instant::now() + PATIENCE;
        let mut state = self.lock();
        while !done(&mut state) {
            let Some(left) = deadline
                .checked_duration_since(Instant::now())
                .filter(|_| !state.closed && !state.broken)
            else {
                return false;
            };
            self.changed.notify_all();
            state = self
                .changed
                .wait_timeout(state, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
        true
    }

    pub fn rebuild_requested(&self) -> Option<String> {
        self.lock().rebuild.clone()
    }

    pub fn rebuild_done(&self) {
        let mut state = self.lock();
        state.rebuild = None;
        state.rebuilds += 1;
        drop(state);
        self.changed.notify_all();
    }

    /// How often the index was rebuilt since the log was opened.
    pub fn rebuilds(&self) -> u64 {
        self.lock().rebuilds
    }

    /// Asks for a rebuild unless there was one after the `seen`th, and waits for it. False if it fails.
    pub fn rebuild_after(&self, seen: u64, reason: &str) -> bool {
        self.wait_for(|state| {
            let done = state.rebuilds > seen;
            if !done {
                state.rebuild.get_or_insert_with(|| reason.to_owned());
            }
            done
        })
    }

    /// Takes no more; what waits is still indexed.
    pub fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_all();
    }
}
