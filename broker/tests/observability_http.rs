//! The HTTP and gRPC listeners as probes and Prometheus see them.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::{net::SocketAddr, time::Duration};

use fjord_broker::{
    config::ListenAddress,
    grpc::GrpcServer,
    observability::{health::Health, http::HttpServer, metrics::Metrics},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_util::sync::CancellationToken;
use tonic::{service::Routes, transport::Endpoint};
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

const PATIENCE: Duration = Duration::from_secs(60);

fn loopback() -> ListenAddress {
    ListenAddress {
        host: Some("127.0.0.1".to_owned()),
        port: 0,
    }
}

async fn in_time<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(PATIENCE, future)
        .await
        .expect("it must happen")
}

/// Sends bytes and returns all that comes back until the connection is closed.
async fn exchange(address: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    let mut answer = Vec::new();
    // A refused request may end in a reset after its answer.
    let _ = in_time(stream.read_to_end(&mut answer)).await;
    String::from_utf8(answer).unwrap()
}

async fn get(address: SocketAddr, path: &str) -> String {
    let request = format!("GET {path} HTTP/1.1\r\nHost: broker\r\nConnection: close\r\n\r\n");
    exchange(address, request.as_bytes()).await
}

fn check(answer: &str, status: &str, body: &str) {
    assert!(
        answer.starts_with(&format!("HTTP/1.1 {status} ")),
        "{answer}"
    );
    assert!(answer.contains(body), "{body} is missing in {answer}");
}

#[tokio::test]
async fn probes_and_metrics_are_served() {
    let (health, metrics) = (Health::new(), Metrics::new(10));
    let server = HttpServer::bind(&loopback(), health.clone(), metrics.clone()).unwrap();
    let address = server.local_addr();
    let shutdown = CancellationToken::new();
    let running = tokio::spawn(server.run(shutdown.clone()));

    check(&get(address, "/healthz").await, "200", "ok");
    check(
        &get(address, "/readyz").await,
        "503",
        "\"reason\":\"starting\"",
    );
    health.started();
    check(&get(address, "/readyz").await, "200", "ok");
    health.failed("log", "disk failed");
    let reason = "\"reasons\":[{\"component\":\"log\",\"reason\":\"disk failed\"}]";
    check(&get(address, "/readyz").await, "503", reason);
    check(&get(address, "/healthz").await, "200", "ok");

    metrics.net.opened.inc_by(3);
    let scraped = get(address, "/metrics").await;
    check(
        &scraped,
        "200",
        "\nfjord_network_connections_opened_total 3\n",
    );
    let content_type =
        "content-type: application/openmetrics-text; version=1.0.0; charset=utf-8\r\n";
    assert!(scraped.contains(content_type), "{scraped}");
    assert!(scraped.contains("\n# EOF\n"), "{scraped}");

    check(&get(address, "/nothing").await, "404", "/readyz");
    let huge = format!(
        "GET /healthz HTTP/1.1\r\nX-Pad: {}\r\n\r\n",
        "a".repeat(64 * 1024)
    );
    check(&exchange(address, huge.as_bytes()).await, "431", "");

    // A connection that is kept alive does not hold the stop up.
    let mut idle = TcpStream::connect(address).await.unwrap();
    idle.write_all(b"GET /healthz HTTP/1.1\r\nHost: broker\r\n\r\n")
        .await
        .unwrap();
    let mut first = [0; 12];
    in_time(idle.read_exact(&mut first)).await.unwrap();
    assert_eq!(&first, b"HTTP/1.1 200");
    shutdown.cancel();
    in_time(running).await.unwrap();
    assert!(TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn grpc_health_follows_readiness() {
    let health = Health::new();
    let server = GrpcServer::bind(&loopback(), 8, health.clone()).unwrap();
    let address = server.local_addr();
    let metrics = Metrics::new(1);
    let shutdown = CancellationToken::new();
    let running =
        tokio::spawn(server.run(Routes::default(), metrics.grpc.clone(), shutdown.clone()));

    let channel = Endpoint::from_shared(format!("http://{address}")).unwrap();
    let channel = in_time(channel.connect()).await.unwrap();
    let mut client = HealthClient::new(channel);
    let request = HealthCheckRequest {
        service: String::new(),
    };
    let mut statuses = in_time(client.watch(request.clone()))
        .await
        .unwrap()
        .into_inner();
    let mut next = async || in_time(statuses.message()).await.unwrap().unwrap().status();
    assert_eq!(next().await, ServingStatus::NotServing);
    health.started();
    assert_eq!(next().await, ServingStatus::Serving);
    health.stopping();
    assert_eq!(next().await, ServingStatus::NotServing);
    let unknown = HealthCheckRequest {
        service: "nobody".to_owned(),
    };
    let error = in_time(client.check(unknown)).await.unwrap_err();
    assert_eq!(error.code(), tonic::Code::NotFound);

    shutdown.cancel();
    drop((client, statuses));
    in_time(running).await.unwrap().unwrap();
}
