//! Raw sockets against the Kafka listener, with a small service behind it that does what the
//! requests say.

// Helpers of tests fail by panicking, too.
#![allow(clippy::unwrap_used)]

use std::{net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use fjord_broker::{
    net::{
        CloseConnection, ConnectionLimits, Reply, RequestContext, Server, ServerOptions, Service,
    },
    observability::metrics::{Metrics, ReasonLabel},
};
use fjord_wire::{Frame, Writer};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::{Notify, Semaphore},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

/// How long a condition that must come is waited for before a test fails.
const PATIENCE: Duration = Duration::from_secs(60);

/// What the first byte of a test request's padding asks of the service.
#[derive(Clone, Copy)]
enum Ask {
    /// Answer at once.
    Echo = 1,
    /// Answer when the test allows it, by [`Scripted::gate`].
    Gated = 2,
    /// Send no response.
    Silent = 3,
    /// Panic in the first stage.
    PanicNow = 4,
    /// Panic in the second stage.
    PanicLater = 5,
    /// Close the connection.
    Close = 6,
    /// Answer with a megabyte, in the second stage.
    Large = 7,
    /// Answer in the second stage, as soon as it is polled.
    Later = 8,
}

const LARGE_BYTES: usize = 1024 * 1024;

/// Echoes the correlation id (bytes 4 to 8 of a frame), as the frame's ninth byte asks.
#[derive(Clone)]
struct Scripted {
    gate: Arc<Semaphore>,
    first_stages: Arc<Notify>,
}

impl Service for Scripted {
    async fn call(&self, context: &RequestContext, frame: Bytes) -> Result<Reply, CloseConnection> {
        assert!(context.connection.peer.ip().is_loopback());
        let correlation = frame.slice(4..8);
        let asked = frame.get(8).copied();
        self.first_stages.notify_one();
        match asked {
            Some(ask) if ask == Ask::Gated as u8 => {
                let gate = Arc::clone(&self.gate);
                Ok(Reply::later(async move {
                    gate.acquire().await.unwrap().forget();
                    Ok(Some(response(correlation, 0)))
                }))
            }
            Some(ask) if ask == Ask::Silent as u8 => Ok(Reply::None),
            Some(ask) if ask == Ask::PanicNow as u8 => panic!("asked to, at once"),
            Some(ask) if ask == Ask::PanicLater as u8 => {
                Ok(Reply::later(async { panic!("asked to, later") }))
            }
            Some(ask) if ask == Ask::Close as u8 => Err(CloseConnection::because("asked to")),
            Some(ask) if ask == Ask::Large as u8 => Ok(Reply::later(async move {
                Ok(Some(response(correlation, LARGE_BYTES)))
            })),
            Some(ask) if ask == Ask::Later as u8 => {
                Ok(Reply::later(
                    async move { Ok(Some(response(correlation, 0))) },
                ))
            }
            _ => Ok(Reply::Now(response(correlation, 0))),
        }
    }
}

/// A response of a correlation id and some padding, spliced in as record batches are.
fn response(correlation: Bytes, padding: usize) -> Frame {
    let correlation = u32::from_be_bytes(correlation[..].try_into().unwrap());
    let mut writer = Writer::new();
    writer.u32(u32::try_from(4 + 4 + padding).unwrap());
    writer.u32(correlation);
    writer.bytes(&Bytes::from(vec![9; padding]), false).unwrap();
    writer.finish()
}

fn request(correlation: u32, ask: Ask, padding: usize) -> Vec<u8> {
    let length = u32::try_from(9 + padding).unwrap();
    let mut frame = length.to_be_bytes().to_vec();
    frame.extend_from_slice(&[0, 18, 0, 0]);
    frame.extend_from_slice(&correlation.to_be_bytes());
    frame.push(ask as u8);
    frame.resize(4 + 9 + padding, 7);
    frame
}

struct Running {
    address: SocketAddr,
    service: Scripted,
    metrics: Metrics,
    shutdown: CancellationToken,
    task: JoinHandle<()>,
}

fn start(adjust: impl FnOnce(&mut ServerOptions)) -> Running {
    let mut options = ServerOptions {
        address: "127.0.0.1:0".to_owned(),
        ..ServerOptions::default()
    };
    adjust(&mut options);
    let service = Scripted {
        gate: Arc::new(Semaphore::new(0)),
        first_stages: Arc::new(Notify::new()),
    };
    let metrics = Metrics::new(0);
    let server = Server::bind(options, service.clone(), &metrics).unwrap();
    let shutdown = CancellationToken::new();
    Running {
        address: server.local_addr(),
        service,
        metrics,
        task: tokio::spawn(server.run(shutdown.clone())),
        shutdown,
    }
}

impl Running {
    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    fn closed(&self, reason: &'static str) -> u64 {
        self.metrics
            .net
            .closed
            .get_or_create(&ReasonLabel { reason })
            .get()
    }

    /// Whether a new client is served.
    async fn assert_serves(&self) {
        let mut client = self.connect().await;
        client.write_all(&request(77, Ask::Echo, 0)).await.unwrap();
        assert_eq!(read_response(&mut client).await, Some((77, 0)));
    }

    async fn stop(self) {
        self.shutdown.cancel();
        in_time(self.task).await.unwrap();
    }
}

async fn in_time<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(PATIENCE, future)
        .await
        .expect("it must happen")
}

/// Waits until `condition` holds.
async fn until(what: &str, condition: impl Fn() -> bool) {
    let wait = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, wait)
        .await
        .unwrap_or_else(|_| panic!("never: {what}"));
}

/// The next response's correlation id and padding, or `None` if the connection was closed.
async fn read_response(client: &mut TcpStream) -> Option<(u32, usize)> {
    let length = in_time(client.read_u32()).await.ok()?;
    let correlation = in_time(client.read_u32()).await.ok()?;
    assert_eq!(in_time(client.read_u32()).await.ok()?, length - 8);
    let mut padding = vec![0; length as usize - 8];
    in_time(client.read_exact(&mut padding)).await.ok()?;
    assert!(padding.iter().all(|&byte| byte == 9));
    Some((correlation, padding.len()))
}

async fn assert_closed(client: &mut TcpStream) {
    assert_eq!(
        read_response(client).await,
        None,
        "the connection must be closed"
    );
}

#[tokio::test]
async fn pipelined_responses_leave_in_order_of_requests() {
    let running = start(|_| {});
    let mut client = running.connect().await;
    let mut stream = Vec::new();
    let mut expected = Vec::new();
    for id in 0..400 {
        let (ask, padding) = match id % 5 {
            0 => (Ask::Gated, 0),
            1 => (Ask::Echo, 20_000),
            2 => (Ask::Large, 0),
            3 => (Ask::Silent, 100),
            _ => (Ask::Later, 5_000),
        };
        stream.extend(request(id, ask, padding));
        match ask {
            Ask::Silent => {}
            Ask::Large => expected.push((id, LARGE_BYTES)),
            _ => expected.push((id, 0)),
        }
    }
    let (mut read_half, mut write_half) = client.split();
    let gate = Arc::clone(&running.service.gate);
    let write = async {
        write_half.write_all(&stream).await.unwrap();
    };
    let read = async {
        // One by one, so that what comes after a gated request has often been done before it.
        for (id, padding) in expected {
            if id % 5 == 0 {
                gate.add_permits(1);
            }
            let length = read_half.read_u32().await.unwrap();
            assert_eq!(read_half.read_u32().await.unwrap(), id);
            let mut body = vec![0; length as usize - 4];
            read_half.read_exact(&mut body).await.unwrap();
            assert_eq!(body.len(), 4 + padding, "response {id}");
        }
    };
    in_time(async { tokio::join!(write, read) }).await;
    running.stop().await;
}

#[tokio::test]
async fn several_requests_of_one_connection_are_in_flight_up_to_the_limit() {
    let running = start(|options| options.connection.max_requests_in_flight = 3);
    let mut client = running.connect().await;
    for id in 0..5 {
        client.write_all(&request(id, Ask::Gated, 0)).await.unwrap();
    }
    let in_flight = running.metrics.net.requests_in_flight.clone();
    until("three are in flight", || in_flight.get() == 3).await;
    running.service.gate.add_permits(1);
    assert_eq!(read_response(&mut client).await, Some((0, 0)));
    until("the fourth takes the first's place", || {
        in_flight.get() == 3
    })
    .await;
    running.service.gate.add_permits(4);
    for id in 1..5 {
        assert_eq!(read_response(&mut client).await, Some((id, 0)));
    }
    assert_eq!(in_flight.get(), 0);
    running.stop().await;
}

#[tokio::test]
async fn a_request_may_come_byte_by_byte() {
    let running = start(|_| {});
    let mut client = running.connect().await;
    client.set_nodelay(true).unwrap();
    for byte in request(5, Ask::Echo, 40) {
        client.write_all(&[byte]).await.unwrap();
        tokio::task::yield_now().await;
    }
    assert_eq!(read_response(&mut client).await, Some((5, 0)));
    running.stop().await;
}

/// Sends a valid request and then `bytes`; expects the valid one answered and the connection
/// closed for `reason`.
async fn check_bad_input(bytes: &[u8], end: bool, reason: &'static str) {
    let running = start(|options| {
        options.connection.max_frame_bytes = 1_000_000;
        options.connection.frame_timeout = Duration::from_millis(300);
    });
    let mut client = running.connect().await;
    client.write_all(&request(1, Ask::Later, 0)).await.unwrap();
    client.write_all(bytes).await.unwrap();
    if end {
        client.shutdown().await.unwrap();
    }
    assert_eq!(read_response(&mut client).await, Some((1, 0)));
    assert_closed(&mut client).await;
    until("the close is counted", || running.closed(reason) == 1).await;
    running.assert_serves().await;
    running.stop().await;
}

#[tokio::test]
async fn bad_frames_close_their_connection_after_earlier_responses() {
    check_bad_input(&1_000_001_u32.to_be_bytes(), false, "bad_frame").await;
    check_bad_input(&i32::MAX.to_be_bytes(), false, "bad_frame").await;
    check_bad_input(&(-1_i32).to_be_bytes(), false, "bad_frame").await;
    check_bad_input(&[0; 4], false, "bad_frame").await;
    check_bad_input(&[0, 0, 0, 7, 1, 2, 3, 4, 5, 6, 7], false, "bad_frame").await;
    check_bad_input(b"GET / HTTP/1.1\r\n\r\n", false, "bad_frame").await;
}

#[tokio::test]
async fn truncated_frames_close_their_connection() {
    check_bad_input(&[0, 0], true, "truncated_frame").await;
    check_bad_input(
        &request(2, Ask::Echo, 100_000)[..50_000],
        true,
        "truncated_frame",
    )
    .await;
    check_bad_input(&request(2, Ask::Echo, 100)[..50], false, "frame_timeout").await;
    check_bad_input(
        &request(2, Ask::Echo, 100_000)[..50_000],
        false,
        "frame_timeout",
    )
    .await;
}

#[tokio::test]
async fn a_handler_may_close_the_connection() {
    check_bad_input(&request(2, Ask::Close, 0), false, "handler").await;
}

#[tokio::test]
async fn a_panic_closes_only_its_own_connection() {
    for ask in [Ask::PanicNow, Ask::PanicLater] {
        let running = start(|_| {});
        let mut other = running.connect().await;
        let mut client = running.connect().await;
        client.write_all(&request(1, ask, 0)).await.unwrap();
        assert_closed(&mut client).await;
        until("the panic is counted", || {
            running.closed("handler_panic") == 1
        })
        .await;
        other.write_all(&request(2, Ask::Echo, 0)).await.unwrap();
        assert_eq!(read_response(&mut other).await, Some((2, 0)));
        assert_eq!(running.metrics.net.open.get(), 1);
        assert_eq!(running.metrics.net.requests_in_flight.get(), 0);
        running.stop().await;
    }
}

#[tokio::test]
async fn idle_connections_are_closed_but_not_while_they_wait_for_a_response() {
    let running = start(|options| options.connection.idle_timeout = Duration::from_millis(200));
    let mut idle = running.connect().await;
    let mut waiting = running.connect().await;
    waiting.write_all(&request(1, Ask::Gated, 0)).await.unwrap();
    assert_closed(&mut idle).await;
    until("the idle one is counted", || running.closed("idle") == 1).await;
    running.service.gate.add_permits(1);
    assert_eq!(read_response(&mut waiting).await, Some((1, 0)));
    assert_closed(&mut waiting).await;
    running.stop().await;
}

#[tokio::test]
async fn connections_over_the_limits_are_closed_on_arrival() {
    let running = start(|options| options.max_connections_per_ip = 2);
    let mut first = running.connect().await;
    let mut second = running.connect().await;
    for client in [&mut first, &mut second] {
        client.write_all(&request(1, Ask::Echo, 0)).await.unwrap();
        assert_eq!(read_response(client).await, Some((1, 0)));
    }
    assert_closed(&mut running.connect().await).await;
    let reason = ReasonLabel {
        reason: "max_connections_per_ip",
    };
    assert_eq!(running.metrics.net.refused.get_or_create(&reason).get(), 1);
    drop(first);
    let open = running.metrics.net.open.clone();
    until("the first has ended", || open.get() == 1).await;
    running.assert_serves().await;
    running.stop().await;

    let running = start(|options| options.max_connections = 0);
    assert_closed(&mut running.connect().await).await;
    running.stop().await;
}

#[tokio::test]
async fn a_client_that_never_reads_is_bounded_and_closed() {
    let running = start(|options| {
        options.send_buffer_bytes = Some(64 * 1024);
        options.connection = ConnectionLimits {
            write_timeout: Duration::from_secs(1),
            max_waiting_response_bytes: 4 * LARGE_BYTES,
            ..ConnectionLimits::default()
        };
    });
    let mut client = running.connect().await;
    for id in 0..60 {
        client.write_all(&request(id, Ask::Large, 0)).await.unwrap();
    }
    let waiting = running.metrics.net.response_memory.clone();
    let mut most = 0;
    let wait = async {
        while running.closed("write_timeout") == 0 {
            most = most.max(waiting.get());
            // Others are served meanwhile.
            running.assert_serves().await;
        }
    };
    in_time(wait).await;
    assert!(most > 0, "responses must have waited");
    assert!(
        most <= 6 * LARGE_BYTES as i64,
        "{most} bytes waited at once"
    );
    until("memory is given back", || waiting.get() == 0).await;
    assert_eq!(running.metrics.net.requests_in_flight.get(), 0);
    running.stop().await;
}

#[tokio::test]
async fn clients_that_never_read_go_early_when_memory_is_short() {
    let running = start(|options| {
        options.send_buffer_bytes = Some(64 * 1024);
        options.response_memory_bytes = 8 * LARGE_BYTES;
    });
    let mut clients = Vec::new();
    for _ in 0..8 {
        let mut client = running.connect().await;
        for id in 0..4 {
            client.write_all(&request(id, Ask::Large, 0)).await.unwrap();
        }
        clients.push(client);
    }
    // Their own timeout is minutes away; only the pressure can end them.
    until("some are closed", || running.closed("write_timeout") > 0).await;
    running.assert_serves().await;
    running.stop().await;
}

#[tokio::test]
async fn claimed_lengths_cost_nothing() {
    const CLIENTS: usize = 300;
    let running = start(|options| options.request_memory_bytes = 64 * 1024);
    let claim = (100 * 1024 * 1024_u32).to_be_bytes();
    let before = resident_bytes();
    let mut clients = Vec::new();
    for _ in 0..CLIENTS {
        let mut client = running.connect().await;
        client.write_all(&claim).await.unwrap();
        client.write_all(&[0, 0, 0]).await.unwrap();
        clients.push(client);
    }
    let received = running.metrics.net.received_bytes.clone();
    until("all claims have arrived", || {
        received.get() == 7 * CLIENTS as u64
    })
    .await;
    let grown = resident_bytes().saturating_sub(before);
    assert!(
        grown < CLIENTS as u64 * 32 * 1024,
        "{grown} bytes for {CLIENTS} claims"
    );
    assert_eq!(
        running.metrics.net.request_memory.get(),
        0,
        "claims must not use the budget up"
    );
    running.assert_serves().await;
    running.stop().await;
}

#[tokio::test]
async fn reading_stops_while_request_memory_is_used_up() {
    let running = start(|options| {
        options.connection.max_frame_bytes = 100_000;
        options.request_memory_bytes = 100_000;
    });
    let mut clients = Vec::new();
    for id in 0..4 {
        let mut client = running.connect().await;
        client
            .write_all(&request(id, Ask::Gated, 60_000))
            .await
            .unwrap();
        clients.push(client);
    }
    let (memory, in_flight) = (
        running.metrics.net.request_memory.clone(),
        running.metrics.net.requests_in_flight.clone(),
    );
    until("one request has all that fits", || in_flight.get() == 1).await;
    assert_eq!(memory.get(), 60_009);
    running.service.gate.add_permits(4);
    for (client, id) in clients.iter_mut().zip(0..) {
        assert_eq!(read_response(client).await, Some((id, 0)));
    }
    until("all memory is given back", || memory.get() == 0).await;
    running.stop().await;
}

/// Opens idle connections, checks what they cost, and that all of them still work.
#[tokio::test]
async fn idle_connections_cost_a_few_kilobytes() {
    let count: usize =
        std::env::var("FJORD_TEST_IDLE_CONNECTIONS").map_or(2000, |text| text.parse().unwrap());
    let running = start(|_| {});
    let before = resident_bytes();
    let mut clients = Vec::with_capacity(count);
    for id in 0..count {
        // Each has been used once, so that buffers would show.
        let mut client = running.connect().await;
        client
            .write_all(&request(id as u32, Ask::Later, 100))
            .await
            .unwrap();
        assert_eq!(read_response(&mut client).await, Some((id as u32, 0)));
        clients.push(client);
    }
    let each = resident_bytes().saturating_sub(before) / count as u64;
    println!("{each} bytes per idle connection, the client's end included");
    assert!(each < 8 * 1024, "{each} bytes per idle connection");
    assert_eq!(running.metrics.net.open.get(), count as i64);
    running.stop().await;
}

#[tokio::test]
async fn a_shutdown_answers_what_is_in_flight_and_takes_no_more() {
    let running = start(|_| {});
    let mut idle = running.connect().await;
    let mut client = running.connect().await;
    client.write_all(&request(1, Ask::Gated, 0)).await.unwrap();
    client.write_all(&request(2, Ask::Gated, 0)).await.unwrap();
    let in_flight = running.metrics.net.requests_in_flight.clone();
    until("both are in flight", || in_flight.get() == 2).await;
    running.shutdown.cancel();
    assert_closed(&mut idle).await;
    // Nobody will read this one.
    client.write_all(&request(3, Ask::Echo, 0)).await.unwrap();
    assert!(
        !running.task.is_finished(),
        "it must wait for what is in flight"
    );
    running.service.gate.add_permits(2);
    assert_eq!(read_response(&mut client).await, Some((1, 0)));
    assert_eq!(read_response(&mut client).await, Some((2, 0)));
    assert_closed(&mut client).await;
    in_time(running.task).await.unwrap();
    assert!(
        TcpStream::connect(running.address).await.is_err(),
        "nobody listens any more"
    );
}

#[tokio::test]
async fn a_shutdown_ends_at_its_deadline() {
    let running = start(|options| options.shutdown_timeout = Duration::from_millis(100));
    let mut client = running.connect().await;
    client.write_all(&request(1, Ask::Gated, 0)).await.unwrap();
    let in_flight = running.metrics.net.requests_in_flight.clone();
    until("it is in flight", || in_flight.get() == 1).await;
    running.shutdown.cancel();
    assert_closed(&mut client).await;
    in_time(running.task).await.unwrap();
    let reason = ReasonLabel {
        reason: "shutdown_deadline",
    };
    assert_eq!(running.metrics.net.closed.get_or_create(&reason).get(), 1);
}

#[tokio::test]
async fn a_client_that_is_gone_takes_its_parked_requests_along() {
    let running = start(|_| {});
    let mut client = running.connect().await;
    client.write_all(&request(1, Ask::Gated, 0)).await.unwrap();
    let in_flight = running.metrics.net.requests_in_flight.clone();
    until("it is in flight", || in_flight.get() == 1).await;
    drop(client);
    until("it is forgotten", || in_flight.get() == 0).await;
    assert_eq!(running.metrics.net.open.get(), 0);
    running.stop().await;
}

fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .unwrap();
    let kibibytes: u64 = line.trim().trim_end_matches("kB").trim().parse().unwrap();
    kibibytes * 1024
}
