//! The reading half of a connection: from its socket to the first stages of requests.
//!
//! An idle connection holds no buffer: the reader waits for readiness first and takes a scratch
//! buffer only while there is something to read. A large frame is read directly into its own
//! buffer; small ones come many at a time through the scratch buffer.

use std::{
    future::{Future, poll_fn},
    io,
    pin::{Pin, pin},
    sync::Arc,
    task::Poll,
};

use bytes::{Buf, Bytes, BytesMut};
use tokio::{
    io::{AsyncReadExt, Interest},
    net::tcp::ReadHalf,
    time::{Instant, sleep_until},
};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use super::{
    budget::{RequestBudget, RequestMemory, ResponseMemory},
    close::CloseReason,
    connection::Shared,
    frame::FrameAssembler,
    limits::ConnectionLimits,
    pipeline::{Pipeline, Work},
    policy,
    service::{ConnectionContext, Reply, RequestContext, Service},
};
use crate::observability::metrics::NetMetrics;

/// The scratch buffer that small frames are read through.
const SCRATCH_BYTES: usize = 16 * 1024;

/// Takes requests in their order and runs their first stages, until the connection is to end.
pub(super) async fn read_requests<S: Service>(
    stream: ReadHalf<'_>,
    shared: &Shared<S>,
    context: &Arc<ConnectionContext>,
    pipeline: &Pipeline,
    stop: CancellationToken,
) -> CloseReason {
    let mut reader = Reader {
        stream,
        limits: &shared.limits,
        budget: &shared.requests,
        responses: &shared.responses,
        metrics: &shared.metrics,
        pipeline,
        stopped: Box::pin(stop.cancelled_owned()),
        assembler: FrameAssembler::new(shared.limits.max_frame_bytes, shared.buffers.clone()),
        scratch: BytesMut::new(),
        reservation: None,
        frame_started: None,
    };
    loop {
        let (frame, memory) = match reader.next_request().await {
            Ok(request) => request,
            Err(reason) => return reason,
        };
        let request = RequestContext {
            connection: Arc::clone(context),
            received_at: std::time::Instant::now(),
        };
        // Boxed, so that an idle connection does not hold room for the largest handler's state.
        match Box::pin(shared.service.call(&request, frame)).await {
            Ok(Reply::None) => {}
            Ok(Reply::Now(response)) => pipeline.push(Work::Ready(response), memory),
            Ok(Reply::Later(future)) => pipeline.push(Work::Later(future), memory),
            Ok(Reply::InTurn(future)) => pipeline.push(Work::InTurn(future), memory),
            Err(close) => return CloseReason::Handler(close),
        }
    }
}

struct Reader<'a> {
    stream: ReadHalf<'a>,
    limits: &'a ConnectionLimits,
    budget: &'a RequestBudget,
    responses: &'a ResponseMemory,
    metrics: &'a NetMetrics,
    pipeline: &'a Pipeline,
    stopped: Pin<Box<WaitForCancellationFutureOwned>>,
    assembler: FrameAssembler,
    /// Bytes that were read but not yet taken by the assembler.
    scratch: BytesMut,
    /// The memory of the frame that is being read, if it is a large one.
    reservation: Option<RequestMemory>,
    frame_started: Option<Instant>,
}

/// Why a wait of the reader ended without what it waited for.
enum Interrupted {
    Stopped,
    DeadlinePassed,
}

impl Reader<'_> {
    /// The next frame with the memory reserved for it, or why there will be none.
    async fn next_request(&mut self) -> Result<(Bytes, RequestMemory), CloseReason> {
        self.wait_for_room().await?;
        let frame = self.next_frame().await?;
        self.frame_started = None;
        let memory = match self.reservation.take() {
            Some(memory) => memory,
            None => self.reserve(frame.len()).await?,
        };
        Ok((frame, memory))
    }

    async fn next_frame(&mut self) -> Result<Bytes, CloseReason> {
        loop {
            if self.scratch.has_remaining() {
                let fed = self.assembler.feed(&self.scratch)?;
                self.scratch.advance(fed.consumed);
                if let Some(frame) = fed.frame {
                    return Ok(frame);
                }
                if let Some(frame_bytes) = self.assembler.wants_reservation() {
                    self.reservation = Some(self.reserve(frame_bytes).await?);
                    self.assembler.reserved();
                    // Waiting in line was no fault of the client's.
                    self.frame_started = Some(Instant::now());
                    continue;
                }
            }
            if let Some(frame) = self.fill().await? {
                return Ok(frame);
            }
        }
    }

    /// Waits for bytes, and reads them into the scratch buffer or the frame's own, whichever
    /// serves; returns the frame if it became complete in its own.
    async fn fill(&mut self) -> Result<Option<Bytes>, CloseReason> {
        loop {
            self.wait_readable().await?;
            let (read, is_direct) = match self.assembler.direct_buffer() {
                Some(missing) => (poll_now(self.stream.read(missing)).await, true),
                None => {
                    // An empty buffer whose content was taken is used again, not grown.
                    self.scratch.reserve(SCRATCH_BYTES);
                    (
                        poll_now(self.stream.read_buf(&mut self.scratch)).await,
                        false,
                    )
                }
            };
            match read {
                // The readiness was spurious, or this task has used up its turn: in both cases
                // waiting for readiness alone might not wait at all.
                None => tokio::task::yield_now().await,
                Some(Ok(0)) if self.assembler.is_at_boundary() => {
                    return Err(CloseReason::PeerClosed);
                }
                Some(Ok(0)) => return Err(CloseReason::TruncatedFrame),
                Some(Ok(count)) => {
                    self.metrics.received_bytes.inc_by(count as u64);
                    return Ok(if is_direct {
                        self.assembler.filled(count)
                    } else {
                        None
                    });
                }
                Some(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {}
                Some(Err(error)) => return Err(CloseReason::PeerReset(error)),
            }
        }
    }

    /// Waits until the socket has something, without holding a buffer meanwhile.
    async fn wait_readable(&mut self) -> Result<(), CloseReason> {
        loop {
            let at_boundary = self.assembler.is_at_boundary();
            let deadline = if at_boundary {
                self.limits
                    .idle_timeout
                    .map(|timeout| Instant::now() + timeout)
            } else {
                let started = *self.frame_started.get_or_insert_with(Instant::now);
                let received = self.assembler.received_bytes() as u64;
                Some(started + policy::allowed_duration(self.limits.frame_timeout, received))
            };
            let (stream, scratch) = (&self.stream, &mut self.scratch);
            let readable = async {
                let mut ready = pin!(stream.ready(Interest::READABLE));
                if let Some(ready) = poll_now(&mut ready).await {
                    return ready;
                }
                *scratch = BytesMut::new();
                ready.await
            };
            match interruptible(&mut self.stopped, deadline, readable).await {
                Ok(Ok(_)) => return Ok(()),
                Ok(Err(error)) => return Err(CloseReason::PeerReset(error)),
                Err(Interrupted::Stopped) => return Err(CloseReason::Shutdown),
                Err(Interrupted::DeadlinePassed) if !at_boundary => {
                    return Err(CloseReason::FrameTimeout);
                }
                // A client that waits for a response is not idle.
                Err(Interrupted::DeadlinePassed) if self.pipeline.is_idle() => {
                    return Err(CloseReason::Idle);
                }
                Err(Interrupted::DeadlinePassed) => {}
            }
        }
    }

    /// Waits until this connection, and all connections together, may ask for another response.
    async fn wait_for_room(&mut self) -> Result<(), CloseReason> {
        let room = async {
            self.responses.within_limit().await;
            self.pipeline.room().await;
        };
        tokio::select! {
            biased;
            () = &mut self.stopped => Err(CloseReason::Shutdown),
            () = room => Ok(()),
        }
    }

    async fn reserve(&mut self, frame_bytes: usize) -> Result<RequestMemory, CloseReason> {
        tokio::select! {
            biased;
            () = &mut self.stopped => Err(CloseReason::Shutdown),
            memory = self.budget.reserve(frame_bytes) => Ok(memory),
        }
    }
}

async fn sleep_until_some(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

/// Awaits `future`, but not beyond the deadline or the stop.
async fn interruptible<F: Future>(
    stopped: &mut (impl Future<Output = ()> + Unpin),
    deadline: Option<Instant>,
    future: F,
) -> Result<F::Output, Interrupted> {
    tokio::select! {
        biased;
        () = stopped => Err(Interrupted::Stopped),
        output = future => Ok(output),
        () = sleep_until_some(deadline) => Err(Interrupted::DeadlinePassed),
    }
}

/// The output of a future if it is done at once.
async fn poll_now<F: Future>(future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    poll_fn(|context| match future.as_mut().poll(context) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending => Poll::Ready(None),
    })
    .await
}
