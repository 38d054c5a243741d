//! Messages that a well-meaning client would not send.

use super::{MessageType, message_types, message_vectors};
use bytes::Bytes;
use proptest::prelude::*;
use proptest::sample::Index;

/// A type of message and one of its versions.
pub fn any_message() -> impl Strategy<Value = (MessageType, i16)> {
    let types = message_types();
    any::<(Index, Index)>().prop_map(move |(message, version)| {
        let message = types[message.index(types.len())];
        let versions = usize::try_from(message.max_version - message.min_version + 1).unwrap();
        let version = i16::try_from(version.index(versions)).unwrap();
        (message, message.min_version + version)
    })
}

/// A good message in which bytes are changed, some to lengths that are out of all proportion.
pub fn damaged_message() -> impl Strategy<Value = (MessageType, i16, Bytes)> {
    let change = prop_oneof![
        any::<u8>().prop_map(|byte| vec![byte]),
        Just(vec![0x7f, 0xff, 0xff, 0xff]),
        Just(vec![0x00, 0x00, 0xff, 0xff]),
        Just(vec![0xff, 0xff, 0xff, 0xff, 0x07]),
        Just(vec![0xff, 0xff, 0x03]),
        Just(vec![0x80, 0x00, 0x00, 0x00]),
    ];
    let changes = prop::collection::vec((any::<Index>(), change), 0..4);
    let vectors = message_vectors();
    (any::<Index>(), changes, any::<Index>(), any::<bool>()).prop_map(
        move |(vector, changes, cut, truncate)| {
            let vector = &vectors[vector.index(vectors.len())];
            let mut bytes = vector.bytes.to_vec();
            for (at, change) in changes {
                let at = at.index(bytes.len() + 1);
                let end = (at + change.len()).min(bytes.len());
                bytes.splice(at..end, change);
            }
            if truncate {
                bytes.truncate(cut.index(bytes.len() + 1));
            }
            (vector.message, *vector.versions.end(), Bytes::from(bytes))
        },
    )
}
