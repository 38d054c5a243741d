//! The order of one call's requests: queues, the lines to leaders, and word of changes.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::watch;

use super::queues::{Queues, SameWay};
use crate::forward::{
    peer::Line,
    route::{self, Place, TopicPartition},
    router::Router,
};

/// Requests with sequences that are under way for one partition: as many as its leader recognises (KIP-98).
const IN_FLIGHT: usize = 5;

/// The way to a leader.
#[derive(Clone)]
pub enum Way {
    Here,
    Over(Line),
}

impl SameWay for Way {
    fn is_same(&self, other: &Way) -> bool {
        match (self, other) {
            (Way::Here, Way::Here) => true,
            (Way::Over(one), Way::Over(other)) => one.is(other) && one.is_alive(),
            _ => false,
        }
    }
}

/// Partitions that may be sent now, by the way to their leader.
pub type Ready = Vec<(Place, Way, Vec<TopicPartition>)>;

/// The order of one call's requests.
#[derive(Default)]
pub struct Order {
    state: Mutex<State>,
    /// Told whenever something may be sent that could not be before.
    changes: watch::Sender<u64>,
}

#[derive(Default)]
struct State {
    queues: Queues<Way>,
    lines: HashMap<i32, Line>,
}

/// A request's place in the order, which is free again when this is dropped.
pub struct InOrder {
    order: Arc<Order>,
    number: u64,
    partitions: Vec<TopicPartition>,
    /// How many requests may be under way for a partition.
    most: usize,
}

impl Order {
    /// The place behind all requests so far, once they are not too many.
    pub async fn enter(
        self: &Arc<Self>,
        partitions: Vec<TopicPartition>,
        has_sequence: bool,
    ) -> InOrder {
        let most = if has_sequence { IN_FLIGHT } else { usize::MAX };
        let mut changes = self.changes.subscribe();
        loop {
            changes.borrow_and_update();
            {
                let mut state = self.lock();
                let is_full = |partition| state.queues.is_full(partition, most);
                if !partitions.iter().any(is_full) {
                    let number = state.queues.enter(&partitions);
                    drop(state);
                    return InOrder {
                        order: Arc::clone(self),
                        number,
                        partitions,
                        most,
                    };
                }
            }
            // The order lives as long as this does.
            let _ = changes.changed().await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn changed(&self) {
        self.changes.send_modify(|count| *count += 1);
    }
}

impl State {
    /// The way to a place, over the line that there is, or a new one; nothing if it is nowhere.
    fn way(&mut self, router: &Router, place: Place) -> Option<Way> {
        match (place, &router.peers) {
            (Place::Nowhere, _) => None,
            (Place::There(broker), Some(peers)) => {
                let known = self.lines.get(&broker).filter(|line| line.is_alive());
                let line = known.cloned().unwrap_or_else(|| peers.line(broker));
                self.lines.insert(broker, line.clone());
                Some(Way::Over(line))
            }
            (Place::Here | Place::There(_), _) => Some(Way::Here),
        }
    }
}

impl InOrder {
    /// Follows what may change [`InOrder::ready`], besides the metadata.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.order.changes.subscribe()
    }

    /// Those of the partitions to whose leaders the request may be sent now.
    pub fn ready<'a>(
        &self,
        router: &Router,
        partitions: impl IntoIterator<Item = &'a TopicPartition>,
    ) -> Ready {
        let places = route::by_leader(
            &router.image(),
            router.this(),
            partitions.into_iter().cloned(),
        );
        let mut state = self.order.lock();
        let mut ready = Vec::with_capacity(places.len());
        for (place, mut partitions) in places {
            let Some(way) = state.way(router, place) else {
                continue;
            };
            let queues = &state.queues;
            partitions.retain(|partition| queues.may_go(self.number, partition, &way, self.most));
            if !partitions.is_empty() {
                ready.push((place, way, partitions));
            }
        }
        ready
    }

    /// Whether the request was sent to this partition in vain: when it is sent again, all earlier ones are settled.
    pub fn has_failed(&self, partition: &TopicPartition) -> bool {
        let state = self.order.lock();
        state.queues.has_failed(self.number, partition)
    }

    /// The request has been sent: the next one may follow.
    pub fn sent(&self, partitions: &[TopicPartition], way: &Way) {
        let mut state = self.order.lock();
        for partition in partitions {
            state.queues.sent(self.number, partition, way);
        }
        drop(state);
        self.order.changed();
    }

    /// What became of some partitions: those that have `failed` are sent again.
    pub fn took(&self, partitions: &[TopicPartition], failed: impl Fn(&TopicPartition) -> bool) {
        let mut state = self.order.lock();
        for partition in partitions {
            match failed(partition) {
                true => state.queues.failed(self.number, partition),
                false => state.queues.settle(self.number, partition),
            }
        }
        drop(state);
        self.order.changed();
    }
}

impl Drop for InOrder {
    fn drop(&mut self) {
        let mut state = self.order.lock();
        for partition in &self.partitions {
            state.queues.settle(self.number, partition);
        }
        drop(state);
        self.order.changed();
    }
}
