//! Requests as frames, through the table, on a broker whose metadata store is real.

mod admin;
mod configs;
mod frames;
mod groups;
mod offsets;
mod topics;

use std::{sync::Arc, time::Instant};

use bytes::Bytes;
use fjord_log::{Log, LogOptions};
use fjord_wire::{Decode as _, Reader, Request, encode_request};
use tokio::sync::Semaphore;
use tokio_util::{
    sync::{CancellationToken, DropGuard},
    task::TaskTracker,
};
use uuid::Uuid;

use super::{
    Api,
    fetch::{ahead::ReadAhead, session::FetchSessions},
};
use crate::{
    broker::{Broker, LiveConfig},
    cluster_view::OnlyBroker,
    config::{BrokerConfig, Layers, Origin, Setting},
    coordinator::{
        groups::{GroupConfig, Groups},
        observer::GroupsObserver,
        runtime::ShardLog,
        testing::MemoryLog as MemoryGroupLog,
    },
    metadata::{
        Image, ImageObserver, MetadataStore,
        commands::{EnsureClusterId, RegisterBroker, RegisterOnlyBroker, testing::CONDITIONS},
        testing::MemoryLog,
    },
    net::{
        BrokerLimitOptions, BrokerLimits, CloseConnection, ConnectionContext, Reply,
        RequestContext, Service as _,
    },
    observability::metrics::Metrics,
    partition::{Partitions, records::OffsetsTopic},
    producer_ids::ProducerIds,
    security::{Authorizer, Principal, Quotas},
};

/// A broker with its APIs, and a connection to it.
pub(crate) struct Fixture {
    api: Api,
    pub(crate) broker: Arc<Broker>,
    context: RequestContext,
    log: MemoryLog,
    _group_timers: DropGuard,
    _directory: tempfile::TempDir,
}

impl Fixture {
    /// A broker that is registered, started with these settings.
    async fn with(settings: &[(&str, &str)]) -> Fixture {
        Fixture::over(settings, None).await
    }

    /// A broker whose groups are stored elsewhere than in its log.
    async fn over(settings: &[(&str, &str)], group_log: Option<Arc<MemoryGroupLog>>) -> Fixture {
        let flag = |(name, value): &(&str, &str)| Setting {
            name: (*name).to_owned(),
            value: (*value).to_owned(),
            origin: Origin::Flag(format!("--set {name}")),
        };
        let flags = settings.iter().map(flag).collect();
        let config = BrokerConfig::resolve(Layers {
            flags,
            ..Layers::default()
        })
        .unwrap();
        let live_config = LiveConfig::new(config);
        let log = MemoryLog::default();
        let directory = tempfile::tempdir().unwrap();
        let records = Arc::new(Log::open(LogOptions::new(directory.path())).unwrap());
        let partitions = Partitions::new(records, live_config.clone());
        let group_log: Arc<dyn ShardLog> = match group_log {
            Some(log) => log,
            None => Arc::new(OffsetsTopic::new(
                Arc::clone(&partitions),
                &live_config.get().groups,
            )),
        };
        let groups = Groups::new(GroupConfig::from(&live_config.get().groups), group_log);
        let observers: Vec<Box<dyn ImageObserver>> = vec![
            Box::new(live_config.clone()),
            Box::new(Arc::clone(&partitions)),
            Box::new(GroupsObserver::new(
                groups.clone(),
                live_config.get().node.node_id,
            )),
        ];
        let metadata = MetadataStore::open(Image::default(), log.clone(), observers, CONDITIONS);
        let metrics = Metrics::new(10);
        let limits = BrokerLimitOptions::from(&live_config.get().net);
        let broker = Arc::new(Broker {
            cluster: Box::new(
                OnlyBroker::new(live_config.get().node.node_id, &partitions).unwrap(),
            ),
            lost: Arc::default(),
            live_config,
            metadata,
            authorizer: Authorizer::allow_all(),
            quotas: Quotas::unlimited(),
            sessions: TaskTracker::new(),
            limits: BrokerLimits::new(&limits, &metrics),
            metrics,
            partitions,
            fetch_sessions: FetchSessions::new(10),
            read_ahead: ReadAhead::default(),
            producer_ids: ProducerIds::default(),
            groups,
            stopping: CancellationToken::new(),
            io_permits: Arc::new(Semaphore::new(2)),
        });
        register(&broker).await;
        let stop_timers = CancellationToken::new();
        let (groups, cancel) = (broker.groups.clone(), stop_timers.clone());
        tokio::spawn(async move { groups.run(cancel).await });
        Fixture {
            api: Api::new(Arc::clone(&broker)),
            broker,
            context: context(),
            log,
            _group_timers: stop_timers.drop_guard(),
            _directory: directory,
        }
    }

    pub(crate) async fn new() -> Fixture {
        Fixture::with(&[]).await
    }

    /// Sends a request of some version, and decodes the response.
    async fn send<R: Request>(&self, version: i16, request: &R) -> R::Response {
        let frame = encode_request(7, Some("tests"), R::API_KEY, version, request).unwrap();
        let response = self
            .send_frame(frame.into_bytes().slice(4..))
            .await
            .unwrap();
        let mut reader = Reader::new(response.slice(4..));
        assert_eq!(reader.i32().unwrap(), 7, "the correlation id comes back");
        if R::API_KEY.response_header_version(version) == 1 {
            assert_eq!(
                reader.unsigned_varint().unwrap(),
                0,
                "no tagged fields in the header"
            );
        }
        let response = R::Response::decode(&mut reader, version).unwrap();
        assert_eq!(reader.remaining(), 0);
        response
    }

    /// Sends a frame without its length prefix, and returns the response with it.
    async fn send_frame(&self, frame: Bytes) -> Result<Bytes, CloseConnection> {
        match self.api.call(&self.context, frame).await? {
            Reply::Now(response) => Ok(response.into_bytes()),
            Reply::Later(future) | Reply::InTurn(future) => {
                Ok(future.await?.expect("a response").into_bytes())
            }
            Reply::None => panic!("every request here gets a response"),
        }
    }
}

/// Makes the cluster and this broker known.
async fn register(broker: &Broker) {
    let new_id = "cluster-of-tests".to_owned();
    let cluster = EnsureClusterId { new_id };
    broker.metadata.submit(cluster).await.unwrap();
    let this = RegisterBroker {
        broker_id: broker.id(),
        incarnation_id: Uuid::nil(),
        rack: Some("rack-1".to_owned()),
        endpoints: vec![],
    };
    let register = RegisterOnlyBroker { broker: this };
    broker.metadata.submit(register).await.unwrap();
}

/// Where all requests come from.
fn context() -> RequestContext {
    let connection = ConnectionContext::new(
        1,
        "127.0.0.1:5000".parse().unwrap(),
        "127.0.0.7:9092".parse().unwrap(),
        "PLAINTEXT".into(),
        Principal::anonymous(),
    );
    RequestContext {
        connection: Arc::new(connection),
        received_at: Instant::now(),
    }
}
