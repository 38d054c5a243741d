//! The connection to the cluster: one channel to one of several brokers, replaced when it breaks.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::time::timeout;
use tonic::{Request, Response, Status, transport::Channel};

use crate::{
    Result,
    connect::{connect_any, parse_addresses},
    error::Error,
    retry::Patience,
};

/// How a [`Client`] connects and calls.
#[derive(Debug, Clone)]
pub struct ClientOptions {
    /// How long connecting to one address may take. 10 seconds unless set.
    pub connect_timeout: Duration,
    /// How long a call that is not a stream may take. 30 seconds unless set.
    pub request_timeout: Duration,
    /// The largest message that is taken from a broker, in bytes. A batch comes whole, so this has to be more than the
    /// largest `max.message.bytes`. 256 MiB unless set.
    pub max_message_bytes: usize,
}

impl Default for ClientOptions {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(10),
            request_timeout: Duration::from_secs(30),
            max_message_bytes: 256 << 20,
        }
    }
}

/// A connection to a cluster. Clones share it.
#[derive(Debug, Clone)]
pub struct Client {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    addresses: Vec<String>,
    options: ClientOptions,
    current: Mutex<Connection>,
    /// Held while somebody connects again, so that others wait for that and do not connect too.
    reconnecting: tokio::sync::Mutex<()>,
    /// Whether a call was ever answered, so that it is known that a broker is there.
    answered: AtomicBool,
}

/// A channel, and which of the addresses it leads to.
#[derive(Debug, Clone)]
pub(crate) struct Connection {
    pub(crate) channel: Channel,
    /// The place of its address in the list.
    place: usize,
    /// Counts the connections of a client, so that a broken one is replaced once, whoever notices.
    generation: u64,
}

impl Client {
    /// Connects to the first of `addresses` (`host:port`, several separated by commas) that can be reached.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] for addresses that are none, [`Error::Connect`] if none can be reached.
    pub async fn connect(addresses: &str, options: ClientOptions) -> Result<Self> {
        Self::open(parse_addresses(addresses)?, options).await
    }

    /// Another connection with the same addresses and options. Streams of one connection share its bandwidth and its
    /// task; who wants to use more of a machine opens several.
    ///
    /// # Errors
    ///
    /// [`Error::Connect`] if no address can be reached.
    pub async fn separate(&self) -> Result<Self> {
        Self::open(self.shared.addresses.clone(), self.shared.options.clone()).await
    }

    async fn open(addresses: Vec<String>, options: ClientOptions) -> Result<Self> {
        let (channel, place) = connect_any(&addresses, 0, &options).await?;
        let current = Connection {
            channel,
            place,
            generation: 0,
        };
        Ok(Self {
            shared: Arc::new(Shared {
                addresses,
                options,
                current: Mutex::new(current),
                reconnecting: tokio::sync::Mutex::new(()),
                answered: AtomicBool::new(false),
            }),
        })
    }

    /// The address of the broker that is connected now, `host:port`.
    #[must_use]
    pub fn address(&self) -> String {
        let place = self.connection().place;
        self.shared.addresses[place].clone()
    }

    /// How this client connects and calls.
    #[must_use]
    pub fn options(&self) -> &ClientOptions {
        &self.shared.options
    }

    /// The channel, for calls that this crate has no method for.
    #[must_use]
    pub fn channel(&self) -> Channel {
        self.connection().channel
    }

    pub(crate) fn connection(&self) -> Connection {
        self.shared
            .current
            .lock()
            .expect("nobody panics with this lock")
            .clone()
    }

    /// Replaces `broken` by a connection to the next address that can be reached, unless that has happened already.
    pub(crate) async fn reconnect(&self, broken: &Connection) -> Result<()> {
        let shared = &self.shared;
        let _one_at_a_time = shared.reconnecting.lock().await;
        if self.connection().generation != broken.generation {
            return Ok(());
        }
        // The next one first: the broken one may be there again, but it may as well hang.
        let first = (broken.place + 1) % shared.addresses.len();
        let (channel, place) = connect_any(&shared.addresses, first, &shared.options).await?;
        *shared.current.lock().expect("nobody panics with this lock") = Connection {
            channel,
            place,
            generation: broken.generation + 1,
        };
        Ok(())
    }

    /// A request that ends when the time of requests is over.
    pub(crate) fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        request.set_timeout(self.shared.options.request_timeout);
        request
    }

    /// The error that a status of a call on `connection` is.
    pub(crate) fn error(&self, connection: &Connection, status: &Status) -> Error {
        Error::from_status(
            status,
            &self.shared.addresses[connection.place],
            self.shared.options.request_timeout,
        )
    }

    /// Opens a stream on `connection`; one that is not answered is given up after the time of a request.
    pub(crate) async fn open_stream<R>(
        &self,
        connection: &Connection,
        opening: impl Future<Output = Result<Response<R>, Status>>,
    ) -> Result<R> {
        let limit = self.shared.options.request_timeout;
        match timeout(limit, opening).await {
            Ok(Ok(response)) => Ok(response.into_inner()),
            Ok(Err(status)) => Err(self.error(connection, &status)),
            Err(_) => Err(Error::Timeout {
                address: self.address(),
                after: limit,
            }),
        }
    }

    /// Makes a call that changes nothing, and makes it again while the broker is not available or the connection
    /// breaks, for as long as one request may take.
    ///
    /// A connection that breaks before anything was ever answered is told at once: there is hardly a broker there.
    pub(crate) async fn read<Q, R, Answer>(
        &self,
        message: Q,
        call: impl Fn(Channel, Request<Q>) -> Answer,
    ) -> Result<R>
    where
        Q: Clone,
        Answer: Future<Output = Result<Response<R>, Status>>,
    {
        let limit = self.shared.options.request_timeout;
        let until = Instant::now() + limit;
        let mut patience = Patience::new(limit);
        let mut before: Option<Error> = None;
        loop {
            let connection = self.connection();
            let mut request = Request::new(message.clone());
            request.set_timeout(until.saturating_duration_since(Instant::now()));
            let answer = call(connection.channel.clone(), request).await;
            let error = match self.answered(&connection, answer).await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            match (&error, before.take()) {
                // Why there was so little time left says more.
                (Error::Timeout { .. }, Some(before)) => return Err(before),
                (error, _) if error.is_unavailable() && self.has_answered() => {}
                _ => return Err(error),
            }
            patience.wait(error.clone()).await?;
            before = Some(error);
        }
    }

    /// What a call came to, noting whether a broker has spoken.
    pub(crate) async fn answered<R>(
        &self,
        connection: &Connection,
        answer: Result<Response<R>, Status>,
    ) -> Result<R> {
        let outcome = match answer {
            Ok(response) => Ok(response.into_inner()),
            Err(status) => Err(self.failed(connection, &status).await),
        };
        if matches!(outcome, Ok(_) | Err(Error::Api(_))) {
            self.note_answer();
        }
        outcome
    }

    /// Notes that a broker has spoken.
    pub(crate) fn note_answer(&self) {
        self.shared.answered.store(true, Ordering::Relaxed);
    }

    /// Whether a broker was ever there.
    pub(crate) fn has_answered(&self) -> bool {
        self.shared.answered.load(Ordering::Relaxed)
    }

    /// The error of a call; if the connection broke, the next call goes to the next broker.
    pub(crate) async fn failed(&self, connection: &Connection, status: &Status) -> Error {
        let error = self.error(connection, status);
        if self.shared.addresses.len() > 1 && matches!(error, Error::Disconnected { .. }) {
            // What the next broker says is told to the next call.
            let _ = self.reconnect(connection).await;
        }
        error
    }
}
