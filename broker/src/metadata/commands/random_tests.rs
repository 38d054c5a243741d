//! Random sequences of commands: whatever they are, images stay valid and the log replays to them.

use std::collections::HashMap;

use proptest::{collection::vec, prelude::*};

use super::{
    testing::{DEFAULTS, image_with_brokers, new_topic},
    *,
};
use crate::metadata::{
    Delta,
    delta::Touched,
    image::Configs,
    records::{EncodedRecord, Record},
};

#[derive(Debug, Clone)]
enum Step {
    Create {
        names: Vec<String>,
        partitions: i32,
        replicas: i16,
    },
    Delete {
        name: String,
    },
    Grow {
        name: String,
        count: i32,
        assignment: Option<Vec<Vec<i32>>>,
    },
    Configure {
        name: String,
        config: String,
        value: Option<String>,
    },
    ConfigureBroker {
        id: Option<i32>,
        value: Option<String>,
    },
    ProducerIds,
    Register {
        id: i32,
    },
}

fn name() -> impl Strategy<Value = String> {
    prop_oneof![
        "[abc][._][ab]",
        "[abcd]",
        Just(String::new()),
        Just("__consumer_offsets".into())
    ]
}

fn config() -> impl Strategy<Value = String> {
    prop_oneof![Just("retention.ms".to_owned()), Just("unknown".to_owned())]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (vec(name(), 1..4), -2..6_i32, -1..4_i16).prop_map(
            |(names, partitions, replicas)| Step::Create { names, partitions, replicas }),
        2 => name().prop_map(|name| Step::Delete { name }),
        2 => (name(), -1..9_i32, proptest::option::of(vec(vec(0..4_i32, 0..3), 0..3))).prop_map(
            |(name, count, assignment)| Step::Grow { name, count, assignment }),
        2 => (name(), config(), proptest::option::of("-?[0-9]{1,9}")).prop_map(
            |(name, config, value)| Step::Configure { name, config, value }),
        1 => (any::<Option<bool>>(), proptest::option::of("-?[0-9]{1,9}")).prop_map(
            |(id, value)| Step::ConfigureBroker { id: id.map(i32::from), value }),
        1 => Just(Step::ProducerIds),
        1 => (0..5_i32).prop_map(|id| Step::Register { id }),
    ]
}

fn operation(name: &str, value: Option<&String>) -> Alteration {
    let operation = value.map_or(ConfigOperation::Delete, |v| ConfigOperation::Set(v.clone()));
    Alteration::Incremental(vec![(name.to_owned(), operation)])
}

fn records_of(image: &Image, step: &Step) -> Vec<Record> {
    match step {
        Step::Create {
            names,
            partitions,
            replicas,
        } => {
            let request = |name: &String| NewTopic {
                partition_count: *partitions,
                replication_factor: *replicas,
                ..new_topic(name)
            };
            let topics: Vec<NewTopic> = names.iter().map(request).collect();
            create_topics(image, &topics, DEFAULTS).unwrap().records
        }
        Step::Delete { name } => {
            let ids: Vec<_> = image
                .topic(name)
                .map(|topic| topic.id)
                .into_iter()
                .collect();
            delete_topics(image, &ids).records
        }
        Step::Grow {
            name,
            count,
            assignment,
        } => {
            let assignments = assignment.clone();
            let request = NewPartitions {
                name: name.clone(),
                count: *count,
                assignments,
            };
            create_partitions(image, &[request]).unwrap().records
        }
        Step::Configure {
            name,
            config,
            value,
        } => {
            let resource = ConfigResource::Topic(name.clone());
            let alteration = operation(config, value.as_ref());
            let request = ResourceAlteration {
                resource,
                alteration,
            };
            alter_configs(image, &[request]).records
        }
        Step::ConfigureBroker { id, value } => {
            let resource = ConfigResource::Broker(*id);
            let alteration = operation("log.retention.ms", value.as_ref());
            alter_configs(
                image,
                &[ResourceAlteration {
                    resource,
                    alteration,
                }],
            )
            .records
        }
        Step::ProducerIds => allocate_producer_ids(image).unwrap().records,
        Step::Register { id } => {
            let incarnation_id = uuid::Uuid::nil();
            let broker = RegisterBroker {
                broker_id: *id,
                incarnation_id,
                rack: None,
                endpoints: vec![],
            };
            register_broker(image, broker).records
        }
    }
}

fn replay<'a>(log: impl Iterator<Item = &'a EncodedRecord>) -> Image {
    let decode = |stored: &EncodedRecord| {
        Record::decode(&stored.key, stored.value.as_deref()).expect("what was encoded decodes")
    };
    log.map(decode).fold(Image::default(), Image::apply)
}

/// What a compaction leaves of the log: the newest record of each key, in place; tombstones too if they
/// are still within their retention.
fn compacted(log: &[EncodedRecord], keep_tombstones: bool) -> Vec<EncodedRecord> {
    let newest: HashMap<_, _> = log
        .iter()
        .enumerate()
        .map(|(offset, record)| (record.key.clone(), offset))
        .collect();
    log.iter()
        .enumerate()
        .filter(|(offset, record)| newest[&record.key] == *offset)
        .filter(|(_, record)| keep_tombstones || record.value.is_some())
        .map(|(_, record)| record.clone())
        .collect()
}

/// Checks a delta by carrying it out on a set of (topic id, partition count).
fn check_delta(held: &mut HashMap<uuid::Uuid, (usize, Configs)>, delta: &Delta) {
    for topic in &delta.topics_deleted {
        assert!(
            held.remove(&topic.id).is_some(),
            "only what was there is deleted"
        );
    }
    for topic in &delta.topics_created {
        let state = (topic.partitions.len(), topic.configs.clone());
        assert!(
            held.insert(topic.id, state).is_none(),
            "only what is new is created"
        );
    }
    for (topic, added) in &delta.partitions_added {
        let state = held.get_mut(&topic.id).expect("a topic that is there");
        assert_eq!(state.0, added.start);
        state.0 = added.end;
    }
    for topic in &delta.topic_configs_changed {
        held.get_mut(&topic.id).expect("a topic that is there").1 = topic.configs.clone();
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn any_sequence_of_commands_keeps_the_invariants(steps in vec(step(), 1..40)) {
        let mut log = Vec::new();
        let mut image = Image::default();
        for broker in image_with_brokers(2).brokers() {
            let record = Record::from(broker.as_ref().clone());
            log.push(record.encode());
            image = image.apply(record);
        }
        let mut held = HashMap::new();
        let mut incarnations_used = HashMap::new();
        for step in &steps {
            let before = image.clone();
            let mut touched = Touched::default();
            for record in records_of(&before, step) {
                touched.note(&record);
                log.push(record.encode());
                image = image.apply(record);
                // A log may end after any record.
                prop_assert_eq!(image.validate(), Ok(()));
            }
            check_delta(&mut held, &Delta::between(&before, &image, &touched));
            for topic in image.topics() {
                for (index, partition) in topic.partitions.iter().enumerate() {
                    let user = (topic.id, index);
                    let first = *incarnations_used.entry(partition.incarnation).or_insert(user);
                    prop_assert_eq!(first, user, "an incarnation never changes hands");
                }
            }
        }
        let expected = image.topics().map(|topic| {
            (topic.id, (topic.partitions.len(), topic.configs.clone()))
        }).collect::<HashMap<_, _>>();
        prop_assert_eq!(held, expected);
        prop_assert_eq!(&replay(log.iter()), &image);
        prop_assert_eq!(&replay(compacted(&log, true).iter()), &image);
        prop_assert_eq!(&replay(compacted(&log, false).iter()), &image);
    }
}
