//! What became of a record: one answer for a batch, which each of its records waits for.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Instant,
};

use futures::{FutureExt, future::Shared};
use tokio::sync::oneshot;

use crate::{Result, error::Error};

/// Where a record is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivered {
    /// The topic's name.
    pub topic: Arc<str>,
    /// The partition's number.
    pub partition: i32,
    /// The record's offset; not known without acks.
    pub offset: Option<i64>,
    /// When it was appended, in milliseconds since 1970, if that is the record's time.
    pub append_time_ms: Option<i64>,
    /// When the answer was there; without acks, when the record was on its way.
    pub acknowledged: Instant,
}

/// Where a batch is.
#[derive(Debug, Clone)]
pub(super) struct Placed {
    pub(super) base_offset: Option<i64>,
    pub(super) append_time_ms: Option<i64>,
    pub(super) acknowledged: Instant,
}

/// What became of a batch.
pub(super) type Outcome = Result<Placed, Error>;

/// What the records of a batch are told.
#[derive(Debug, Clone)]
pub(super) enum Told {
    /// It is done.
    Done(Outcome),
    /// It was too large, and is two batches now.
    Split(Split),
}

/// The two batches that one became.
#[derive(Debug, Clone)]
pub(super) struct Split {
    /// How many records the first one has.
    pub(super) head_count: u32,
    pub(super) head: BatchDelivery,
    pub(super) tail: BatchDelivery,
}

/// Tells the records of a batch what became of it.
pub(super) type Teller = oneshot::Sender<Told>;

/// Waits for that; clones wait for the same.
#[derive(Debug, Clone)]
pub(super) struct BatchDelivery(Shared<oneshot::Receiver<Told>>);

/// The two ends of a batch's answer.
pub(super) fn batch_delivery() -> (Teller, BatchDelivery) {
    let (teller, receiver) = oneshot::channel();
    (teller, BatchDelivery(receiver.shared()))
}

impl BatchDelivery {
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Told> {
        let told = self.0.poll_unpin(context);
        // Without a teller the producer was dropped.
        told.map(|told| told.unwrap_or(Told::Done(Err(Error::Closed))))
    }

    /// Waits until all of the batch is done, whatever it became. The failure is that of the first part that failed.
    pub(super) async fn done(self) -> Result<()> {
        let mut outcome = Ok(());
        let mut parts = vec![self];
        while let Some(mut part) = parts.pop() {
            match std::future::poll_fn(|context| part.poll(context)).await {
                Told::Done(Ok(_)) => {}
                Told::Done(Err(error)) => outcome = outcome.and(Err(error)),
                Told::Split(split) => parts.extend([split.tail, split.head]),
            }
        }
        outcome
    }
}

/// Waits until a record is delivered, or cannot be. It need not be awaited: the record goes its way all the same.
#[derive(Debug, Clone)]
#[must_use = "whether the record was delivered is only known from this"]
pub struct Delivery {
    pub(super) batch: BatchDelivery,
    pub(super) topic: Arc<str>,
    pub(super) partition: i32,
    /// The record's place in its batch.
    pub(super) place: u32,
}

impl Future for Delivery {
    type Output = Result<Delivered>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let placed = loop {
            match ready!(self.batch.poll(context)) {
                Told::Done(outcome) => break outcome?,
                Told::Split(split) => match self.place.checked_sub(split.head_count) {
                    None => self.batch = split.head,
                    Some(place) => {
                        self.batch = split.tail;
                        self.place = place;
                    }
                },
            }
        };
        Poll::Ready(Ok(Delivered {
            topic: Arc::clone(&self.topic),
            partition: self.partition,
            offset: placed.base_offset.map(|base| base + i64::from(self.place)),
            append_time_ms: placed.append_time_ms,
            acknowledged: placed.acknowledged,
        }))
    }
}
