//! The batches of one partition: what is filled, what waits, what is under way, and what has to go again.
//!
//! ```text
//! push ──► open ──► pending ──► in flight ──► answered
//!                      ▲            │
//!                      └── retry ◄──┘  after a failure, when nothing is in flight any more: in the old order
//! ```
//!
//! This file has the way out; the way back is in [`answers`]. Nothing here knows of connections or clocks: times are
//! handed in.

mod answers;

use std::{collections::VecDeque, mem, time::Instant};

use fjord_proto::v1::{Record, Sequence};
use tokio::sync::OwnedSemaphorePermit;

use super::{
    batch::{Batch, Identity, Limits, sequence_after},
    delivery::{BatchDelivery, Placed},
};
use crate::error::Error;

/// How many batches of a partition are under way at once. A broker recognises the last five of a producer when they
/// come again (KIP-98).
const MAX_IN_FLIGHT: usize = 5;

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
    /// Whether what failed may succeed only later.
    pause_due: bool,
    not_before: Option<Instant>,
    failures: u32,
    last_error: Option<Error>,
    identity: Option<Identity>,
    /// Whether the numbers under the identity have a gap, so that a new one is needed.
    identity_lost: bool,
    /// Whether the broker has taken a batch under the identity. Before that any number may be the first one to it, so
    /// that it would take a batch behind one that it has refused.
    identity_known: bool,
    next_sequence: i32,
}

/// Where a record went.
#[derive(Debug)]
pub(super) struct Pushed {
    pub(super) delivery: BatchDelivery,
    pub(super) place: u32,
    /// Whether the sender has to look at this queue: a batch began, or is full.
    pub(super) wake: bool,
}

/// What a queue wants next.
#[derive(Debug)]
pub(super) enum Next {
    /// These records are to be sent, with their number.
    Send(Vec<Record>, Option<Sequence>),
    /// Nothing before this time.
    WaitUntil(Instant),
    /// Nothing before something else happens.
    Wait,
    /// A new identity.
    Identity,
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
            pause_due: false,
            not_before: None,
            failures: 0,
            last_error: None,
            identity,
            identity_lost: false,
            identity_known: false,
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

    /// Changes how large batches are. Those that wait and are larger are sent in parts.
    pub(super) fn limit_batches(&mut self, bytes: usize) {
        self.limits.batch_bytes = bytes;
    }

    /// Adds a record of so many bytes to the open batch, or begins one.
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
            let before = open.bytes;
            open.add(record, bytes, permit);
            let quick = self.limits.quick_bytes;
            wake |= before < quick && open.bytes >= quick;
        } else {
            wake = true;
            self.open = Some(Batch::new(record, bytes, permit, now));
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
        if self.blocked || self.in_flight.len() >= self.max_in_flight() {
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
        let batch = self.take_pending();
        self.send(batch, now)
    }

    /// How many batches may be under way.
    fn max_in_flight(&self) -> usize {
        if self.limits.idempotent && !self.identity_known {
            1
        } else {
            MAX_IN_FLIGHT
        }
    }

    /// The next batch that waits, or a part of it that is not larger than it may be.
    fn take_pending(&mut self) -> Batch {
        let mut batch = self.pending.pop_front().expect("the caller has seen one");
        while batch.bytes > self.limits.batch_bytes && self.may_split(&batch) {
            let [head, tail] = batch.halve();
            self.pending.push_front(tail);
            batch = head;
        }
        batch
    }

    /// Whether a batch may go in two parts. The broker recognises numbered batches by their first and last number, so
    /// one that it may have has to stay as it is.
    fn may_split(&self, batch: &Batch) -> bool {
        batch.records.len() > 1 && !(self.limits.idempotent && batch.maybe_there)
    }

    fn send(&mut self, mut batch: Batch, now: Instant) -> Next {
        if !self.limits.answered {
            let records = mem::take(&mut batch.records);
            batch.done(Ok(Placed {
                base_offset: None,
                append_time_ms: None,
                acknowledged: now,
            }));
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
}

#[cfg(test)]
mod tests;
