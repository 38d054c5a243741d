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

mod outbox;
#[cfg(test)]
mod tests;

use std::{
    collections::VecDeque,
    future::poll_fn,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Poll, Waker},
};

use fjord_wire::Frame;
use prometheus_client::metrics::gauge::Gauge;

pub(super) use self::outbox::{Batch, Gathered, Outbox};

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

/// What is left to do for a request after its first stage.
pub(super) enum Work {
    /// The response is known.
    Ready(Frame),
    /// The second stage runs.
    Later(LaterReply),
    /// The same, once all earlier ones are done.
    InTurn(LaterReply),
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
        /// Not to be begun while an earlier one runs.
        in_turn: bool,
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
        let later = |future, in_turn| Slot::Later {
            future,
            begun: false,
            in_turn,
            _memory: memory,
        };
        let slot = match work {
            Work::Ready(response) => Slot::Done(Ok(Some(self.finish(response)))),
            Work::Later(future) => later(future, false),
            Work::InTurn(future) => later(future, true),
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
