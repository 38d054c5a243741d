//! Which produce requests of a call may be sent: a queue for each partition, as pure state.
//!
//! ```text
//!   enter ─► waiting ─► sent ─► settled
//!                        │ ▲
//!                  moved ▼ │ all earlier ones are settled
//!                       failed
//! ```
//!
//! Partitions do not wait for each other: a leader that is lost holds up what it leads, and nothing else.

use std::collections::{BTreeMap, HashMap};

use crate::forward::route::TopicPartition;

/// A way to a leader.
pub trait SameWay: Clone {
    /// Whether what goes either way takes effect in the order in which it was sent.
    fn is_same(&self, other: &Self) -> bool;
}

/// Where a request stands in a partition's queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// It was never sent.
    Waiting,
    /// It is under way.
    Sent,
    /// It was sent to what does not lead any more.
    Failed,
}

/// The requests for one partition that are not settled, by number.
struct Queue<W> {
    requests: BTreeMap<u64, Stage>,
    /// Where the last of them went; nothing before one was sent.
    way: Option<W>,
}

/// The queues of all partitions that have requests.
pub struct Queues<W> {
    queues: HashMap<TopicPartition, Queue<W>>,
    next: u64,
}

impl<W> Default for Queues<W> {
    fn default() -> Self {
        Self {
            queues: HashMap::new(),
            next: 0,
        }
    }
}

impl<W: SameWay> Queues<W> {
    /// Puts a request behind all others, and returns its number.
    pub fn enter(&mut self, partitions: &[TopicPartition]) -> u64 {
        let number = self.next;
        self.next += 1;
        for partition in partitions {
            let queue = self
                .queues
                .entry(partition.clone())
                .or_insert_with(|| Queue {
                    requests: BTreeMap::new(),
                    way: None,
                });
            queue.requests.insert(number, Stage::Waiting);
        }
        number
    }

    /// Whether so many requests are under way for a partition that it is time to wait for answers.
    pub fn is_full(&self, partition: &TopicPartition, most: usize) -> bool {
        self.queues.get(partition).is_some_and(|queue| {
            let mut stages = queue.requests.values();
            queue.requests.len() >= most && stages.all(|stage| *stage == Stage::Sent)
        })
    }

    /// Whether a request may be sent to a partition's leader now, behind at most `most` - 1 others.
    ///
    /// One that was never sent goes behind those that are under way, if it goes the same way. One that failed goes
    /// alone.
    pub fn may_go(&self, number: u64, partition: &TopicPartition, way: &W, most: usize) -> bool {
        let Some(queue) = self.queues.get(partition) else {
            return false;
        };
        let mut earlier = queue.requests.range(..number).map(|(_, stage)| *stage);
        match queue.requests.get(&number) {
            Some(Stage::Failed) => earlier.next().is_none(),
            Some(Stage::Waiting) => {
                let under_way = queue.requests.range(..number).count();
                let goes_with = |other: &W| other.is_same(way);
                earlier.all(|stage| stage == Stage::Sent)
                    && under_way < most
                    && (under_way == 0 || queue.way.as_ref().is_some_and(goes_with))
            }
            Some(Stage::Sent) | None => false,
        }
    }

    /// The request has been sent to the partition's leader.
    pub fn sent(&mut self, number: u64, partition: &TopicPartition, way: &W) {
        self.set(number, partition, Stage::Sent);
        if let Some(queue) = self.queues.get_mut(partition) {
            queue.way = Some(way.clone());
        }
    }

    /// The request did not reach the partition's leader.
    pub fn failed(&mut self, number: u64, partition: &TopicPartition) {
        self.set(number, partition, Stage::Failed);
    }

    /// Whether the request was sent in vain, and goes alone therefore.
    pub fn has_failed(&self, number: u64, partition: &TopicPartition) -> bool {
        let queue = self.queues.get(partition);
        queue.and_then(|queue| queue.requests.get(&number)) == Some(&Stage::Failed)
    }

    /// The request's part for this partition is answered, or given up.
    pub fn settle(&mut self, number: u64, partition: &TopicPartition) {
        if let Some(queue) = self.queues.get_mut(partition) {
            queue.requests.remove(&number);
            if queue.requests.is_empty() {
                self.queues.remove(partition);
            }
        }
    }

    fn set(&mut self, number: u64, partition: &TopicPartition, stage: Stage) {
        let queue = self.queues.get_mut(partition);
        if let Some(known) = queue.and_then(|queue| queue.requests.get_mut(&number)) {
            *known = stage;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl SameWay for u8 {
        fn is_same(&self, other: &Self) -> bool {
            self == other
        }
    }

    fn partition(index: i32) -> TopicPartition {
        ("t".to_owned(), index)
    }

    /// Which of the requests may be sent, the way to partition 0 being this one.
    fn ready(queues: &Queues<u8>, way: u8) -> Vec<u64> {
        let may_go = |number: &u64| queues.may_go(*number, &partition(0), &way, 5);
        (0..queues.next).filter(may_go).collect()
    }

    fn with(requests: u64) -> Queues<u8> {
        let mut queues = Queues::default();
        for _ in 0..requests {
            queues.enter(&[partition(0)]);
        }
        queues
    }

    #[test]
    fn requests_are_sent_in_their_order_and_only_some_at_a_time() {
        let mut queues = with(7);
        for number in 0..5 {
            assert_eq!(ready(&queues, 1), [number]);
            assert!(!queues.is_full(&partition(0), 5));
            queues.sent(number, &partition(0), &1);
        }
        assert!(ready(&queues, 1).is_empty());
        queues.settle(0, &partition(0));
        assert_eq!(ready(&queues, 1), [5]);
    }

    #[test]
    fn a_queue_is_full_only_while_nothing_waits_for_another_reason() {
        let mut queues = with(2);
        queues.sent(0, &partition(0), &1);
        assert!(!queues.is_full(&partition(0), 2));
        queues.sent(1, &partition(0), &1);
        assert!(queues.is_full(&partition(0), 2));
        queues.failed(1, &partition(0));
        assert!(!queues.is_full(&partition(0), 2));
    }

    #[test]
    fn none_goes_another_way_while_others_are_under_way() {
        let mut queues = with(2);
        queues.sent(0, &partition(0), &1);
        assert!(ready(&queues, 2).is_empty());
        queues.settle(0, &partition(0));
        assert_eq!(ready(&queues, 2), [1]);
    }

    #[test]
    fn what_failed_is_sent_again_one_by_one_before_what_waits() {
        let mut queues = with(4);
        for number in 0..3 {
            queues.sent(number, &partition(0), &1);
        }
        queues.failed(1, &partition(0));
        assert!(ready(&queues, 2).is_empty());
        queues.failed(0, &partition(0));
        queues.failed(2, &partition(0));
        for number in 0..3 {
            assert_eq!(ready(&queues, 2), [number]);
            assert!(queues.has_failed(number, &partition(0)));
            queues.sent(number, &partition(0), &2);
            // What waits follows the last of them, since it goes the same way.
            assert_eq!(
                ready(&queues, 2),
                if number == 2 { vec![3] } else { vec![] }
            );
            assert!(ready(&queues, 1).is_empty());
            queues.settle(number, &partition(0));
        }
        assert_eq!(ready(&queues, 2), [3]);
    }

    #[test]
    fn partitions_do_not_wait_for_each_other() {
        let mut queues = with(1);
        queues.sent(0, &partition(0), &1);
        queues.failed(0, &partition(0));
        let number = queues.enter(&[partition(0), partition(1)]);
        assert!(!queues.may_go(number, &partition(0), &1, 5));
        assert!(queues.may_go(number, &partition(1), &2, 5));
    }

    #[test]
    fn nothing_is_kept_of_what_is_settled() {
        let mut queues = with(1);
        queues.settle(0, &partition(0));
        assert!(queues.queues.is_empty());
    }
}
