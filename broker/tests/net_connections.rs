//! Raw sockets against the Kafka listener: order, bad input, limits and shutdown.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

mod net_support;

use std::{sync::Arc, time::Duration};

use fjord_broker::observability::metrics::ReasonLabel;
use net_support::*;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

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
    let running = start(|options| options.server.connection.max_requests_in_flight = 3);
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
        options.server.connection.max_frame_bytes = 1_000_000;
        options.server.connection.frame_timeout = Duration::from_millis(300);
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
    let running =
        start(|options| options.server.connection.idle_timeout = Some(Duration::from_millis(200)));
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
    let running = start(|options| options.broker.max_connections_per_ip = 2);
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

    let running = start(|options| options.broker.max_connections = 0);
    assert_closed(&mut running.connect().await).await;
    running.stop().await;
}

#[tokio::test]
async fn a_client_that_never_reads_is_bounded_and_closed() {
    let running = start(|options| {
        options.server.send_buffer_bytes = Some(64 * 1024);
        options.server.connection.write_timeout = Duration::from_secs(1);
        options.server.connection.max_waiting_response_bytes = 4 * LARGE_BYTES;
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
        options.server.send_buffer_bytes = Some(64 * 1024);
        options.server.shutdown_timeout = 10 * PATIENCE;
        options.broker.response_memory_bytes = 8 * LARGE_BYTES;
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
    // Nor does a shutdown wait for those that are left until its deadline.
    running.stop().await;
    drop(clients);
}

#[tokio::test]
async fn reading_stops_while_request_memory_is_used_up() {
    let running = start(|options| {
        options.server.connection.max_frame_bytes = 100_000;
        options.broker.max_frame_bytes = 100_000;
        options.broker.request_memory_bytes = 100_000;
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
async fn connections_that_are_refreshed_end_in_order_and_others_are_taken() {
    let running = start(|_| {});
    let mut idle = running.connect().await;
    let mut client = running.connect().await;
    client.write_all(&request(1, Ask::Gated, 0)).await.unwrap();
    let in_flight = running.metrics.net.requests_in_flight.clone();
    until("it is in flight", || in_flight.get() == 1).await;
    running.refresh.send_modify(|count| *count += 1);
    assert_closed(&mut idle).await;
    running.assert_serves().await;
    running.service.gate.add_permits(1);
    assert_eq!(read_response(&mut client).await, Some((1, 0)));
    assert_closed(&mut client).await;

    // What takes too long is left to its client, which sends it again.
    let mut client = running.connect().await;
    client.write_all(&request(2, Ask::Gated, 0)).await.unwrap();
    until("it is in flight", || in_flight.get() == 1).await;
    running.refresh.send_modify(|count| *count += 1);
    assert_closed(&mut client).await;
    running.assert_serves().await;
    running.stop().await;
}

#[tokio::test]
async fn a_shutdown_ends_at_its_deadline() {
    let running = start(|options| options.server.shutdown_timeout = Duration::from_millis(100));
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
