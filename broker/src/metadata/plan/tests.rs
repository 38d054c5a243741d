//! Plans on small clusters.

use std::collections::HashSet;

use proptest::{collection::vec, prelude::*};
use uuid::Uuid;

use super::{working_copy::WorkingCopy, *};
use crate::metadata::{
    commands::{self, CreationDefaults, NewTopic},
    records::{BrokerRecord, Record},
};

fn broker(broker_id: i32) -> Record {
    Record::from(BrokerRecord {
        broker_id,
        epoch: broker_id.into(),
        incarnation_id: Uuid::nil(),
        rack: Some(format!("rack-{}", broker_id % 3)),
        endpoints: vec![],
        directory_id: Uuid::nil(),
        supported_features: BTreeMap::new(),
        fenced: false,
        silent: false,
        in_controlled_shutdown: false,
    })
}

/// `brokers` brokers on three racks; the topic's 12 partitions are on the first three of them.
fn cluster(brokers: i32) -> Image {
    let image = (0..brokers)
        .map(broker)
        .fold(Image::default(), Image::apply);
    let topic = NewTopic {
        name: "t".into(),
        topic_id: Uuid::from_u128(1),
        partition_count: -1,
        replication_factor: -1,
        assignments: (0..12).map(|index| (index, vec![0, 1, 2])).collect(),
        configs: vec![],
    };
    let defaults = CreationDefaults {
        partition_count: 1,
        replication_factor: 1,
    };
    let created = commands::create_topics(&image, &[topic], defaults).unwrap();
    created.outcome[0].as_ref().unwrap();
    created.records.into_iter().fold(image, Image::apply)
}

fn key(index: usize) -> PartitionKey {
    (Arc::from("t"), index)
}

fn bounds(max_moves: usize, max_leader_moves: usize) -> Bounds {
    Bounds {
        max_moves,
        max_leader_moves,
    }
}

/// Replicas of all partitions after the moves.
fn carried_out(image: &Image, moves: &[PlannedMove]) -> Vec<Vec<i32>> {
    let topic = image.topic("t").unwrap();
    let mut replicas: Vec<Vec<i32>> = topic
        .partitions
        .iter()
        .map(|p| p.replicas.clone())
        .collect();
    for planned in moves {
        assert_eq!(replicas[planned.index], planned.from);
        let distinct: HashSet<&i32> = planned.to.iter().collect();
        assert_eq!(distinct.len(), planned.from.len());
        let racks: HashSet<i32> = planned.to.iter().map(|id| id % 3).collect();
        assert_eq!(racks.len(), 3, "racks are kept apart");
        replicas[planned.index].clone_from(&planned.to);
    }
    replicas
}

fn count(replicas: &[Vec<i32>], id: i32) -> usize {
    replicas
        .iter()
        .flatten()
        .filter(|other| **other == id)
        .count()
}

#[test]
fn new_brokers_get_their_share_of_replicas_and_leaders() {
    let image = cluster(6);
    let moves = plan(&image, &BTreeMap::new(), &Goal::Balance, bounds(100, 100));
    let replicas = carried_out(&image, &moves);
    for id in 0..6 {
        assert_eq!(count(&replicas, id), 6, "{replicas:?}");
        let leads = replicas.iter().filter(|replicas| replicas[0] == id).count();
        assert!((1..=3).contains(&leads), "{id} leads {leads}: {replicas:?}");
    }
}

#[test]
fn plans_are_bounded() {
    let image = cluster(6);
    let moves = plan(&image, &BTreeMap::new(), &Goal::Balance, bounds(2, 0));
    let replicas = carried_out(&image, &moves);
    let moved: usize = (3..6).map(|id| count(&replicas, id)).sum();
    assert_eq!(moved, 2);
    assert_eq!(
        plan(&image, &BTreeMap::new(), &Goal::Balance, bounds(0, 0)),
        []
    );
}

#[test]
fn a_balanced_cluster_is_left_alone() {
    let image = cluster(3);
    let moves = plan(&image, &BTreeMap::new(), &Goal::Balance, bounds(100, 0));
    assert_eq!(moves, []);
    let leaders = plan(&image, &BTreeMap::new(), &Goal::Balance, bounds(100, 100));
    assert!(leaders.iter().all(|planned| planned.bytes == 0));
    let replicas = carried_out(&image, &leaders);
    for id in 0..3 {
        assert_eq!(
            replicas.iter().filter(|replicas| replicas[0] == id).count(),
            4
        );
    }
}

#[test]
fn a_drained_broker_keeps_nothing() {
    let image = cluster(6);
    let sizes = BTreeMap::from([(key(7), 1_000)]);
    let goal = Goal::Drain(BTreeSet::from([0]));
    let first = plan(&image, &sizes, &goal, bounds(1, 0));
    assert_eq!(
        (first[0].index, first[0].bytes),
        (7, 1_000),
        "the largest goes first"
    );
    let moves = plan(&image, &sizes, &goal, bounds(100, 0));
    let replicas = carried_out(&image, &moves);
    assert_eq!((count(&replicas, 0), count(&replicas, 3)), (0, 12));
}

#[test]
fn bytes_are_balanced_by_swaps() {
    let image = cluster(6);
    let moves = plan(&image, &BTreeMap::new(), &Goal::Balance, bounds(100, 0));
    let replicas = carried_out(&image, &moves);
    // Everything large is on broker 0, and nothing on broker 3.
    let mut sizes: BTreeMap<PartitionKey, u64> = BTreeMap::new();
    for (index, replicas) in replicas.iter().enumerate() {
        let bytes = if replicas.contains(&0) { 100 } else { 1 };
        sizes.insert(key(index), bytes);
    }
    let topic = image.topic("t").unwrap();
    let mut changed = crate::metadata::Topic::clone(topic);
    for (partition, replicas) in changed.partitions.iter_mut().zip(&replicas) {
        let partition = Arc::make_mut(partition);
        partition.replicas.clone_from(replicas);
        partition.in_sync_replicas.clone_from(replicas);
        partition.leader = replicas[0];
    }
    let image = image.clone().apply(changed.to_record());
    let on = |replicas: &[Vec<i32>], id: i32| -> u64 {
        let with_size = replicas.iter().enumerate();
        let there = with_size.filter(|(_, replicas)| replicas.contains(&id));
        there.map(|(index, _)| sizes[&key(index)]).sum()
    };
    let before = on(&replicas, 0) - on(&replicas, 3);
    let moves = plan(&image, &sizes, &Goal::Balance, bounds(20, 0));
    let after = carried_out(&image, &moves);
    assert!(on(&after, 0).abs_diff(on(&after, 3)) < before / 2);
    assert_eq!(count(&after, 0), count(&replicas, 0));
}

#[test]
fn replicas_are_moved_by_their_size_so_that_bytes_get_even_too() {
    let image = cluster(6);
    let sizes: BTreeMap<PartitionKey, u64> = (0..12)
        .map(|index| (key(index), 100 + 10 * u64::try_from(index).unwrap()))
        .collect();
    let moves = plan(&image, &sizes, &Goal::Balance, bounds(18, 0));
    let replicas = carried_out(&image, &moves);
    for id in 0..6 {
        assert_eq!(count(&replicas, id), 6);
        let on = |(index, replicas): (usize, &Vec<i32>)| match replicas.contains(&id) {
            true => sizes[&key(index)],
            false => 0,
        };
        let bytes: u64 = replicas.iter().enumerate().map(on).sum();
        assert!(bytes.abs_diff(930) <= 40, "{id}: {bytes}");
    }
}

#[test]
fn a_partition_that_was_searched_in_vain_is_found_once_it_may_move() {
    let image = (0..4).map(broker).fold(Image::default(), Image::apply);
    let topic = NewTopic {
        name: "t".into(),
        topic_id: Uuid::from_u128(1),
        partition_count: -1,
        replication_factor: -1,
        assignments: vec![(0, vec![0, 1])],
        configs: vec![],
    };
    let defaults = CreationDefaults {
        partition_count: 1,
        replication_factor: 1,
    };
    let created = commands::create_topics(&image, &[topic], defaults).unwrap();
    let image = created.records.into_iter().fold(image, Image::apply);
    let mut copy = WorkingCopy::new(&image, &BTreeMap::new(), &BTreeSet::new());
    // Broker 3 is on the rack of broker 0.
    assert_eq!(copy.smallest(1, 3), None);
    copy.move_replica(0, 0, 2);
    assert_eq!(copy.smallest(1, 3), Some(0));
}

proptest! {
    #[test]
    fn no_move_that_would_help_is_overlooked(
        racks in vec(0..3_i32, 2..7), partitions in vec(vec(0..7_i32, 1..4), 1..40),
    ) {
        let brokers = i32::try_from(racks.len()).unwrap();
        let registered = (0..brokers).map(|id| {
            let Record::Broker { value: Some(mut value), .. } = broker(id) else {
                unreachable!("a registration")
            };
            value.rack = Some(racks[usize::try_from(id).unwrap()].to_string());
            Record::from(value)
        });
        let image = registered.fold(Image::default(), Image::apply);
        let replicas = |wanted: &Vec<i32>| {
            let mut replicas: Vec<i32> = wanted.iter().map(|id| id % brokers).collect();
            replicas.sort_unstable();
            replicas.dedup();
            replicas
        };
        let mut image = image;
        for (number, wanted) in (1..).zip(&partitions) {
            let topic = NewTopic {
                name: format!("t{number}"),
                topic_id: Uuid::from_u128(number),
                partition_count: -1,
                replication_factor: -1,
                assignments: vec![(0, replicas(wanted))],
                configs: vec![],
            };
            let defaults = CreationDefaults { partition_count: 1, replication_factor: 1 };
            let created = commands::create_topics(&image, &[topic], defaults).unwrap();
            image = created.records.into_iter().fold(image, Image::apply);
        }
        let moves = plan(&image, &BTreeMap::new(), &Goal::Balance, bounds(usize::MAX, 0));
        let mut after: Vec<Vec<i32>> = image.partitions().map(|(_, _, p)| p.replicas.clone()).collect();
        let names: Vec<Arc<str>> = image.topics().map(|topic| Arc::clone(&topic.name)).collect();
        for planned in moves {
            let place = names.iter().position(|name| *name == planned.topic).unwrap();
            after[place] = planned.to;
        }
        let load = |id: i32| after.iter().filter(|replicas| replicas.contains(&id)).count();
        let rack = |id: i32| racks[usize::try_from(id).unwrap()];
        for replicas in &after {
            for from in replicas {
                for to in (0..brokers).filter(|to| !replicas.contains(to)) {
                    let mates = |rack_of: i32| {
                        let others = replicas.iter().filter(|id| *id != from);
                        others.filter(|id| rack(**id) == rack(rack_of)).count()
                    };
                    let helps = load(*from) >= load(to) + 2;
                    prop_assert!(!helps || mates(to) > mates(*from), "{from} to {to}");
                }
            }
        }
    }
}

fn factor(factor: usize) -> Goal {
    let topics = BTreeSet::from(["t".to_owned()]);
    Goal::ReplicationFactor { topics, factor }
}

#[test]
fn more_replicas_come_to_other_racks_and_to_brokers_that_have_few() {
    let image = cluster(6);
    let goal = factor(4);
    let moves = plan(&image, &BTreeMap::new(), &goal, bounds(100, 0));
    assert_eq!(moves.len(), 12);
    assert_eq!(unfinished(&image, &goal, &moves), 0);
    let added: Vec<i32> = moves.iter().map(|planned| planned.to[3]).collect();
    for planned in &moves {
        assert_eq!(planned.to[..3], planned.from[..]);
    }
    for id in 3..6 {
        assert_eq!(added.iter().filter(|added| **added == id).count(), 4);
    }
    let few = plan(&image, &BTreeMap::new(), &goal, bounds(5, 0));
    assert_eq!((few.len(), unfinished(&image, &goal, &few)), (5, 7));
    let beyond = factor(7);
    let most = plan(&image, &BTreeMap::new(), &beyond, bounds(100, 0));
    assert!(most.iter().all(|planned| planned.to.len() == 6));
    assert_eq!(unfinished(&image, &beyond, &most), 12);
    let other = Goal::ReplicationFactor {
        topics: BTreeSet::from(["u".to_owned()]),
        factor: 1,
    };
    assert_eq!(plan(&image, &BTreeMap::new(), &other, bounds(100, 0)), []);
}

#[test]
fn fewer_replicas_keep_the_preferred_leader_unless_it_is_behind() {
    let image = cluster(3);
    let goal = factor(2);
    for planned in plan(&image, &BTreeMap::new(), &goal, bounds(0, 0)) {
        assert_eq!(planned.to[0], 0);
        assert_eq!((planned.to.len(), planned.bytes), (2, 0));
    }
    let mut state = image.topic("t").unwrap().partitions[5].as_ref().clone();
    state.in_sync_replicas = vec![2];
    state.leader = 2;
    state.partition_epoch += 1;
    let behind = image.apply(Record::Partition {
        incarnation: state.incarnation,
        value: Some(crate::metadata::records::PartitionChangeRecord {
            topic_id: Uuid::from_u128(1),
            index: 5,
            state,
        }),
    });
    let moves = plan(&behind, &BTreeMap::new(), &factor(1), bounds(0, 0));
    assert_eq!(moves.len(), 12);
    for planned in moves {
        let stays = if planned.index == 5 { 2 } else { 0 };
        assert_eq!(planned.to, [stays]);
    }
}

#[test]
fn what_cannot_be_drained_is_told() {
    let image = cluster(3);
    let goal = Goal::Drain(BTreeSet::from([1]));
    let moves = plan(&image, &BTreeMap::new(), &goal, bounds(100, 0));
    assert_eq!((moves.len(), unfinished(&image, &goal, &moves)), (0, 12));
    let wider = cluster(4);
    let moves = plan(&wider, &BTreeMap::new(), &goal, bounds(7, 0));
    assert_eq!((moves.len(), unfinished(&wider, &goal, &moves)), (7, 5));
}

/// A cluster of `brokers` brokers whose partitions are on the first `used` of them, in topics of 1,000.
fn large(brokers: i32, used: i32, partitions: i32) -> (Image, BTreeMap<PartitionKey, u64>) {
    let mut image = (0..brokers)
        .map(broker)
        .fold(Image::default(), Image::apply);
    let mut sizes = BTreeMap::new();
    for number in 0..partitions / 1_000 {
        let name = format!("t{number:03}");
        let replicas = |index: i32| {
            let first = index.wrapping_mul(7) + number;
            (0..3)
                .map(|turn| (first + turn) % used)
                .collect::<Vec<i32>>()
        };
        let topic = NewTopic {
            name: name.clone(),
            topic_id: Uuid::from_u128(u128::try_from(number).unwrap() + 1),
            partition_count: -1,
            replication_factor: -1,
            assignments: (0..1_000).map(|index| (index, replicas(index))).collect(),
            configs: vec![],
        };
        let defaults = CreationDefaults {
            partition_count: 1,
            replication_factor: 1,
        };
        let created = commands::create_topics(&image, &[topic], defaults).unwrap();
        created.outcome[0].as_ref().unwrap();
        image = created.records.into_iter().fold(image, Image::apply);
        for index in 0..1_000_u64 {
            let bytes = (index * 7_919 + u64::try_from(number).unwrap() * 104_729) % 1_000_003;
            let index = usize::try_from(index).unwrap();
            sizes.insert((Arc::from(name.as_str()), index), bytes);
        }
    }
    (image, sizes)
}

#[test]
fn large_plans_are_measured() {
    for (brokers, used, partitions) in [(3, 3, 10_000), (6, 3, 10_000), (20, 15, 100_000)] {
        let (image, sizes) = large(brokers, used, partitions);
        let unbounded = bounds(usize::MAX, usize::MAX);
        let begin = std::time::Instant::now();
        let moves = plan(&image, &sizes, &Goal::Balance, unbounded);
        let balanced = begin.elapsed();
        let begin = std::time::Instant::now();
        let drained = plan(&image, &sizes, &Goal::Drain(BTreeSet::from([0])), unbounded);
        println!(
            "{partitions} partitions, {brokers} brokers: balance of {} partitions in {balanced:?}, \
             drain of {} in {:?}",
            moves.len(),
            drained.len(),
            begin.elapsed()
        );
        let mut loads: BTreeMap<i32, (usize, u64, usize)> = BTreeMap::new();
        let planned: BTreeMap<(&str, usize), &[i32]> = moves
            .iter()
            .map(|planned| ((planned.topic.as_ref(), planned.index), &planned.to[..]))
            .collect();
        for (topic, index, partition) in image.partitions() {
            let replicas = planned.get(&(topic.name.as_ref(), index));
            let replicas = replicas.copied().unwrap_or(&partition.replicas);
            let racks: HashSet<i32> = replicas.iter().map(|id| id % 3).collect();
            let before: HashSet<i32> = partition.replicas.iter().map(|id| id % 3).collect();
            assert!(racks.len() >= before.len(), "racks are kept apart");
            for (place, id) in replicas.iter().enumerate() {
                let load = loads.entry(*id).or_default();
                load.0 += 1;
                load.1 += sizes[&(Arc::clone(&topic.name), index)];
                load.2 += usize::from(place == 0);
            }
        }
        println!("replicas, bytes and leaders: {loads:?}");
    }
}
