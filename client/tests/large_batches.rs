//! Batches that are larger than the broker takes go in parts: nothing is lost, nothing comes twice, and with numbers
//! the order stays; a record that is too large by itself fails alone.

#![expect(clippy::unwrap_used, reason = "tests")]

mod support;

use std::{collections::BTreeSet, time::Duration};

use fjord_client::{
    Acks, Compression, Delivery, Guarantee, Producer, ProducerOptions, ProducerRecord,
    proto::AlterTopicRequest,
};
use support::{Broker, PATIENCE};
use tokio::time::{sleep, timeout};

const TOPIC: &str = "t";
const PARTITIONS: i32 = 3;
/// Several full batches for each partition.
const RECORDS: i32 = 2400;
/// The longest value of ordinary records.
const LONGEST: usize = 5000;
/// What the topic takes: three long records, or many short ones.
const LIMIT: &str = "16000";
/// A record beyond that.
const TOO_LONG: usize = 20_000;
const NUMBERED: ProducerOptionsOf = || Guarantee::EffectivelyOnce.options();
const PLAIN: ProducerOptionsOf = || Guarantee::AtLeastOnce.options();

type ProducerOptionsOf = fn() -> ProducerOptions;

/// A record that says which it is, of a size that goes up and down.
fn record(number: i32) -> ProducerRecord {
    // 7919 is prime to the longest, so that sizes come in no order.
    let length = number as usize * 7919 % LONGEST;
    record_of(number, length)
}

fn record_of(number: i32, length: usize) -> ProducerRecord {
    let name = format!("{number} ");
    ProducerRecord::new(TOPIC)
        .partition(number % PARTITIONS)
        .header("some", "header")
        .value(name.clone() + &"x".repeat(length.saturating_sub(name.len())))
}

/// Which record a value is.
fn number_of(value: &[u8]) -> i32 {
    let name = value.split(|byte| *byte == b' ').next().unwrap();
    std::str::from_utf8(name).unwrap().parse().unwrap()
}

/// Sends these records without waiting for any.
async fn send(
    producer: &Producer,
    records: impl IntoIterator<Item = ProducerRecord>,
) -> Vec<Delivery> {
    let mut deliveries = Vec::new();
    for record in records {
        deliveries.push(producer.send(record).await.unwrap());
    }
    deliveries
}

/// Has the topic take less from now on.
async fn lower(broker: &Broker, limit: &str) {
    let request = AlterTopicRequest {
        topic: TOPIC.to_owned(),
        set_configs: [("max.message.bytes".to_owned(), limit.to_owned())].into(),
        ..AlterTopicRequest::default()
    };
    broker.client.alter_topic(request).await.unwrap();
}

/// Checks that records 0 to `count` without `missing` are there, once, and where their deliveries say; and if that is
/// promised, in the order in which they were sent.
async fn check(broker: &Broker, deliveries: Vec<Delivery>, missing: &BTreeSet<i32>, ordered: bool) {
    let found = broker.read(TOPIC, PARTITIONS).await;
    let expected = |partition: i32| {
        let all = (0..deliveries.len() as i32).filter(move |n| n % PARTITIONS == partition);
        all.filter(|number| !missing.contains(number))
    };
    for (partition, records) in &found {
        let mut numbers: Vec<i32> = records
            .iter()
            .map(|record| number_of(record.value.as_ref().unwrap()))
            .collect();
        if !ordered {
            numbers.sort_unstable();
        }
        let expected: Vec<i32> = expected(*partition).collect();
        assert_eq!(numbers, expected, "of partition {partition}");
    }
    for (number, delivery) in (0..).zip(deliveries) {
        match delivery.await {
            Ok(placed) => {
                assert!(!missing.contains(&number), "{number} cannot be there");
                let records = &found[&placed.partition];
                let offset = placed.offset.unwrap();
                let there = records.iter().find(|record| record.offset == offset);
                assert_eq!(number_of(there.unwrap().value.as_ref().unwrap()), number);
            }
            Err(error) => {
                assert!(missing.contains(&number), "{number}: {error}");
                assert_eq!(error.reason(), "MESSAGE_TOO_LARGE");
                // It says what is to be raised: the topic's config, or the listener's.
                assert!(
                    error.to_string().contains("message.max.bytes")
                        || error.to_string().contains("max.message.bytes")
                );
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn batches_are_as_small_as_the_topic_wants() {
    for options in [NUMBERED, PLAIN] {
        let broker = Broker::start(&[]).await;
        broker
            .create(TOPIC, PARTITIONS, &[("max.message.bytes", LIMIT)])
            .await;
        let producer = broker.client.producer(options()).await.unwrap();
        let deliveries = send(&producer, (0..RECORDS).map(record)).await;
        producer.close().await.unwrap();
        // Nothing was refused, so that without numbers the order stays, too.
        check(&broker, deliveries, &BTreeSet::new(), true).await;
        broker.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_without_acks() {
    let broker = Broker::start(&[]).await;
    broker
        .create(TOPIC, PARTITIONS, &[("max.message.bytes", LIMIT)])
        .await;
    let options = Guarantee::AtMostOnce.options();
    assert_eq!(options.acks, Acks::None);
    let producer = broker.client.producer(options).await.unwrap();
    drop(send(&producer, (0..RECORDS).map(record)).await);
    producer.close().await.unwrap();
    // They are taken, but not on the disk yet.
    let all_there = async {
        while broker
            .read(TOPIC, PARTITIONS)
            .await
            .values()
            .flatten()
            .count()
            < RECORDS as usize
        {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, all_there).await.expect("some are lost");
    broker.stop().await;
}

/// The producer knows the topic, and in one partition the broker knows the producer; then the first batches are refused
/// for sure.
async fn goes_in_parts(options: ProducerOptions, ordered: bool) {
    let broker = Broker::start(&[]).await;
    broker.create(TOPIC, PARTITIONS, &[]).await;
    let producer = broker.client.producer(options).await.unwrap();
    let mut deliveries = send(&producer, [record(0)]).await;
    producer.flush().await.unwrap();
    lower(&broker, "40000").await;
    deliveries.extend(send(&producer, (1..RECORDS / 2).map(record)).await);
    // While they are under way.
    lower(&broker, LIMIT).await;
    deliveries.extend(send(&producer, (RECORDS / 2..RECORDS).map(record)).await);
    producer.flush().await.unwrap();
    check(&broker, deliveries, &BTreeSet::new(), ordered).await;
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_batch_goes_in_parts_in_order() {
    goes_in_parts(NUMBERED(), true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_batch_goes_in_parts_without_numbers() {
    goes_in_parts(PLAIN(), false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_compressed_batch_goes_in_parts() {
    let options = ProducerOptions {
        compression: Compression::Zstd,
        ..NUMBERED()
    };
    goes_in_parts(options, true).await;
}

/// To a broker that does not know a producer, any number is the first one: it must not see a small batch while the
/// large one before it may still be refused.
#[tokio::test(flavor = "multi_thread")]
async fn a_small_batch_does_not_overtake_the_refused_first_one() {
    const TURNS: i32 = 5;
    /// Those of one turn: one to make the topic known, and then for each partition a large batch and a small one.
    const SENT: i32 = 1 + PARTITIONS * 20;
    let broker = Broker::start(&[]).await;
    broker.create(TOPIC, PARTITIONS, &[]).await;
    let options = ProducerOptions {
        batch_bytes: 100_000,
        // Batches are sent when they are full, and by the flush.
        linger: PATIENCE,
        ..NUMBERED()
    };
    let mut deliveries = Vec::new();
    for turn in 0..TURNS {
        lower(&broker, "1000000").await;
        let producer = broker.client.producer(options.clone()).await.unwrap();
        let first = turn * SENT;
        deliveries.extend(send(&producer, [record(first)]).await);
        producer.flush().await.unwrap();
        lower(&broker, LIMIT).await;
        let long = |number| record_of(number, LONGEST);
        deliveries.extend(send(&producer, (first + 1..first + SENT).map(long)).await);
        producer.close().await.unwrap();
    }
    check(&broker, deliveries, &BTreeSet::new(), true).await;
    broker.stop().await;
}

/// Some records among the others are too long.
fn with_too_long(numbers: impl Iterator<Item = i32>) -> impl Iterator<Item = ProducerRecord> {
    numbers.map(|number| match number % 500 {
        7 => record_of(number, TOO_LONG),
        _ => record(number),
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_is_too_large_fails_alone() {
    for (options, ordered) in [(NUMBERED, true), (PLAIN, false)] {
        let broker = Broker::start(&[]).await;
        broker.create(TOPIC, PARTITIONS, &[]).await;
        let producer = broker.client.producer(options()).await.unwrap();
        let mut deliveries = send(&producer, (0..3).map(record)).await;
        producer.flush().await.unwrap();
        lower(&broker, LIMIT).await;
        deliveries.extend(send(&producer, with_too_long(3..RECORDS)).await);
        let failed = producer.flush().await.unwrap_err();
        assert_eq!(failed.reason(), "MESSAGE_TOO_LARGE");
        let missing = (0..RECORDS).filter(|number| number % 500 == 7).collect();
        check(&broker, deliveries, &missing, ordered).await;
        broker.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_the_broker_does_not_read_goes_in_parts() {
    for options in [NUMBERED, PLAIN] {
        let broker = Broker::start(&["fjord.grpc.message.max.bytes=65536"]).await;
        broker.create(TOPIC, PARTITIONS, &[]).await;
        let producer = broker.client.producer(options()).await.unwrap();
        let records = (0..RECORDS).map(|number| match number {
            1500 => record_of(number, 100_000),
            _ => record(number),
        });
        let deliveries = send(&producer, records).await;
        let failed = producer.flush().await.unwrap_err();
        assert_eq!(failed.reason(), "MESSAGE_TOO_LARGE");
        // Nothing behind such a message is read, so that nothing can overtake it.
        check(&broker, deliveries, &[1500].into(), true).await;
        broker.stop().await;
    }
}
