//! The followers' side: which partitions are followed where, as the metadata has it.

mod fetcher;
mod following;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::Notify;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use uuid::Uuid;

use self::fetcher::Fetcher;
use crate::{
    metadata::{Delta, Image, ImageObserver, Topic, image::NO_LEADER},
    partition::{Partitions, Replica},
    replication::peers::PeerChannels,
};

/// A partition: its topic's id and its index.
type Key = (Uuid, i32);

/// A replica of this broker that follows.
#[derive(Clone)]
struct Assigned {
    replica: Arc<Replica>,
    leader_epoch: i32,
}

/// What is to be followed at one leader.
#[derive(Default)]
struct Assignment {
    partitions: Mutex<HashMap<Key, Assigned>>,
    changed: Notify,
}

impl Assignment {
    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Assigned>> {
        self.partitions
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// Follows the leaders that the metadata names. It must observe the metadata after [`Partitions`] has.
pub struct Followers {
    broker_id: i32,
    partitions: Arc<Partitions>,
    peers: Arc<PeerChannels>,
    state: Mutex<State>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

#[derive(Default)]
struct State {
    /// By the leader's broker. A fetcher without partitions waits for some.
    fetchers: HashMap<i32, Arc<Assignment>>,
    /// Where each partition is followed.
    leaders: HashMap<Key, i32>,
}

impl Followers {
    /// Follows nobody yet. Everything ends when `stop` is cancelled.
    pub fn new(
        broker_id: i32,
        partitions: Arc<Partitions>,
        peers: Arc<PeerChannels>,
        stop: CancellationToken,
    ) -> Arc<Self> {
        Arc::new(Self {
            broker_id,
            partitions,
            peers,
            state: Mutex::default(),
            tasks: TaskTracker::new(),
            stop,
        })
    }

    /// Runs a task that [`Followers::ended`] waits for.
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn(task);
    }

    /// Waits until nothing is followed any more, after everything was told to stop.
    pub async fn ended(&self) {
        self.tasks.close();
        self.tasks.wait().await;
    }

    fn update(&self, topic: &Topic, indexes: impl Iterator<Item = usize>) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        for index in indexes {
            let Some(partition) = topic.partitions.get(index) else {
                continue;
            };
            let index = i32::try_from(index).expect("a topic's partitions are counted by an i32");
            let key = (topic.id, index);
            let replica = self.partitions.replica(&topic.id, index);
            let follows = partition.leader != self.broker_id && partition.leader != NO_LEADER;
            match replica.filter(|_| follows) {
                Some(replica) => {
                    let leader_epoch = partition.leader_epoch;
                    let assigned = Assigned {
                        replica,
                        leader_epoch,
                    };
                    self.assign(&mut state, key, partition.leader, assigned);
                }
                None => state.remove(&key),
            }
        }
    }

    fn assign(&self, state: &mut State, key: Key, leader: i32, assigned: Assigned) {
        if state.leaders.get(&key) != Some(&leader) {
            state.remove(&key);
            state.leaders.insert(key, leader);
        }
        let assignment = state.fetchers.entry(leader).or_insert_with(|| {
            let assignment = Arc::new(Assignment::default());
            let fetcher = Fetcher::new(
                self.broker_id,
                leader,
                Arc::clone(&assignment),
                Arc::clone(&self.peers),
            );
            let stop = self.stop.clone();
            self.tasks.spawn(async move {
                tokio::select! {
                    () = stop.cancelled() => {}
                    () = fetcher.run() => {}
                }
            });
            assignment
        });
        assignment.lock().insert(key, assigned);
        assignment.changed.notify_one();
    }
}

impl State {
    fn remove(&mut self, key: &Key) {
        let leader = self.leaders.remove(key);
        if let Some(assignment) = leader.and_then(|leader| self.fetchers.get(&leader)) {
            assignment.lock().remove(key);
            assignment.changed.notify_one();
        }
    }
}

impl ImageObserver for Arc<Followers> {
    fn before_publish(&self, _old: &Image, _new: &Image, delta: &Delta) {
        for topic in &delta.topics_deleted {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            for index in (0i32..).take(topic.partitions.len()) {
                state.remove(&(topic.id, index));
            }
        }
        for topic in &delta.topics_created {
            self.update(topic, 0..topic.partitions.len());
        }
        for (topic, added) in &delta.partitions_added {
            self.update(topic, added.clone());
        }
        for (topic, changed) in &delta.partitions_changed {
            self.update(topic, changed.iter().copied());
        }
    }
}
