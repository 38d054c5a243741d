//! The start of a broker of several, up to its registration. What it needs of its cluster it waits for, as long as it
//! takes; what cannot be it refuses by name.

use std::sync::Arc;

use fjord_log::Log;
use fjord_quorum::{Options, Quorum, QuorumConfig, store::FjallStore, transport};
use tokio::sync::mpsc;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tonic::service::RoutesBuilder;
use tracing::info;

use super::{
    Cluster,
    channels::Channels,
    client::Controller,
    cluster::Node,
    committed::{Committed, Machine},
    directory,
    error::StartError,
    join::{found_or_join, node},
    leader::{LOOK, Leader, QUEUE, SharedSessions, Submission},
    peer_server::PeerServer,
    publisher::Published,
    registration::Identity,
    service::Service,
    sessions::{Limits, Sessions},
};
use crate::{
    broker::LiveConfig,
    config::{BrokerConfig, ClusterConfig, PeerAddress},
    partition::METADATA_PARTITION,
};

impl Cluster {
    /// Starts the broker's part in its cluster. Returns when it is registered and has the metadata up to there.
    ///
    /// # Errors
    /// [`StartError`]; nothing is left running.
    pub async fn start(
        live_config: &LiveConfig,
        cluster: &ClusterConfig,
        log: &Log,
        stop: &CancellationToken,
    ) -> Result<Cluster, StartError> {
        let config = live_config.get();
        if log.unclaimed().contains(&METADATA_PARTITION) {
            return Err(StartError::SingleBroker(config.log.data_dir.clone()));
        }
        let peer_server = PeerServer::bind(&cluster.peer_listen)?;
        let advertised = cluster.peer_advertised.clone();
        let advertised = advertised.unwrap_or_else(|| PeerAddress {
            host: peer_server.local_addr().ip().to_string(),
            port: peer_server.local_addr().port(),
        });
        let data = config.log.data_dir.clone();
        let files = tokio::task::spawn_blocking(move || {
            let id = directory::id(&data)?;
            let store = FjallStore::open(&directory::quorum_directory(&data))?;
            Ok::<_, StartError>((id, store))
        });
        let (directory_id, store) = files.await??;
        let identity = Identity::new(&config, directory_id, &advertised);
        let (node, queue) = start_node(live_config, cluster, peer_server, store).await?;

        let published = Published::new();
        let cluster_id = node.quorum.cluster_id().unwrap_or_default();
        let controller = Controller::new(
            node.quorum.clone(),
            cluster_id,
            queue,
            node.channels.clone(),
            node.committed.applied(),
            published.clone(),
        );
        let tasks = (node.tasks.clone(), node.stop.clone(), node.quorum.clone());
        let mut failure = node.committed.failure();
        let own_address = advertised.to_string();
        let started = async {
            found_or_join(&node.quorum, cluster, &own_address, &node.channels).await?;
            Cluster::register(node, &config, cluster, identity, controller, published).await
        };
        let outcome = tokio::select! {
            outcome = started => outcome,
            failed = failure.wait_for(Option::is_some) => {
                let reason = failed.ok().and_then(|reason| reason.clone());
                Err(StartError::Ended(reason.unwrap_or_default()))
            }
            () = stop.cancelled() => Err(StartError::Stopped),
        };
        if outcome.is_err() {
            let (tasks, stop, quorum) = tasks;
            stop.cancel();
            quorum.shutdown().await;
            tasks.close();
            tasks.wait().await;
        }
        outcome
    }
}

/// Starts the quorum's node, the task that decides when it leads, and the listener for peers.
async fn start_node(
    live_config: &LiveConfig,
    cluster: &ClusterConfig,
    peer_server: PeerServer,
    store: FjallStore,
) -> Result<(Node, mpsc::Sender<Submission>), StartError> {
    let config: Arc<BrokerConfig> = live_config.get();
    let committed = Committed::new();
    let quorum = Quorum::start(Options {
        node_id: node(config.node.node_id),
        cluster_id: cluster.cluster_id.clone(),
        config: QuorumConfig::default(),
        store: Arc::new(store),
        transport: Arc::new(transport::GrpcTransport::default()),
        machine: Box::new(Machine(Arc::clone(&committed))),
        seed: rand::random(),
    })
    .await?;
    let Some(cluster_id) = quorum.cluster_id() else {
        quorum.shutdown().await;
        return Err(StartError::NoClusterId(config.log.data_dir.clone()));
    };
    let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
    let sessions = SharedSessions::new(Sessions::new(limits(cluster)));
    let (queue, submissions) = mpsc::channel(QUEUE);
    let leader = Leader {
        quorum: quorum.clone(),
        committed: Arc::clone(&committed),
        sessions: Arc::clone(&sessions),
        live_config: live_config.clone(),
        rebalance: cluster.leader_rebalance,
        queue: submissions,
    };
    tasks.spawn(leader.run(stop.clone()));
    let service = Service {
        quorum: quorum.clone(),
        cluster_id,
        committed: Arc::clone(&committed),
        sessions: Arc::clone(&sessions),
        queue: queue.clone(),
        stop: stop.clone(),
    };
    let mut services = RoutesBuilder::default();
    services
        .add_service(transport::service(quorum.handler()))
        .add_service(service.into_server());
    let (late, local) = (peer_server.late_routes(), peer_server.local_addr());
    info!(address = %local, "listening for other brokers");
    tasks.spawn(peer_server.run(services, stop.clone()));
    let node = Node {
        quorum,
        committed,
        sessions,
        channels: Channels::default(),
        late,
        local,
        tasks,
        stop,
    };
    Ok((node, queue))
}

fn limits(cluster: &ClusterConfig) -> Limits {
    let milliseconds =
        |time: std::time::Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    let grace_ms = milliseconds(cluster.connection_grace);
    Limits {
        silence_ms: milliseconds(cluster.session_timeout),
        grace_ms,
        // A broker learns of a new leader by the quorum's heartbeats, and then connects.
        takeover_ms: grace_ms + milliseconds(cluster.heartbeat_interval),
        away_ms: milliseconds(LOOK) * 5,
    }
}
