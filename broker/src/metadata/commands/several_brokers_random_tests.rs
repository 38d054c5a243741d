//! Random sequences of commands on five brokers: the invariants of replication hold after each step.

use std::collections::BTreeMap;

use proptest::{collection::vec, prelude::*};

use super::{
    several_brokers_tests::{RULES, epoch, registration},
    testing::{lost, new_topic},
    *,
};
use crate::metadata::{
    Partition,
    records::{EncodedRecord, Record},
};

const BROKERS: i32 = 5;

#[derive(Debug, Clone)]
enum Step {
    Create {
        name: String,
        replicas: i16,
        unclean: bool,
    },
    Delete {
        name: String,
    },
    Start {
        id: i32,
        synced: bool,
        clean: bool,
        empty: bool,
    },
    Unfence {
        id: i32,
    },
    Fence {
        id: i32,
    },
    BeginShutdown {
        id: i32,
    },
    FinishShutdown {
        id: i32,
    },
    Unregister {
        id: i32,
    },
    /// The leader asks for those of the replicas that the bits select, and for itself.
    Alter {
        name: String,
        index: i32,
        bits: u8,
        recovered: bool,
    },
    Elect {
        name: String,
        index: i32,
        unclean: bool,
    },
    Restore,
    Reassign {
        name: String,
        index: i32,
        replicas: Option<Vec<i32>>,
    },
    MinInSync {
        name: String,
        value: u8,
    },
    /// The cluster's default of the same.
    DefaultMinInSync {
        value: u8,
    },
    ElectMissing,
}

fn name() -> impl Strategy<Value = String> {
    "[ab]"
}

fn step() -> impl Strategy<Value = Step> {
    let id = || 0..BROKERS;
    let index = || 0..3_i32;
    prop_oneof![
        2 => (name(), 1..4_i16, any::<bool>())
            .prop_map(|(name, replicas, unclean)| Step::Create { name, replicas, unclean }),
        1 => name().prop_map(|name| Step::Delete { name }),
        3 => (id(), any::<bool>(), any::<bool>(), 0..6_u8).prop_map(
            |(id, synced, clean, chance)| Step::Start { id, synced, clean, empty: chance == 0 }),
        6 => id().prop_map(|id| Step::Unfence { id }),
        3 => id().prop_map(|id| Step::Fence { id }),
        1 => id().prop_map(|id| Step::BeginShutdown { id }),
        1 => id().prop_map(|id| Step::FinishShutdown { id }),
        1 => id().prop_map(|id| Step::Unregister { id }),
        10 => (name(), index(), any::<u8>(), any::<bool>()).prop_map(
            |(name, index, bits, recovered)| Step::Alter { name, index, bits, recovered }),
        2 => (name(), index(), any::<bool>())
            .prop_map(|(name, index, unclean)| Step::Elect { name, index, unclean }),
        1 => Just(Step::Restore),
        3 => (name(), index(), proptest::option::of(vec(id(), 1..4)))
            .prop_map(|(name, index, replicas)| Step::Reassign { name, index, replicas }),
        1 => (name(), 1..4_u8).prop_map(|(name, value)| Step::MinInSync { name, value }),
        1 => (1..4_u8).prop_map(|value| Step::DefaultMinInSync { value }),
        1 => Just(Step::ElectMissing),
    ]
}

/// What the step asks of the image; nothing if it is refused.
fn records_of(image: &Image, number: u128, step: &Step) -> Vec<Record> {
    let epoch_of = |id: i32| image.broker(id).map_or(-1, |_| epoch(image, id));
    match step {
        Step::Create { .. }
        | Step::Delete { .. }
        | Step::MinInSync { .. }
        | Step::DefaultMinInSync { .. } => topic_step(image, step),
        Step::ElectMissing => elect_missing_leaders(image, 5, RULES).records,
        Step::Start {
            id,
            synced,
            clean,
            empty,
        } => {
            let directory = match image.broker(*id) {
                Some(broker) if !*empty => broker.directory_id.as_u128(),
                _ => 1_000 + number,
            };
            let request = Registration {
                is_log_synced: *synced,
                clean_epoch: clean.then_some(epoch_of(*id)),
                ..registration(*id, 1_000 + number, directory)
            };
            register(image, request, false, RULES).map_or(vec![], |d| d.records)
        }
        Step::Unfence { id } => {
            unfence_broker(image, *id, epoch_of(*id), RULES).map_or(vec![], |d| d.records)
        }
        Step::Fence { id } => {
            fence_broker(image, &lost(*id, epoch_of(*id)), RULES).map_or(vec![], |d| d.records)
        }
        Step::BeginShutdown { id } => begin_controlled_shutdown(image, *id, epoch_of(*id), RULES)
            .map_or(vec![], |d| d.records),
        Step::FinishShutdown { id } => {
            finish_controlled_shutdown(image, *id, epoch_of(*id)).map_or(vec![], |d| d.records)
        }
        Step::Unregister { id } => {
            unregister_broker(image, *id, RULES).map_or(vec![], |d| d.records)
        }
        Step::Alter {
            name,
            index,
            bits,
            recovered,
        } => alter(image, name, *index, *bits, *recovered),
        Step::Elect {
            name,
            index,
            unclean,
        } => {
            let kind = match unclean {
                true => ElectionKind::Unclean,
                false => ElectionKind::Preferred,
            };
            elect_leaders(image, kind, &[(name.clone(), *index)], RULES).records
        }
        Step::Restore => restore_preferred_leaders(image, 2, RULES).records,
        Step::Reassign {
            name,
            index,
            replicas,
        } => {
            let request = Reassignment {
                topic: name.clone(),
                index: *index,
                replicas: replicas.clone(),
            };
            alter_reassignments(image, &[request], true, RULES).records
        }
    }
}

fn topic_step(image: &Image, step: &Step) -> Vec<Record> {
    match step {
        Step::Create {
            name,
            replicas,
            unclean,
        } => {
            let config = (
                "unclean.leader.election.enable".into(),
                Some(unclean.to_string()),
            );
            let topic = NewTopic {
                replication_factor: *replicas,
                configs: vec![config],
                ..new_topic(name)
            };
            create_topics(image, &[topic], testing::DEFAULTS)
                .unwrap()
                .records
        }
        Step::Delete { name } => {
            let id = image.topic(name).map(|topic| topic.id);
            delete_topics(image, &id.into_iter().collect::<Vec<_>>()).records
        }
        Step::MinInSync { name, value } => {
            set_min_in_sync(image, ConfigResource::Topic(name.clone()), *value)
        }
        Step::DefaultMinInSync { value } => {
            set_min_in_sync(image, ConfigResource::Broker(None), *value)
        }
        _ => unreachable!("only steps about topics come here"),
    }
}

fn set_min_in_sync(image: &Image, resource: ConfigResource, value: u8) -> Vec<Record> {
    let set = ConfigOperation::Set(value.to_string());
    let alteration = Alteration::Incremental(vec![("min.insync.replicas".into(), set)]);
    let request = ResourceAlteration {
        resource,
        alteration,
    };
    alter_configs(image, &[request]).records
}

fn alter(image: &Image, name: &str, index: i32, bits: u8, recovered: bool) -> Vec<Record> {
    let Some(topic) = image.topic(name) else {
        return vec![];
    };
    let Some(partition) = topic.partition(index) else {
        return vec![];
    };
    let leader = partition.leader;
    if image.broker(leader).is_none() {
        return vec![];
    }
    let is_chosen = |id: &i32| *id == leader || bits & (1 << id) != 0;
    let chosen = partition.replicas.iter().copied().filter(is_chosen);
    let chosen = chosen.filter(|id| image.broker(*id).is_some());
    let request = PartitionAlteration {
        topic_id: topic.id,
        index,
        leader_epoch: partition.leader_epoch,
        partition_epoch: partition.partition_epoch,
        in_sync_replicas: chosen.map(|id| (id, epoch(image, id))).collect(),
        leader_recovery_state: match recovered {
            true => LeaderRecoveryState::Recovered,
            false => partition.leader_recovery_state,
        },
    };
    let decision = alter_partitions(image, leader, epoch(image, leader), &[request], RULES);
    decision.unwrap().records
}

/// What must hold of one partition and the brokers.
fn check_state(image: &Image, partition: &Partition) {
    let is_active = |id: &i32| image.broker(*id).is_some_and(|broker| broker.is_active());
    let in_sync = &partition.in_sync_replicas;
    assert!(
        in_sync.iter().all(is_active),
        "only active brokers are in sync"
    );
    let registered = |id: &i32| image.broker(*id).is_some();
    assert!(partition.eligible_leader_replicas.iter().all(registered));
    if partition.leader == NO_LEADER {
        let eligible = &partition.eligible_leader_replicas;
        assert!(in_sync.is_empty(), "a replica in sync would lead");
        assert!(
            !eligible.iter().any(is_active),
            "an eligible replica would lead"
        );
        let last = partition.last_known_leader;
        assert!(
            !(eligible.is_empty() && is_active(&last)),
            "the last leader would lead"
        );
    } else {
        assert!(in_sync.contains(&partition.leader), "the leader is in sync");
        assert_eq!(partition.last_known_leader, NO_LEADER);
    }
    // KIP-966: once the leader may acknowledge without them, nobody else is eligible.
    let of_partition = image.topics().find(|topic| {
        let mut all = topic.partitions.iter();
        all.any(|other| other.incarnation == partition.incarnation)
    });
    let topic = of_partition.expect("each partition has a topic");
    let needed = min_in_sync_replicas(image, topic, partition.replicas.len(), RULES);
    assert!(in_sync.len() < needed || partition.eligible_leader_replicas.is_empty());
    if !partition.leader_recovery_state.is_recovered() {
        assert!(in_sync.len() <= 1, "a leader that recovers is alone");
    }
}

/// What must hold between two states of one partition.
fn check_change(before: &Partition, after: &Partition) {
    if before == after {
        return;
    }
    assert!(
        after.partition_epoch > before.partition_epoch,
        "each change has an epoch"
    );
    let leader_changed = before.leader != after.leader;
    let raised = after.leader_epoch - before.leader_epoch;
    let some_gone = !before.replicas.iter().all(|id| after.replicas.contains(id));
    assert_eq!(
        raised,
        i32::from(leader_changed || some_gone),
        "a leader epoch for each leader, and when a broker stops being a replica"
    );
    let had_records = |id: &i32| {
        before.in_sync_replicas.contains(id) || before.eligible_leader_replicas.contains(id)
    };
    // Nobody becomes eligible who was not in sync or eligible before.
    assert!(after.eligible_leader_replicas.iter().all(had_records));
    // A reassignment that ends puts its last replica in sync and may let it lead in one step.
    let reassigned = before.is_reassigned() && !after.is_reassigned();
    if leader_changed
        && !reassigned
        && after.leader != NO_LEADER
        && after.leader_recovery_state.is_recovered()
    {
        assert!(
            had_records(&after.leader),
            "a clean leader has all that was acknowledged"
        );
    }
}

fn states(image: &Image) -> BTreeMap<u64, Partition> {
    let state = |partition: &Partition| (partition.incarnation, partition.clone());
    image
        .partitions()
        .map(|(_, _, partition)| state(partition))
        .collect()
}

fn replay<'a>(log: impl Iterator<Item = &'a EncodedRecord>) -> Image {
    let decode = |stored: &EncodedRecord| {
        Record::decode(&stored.key, stored.value.as_deref()).expect("what was encoded decodes")
    };
    log.map(decode).fold(Image::default(), Image::apply)
}

/// The newest record of each key, in place, without tombstones.
fn compacted(log: &[EncodedRecord]) -> Vec<EncodedRecord> {
    let numbered = log.iter().enumerate();
    let newest: BTreeMap<_, _> = numbered.map(|(n, r)| (r.key.clone(), n)).collect();
    let stays = |(number, record): &(usize, &EncodedRecord)| {
        newest[&record.key] == *number && record.value.is_some()
    };
    let numbered = log.iter().enumerate().filter(stays);
    numbered.map(|(_, record)| record.clone()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    #[test]
    fn the_invariants_of_replication_hold_after_each_step(steps in vec(step(), 1..60)) {
        let mut log = Vec::new();
        let mut image = Image::default();
        let begin = (0..BROKERS).flat_map(|id| [
            Step::Start { id, synced: true, clean: true, empty: false }, Step::Unfence { id },
        ]);
        let create = |name: &str| Step::Create { name: name.into(), replicas: 3, unclean: false };
        let begin = begin.chain([create("a")]);
        for (number, step) in (0..).zip(begin.chain(steps)) {
            let before = image.clone();
            for record in records_of(&before, number, &step) {
                log.push(record.encode());
                image = image.apply(record);
                prop_assert_eq!(image.validate(), Ok(()), "after {:?}", step);
            }
            let old = states(&before);
            for (incarnation, after) in states(&image) {
                check_state(&image, &after);
                if let Some(before) = old.get(&incarnation) {
                    check_change(before, &after);
                }
            }
            prop_assert!(image.next_broker_epoch() >= before.next_broker_epoch());
            for broker in image.brokers() {
                let same = before.broker(broker.broker_id);
                prop_assert!(same.is_none_or(|same| same.epoch <= broker.epoch));
            }
        }
        prop_assert_eq!(&replay(log.iter()), &image);
        prop_assert_eq!(&replay(compacted(&log).iter()), &image);
        let snapshot: Vec<EncodedRecord> = image.to_records().iter().map(Record::encode).collect();
        prop_assert_eq!(&replay(snapshot.iter()), &image);
    }
}
