//! The requests of one connection that are in flight, in order.
//!
//! ```text
//!   reader ── push ──► inbox ──► slots (second stages, polled together) ──► writer, in order
//!      ▲                                                                       │
//!      └───────────── room: count and bytes of what is not written ◄──────────┘
//! ```
//!
//! Second stages are begun in order, a few at a time, as long as the responses that wait are within
//! the connection's limit; beyond it only the first one is. One that was begun is polled to its end,
//! whatever waits: it may hold, or be next in line for, what other connections wait for too. So a
//! connection holds at most its limit and the responses of those few.

use std::{
    collections::VecDeque,
    convert::Infallible,
    future::poll_fn,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use fjord_wire::Frame;
use prometheus_client::metrics::gauge::Gauge;

use super::{
    budget::{RequestMemory, ResponseCharge, ResponseMemory},
    service::{CloseConnection, LaterReply},
};

/// Bounds of one connection's pipeline.
#[derive(Debug, Clone, Copy)]
pub(super) struct PipelineLimits {
    /// Requests whose responses are not written yet.
    pub max_requests: usize,
    /// Bytes of finished responses beyond which no further one is made or asked for.
    pub max_response_bytes: usize,
}

/// Second stages of one connection that run at once.
const MAX_BEGUN: usize = 4;

/// What is left to do for a request after its first stage.
pub(super) enum Work {
    /// The response is known.
    Ready(Frame),
    /// The second stage runs.
    Later(LaterReply),
}

/// The side that the reader pushes to.
pub(super) struct Pipeline {
    limits: PipelineLimits,
    responses: Arc<ResponseMemory>,
    requests_in_flight: Gauge,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    inbox: VecDeque<Slot>,
    /// Requests pushed whose responses are not written yet.
    in_flight: usize,
    /// Bytes of finished responses that are not written yet.
    waiting_bytes: usize,
    /// No request will be pushed any more.
    finished: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

enum Slot {
    Later {
        future: LaterReply,
        begun: bool,
        /// Held until the response is known, when the slot is replaced.
        _memory: RequestMemory,
    },
    Done(Result<Option<Finished>, CloseConnection>),
}

/// A response with the count of its memory.
struct Finished {
    response: Frame,
    charge: ResponseCharge,
}

impl Pipeline {
    pub(super) fn new(
        limits: PipelineLimits,
        responses: Arc<ResponseMemory>,
        requests_in_flight: Gauge,
    ) -> Self {
        Self {
            limits,
            responses,
            requests_in_flight,
            state: Mutex::default(),
        }
    }

    /// Waits until another request may be taken.
    pub(super) async fn room(&self) {
        poll_fn(|context| {
            let mut state = self.lock();
            if state.in_flight < self.limits.max_requests
                && state.waiting_bytes < self.limits.max_response_bytes
            {
                state.reader = None;
                return Poll::Ready(());
            }
            state.reader = Some(context.waker().clone());
            Poll::Pending
        })
        .await;
    }

    /// Adds a request behind all others. `memory` is held until its response is known.
    pub(super) fn push(&self, work: Work, memory: RequestMemory) {
        let slot = match work {
            Work::Ready(response) => Slot::Done(Ok(Some(self.finish(response)))),
            Work::Later(future) => Slot::Later {
                future,
                begun: false,
                _memory: memory,
            },
        };
        self.requests_in_flight.inc();
        let mut state = self.lock();
        if let Slot::Done(Ok(Some(finished))) = &slot {
            state.waiting_bytes += finished.charge.size_bytes();
        }
        state.in_flight += 1;
        state.inbox.push_back(slot);
        wake(state.writer.take());
    }

    /// Whether any response is outstanding.
    pub(super) fn is_idle(&self) -> bool {
        self.lock().in_flight == 0
    }

    /// Tells the writer that what is in flight now is all that will ever be.
    pub(super) fn finish_pushing(&self) {
        let mut state = self.lock();
        state.finished = true;
        wake(state.writer.take());
    }

    fn finish(&self, response: Frame) -> Finished {
        let charge = self.responses.charge(response.len());
        Finished { response, charge }
    }

    /// Counts `count` requests as answered, of which responses of `size_bytes` have been written.
    fn written(&self, count: usize, size_bytes: usize) {
        self.requests_in_flight
            .dec_by(i64::try_from(count).unwrap_or(i64::MAX));
        let mut state = self.lock();
        state.in_flight -= count;
        state.waiting_bytes -= size_bytes;
        wake(state.reader.take());
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing can panic between related changes of the state, so a poisoned one is still good.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Pipeline {
    fn drop(&mut self) {
        let unanswered = i64::try_from(self.lock().in_flight).unwrap_or(i64::MAX);
        self.requests_in_flight.dec_by(unanswered);
    }
}

fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        waker.wake();
    }
}

/// Responses that are to be written together, in order.
#[derive(Default)]
pub(super) struct Batch {
    /// The pieces of the responses.
    pub chunks: VecDeque<Bytes>,
    requests: usize,
    size_bytes: usize,
    charges: Vec<ResponseCharge>,
}

/// What there is to do for the writer.
pub(super) enum Gathered {
    /// Responses to write.
    Batch(Batch),
    /// Everything is written and nothing will come any more.
    Finished,
    /// A handler asks for the connection to be closed, after what was gathered before.
    Close(CloseConnection),
}

/// The side that the writer takes batches from; it drives the second stages.
pub(super) struct Outbox<'a> {
    pipeline: &'a Pipeline,
    slots: VecDeque<Slot>,
}

impl<'a> Outbox<'a> {
    pub(super) fn new(pipeline: &'a Pipeline) -> Self {
        Self {
            pipeline,
            slots: VecDeque::new(),
        }
    }

    /// Waits for responses that can be written now, and takes up to `target_bytes` of them (or one
    /// that is larger).
    pub(super) async fn gather(&mut self, target_bytes: usize) -> Gathered {
        poll_fn(|context| self.poll_gather(target_bytes, context)).await
    }

    /// Polls the second stages that were begun, while the writer waits for the client to read.
    pub(super) async fn go_on(&mut self) -> Infallible {
        poll_fn(|context| {
            let waiting_bytes = self.pipeline.lock().waiting_bytes;
            self.poll_slots(false, waiting_bytes, context);
            Poll::Pending
        })
        .await
    }

    /// Counts a batch as written.
    pub(super) fn written(&self, batch: Batch) {
        drop(batch.charges);
        self.pipeline.written(batch.requests, batch.size_bytes);
    }

    fn poll_gather(&mut self, target_bytes: usize, context: &mut Context<'_>) -> Poll<Gathered> {
        let (finished, waiting_bytes) = {
            let mut state = self.pipeline.lock();
            self.slots.append(&mut state.inbox);
            state.writer = Some(context.waker().clone());
            (state.finished, state.waiting_bytes)
        };
        self.poll_slots(true, waiting_bytes, context);
        let batch = self.take_front(target_bytes);
        if batch.requests > 0 {
            return Poll::Ready(Gathered::Batch(batch));
        }
        if let Some(Slot::Done(Err(_))) = self.slots.front()
            && let Some(Slot::Done(Err(close))) = self.slots.pop_front()
        {
            return Poll::Ready(Gathered::Close(close));
        }
        if finished && self.slots.is_empty() {
            return Poll::Ready(Gathered::Finished);
        }
        if self.slots.is_empty() {
            // An idle connection keeps no queue.
            self.slots = VecDeque::new();
        }
        Poll::Pending
    }

    /// Polls all second stages that were begun. If it may, it begins others in order, while few run
    /// and the finished responses are within the limit; the first one is always begun then, or the
    /// connection could not go on.
    fn poll_slots(&mut self, may_begin: bool, mut waiting_bytes: usize, context: &mut Context<'_>) {
        let before = waiting_bytes;
        let mut running = 0;
        for (index, slot) in self.slots.iter_mut().enumerate() {
            let Slot::Later { future, begun, .. } = slot else {
                continue;
            };
            if !*begun {
                let is_over_limit = waiting_bytes >= self.pipeline.limits.max_response_bytes;
                if !may_begin || (index > 0 && (is_over_limit || running == MAX_BEGUN)) {
                    // Those behind it have not been begun either.
                    break;
                }
                *begun = true;
            }
            let Poll::Ready(outcome) = future.as_mut().poll(context) else {
                running += 1;
                continue;
            };
            let outcome = outcome.map(|response| response.map(|it| self.pipeline.finish(it)));
            if let Ok(Some(finished)) = &outcome {
                waiting_bytes += finished.charge.size_bytes();
            }
            // Replacing the slot also gives the request's memory back.
            *slot = Slot::Done(outcome);
        }
        if waiting_bytes > before {
            self.pipeline.lock().waiting_bytes += waiting_bytes - before;
        }
    }

    fn take_front(&mut self, target_bytes: usize) -> Batch {
        let mut batch = Batch::default();
        while batch.size_bytes < target_bytes
            && let Some(Slot::Done(Ok(_))) = self.slots.front()
        {
            let Some(Slot::Done(Ok(finished))) = self.slots.pop_front() else {
                break;
            };
            batch.requests += 1;
            if let Some(Finished { response, charge }) = finished {
                batch.size_bytes += charge.size_bytes();
                batch.charges.push(charge);
                batch.chunks.extend(response.into_chunks());
            }
        }
        batch
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::*;
    use crate::net::budget::RequestBudget;

    struct Fixture {
        pipeline: Pipeline,
        budget: RequestBudget,
        memory_used: Gauge,
    }

    fn fixture(max_requests: usize, max_response_bytes: usize) -> Fixture {
        let memory_used = Gauge::default();
        Fixture {
            pipeline: Pipeline::new(
                PipelineLimits {
                    max_requests,
                    max_response_bytes,
                },
                ResponseMemory::new(1 << 20, Gauge::default()),
                Gauge::default(),
            ),
            budget: RequestBudget::new(1 << 20, 1 << 20, memory_used.clone()),
            memory_used,
        }
    }

    impl Fixture {
        /// Pushes a request whose response is what is sent over the returned channel.
        async fn push_later(&self) -> oneshot::Sender<usize> {
            let (sender, receiver) = oneshot::channel();
            let future: LaterReply = Box::pin(async move { Ok(receiver.await.ok().map(frame)) });
            self.pipeline
                .push(Work::Later(future), self.budget.reserve(100).await);
            sender
        }
    }

    /// A response of one piece of this size.
    fn frame(size_bytes: usize) -> Frame {
        let mut writer = fjord_wire::Writer::new();
        for _ in 0..size_bytes {
            writer.i8(7);
        }
        writer.finish()
    }

    fn poll_once<F: Future>(future: F) -> Option<F::Output> {
        let mut future = std::pin::pin!(future);
        let mut context = Context::from_waker(Waker::noop());
        match future.as_mut().poll(&mut context) {
            Poll::Ready(output) => Some(output),
            Poll::Pending => None,
        }
    }

    fn sizes(gathered: Option<Gathered>) -> Option<Vec<usize>> {
        match gathered? {
            Gathered::Batch(batch) => Some(batch.chunks.iter().map(Bytes::len).collect()),
            Gathered::Finished | Gathered::Close(_) => Some(vec![]),
        }
    }

    #[tokio::test]
    async fn responses_leave_in_the_order_of_requests() {
        let fixture = fixture(10, 1000);
        let mut outbox = Outbox::new(&fixture.pipeline);
        let first = fixture.push_later().await;
        let second = fixture.push_later().await;
        second.send(2).unwrap();
        assert_eq!(
            sizes(poll_once(outbox.gather(1000))),
            None,
            "the first is not done"
        );
        assert_eq!(
            fixture.memory_used.get(),
            100,
            "the second gave its memory back"
        );
        first.send(1).unwrap();
        assert_eq!(sizes(poll_once(outbox.gather(1000))), Some(vec![1, 2]));
    }

    #[tokio::test]
    async fn the_count_of_requests_is_bounded_until_written() {
        let fixture = fixture(2, 1000);
        let mut outbox = Outbox::new(&fixture.pipeline);
        for _ in 0..2 {
            assert!(poll_once(fixture.pipeline.room()).is_some());
            fixture.push_later().await.send(5).unwrap();
        }
        assert!(poll_once(fixture.pipeline.room()).is_none());
        let Some(Gathered::Batch(batch)) = poll_once(outbox.gather(1000)) else {
            panic!("both responses are ready");
        };
        assert!(
            poll_once(fixture.pipeline.room()).is_none(),
            "gathered is not written"
        );
        outbox.written(batch);
        assert!(poll_once(fixture.pipeline.room()).is_some());
        assert!(fixture.pipeline.is_idle());
    }

    #[tokio::test]
    async fn responses_over_the_limit_are_not_made() {
        let fixture = fixture(10, 100);
        let mut outbox = Outbox::new(&fixture.pipeline);
        let first = fixture.push_later().await;
        for _ in 0..5 {
            fixture.push_later().await.send(60).unwrap();
        }
        assert_eq!(sizes(poll_once(outbox.gather(1000))), None);
        // Two of 60 bytes reach the limit of 100; three others and the first still hold memory.
        assert_eq!(fixture.memory_used.get(), 400);
        assert_eq!(fixture.pipeline.lock().waiting_bytes, 120);
        assert!(
            poll_once(fixture.pipeline.room()).is_none(),
            "no further request is read"
        );
        first.send(60).unwrap();
        assert_eq!(sizes(poll_once(outbox.gather(1000))), Some(vec![60; 3]));
    }

    #[tokio::test]
    async fn what_was_begun_is_polled_to_its_end() {
        let fixture = fixture(10, 100);
        let mut outbox = Outbox::new(&fixture.pipeline);
        let _first = fixture.push_later().await;
        let large = fixture.push_later().await;
        let small = fixture.push_later().await;
        assert_eq!(sizes(poll_once(outbox.gather(1000))), None);
        large.send(100).unwrap();
        assert_eq!(sizes(poll_once(outbox.gather(1000))), None);
        small.send(1).unwrap();
        fixture.push_later().await.send(1).unwrap();
        assert_eq!(sizes(poll_once(outbox.gather(1000))), None);
        assert_eq!(
            fixture.pipeline.lock().waiting_bytes,
            101,
            "the third ran already, the fourth must wait"
        );
    }

    #[tokio::test]
    async fn what_was_begun_goes_on_while_a_batch_is_written() {
        let fixture = fixture(10, 1000);
        let mut outbox = Outbox::new(&fixture.pipeline);
        fixture.push_later().await.send(1).unwrap();
        let begun = fixture.push_later().await;
        let Some(Gathered::Batch(batch)) = poll_once(outbox.gather(1000)) else {
            panic!("the first response is ready");
        };
        begun.send(2).unwrap();
        fixture.push_later().await.send(3).unwrap();
        assert!(poll_once(outbox.go_on()).is_none());
        assert_eq!(fixture.pipeline.lock().waiting_bytes, 1 + 2);
        outbox.written(batch);
        assert_eq!(sizes(poll_once(outbox.gather(1000))), Some(vec![2, 3]));
    }

    #[tokio::test]
    async fn few_second_stages_run_at_once() {
        let fixture = fixture(20, 1000);
        let mut outbox = Outbox::new(&fixture.pipeline);
        let mut running = vec![];
        for _ in 0..MAX_BEGUN {
            running.push(fixture.push_later().await);
        }
        fixture.push_later().await.send(1).unwrap();
        assert_eq!(sizes(poll_once(outbox.gather(1000))), None);
        assert_eq!(fixture.pipeline.lock().waiting_bytes, 0);
        running.pop().unwrap().send(1).unwrap();
        assert_eq!(sizes(poll_once(outbox.gather(1000))), None);
        assert_eq!(fixture.pipeline.lock().waiting_bytes, 2);
    }

    #[tokio::test]
    async fn a_request_without_response_keeps_the_order_and_frees_its_place() {
        let fixture = fixture(10, 100);
        let mut outbox = Outbox::new(&fixture.pipeline);
        drop(fixture.push_later().await);
        let Some(Gathered::Batch(batch)) = poll_once(outbox.gather(1000)) else {
            panic!("the request is done");
        };
        assert!(batch.chunks.is_empty());
        outbox.written(batch);
        assert!(fixture.pipeline.is_idle());
        fixture.pipeline.finish_pushing();
        assert!(matches!(
            poll_once(outbox.gather(1000)),
            Some(Gathered::Finished)
        ));
    }
}
