//! The broker as a whole: parts are started in order and stopped in reverse.
//!
//! ```text
//! HTTP (health) ─► log (recovery) ─► metadata (replay) ─► groups ─► housekeeping ─► Kafka, gRPC ─► ready
//!                      of several: [cluster: registered, metadata up to there] ─► observers ─► unfenced
//! ```
//!
//! A broker of several stops in reverse, but for its cluster: it hands over what it leads before anything stops, and
//! leaves the quorum when its log is closed.

use std::{collections::BTreeSet, io, net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use fjord_log::{Log, LogOptions, OpenError};
use fjord_proto::peer::v1::replication_service_server::ReplicationServiceServer;
use tokio::{
    sync::{Semaphore, mpsc},
    time::timeout,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tonic::service::RoutesBuilder;
use tracing::{error, info, warn};
use uuid::Uuid;

use crate::{
    api::{
        Api,
        fetch::{ahead::ReadAhead, session::FetchSessions},
    },
    broker::{Broker, LiveConfig, election_defaults},
    cluster_view::{ClusterView, OnlyBroker},
    config::{BrokerConfig, Durability, ListenerConfig, LogConfig},
    controller::{self, Cluster, StartError},
    coordinator::{
        groups::{GroupConfig, Groups},
        observer::GroupsObserver,
    },
    forward::{self, Peers},
    grpc::{Backend, GrpcServer, services},
    lost_brokers::LostBrokers,
    metadata::{
        Delta, ExecuteError, Image, ImageObserver, MetadataStore,
        commands::{Conditions, EnsureClusterId, RegisterBroker, RegisterOnlyBroker},
        new_cluster_id,
        records::Endpoint,
        store::{ReplayError, replay},
    },
    net::{BindError, BrokerLimitOptions, BrokerLimits, Server, ServerOptions},
    observability::{
        cluster_figures::ClusterFigures, health::Health, http::HttpServer, log_figures::LogFigures,
        metrics::Metrics,
    },
    partition::{
        MetadataOpenError, MetadataPartition, Partitions, cleaner::Cleaner,
        housekeeping::Housekeeping, records::OffsetsTopic,
    },
    producer_ids::ProducerIds,
    replication::{self, InSyncTask, follower::Followers, peers::PeerChannels},
    security::{Authorizer, Quotas},
};

/// Why a broker did not start, or ended.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// The log could not be opened.
    #[error("cannot open the log: {0}")]
    Log(#[from] OpenError),
    /// The metadata is damaged, or cannot be read.
    #[error("cannot read the metadata: {0}")]
    ReadMetadata(#[from] MetadataOpenError),
    /// The metadata makes no sense.
    #[error("cannot use the metadata: {0}")]
    Replay(#[from] ReplayError),
    /// The metadata could not be changed.
    #[error("cannot register in the metadata: {0}")]
    Register(#[from] ExecuteError),
    /// The data directory is that of another broker.
    #[error(
        "the data directory {} belongs to broker {owner}, and node.id is {node_id}; \
         set node.id={owner}, or give this broker another directory by --data-dir or log.dirs",
        directory.display()
    )]
    OtherBroker {
        /// The data directory.
        directory: PathBuf,
        /// The broker that wrote it.
        owner: i32,
        /// `node.id` of this one.
        node_id: i32,
    },
    /// The data directory is that of a broker of several.
    #[error(
        "the data directory {} belongs to a broker of several; set controller.quorum.voters or \
         controller.quorum.bootstrap.servers, or give this broker another directory by --data-dir or log.dirs",
        .0.display()
    )]
    OfSeveral(PathBuf),
    /// The broker did not become one of its cluster.
    #[error(transparent)]
    Cluster(#[from] StartError),
    /// The broker cannot go on as one of its cluster.
    #[error("the broker cannot go on in its cluster: {0}")]
    LeftCluster(String),
    /// A listener could not be bound.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The gRPC services cannot be described to clients.
    #[error("gRPC reflection cannot be offered: {0}")]
    Reflection(#[from] tonic_reflection::server::Error),
    /// The system started no thread.
    #[error("cannot start a thread: {0}")]
    Thread(#[from] io::Error),
    /// The log takes no more appends. The process must end; the next start recovers.
    #[error("the log has failed: {0}")]
    LogFailed(String),
    /// A task that opens the log or reads metadata panicked.
    #[error("starting ended: {0}")]
    Start(#[from] tokio::task::JoinError),
}

/// Where a running broker listens.
#[derive(Debug, Clone, Default)]
pub struct Addresses {
    /// Kafka, in the order of `listeners`.
    pub kafka: Vec<SocketAddr>,
    /// gRPC, if it is on.
    pub grpc: Option<SocketAddr>,
    /// HTTP, if it is on.
    pub http: Option<SocketAddr>,
}

/// Runs a broker until `shutdown` is cancelled or the log fails. `ready` is called once clients are served.
///
/// # Errors
///
/// [`ServerError`]; whatever was started has been stopped.
pub async fn run(
    config: BrokerConfig,
    shutdown: CancellationToken,
    ready: impl FnOnce(&Addresses),
) -> Result<(), ServerError> {
    let health = Health::new();
    let metrics = Metrics::new(config.observability.metrics_topics_max);
    let background = TaskTracker::new();
    let background_stop = CancellationToken::new();
    let mut addresses = Addresses::default();
    if let Some(address) = &config.observability.http_listen {
        let http = HttpServer::bind(address, health.clone(), metrics.clone())?;
        addresses.http = Some(http.local_addr());
        background.spawn(http.run(background_stop.clone()));
    }
    let outcome = match Parts::start(config, &health, &metrics, &shutdown).await {
        Ok(parts) => {
            parts
                .serve(&health, &metrics, addresses, shutdown, ready)
                .await
        }
        Err(ServerError::Cluster(StartError::Stopped)) => {
            info!("stopped before the broker had started");
            Ok(())
        }
        Err(error) => Err(error),
    };
    background_stop.cancel();
    background.close();
    background.wait().await;
    outcome
}

/// What is up before anybody is served.
struct Parts {
    broker: Arc<Broker>,
    log: Arc<Log>,
    housekeeping: Housekeeping,
    cleaner: Cleaner,
    /// The cluster, if the broker is one of several.
    cluster: Option<Cluster>,
    followers: Arc<Followers>,
    /// The way to other brokers for calls that belong there.
    peers: Peers,
    replication_stop: CancellationToken,
    log_failed: mpsc::Receiver<String>,
}

impl Parts {
    async fn start(
        config: BrokerConfig,
        health: &Health,
        metrics: &Metrics,
        shutdown: &CancellationToken,
    ) -> Result<Self, ServerError> {
        let options = log_options(&config.log);
        let log = tokio::task::spawn_blocking(move || Log::open(options).map(Arc::new)).await??;
        tell_recovery(&log);
        metrics.add_source(Arc::new(LogFigures::new(Arc::clone(&log))));

        let live_config = LiveConfig::new(config);
        let partitions = Partitions::new(Arc::clone(&log), live_config.clone());
        let config = live_config.get();
        let offsets = OffsetsTopic::new(Arc::clone(&partitions), &config.groups);
        let groups = Groups::new(GroupConfig::from(&config.groups), Arc::new(offsets));
        let replication_stop = CancellationToken::new();
        let peers = Arc::new(PeerChannels::default());
        let followers = Followers::new(
            config.node.node_id,
            Arc::clone(&partitions),
            Arc::clone(&peers),
            replication_stop.clone(),
        );
        let lost = Arc::new(LostBrokers::default());
        // Connections of their own: neither waits behind the other.
        let forward_channels = Arc::new(PeerChannels::default());
        let observers: Vec<Box<dyn ImageObserver>> = vec![
            Box::new(live_config.clone()),
            Box::new(Arc::clone(&partitions)),
            Box::new(peers),
            Box::new(Arc::clone(&forward_channels)),
            Box::new(Arc::clone(&followers)),
            Box::new(GroupsObserver::new(groups.clone(), config.node.node_id)),
            Box::new(ForgetTopics(metrics.clone())),
            Box::new(Arc::clone(&lost)),
        ];
        let opened = open_metadata(&live_config, &log, observers, shutdown).await;
        let (metadata, cluster) = match opened {
            Ok(opened) => opened,
            Err(error) => {
                if config.cluster.is_some() {
                    // Nothing was written, or all of it: the next start need not look.
                    tokio::task::spawn_blocking(move || log.close()).await?;
                }
                return Err(error);
            }
        };
        partitions.delete_unclaimed();
        let figures = ClusterFigures::new(metadata.clone(), live_config.clone());
        metrics.add_source(Arc::new(figures));
        match &cluster {
            Some(cluster) => {
                metrics.add_source(cluster.figures());
                cluster.report_to(health.clone());
            }
            None => register(&metadata, &config).await?,
        }

        let (failed, log_failed) = mpsc::channel(1);
        let housekeeping = Housekeeping::start(
            Arc::clone(&partitions),
            live_config.clone(),
            health.clone(),
            move |reason| {
                // Told once; a broker that is stopping already does not listen.
                let _ = failed.try_send(reason);
            },
        )?;
        let cleaner = Cleaner::start(Arc::clone(&log), live_config.clone())?;
        let view: Box<dyn ClusterView> = match &cluster {
            Some(cluster) => Box::new(cluster.view()),
            None => Box::new(
                OnlyBroker::new(config.node.node_id, &partitions)
                    .map_err(MetadataOpenError::from)?,
            ),
        };
        let broker = Broker {
            live_config,
            metadata,
            cluster: view,
            lost,
            authorizer: Authorizer::allow_all(),
            quotas: Quotas::unlimited(),
            metrics: metrics.clone(),
            partitions,
            fetch_sessions: FetchSessions::new(config.api.fetch_session_slots),
            read_ahead: ReadAhead::default(),
            producer_ids: ProducerIds::default(),
            groups,
            stopping: CancellationToken::new(),
            sessions: TaskTracker::new(),
            limits: BrokerLimits::new(&BrokerLimitOptions::from(&config.net), metrics),
            io_permits: Arc::new(Semaphore::new(config.net.io_threads)),
        };
        let parts = Self {
            broker: Arc::new(broker),
            log,
            housekeeping,
            cleaner,
            cluster,
            followers,
            peers: Peers::new(forward_channels),
            replication_stop,
            log_failed,
        };
        if let Some(cluster) = &parts.cluster {
            parts.replicate(cluster);
        }
        if let Some(cluster) = &parts.cluster
            && let Err(error) = cluster.take_part(shutdown).await
        {
            parts.stop(true).await?;
            return Err(error.into());
        }
        Ok(parts)
    }

    /// Serves followers and other brokers' clients, and asks for other in-sync replicas. Followers of this broker have begun with the metadata.
    fn replicate(&self, cluster: &Cluster) {
        let mut services = RoutesBuilder::default();
        services.add_service(ReplicationServiceServer::new(
            replication::leader::Service::new(Arc::clone(&self.broker)),
        ));
        services.add_service(forward::Service::new(Arc::clone(&self.broker)).into_server());
        cluster.late_routes().add(services);
        let in_sync = InSyncTask::new(Arc::clone(&self.broker));
        self.followers
            .spawn(in_sync.run(self.replication_stop.clone()));
    }

    /// Ends what [`Parts::start`] has started. `is_in_order`: nothing has failed.
    async fn stop(self, is_in_order: bool) -> Result<(), ServerError> {
        self.replication_stop.cancel();
        self.followers.ended().await;
        let (log, housekeeping, cleaner) = (self.log, self.housekeeping, self.cleaner);
        tokio::task::spawn_blocking(move || {
            cleaner.stop();
            housekeeping.stop();
            log.close();
        })
        .await?;
        if let Some(cluster) = self.cluster {
            cluster.finish(is_in_order).await;
        }
        Ok(())
    }

    async fn serve(
        mut self,
        health: &Health,
        metrics: &Metrics,
        mut addresses: Addresses,
        shutdown: CancellationToken,
        ready: impl FnOnce(&Addresses),
    ) -> Result<(), ServerError> {
        let tasks = TaskTracker::new();
        let listeners_stop = CancellationToken::new();
        let outcome = match self.listen(health, metrics, &mut addresses, &tasks, &listeners_stop) {
            Ok(()) => {
                health.started();
                ready(&addresses);
                tokio::select! {
                    () = shutdown.cancelled() => Ok(()),
                    Some(reason) = self.log_failed.recv() => Err(ServerError::LogFailed(reason)),
                    reason = failed_in_cluster(self.cluster.as_ref()) => {
                        Err(ServerError::LeftCluster(reason))
                    }
                }
            }
            Err(error) => Err(error),
        };
        health.stopping();
        info!("stopping");
        if let (Some(cluster), Ok(())) = (&self.cluster, &outcome) {
            cluster.hand_over().await;
        }
        self.broker.stopping.cancel();
        self.broker.sessions.close();
        if timeout(LEAVE_TIMEOUT, self.broker.sessions.wait())
            .await
            .is_err()
        {
            warn!("members of groups could not leave in time");
        }
        self.broker.groups.close();
        listeners_stop.cancel();
        tasks.close();
        tasks.wait().await;
        self.stop(outcome.is_ok()).await?;
        info!("stopped");
        outcome
    }

    /// Binds all listeners and starts to serve them.
    fn listen(
        &self,
        health: &Health,
        metrics: &Metrics,
        addresses: &mut Addresses,
        tasks: &TaskTracker,
        stop: &CancellationToken,
    ) -> Result<(), ServerError> {
        let config = self.broker.config();
        let limits = self.broker.limits.clone();
        for listener in &config.net.listeners {
            let options = ServerOptions::new(listener, &config.net);
            let service = Api::new(Arc::clone(&self.broker));
            let server = Server::bind(options, &limits, service, metrics)?;
            addresses.kafka.push(server.local_addr());
            tasks.spawn(server.run(stop.clone(), self.broker.lost.silences()));
        }
        if let Some(address) = &config.grpc.listen {
            let grpc = GrpcServer::bind(address, config.grpc.max_streams, health.clone())?;
            addresses.grpc = Some(grpc.local_addr());
            let stop = stop.clone();
            let kafka_port = addresses.kafka.first().map_or(0, SocketAddr::port);
            let peers = self.cluster.as_ref().map(|_| self.peers.clone());
            let backend = Backend::new(Arc::clone(&self.broker), kafka_port, peers);
            let services = services(&backend)?;
            let metrics = metrics.grpc.clone();
            tasks.spawn(async move {
                if let Err(failed) = grpc.run(services, metrics, stop).await {
                    error!(%failed, "the gRPC listener ended");
                }
            });
        }
        let groups = self.broker.groups.clone();
        let stop_groups = stop.clone();
        tasks.spawn(async move { groups.run(stop_groups).await });
        tasks.spawn(follow_connection_limits(
            self.broker.live_config.clone(),
            limits,
            stop.clone(),
        ));
        Ok(())
    }
}

/// Ready when a broker of several cannot go on, with the reason.
async fn failed_in_cluster(cluster: Option<&Cluster>) -> String {
    match cluster {
        Some(cluster) => cluster.failed().await,
        None => std::future::pending().await,
    }
}

/// The metadata, which the observers have been shown: of the only broker of a cluster from its own log, of one of
/// several from the quorum, with the broker registered.
async fn open_metadata(
    live_config: &LiveConfig,
    log: &Arc<Log>,
    observers: Vec<Box<dyn ImageObserver>>,
    shutdown: &CancellationToken,
) -> Result<(MetadataStore, Option<Cluster>), ServerError> {
    let config = live_config.get();
    if let Some(cluster) = &config.cluster {
        let cluster = Cluster::start(live_config, cluster, log, shutdown).await?;
        let metadata = cluster.metadata(observers).await;
        return Ok((metadata, Some(cluster)));
    }
    if controller::is_of_several(&config.log.data_dir) {
        return Err(ServerError::OfSeveral(config.log.data_dir.clone()));
    }
    let opening = Arc::clone(log);
    let opened = tokio::task::spawn_blocking(move || MetadataPartition::open(&opening));
    let (partition, records) = opened.await??;
    let image = replay(records)?;
    let metadata = MetadataStore::open(image, partition, observers, conditions(&config));
    Ok((metadata, None))
}

/// Takes changes of `max.connections` and `max.connections.per.ip` into force.
async fn follow_connection_limits(live: LiveConfig, limits: BrokerLimits, stop: CancellationToken) {
    let mut changes = live.subscribe();
    loop {
        let net = &changes.borrow_and_update().net.clone();
        limits.set_max_connections(net.max_connections, net.max_connections_per_ip);
        tokio::select! {
            () = stop.cancelled() => return,
            changed = changes.changed() => if changed.is_err() { return },
        }
    }
}

fn log_options(config: &LogConfig) -> LogOptions {
    LogOptions {
        durability: match config.durability {
            Durability::Fsync => fjord_log::Durability::Fsync,
            Durability::Os => fjord_log::Durability::Os,
        },
        file_bytes: config.file_bytes,
        group_bytes: config.group_bytes,
        recent_bytes: config.cache_bytes,
        page_cache_bytes: config.page_cache_bytes,
        index_cache_bytes: config.index_cache_bytes as u64,
        reserve_bytes: config.disk_reserve_bytes,
        ..LogOptions::new(PathBuf::from(&config.data_dir))
    }
}

fn tell_recovery(log: &Log) {
    let report = log.recovery();
    let elapsed_ms = report.elapsed.as_millis();
    let (clean, replayed) = (report.clean, report.replayed_entries);
    info!(clean, replayed, elapsed_ms, "log opened");
    if !report.damaged.is_empty() {
        warn!(
            places = report.damaged.len(),
            "the value log is damaged; records that are affected are refused by offset when they are read"
        );
    }
}

/// What commands are decided by besides the metadata, on the only broker of a cluster.
fn conditions(config: &BrokerConfig) -> Conditions {
    Conditions {
        election: election_defaults(config),
        live_brokers: BTreeSet::from([config.node.node_id]),
    }
}

/// Gives a new cluster its id, and makes this broker known.
async fn register(metadata: &MetadataStore, config: &BrokerConfig) -> Result<(), ServerError> {
    check_owner(&metadata.image(), config)?;
    let new_id = new_cluster_id();
    let cluster_id = metadata.submit(EnsureClusterId { new_id }).await?;
    let endpoint = |listener: &ListenerConfig| Endpoint {
        listener: listener.name.clone(),
        host: listener.bind.host.clone().unwrap_or_default(),
        port: listener.bind.port,
    };
    let broker = RegisterBroker {
        broker_id: config.node.node_id,
        incarnation_id: Uuid::new_v4(),
        rack: config.node.rack.clone(),
        endpoints: config.net.listeners.iter().map(endpoint).collect(),
    };
    let epoch = metadata.submit(RegisterOnlyBroker { broker }).await?;
    info!(
        cluster_id,
        broker_id = config.node.node_id,
        epoch,
        "registered"
    );
    Ok(())
}

/// Refuses the data directory of another broker: its partitions are led by that one, not by this.
fn check_owner(image: &Image, config: &BrokerConfig) -> Result<(), ServerError> {
    let node_id = config.node.node_id;
    match image.brokers().find(|broker| broker.broker_id != node_id) {
        Some(owner) => Err(ServerError::OtherBroker {
            directory: config.log.data_dir.clone(),
            owner: owner.broker_id,
            node_id,
        }),
        None => Ok(()),
    }
}

/// Takes the series of deleted topics out of the metrics.
struct ForgetTopics(Metrics);

impl ImageObserver for ForgetTopics {
    fn before_publish(&self, _old: &Image, _new: &Image, delta: &Delta) {
        for topic in &delta.topics_deleted {
            self.0.topics.forget(&topic.name);
        }
    }
}

/// How long a stop waits for members of groups to leave.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(2);

/// How long the runtime waits for threads that are still busy when everything has stopped.
pub const RUNTIME_SHUTDOWN: Duration = Duration::from_secs(5);
