//! A seek of a member of a group: what was read before it, and is on its way, does not reach the application.

#![expect(clippy::unwrap_used, reason = "tests")]

mod support;

use fjord_client::{
    Consumer, Event, Guarantee, Position, ProducerRecord, Start, SubscribeOptions,
    proto::PartitionRecords,
};
use support::{Broker, PATIENCE};
use tokio::time::timeout;

const TOPIC: &str = "t";
const PARTITIONS: i32 = 2;
/// In each partition.
const RECORDS: i64 = 5000;
const SEEKS: i64 = 60;

/// A broker with a filled topic, and a member with few records in each of its messages, so that many are on their way.
async fn member() -> (Broker, Consumer) {
    let broker = Broker::start(&["group.initial.rebalance.delay.ms=0"]).await;
    broker.create(TOPIC, PARTITIONS, &[]).await;
    let options = Guarantee::EffectivelyOnce.options();
    let producer = broker.client.producer(options).await.unwrap();
    for number in 0..RECORDS {
        for partition in 0..PARTITIONS {
            let record = ProducerRecord::new(TOPIC).partition(partition);
            // Small batches in the log, too: it is read by batches.
            let sent = producer.send(record.value(number.to_string())).await;
            drop(sent.unwrap());
        }
        if number % 50 == 49 {
            producer.flush().await.unwrap();
        }
    }
    producer.close().await.unwrap();
    let options = SubscribeOptions {
        start: Position::Earliest,
        credit_records: 2000,
        max_bytes: 1000,
        ..SubscribeOptions::new("g", [TOPIC])
    };
    let consumer = broker.client.consumer(options).await.unwrap();
    (broker, consumer)
}

/// The next records of a partition that are not none; those of others are left aside.
async fn next_of(consumer: &mut Consumer, partition: i32) -> PartitionRecords {
    loop {
        let event = timeout(PATIENCE, consumer.next()).await.unwrap().unwrap();
        if let Some(Event::Records(batch)) = event
            && batch.partition == partition
            && !batch.records.is_empty()
        {
            return batch;
        }
    }
}

fn offsets(batch: &PartitionRecords) -> Vec<i64> {
    batch.records.iter().map(|record| record.offset).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn records_from_before_a_seek_are_dropped() {
    let (broker, mut consumer) = member().await;
    next_of(&mut consumer, 0).await;
    for turn in 0..SEEKS {
        let partition = (turn % 2) as i32;
        // Forth and back.
        let to = turn * 1237 % (RECORDS - 500);
        // Its answer comes behind records, which wait in the member then.
        consumer.commit().await.unwrap();
        consumer
            .seek(TOPIC, partition, Start::Offset(to))
            .await
            .unwrap();
        // Record by record from there on, through several messages.
        let mut expected = to;
        while expected < to + 100 {
            let batch = next_of(&mut consumer, partition).await;
            for offset in offsets(&batch) {
                assert_eq!(offset, expected, "after seek {turn} to {to}");
                expected += 1;
            }
        }
    }
    consumer.leave().await.unwrap();
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_of_several_seeks_counts() {
    let (broker, mut consumer) = member().await;
    next_of(&mut consumer, 0).await;
    for to in [4000, 17, 3000] {
        consumer.seek(TOPIC, 0, Start::Offset(to)).await.unwrap();
    }
    assert_eq!(next_of(&mut consumer, 0).await.records[0].offset, 3000);
    consumer.seek(TOPIC, 0, Start::Earliest).await.unwrap();
    assert_eq!(next_of(&mut consumer, 0).await.records[0].offset, 0);
    consumer.leave().await.unwrap();
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn dropped_records_are_not_committed() {
    let (broker, mut consumer) = member().await;
    let read = next_of(&mut consumer, 0).await;
    consumer.commit().await.unwrap();
    next_of(&mut consumer, 0).await;
    consumer.seek(TOPIC, 0, Start::Offset(4000)).await.unwrap();
    // Nothing was read since.
    consumer.commit().await.unwrap();
    consumer.leave().await.unwrap();
    let options = SubscribeOptions::new("g", [TOPIC]);
    let mut again = broker.client.consumer(options).await.unwrap();
    let first = next_of(&mut again, 0).await.records[0].offset;
    assert_eq!(first, read.next_offset);
    again.leave().await.unwrap();
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_seek_of_a_partition_of_others_changes_nothing() {
    let (broker, mut consumer) = member().await;
    let read = next_of(&mut consumer, 0).await;
    let to = Start::Offset(0);
    consumer.seek(TOPIC, PARTITIONS, to).await.unwrap();
    let next = next_of(&mut consumer, 0).await.records[0].offset;
    assert_eq!(next, read.next_offset);
    consumer.leave().await.unwrap();
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_seek_that_makes_no_sense_is_told() {
    let (broker, mut consumer) = member().await;
    let read = next_of(&mut consumer, 0).await;
    consumer.commit().await.unwrap();
    let to = Start::Timestamp(-1);
    consumer.seek(TOPIC, 0, to).await.unwrap();
    let refused = loop {
        match timeout(PATIENCE, consumer.next()).await.unwrap() {
            Ok(Some(Event::Records(batch))) => assert_eq!(batch.partition, 1),
            Ok(_) => {}
            Err(error) => break error,
        }
    };
    assert_eq!(refused.reason(), "INVALID_REQUEST");
    // It joins again, and goes on behind what is committed.
    let next = next_of(&mut consumer, 0).await.records[0].offset;
    assert_eq!(next, read.next_offset);
    consumer.leave().await.unwrap();
    broker.stop().await;
}
