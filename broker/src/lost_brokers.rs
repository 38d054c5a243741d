//! Brokers that were lost a moment ago, and what clients are spared because of it.
//!
//! - One whose connection broke stays in the lists of brokers for a while. Clients find out by themselves that it is gone,
//!   and a client that is told of new leaders and of a missing broker in one answer (librdkafka does so) would take the
//!   broker's partitions along with it, and look for them a second time.
//! - One that fell silent breaks no connection, so clients that wait for it ask nobody else, some of them for a minute.
//!   They are told by the only means that Kafka's protocol has: brokers that are there close their connections in order,
//!   with everything answered. Clients connect again at once, ask for metadata, and find the new leaders.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use tokio::sync::watch;
use tracing::info;

use crate::metadata::{Delta, Image, ImageObserver};

/// How long a broker whose connection broke is listed: longer than clients take to find its partitions elsewhere.
const LISTED: Duration = Duration::from_secs(15);

/// See the module's documentation. It observes the metadata.
#[derive(Debug, Default)]
pub struct LostBrokers {
    /// When brokers were fenced whose connection broke.
    broken: Mutex<BTreeMap<i32, Instant>>,
    /// How many have fallen silent.
    silent: watch::Sender<u64>,
}

impl LostBrokers {
    /// Whether clients should still be told of a broker that is fenced.
    pub fn is_listed(&self, broker_id: i32, now: Instant) -> bool {
        let broken = self.broken.lock().unwrap_or_else(PoisonError::into_inner);
        broken
            .get(&broker_id)
            .is_some_and(|since| now.saturating_duration_since(*since) < LISTED)
    }

    /// Changes whenever a broker has fallen silent.
    pub fn silences(&self) -> watch::Receiver<u64> {
        self.silent.subscribe()
    }

    fn observe(&self, old: &Image, new: &Image, now: Instant) {
        let mut broken = self.broken.lock().unwrap_or_else(PoisonError::into_inner);
        broken.retain(|id, _| new.broker(*id).is_some_and(|broker| broker.fenced));
        let was_there = |id| old.broker(id).is_some_and(|broker| !broker.fenced);
        let lost = new
            .brokers()
            .filter(|broker| broker.fenced && was_there(broker.broker_id));
        for broker in lost {
            if broker.silent {
                info!(
                    broker_id = broker.broker_id,
                    "a broker has fallen silent: clients are to look for other leaders"
                );
                self.silent.send_modify(|count| *count += 1);
            } else {
                broken.insert(broker.broker_id, now);
            }
        }
    }
}

impl ImageObserver for Arc<LostBrokers> {
    fn before_publish(&self, old: &Image, new: &Image, delta: &Delta) {
        if delta.brokers_changed {
            self.observe(old, new, Instant::now());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metadata::{
        commands::{
            FenceBroker, Request, UnfenceBroker,
            testing::{CONDITIONS, image_with_brokers},
        },
        records::Record,
    };

    fn after(image: &Image, request: impl Request) -> Image {
        let decision = request.decide(image, &CONDITIONS);
        let records: Vec<Record> = decision.records;
        records.into_iter().fold(image.clone(), Image::apply)
    }

    fn fenced(image: &Image, is_silent: bool) -> Image {
        let request = FenceBroker {
            broker_id: 1,
            broker_epoch: 1,
            is_silent,
        };
        after(image, request)
    }

    #[test]
    fn a_broken_connection_keeps_a_broker_listed_for_a_while() {
        let (lost, now) = (LostBrokers::default(), Instant::now());
        let image = image_with_brokers(2);
        let without = fenced(&image, false);
        lost.observe(&image, &without, now);
        assert!(lost.is_listed(1, now + LISTED / 2));
        assert!(!lost.is_listed(1, now + LISTED), "clients know by now");
        assert!(!lost.is_listed(0, now), "that one is there");
        assert_eq!(*lost.silences().borrow(), 0);

        let request = UnfenceBroker {
            broker_id: 1,
            broker_epoch: 1,
        };
        lost.observe(&without, &after(&without, request), now);
        assert!(!lost.is_listed(1, now), "it is back");
    }

    #[test]
    fn silence_is_told_once_and_delists() {
        let (lost, now) = (LostBrokers::default(), Instant::now());
        let image = image_with_brokers(2);
        let without = fenced(&image, true);
        lost.observe(&image, &without, now);
        lost.observe(&without, &without, now);
        assert_eq!(*lost.silences().borrow(), 1);
        assert!(!lost.is_listed(1, now));
    }

    #[test]
    fn what_was_lost_before_this_broker_knew_it_is_no_news() {
        let (lost, now) = (LostBrokers::default(), Instant::now());
        let without = fenced(&image_with_brokers(2), true);
        lost.observe(&Image::default(), &without, now);
        assert_eq!(*lost.silences().borrow(), 0);
    }
}
