//! What the tests of messages share: every message with its versions, and the vectors.
#![allow(dead_code, reason = "no test uses all of it")]
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

pub mod strategies;

use bytes::Bytes;
use fjord_wire::messages::request_header::RequestHeader;
use fjord_wire::messages::response_header::ResponseHeader;
use fjord_wire::{DecodeError, Message, Reader, Writer, for_each_api};

/// A message that was decoded, in terms that are the same for all messages.
pub struct Decoded {
    /// Its fields, as `Debug` shows them.
    pub debug: String,
    /// Bytes behind it.
    pub trailing: usize,
    /// Its bytes when encoded again, or why it cannot be.
    pub encoded: Result<Bytes, String>,
    /// Whether these bytes give the same value again.
    pub stable: bool,
}

/// A type of message.
#[derive(Clone, Copy)]
pub struct MessageType {
    pub name: &'static str,
    pub min_version: i16,
    pub max_version: i16,
    /// Decodes and forgets.
    pub decode: fn(&Bytes, i16) -> Result<(), DecodeError>,
    /// Decodes and encodes again.
    pub round_trip: fn(&Bytes, i16) -> Result<Decoded, DecodeError>,
}

impl std::fmt::Debug for MessageType {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(self.name)
    }
}

fn decode<M: Message>(bytes: &Bytes, version: i16) -> Result<(), DecodeError> {
    M::decode(&mut Reader::new(bytes.clone()), version).map(drop)
}

fn round_trip<M: Message + std::fmt::Debug + PartialEq>(
    bytes: &Bytes,
    version: i16,
) -> Result<Decoded, DecodeError> {
    let mut reader = Reader::new(bytes.clone());
    let message = M::decode(&mut reader, version)?;
    let mut writer = Writer::new();
    let encoded = message
        .encode(&mut writer, version)
        .map_err(|error| error.to_string());
    let encoded = encoded.map(|()| writer.finish().into_bytes());
    let stable = encoded.as_ref().is_ok_and(|bytes| {
        M::decode(&mut Reader::new(bytes.clone()), version).as_ref() == Ok(&message)
    });
    let debug = format!("{message:?}");
    Ok(Decoded {
        debug,
        trailing: reader.remaining(),
        encoded,
        stable,
    })
}

fn of<M: Message + std::fmt::Debug + PartialEq>() -> MessageType {
    MessageType {
        name: M::NAME,
        min_version: M::MIN_VERSION,
        max_version: M::MAX_VERSION,
        decode: decode::<M>,
        round_trip: round_trip::<M>,
    }
}

macro_rules! list {
    ($(($name:ident, $request:ty, $response:ty),)*) => {
        vec![$(of::<$request>(), of::<$response>(),)*]
    };
}

/// Every type of message that there is.
pub fn message_types() -> Vec<MessageType> {
    let mut all = for_each_api!(list);
    all.push(of::<RequestHeader>());
    all.push(of::<ResponseHeader>());
    all
}

/// Bytes of a message that Apache Kafka's classes wrote.
pub struct Vector {
    pub message: MessageType,
    pub versions: std::ops::RangeInclusive<i16>,
    pub kind: &'static str,
    pub bytes: Bytes,
}

pub fn message_vectors() -> Vec<Vector> {
    let types = message_types();
    let lines = include_str!("../vectors/messages.txt").lines();
    lines
        .filter(|line| !line.starts_with('#'))
        .map(|line| vector(&types, line))
        .collect()
}

fn vector(types: &[MessageType], line: &'static str) -> Vector {
    let mut words = line.split(' ');
    let mut word = || words.next().unwrap();
    let name = word();
    let (first, last) = word().split_once('-').unwrap();
    Vector {
        message: *types.iter().find(|message| message.name == name).unwrap(),
        versions: first.parse().unwrap()..=last.parse().unwrap(),
        kind: word(),
        bytes: unhex(word()),
    }
}

pub fn unhex(text: &str) -> Bytes {
    let digit = |index: usize| u8::from_str_radix(&text[index..index + 2], 16).unwrap();
    (0..text.len()).step_by(2).map(digit).collect()
}
