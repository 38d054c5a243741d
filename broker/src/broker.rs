//! What one broker consists of, as the API handlers see it.

use std::sync::Arc;

use tokio::sync::{Semaphore, watch};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    api::fetch::{ahead::ReadAhead, session::FetchSessions},
    cluster_view::ClusterView,
    config::{BrokerConfig, DynamicConfigs},
    coordinator::groups::Groups,
    lost_brokers::LostBrokers,
    metadata::{
        Delta, ExecuteError, Image, ImageObserver, MetadataStore,
        commands::{ElectionDefaults, EnsureInternalTopic, InternalTopic, InternalTopicError},
        image::Configs,
        topic_name,
    },
    net::{BrokerLimits, ConnectionContext},
    observability::metrics::Metrics,
    partition::Partitions,
    producer_ids::ProducerIds,
    security::{Authorizer, Quotas},
};

/// The parts of a broker that requests need. It is made once, and shared by all connections.
pub struct Broker {
    /// The configs in force, static and dynamic.
    pub live_config: LiveConfig,
    /// The cluster's metadata.
    pub metadata: MetadataStore,
    /// What is known of the cluster besides.
    pub cluster: Box<dyn ClusterView>,
    /// What it has lost of late.
    pub lost: Arc<LostBrokers>,
    /// Who may do what.
    pub authorizer: Authorizer,
    /// Who may use how much.
    pub quotas: Quotas,
    /// What is counted and measured.
    pub metrics: Metrics,
    /// The partitions that this broker leads.
    pub partitions: Arc<Partitions>,
    /// What clients read incrementally.
    pub fetch_sessions: FetchSessions,
    /// What was read from disk for clients that catch up, before they ask for it.
    pub read_ahead: ReadAhead,
    /// The producer ids that this broker may give out.
    pub producer_ids: ProducerIds,
    /// The consumer groups that this broker coordinates.
    pub groups: Groups,
    /// Cancelled when the broker stops: whoever parks requests answers them then.
    pub stopping: CancellationToken,
    /// Members of groups that this broker serves over gRPC. When it stops, they leave before the groups are closed.
    pub sessions: TaskTracker,
    /// What bounds connections, requests and responses.
    pub limits: BrokerLimits,
    /// Bounds the threads that wait for the disk on behalf of requests (`num.io.threads`).
    pub io_permits: Arc<Semaphore>,
}

impl Broker {
    /// Runs `work`, which may wait for the disk, on one of the bounded number of threads for that. Nothing
    /// comes back if it panics, or if the broker stops.
    pub async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        let permit = Arc::clone(&self.io_permits).acquire_owned().await.ok()?;
        let task = tokio::task::spawn_blocking(move || {
            let result = work();
            drop(permit);
            result
        });
        task.await
            .inspect_err(|failed| tracing::error!(%failed, "reading from disk ended"))
            .ok()
    }

    /// `node.id`.
    pub fn id(&self) -> i32 {
        self.config().node.node_id
    }

    /// The configs in force now.
    pub fn config(&self) -> Arc<BrokerConfig> {
        self.live_config.get()
    }

    /// The host and port that the client of this connection is told for this broker; `None` if its
    /// listener is none of the configured ones.
    pub fn advertised_address(&self, connection: &ConnectionContext) -> Option<(String, u16)> {
        let config = self.config();
        let name = connection.listener.as_ref();
        let listener = config
            .net
            .listeners
            .iter()
            .find(|listener| listener.name == name)?;
        Some(
            listener
                .advertised
                .resolve(connection.local, connection.local.port()),
        )
    }

    /// Creates an internal topic that this broker serves, unless it exists.
    ///
    /// # Errors
    ///
    /// [`EnsureError::NotServed`] for an internal topic of Kafka's that nothing here uses yet; else
    /// what keeps the topic from being created.
    pub async fn ensure_internal_topic(&self, name: &str) -> Result<(), EnsureError> {
        if self.metadata.image().topic(name).is_some() {
            return Ok(());
        }
        let topic = internal_topic(name, &self.config()).ok_or(EnsureError::NotServed)?;
        self.metadata
            .submit(EnsureInternalTopic { topic })
            .await??;
        Ok(())
    }
}

/// Why an internal topic does not come to exist.
#[derive(Debug, thiserror::Error)]
pub enum EnsureError {
    /// Nothing here uses the topic yet.
    #[error("the internal topic is not served")]
    NotServed,
    /// Its configs do not allow it.
    #[error(transparent)]
    Create(#[from] InternalTopicError),
    /// The metadata could not be changed.
    #[error(transparent)]
    Execute(#[from] ExecuteError),
}

/// What elections go by where neither a topic nor the cluster's dynamic configs say anything.
pub fn election_defaults(config: &BrokerConfig) -> ElectionDefaults {
    let defaults = &config.topic_defaults;
    ElectionDefaults {
        min_insync_replicas: usize::try_from(defaults.min_insync_replicas).unwrap_or(1),
        unclean_leader_election: defaults.unclean_leader_election_enable,
    }
}

fn internal_topic(name: &str, config: &BrokerConfig) -> Option<InternalTopic> {
    if name != topic_name::CONSUMER_OFFSETS {
        return None;
    }
    let groups = &config.groups;
    let text = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let configs = Configs::from([
        text("cleanup.policy", "compact"),
        text("compression.type", "producer"),
        text(
            "segment.bytes",
            &groups.offsets_topic_segment_bytes.to_string(),
        ),
    ]);
    Some(InternalTopic {
        name: topic_name::CONSUMER_OFFSETS.into(),
        topic_id: crate::metadata::new_topic_id(),
        partition_count: groups.offsets_topic_partitions,
        replication_factor: groups.offsets_topic_replication_factor,
        configs,
    })
}

/// The configs in force: those from the start, and over them the dynamic ones of the metadata, which it
/// follows as an [`ImageObserver`]. Cloning is cheap, and all clones are one.
#[derive(Debug, Clone)]
pub struct LiveConfig {
    current: Arc<watch::Sender<Arc<BrokerConfig>>>,
}

impl LiveConfig {
    /// The configs from the start; dynamic ones come with the metadata.
    pub fn new(at_start: BrokerConfig) -> LiveConfig {
        LiveConfig {
            current: Arc::new(watch::Sender::new(Arc::new(at_start))),
        }
    }

    /// The configs in force now.
    pub fn get(&self) -> Arc<BrokerConfig> {
        Arc::clone(&self.current.borrow())
    }

    /// Tells of every later change.
    pub fn subscribe(&self) -> watch::Receiver<Arc<BrokerConfig>> {
        self.current.subscribe()
    }
}

impl ImageObserver for LiveConfig {
    fn before_publish(&self, _old: &Image, new: &Image, delta: &Delta) {
        if !delta.broker_configs_changed {
            return;
        }
        let current = self.get();
        let dynamic = DynamicConfigs {
            broker: new
                .broker_configs(current.node.node_id)
                .cloned()
                .unwrap_or_default(),
            cluster: new.broker_default_configs().clone(),
        };
        self.current
            .send_replace(Arc::new(current.with_dynamic(dynamic)));
    }
}
