//! The records of `__cluster_metadata`: one file per kind, all keyed by the entity they describe.
//!
//! | Key | Value | Tombstone |
//! |---|---|---|
//! | `cluster` | [`ClusterRecord`] | never |
//! | `incarnations` | [`IncarnationsRecord`] | never |
//! | `producer-ids` | [`ProducerIdsRecord`] | never |
//! | `broker-epochs` | [`BrokerEpochsRecord`] | never |
//! | `broker/<id>` | [`BrokerRecord`] | the broker is unregistered |
//! | `config/broker`, `config/broker/<id>` | [`BrokerConfigRecord`] | the overrides are gone |
//! | `feature/<name>` | [`FeatureRecord`] | the feature is off |
//! | `topic/<name>` | [`TopicRecord`] | the topic is deleted |
//! | `partition/<incarnation>` | [`PartitionChangeRecord`] | its topic is deleted |
//!
//! A value is JSON, `{"version": V, "body": {...}}`. Each kind has its own version; a newer one than
//! this program knows is refused rather than guessed at.
//!
//! A record holds the whole state of its entity and refers to nothing that another record must have
//! set before. Compaction may therefore drop every superseded record, and a log may be cut after any
//! record, and what replays is still a valid image.
//!
//! A partition's state can stand in two records, that of its topic and its own. The one with the higher
//! partition epoch holds, in whichever order they are read: compaction may leave a topic's record behind
//! those of its partitions.

mod broker;
mod broker_config;
mod broker_epochs;
mod cluster;
mod feature;
mod incarnations;
mod partition;
mod producer_ids;
mod topic;

use bytes::Bytes;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

pub use broker::{BrokerRecord, Endpoint};
pub use broker_config::BrokerConfigRecord;
pub use broker_epochs::BrokerEpochsRecord;
pub use cluster::ClusterRecord;
pub use feature::FeatureRecord;
pub use incarnations::IncarnationsRecord;
pub(in crate::metadata) use partition::without;
pub use partition::{LeaderRecoveryState, PartitionChangeRecord, PartitionRecord};
pub use producer_ids::ProducerIdsRecord;
pub use topic::TopicRecord;

/// One change of the metadata: the new state of one entity, or its removal (`None`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Record {
    /// Identity of the cluster.
    Cluster(ClusterRecord),
    /// The next partition incarnation to hand out.
    Incarnations(IncarnationsRecord),
    /// The next producer id block to hand out.
    ProducerIds(ProducerIdsRecord),
    /// The next broker epoch to hand out.
    BrokerEpochs(BrokerEpochsRecord),
    /// A broker's registration.
    Broker {
        /// The broker.
        broker_id: i32,
        /// Its registration; `None` where it was unregistered.
        value: Option<BrokerRecord>,
    },
    /// Dynamic configs of one broker, or of all brokers where `broker_id` is `None`.
    BrokerConfig {
        /// The broker that they apply to; `None` is the cluster-wide default.
        broker_id: Option<i32>,
        /// The overrides; `None` removes them all.
        value: Option<BrokerConfigRecord>,
    },
    /// The finalized level of a feature.
    Feature {
        /// The feature.
        name: String,
        /// Its level; `None` where it is off.
        value: Option<FeatureRecord>,
    },
    /// A topic with its partitions and configs.
    Topic {
        /// The topic's name.
        name: String,
        /// Its state; `None` deletes it.
        value: Option<TopicRecord>,
    },
    /// The state of one partition after a change.
    Partition {
        /// The partition's incarnation.
        incarnation: u64,
        /// Its state; `None` where its topic was deleted.
        value: Option<PartitionChangeRecord>,
    },
}

/// A record as the log stores it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EncodedRecord {
    /// The entity, for compaction.
    pub key: Bytes,
    /// The versioned JSON of the value; `None` is a tombstone.
    pub value: Option<Bytes>,
}

/// Why stored bytes are not a metadata record that this program understands.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// The key names no entity of this version.
    #[error("unknown metadata key {key:?}; it may have been written by a newer version")]
    UnknownKey {
        /// The key, with invalid UTF-8 replaced.
        key: String,
    },
    /// The value was written by a newer version of the program.
    #[error("metadata record {key:?} has version {version}, but this program reads up to {newest}")]
    NewerVersion {
        /// The entity.
        key: String,
        /// The version found.
        version: u32,
        /// The newest version that is understood.
        newest: u32,
    },
    /// The value is not the JSON that the version promises.
    #[error("metadata record {key:?} is damaged: {source}")]
    Malformed {
        /// The entity.
        key: String,
        /// What the JSON decoder found.
        source: serde_json::Error,
    },
    /// An entity that is never removed has a tombstone.
    #[error("metadata record {key:?} has no value, but such an entity is never removed")]
    UnexpectedTombstone {
        /// The entity.
        key: String,
    },
}

/// A kind of value: what is stored, and the version that it is written with.
trait Body: Serialize + DeserializeOwned {
    /// Version written today, and the newest one read.
    const VERSION: u32;
}

#[derive(Serialize)]
struct Envelope<'a, T> {
    version: u32,
    body: &'a T,
}

#[derive(Deserialize)]
struct VersionOnly {
    version: u32,
}

#[derive(Deserialize)]
struct BodyOnly<T> {
    body: T,
}

const CLUSTER_KEY: &str = "cluster";
const INCARNATIONS_KEY: &str = "incarnations";
const PRODUCER_IDS_KEY: &str = "producer-ids";
const BROKER_EPOCHS_KEY: &str = "broker-epochs";
const BROKER_PREFIX: &str = "broker/";
const BROKER_CONFIG_KEY: &str = "config/broker";
const BROKER_CONFIG_PREFIX: &str = "config/broker/";
const FEATURE_PREFIX: &str = "feature/";
const TOPIC_PREFIX: &str = "topic/";
const PARTITION_PREFIX: &str = "partition/";

impl From<BrokerRecord> for Record {
    fn from(broker: BrokerRecord) -> Record {
        Record::Broker {
            broker_id: broker.broker_id,
            value: Some(broker),
        }
    }
}

impl From<PartitionChangeRecord> for Record {
    fn from(change: PartitionChangeRecord) -> Record {
        Record::Partition {
            incarnation: change.state.incarnation,
            value: Some(change),
        }
    }
}

impl Record {
    /// The entity that the record describes: the key under which the log is compacted.
    pub fn key(&self) -> String {
        match self {
            Record::Cluster(_) => CLUSTER_KEY.to_owned(),
            Record::Incarnations(_) => INCARNATIONS_KEY.to_owned(),
            Record::ProducerIds(_) => PRODUCER_IDS_KEY.to_owned(),
            Record::BrokerEpochs(_) => BROKER_EPOCHS_KEY.to_owned(),
            Record::Broker { broker_id, .. } => format!("{BROKER_PREFIX}{broker_id}"),
            Record::BrokerConfig {
                broker_id: None, ..
            } => BROKER_CONFIG_KEY.to_owned(),
            Record::BrokerConfig {
                broker_id: Some(id),
                ..
            } => {
                format!("{BROKER_CONFIG_PREFIX}{id}")
            }
            Record::Feature { name, .. } => format!("{FEATURE_PREFIX}{name}"),
            Record::Topic { name, .. } => format!("{TOPIC_PREFIX}{name}"),
            Record::Partition { incarnation, .. } => format!("{PARTITION_PREFIX}{incarnation}"),
        }
    }

    /// The bytes to store.
    pub fn encode(&self) -> EncodedRecord {
        let value = match self {
            Record::Cluster(body) => Some(encode_body(body)),
            Record::Incarnations(body) => Some(encode_body(body)),
            Record::ProducerIds(body) => Some(encode_body(body)),
            Record::BrokerEpochs(body) => Some(encode_body(body)),
            Record::Broker { value, .. } => value.as_ref().map(encode_body),
            Record::BrokerConfig { value, .. } => value.as_ref().map(encode_body),
            Record::Feature { value, .. } => value.as_ref().map(encode_body),
            Record::Topic { value, .. } => value.as_ref().map(encode_body),
            Record::Partition { value, .. } => value.as_ref().map(encode_body),
        };
        EncodedRecord {
            key: Bytes::from(self.key()),
            value,
        }
    }

    /// Reads what [`Record::encode`] wrote, or what an older version of it did.
    pub fn decode(key: &[u8], value: Option<&[u8]>) -> Result<Record, DecodeError> {
        let unknown = || DecodeError::UnknownKey {
            key: String::from_utf8_lossy(key).into_owned(),
        };
        let key = std::str::from_utf8(key).map_err(|_| unknown())?;
        match key {
            CLUSTER_KEY => decode_body(key, value).map(Record::Cluster),
            INCARNATIONS_KEY => decode_body(key, value).map(Record::Incarnations),
            PRODUCER_IDS_KEY => decode_body(key, value).map(Record::ProducerIds),
            BROKER_EPOCHS_KEY => decode_body(key, value).map(Record::BrokerEpochs),
            BROKER_CONFIG_KEY => {
                let value = decode_optional(key, value)?;
                Ok(Record::BrokerConfig {
                    broker_id: None,
                    value,
                })
            }
            _ => {
                if let Some(id) = key.strip_prefix(BROKER_CONFIG_PREFIX) {
                    let broker_id = Some(id.parse().map_err(|_| unknown())?);
                    let value = decode_optional(key, value)?;
                    Ok(Record::BrokerConfig { broker_id, value })
                } else if let Some(id) = key.strip_prefix(BROKER_PREFIX) {
                    let broker_id = id.parse().map_err(|_| unknown())?;
                    let value = decode_optional(key, value)?;
                    Ok(Record::Broker { broker_id, value })
                } else if let Some(incarnation) = key.strip_prefix(PARTITION_PREFIX) {
                    let incarnation = incarnation.parse().map_err(|_| unknown())?;
                    let value = decode_optional(key, value)?;
                    Ok(Record::Partition { incarnation, value })
                } else if let Some(name) = key.strip_prefix(FEATURE_PREFIX) {
                    let value = decode_optional(key, value)?;
                    Ok(Record::Feature {
                        name: name.to_owned(),
                        value,
                    })
                } else if let Some(name) = key.strip_prefix(TOPIC_PREFIX) {
                    let value = decode_optional(key, value)?;
                    Ok(Record::Topic {
                        name: name.to_owned(),
                        value,
                    })
                } else {
                    Err(unknown())
                }
            }
        }
    }
}

fn encode_body<T: Body>(body: &T) -> Bytes {
    let envelope = Envelope {
        version: T::VERSION,
        body,
    };
    let json = serde_json::to_vec(&envelope)
        .expect("bodies are structs of strings, numbers, lists and string-keyed maps");
    Bytes::from(json)
}

fn decode_optional<T: Body>(key: &str, value: Option<&[u8]>) -> Result<Option<T>, DecodeError> {
    value.map(|value| decode_body(key, Some(value))).transpose()
}

fn decode_body<T: Body>(key: &str, value: Option<&[u8]>) -> Result<T, DecodeError> {
    let value = value.ok_or_else(|| DecodeError::UnexpectedTombstone {
        key: key.to_owned(),
    })?;
    let malformed = |source| DecodeError::Malformed {
        key: key.to_owned(),
        source,
    };
    // The version is read first, since a newer body may not have the shape of this one.
    let VersionOnly { version } = serde_json::from_slice(value).map_err(malformed)?;
    if version > T::VERSION {
        let key = key.to_owned();
        return Err(DecodeError::NewerVersion {
            key,
            version,
            newest: T::VERSION,
        });
    }
    let BodyOnly { body } = serde_json::from_slice(value).map_err(malformed)?;
    Ok(body)
}

#[cfg(test)]
pub(crate) fn check_round_trip(record: &Record) {
    let EncodedRecord { key, value } = record.encode();
    let decoded = Record::decode(&key, value.as_deref()).expect("what was encoded decodes");
    assert_eq!(&decoded, record);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_newer_version_is_refused_by_name() {
        let error = Record::decode(b"topic/t", Some(br#"{"version":7,"body":{}}"#)).unwrap_err();
        assert!(
            matches!(error, DecodeError::NewerVersion { version: 7, .. }),
            "{error}"
        );
    }

    #[test]
    fn unknown_keys_and_damaged_values_are_errors() {
        for key in [&b"other"[..], b"config/broker/x", b"\xff\xfe"] {
            let error = Record::decode(key, None).unwrap_err();
            assert!(matches!(error, DecodeError::UnknownKey { .. }), "{error}");
        }
        let error = Record::decode(b"topic/t", Some(b"{")).unwrap_err();
        assert!(matches!(error, DecodeError::Malformed { .. }), "{error}");
        let error = Record::decode(b"cluster", None).unwrap_err();
        assert!(
            matches!(error, DecodeError::UnexpectedTombstone { .. }),
            "{error}"
        );
    }

    #[test]
    fn the_stored_form_is_fixed() {
        let record = Record::Incarnations(IncarnationsRecord { next: 5 });
        let encoded = record.encode();
        assert_eq!(&encoded.key[..], b"incarnations");
        assert_eq!(
            encoded.value.as_deref(),
            Some(&br#"{"version":0,"body":{"next":5}}"#[..])
        );
    }
}
