//! Each rule of replication on a few brokers, by name; here what their tests share.

mod elections;
mod eligible;
mod figures;
mod life;
mod order;
mod reassignments;

use uuid::Uuid;

pub(super) use super::testing::{lost, new_topic};
pub(super) use super::*;
use crate::metadata::{Decision, Partition, records::Record};

pub(super) const RULES: ElectionDefaults = ElectionDefaults {
    min_insync_replicas: 2,
    unclean_leader_election: false,
};

pub(super) const MIN: &str = "min.insync.replicas";

/// A registration with a synced log.
pub(super) fn registration(broker_id: i32, start: u128, directory: u128) -> Registration {
    Registration {
        broker_id,
        incarnation_id: Uuid::from_u128(start),
        directory_id: Uuid::from_u128(directory),
        rack: Some(format!("rack-{}", broker_id % 3)),
        endpoints: vec![],
        supported_features: supported_features(),
        clean_epoch: None,
        is_log_synced: true,
    }
}

pub(super) fn apply(image: &Image, records: Vec<Record>) -> Image {
    records.into_iter().fold(image.clone(), Image::apply)
}

pub(super) fn epoch(image: &Image, id: i32) -> i64 {
    image.broker(id).unwrap().epoch
}

pub(super) fn done<T, E: std::fmt::Debug>(
    image: &Image,
    decision: Result<Decision<T>, E>,
) -> Image {
    let image = apply(image, decision.unwrap().records);
    assert_eq!(image.validate(), Ok(()));
    image
}

pub(super) fn fence(image: &Image, id: i32) -> Image {
    done(
        image,
        fence_broker(image, &lost(id, epoch(image, id)), RULES),
    )
}

pub(super) fn unfence(image: &Image, id: i32) -> Image {
    done(image, unfence_broker(image, id, epoch(image, id), RULES))
}

pub(super) fn start(image: &Image, id: i32, start: u128, directory: u128) -> Image {
    done(
        image,
        register(image, registration(id, start, directory), false, RULES),
    )
}

/// Brokers 0 to `brokers` - 1, and a topic `t` of one partition on brokers 0, 1 and 2.
pub(super) fn cluster(brokers: i32, configs: &[(&str, &str)]) -> Image {
    let mut image = Image::default();
    for id in 0..brokers {
        let number = u128::try_from(id).unwrap() + 100;
        image = unfence(&start(&image, id, number, number), id);
    }
    let mut topic = new_topic("t");
    topic.assignments = vec![(0, vec![0, 1, 2])];
    topic.configs = configs
        .iter()
        .map(|(k, v)| ((*k).into(), Some((*v).into())))
        .collect();
    let decision = create_topics(&image, &[topic], testing::DEFAULTS).unwrap();
    decision.outcome[0].as_ref().unwrap();
    apply(&image, decision.records)
}

pub(super) fn partition(image: &Image) -> &Partition {
    image.topic("t").unwrap().partition(0).unwrap()
}

pub(super) fn alteration(image: &Image, in_sync: &[i32]) -> PartitionAlteration {
    let state = partition(image);
    PartitionAlteration {
        topic_id: image.topic("t").unwrap().id,
        index: 0,
        leader_epoch: state.leader_epoch,
        partition_epoch: state.partition_epoch,
        in_sync_replicas: in_sync.iter().map(|id| (*id, epoch(image, *id))).collect(),
        leader_recovery_state: LeaderRecoveryState::Recovered,
    }
}

pub(super) fn alter(image: &Image, request: PartitionAlteration) -> (Image, AlteredPartition) {
    let sender = partition(image).leader;
    let decision = alter_partitions(image, sender, epoch(image, sender), &[request], RULES);
    let decision = decision.unwrap();
    let image = apply(image, decision.records);
    assert_eq!(image.validate(), Ok(()));
    (image, decision.outcome.into_iter().next().unwrap())
}

pub(super) fn set_in_sync(image: &Image, in_sync: &[i32]) -> Image {
    let (image, result) = alter(image, alteration(image, in_sync));
    assert_eq!(&result.unwrap(), partition(&image));
    image
}

pub(super) fn reassign(
    image: &Image,
    replicas: Option<&[i32]>,
) -> (Image, Result<(), ReassignmentError>) {
    let request = Reassignment {
        topic: "t".into(),
        index: 0,
        replicas: replicas.map(<[i32]>::to_vec),
    };
    let decision = alter_reassignments(image, &[request], true, RULES);
    let image = apply(image, decision.records);
    assert_eq!(image.validate(), Ok(()));
    (image, decision.outcome.into_iter().next().unwrap())
}

/// One change of one config.
pub(super) fn set(resource: ConfigResource, name: &str, value: Option<&str>) -> ResourceAlteration {
    let operation = match value {
        Some(value) => ConfigOperation::Set(value.into()),
        None => ConfigOperation::Delete,
    };
    ResourceAlteration {
        resource,
        alteration: Alteration::Incremental(vec![(name.into(), operation)]),
    }
}

pub(super) fn update(
    image: &Image,
    name: &str,
    level: i16,
) -> (Image, Result<(), UpdateFeatureError>) {
    let update = FeatureUpdate {
        name: name.into(),
        level,
        may_downgrade: false,
    };
    let decision = update_features(image, &[update], RULES);
    let image = apply(image, decision.records);
    assert_eq!(image.validate(), Ok(()));
    (image, decision.outcome.into_iter().next().unwrap())
}
