//! A broker in the process of a test, and what is in its topics.

#![allow(dead_code, reason = "no test uses all of it")]
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::{collections::BTreeMap, time::Duration};

use fjord_broker::{
    config::{Args, BrokerConfig},
    server::{self, ServerError},
};
use fjord_client::{
    Client, ClientOptions, FetchOptions, Start,
    proto::{ConsumedRecord, CreateTopicRequest},
};
use tempfile::TempDir;
use tokio::{sync::oneshot, task::JoinHandle, time::timeout};
use tokio_util::sync::CancellationToken;

/// How long something that must come is waited for before a test fails.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A broker with a directory of its own, and a client of it.
pub struct Broker {
    pub client: Client,
    stop: CancellationToken,
    task: JoinHandle<Result<(), ServerError>>,
    _directory: TempDir,
}

impl Broker {
    /// Starts one with these configs (`name=value`).
    pub async fn start(configs: &[&str]) -> Self {
        Self::start_in(TempDir::new().unwrap(), configs).await
    }

    /// Starts one with what is in a directory.
    pub async fn start_in(directory: TempDir, configs: &[&str]) -> Self {
        let any_port = || Some("127.0.0.1:0".to_owned());
        let args = Args {
            data_dir: Some(directory.path().to_str().unwrap().to_owned()),
            listen_kafka: any_port(),
            listen_grpc: any_port(),
            listen_http: any_port(),
            set: configs.iter().map(ToString::to_string).collect(),
            ..Args::default()
        };
        let config = BrokerConfig::load(&args, std::iter::empty()).unwrap();
        let stop = CancellationToken::new();
        let (ready, address) = oneshot::channel();
        let task = tokio::spawn(server::run(config, stop.clone(), |addresses| {
            ready.send(addresses.grpc.unwrap()).unwrap();
        }));
        let address = timeout(PATIENCE, address).await.unwrap().unwrap();
        let address = address.to_string();
        let client = Client::connect(&address, ClientOptions::default());
        Self {
            client: client.await.unwrap(),
            stop,
            task,
            _directory: directory,
        }
    }

    /// Makes a topic in which nothing is too old, with these configs.
    pub async fn create(&self, topic: &str, partitions: i32, configs: &[(&str, &str)]) {
        let config = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
        let request = CreateTopicRequest {
            topic: topic.to_owned(),
            partitions,
            configs: configs.iter().copied().map(config).collect(),
            ..CreateTopicRequest::default()
        };
        self.client.create_topic(request).await.unwrap();
    }

    /// All records of each partition, in order.
    pub async fn read(&self, topic: &str, partitions: i32) -> BTreeMap<i32, Vec<ConsumedRecord>> {
        let places = (0..partitions).map(|number| (topic.to_owned(), number, Start::Earliest));
        let options = FetchOptions {
            until_end: true,
            ..FetchOptions::default()
        };
        let mut fetcher = self.client.fetcher(places, options);
        let mut found: BTreeMap<i32, Vec<ConsumedRecord>> = BTreeMap::new();
        while let Some(batch) = fetcher.next_batch().await.unwrap() {
            found
                .entry(batch.partition)
                .or_default()
                .extend(batch.records);
        }
        found
    }

    /// Stops it in order.
    pub async fn stop(self) {
        drop(self.client);
        self.stop.cancel();
        timeout(PATIENCE, self.task)
            .await
            .unwrap()
            .unwrap()
            .unwrap();
    }
}
