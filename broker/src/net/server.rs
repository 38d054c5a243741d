//! The listener: binds, accepts within the limits, and ends its connections in order.

use std::{
    io,
    net::SocketAddr,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use socket2::SockRef;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
    time::{sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{debug, info, warn};

use super::{
    admission::{Admission, Admitted, Refusal},
    bind::{BindError, bind_tcp},
    close::CloseReason,
    connection::{self, Shared},
    limits::{BrokerLimits, ServerOptions},
    policy::{self, LogBudget},
    service::{ConnectionContext, Service},
};
use crate::{
    observability::metrics::{Metrics, ReasonLabel},
    security::Principal,
};

/// Warnings about single connections that a listener writes per second; what is beyond it is
/// counted in the next one.
const WARNINGS_PER_SECOND: u32 = 20;

/// How long connections have to notice that the deadline of a shutdown has passed. Only a handler
/// that blocks its thread can take longer.
const ABORT_TIMEOUT: Duration = Duration::from_secs(2);

/// How long requests may take whose connection ends so that its client looks for other brokers.
const REFRESH_TIMEOUT: Duration = Duration::from_secs(1);

/// Connection ids are unique in the process, whichever listener they belong to.
static NEXT_CONNECTION_ID: AtomicU64 = AtomicU64::new(1);

/// A bound listener that serves nobody yet.
///
/// Clients may connect from [`Server::bind`] on; they are served once [`Server::run`] is polled.
pub struct Server<S> {
    listener: TcpListener,
    local_addr: SocketAddr,
    name: Arc<str>,
    shutdown_timeout: Duration,
    admission: Arc<Admission>,
    shared: Arc<Shared<S>>,
    warnings: Arc<Warnings>,
}

impl<S: Service> Server<S> {
    /// Binds and listens. Must be called within a tokio runtime.
    ///
    /// # Errors
    ///
    /// [`BindError`] with the address, if it cannot be resolved or bound.
    pub fn bind(
        options: ServerOptions,
        limits: &BrokerLimits,
        service: S,
        metrics: &Metrics,
    ) -> Result<Self, BindError> {
        let listener = bind_tcp(&options.address, options.backlog, |socket| {
            // Accepted sockets inherit the buffer sizes; they must be known before the handshake.
            if let Some(size_bytes) = options.send_buffer_bytes {
                socket.set_send_buffer_size(size_bytes)?;
            }
            if let Some(size_bytes) = options.receive_buffer_bytes {
                socket.set_recv_buffer_size(size_bytes)?;
            }
            Ok(())
        })?;
        let shared = Shared {
            service,
            limits: options.connection,
            requests: limits.requests.clone(),
            responses: Arc::clone(&limits.responses),
            buffers: limits.buffers.clone(),
            metrics: metrics.net.clone(),
        };
        Ok(Self {
            local_addr: listener.local_addr,
            listener: listener.listener,
            name: options.listener.into(),
            shutdown_timeout: options.shutdown_timeout,
            admission: Arc::clone(&limits.admission),
            shared: Arc::new(shared),
            warnings: Arc::new(Warnings::new()),
        })
    }

    /// The address that is listened on, with the port that the system chose for port 0.
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// Serves until `shutdown` is cancelled. Whenever `refresh` changes, the connections that there are end in order, with
    /// everything answered that can be soon, so that clients look anew at what there is. When `shutdown` is cancelled, it accepts and reads no more, waits until what
    /// is in flight is answered, at most for the shutdown timeout, and closes all connections.
    ///
    /// Requests that are parked for long (a fetch, a join) count as in flight: whoever parks them
    /// should answer them when the broker stops.
    pub async fn run(self, shutdown: CancellationToken, mut refresh: watch::Receiver<u64>) {
        let connections = TaskTracker::new();
        let (stop, abort) = (CancellationToken::new(), CancellationToken::new());
        loop {
            let (those_stop, those_abort) = (stop.child_token(), abort.child_token());
            tokio::select! {
                () = shutdown.cancelled() => break,
                () = self.accept_forever(&connections, &those_stop, &those_abort) => {}
                Ok(()) = refresh.changed() => {
                    those_stop.cancel();
                    connections.spawn(async move {
                        sleep(REFRESH_TIMEOUT).await;
                        those_abort.cancel();
                    });
                }
            }
        }
        info!(listener = %self.name, connections = connections.len(), "listener stops");
        let Self {
            listener,
            shutdown_timeout,
            name,
            ..
        } = self;
        drop(listener);
        stop.cancel();
        connections.close();
        if timeout(shutdown_timeout, connections.wait()).await.is_err() {
            let left = connections.len();
            warn!(listener = %name, connections = left, "shutdown deadline passed, closing");
            abort.cancel();
            if timeout(ABORT_TIMEOUT, connections.wait()).await.is_err() {
                let left = connections.len();
                warn!(listener = %name, connections = left, "connections held by busy handlers");
            }
        }
        info!(listener = %name, "listener stopped");
    }

    async fn accept_forever(
        &self,
        connections: &TaskTracker,
        stop: &CancellationToken,
        abort: &CancellationToken,
    ) {
        let mut failures = 0;
        loop {
            match self.listener.accept().await {
                Ok((stream, peer)) => {
                    failures = 0;
                    match self.admission.admit(peer.ip()) {
                        Ok(admitted) => {
                            let connection = self.connection(stream, peer, admitted);
                            connections.spawn(connection.run(stop.child_token(), abort.clone()));
                        }
                        Err(refusal) => self.refuse(peer, refusal),
                    }
                }
                Err(error) if is_about_one_connection(&error) => {}
                Err(error) => {
                    let pause = policy::accept_backoff(failures);
                    failures += 1;
                    self.shared.metrics.accept_errors.inc();
                    if let Some(suppressed) = self.warnings.ask() {
                        warn!(listener = %self.name, %error, ?pause, suppressed, "accept failed");
                    }
                    sleep(pause).await;
                }
            }
        }
    }

    fn refuse(&self, peer: SocketAddr, refusal: Refusal) {
        let reason = refusal.label();
        self.shared
            .metrics
            .refused
            .get_or_create(&ReasonLabel { reason })
            .inc();
        if let Some(suppressed) = self.warnings.ask() {
            warn!(listener = %self.name, %peer, reason, suppressed, "connection refused");
        }
    }

    fn connection(
        &self,
        stream: TcpStream,
        peer: SocketAddr,
        admitted: Admitted,
    ) -> AcceptedConnection<S> {
        let context = ConnectionContext::new(
            NEXT_CONNECTION_ID.fetch_add(1, Ordering::Relaxed),
            peer,
            stream.local_addr().unwrap_or(self.local_addr),
            Arc::clone(&self.name),
            Principal::anonymous(),
        );
        AcceptedConnection {
            stream,
            context: Arc::new(context),
            shared: Arc::clone(&self.shared),
            warnings: Arc::clone(&self.warnings),
            admitted,
        }
    }
}

/// Whether an error of `accept` is one of the connection that it would have returned, so that the
/// next one can be accepted at once.
fn is_about_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(
        error.kind(),
        ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted
    )
}

/// Bounds the rate of warnings about single connections.
struct Warnings {
    started: Instant,
    budget: Mutex<LogBudget>,
}

impl Warnings {
    fn new() -> Self {
        let budget = LogBudget::new(WARNINGS_PER_SECOND, Duration::from_secs(1));
        Self {
            started: Instant::now(),
            budget: Mutex::new(budget),
        }
    }

    /// Whether a warning may be written, and how many were not since the last one.
    fn ask(&self) -> Option<u64> {
        let now = self.started.elapsed();
        self.budget
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .ask(now)
    }
}

struct AcceptedConnection<S> {
    stream: TcpStream,
    context: Arc<ConnectionContext>,
    shared: Arc<Shared<S>>,
    warnings: Arc<Warnings>,
    admitted: Admitted,
}

impl<S: Service> AcceptedConnection<S> {
    /// Serves the connection to its end, whatever that is, and accounts for it.
    async fn run(self, stop: CancellationToken, abort: CancellationToken) {
        let Self {
            stream,
            context,
            shared,
            warnings,
            admitted,
        } = self;
        shared.metrics.opened.inc();
        shared.metrics.open.inc();
        debug!(connection = context.id, peer = %context.peer, "connection opened");
        let configured = configure(&stream);
        let reason = match configured {
            Ok(()) => {
                let served = connection::serve(stream, &shared, Arc::clone(&context), stop);
                tokio::select! {
                    reason = catch_panic(served) => reason,
                    () = abort.cancelled() => CloseReason::ShutdownDeadline,
                }
            }
            Err(error) => CloseReason::PeerReset(error),
        };
        let label = ReasonLabel {
            reason: reason.label(),
        };
        shared.metrics.closed.get_or_create(&label).inc();
        shared.metrics.open.dec();
        drop(admitted);
        report(&context, &reason, &warnings);
    }
}

fn configure(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    // Finds peers that vanished without a word, as Kafka does.
    SockRef::from(stream).set_keepalive(true)
}

fn report(context: &ConnectionContext, reason: &CloseReason, warnings: &Warnings) {
    let (connection, peer) = (context.id, context.peer);
    if let CloseReason::HandlerPanic(_) = reason {
        tracing::error!(connection, %peer, %reason, "connection closed");
    } else if reason.is_ordinary() {
        debug!(connection, %peer, %reason, "connection closed");
    } else if let Some(suppressed) = warnings.ask() {
        let client = context.client_information().software_name;
        warn!(connection, %peer, client, %reason, suppressed, "connection closed");
    }
}

/// Awaits a connection; a panic of a handler becomes the reason of its end.
async fn catch_panic(connection: impl Future<Output = CloseReason>) -> CloseReason {
    let mut connection = pin!(connection);
    // After a panic the future is never polled again, so that nothing sees its broken state.
    std::future::poll_fn(|context| {
        let polled = catch_unwind(AssertUnwindSafe(|| connection.as_mut().poll(context)));
        polled.unwrap_or_else(|panic| {
            let message = panic
                .downcast_ref::<&str>()
                .map(|message| (*message).to_owned())
                .or_else(|| panic.downcast_ref::<String>().cloned())
                .unwrap_or_default();
            std::task::Poll::Ready(CloseReason::HandlerPanic(message))
        })
    })
    .await
}
