//! What elections for thousands of partitions cost; told, and bounded only against quadratic work.

use super::*;

#[test]
fn fencing_3300_partitions_is_measured() {
    let mut image = cluster(3, &[]);
    let topics: Vec<NewTopic> = (0..33)
        .map(|number| {
            let mut topic = new_topic(&format!("topic-{number}"));
            (topic.partition_count, topic.replication_factor) = (300, 3);
            topic
        })
        .collect();
    let created = create_topics(&image, &topics, testing::DEFAULTS).unwrap();
    image = apply(&image, created.records);
    let led = image.partitions().filter(|(_, _, p)| p.leader == 0).count();
    let begin = std::time::Instant::now();
    let decision = fence_broker(&image, &lost(0, epoch(&image, 0)), RULES).unwrap();
    let decided = begin.elapsed();
    let begin = std::time::Instant::now();
    let stored: Vec<_> = decision.records.iter().map(Record::encode).collect();
    let encoded = begin.elapsed();
    let bytes: usize = stored
        .iter()
        .map(|record| record.key.len() + record.value.as_ref().map_or(0, bytes::Bytes::len))
        .sum();
    let begin = std::time::Instant::now();
    let records = decision.records.len();
    let after = apply(&image, decision.records);
    let applied = begin.elapsed();
    println!(
        "fenced: {led} of {} partitions led, {records} records of {} bytes on average; \
         decided {decided:?}, encoded {encoded:?}, applied {applied:?}",
        image.partition_count(),
        bytes / records
    );
    assert_eq!(after.validate(), Ok(()));
    assert!((3_299..=3_301).contains(&led), "{led}");
    // 280 bytes with the names of all fields.
    assert!(bytes / records < 150, "{}", bytes / records);
}

#[test]
fn ten_thousand_partitions_change_leaders_quickly() {
    let mut image = cluster(3, &[]);
    let mut topic = new_topic("large");
    (topic.partition_count, topic.replication_factor) = (10_000, 3);
    let created = create_topics(&image, &[topic], testing::DEFAULTS).unwrap();
    image = apply(&image, created.records);
    let begin = std::time::Instant::now();
    let decision = fence_broker(&image, &lost(0, epoch(&image, 0)), RULES).unwrap();
    assert_eq!(decision.outcome, 10_001);
    let after = apply(&image, decision.records);
    let taken = begin.elapsed();
    assert_eq!(after.validate(), Ok(()));
    let led_by = |id| {
        after
            .partitions()
            .filter(|(_, _, p)| p.leader == id)
            .count()
    };
    assert_eq!((led_by(0), led_by(1) + led_by(2)), (0, 10_001));
    // Also without optimisation, on a machine that is busy with something else.
    assert!(taken.as_secs() < 5, "{taken:?}");
}
