//! A broker as one of its cluster, from before it knows any metadata until after it has handed everything over.
//!
//! ```text
//!   Cluster::start: peer listener ─► quorum ─► found or join ─► leader known ─► registered ─► metadata up to there
//!   Cluster::metadata: observers begin;   Cluster::take_part: ready ─► unfenced
//!   Cluster::hand_over: leads nothing any more;   Cluster::finish: fenced, the quorum left
//! ```

use std::{
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use fjord_quorum::{Quorum, Role};
use tokio::{
    sync::watch,
    time::{Instant, sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{info, warn};

use super::{
    channels::Channels,
    client::Controller,
    committed::Committed,
    directory,
    error::StartError,
    figures::QuorumFigures,
    heartbeats::{Heartbeats, Wish},
    leader::SharedSessions,
    peer_server::LateRoutes,
    publisher::{Published, publish},
    registration::{Identity, register},
};
use crate::{
    cluster_view::OneOfSeveral,
    config::{BrokerConfig, ClusterConfig},
    metadata::{
        Broker, ImageObserver, MetadataStore,
        commands::{BeginControlledShutdown, FinishControlledShutdown},
    },
    observability::{health::Health, metrics::FigureSource},
};

/// How long a broker that stops waits until others have taken over.
const HAND_OVER: Duration = Duration::from_secs(5);
/// How long leadership of the quorum may take to move.
const TRANSFER: Duration = Duration::from_secs(2);
/// How long a broker waits until it is noted that it has stopped in order.
const FINISH: Duration = Duration::from_secs(2);

/// The part of the broker's health that this is.
const COMPONENT: &str = "cluster";

/// A broker of several, registered and with the metadata up to there.
pub struct Cluster {
    pub(super) node: Node,
    broker_id: i32,
    broker_epoch: i64,
    data: PathBuf,
    published: Published,
    controller: Controller,
    wish: watch::Sender<Wish>,
    contact: watch::Receiver<bool>,
    may_stop: watch::Receiver<bool>,
    replaced: watch::Receiver<Option<String>>,
    /// Cancelled when the publisher has ended before it was to.
    publishing: CancellationToken,
}

/// What runs from the start on.
pub(super) struct Node {
    pub quorum: Quorum,
    pub committed: Arc<Committed>,
    pub sessions: Arc<SharedSessions>,
    pub channels: Channels,
    pub late: LateRoutes,
    pub local: SocketAddr,
    pub tasks: TaskTracker,
    pub stop: CancellationToken,
}

impl Node {
    /// Ends everything.
    pub async fn end(&self) {
        self.stop.cancel();
        self.quorum.shutdown().await;
        self.tasks.close();
        self.tasks.wait().await;
    }

    /// Where this broker reaches its own peer listener.
    pub fn own_address(&self) -> String {
        let ip = match self.local.ip() {
            ip if !ip.is_unspecified() => ip,
            IpAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
        };
        SocketAddr::new(ip, self.local.port()).to_string()
    }
}

impl Cluster {
    /// Registers a node that knows the leader of the quorum, and waits for the metadata up to there.
    pub(super) async fn register(
        node: Node,
        config: &BrokerConfig,
        cluster: &ClusterConfig,
        identity: Identity,
        controller: Controller,
        published: Published,
    ) -> Result<Cluster, StartError> {
        let broker_id = config.node.node_id;
        let limit = cluster.session_timeout;
        let data = config.log.data_dir.clone();
        let stopped = tokio::task::spawn_blocking(move || directory::take_stopped(&data));
        let identity = identity.stopped_under(stopped.await??);
        let broker_epoch = register(&controller, identity, limit).await?;
        let cluster_id = node.quorum.cluster_id().unwrap_or_default();
        info!(cluster_id, broker_id, epoch = broker_epoch, "registered");
        let (wish, wishes) = watch::channel(Wish::default());
        let (heard, contact) = watch::channel(true);
        let (may, may_stop) = watch::channel(false);
        let (replace, replaced) = watch::channel(None);
        let heartbeats = Heartbeats {
            quorum: node.quorum.clone(),
            cluster_id,
            broker_id,
            broker_epoch,
            sessions: Arc::clone(&node.sessions),
            channels: node.channels.clone(),
            own_address: node.own_address(),
            interval: cluster.heartbeat_interval,
            silence: cluster.session_timeout,
            position: published.changes.subscribe(),
            wish: wishes,
            contact: heard,
            may_stop: may,
            replaced: replace,
        };
        node.tasks.spawn(heartbeats.run(node.stop.clone()));
        Ok(Cluster {
            node,
            broker_id,
            broker_epoch,
            data: config.log.data_dir.clone(),
            published,
            controller,
            wish,
            contact,
            may_stop,
            replaced,
            publishing: CancellationToken::new(),
        })
    }

    /// Where the peer listener is bound.
    pub fn peer_address(&self) -> SocketAddr {
        self.node.local
    }

    /// Tells `health` while no leader of the quorum is heard: the broker's metadata gets old then, and it takes no
    /// records with acks=all once followers are gone.
    pub fn report_to(&self, health: Health) {
        let mut contact = self.contact.clone();
        self.node.tasks.spawn(async move {
            loop {
                match *contact.borrow_and_update() {
                    true => health.recovered(COMPONENT),
                    false => {
                        health.failed(COMPONENT, "no leader of the metadata's quorum is heard");
                    }
                }
                // The session's task ends with the node.
                if contact.changed().await.is_err() {
                    return;
                }
            }
        });
    }

    /// The quorum's figures.
    pub fn figures(&self) -> Arc<dyn FigureSource> {
        Arc::new(QuorumFigures(self.node.quorum.clone()))
    }

    /// Where services for other brokers are added.
    pub fn late_routes(&self) -> LateRoutes {
        self.node.late.clone()
    }

    /// What handlers ask about the cluster besides its metadata.
    pub fn view(&self) -> OneOfSeveral {
        let changes = self.published.changes.subscribe();
        OneOfSeveral::new(
            self.broker_id,
            self.node.quorum.clone(),
            changes,
            self.node.committed.applied(),
            self.contact.clone(),
        )
    }

    /// The metadata. The observers see it from here on, first as it is now: not older than this broker's registration.
    pub async fn metadata(&self, observer: impl ImageObserver + 'static) -> MetadataStore {
        let (committed, published) = (Arc::clone(&self.node.committed), self.published.clone());
        let at_least = *committed.applied().borrow();
        let (stop, ended) = (self.node.stop.clone(), self.publishing.clone());
        self.node.tasks.spawn(async move {
            publish(committed, Arc::new(observer), published, stop).await;
            ended.cancel();
        });
        let mut changes = self.published.changes.subscribe();
        tokio::select! {
            _ = changes.wait_for(|changes| *changes >= at_least) => {}
            () = self.publishing.cancelled() => {}
        }
        let images = Arc::clone(&self.published.images);
        MetadataStore::of_quorum(images, Arc::new(self.controller.clone()))
    }

    /// Says that this broker can lead and follow, and waits until the cluster has it do so.
    ///
    /// # Errors
    /// `stop` was cancelled, or the broker cannot go on.
    pub async fn take_part(&self, stop: &CancellationToken) -> Result<(), StartError> {
        self.wish.send_modify(|wish| wish.is_ready = true);
        let mut images = self.published.images.subscribe();
        let (id, epoch) = (self.broker_id, self.broker_epoch);
        let unfenced = images.wait_for(|image| {
            let broker = image.broker(id).filter(|broker| broker.epoch == epoch);
            broker.is_some_and(|broker| !broker.fenced)
        });
        tokio::select! {
            _ = unfenced => {
                info!(broker_id = id, "unfenced");
                Ok(())
            }
            reason = self.failed() => {
                Err(StartError::Ended(reason))
            }
            () = stop.cancelled() => Err(StartError::Stopped),
        }
    }

    /// Ready when this broker cannot go on, with the reason.
    pub async fn failed(&self) -> String {
        let mut state = self.node.quorum.watch();
        let mut replaced = self.replaced.clone();
        let mut failure = self.node.committed.failure();
        let stopped = state.wait_for(|state| state.role == Role::Stopped);
        tokio::select! {
            biased;
            failure = failure.wait_for(Option::is_some) => match failure {
                Ok(reason) => reason.clone().unwrap_or_default(),
                Err(_) => "the metadata is gone".to_owned(),
            },
            _ = stopped => {
                "the metadata's quorum has stopped here; its log may have failed".to_owned()
            }
            reason = replaced.wait_for(Option::is_some) => match reason {
                Ok(reason) => reason.clone().unwrap_or_default(),
                Err(_) => "the broker's session has ended".to_owned(),
            },
            () = self.publishing.cancelled() => "acting on a change of the metadata has failed".to_owned(),
        }
    }

    /// Gives away what this broker leads, and waits until the others have it. What cannot be given away in time is taken
    /// over when the broker is gone. If there is no other broker, or all are stopping, nobody is waited for.
    pub async fn hand_over(&self) {
        tokio::select! {
            biased;
            () = self.is_last() => info!("no other broker is there to take over"),
            () = self.hand_over_to_others() => {}
        }
    }

    /// Ready when the metadata has no other broker that is there and is not stopping.
    async fn is_last(&self) {
        let mut images = self.published.images.subscribe();
        let is_other = |broker: &Broker| broker.broker_id != self.broker_id && broker.is_active();
        let is_last = images.wait_for(|image| !image.brokers().any(|broker| is_other(broker)));
        if is_last.await.is_err() {
            // Nothing is published any more.
            std::future::pending::<()>().await;
        }
    }

    async fn hand_over_to_others(&self) {
        let began = Instant::now();
        if self.node.quorum.watch().borrow().role == Role::Leader {
            match timeout(TRANSFER, self.node.quorum.transfer_leader(None)).await {
                Ok(Ok(())) => info!("leadership of the metadata's quorum was handed over"),
                Ok(Err(error)) => warn!(%error, "leadership of the metadata's quorum stays"),
                Err(_) => warn!("leadership of the metadata's quorum was not handed over in time"),
            }
        }
        let request = BeginControlledShutdown {
            broker_id: self.broker_id,
            broker_epoch: self.broker_epoch,
        };
        let position = match self.controller.decide(request.into(), HAND_OVER).await {
            Ok(decided) => decided.position,
            Err(error) => {
                warn!(%error, "stopping without having handed over");
                return;
            }
        };
        self.wish
            .send_modify(|wish| wish.stop_after = Some(position));
        let mut may_stop = self.may_stop.clone();
        let left = HAND_OVER.saturating_sub(began.elapsed());
        let elapsed_ms = || began.elapsed().as_millis();
        match timeout(left, may_stop.wait_for(|may| *may)).await {
            Ok(_) => info!(elapsed_ms = elapsed_ms(), "handed over"),
            Err(_) => warn!(
                elapsed_ms = elapsed_ms(),
                "others have not taken over in time"
            ),
        }
    }

    /// Leaves the cluster. `is_flushed`: the log is closed with everything on disk.
    pub async fn finish(self, is_flushed: bool) {
        if is_flushed {
            let (data, epoch) = (self.data.clone(), self.broker_epoch);
            let left = move || directory::leave_stopped(&data, epoch);
            match tokio::task::spawn_blocking(left).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => warn!(%error, "cannot note that the broker stopped in order"),
                Err(error) => warn!(%error, "cannot note that the broker stopped in order"),
            }
            let request = FinishControlledShutdown {
                broker_id: self.broker_id,
                broker_epoch: self.broker_epoch,
            };
            tokio::select! {
                biased;
                decided = self.controller.decide(request.into(), FINISH) => {
                    if let Err(error) = decided {
                        warn!(%error, "the cluster will find out that this broker has stopped");
                    }
                }
                // Whoever is left of the quorum may have gone already.
                () = self.is_last() => {}
            }
            // A leader that could not hand over gives its followers the last entry.
            if self.node.quorum.watch().borrow().role == Role::Leader {
                sleep(Duration::from_millis(100)).await;
            }
        }
        self.node.end().await;
    }
}
