//! The records of `__cluster_metadata`: one file per kind, all keyed by the entity they describe.
//!
//! | Key | Value | Tombstone |
//! |---|---|---|
//! | `cluster` | [`ClusterRecord`] | never |
//! | `incarnations` | [`IncarnationsRecord`] | never |
//! | `producer-ids` | [`ProducerIdsRecord`] | never |
//! | `broker/<id>` | [`BrokerRecord`] | never |
//! | `config/broker`, `config/broker/<id>` | [`BrokerConfigRecord`] | the overrides are gone |
//! | `topic/<name>` | [`TopicRecord`] | the topic is deleted |
//!
//! A value is JSON, `{"version": V, "body": {...}}`. Each kind has its own version; a newer one than
//! this program knows is refused rather than guessed at.
//!
//! A record holds the whole state of its entity and refers to nothing that another record must have
//! set before. Compaction may therefore drop every superseded record, and a log may be cut after any
//! record, and what replays is still a valid image.

mod broker;
mod broker_config;
mod cluster;
mod incarnations;
mod producer_ids;
mod topic;

use bytes::Bytes;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

pub use broker::{BrokerRecord, Endpoint};
pub use broker_config::BrokerConfigRecord;
pub use cluster::ClusterRecord;
pub use incarnations::IncarnationsRecord;
pub use producer_ids::ProducerIdsRecord;
pub use topic::{PartitionRecord, TopicRecord};

/// One change of the metadata: the new state of one entity, or its removal (`None`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Record {
    /// Identity of the cluster.
    Cluster(ClusterRecord),
    /// The next partition incarnation to hand out.
    Incarnations(IncarnationsRecord),
    /// The next producer id block to hand out.
    ProducerIds(ProducerIdsRecord),
    /// A broker's registration.
    Broker(BrokerRecord),
    /// Dynamic configs of one broker, or of all brokers where `broker_id` is `None`.
    BrokerConfig {
        /// The broker that they apply to; `None` is the cluster-wide default.
        broker_id: Option<i32>,
        /// The overrides; `None` removes them all.
        value: Option<BrokerConfigRecord>,
    },
    /// A topic with its partitions and configs.
    Topic {
        /// The topic's name.
        name: String,
        /// Its state; `None` deletes it.
        value: Option<TopicRecord>,
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
const BROKER_PREFIX: &str = "broker/";
const BROKER_CONFIG_KEY: &str = "config/broker";
const BROKER_CONFIG_PREFIX: &str = "config/broker/";
const TOPIC_PREFIX: &str = "topic/";

impl Record {
    /// The entity that the record describes: the key under which the log is compacted.
    pub fn key(&self) -> String {
        match self {
            Record::Cluster(_) => CLUSTER_KEY.to_owned(),
            Record::Incarnations(_) => INCARNATIONS_KEY.to_owned(),
            Record::ProducerIds(_) => PRODUCER_IDS_KEY.to_owned(),
            Record::Broker(broker) => format!("{BROKER_PREFIX}{}", broker.broker_id),
            Record::BrokerConfig {
                broker_id: None, ..
            } => BROKER_CONFIG_KEY.to_owned(),
            Record::BrokerConfig {
                broker_id: Some(id),
                ..
            } => {
                format!("{BROKER_CONFIG_PREFIX}{id}")
            }
            Record::Topic { name, .. } => format!("{TOPIC_PREFIX}{name}"),
        }
    }

    /// The bytes to store.
    pub fn encode(&self) -> EncodedRecord {
        let value = match self {
            Record::Cluster(body) => Some(encode_body(body)),
            Record::Incarnations(body) => Some(encode_body(body)),
            Record::ProducerIds(body) => Some(encode_body(body)),
            Record::Broker(body) => Some(encode_body(body)),
            Record::BrokerConfig { value, .. } => value.as_ref().map(encode_body),
            Record::Topic { value, .. } => value.as_ref().map(encode_body),
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
                } else if key.starts_with(BROKER_PREFIX) {
                    decode_body(key, value).map(Record::Broker)
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
