//! UpdateFeatures (KIP-584): raises or lowers the finalized level of a feature, to which all brokers keep.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{alter_configs::MIN_INSYNC_REPLICAS, partition_change::ElectionDefaults};
use crate::metadata::{
    Decision, Image,
    records::{BrokerConfigRecord, FeatureRecord, Record},
};

/// The feature that stands for what the cluster's brokers agree on: records, requests between brokers,
/// and rules; what `metadata.version` is in Kafka. While it is off, the cluster has one broker.
pub const FJORD_VERSION: &str = "fjord.version";

/// The level of [`FJORD_VERSION`] from which a cluster may have several brokers. Eligible leader replicas are
/// kept from here on, so `min.insync.replicas` is the same for all brokers.
pub const SEVERAL_BROKERS: i16 = 1;

/// The highest level of [`FJORD_VERSION`] that this program supports.
pub const NEWEST_FJORD_VERSION: i16 = SEVERAL_BROKERS;

/// The features that this program supports, with their lowest and highest levels: what a broker registers.
pub fn supported_features() -> BTreeMap<String, (i16, i16)> {
    BTreeMap::from([(FJORD_VERSION.to_owned(), (1, NEWEST_FJORD_VERSION))])
}

/// Whether the rules for several brokers hold.
pub(super) fn has_several_brokers(image: &Image) -> bool {
    image.feature_level(FJORD_VERSION) >= SEVERAL_BROKERS
}

/// A level to be finalized.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FeatureUpdate {
    /// The feature.
    pub name: String,
    /// Its level; 0 switches it off.
    pub level: i16,
    /// Whether the level may be lower than it is.
    pub may_downgrade: bool,
}

/// Why a feature keeps its level; each has the Kafka error of its name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum UpdateFeatureError {
    /// INVALID_UPDATE_VERSION: this program has no such feature, or not at this level.
    #[error(
        "Invalid update version {level} for feature {name}. The controller does not support it."
    )]
    Unsupported {
        /// The feature.
        name: String,
        /// The level asked for.
        level: i16,
    },
    /// INVALID_UPDATE_VERSION: a registered broker does not support the level.
    #[error(
        "Invalid update version {level} for feature {name}. Broker {broker_id} does not support it."
    )]
    UnsupportedByBroker {
        /// The feature.
        name: String,
        /// The level asked for.
        level: i16,
        /// The broker with the lowest id that does not support it.
        broker_id: i32,
    },
    /// INVALID_UPDATE_VERSION: a lower level, and the request does not say that this is meant.
    #[error(
        "Invalid update version {level} for feature {name}. Can't downgrade without setting the \
         upgrade type."
    )]
    Downgrade {
        /// The feature.
        name: String,
        /// The level asked for.
        level: i16,
    },
    /// INVALID_UPDATE_VERSION: the level that a cluster of several brokers relies on.
    #[error("Invalid update version 0 for feature {0}. It cannot be switched off again.")]
    CannotBeOff(String),
}

/// Finalizes all of the levels, or none if one is refused, as in Kafka. Outcomes are in the order of the updates.
///
/// With the first level of [`FJORD_VERSION`], the cluster's default of `min.insync.replicas` is written down
/// where it is not yet, and those of single brokers are removed, as in Kafka (KIP-966): leaders and controller
/// count by the same one, whatever their files say.
pub fn update_features(
    image: &Image,
    updates: &[FeatureUpdate],
    defaults: ElectionDefaults,
) -> Decision<Vec<Result<(), UpdateFeatureError>>> {
    let mut working = image.clone();
    let mut records = Vec::new();
    let mut outcome = Vec::with_capacity(updates.len());
    for update in updates {
        let added = update_one(&working, update, defaults);
        outcome.push(added.map(|added| {
            working = added.iter().cloned().fold(working.clone(), Image::apply);
            records.extend(added);
        }));
    }
    if outcome.iter().any(Result::is_err) {
        records.clear();
    }
    Decision { records, outcome }
}

fn update_one(
    image: &Image,
    update: &FeatureUpdate,
    defaults: ElectionDefaults,
) -> Result<Vec<Record>, UpdateFeatureError> {
    check(image, update)?;
    let FeatureUpdate { name, level, .. } = update;
    if *level == image.feature_level(name) {
        return Ok(Vec::new());
    }
    let mut records = Vec::new();
    let configs = image.broker_default_configs();
    if name == FJORD_VERSION && !configs.contains_key(MIN_INSYNC_REPLICAS) {
        let mut configs = configs.clone();
        let value = defaults.min_insync_replicas.to_string();
        configs.insert(MIN_INSYNC_REPLICAS.to_owned(), value);
        records.push(Record::BrokerConfig {
            broker_id: None,
            value: Some(BrokerConfigRecord { configs }),
        });
    }
    // A broker of its own opinion would count otherwise than the controller.
    let of_brokers = image.brokers_with_configs();
    let own = of_brokers.filter_map(|id| Some((id, image.broker_configs(id)?.clone())));
    for (broker_id, mut configs) in own.filter(|_| name == FJORD_VERSION) {
        if configs.remove(MIN_INSYNC_REPLICAS).is_some() {
            records.push(Record::BrokerConfig {
                broker_id: Some(broker_id),
                value: (!configs.is_empty()).then_some(BrokerConfigRecord { configs }),
            });
        }
    }
    records.push(Record::Feature {
        name: name.clone(),
        value: (*level > 0).then_some(FeatureRecord { level: *level }),
    });
    Ok(records)
}

fn check(image: &Image, update: &FeatureUpdate) -> Result<(), UpdateFeatureError> {
    let (name, level) = (update.name.clone(), update.level);
    let supported = supported_features();
    let current = image.feature_level(&name);
    // A feature that this program does not know may still be switched off.
    if level != 0 && !supports(&supported, &name, level) {
        return Err(UpdateFeatureError::Unsupported { name, level });
    }
    if level < current && !update.may_downgrade {
        return Err(UpdateFeatureError::Downgrade { name, level });
    }
    if level == 0 && name == FJORD_VERSION && current > 0 {
        return Err(UpdateFeatureError::CannotBeOff(name));
    }
    let lags = |broker: &&std::sync::Arc<crate::metadata::Broker>| {
        level != 0 && !supports(&broker.supported_features, &name, level)
    };
    match image.brokers().find(lags).map(|broker| broker.broker_id) {
        Some(broker_id) => Err(UpdateFeatureError::UnsupportedByBroker {
            name,
            level,
            broker_id,
        }),
        None => Ok(()),
    }
}

/// Whether a level is within what is supported.
pub(super) fn supports(supported: &BTreeMap<String, (i16, i16)>, name: &str, level: i16) -> bool {
    let range = supported.get(name);
    range.is_some_and(|(lowest, highest)| (*lowest..=*highest).contains(&level))
}
