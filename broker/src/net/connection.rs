//! One connection: a reader and a writer, two futures of one task.
//!
//! ```text
//!   socket ──► reader ──► Service::call (first stage) ──► pipeline ──► writer ──► socket
//! ```

use std::{pin::pin, sync::Arc, time::Duration};

use fjord_buffers::BufferPool;
use tokio::{net::TcpStream, time::timeout};
use tokio_util::sync::CancellationToken;

use super::{
    budget::{RequestBudget, ResponseMemory},
    close::CloseReason,
    limits::ConnectionLimits,
    pipeline::{Pipeline, PipelineLimits},
    reader::read_requests,
    service::{ConnectionContext, Service},
    writer::write_responses,
};
use crate::observability::metrics::NetMetrics;

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
    /// For large frames.
    pub buffers: BufferPool,
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
    let mut writer = pin!(write_responses(write_half, shared, &pipeline, &stop));

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
