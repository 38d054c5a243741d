//! All partitions that a producer writes to: which records go where, and which batch is sent next.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};

use fjord_proto::v1::{Acks, Compression, ProduceRequest, ProduceStreamRequest};
use rand::Rng;
use tokio::sync::OwnedSemaphorePermit;

use super::{
    batch::{Identity, Limits, Next},
    delivery::{BatchDelivery, Delivery, Placed},
    options::{ProducerOptions, ProducerRecord},
    queue::PartitionQueue,
};
use crate::{error::Error, fetcher::millis};
use fjord_proto::partitioner::partition_for_key;

/// After so long it is asked again how many partitions a topic has, as Kafka's `metadata.max.age.ms` says.
const TOPIC_MAX_AGE: Duration = Duration::from_secs(300);

/// A batch of so many bytes is worth a request of its own while nothing is under way: about what a full batch of
/// Kafka's Java client has (`batch.size`).
const QUICK_BYTES: usize = 16 << 10;

/// What a producer holds.
#[derive(Debug)]
pub(super) struct State {
    limits: Limits,
    acks: Acks,
    compression: Compression,
    timeout_ms: u32,
    identity: Option<Identity>,
    topics: HashMap<Arc<str>, Topic>,
    partitions: Vec<Partition>,
    /// The partitions that are not empty, in the order in which they are looked at.
    active: VecDeque<usize>,
    /// The requests that wait for an answer, in order: their ids, their partitions, and when they were sent.
    in_flight: VecDeque<(u64, usize, Instant)>,
    next_id: u64,
    /// Whether no more records are taken.
    pub(super) closed: bool,
}

#[derive(Debug)]
struct Topic {
    /// The places of its partitions in `State::partitions`.
    partitions: Vec<usize>,
    described: Instant,
    /// Where records without key go, until that batch is gone.
    sticky: i32,
}

#[derive(Debug)]
struct Partition {
    topic: Arc<str>,
    partition: i32,
    queue: PartitionQueue,
    active: bool,
}

/// What became of a record.
pub(super) enum Pushed {
    /// It is in a batch; whether the sender has to be woken.
    Taken(Delivery, bool),
    /// It has first to be known how many partitions its topic has.
    Unknown(ProducerRecord, OwnedSemaphorePermit),
    /// Its topic has no such partition.
    NoSuchPartition(ProducerRecord, OwnedSemaphorePermit),
}

/// What the sender does next.
#[derive(Debug)]
pub(super) enum Step {
    /// Sends this.
    Send(ProduceStreamRequest),
    /// Gets a new identity.
    Identity,
    /// Waits, at most until then.
    Wait(Option<Instant>),
}

impl State {
    pub(super) fn new(options: &ProducerOptions, identity: Option<Identity>) -> Self {
        Self {
            limits: Limits {
                batch_bytes: options.batch_bytes,
                quick_bytes: QUICK_BYTES,
                linger: options.linger,
                delivery_timeout: options.delivery_timeout,
                answered: options.acks != Acks::None,
                idempotent: options.idempotent,
            },
            acks: options.acks,
            compression: options.compression,
            timeout_ms: millis(options.request_timeout),
            identity,
            topics: HashMap::new(),
            partitions: Vec::new(),
            active: VecDeque::new(),
            in_flight: VecDeque::new(),
            next_id: 0,
            closed: false,
        }
    }

    /// Notes how many partitions a topic has. They never become fewer.
    pub(super) fn described(&mut self, name: &Arc<str>, partitions: i32, now: Instant) {
        let topic = self
            .topics
            .entry(Arc::clone(name))
            .or_insert_with(|| Topic {
                partitions: Vec::new(),
                described: now,
                sticky: 0,
            });
        topic.described = now;
        let known = i32::try_from(topic.partitions.len()).unwrap_or(i32::MAX);
        for partition in known..partitions {
            topic.partitions.push(self.partitions.len());
            self.partitions.push(Partition {
                topic: Arc::clone(name),
                partition,
                queue: PartitionQueue::new(self.limits, self.identity),
                active: false,
            });
        }
    }

    /// Whether it has been asked for this topic since `before`.
    pub(super) fn is_described_after(&self, name: &str, before: Instant) -> bool {
        self.topics
            .get(name)
            .is_some_and(|topic| topic.described > before)
    }

    /// Puts a record into the batch of its partition.
    pub(super) fn push(
        &mut self,
        record: ProducerRecord,
        permit: OwnedSemaphorePermit,
        now: Instant,
    ) -> Pushed {
        let Some(topic) = self.topics.get_mut(&record.topic) else {
            return Pushed::Unknown(record, permit);
        };
        if topic.partitions.is_empty()
            || now.saturating_duration_since(topic.described) > TOPIC_MAX_AGE
        {
            return Pushed::Unknown(record, permit);
        }
        let count = i32::try_from(topic.partitions.len()).unwrap_or(i32::MAX);
        let number = match (record.partition, &record.key) {
            (Some(partition), _) => partition,
            (None, Some(key)) => partition_for_key(key, count),
            (None, None) => topic.stick(&self.partitions, count),
        };
        let place = usize::try_from(number)
            .ok()
            .and_then(|number| topic.partitions.get(number));
        let Some(&place) = place else {
            return Pushed::NoSuchPartition(record, permit);
        };
        let partition = &mut self.partitions[place];
        let bytes = record.size_bytes();
        let pushed = partition
            .queue
            .push(record.into_record(), bytes, permit, now);
        if !partition.active {
            partition.active = true;
            self.active.push_back(place);
        }
        let delivery = Delivery {
            batch: pushed.delivery,
            topic: Arc::clone(&partition.topic),
            partition: number,
            place: pushed.place,
        };
        Pushed::Taken(delivery, pushed.wake)
    }

    /// What is to be sent next, one partition after the other.
    pub(super) fn step(&mut self, now: Instant) -> Step {
        let mut wait_until: Option<Instant> = None;
        let mut identity = false;
        let idle = self.limits.answered && self.in_flight.is_empty();
        for _ in 0..self.active.len() {
            let Some(place) = self.active.pop_front() else {
                break;
            };
            let partition = &mut self.partitions[place];
            if partition.queue.is_empty() {
                partition.active = false;
                continue;
            }
            self.active.push_back(place);
            match partition.queue.next(now, idle) {
                Next::Send(records, sequence) => {
                    let id = self.next_id;
                    self.next_id += 1;
                    if self.limits.answered {
                        self.in_flight.push_back((id, place, now));
                    }
                    let request = ProduceRequest {
                        topic: partition.topic.to_string(),
                        partition: Some(partition.partition),
                        records,
                        acks: self.acks.into(),
                        compression: self.compression.into(),
                        timeout_ms: self.timeout_ms,
                        sequence,
                    };
                    return Step::Send(ProduceStreamRequest {
                        id,
                        request: Some(request),
                    });
                }
                Next::WaitUntil(at) => {
                    wait_until = Some(wait_until.map_or(at, |until| until.min(at)));
                }
                Next::Identity => identity = true,
                Next::Wait => {}
            }
        }
        if identity {
            return Step::Identity;
        }
        Step::Wait(wait_until)
    }

    /// Takes the answer to a request. False if no request waits for this one.
    pub(super) fn answered(
        &mut self,
        id: u64,
        outcome: Result<Placed, Error>,
        now: Instant,
    ) -> bool {
        // Answers come in the order of requests.
        match self.in_flight.front() {
            Some((first, _, _)) if *first == id => {}
            _ => return false,
        }
        if let Some((_, place, _)) = self.in_flight.pop_front() {
            let queue = &mut self.partitions[place].queue;
            match outcome {
                Ok(placed) => queue.succeeded(placed, now),
                Err(error) => queue.failed(error, now),
            }
        }
        true
    }

    /// When the request was sent that waits longest for its answer.
    pub(super) fn oldest_in_flight(&self) -> Option<Instant> {
        self.in_flight.front().map(|(_, _, sent)| *sent)
    }

    /// Nothing in flight will be answered.
    pub(super) fn disconnected(&mut self, error: &Error, now: Instant) {
        self.in_flight.clear();
        self.each_active(|queue| queue.disconnected(error, now));
    }

    /// Gives up what could not be delivered in time.
    pub(super) fn expire(&mut self, now: Instant) {
        self.each_active(|queue| queue.expire(now));
    }

    /// Gives up all there is.
    pub(super) fn fail_all(&mut self, error: &Error) {
        self.in_flight.clear();
        self.each_active(|queue| queue.fail_all(error));
    }

    /// Gives a new identity to the partitions that need one.
    pub(super) fn renew(&mut self, identity: Identity) {
        self.identity = Some(identity);
        self.each_active(|queue| {
            if queue.needs_identity() {
                queue.renew(identity);
            }
        });
    }

    /// Lets nothing linger, and returns what is to be waited for.
    pub(super) fn flush(&mut self) -> Vec<BatchDelivery> {
        let mut deliveries = Vec::new();
        self.each_active(|queue| queue.flush(&mut deliveries));
        deliveries
    }

    /// Whether nothing waits and nothing is under way.
    pub(super) fn is_empty(&self) -> bool {
        self.active
            .iter()
            .all(|place| self.partitions[*place].queue.is_empty())
    }

    fn each_active(&mut self, mut act: impl FnMut(&mut PartitionQueue)) {
        for place in &self.active {
            act(&mut self.partitions[*place].queue);
        }
    }
}

impl Topic {
    /// Where a record without key goes: with the one before, or if that batch is gone, to another partition.
    fn stick(&mut self, partitions: &[Partition], count: i32) -> i32 {
        let open = usize::try_from(self.sticky)
            .ok()
            .and_then(|sticky| self.partitions.get(sticky))
            .is_some_and(|place| partitions[*place].queue.is_open());
        if !open {
            self.sticky = rand::rng().random_range(0..count);
        }
        self.sticky
    }
}
