//! What the tests of the commands share.

use std::sync::atomic::{AtomicU64, Ordering};

use uuid::Uuid;

use super::{
    ConfigRules, CreationDefaults, ListDefault, NewTopic, RegisterBroker, ResourceKind,
    create_topics, register_broker,
};
use crate::metadata::{Image, image::Configs};

pub(crate) const DEFAULTS: CreationDefaults = CreationDefaults {
    partition_count: 3,
    replication_factor: 1,
};

const KNOWN_CONFIGS: [&str; 3] = ["cleanup.policy", "retention.ms", "segment.bytes"];

/// Rules of three configs, one of them a list.
pub(crate) struct TestRules;

impl ConfigRules for TestRules {
    fn validate_topic(&self, overrides: &Configs) -> Result<(), String> {
        match overrides
            .keys()
            .find(|name| !KNOWN_CONFIGS.contains(&name.as_str()))
        {
            Some(name) => Err(format!("Unknown topic config name: {name}")),
            None => Ok(()),
        }
    }

    fn validate_broker(&self, _: Option<i32>, overrides: &Configs) -> Result<(), String> {
        self.validate_topic(overrides)
    }

    fn list_default(&self, _: ResourceKind, name: &str) -> ListDefault {
        match name {
            "cleanup.policy" => ListDefault::List(Some("delete".to_owned())),
            _ => ListDefault::NotAList,
        }
    }
}

pub(crate) fn accept_all(_: &Configs) -> Result<(), String> {
    Ok(())
}

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
    let decision = create_topics(image, &[new_topic(name)], DEFAULTS, &accept_all).unwrap();
    decision.outcome[0].as_ref().unwrap();
    decision
        .records
        .into_iter()
        .fold(image.clone(), Image::apply)
}
