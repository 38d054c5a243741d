//! The writing half of a connection: responses in order, many in one system call.

use std::{
    collections::VecDeque,
    io::{self, IoSlice},
    time::Duration,
};

use bytes::{Buf, Bytes};
use tokio::{
    net::tcp::WriteHalf,
    task::coop::consume_budget,
    time::{Instant, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{
    close::CloseReason,
    connection::Shared,
    pipeline::{Batch, Gathered, Outbox, Pipeline},
    policy,
};

/// The most that is gathered into one batch of responses, if none of them is larger by itself.
const WRITE_BATCH_BYTES: usize = 1024 * 1024;

/// The most pieces that one vectored write takes; the kernel's own bound is 1024.
const WRITE_MAX_SLICES: usize = 64;

/// How often a write that does not go on looks at the clock and at the memory of all connections.
const WRITE_TICK: Duration = Duration::from_millis(500);

/// Writes responses in order until all are written after the last request, or the connection is
/// to end at once.
pub(super) async fn write_responses<S>(
    stream: WriteHalf<'_>,
    shared: &Shared<S>,
    pipeline: &Pipeline,
    stop: &CancellationToken,
) -> Result<(), CloseReason> {
    let mut outbox = Outbox::new(pipeline);
    loop {
        match outbox.gather(WRITE_BATCH_BYTES).await {
            Gathered::Finished => return Ok(()),
            Gathered::Close(close) => return Err(CloseReason::Handler(close)),
            Gathered::Batch(mut batch) => {
                tokio::select! {
                    biased;
                    written = write_batch(&stream, shared, stop, &mut batch) => written?,
                    never = outbox.go_on() => match never {},
                }
                outbox.written(batch);
            }
        }
    }
}

async fn write_batch<S>(
    stream: &WriteHalf<'_>,
    shared: &Shared<S>,
    stop: &CancellationToken,
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
        match try_write(stream, &batch.chunks) {
            Ok(0) => return Err(CloseReason::PeerReset(io::ErrorKind::WriteZero.into())),
            Ok(count) => {
                shared.metrics.sent_bytes.inc_by(count as u64);
                progressed = Instant::now();
                written_bytes += count as u64;
                advance(&mut batch.chunks, count);
                // A client that reads fast must not keep this thread from the others' turns.
                consume_budget().await;
                continue;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(CloseReason::PeerReset(error)),
        }
        match timeout(WRITE_TICK, stream.writable()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return Err(CloseReason::PeerReset(error)),
            Err(_elapsed) => {
                let patience = shared.limits.write_timeout;
                let now = Instant::now();
                let late = now - started > policy::allowed_duration(patience, written_bytes);
                let hurried = shared.responses.is_short() || stop.is_cancelled();
                if policy::write_is_hopeless(now - progressed, late, hurried) {
                    return Err(CloseReason::WriteTimeout { hurried });
                }
            }
        }
    }
}

/// Writes as much as the socket takes at once. The list of slices lives only here, not in the
/// state of every connection.
fn try_write(stream: &WriteHalf<'_>, chunks: &VecDeque<Bytes>) -> io::Result<usize> {
    let mut slices = [IoSlice::new(&[]); WRITE_MAX_SLICES];
    let mut used = 0;
    for (slice, chunk) in slices.iter_mut().zip(chunks) {
        *slice = IoSlice::new(chunk);
        used += 1;
    }
    stream.try_write_vectored(&slices[..used])
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
