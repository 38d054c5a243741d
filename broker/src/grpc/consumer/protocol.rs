//! The embedded consumer protocol: what members of a group tell each other through JoinGroup and SyncGroup.
//! Version 0 of both messages, which every client reads; later versions begin the same.

use std::collections::BTreeMap;

use bytes::{Buf, BufMut, Bytes, BytesMut, TryGetError};

/// The protocol type of consumers.
pub const PROTOCOL_TYPE: &str = "consumer";

/// Partitions by topic.
pub type Partitions = BTreeMap<String, Vec<i32>>;

/// Single partitions, in order.
pub fn each(partitions: &Partitions) -> impl Iterator<Item = (&str, i32)> {
    partitions
        .iter()
        .flat_map(|(topic, numbers)| numbers.iter().map(|number| (topic.as_str(), *number)))
}

/// A message from another member that is none.
#[derive(Debug, thiserror::Error)]
#[error("a malformed message of the consumer protocol")]
pub struct Malformed;

impl From<TryGetError> for Malformed {
    fn from(_: TryGetError) -> Self {
        Self
    }
}

/// What a member says as it joins: its topics.
pub fn encode_subscription<'a>(topics: impl ExactSizeIterator<Item = &'a String>) -> Bytes {
    let mut bytes = BytesMut::new();
    bytes.put_i16(0);
    put_count(&mut bytes, topics.len());
    topics.for_each(|topic| put_text(&mut bytes, topic));
    // No user data.
    bytes.put_i32(-1);
    bytes.freeze()
}

/// The topics in a subscription of any version.
pub fn decode_subscription(mut bytes: Bytes) -> Result<Vec<String>, Malformed> {
    bytes.try_get_i16()?;
    (0..count(&mut bytes)?).map(|_| text(&mut bytes)).collect()
}

/// What the leader says to a member: its partitions.
pub fn encode_assignment(partitions: &Partitions) -> Bytes {
    let mut bytes = BytesMut::new();
    bytes.put_i16(0);
    put_count(&mut bytes, partitions.len());
    for (topic, numbers) in partitions {
        put_text(&mut bytes, topic);
        put_count(&mut bytes, numbers.len());
        numbers.iter().for_each(|number| bytes.put_i32(*number));
    }
    bytes.put_i32(-1);
    bytes.freeze()
}

/// The partitions in an assignment of any version. One without a byte has none.
pub fn decode_assignment(mut bytes: Bytes) -> Result<Partitions, Malformed> {
    let mut partitions = Partitions::new();
    if bytes.is_empty() {
        return Ok(partitions);
    }
    bytes.try_get_i16()?;
    for _ in 0..count(&mut bytes)? {
        let topic = text(&mut bytes)?;
        let numbers = (0..count(&mut bytes)?).map(|_| Ok(bytes.try_get_i32()?));
        let numbers: Vec<i32> = numbers.collect::<Result<_, Malformed>>()?;
        partitions.entry(topic).or_default().extend(numbers);
    }
    Ok(partitions)
}

fn put_count(bytes: &mut BytesMut, count: usize) {
    bytes.put_i32(i32::try_from(count).unwrap_or(i32::MAX));
}

/// Topics' names are far shorter than 32 KiB.
fn put_text(bytes: &mut BytesMut, text: &str) {
    bytes.put_i16(i16::try_from(text.len()).unwrap_or(i16::MAX));
    bytes.put_slice(text.as_bytes());
}

/// The number of elements that follow; never more than there are bytes.
fn count(bytes: &mut Bytes) -> Result<usize, Malformed> {
    let count = usize::try_from(bytes.try_get_i32()?).map_err(|_| Malformed)?;
    if count > bytes.len() {
        return Err(Malformed);
    }
    Ok(count)
}

fn text(bytes: &mut Bytes) -> Result<String, Malformed> {
    let length = usize::try_from(bytes.try_get_i16()?).map_err(|_| Malformed)?;
    if length > bytes.len() {
        return Err(Malformed);
    }
    String::from_utf8(bytes.split_to(length).into()).map_err(|_| Malformed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_round_trip() {
        let topics = ["a".to_owned(), "bb".to_owned()];
        let encoded = encode_subscription(topics.iter());
        assert_eq!(
            encoded[..],
            *b"\0\0\0\0\0\x02\0\x01a\0\x02bb\xff\xff\xff\xff"
        );
        assert_eq!(decode_subscription(encoded).unwrap(), topics);
        let partitions = Partitions::from([("a".into(), vec![0, 2]), ("bb".into(), vec![])]);
        let encoded = encode_assignment(&partitions);
        assert_eq!(decode_assignment(encoded).unwrap(), partitions);
        assert!(decode_assignment(Bytes::new()).unwrap().is_empty());
    }

    #[test]
    fn cut_messages_are_malformed() {
        let partitions = Partitions::from([("topic".into(), vec![0, 2, 7])]);
        let encoded = encode_assignment(&partitions);
        for length in 1..encoded.len() - 4 {
            assert!(decode_assignment(encoded.slice(..length)).is_err());
        }
        assert!(decode_subscription(Bytes::from_static(b"\0\0\x7f\xff\xff\xff")).is_err());
    }
}
