//! Producer ids: each is given out once, and what is said when there are no more.

#![expect(clippy::unwrap_used, reason = "tests")]

mod support;

use std::{collections::HashSet, path::Path};

use fjord_broker::{
    metadata::{
        MetadataLog,
        commands::PRODUCER_ID_BLOCK_SIZE,
        records::{ProducerIdsRecord, Record},
    },
    partition::MetadataPartition,
};
use fjord_client::{
    Code, Error, Guarantee, ProducerRecord,
    proto::{InitProducerRequest, producer_service_client::ProducerServiceClient},
};
use fjord_log::{Log, LogOptions};
use support::Broker;
use tempfile::TempDir;

const TOPIC: &str = "t";

/// Leaves one block of producer ids to the broker that is started in `directory`.
async fn use_up(directory: &Path) {
    let log = Log::open(LogOptions::new(directory.to_owned())).unwrap();
    let (partition, _records) = MetadataPartition::open(&log).unwrap();
    let record = Record::ProducerIds(ProducerIdsRecord {
        next_producer_id: i64::MAX - PRODUCER_ID_BLOCK_SIZE,
    });
    partition.append(vec![record.encode()], 0).await.unwrap();
    log.close();
}

#[tokio::test(flavor = "multi_thread")]
async fn without_ids_left_producers_are_told_and_all_else_goes_on() {
    let directory = TempDir::new().unwrap();
    use_up(directory.path()).await;
    let broker = Broker::start_in(directory, &[]).await;
    let mut service = ProducerServiceClient::new(broker.client.channel());
    let mut given = HashSet::new();
    for _ in 0..PRODUCER_ID_BLOCK_SIZE {
        let response = service.init_producer(InitProducerRequest {}).await.unwrap();
        let response = response.into_inner();
        assert_eq!(response.producer_epoch, 0);
        assert!(given.insert(response.producer_id), "given out twice");
    }
    assert_eq!(given.iter().max(), Some(&(i64::MAX - 1)));

    for _ in 0..2 {
        let refused = broker.client.producer(Guarantee::EffectivelyOnce.options());
        let Err(Error::Api(error)) = refused.await else {
            panic!("there is no id left")
        };
        assert_eq!(error.code, Code::Internal);
        assert_eq!(error.reason, "UNKNOWN_SERVER_ERROR");
        assert!(error.message.contains("producerId"), "{}", error.message);
        assert!(!error.retriable);
    }
    broker.create(TOPIC, 1, &[]).await;
    let producer = broker.client.producer(Guarantee::AtLeastOnce.options());
    let producer = producer.await.unwrap();
    let sent = producer.send(ProducerRecord::new(TOPIC).value("a")).await;
    assert_eq!(sent.unwrap().await.unwrap().offset, Some(0));
    broker.stop().await;
}
