//! Memory bounds that all connections of a listener share.
//!
//! [`RequestBudget`] bounds what requests hold between their arrival and their response: whoever
//! wants more waits in line, so that reading stops while it is used up. [`ResponseMemory`] counts
//! responses that were computed but not written yet. Records that are to be read from disk wait until there
//! is room for them; other responses cannot wait (their memory is spent already), so what is over the limit
//! stops further reading. Either shortens the patience with clients that do not read.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use prometheus_client::metrics::gauge::Gauge;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

/// A fair budget of bytes for requests in flight.
#[derive(Debug, Clone)]
pub(super) struct RequestBudget {
    semaphore: Arc<Semaphore>,
    used: Gauge,
}

impl RequestBudget {
    /// A budget of `capacity_bytes`, but at least one largest frame, or that could never pass.
    pub(super) fn new(capacity_bytes: usize, max_frame_bytes: usize, used: Gauge) -> Self {
        let permits = capacity_bytes
            .max(max_frame_bytes)
            .min(Semaphore::MAX_PERMITS);
        Self {
            semaphore: Arc::new(Semaphore::new(permits)),
            used,
        }
    }

    /// Waits in line for the memory of a whole frame. Nobody waits who holds a part of a frame's
    /// reservation already, so that waiting cannot become a deadlock.
    pub(super) async fn reserve(&self, frame_bytes: usize) -> RequestMemory {
        let count = u32::try_from(frame_bytes).expect("a frame's length fits 31 bits");
        let permit = Arc::clone(&self.semaphore)
            .acquire_many_owned(count)
            .await
            .expect("the semaphore is never closed");
        self.used.inc_by(i64::from(count));
        RequestMemory {
            permit,
            used: self.used.clone(),
        }
    }
}

/// The memory of one request, given back on drop.
#[derive(Debug)]
pub(super) struct RequestMemory {
    permit: OwnedSemaphorePermit,
    used: Gauge,
}

impl Drop for RequestMemory {
    fn drop(&mut self) {
        let count = i64::try_from(self.permit.num_permits()).unwrap_or(i64::MAX);
        self.used.dec_by(count);
    }
}

/// Counts the bytes of responses that wait to be written, over all connections.
#[derive(Debug)]
pub(super) struct ResponseMemory {
    limit_bytes: usize,
    used_bytes: AtomicUsize,
    used: Gauge,
    /// Some memory was given back.
    given_back: Notify,
    /// Reservations that wait.
    waiting: AtomicUsize,
}

impl ResponseMemory {
    /// A count that is over its limit beyond `limit_bytes`.
    pub(super) fn new(limit_bytes: usize, used: Gauge) -> Arc<Self> {
        Arc::new(Self {
            limit_bytes,
            used_bytes: AtomicUsize::new(0),
            used,
            given_back: Notify::new(),
            waiting: AtomicUsize::new(0),
        })
    }

    /// Whether somebody has to wait for memory.
    pub(super) fn is_short(&self) -> bool {
        self.is_over_limit() || self.waiting.load(Ordering::Acquire) > 0
    }

    /// Whether more is waiting than should be.
    fn is_over_limit(&self) -> bool {
        self.used_bytes.load(Ordering::Acquire) > self.limit_bytes
    }

    /// Waits until the count is within its limit.
    pub(super) async fn within_limit(&self) {
        loop {
            let notified = self.given_back.notified();
            if !self.is_over_limit() {
                return;
            }
            notified.await;
        }
    }

    /// Counts a response until the returned value is dropped.
    pub(super) fn charge(self: &Arc<Self>, size_bytes: usize) -> ResponseCharge {
        self.used_bytes.fetch_add(size_bytes, Ordering::AcqRel);
        self.charged(size_bytes)
    }

    /// Waits until there is room for a response that is to be made, and counts it. One that is larger than the
    /// limit waits until it is alone.
    pub(super) async fn reserve(self: &Arc<Self>, size_bytes: usize) -> ResponseCharge {
        let size_bytes = size_bytes.min(self.limit_bytes);
        let fits = |used: usize| {
            let then = used.checked_add(size_bytes)?;
            (then <= self.limit_bytes).then_some(then)
        };
        let mut waiting = None;
        loop {
            let notified = self.given_back.notified();
            let mut notified = std::pin::pin!(notified);
            // From here on nothing that is given back is missed.
            notified.as_mut().enable();
            let taken = self
                .used_bytes
                .fetch_update(Ordering::AcqRel, Ordering::Acquire, fits);
            if taken.is_ok() {
                return self.charged(size_bytes);
            }
            waiting.get_or_insert_with(|| Waiting::new(&self.waiting));
            notified.await;
        }
    }

    fn charged(self: &Arc<Self>, size_bytes: usize) -> ResponseCharge {
        self.used
            .inc_by(i64::try_from(size_bytes).unwrap_or(i64::MAX));
        ResponseCharge {
            memory: Arc::clone(self),
            size_bytes,
        }
    }
}

/// Counts whoever waits for memory.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::AcqRel);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// One counted response, or the room for one; given back on drop.
#[derive(Debug)]
pub struct ResponseCharge {
    memory: Arc<ResponseMemory>,
    size_bytes: usize,
}

impl ResponseCharge {
    /// The size that is counted.
    pub(super) fn size_bytes(&self) -> usize {
        self.size_bytes
    }
}

impl Drop for ResponseCharge {
    fn drop(&mut self) {
        let memory = &self.memory;
        memory
            .used
            .dec_by(i64::try_from(self.size_bytes).unwrap_or(i64::MAX));
        memory
            .used_bytes
            .fetch_sub(self.size_bytes, Ordering::AcqRel);
        memory.given_back.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_reservation_waits_for_what_is_given_back() {
        let used = Gauge::default();
        let budget = RequestBudget::new(100, 10, used.clone());
        let first = budget.reserve(60).await;
        let mut second = tokio_test_pending(budget.reserve(60));
        assert!(second.poll().is_none(), "only 40 bytes are left");
        assert_eq!(used.get(), 60);
        drop(first);
        assert!(second.poll().is_some());
        assert_eq!(
            used.get(),
            0,
            "the second reservation was dropped with its result"
        );
    }

    #[tokio::test]
    async fn a_budget_always_fits_the_largest_frame() {
        let budget = RequestBudget::new(1, 1000, Gauge::default());
        budget.reserve(1000).await;
    }

    #[tokio::test]
    async fn charges_over_the_limit_hold_readers_until_dropped() {
        let memory = ResponseMemory::new(10, Gauge::default());
        let charge = memory.charge(11);
        let mut waiting = tokio_test_pending(async { memory.within_limit().await });
        assert!(waiting.poll().is_none());
        drop(charge);
        assert!(waiting.poll().is_some());
    }

    #[tokio::test]
    async fn a_response_that_does_not_fit_is_not_made_yet() {
        let memory = ResponseMemory::new(10, Gauge::default());
        let charge = memory.charge(6);
        let mut waiting = tokio_test_pending(memory.reserve(6));
        assert!(waiting.poll().is_none());
        assert!(memory.is_short());
        drop(charge);
        let reserved = waiting.poll().expect("there is room");
        assert!(!memory.is_short());
        let mut large = tokio_test_pending(memory.reserve(1000));
        assert!(large.poll().is_none());
        drop(reserved);
        assert!(large.poll().is_some(), "it is alone");
    }

    /// Polls a future by hand, so that "still waiting" can be asserted without a clock.
    struct ByHand<F>(std::pin::Pin<Box<F>>);

    fn tokio_test_pending<F: Future>(future: F) -> ByHand<F> {
        ByHand(Box::pin(future))
    }

    impl<F: Future> ByHand<F> {
        fn poll(&mut self) -> Option<F::Output> {
            let mut context = std::task::Context::from_waker(std::task::Waker::noop());
            match self.0.as_mut().poll(&mut context) {
                std::task::Poll::Ready(output) => Some(output),
                std::task::Poll::Pending => None,
            }
        }
    }
}
