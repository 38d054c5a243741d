//! All partitions that a producer writes to: which batch is sent next, and whose answer has come.

use std::{collections::VecDeque, sync::Arc, time::Instant};

use fjord_proto::v1::{Acks, Compression, ProduceRequest, ProduceStreamRequest};
use tokio::sync::OwnedSemaphorePermit;

use super::{
    batch::{Identity, Limits, batch_bytes_of},
    delivery::{BatchDelivery, Delivery, Outcome},
    options::{ProducerOptions, ProducerRecord},
    queue::{Next, PartitionQueue},
    topics::{Description, Place, Topics},
};
use crate::{error::Error, fetcher::millis};

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
    /// The bytes of a batch where the topic allows as many.
    batch_bytes: usize,
    topics: Topics,
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
    /// Its topic has first to be described.
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
            batch_bytes: options.batch_bytes,
            topics: Topics::default(),
            partitions: Vec::new(),
            active: VecDeque::new(),
            in_flight: VecDeque::new(),
            next_id: 0,
            closed: false,
        }
    }

    /// Notes what is known of a topic.
    pub(super) fn described(&mut self, name: &Arc<str>, found: Description, now: Instant) {
        let most = found.max_message_bytes.map(batch_bytes_of);
        let batch_bytes = most.unwrap_or(usize::MAX).min(self.batch_bytes);
        let topic = self.topics.described(name, batch_bytes, now);
        let known = i32::try_from(topic.partitions.len()).unwrap_or(i32::MAX);
        // They never become fewer.
        for partition in known..found.partitions {
            topic.partitions.push(self.partitions.len());
            self.partitions.push(Partition {
                topic: Arc::clone(name),
                partition,
                queue: PartitionQueue::new(self.limits, self.identity),
                active: false,
            });
        }
        for place in &topic.partitions {
            self.partitions[*place].queue.limit_batches(batch_bytes);
        }
    }

    /// Whether it has been asked for this topic since `before`.
    pub(super) fn is_described_after(&self, name: &str, before: Instant) -> bool {
        self.topics.is_described_after(name, before)
    }

    /// Puts a record into the batch of its partition.
    pub(super) fn push(
        &mut self,
        record: ProducerRecord,
        permit: OwnedSemaphorePermit,
        now: Instant,
    ) -> Pushed {
        let partitions = &self.partitions;
        let is_open = |place: usize| partitions[place].queue.is_open();
        let place = match self.topics.place(&record, now, is_open) {
            Place::At(place) => place,
            Place::Unknown => return Pushed::Unknown(record, permit),
            Place::NoSuchPartition => return Pushed::NoSuchPartition(record, permit),
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
            partition: partition.partition,
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
    pub(super) fn answered(&mut self, id: u64, outcome: Outcome, now: Instant) -> bool {
        // Answers come in the order of requests.
        match self.in_flight.front() {
            Some((first, _, _)) if *first == id => self.answered_oldest(outcome, now),
            _ => false,
        }
    }

    /// The broker does not take the oldest request in flight, and has ended the stream there without reading on. False
    /// if no request waits for an answer.
    pub(super) fn stopped_at_oldest(&mut self, error: Error, now: Instant) -> bool {
        if !self.answered_oldest(Err(error), now) {
            return false;
        }
        self.in_flight.clear();
        self.each_active(|queue| queue.unread(now));
        true
    }

    fn answered_oldest(&mut self, outcome: Outcome, now: Instant) -> bool {
        let Some((_, place, _)) = self.in_flight.pop_front() else {
            return false;
        };
        let Partition { topic, queue, .. } = &mut self.partitions[place];
        match outcome {
            Ok(placed) => queue.succeeded(placed, now),
            Err(error) => {
                if let Some(part_bytes) = queue.failed(error, now)
                    && let Some(topic) = self.topics.limit_batches(topic, part_bytes)
                {
                    for place in &topic.partitions {
                        self.partitions[*place]
                            .queue
                            .limit_batches(topic.batch_bytes);
                    }
                }
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
