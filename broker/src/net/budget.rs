//! Memory bounds that all connections of a listener share.
//!
//! [`RequestBudget`] bounds what requests hold between their arrival and their response: whoever
//! wants more waits in line, so that reading stops while it is used up. [`ResponseMemory`] counts
//! responses that were computed but not written yet; it cannot wait (their memory is spent
//! already), so what is over its limit stops further reading and shortens the patience with
//! clients that do not read.

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
    below_limit: Notify,
}

impl ResponseMemory {
    /// A count that is over its limit beyond `limit_bytes`.
    pub(super) fn new(limit_bytes: usize, used: Gauge) -> Arc<Self> {
        Arc::new(Self {
            limit_bytes,
            used_bytes: AtomicUsize::new(0),
            used,
            below_limit: Notify::new(),
        })
    }

    /// Whether more is waiting than should be.
    pub(super) fn is_over_limit(&self) -> bool {
        self.used_bytes.load(Ordering::Acquire) > self.limit_bytes
    }

    /// Waits until the count is within its limit.
    pub(super) async fn within_limit(&self) {
        loop {
            let notified = self.below_limit.notified();
            if !self.is_over_limit() {
                return;
            }
            notified.await;
        }
    }

    /// Counts a response until the returned value is dropped.
    pub(super) fn charge(self: &Arc<Self>, size_bytes: usize) -> ResponseCharge {
        self.used_bytes.fetch_add(size_bytes, Ordering::AcqRel);
        self.used
            .inc_by(i64::try_from(size_bytes).unwrap_or(i64::MAX));
        ResponseCharge {
            memory: Arc::clone(self),
            size_bytes,
        }
    }
}

/// One counted response.
#[derive(Debug)]
pub(super) struct ResponseCharge {
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
        let before = memory
            .used_bytes
            .fetch_sub(self.size_bytes, Ordering::AcqRel);
        if before > memory.limit_bytes && before - self.size_bytes <= memory.limit_bytes {
            memory.below_limit.notify_waiters();
        }
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
