//! What becomes of a partition's batches: they are answered, refused, sent again, or given up.

use std::time::Instant;

use super::{Batch, Identity, PartitionQueue, Placed};
use crate::{
    error::{Error, TOO_LARGE},
    retry::pause,
};

/// A gap in the numbers of batches.
pub(super) const OUT_OF_ORDER: &str = "OUT_OF_ORDER_SEQUENCE_NUMBER";
/// A batch that is there, but so long ago that the broker does not know where.
pub(super) const DUPLICATE: &str = "DUPLICATE_SEQUENCE_NUMBER";

impl PartitionQueue {
    /// The oldest batch in flight is where it should be.
    pub(in super::super) fn succeeded(&mut self, placed: Placed, now: Instant) {
        self.take_answered().done(Ok(placed));
        self.failures = 0;
        self.last_error = None;
        self.identity_known = true;
        self.settle(now);
    }

    /// The oldest batch in flight was refused. If it was too large, and goes again in two parts, the bytes of the
    /// larger one are returned.
    ///
    /// With numbers no record overtakes another: what is in flight behind a refused batch is refused for the gap that
    /// it leaves. Each record keeps its number when its batch is halved, so those behind it keep theirs.
    pub(in super::super) fn failed(&mut self, error: Error, now: Instant) -> Option<usize> {
        if self.limits.idempotent && error.reason() == DUPLICATE {
            let placed = Placed {
                base_offset: None,
                append_time_ms: None,
                acknowledged: now,
            };
            self.succeeded(placed, now);
            return None;
        }
        let mut batch = self.take_answered();
        let mut part_bytes = None;
        if self.blocked && error.reason() == OUT_OF_ORDER {
            // A gap after a failure is the failure's: this batch was not written, and goes again after the failed one.
            batch.maybe_there = false;
            self.retry.push(batch);
        } else if error.reason() == TOO_LARGE && self.may_split(&batch) {
            let halves = batch.halve();
            part_bytes = halves.iter().map(|half| half.bytes).max();
            self.retry.extend(halves);
            self.last_error = Some(error);
        } else if error.is_retriable() {
            // A broker that could not answer in time may have written it.
            batch.maybe_there = true;
            self.retry.push(batch);
            self.last_error = Some(error);
            self.pause_due = true;
        } else {
            self.lose(batch, &error);
        }
        self.blocked = true;
        self.settle(now);
        part_bytes
    }

    /// Nothing in flight will be answered.
    pub(in super::super) fn disconnected(&mut self, error: &Error, now: Instant) {
        if self.in_flight.is_empty() {
            return;
        }
        for batch in &mut self.in_flight {
            batch.maybe_there = true;
        }
        self.last_error = Some(error.clone());
        self.unread(now);
        // The pause is made before the connection is opened again.
        self.not_before = None;
    }

    /// The broker has read nothing of what is in flight, and never will.
    pub(in super::super) fn unread(&mut self, now: Instant) {
        if self.in_flight.is_empty() {
            return;
        }
        self.blocked = true;
        self.retry.extend(self.in_flight.drain(..));
        self.settle(now);
    }

    /// Gives up what could not be delivered in time.
    pub(in super::super) fn expire(&mut self, now: Instant) {
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
            batch.done(Err(error()));
        }
        if self.open.as_ref().is_some_and(late)
            && let Some(batch) = self.open.take()
        {
            batch.done(Err(error()));
        }
        self.identity_lost |= sent_one;
    }

    /// Gives up all there is.
    pub(in super::super) fn fail_all(&mut self, error: &Error) {
        let batches = self.in_flight.drain(..).chain(self.retry.drain(..));
        let batches = batches
            .chain(self.pending.drain(..))
            .chain(self.open.take());
        for batch in batches {
            self.identity_lost |= batch.first.is_some();
            batch.done(Err(error.clone()));
        }
        self.blocked = false;
    }

    /// Numbers batches anew. To be called when nothing is in flight.
    pub(in super::super) fn renew(&mut self, identity: Identity) {
        assert!(self.in_flight.is_empty(), "numbers in flight cannot change");
        self.identity = Some(identity);
        self.identity_lost = false;
        self.identity_known = false;
        self.next_sequence = 0;
        for batch in &mut self.pending {
            batch.first = None;
        }
    }

    /// Whether nothing is sent before there is a new identity.
    pub(in super::super) fn needs_identity(&self) -> bool {
        self.identity_lost && self.in_flight.is_empty()
    }

    /// Gives up a batch that was refused: its numbers are missing from now on. What may be there already, and was not
    /// sent again yet, would be there twice under other numbers.
    fn lose(&mut self, batch: Batch, error: &Error) {
        batch.done(Err(error.clone()));
        if !self.limits.idempotent {
            return;
        }
        self.identity_lost = true;
        while let Some(batch) = self.pending.pop_front_if(|batch| batch.maybe_there) {
            batch.done(Err(error.clone()));
        }
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
        for batch in self.retry.drain(..).rev() {
            self.pending.push_front(batch);
        }
        if self.pause_due {
            self.pause_due = false;
            self.not_before = Some(now + pause(self.failures));
            self.failures = self.failures.saturating_add(1);
        }
    }
}
