//! One connection: a reader and a writer, two futures of one task.
//!
//! ```text
//!   socket ──► reader ──► Service::call (first stage) ──► pipeline ──► writer ──► socket
//! ```
//!
//! An idle connection holds no buffer: the reader waits for readiness first and takes a scratch
//! buffer only while there is something to read. A large frame is read directly into its own
//! buffer; small ones come many at a time through the scratch buffer.

use std::{
    collections::VecDeque,
    future::{Future, poll_fn},
    io::{self, IoSlice},
    pin::{Pin, pin},
    sync::Arc,
    task::Poll,
    time::Duration,
};

use bytes::{Buf, Bytes, BytesMut};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, Interest},
    net::{
        TcpStream,
        tcp::{ReadHalf, WriteHalf},
    },
    time::{Instant, sleep_until, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{
    budget::{RequestBudget, RequestMemory, ResponseMemory},
    close::CloseReason,
    frame::FrameAssembler,
    limits::ConnectionLimits,
    pipeline::{Batch, Gathered, Outbox, Pipeline, PipelineLimits, Work},
    policy,
    service::{ConnectionContext, Reply, RequestContext, Service},
};
use crate::observability::metrics::NetMetrics;

/// The scratch buffer that small frames are read through.
const SCRATCH_BYTES: usize = 16 * 1024;

/// The most that is gathered into one batch of responses, if none of them is larger by itself.
const WRITE_BATCH_BYTES: usize = 1024 * 1024;

/// The most pieces that one vectored write takes; the kernel's own bound is 1024.
const WRITE_MAX_SLICES: usize = 64;

/// How often a write that does not go on looks at the clock and at the memory of all connections.
const WRITE_TICK: Duration = Duration::from_millis(500);

/// How long responses in flight may take to leave after the client has ended its side, or has sent
/// something that the connection is closed for.
const LINGER: Duration = Duration::from_secs(1);

/// How many reads of 4 KiB are spent on bytes that will not be answered.
const DISCARD_MAX_READS: usize = 256;

/// What all connections of a listener share.
pub(super) struct Shared<S> {
    pub service: S,
    pub limits: ConnectionLimits,
    pub requests: RequestBudget,
    pub responses: Arc<ResponseMemory>,
    pub metrics: NetMetrics,
}

/// Serves a connection until it ends, and says why it did. `stop` ends the reading and lets what
/// is in flight be answered.
pub(super) async fn serve<S: Service>(
    mut stream: TcpStream,
    shared: &Shared<S>,
    context: Arc<ConnectionContext>,
    stop: CancellationToken,
) -> CloseReason {
    let reason = exchange(&mut stream, shared, &context, stop).await;
    discard_unread(&stream);
    reason
}

async fn exchange<S: Service>(
    stream: &mut TcpStream,
    shared: &Shared<S>,
    context: &Arc<ConnectionContext>,
    stop: CancellationToken,
) -> CloseReason {
    let limits = &shared.limits;
    let pipeline = Pipeline::new(
        PipelineLimits {
            max_requests: limits.max_requests_in_flight,
            max_response_bytes: limits.max_waiting_response_bytes,
        },
        Arc::clone(&shared.responses),
        shared.metrics.requests_in_flight.clone(),
    );
    let (read_half, write_half) = stream.split();
    let mut reader = pin!(read_requests(
        read_half,
        shared,
        context,
        &pipeline,
        stop.clone()
    ));
    let mut writer = pin!(write_responses(write_half, shared, &pipeline));

    let reason = tokio::select! {
        reason = &mut reader => reason,
        ended = &mut writer => {
            // A first stage that runs must come to its end; the reader stops where it waits next.
            stop.cancel();
            reader.await;
            return ended.err().unwrap_or(CloseReason::PeerClosed);
        }
    };
    pipeline.finish_pushing();
    let drained = match reason {
        // The server bounds this by its own deadline.
        CloseReason::Shutdown => writer.await,
        CloseReason::PeerReset(_) => return reason,
        _ => timeout(LINGER, writer.as_mut()).await.unwrap_or(Ok(())),
    };
    drained.err().unwrap_or(reason)
}

/// Reads away what the client has sent already: closing a socket with unread bytes resets the
/// connection, which may take the last responses with it.
fn discard_unread(stream: &TcpStream) {
    let mut scratch = [0; 4096];
    for _ in 0..DISCARD_MAX_READS {
        if !matches!(stream.try_read(&mut scratch), Ok(count) if count > 0) {
            return;
        }
    }
}

/// Takes requests in their order and runs their first stages, until the connection is to end.
async fn read_requests<S: Service>(
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
        assembler: FrameAssembler::new(shared.limits.max_frame_bytes),
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
    stopped: Pin<Box<tokio_util::sync::WaitForCancellationFutureOwned>>,
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
            let direct = self.assembler.direct_buffer();
            let is_direct = direct.is_some();
            let read = match direct {
                Some(mut buffer) => poll_now(self.stream.read_buf(&mut buffer)).await,
                None => {
                    // An empty buffer whose content was taken is used again, not grown.
                    self.scratch.reserve(SCRATCH_BYTES);
                    poll_now(self.stream.read_buf(&mut self.scratch)).await
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
                        self.assembler.take_complete()
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
                Instant::now() + self.limits.idle_timeout
            } else {
                let started = *self.frame_started.get_or_insert_with(Instant::now);
                let received = self.assembler.received_bytes() as u64;
                started + policy::allowed_duration(self.limits.frame_timeout, received)
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

/// Awaits `future`, but not beyond the deadline or the stop.
async fn interruptible<F: Future>(
    stopped: &mut (impl Future<Output = ()> + Unpin),
    deadline: Instant,
    future: F,
) -> Result<F::Output, Interrupted> {
    tokio::select! {
        biased;
        () = stopped => Err(Interrupted::Stopped),
        output = future => Ok(output),
        () = sleep_until(deadline) => Err(Interrupted::DeadlinePassed),
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

/// Writes responses in order until all are written after the last request, or the connection is
/// to end at once.
async fn write_responses<S>(
    mut stream: WriteHalf<'_>,
    shared: &Shared<S>,
    pipeline: &Pipeline,
) -> Result<(), CloseReason> {
    let mut outbox = Outbox::new(pipeline);
    loop {
        match outbox.gather(WRITE_BATCH_BYTES).await {
            Gathered::Finished => return Ok(()),
            Gathered::Close(close) => return Err(CloseReason::Handler(close)),
            Gathered::Batch(mut batch) => {
                write_batch(&mut stream, shared, &mut batch).await?;
                outbox.written(batch);
            }
        }
    }
}

async fn write_batch<S>(
    stream: &mut WriteHalf<'_>,
    shared: &Shared<S>,
    batch: &mut Batch,
) -> Result<(), CloseReason> {
    let started = Instant::now();
    let mut progressed = started;
    let mut written_bytes = 0_u64;
    loop {
        skip_empty(&mut batch.chunks);
        if batch.chunks.is_empty() {
            return Ok(());
        }
        let mut slices = [IoSlice::new(&[]); WRITE_MAX_SLICES];
        let mut used = 0;
        for (slice, chunk) in slices.iter_mut().zip(&batch.chunks) {
            *slice = IoSlice::new(chunk);
            used += 1;
        }
        match timeout(WRITE_TICK, stream.write_vectored(&slices[..used])).await {
            Ok(Ok(0)) => return Err(CloseReason::PeerReset(io::ErrorKind::WriteZero.into())),
            Ok(Ok(count)) => {
                shared.metrics.sent_bytes.inc_by(count as u64);
                progressed = Instant::now();
                written_bytes += count as u64;
                advance(&mut batch.chunks, count);
            }
            Ok(Err(error)) => return Err(CloseReason::PeerReset(error)),
            Err(_elapsed) => {
                let patience = shared.limits.write_timeout;
                let now = Instant::now();
                let late = now - started > policy::allowed_duration(patience, written_bytes);
                let pressed = shared.responses.is_over_limit();
                if policy::write_is_hopeless(now - progressed, late, pressed) {
                    return Err(CloseReason::WriteTimeout {
                        memory_pressed: pressed,
                    });
                }
            }
        }
    }
}

fn skip_empty(chunks: &mut VecDeque<Bytes>) {
    while chunks.front().is_some_and(Bytes::is_empty) {
        chunks.pop_front();
    }
}

/// Removes `count` bytes from the front of the pieces.
fn advance(chunks: &mut VecDeque<Bytes>, mut count: usize) {
    while let Some(front) = chunks.front_mut() {
        if front.len() > count {
            front.advance(count);
            return;
        }
        count -= front.len();
        chunks.pop_front();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partial_writes_advance_over_pieces() {
        let pieces = [&b"abc"[..], b"", b"de", b"f"].map(Bytes::from_static);
        for count in 0..=6 {
            let mut chunks = VecDeque::from(pieces.clone());
            advance(&mut chunks, count);
            let rest: Vec<u8> = chunks.iter().flatten().copied().collect();
            assert_eq!(rest, b"abcdef"[count..], "after {count} bytes");
        }
    }
}
