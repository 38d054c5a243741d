//! What connections cost in memory, measured on this process; nothing else runs in it.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

mod net_support;

use net_support::*;
use tokio::{io::AsyncWriteExt, sync::Mutex};

/// Measurements must not see each other.
static ALONE: Mutex<()> = Mutex::const_new(());

#[tokio::test]
async fn claimed_lengths_cost_nothing() {
    let _alone = ALONE.lock().await;
    const CLIENTS: usize = 300;
    let running = start(|options| options.broker.request_memory_bytes = 64 * 1024);
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

/// Opens idle connections, checks what they cost, and that all of them still work.
#[tokio::test]
async fn idle_connections_cost_a_few_kilobytes() {
    let _alone = ALONE.lock().await;
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

fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .unwrap();
    let kibibytes: u64 = line.trim().trim_end_matches("kB").trim().parse().unwrap();
    kibibytes * 1024
}
