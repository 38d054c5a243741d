//! What the tests of the commands share.

use std::{
    collections::BTreeSet,
    sync::atomic::{AtomicU64, Ordering},
};

use uuid::Uuid;

use super::{
    Conditions, CreationDefaults, ElectionDefaults, FenceBroker, NewTopic, RegisterBroker,
    create_topics, register_broker,
};
use crate::metadata::Image;

pub(crate) const DEFAULTS: CreationDefaults = CreationDefaults {
    partition_count: 3,
    replication_factor: 1,
};

pub(crate) const CONDITIONS: Conditions = Conditions {
    election: ElectionDefaults {
        min_insync_replicas: 1,
        unclean_leader_election: false,
    },
    live_brokers: BTreeSet::new(),
};

pub(crate) fn image_with_brokers(count: i32) -> Image {
    let register = |image: Image, broker_id| {
        let broker = RegisterBroker {
            broker_id,
            incarnation_id: Uuid::nil(),
            rack: None,
            endpoints: vec![],
        };
        register_broker(&image, broker)
            .records
            .into_iter()
            .fold(image, Image::apply)
    };
    (0..count).fold(Image::default(), register)
}

/// A broker whose connection broke.
pub(crate) fn lost(broker_id: i32, broker_epoch: i64) -> FenceBroker {
    FenceBroker {
        broker_id,
        broker_epoch,
        is_silent: false,
    }
}

pub(crate) fn new_topic(name: &str) -> NewTopic {
    static NEXT_ID: AtomicU64 = AtomicU64::new(1);
    NewTopic {
        name: name.to_owned(),
        topic_id: Uuid::from_u128(NEXT_ID.fetch_add(1, Ordering::Relaxed).into()),
        partition_count: -1,
        replication_factor: -1,
        assignments: vec![],
        configs: vec![],
    }
}

/// The image with one more topic, of three partitions.
pub(crate) fn create(image: &Image, name: &str) -> Image {
    let decision = create_topics(image, &[new_topic(name)], DEFAULTS).unwrap();
    decision.outcome[0].as_ref().unwrap();
    decision
        .records
        .into_iter()
        .fold(image.clone(), Image::apply)
}
