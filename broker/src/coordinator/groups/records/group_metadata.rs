//! The stored key of a classic group: its membership as of the last completed rebalance.
//!
//! Key number 2. Values: version 0 to 4. Written is version 3, as Kafka 4.3 does: version 4 is
//! only a flexible encoding of the same fields, which older brokers could not read.

use bytes::Bytes;

use super::Record;
use super::codec::{DecodeError, Reader, Writer};

const KEY_NUMBER: i16 = 2;
const MAX_VALUE_VERSION: i16 = 4;
const WRITTEN_VALUE_VERSION: i16 = 3;

/// Which group this is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupMetadataKey {
    /// The group's id.
    pub group: String,
}

/// A classic group after a rebalance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupMetadataValue {
    /// "consumer", "connect" or another; empty if the group never had members.
    pub protocol_type: String,
    /// The number of the rebalance.
    pub generation: i32,
    /// The protocol that the members agreed on; none for an empty group.
    pub protocol: Option<String>,
    /// The member that assigns; none for an empty group.
    pub leader: Option<String>,
    /// When the group got into its state, in milliseconds since 1970; none before version 2.
    pub state_timestamp_ms: Option<i64>,
    /// The members.
    pub members: Vec<MemberMetadata>,
}

/// One member of a stored group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberMetadata {
    /// The member's id, given by the coordinator.
    pub member_id: String,
    /// The id that a static member keeps over restarts (KIP-345).
    pub group_instance_id: Option<String>,
    /// The client's own name for itself.
    pub client_id: String,
    /// Where the client connected from.
    pub client_host: String,
    /// How long a rebalance waits for this member.
    pub rebalance_timeout_ms: i32,
    /// After which silence the member is taken for dead.
    pub session_timeout_ms: i32,
    /// The member's metadata for the group's protocol.
    pub subscription: Bytes,
    /// What the leader assigned to it.
    pub assignment: Bytes,
}

impl GroupMetadataKey {
    /// Reads the fields after the key's number.
    pub(super) fn read(reader: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Self {
            group: reader.string()?,
        })
    }

    /// Encodes the key.
    pub fn encode(group: &str) -> Bytes {
        let mut writer = Writer::new(KEY_NUMBER);
        writer.string(group);
        writer.finish()
    }
}

impl GroupMetadataValue {
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
        let protocol_type = reader.string()?;
        let generation = reader.i32()?;
        let protocol = reader.nullable_string()?;
        let leader = reader.nullable_string()?;
        let timestamp = if version >= 2 { reader.i64()? } else { -1 };
        let mut members = Vec::new();
        for _ in 0..reader.array_count()? {
            members.push(MemberMetadata::read(&mut reader, version)?);
        }
        reader.tagged_fields(|_, _| Ok(()))?;
        Ok(Self {
            protocol_type,
            generation,
            protocol,
            leader,
            state_timestamp_ms: (timestamp != -1).then_some(timestamp),
            members,
        })
    }

    /// About how many bytes the encoded value takes: never less than it really does.
    pub fn stored_size(&self) -> usize {
        const FIXED_BYTES: usize = 64;
        let text = |text: &Option<String>| text.as_ref().map_or(0, String::len);
        let member = |member: &MemberMetadata| {
            FIXED_BYTES
                + member.member_id.len()
                + text(&member.group_instance_id)
                + member.client_id.len()
                + member.client_host.len()
                + member.subscription.len()
                + member.assignment.len()
        };
        let names = self.protocol_type.len() + text(&self.protocol) + text(&self.leader);
        FIXED_BYTES + names + self.members.iter().map(member).sum::<usize>()
    }

    /// Encodes the value in the version that Kafka writes.
    pub fn encode(&self) -> Bytes {
        let mut writer = Writer::new(WRITTEN_VALUE_VERSION);
        writer.string(&self.protocol_type);
        writer.i32(self.generation);
        writer.nullable_string(self.protocol.as_deref());
        writer.nullable_string(self.leader.as_deref());
        writer.i64(self.state_timestamp_ms.unwrap_or(-1));
        writer.array_count(self.members.len());
        for member in &self.members {
            member.write(&mut writer);
        }
        writer.finish()
    }
}

impl MemberMetadata {
    fn read(reader: &mut Reader, version: i16) -> Result<Self, DecodeError> {
        let member_id = reader.string()?;
        let group_instance_id = if version >= 3 {
            reader.nullable_string()?
        } else {
            None
        };
        let client_id = reader.string()?;
        let client_host = reader.string()?;
        let rebalance_timeout_ms = if version >= 1 { reader.i32()? } else { -1 };
        let session_timeout_ms = reader.i32()?;
        let member = Self {
            member_id,
            group_instance_id,
            client_id,
            client_host,
            // Before version 1 a rebalance waited for as long as a session lasts.
            rebalance_timeout_ms: if rebalance_timeout_ms == -1 {
                session_timeout_ms
            } else {
                rebalance_timeout_ms
            },
            session_timeout_ms,
            subscription: reader.bytes()?,
            assignment: reader.bytes()?,
        };
        reader.tagged_fields(|_, _| Ok(()))?;
        Ok(member)
    }

    fn write(&self, writer: &mut Writer) {
        writer.string(&self.member_id);
        writer.nullable_string(self.group_instance_id.as_deref());
        writer.string(&self.client_id);
        writer.string(&self.client_host);
        writer.i32(self.rebalance_timeout_ms);
        writer.i32(self.session_timeout_ms);
        writer.bytes(&self.subscription);
        writer.bytes(&self.assignment);
    }
}

/// The record that removes a group.
pub fn tombstone(group: &str) -> Record {
    Record {
        key: GroupMetadataKey::encode(group),
        value: None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{Entry, decode, hex};
    use super::*;

    /// Bytes that the generated classes of Apache Kafka 4.3.1 wrote.
    const KEY: &str = "000200086d792d67726f7570";
    const VALUES: [&str; 5] = [
        "00000008636f6e73756d657200000003000572616e67650003632d31000000020003632d31000163000a2f3132372e302e302e310000afc8000000030102030000000204050003632d32000000092f31302e302e302e32000017700000000000000000",
        "00010008636f6e73756d657200000003000572616e67650003632d31000000020003632d31000163000a2f3132372e302e302e310000ea600000afc8000000030102030000000204050003632d32000000092f31302e302e302e32000003e8000017700000000000000000",
        "00020008636f6e73756d657200000003000572616e67650003632d310000018bcfe56800000000020003632d31000163000a2f3132372e302e302e310000ea600000afc8000000030102030000000204050003632d32000000092f31302e302e302e32000003e8000017700000000000000000",
        "00030008636f6e73756d657200000003000572616e67650003632d310000018bcfe56800000000020003632d310003692d31000163000a2f3132372e302e302e310000ea600000afc8000000030102030000000204050003632d32ffff000000092f31302e302e302e32000003e8000017700000000000000000",
        "000409636f6e73756d6572000000030672616e676504632d310000018bcfe568000304632d3104692d3102630b2f3132372e302e302e310000ea600000afc8040102030304050004632d3200010a2f31302e302e302e32000003e80000177001010000",
    ];
    const EMPTY_VALUES: [&str; 2] = [
        "0003000000000000ffffffff000000000000000900000000",
        "00040100000000000000000000000000090100",
    ];

    fn expected(version: usize) -> GroupMetadataValue {
        let member = |id: &str, instance: Option<&str>, client: &str, host: &str, timeouts| {
            let (rebalance_timeout_ms, session_timeout_ms) = timeouts;
            MemberMetadata {
                member_id: id.into(),
                group_instance_id: instance.map(str::to_owned),
                client_id: client.into(),
                client_host: host.into(),
                rebalance_timeout_ms: if version >= 1 {
                    rebalance_timeout_ms
                } else {
                    session_timeout_ms
                },
                session_timeout_ms,
                subscription: Bytes::new(),
                assignment: Bytes::new(),
            }
        };
        let mut first = member(
            "c-1",
            (version >= 3).then_some("i-1"),
            "c",
            "/127.0.0.1",
            (60_000, 45_000),
        );
        first.subscription = Bytes::from_static(&[1, 2, 3]);
        first.assignment = Bytes::from_static(&[4, 5]);
        GroupMetadataValue {
            protocol_type: "consumer".into(),
            generation: 3,
            protocol: Some("range".into()),
            leader: Some("c-1".into()),
            state_timestamp_ms: (version >= 2).then_some(1_700_000_000_000),
            members: vec![first, member("c-2", None, "", "/10.0.0.2", (1000, 6000))],
        }
    }

    fn empty() -> GroupMetadataValue {
        GroupMetadataValue {
            protocol_type: String::new(),
            generation: 0,
            protocol: None,
            leader: None,
            state_timestamp_ms: Some(9),
            members: Vec::new(),
        }
    }

    #[test]
    fn reads_what_kafka_wrote_in_every_version() {
        let key = GroupMetadataKey {
            group: "my-group".into(),
        };
        for (version, value) in VALUES.iter().enumerate() {
            let entry = Entry::Group(key.clone(), Some(expected(version)));
            assert_eq!(
                decode(hex(KEY), Some(hex(value))),
                Ok(entry),
                "version {version}"
            );
        }
        for value in EMPTY_VALUES {
            assert_eq!(GroupMetadataValue::decode(hex(value)), Ok(empty()));
        }
        assert_eq!(decode(hex(KEY), None), Ok(Entry::Group(key, None)));
    }

    #[test]
    fn writes_the_bytes_that_kafka_writes() {
        assert_eq!(GroupMetadataKey::encode("my-group"), hex(KEY));
        assert_eq!(expected(3).encode(), hex(VALUES[3]));
        assert_eq!(empty().encode(), hex(EMPTY_VALUES[0]));
    }

    #[test]
    fn a_cut_or_newer_value_is_an_error_and_never_a_panic() {
        for value in VALUES {
            let value = hex(value);
            for end in 0..value.len() {
                assert!(
                    GroupMetadataValue::decode(value.slice(..end)).is_err(),
                    "cut at {end}"
                );
            }
        }
        // A count of members beyond the record must not reserve memory for them.
        let huge = hex("0003000000000000ffffffff00000000000000097fffffff");
        assert_eq!(
            GroupMetadataValue::decode(huge),
            Err(DecodeError::InvalidLength)
        );
        assert_eq!(
            GroupMetadataValue::decode(hex("0005")),
            Err(DecodeError::UnknownValueVersion(5))
        );
    }

    fn any_member() -> impl Strategy<Value = MemberMetadata> {
        (
            ".{0,20}",
            proptest::option::of(".{0,20}"),
            ".{0,20}",
            ".{0,20}",
            (0..i32::MAX, 0..i32::MAX),
            (any::<Vec<u8>>(), any::<Vec<u8>>()),
        )
            .prop_map(
                |(id, instance, client, host, timeouts, blobs)| MemberMetadata {
                    member_id: id,
                    group_instance_id: instance,
                    client_id: client,
                    client_host: host,
                    rebalance_timeout_ms: timeouts.0,
                    session_timeout_ms: timeouts.1,
                    subscription: blobs.0.into(),
                    assignment: blobs.1.into(),
                },
            )
    }

    proptest! {
        #[test]
        fn round_trips(
            group in ".{0,40}", protocol_type in "[a-z]{0,10}", generation in any::<i32>(),
            protocol in proptest::option::of("[a-z]{0,10}"),
            leader in proptest::option::of(".{0,10}"),
            state_timestamp_ms in proptest::option::of(0..i64::MAX),
            members in proptest::collection::vec(any_member(), 0..4),
        ) {
            let value = GroupMetadataValue {
                protocol_type, generation, protocol, leader, state_timestamp_ms, members,
            };
            let entry = decode(GroupMetadataKey::encode(&group), Some(value.encode())).unwrap();
            prop_assert_eq!(entry, Entry::Group(GroupMetadataKey { group }, Some(value)));
        }
    }
}
