//! Hosts the shards of a coordinator: replays them, carries out their steps, wakes them up.
//!
//! ```text
//!                 submit                     append                durable or failed
//!   handler ──► (order lock) ──► Shard::handle ──► ShardLog ──► settled ──► Shard::appended
//!      ▲                            │ replies now                  │ held replies
//!      └────────────────────────────┴───────────────────────────────┘
//! ```
//!
//! - Requests of one shard are handled one after another, and their records are appended in that
//!   order. The step runs in the call; the future that is returned only waits for the reply.
//! - Replies that a step holds back leave when every record appended so far is durable. A failed
//!   append turns those that wait for it, or for a later one, into errors.
//! - If a shard cannot take a failed append back, it is thrown away and replayed from its log. All
//!   that waited in it gets a retriable error.
//! - One task serves the timers of all shards.

mod log;
mod slot;

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, Instant};

use thiserror::Error;
use tokio::sync::{Notify, Semaphore, oneshot};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info};

pub use log::{AppendDone, AppendFailed, ReplayFailed, ShardLog};
use slot::Slot;

use super::shard::{Now, Shard};
use crate::clock::now_ms;

/// How many shards are replayed at the same time.
const MAX_CONCURRENT_LOADS: usize = 4;

/// How long to wait before a replay that failed is tried again.
const LOAD_RETRY: Duration = Duration::from_secs(2);

/// The same where the log is not settled yet, which takes about as long as a message to the followers.
const SETTLE_RETRY: Duration = Duration::from_millis(20);

/// The longest sleep of the timers' task; a wake-up comes earlier if a deadline does.
const MAX_SLEEP_MS: u64 = 60_000;

/// Why a request got no reply from its shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Unavailable {
    /// The shard's log is being replayed.
    #[error("the coordinator is loading")]
    Loading,
    /// The shard is not hosted here, or was taken away while the request waited.
    #[error("the coordinator is not here")]
    NotHere,
    /// What the request changed could not be written.
    #[error("the coordinator's log cannot be written")]
    WriteFailed,
}

/// The runtime of one coordinator. Clones share it.
pub struct Runtime<S: Shard> {
    inner: Arc<Inner<S>>,
}

impl<S: Shard> Clone for Runtime<S> {
    fn clone(&self) -> Self {
        Self {
            inner: self.inner.clone(),
        }
    }
}

struct Inner<S: Shard> {
    log: Arc<dyn ShardLog>,
    new_shard: Box<dyn Fn() -> S + Send + Sync>,
    slots: RwLock<BTreeMap<i32, Arc<Slot<S>>>>,
    /// Slots by the deadline at which they want to be woken; one entry at most for each.
    deadlines: Mutex<BTreeSet<(u64, i32)>>,
    earlier_deadline: Notify,
    loads: Arc<Semaphore>,
    started: Instant,
    tokio: tokio::runtime::Handle,
}

impl<S: Shard> Runtime<S> {
    /// A runtime without shards. `new_shard` makes an empty one.
    ///
    /// # Panics
    /// Outside a tokio runtime, on which shards are replayed.
    pub fn new(log: Arc<dyn ShardLog>, new_shard: impl Fn() -> S + Send + Sync + 'static) -> Self {
        Self {
            inner: Arc::new(Inner {
                log,
                new_shard: Box::new(new_shard),
                slots: RwLock::default(),
                deadlines: Mutex::default(),
                earlier_deadline: Notify::new(),
                loads: Arc::new(Semaphore::new(MAX_CONCURRENT_LOADS)),
                started: Instant::now(),
                tokio: tokio::runtime::Handle::current(),
            }),
        }
    }

    /// Starts to host a shard under a leadership of its partition: it is replayed in the background. Does nothing
    /// if it is hosted under that one already. What waits in a shard of an earlier leadership learns that it is
    /// not here. The log must not be ready to be replayed before the appends of earlier leaderships are settled.
    pub fn load(&self, partition: i32, leader_epoch: i32) {
        let mut slots = self
            .inner
            .slots
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        let hosted = slots.get(&partition);
        if hosted.is_some_and(|slot| slot.leader_epoch == leader_epoch) {
            return;
        }
        let slot = Arc::new(Slot::new(partition, leader_epoch));
        let former = slots.insert(partition, slot.clone());
        drop(slots);
        if let Some(former) = former {
            former.close();
        }
        self.inner.spawn_load(slot, 0);
    }

    /// Stops hosting a shard. What waits in it learns that it is not here.
    pub fn unload(&self, partition: i32) {
        let mut slots = self
            .inner
            .slots
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        let slot = slots.remove(&partition);
        drop(slots);
        if let Some(slot) = slot {
            slot.close();
            debug!(partition, "the coordinator shard is unloaded");
        }
    }

    /// The shards that are hosted, loaded or not.
    pub fn partitions(&self) -> Vec<i32> {
        let slots = self
            .inner
            .slots
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        slots.keys().copied().collect()
    }

    /// Whether every hosted shard has been replayed.
    pub fn is_loaded(&self) -> bool {
        let slots = self
            .inner
            .slots
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        slots.values().all(|slot| slot.is_active())
    }

    /// Hands a request to its shard. The shard handles it before this returns; the future waits
    /// for the reply, and may be dropped.
    pub fn submit(
        &self,
        partition: i32,
        request: S::Request,
    ) -> impl Future<Output = Result<S::Reply, Unavailable>> + Send + 'static + use<S> {
        let (sender, receiver) = oneshot::channel();
        match self.inner.slot(partition) {
            Some(slot) => self.inner.handle(&slot, request, sender),
            None => drop(sender),
        }
        async move { receiver.await.unwrap_or(Err(Unavailable::NotHere)) }
    }

    /// Serves the timers of all shards until cancelled.
    pub async fn run(&self, cancel: CancellationToken) {
        loop {
            let now_ms = self.inner.now().monotonic_ms;
            let next_ms = lock(&self.inner.deadlines)
                .first()
                .map(|(deadline_ms, _)| *deadline_ms);
            let sleep_ms = next_ms.map_or(MAX_SLEEP_MS, |next_ms| next_ms.saturating_sub(now_ms));
            tokio::select! {
                () = cancel.cancelled() => return,
                () = self.inner.earlier_deadline.notified() => continue,
                () = tokio::time::sleep(Duration::from_millis(sleep_ms.min(MAX_SLEEP_MS))) => {}
            }
            for partition in self.inner.take_due() {
                if let Some(slot) = self.inner.slot(partition) {
                    self.inner.tick(&slot);
                }
            }
        }
    }
}

impl<S: Shard> Inner<S> {
    fn now(&self) -> Now {
        Now {
            wall_ms: now_ms(),
            monotonic_ms: u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX),
        }
    }

    fn slot(&self, partition: i32) -> Option<Arc<Slot<S>>> {
        let slots = self.slots.read().unwrap_or_else(PoisonError::into_inner);
        slots.get(&partition).cloned()
    }

    fn take_due(&self) -> Vec<i32> {
        let now_ms = self.now().monotonic_ms;
        let mut deadlines = lock(&self.deadlines);
        let later = deadlines.split_off(&(now_ms + 1, i32::MIN));
        let due = std::mem::replace(&mut *deadlines, later);
        due.into_iter().map(|(_, partition)| partition).collect()
    }

    /// Replays a slot's log in the background, again and again until it works or the slot is no
    /// longer at this epoch.
    fn spawn_load(self: &Arc<Self>, slot: Arc<Slot<S>>, epoch: u64) {
        let inner = self.clone();
        self.tokio.spawn(async move {
            while slot.is_loading(epoch) {
                let Ok(permit) = inner.loads.clone().acquire_owned().await else {
                    return;
                };
                let (reader, partition) = (inner.clone(), slot.partition);
                let replay = tokio::task::spawn_blocking(move || reader.replay(partition)).await;
                drop(permit);
                let pause = match replay {
                    Ok(Ok(shard)) => {
                        inner.activate(&slot, epoch, shard);
                        return;
                    }
                    Ok(Err(ReplayFailed::NotYet)) => SETTLE_RETRY,
                    Ok(Err(failed)) => {
                        error!(partition, error = %failed, "cannot load a coordinator shard");
                        LOAD_RETRY
                    }
                    Err(failed) => {
                        error!(partition, error = %failed, "loading a coordinator shard ended");
                        LOAD_RETRY
                    }
                };
                tokio::time::sleep(pause).await;
            }
        });
    }

    fn replay(&self, partition: i32) -> Result<S, ReplayFailed> {
        let began = Instant::now();
        let mut shard = (self.new_shard)();
        let mut records = 0_u64;
        self.log.replay(partition, &mut |key, value| {
            records += 1;
            shard.replay(key, value)
        })?;
        let elapsed_ms = began.elapsed().as_millis();
        if records > 0 {
            info!(
                partition,
                records, elapsed_ms, "the coordinator shard is loaded"
            );
        }
        Ok(shard)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
