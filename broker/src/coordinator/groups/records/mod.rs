//! What the group coordinator stores in `__consumer_offsets`, byte for byte as Apache Kafka does.
//!
//! A record's key starts with a 16-bit number that says what it is. Numbers 0 and 1 are committed
//! offsets ([`offset_commit`]), 2 is a classic group ([`group_metadata`]). Others belong to kinds
//! of groups that this broker does not serve; a replay skips them.

mod codec;
pub mod group_metadata;
pub mod offset_commit;

use bytes::Bytes;

pub use super::super::shard::Record;
pub use codec::DecodeError;
pub(super) use codec::Reader;
use group_metadata::{GroupMetadataKey, GroupMetadataValue};
use offset_commit::{OffsetCommitKey, OffsetCommitValue};

/// A decoded record of this coordinator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    /// A committed offset, or its removal.
    Offset(OffsetCommitKey, Option<OffsetCommitValue>),
    /// A classic group's membership, or the group's removal.
    Group(GroupMetadataKey, Option<GroupMetadataValue>),
    /// A kind of record that is not known here, by its number.
    Unknown(i16),
}

/// Decodes a stored record.
///
/// # Errors
/// If the record is of a known kind and cannot be understood.
pub fn decode(key: Bytes, value: Option<Bytes>) -> Result<Entry, DecodeError> {
    let mut key = Reader::new(key);
    Ok(match key.i16()? {
        0 | 1 => Entry::Offset(
            OffsetCommitKey::read(&mut key)?,
            value.map(OffsetCommitValue::decode).transpose()?,
        ),
        2 => Entry::Group(
            GroupMetadataKey::read(&mut key)?,
            value.map(GroupMetadataValue::decode).transpose()?,
        ),
        unknown => Entry::Unknown(unknown),
    })
}

#[cfg(test)]
pub(super) fn hex(text: &str) -> Bytes {
    let digits: Vec<u8> = text
        .chars()
        .map(|c| u8::try_from(c.to_digit(16).unwrap()).unwrap())
        .collect();
    digits
        .chunks(2)
        .map(|pair| pair[0] << 4 | pair[1])
        .collect::<Vec<u8>>()
        .into()
}
