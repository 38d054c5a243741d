//! What became of a record: one answer for a batch, which each of its records waits for.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
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
/// Waits for that; clones wait for the same.
pub(super) type BatchDelivery = Shared<oneshot::Receiver<Outcome>>;

/// The two ends of a batch's answer.
pub(super) fn batch_delivery() -> (oneshot::Sender<Outcome>, BatchDelivery) {
    let (sender, receiver) = oneshot::channel();
    (sender, receiver.shared())
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
        self.batch.poll_unpin(context).map(|outcome| {
            // Without a sender the producer was dropped.
            let placed = outcome.unwrap_or(Err(Error::Closed))?;
            Ok(Delivered {
                topic: Arc::clone(&self.topic),
                partition: self.partition,
                offset: placed.base_offset.map(|base| base + i64::from(self.place)),
                append_time_ms: placed.append_time_ms,
                acknowledged: placed.acknowledged,
            })
        })
    }
}
