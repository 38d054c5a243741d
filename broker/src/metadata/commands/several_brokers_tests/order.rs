//! What readers of the records and of the differences rely on, in whichever order records come.

use super::*;
use crate::metadata::{Delta, delta::Touched};

/// The cluster, and the records of two changes of its partition, one after the other.
fn two_changes() -> (Image, Record, Record) {
    let image = cluster(3, &[]);
    let of_partition = |records: Vec<Record>| {
        let mut changes = records
            .into_iter()
            .filter(|record| matches!(record, Record::Partition { .. }));
        changes.next().unwrap()
    };
    let fencing = |image: &Image, id| {
        fence_broker(image, &lost(id, epoch(image, id)), RULES)
            .unwrap()
            .records
    };
    let first = of_partition(fencing(&image, 0));
    let second = of_partition(fencing(&fence(&image, 0), 1));
    (image, first, second)
}

#[test]
fn of_two_states_of_a_partition_the_newer_one_holds() {
    let (image, first, second) = two_changes();
    let newest = apply(&image, vec![first.clone(), second.clone()]);
    assert_eq!(partition(&newest).partition_epoch, 2);
    let turned_round = apply(&image, vec![second, first]);
    assert_eq!(turned_round, newest);
}

#[test]
fn a_partition_may_be_read_before_its_topic() {
    let (image, first, second) = two_changes();
    let newest = apply(&image, vec![first.clone(), second.clone()]);
    // A snapshot ends with the topic.
    let mut records = image.to_records();
    let topic = records.pop().unwrap();
    assert!(matches!(topic, Record::Topic { .. }));
    records.extend([second, topic]);
    assert_eq!(apply(&Image::default(), records), newest);
    // And what is older than the topic's own word is passed over.
    let mut records = newest.to_records();
    let topic = records.pop().unwrap();
    records.extend([first, topic]);
    assert_eq!(apply(&Image::default(), records), newest);
}

#[test]
fn a_deleted_topic_leaves_no_records_of_its_partitions() {
    let image = fence(&cluster(3, &[]), 0);
    let incarnation = partition(&image).incarnation;
    let decision = delete_topics(&image, &[image.topic("t").unwrap().id]);
    let tombstone = Record::Partition {
        incarnation,
        value: None,
    };
    assert_eq!(decision.records.last(), Some(&tombstone));
}

#[test]
fn a_difference_names_the_partitions_and_brokers_that_changed() {
    let old = cluster(3, &[]);
    let records = fence_broker(&old, &lost(0, epoch(&old, 0)), RULES)
        .unwrap()
        .records;
    let mut touched = Touched::default();
    for record in &records {
        touched.note(record);
    }
    let new = apply(&old, records);
    let delta = Delta::between(&old, &new, &touched);
    let topic = new.topic("t").unwrap().clone();
    assert_eq!(delta.partitions_changed, [(topic, vec![0])]);
    assert!(delta.brokers_changed && !delta.broker_configs_changed);
    assert_eq!(delta.topics_created, []);
}

#[test]
fn nothing_is_placed_on_a_broker_that_stops() {
    let image = cluster(4, &[]);
    let stopping = begin_controlled_shutdown(&image, 3, epoch(&image, 3), RULES);
    let image = done(&image, stopping);
    let mut topic = new_topic("u");
    (topic.partition_count, topic.replication_factor) = (6, 3);
    let decision = create_topics(&image, &[topic.clone()], testing::DEFAULTS).unwrap();
    let image = done(&image, Ok::<_, TooManyPartitions>(decision));
    let mut partitions = image.topic("u").unwrap().partitions.iter();
    assert!(partitions.all(|partition| !partition.replicas.contains(&3)));
    (topic.name, topic.replication_factor) = ("v".into(), 4);
    let refused = create_topics(&image, &[topic], testing::DEFAULTS).unwrap();
    assert!(refused.outcome[0].is_err());
}
