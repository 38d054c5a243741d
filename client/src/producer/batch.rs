//! A batch of records, and what a partition's queue says of it.

use std::time::{Duration, Instant};

use fjord_proto::v1::{Record, Sequence};
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::delivery::{BatchDelivery, Outcome};

/// What a queue has to know of the producer's options.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    pub(super) batch_bytes: usize,
    /// So many bytes do not linger while nothing is under way.
    pub(super) quick_bytes: usize,
    pub(super) linger: Duration,
    pub(super) delivery_timeout: Duration,
    /// Whether answers come.
    pub(super) answered: bool,
    pub(super) idempotent: bool,
}

/// Who numbers batches: from `InitProducer`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) producer_id: i64,
    pub(super) producer_epoch: i32,
}

/// Records that go together.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) records: Vec<Record>,
    pub(super) bytes: usize,
    pub(super) opened: Instant,
    /// Somebody waits for it: it does not linger.
    pub(super) flush: bool,
    /// The number of its first record, once it was sent.
    pub(super) first: Option<i32>,
    pub(super) outcome: oneshot::Sender<Outcome>,
    pub(super) delivery: BatchDelivery,
    /// Its share of the bytes that may be in flight; given back when it is dropped.
    pub(super) permit: OwnedSemaphorePermit,
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

/// Where a record went.
#[derive(Debug)]
pub(super) struct Pushed {
    pub(super) delivery: BatchDelivery,
    pub(super) place: u32,
    /// Whether the sender has to look at this queue: a batch began, or is full.
    pub(super) wake: bool,
}

/// The number after `count` records from `first`: after 2^31 - 1 comes 0.
pub(super) fn sequence_after(first: i32, count: usize) -> i32 {
    let next = (i64::from(first) + count as i64) % (i64::from(i32::MAX) + 1);
    // It is between 0 and 2^31 - 1.
    next as i32
}
