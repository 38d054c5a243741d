//! A Kafka listener with a small service behind it that does what the requests say, and clients
//! that are raw sockets.

#![allow(dead_code, reason = "no test uses all of it")]
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::{net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use fjord_broker::{
    config::{BrokerConfig, Layers, ListenAddress, ListenerConfig},
    net::{
        BrokerLimitOptions, BrokerLimits, CloseConnection, Reply, RequestContext, Server,
        ServerOptions, Service,
    },
    observability::metrics::{Metrics, ReasonLabel},
};
use fjord_wire::{Frame, Writer};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::{Notify, Semaphore, watch},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

/// How long a condition that must come is waited for before a test fails.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// What the first byte of a test request's padding asks of the service.
#[derive(Clone, Copy)]
pub enum Ask {
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

pub const LARGE_BYTES: usize = 1024 * 1024;

/// Echoes the correlation id (bytes 4 to 8 of a frame), as the frame's ninth byte asks.
#[derive(Clone)]
pub struct Scripted {
    pub gate: Arc<Semaphore>,
    pub first_stages: Arc<Notify>,
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
pub fn response(correlation: Bytes, padding: usize) -> Frame {
    let correlation = u32::from_be_bytes(correlation[..].try_into().unwrap());
    let mut writer = Writer::new();
    writer.u32(u32::try_from(4 + 4 + padding).unwrap());
    writer.u32(correlation);
    writer.bytes(&Bytes::from(vec![9; padding]), false).unwrap();
    writer.finish()
}

pub fn request(correlation: u32, ask: Ask, padding: usize) -> Vec<u8> {
    let length = u32::try_from(9 + padding).unwrap();
    let mut frame = length.to_be_bytes().to_vec();
    frame.extend_from_slice(&[0, 18, 0, 0]);
    frame.extend_from_slice(&correlation.to_be_bytes());
    frame.push(ask as u8);
    frame.resize(4 + 9 + padding, 7);
    frame
}

pub struct Running {
    pub address: SocketAddr,
    pub service: Scripted,
    pub metrics: Metrics,
    pub shutdown: CancellationToken,
    pub task: JoinHandle<()>,
    pub refresh: watch::Sender<u64>,
}

/// Every option of a listener.
pub struct Options {
    pub server: ServerOptions,
    pub broker: BrokerLimitOptions,
}

pub fn loopback() -> ListenAddress {
    ListenAddress {
        host: Some("127.0.0.1".to_owned()),
        port: 0,
    }
}

/// Starts a listener with the configs' defaults, but for what `adjust` changes.
pub fn start(adjust: impl FnOnce(&mut Options)) -> Running {
    let config = BrokerConfig::resolve(Layers::default()).unwrap().net;
    let listener = ListenerConfig {
        bind: loopback(),
        ..config.listeners[0].clone()
    };
    let mut options = Options {
        server: ServerOptions::new(&listener, &config),
        broker: BrokerLimitOptions::from(&config),
    };
    adjust(&mut options);
    let service = Scripted {
        gate: Arc::new(Semaphore::new(0)),
        first_stages: Arc::new(Notify::new()),
    };
    let metrics = Metrics::new(0);
    let limits = BrokerLimits::new(&options.broker, &metrics);
    let server = Server::bind(options.server, &limits, service.clone(), &metrics).unwrap();
    let shutdown = CancellationToken::new();
    let (refresh, refreshed) = watch::channel(0);
    Running {
        address: server.local_addr(),
        service,
        metrics,
        task: tokio::spawn(server.run(shutdown.clone(), refreshed)),
        shutdown,
        refresh,
    }
}

impl Running {
    pub async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    pub fn closed(&self, reason: &'static str) -> u64 {
        self.metrics
            .net
            .closed
            .get_or_create(&ReasonLabel { reason })
            .get()
    }

    /// Whether a new client is served.
    pub async fn assert_serves(&self) {
        let mut client = self.connect().await;
        client.write_all(&request(77, Ask::Echo, 0)).await.unwrap();
        assert_eq!(read_response(&mut client).await, Some((77, 0)));
    }

    pub async fn stop(self) {
        self.shutdown.cancel();
        in_time(self.task).await.unwrap();
    }
}

pub async fn in_time<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(PATIENCE, future)
        .await
        .expect("it must happen")
}

/// Waits until `condition` holds.
pub async fn until(what: &str, condition: impl Fn() -> bool) {
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
pub async fn read_response(client: &mut TcpStream) -> Option<(u32, usize)> {
    let length = in_time(client.read_u32()).await.ok()?;
    let correlation = in_time(client.read_u32()).await.ok()?;
    assert_eq!(in_time(client.read_u32()).await.ok()?, length - 8);
    let mut padding = vec![0; length as usize - 8];
    in_time(client.read_exact(&mut padding)).await.ok()?;
    assert!(padding.iter().all(|&byte| byte == 9));
    Some((correlation, padding.len()))
}

pub async fn assert_closed(client: &mut TcpStream) {
    assert_eq!(
        read_response(client).await,
        None,
        "the connection must be closed"
    );
}
