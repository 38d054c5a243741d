//! A partition's replica on this broker: leader or follower, as the metadata says.
//!
//! Its high watermark is kept by its log, which cleans up nothing beyond it.

mod followers;
mod following;
mod leading;
mod policies;
mod reading;
#[cfg(test)]
mod tests;

use std::{
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, RwLock,
        atomic::{AtomicI32, Ordering::SeqCst},
    },
};

use fjord_log::{AppendError, Partition};
use tracing::warn;
use uuid::Uuid;

use self::leading::Leadership;
pub use self::{followers::FollowerAt, reading::Bounds};
use super::{
    links::Link,
    parked::{Parked, ParkedFetch},
    set::NotHere,
    waiting::Done,
};
use crate::{
    config::{CleanerConfig, TopicConfig},
    metadata,
};

/// Whose disks a producer waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Acks {
    /// The leader's (`acks=1`; with 0 nobody waits).
    Leader,
    /// Those of all in-sync replicas, which must be enough (`acks=all`).
    All,
}

/// Why records were not written, or not as safely as was asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WriteError {
    /// The log refused them; nothing of them is there.
    #[error(transparent)]
    Log(#[from] AppendError),
    /// Another broker leads the partition, or will soon. Whether they were written is not known.
    #[error("this broker does not lead the partition; ask for its metadata again")]
    NotLeader,
    /// Nothing was written.
    #[error("{found} replicas are in sync, but min.insync.replicas asks for {needed}")]
    NotEnoughReplicas {
        /// In-sync replicas.
        found: usize,
        /// What the topic asks for.
        needed: usize,
    },
    /// They are on the leader's disk, and may or may not stay.
    #[error(
        "the records were written, but then fewer replicas were in sync than min.insync.replicas asks for"
    )]
    NotEnoughReplicasAfterAppend,
}

/// A partition's replica on this broker; shared by all who use it.
pub struct Replica {
    topic: Arc<str>,
    topic_id: Uuid,
    index: i32,
    broker_id: i32,
    log: Arc<Partition>,
    config: RwLock<Arc<TopicConfig>>,
    parked: Parked,
    leader_epoch: AtomicI32,
    /// Taken before the log's own lock.
    role: Mutex<Role>,
}

/// What the replica is now.
enum Role {
    Leader(Box<Leadership>),
    /// Another broker leads the partition, or none.
    Follower,
    /// The replica has been deleted.
    Gone,
}

/// What a replica is made of.
pub(super) struct ReplicaOptions {
    pub topic: Arc<str>,
    pub topic_id: Uuid,
    pub index: i32,
    pub broker_id: i32,
    pub log: Arc<Partition>,
    pub config: Arc<TopicConfig>,
}

impl Replica {
    /// A replica that follows nobody yet.
    pub(super) fn new(options: ReplicaOptions) -> Self {
        // Nothing more is known to be on other disks too.
        let log_start = options.log.positions().log_start;
        options.log.set_high_watermark(log_start);
        Self {
            topic: options.topic,
            topic_id: options.topic_id,
            index: options.index,
            broker_id: options.broker_id,
            log: options.log,
            config: RwLock::new(options.config),
            parked: Parked::default(),
            leader_epoch: AtomicI32::new(-1),
            role: Mutex::new(Role::Follower),
        }
    }

    /// The topic's name.
    pub fn topic(&self) -> &str {
        &self.topic
    }

    /// The topic's id.
    pub fn topic_id(&self) -> Uuid {
        self.topic_id
    }

    /// The partition's index in its topic.
    pub fn index(&self) -> i32 {
        self.index
    }

    /// The epoch of the leadership that the replica knows of (KIP-101), its own or another's.
    pub fn leader_epoch(&self) -> i32 {
        self.leader_epoch.load(SeqCst)
    }

    /// Whether this broker leads the partition, or why not.
    ///
    /// # Errors
    ///
    /// [`NotHere`].
    pub fn check_leads(&self) -> Result<(), NotHere> {
        match *self.role() {
            Role::Leader(_) => Ok(()),
            Role::Follower => Err(NotHere::LedElsewhere),
            Role::Gone => Err(NotHere::Unknown),
        }
    }

    /// The topic's configs in force.
    pub fn config(&self) -> Arc<TopicConfig> {
        Arc::clone(&self.config.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The partition's log.
    pub fn log(&self) -> &Arc<Partition> {
        &self.log
    }

    fn role(&self) -> MutexGuard<'_, Role> {
        self.role.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes new configs into force: for appends at once, for cleaning up from the next round on.
    pub(super) fn set_config(&self, config: Arc<TopicConfig>, cleaner: &CleanerConfig) {
        let role = self.role();
        self.log
            .set_compaction(policies::compaction(&config, cleaner));
        *self.config.write().unwrap_or_else(PoisonError::into_inner) = config;
        self.set_retention(&role);
    }

    /// Followers delete what their leader has deleted, and nothing else.
    fn set_retention(&self, role: &Role) {
        let retention = match role {
            Role::Leader(_) => policies::retention(&self.config()),
            Role::Follower | Role::Gone => None,
        };
        self.log.set_retention(retention);
    }

    /// Takes the partition's state from the metadata into force. `min_in_sync` is what acks=all needs, and `now_ms`
    /// the time of a clock that never goes back.
    pub(super) fn set_state(
        self: &Arc<Self>,
        state: &metadata::Partition,
        min_in_sync: usize,
        now_ms: u64,
    ) {
        let mut role = self.role();
        let is_leader = state.leader == self.broker_id;
        match &mut *role {
            Role::Gone => {}
            Role::Leader(leadership)
                if is_leader
                    && leadership.in_sync.partition().leader_epoch == state.leader_epoch =>
            {
                let failed = leadership.changed(state, min_in_sync);
                let released = self.advanced(leadership);
                drop(role);
                self.settle(released);
                tell_all(failed, &WriteError::NotEnoughReplicasAfterAppend);
            }
            former => {
                let waiting = former.end();
                self.log.on_written(None);
                // Before anything is done in it: what belongs to the epoch before is refused from here on.
                self.leader_epoch.store(state.leader_epoch, SeqCst);
                *former = match is_leader {
                    true => self.lead(state, min_in_sync, now_ms),
                    false => Role::Follower,
                };
                self.set_retention(former);
                drop(role);
                tell_all(waiting, &WriteError::NotLeader);
                // Whoever waits for records here is told that they are somewhere else.
                self.parked.changed();
            }
        }
    }

    /// Wakes `fetch` when there is more to read.
    pub fn park(&self, fetch: &Arc<ParkedFetch>) {
        self.parked.park(fetch);
    }

    /// The replica is deleted: ends everything that waits for it.
    pub(super) fn close(&self) {
        let mut role = self.role();
        let waiting = role.end();
        *role = Role::Gone;
        drop(role);
        tell_all(waiting, &WriteError::NotLeader);
        self.parked.changed();
    }
}

impl Role {
    /// Ends a leadership, if this is one; returns who waits for it.
    fn end(&mut self) -> Vec<Done> {
        match self {
            Self::Leader(leadership) => {
                leadership.links.iter().for_each(Link::close);
                leadership.waiting.take_all()
            }
            Self::Follower | Self::Gone => Vec::new(),
        }
    }
}

fn tell_all(waiting: Vec<Done>, error: &WriteError) {
    if !waiting.is_empty() {
        warn!(appends = waiting.len(), %error, "appends were not replicated");
    }
    for done in waiting {
        done(Err(error.clone()));
    }
}

impl fmt::Debug for Replica {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}-{}", self.topic, self.index)
    }
}
