//! The stored key of one committed offset: group, topic and partition.
//!
//! Key number 1, and 0 as it was before Kafka 0.8.2 (the same fields). Values: version 0 to 4.
//! Written is version 4, which carries the topic's id (KIP-848 era), or version 1 if the client
//! asked for a retention time of its own, since that is the only version that can say so.

use bytes::Bytes;
use uuid::Uuid;

use super::Record;
use super::codec::{DecodeError, Reader, Writer};

const KEY_NUMBER: i16 = 1;
const MAX_VALUE_VERSION: i16 = 4;

/// Which partition's offset of which group this is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OffsetCommitKey {
    /// The group; empty for the group that clients use who name none.
    pub group: String,
    /// The topic's name.
    pub topic: String,
    /// The partition's index.
    pub partition: i32,
}

/// A committed offset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OffsetCommitValue {
    /// The next offset that the group will read.
    pub offset: i64,
    /// The leader epoch of the last record read; -1 if the client did not say.
    pub leader_epoch: i32,
    /// What the client stored with it.
    pub metadata: String,
    /// When it was committed, in milliseconds since 1970.
    pub commit_timestamp_ms: i64,
    /// When it expires, if the client asked for a retention time (OffsetCommit 2 to 4).
    pub expire_timestamp_ms: Option<i64>,
    /// The topic's id; nil if it was not known.
    pub topic_id: Uuid,
}

impl OffsetCommitKey {
    /// Reads the fields after the key's number.
    pub(super) fn read(reader: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Self {
            group: reader.string()?,
            topic: reader.string()?,
            partition: reader.i32()?,
        })
    }

    /// Encodes the key.
    pub fn encode(group: &str, topic: &str, partition: i32) -> Bytes {
        let mut writer = Writer::new(KEY_NUMBER);
        writer.string(group);
        writer.string(topic);
        writer.i32(partition);
        writer.finish()
    }
}

impl OffsetCommitValue {
    /// Decodes a value of any version.
    ///
    /// # Errors
    /// If the value is damaged or of a newer version.
    pub fn decode(value: Bytes) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(value);
        let version = reader.i16()?;
        if !(0..=MAX_VALUE_VERSION).contains(&version) {
            return Err(DecodeError::UnknownValueVersion(version));
        }
        reader.set_flexible(version >= 4);
        let offset = reader.i64()?;
        let leader_epoch = if version >= 3 { reader.i32()? } else { -1 };
        let metadata = reader.string()?;
        let commit_timestamp_ms = reader.i64()?;
        let expire = if version == 1 { reader.i64()? } else { -1 };
        let mut topic_id = Uuid::nil();
        reader.tagged_fields(|tag, field| {
            if tag == 0 {
                topic_id = field.uuid()?;
            }
            Ok(())
        })?;
        Ok(Self {
            offset,
            leader_epoch,
            metadata,
            commit_timestamp_ms,
            expire_timestamp_ms: (expire != -1).then_some(expire),
            topic_id,
        })
    }

    /// Encodes the value in the version that Kafka writes for it.
    pub fn encode(&self) -> Bytes {
        let mut writer = Writer::new(if self.expire_timestamp_ms.is_some() {
            1
        } else {
            4
        });
        writer.set_flexible(self.expire_timestamp_ms.is_none());
        writer.i64(self.offset);
        if self.expire_timestamp_ms.is_none() {
            writer.i32(self.leader_epoch);
        }
        writer.string(&self.metadata);
        writer.i64(self.commit_timestamp_ms);
        if let Some(expire) = self.expire_timestamp_ms {
            writer.i64(expire);
        }
        writer.tagged_uuid((!self.topic_id.is_nil()).then_some(self.topic_id));
        writer.finish()
    }
}

/// The record that removes a committed offset.
pub fn tombstone(group: &str, topic: &str, partition: i32) -> Record {
    Record {
        key: OffsetCommitKey::encode(group, topic, partition),
        value: None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{Entry, decode, hex};
    use super::*;

    /// Bytes that the generated classes of Apache Kafka 4.3.1 wrote.
    const KEY: &str = "000100086d792d67726f757000066f726465727300000007";
    const LEGACY_KEY: &str = "000000086d792d67726f757000066f726465727300000007";
    const VALUES: [&str; 5] = [
        "00000000001cbe991a1400056dc3a974610000018bcfe56800",
        "00010000001cbe991a1400056dc3a974610000018bcfe568000000018bcfee8fc0",
        "00020000001cbe991a1400056dc3a974610000018bcfe56800",
        "00030000001cbe991a140000000500056dc3a974610000018bcfe56800",
        "00040000001cbe991a1400000005066dc3a974610000018bcfe568000100100123456789abcdeffedcba9876543210",
    ];
    const VALUE_WITHOUT_TOPIC_ID: &str = "00040000000000000001ffffffff01000000000000000200";

    fn expected(version: usize) -> OffsetCommitValue {
        OffsetCommitValue {
            offset: 123_456_789_012,
            leader_epoch: if version >= 3 { 5 } else { -1 },
            metadata: "m\u{e9}ta".into(),
            commit_timestamp_ms: 1_700_000_000_000,
            expire_timestamp_ms: (version == 1).then_some(1_700_000_600_000),
            topic_id: if version == 4 {
                Uuid::from_u128(0x0123_4567_89ab_cdef_fedc_ba98_7654_3210)
            } else {
                Uuid::nil()
            },
        }
    }

    #[test]
    fn reads_what_kafka_wrote_in_every_version() {
        let key = OffsetCommitKey {
            group: "my-group".into(),
            topic: "orders".into(),
            partition: 7,
        };
        for (version, value) in VALUES.iter().enumerate() {
            let entry = Entry::Offset(key.clone(), Some(expected(version)));
            assert_eq!(
                decode(hex(KEY), Some(hex(value))),
                Ok(entry.clone()),
                "version {version}"
            );
            assert_eq!(decode(hex(LEGACY_KEY), Some(hex(value))), Ok(entry));
        }
        assert_eq!(decode(hex(KEY), None), Ok(Entry::Offset(key, None)));
    }

    #[test]
    fn writes_the_bytes_that_kafka_writes() {
        assert_eq!(OffsetCommitKey::encode("my-group", "orders", 7), hex(KEY));
        assert_eq!(expected(4).encode(), hex(VALUES[4]));
        assert_eq!(expected(1).encode(), hex(VALUES[1]));
        let bare = OffsetCommitValue {
            offset: 1,
            leader_epoch: -1,
            metadata: String::new(),
            commit_timestamp_ms: 2,
            expire_timestamp_ms: None,
            topic_id: Uuid::nil(),
        };
        assert_eq!(bare.encode(), hex(VALUE_WITHOUT_TOPIC_ID));
    }

    #[test]
    fn a_cut_or_newer_value_is_an_error_and_never_a_panic() {
        for value in VALUES {
            let value = hex(value);
            for end in 0..value.len() {
                assert!(
                    OffsetCommitValue::decode(value.slice(..end)).is_err(),
                    "cut at {end}"
                );
            }
        }
        assert_eq!(
            OffsetCommitValue::decode(hex("0005")),
            Err(DecodeError::UnknownValueVersion(5))
        );
    }

    proptest! {
        #[test]
        fn round_trips(
            group in ".{0,40}", topic in "[a-z.]{1,20}", partition in 0..i32::MAX,
            offset in any::<i64>(), leader_epoch in -1..1000_i32, metadata in ".{0,40}",
            commit_timestamp_ms in 0..i64::MAX, expire in proptest::option::of(0..i64::MAX),
            topic_id in any::<u128>(),
        ) {
            let key = OffsetCommitKey::encode(&group, &topic, partition);
            let value = OffsetCommitValue {
                offset,
                // Version 1, the only one with an expiry, carries neither epoch nor topic id.
                leader_epoch: if expire.is_some() { -1 } else { leader_epoch },
                metadata,
                commit_timestamp_ms,
                expire_timestamp_ms: expire,
                topic_id: if expire.is_some() { Uuid::nil() } else { Uuid::from_u128(topic_id) },
            };
            let entry = decode(key, Some(value.encode())).unwrap();
            prop_assert_eq!(entry, Entry::Offset(OffsetCommitKey { group, topic, partition }, Some(value)));
        }

        #[test]
        fn arbitrary_bytes_never_panic(key: Vec<u8>, value: Vec<u8>) {
            let _ = decode(key.into(), Some(value.into()));
        }
    }
}
