//! Registration of a broker that starts, in a cluster of several (rule 8).

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

use uuid::Uuid;

use super::{
    partition_change::{Distrust, ElectionDefaults, change_partitions},
    update_features::supports,
};
use crate::metadata::{
    Decision, Image,
    records::{BrokerRecord, Endpoint, Record},
};

/// A broker that starts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Registration {
    /// `node.id`.
    pub broker_id: i32,
    /// Chosen anew at each start of the process.
    pub incarnation_id: Uuid,
    /// Names the data directory; made when the directory is.
    pub directory_id: Uuid,
    /// `broker.rack`.
    pub rack: Option<String>,
    /// The advertised listeners.
    pub endpoints: Vec<Endpoint>,
    /// Features by name, with the lowest and highest supported level.
    pub supported_features: BTreeMap<String, (i16, i16)>,
    /// The broker epoch that the clean marker of the last stop names; `None` without a marker.
    pub clean_epoch: Option<i64>,
    /// Whether the log is synced before each acknowledgement, so that no kind of stop loses any.
    pub is_log_synced: bool,
}

/// Why a broker is not registered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum RegistrationError {
    /// Another process is alive under this id.
    #[error("Another broker is registered with that broker id {0}.")]
    Duplicate(i32),
    /// Another broker uses the same data directory, or a copy of it.
    #[error("Broker {broker_id} claims data directory {directory_id}, which broker {owner} has.")]
    DirectoryInUse {
        /// The broker that starts.
        broker_id: i32,
        /// The directory.
        directory_id: Uuid,
        /// The broker that has it.
        owner: i32,
    },
    /// UNSUPPORTED_VERSION: the cluster is at a level that the broker's program does not have.
    #[error(
        "Unable to register because the broker does not support finalized version {finalized} of \
         {feature}. The broker wants a version between {lowest} and {highest}, inclusive."
    )]
    UnsupportedFeature {
        /// The feature.
        feature: String,
        /// The level that is in force.
        finalized: i16,
        /// The lowest level that the broker supports; 0 if it does not know the feature.
        lowest: i16,
        /// The highest one.
        highest: i16,
    },
}

/// Registers a broker with a new epoch, fenced. `has_session` says whether the broker that is registered
/// under the id is still heard of. The outcome is the epoch; a repeated request gets the same one.
pub fn register(
    image: &Image,
    registration: Registration,
    has_session: bool,
    defaults: ElectionDefaults,
) -> Result<Decision<i64>, RegistrationError> {
    let id = registration.broker_id;
    check_features(image, &registration)?;
    check_directory(image, &registration)?;
    let existing = image.broker(id);
    if let Some(existing) = existing {
        if existing.incarnation_id == registration.incarnation_id {
            return Ok(Decision {
                records: Vec::new(),
                outcome: existing.epoch,
            });
        }
        if has_session && existing.is_active() {
            return Err(RegistrationError::Duplicate(id));
        }
    }
    let distrust = existing.and_then(|existing| distrust(existing, &registration));
    let epoch = image.next_broker_epoch();
    let record = Record::from(BrokerRecord {
        broker_id: id,
        epoch,
        incarnation_id: registration.incarnation_id,
        rack: registration.rack,
        endpoints: registration.endpoints,
        directory_id: registration.directory_id,
        supported_features: registration.supported_features,
        fenced: true,
        silent: false,
        in_controlled_shutdown: false,
    });
    let after = image.clone().apply(record.clone());
    let mut records = match distrust {
        Some(distrust) => forget(&after, distrust, defaults),
        None => change_partitions(
            &after,
            defaults,
            |p| p.leader == id || p.in_sync_replicas.contains(&id),
            |_| {},
        ),
    };
    records.push(record);
    Ok(Decision {
        records,
        outcome: epoch,
    })
}

/// KIP-584: a broker supports every feature at its finalized level, or stays away.
fn check_features(image: &Image, new: &Registration) -> Result<(), RegistrationError> {
    let supported = &new.supported_features;
    let mut finalized = image.features().iter();
    match finalized.find(|(name, level)| !supports(supported, name, **level)) {
        Some((name, level)) => {
            let (lowest, highest) = supported.get(name).copied().unwrap_or((0, 0));
            Err(RegistrationError::UnsupportedFeature {
                feature: name.clone(),
                finalized: *level,
                lowest,
                highest,
            })
        }
        None => Ok(()),
    }
}

fn check_directory(image: &Image, new: &Registration) -> Result<(), RegistrationError> {
    let has_it = |broker: &&std::sync::Arc<BrokerRecord>| {
        !new.directory_id.is_nil()
            && broker.directory_id == new.directory_id
            && broker.broker_id != new.broker_id
    };
    match image.brokers().find(has_it) {
        Some(owner) => Err(RegistrationError::DirectoryInUse {
            broker_id: new.broker_id,
            directory_id: new.directory_id,
            owner: owner.broker_id,
        }),
        None => Ok(()),
    }
}

/// Whether the log may lack something that was acknowledged while the broker was registered before.
fn distrust(existing: &BrokerRecord, new: &Registration) -> Option<Distrust> {
    let is_known = !existing.directory_id.is_nil();
    let is_lost = is_known && existing.directory_id != new.directory_id;
    let is_clean = new.is_log_synced || new.clean_epoch == Some(existing.epoch);
    (is_lost || !is_clean).then_some(Distrust {
        broker_id: new.broker_id,
        is_lost,
    })
}

/// Takes a broker whose log is not relied upon out of in-sync and eligible replicas.
pub(super) fn forget(image: &Image, distrust: Distrust, defaults: ElectionDefaults) -> Vec<Record> {
    change_partitions(
        image,
        defaults,
        |partition| partition.replicas.contains(&distrust.broker_id),
        |change| change.distrust = Some(distrust),
    )
}
