//! The batches of one partition: what is filled, what waits, what is under way, and what has to go again.
//!
//! ```text
//! push ──► open ──► pending ──► in flight ──► answered
//!                      ▲            │
//!                      └── retry ◄──┘  after a failure, when nothing is in flight any more: in the old order
//! ```
//!
//! Nothing here knows of connections or clocks: times are handed in.

use std::{collections::VecDeque, mem, time::Instant};

use fjord_proto::v1::{Record, Sequence};
use tokio::sync::OwnedSemaphorePermit;

use super::{
    batch::{Batch, Identity, Limits, Next, Pushed, sequence_after},
    delivery::{BatchDelivery, Placed, batch_delivery},
};
use crate::{error::Error, retry::pause};

/// How many batches of a partition are under way at once. A broker recognises the last five of a producer when they
/// come again (KIP-98).
pub(super) const MAX_IN_FLIGHT: usize = 5;
/// A gap in the numbers of batches.
const OUT_OF_ORDER: &str = "OUT_OF_ORDER_SEQUENCE_NUMBER";
/// A batch that is there, but so long ago that the broker does not know where.
const DUPLICATE: &str = "DUPLICATE_SEQUENCE_NUMBER";

/// The batches of one partition.
#[derive(Debug)]
pub(super) struct PartitionQueue {
    limits: Limits,
    open: Option<Batch>,
    pending: VecDeque<Batch>,
    in_flight: VecDeque<Batch>,
    /// Failed, and to go again as soon as nothing is in flight.
    retry: Vec<Batch>,
    /// Whether something failed since the queue was empty of batches in flight: then nothing new is sent.
    blocked: bool,
    not_before: Option<Instant>,
    failures: u32,
    last_error: Option<Error>,
    identity: Option<Identity>,
    /// Whether the numbers under the identity have a gap, so that a new one is needed.
    identity_lost: bool,
    next_sequence: i32,
}

impl PartitionQueue {
    pub(super) fn new(limits: Limits, identity: Option<Identity>) -> Self {
        Self {
            limits,
            open: None,
            pending: VecDeque::new(),
            in_flight: VecDeque::new(),
            retry: Vec::new(),
            blocked: false,
            not_before: None,
            failures: 0,
            last_error: None,
            identity,
            identity_lost: false,
            next_sequence: 0,
        }
    }

    /// Whether a batch is being filled.
    pub(super) fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// Whether there is nothing.
    pub(super) fn is_empty(&self) -> bool {
        self.open.is_none()
            && self.pending.is_empty()
            && self.in_flight.is_empty()
            && self.retry.is_empty()
    }

    /// Adds a record to the open batch, or begins one.
    pub(super) fn push(
        &mut self,
        record: Record,
        bytes: usize,
        permit: OwnedSemaphorePermit,
        now: Instant,
    ) -> Pushed {
        let mut wake = false;
        if self
            .open
            .as_ref()
            .is_some_and(|open| open.bytes + bytes > self.limits.batch_bytes)
        {
            self.pending.extend(self.open.take());
            wake = true;
        }
        if let Some(open) = &mut self.open {
            open.records.push(record);
            let before = open.bytes;
            open.bytes += bytes;
            let quick = self.limits.quick_bytes;
            wake |= before < quick && open.bytes >= quick;
            open.permit.merge(permit);
        } else {
            wake = true;
            let (outcome, delivery) = batch_delivery();
            self.open = Some(Batch {
                records: vec![record],
                bytes,
                opened: now,
                flush: false,
                first: None,
                outcome,
                delivery,
                permit,
            });
        }
        let open = self.open.as_ref().expect("it was filled just now");
        Pushed {
            delivery: open.delivery.clone(),
            // A batch has fewer records than bytes, and those are bounded.
            place: (open.records.len() - 1) as u32,
            wake,
        }
    }

    /// Lets nothing linger, and returns what is to be waited for.
    pub(super) fn flush(&mut self, deliveries: &mut Vec<BatchDelivery>) {
        if let Some(open) = &mut self.open {
            open.flush = true;
        }
        let all = self.in_flight.iter().chain(&self.retry);
        let all = all.chain(&self.pending).chain(&self.open);
        deliveries.extend(all.map(|batch| batch.delivery.clone()));
    }

    /// What is to be done now; `idle` says that nothing of the producer is under way. A batch that is returned
    /// counts as in flight, or as done if there are no answers.
    pub(super) fn next(&mut self, now: Instant, idle: bool) -> Next {
        if self.needs_identity() {
            return Next::Identity;
        }
        if self.blocked || self.in_flight.len() >= MAX_IN_FLIGHT {
            return Next::Wait;
        }
        if let Some(not_before) = self.not_before {
            if now < not_before {
                return Next::WaitUntil(not_before);
            }
            self.not_before = None;
        }
        // A batch lingers only while nothing else holds it back, so that a busy partition fills its batches.
        if self.pending.is_empty() {
            let Some(open) = &self.open else {
                return Next::Wait;
            };
            let due = open.opened + self.limits.linger;
            let enough = match idle {
                true => self.limits.quick_bytes.min(self.limits.batch_bytes),
                false => self.limits.batch_bytes,
            };
            if !open.flush && now < due && open.bytes < enough {
                return Next::WaitUntil(due);
            }
            self.pending.extend(self.open.take());
        }
        let batch = self.pending.pop_front().expect("there is one");
        self.send(batch, now)
    }

    fn send(&mut self, mut batch: Batch, now: Instant) -> Next {
        if !self.limits.answered {
            let records = mem::take(&mut batch.records);
            let placed = Placed {
                base_offset: None,
                append_time_ms: None,
                acknowledged: now,
            };
            // Nobody has to wait for it.
            let _ = batch.outcome.send(Ok(placed));
            return Next::Send(records, None);
        }
        let sequence = self.identity.map(|identity| {
            let first = *batch.first.get_or_insert(self.next_sequence);
            self.next_sequence = sequence_after(first, batch.records.len());
            Sequence {
                producer_id: identity.producer_id,
                producer_epoch: identity.producer_epoch,
                first,
            }
        });
        let records = batch.records.clone();
        self.in_flight.push_back(batch);
        Next::Send(records, sequence)
    }

    /// The oldest batch in flight is where it should be.
    pub(super) fn succeeded(&mut self, placed: Placed, now: Instant) {
        let batch = self.take_answered();
        let _ = batch.outcome.send(Ok(placed));
        self.failures = 0;
        self.last_error = None;
        self.settle(now);
    }

    /// The oldest batch in flight was refused.
    pub(super) fn failed(&mut self, error: Error, now: Instant) {
        if self.limits.idempotent && error.reason() == DUPLICATE {
            let placed = Placed {
                base_offset: None,
                append_time_ms: None,
                acknowledged: now,
            };
            return self.succeeded(placed, now);
        }
        let batch = self.take_answered();
        // A gap after a failure is the failure's: this batch was not written, and goes again after the failed one.
        let follows = self.blocked && error.reason() == OUT_OF_ORDER;
        if error.is_retriable() || follows {
            self.retry.push(batch);
            if !follows {
                self.last_error = Some(error);
            }
        } else {
            let _ = batch.outcome.send(Err(error));
            // Its numbers are missing now.
            self.identity_lost = self.limits.idempotent;
        }
        self.blocked = true;
        self.settle(now);
    }

    /// Nothing in flight will be answered.
    pub(super) fn disconnected(&mut self, error: &Error, now: Instant) {
        if self.in_flight.is_empty() {
            return;
        }
        self.blocked = true;
        self.last_error = Some(error.clone());
        self.retry.extend(self.in_flight.drain(..));
        self.settle(now);
        // The pause is made before the connection is opened again.
        self.not_before = None;
    }

    /// Gives up what could not be delivered in time.
    pub(super) fn expire(&mut self, now: Instant) {
        if !self.in_flight.is_empty() {
            return;
        }
        let limit = self.limits.delivery_timeout;
        let late = |batch: &Batch| now.saturating_duration_since(batch.opened) >= limit;
        let error = || self.last_error.clone().unwrap_or(Error::Closed);
        let mut sent_one = false;
        while let Some(batch) = self.pending.front() {
            // Whether a batch that was sent is there is not known. Those that were sent after it have numbers after
            // it; under a new identity they might be there twice.
            if !(late(batch) || sent_one && batch.first.is_some()) {
                break;
            }
            sent_one |= batch.first.is_some();
            let batch = self.pending.pop_front().expect("it was seen");
            let _ = batch.outcome.send(Err(error()));
        }
        if self.open.as_ref().is_some_and(late)
            && let Some(batch) = self.open.take()
        {
            let _ = batch.outcome.send(Err(error()));
        }
        self.identity_lost |= sent_one;
    }

    /// Gives up all there is.
    pub(super) fn fail_all(&mut self, error: &Error) {
        let batches = self.in_flight.drain(..).chain(self.retry.drain(..));
        let batches = batches
            .chain(self.pending.drain(..))
            .chain(self.open.take());
        for batch in batches {
            let _ = batch.outcome.send(Err(error.clone()));
            self.identity_lost |= batch.first.is_some();
        }
        self.blocked = false;
    }

    /// Numbers batches anew. To be called when nothing is in flight.
    pub(super) fn renew(&mut self, identity: Identity) {
        assert!(self.in_flight.is_empty(), "numbers in flight cannot change");
        self.identity = Some(identity);
        self.identity_lost = false;
        self.next_sequence = 0;
        for batch in &mut self.pending {
            batch.first = None;
        }
    }

    /// Whether nothing is sent before there is a new identity.
    pub(super) fn needs_identity(&self) -> bool {
        self.identity_lost && self.in_flight.is_empty()
    }

    fn take_answered(&mut self) -> Batch {
        self.in_flight
            .pop_front()
            .expect("an answer belongs to a batch in flight")
    }

    /// When nothing is in flight any more, what failed goes to the front, in its order.
    fn settle(&mut self, now: Instant) {
        if !self.blocked || !self.in_flight.is_empty() {
            return;
        }
        self.blocked = false;
        if self.retry.is_empty() {
            return;
        }
        for batch in self.retry.drain(..).rev() {
            self.pending.push_front(batch);
        }
        self.not_before = Some(now + pause(self.failures));
        self.failures = self.failures.saturating_add(1);
    }
}

#[cfg(test)]
#[path = "queue_tests.rs"]
mod tests;
