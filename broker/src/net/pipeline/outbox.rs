//! The side that the writer takes responses from, which drives the second stages.

use std::{
    collections::VecDeque,
    convert::Infallible,
    future::poll_fn,
    task::{Context, Poll},
};

use bytes::Bytes;

use super::{CloseConnection, Finished, Pipeline, ResponseCharge, Slot};

/// Second stages of one connection that run at once.
pub(super) const MAX_BEGUN: usize = 4;

/// Responses that are to be written together, in order.
#[derive(Default)]
pub(in crate::net) struct Batch {
    /// The pieces of the responses.
    pub chunks: VecDeque<Bytes>,
    requests: usize,
    size_bytes: usize,
    charges: Vec<ResponseCharge>,
}

/// What there is to do for the writer.
pub(in crate::net) enum Gathered {
    /// Responses to write.
    Batch(Batch),
    /// Everything is written and nothing will come any more.
    Finished,
    /// A handler asks for the connection to be closed, after what was gathered before.
    Close(CloseConnection),
}

/// The side that the writer takes batches from; it drives the second stages.
pub(in crate::net) struct Outbox<'a> {
    pipeline: &'a Pipeline,
    slots: VecDeque<Slot>,
}

impl<'a> Outbox<'a> {
    pub(in crate::net) fn new(pipeline: &'a Pipeline) -> Self {
        Self {
            pipeline,
            slots: VecDeque::new(),
        }
    }

    /// Waits for responses that can be written now, and takes up to `target_bytes` of them (or one
    /// that is larger).
    pub(in crate::net) async fn gather(&mut self, target_bytes: usize) -> Gathered {
        poll_fn(|context| self.poll_gather(target_bytes, context)).await
    }

    /// Polls the second stages that were begun, while the writer waits for the client to read.
    pub(in crate::net) async fn go_on(&mut self) -> Infallible {
        poll_fn(|context| {
            let waiting_bytes = self.pipeline.lock().waiting_bytes;
            self.poll_slots(false, waiting_bytes, context);
            Poll::Pending
        })
        .await
    }

    /// Counts a batch as written.
    pub(in crate::net) fn written(&self, batch: Batch) {
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
            let Slot::Later {
                future,
                begun,
                in_turn,
                ..
            } = slot
            else {
                continue;
            };
            if !*begun {
                let is_over_limit = waiting_bytes >= self.pipeline.limits.max_response_bytes;
                let is_early = *in_turn && running > 0;
                let is_full = is_over_limit || running == MAX_BEGUN;
                if !may_begin || is_early || (index > 0 && is_full) {
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
