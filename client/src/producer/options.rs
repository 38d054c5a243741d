//! How a producer behaves, and the three settings that users ask for.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use fjord_proto::v1::{Acks, Compression, Header, Record};

use super::batch;
use crate::{Result, error::Error};

/// What becomes of a record when something fails on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Guarantee {
    /// Nothing is answered and nothing is repeated: what is lost on the way is lost.
    AtMostOnce,
    /// A record counts when all in-sync replicas have it, and is sent again when no answer comes. It may then be there
    /// twice, and behind records that were sent after it.
    AtLeastOnce,
    /// As at least once, but batches are numbered: the broker recognises one that comes again. Each record is there
    /// once, in the order of its partition, as long as it arrives within [`ProducerOptions::delivery_timeout`].
    EffectivelyOnce,
}

impl Guarantee {
    /// The options that give this guarantee; all others are as usual.
    #[must_use]
    pub fn options(self) -> ProducerOptions {
        let usual = ProducerOptions::default();
        match self {
            Self::AtMostOnce => ProducerOptions {
                acks: Acks::None,
                idempotent: false,
                ..usual
            },
            Self::AtLeastOnce => ProducerOptions {
                idempotent: false,
                ..usual
            },
            Self::EffectivelyOnce => usual,
        }
    }
}

/// How a [`Producer`](crate::Producer) behaves.
#[derive(Debug, Clone)]
pub struct ProducerOptions {
    /// When a record counts as produced. [`Acks::All`] unless set.
    pub acks: Acks,
    /// Whether batches are numbered, so that the broker recognises one that comes again. Needs [`Acks::All`]. On
    /// unless set.
    pub idempotent: bool,
    /// How batches are compressed in the log. Not unless set.
    pub compression: Compression,
    /// How long a record waits for others to fill its batch; 16 KiB are enough while nothing is under way. A busy
    /// partition fills its batches while it waits for answers anyway. 5 ms unless set.
    pub linger: Duration,
    /// About the most bytes of one batch; a larger record is a batch of its own. 256 KiB unless set. If the topic's
    /// `max.message.bytes` is less, batches are smaller; a batch that is refused for its size is sent again in parts,
    /// so that only a record which is too large by itself fails.
    pub batch_bytes: usize,
    /// The most bytes of records that wait or are under way; beyond, [`send`](crate::Producer::send) waits. 32 MiB
    /// unless set.
    pub max_in_flight_bytes: usize,
    /// How long the broker may take for one request. 30 seconds unless set.
    pub request_timeout: Duration,
    /// How long it is tried to deliver a record. Two minutes unless set.
    pub delivery_timeout: Duration,
}

impl Default for ProducerOptions {
    fn default() -> Self {
        Self {
            acks: Acks::All,
            idempotent: true,
            compression: Compression::Unspecified,
            linger: Duration::from_millis(5),
            batch_bytes: 256 << 10,
            max_in_flight_bytes: 32 << 20,
            request_timeout: Duration::from_secs(30),
            delivery_timeout: Duration::from_secs(120),
        }
    }
}

impl ProducerOptions {
    /// Refuses what contradicts itself.
    pub(super) fn check(&self) -> Result<()> {
        if self.idempotent && !matches!(self.acks, Acks::All | Acks::Unspecified) {
            return Err(Error::Invalid(
                "an idempotent producer needs acks of all in-sync replicas: set acks to all, or idempotent to false"
                    .to_owned(),
            ));
        }
        if self.batch_bytes == 0 || self.max_in_flight_bytes == 0 {
            return Err(Error::Invalid(
                "the bytes of a batch and those in flight have to be more than 0".to_owned(),
            ));
        }
        Ok(())
    }
}

/// A record to be produced.
#[derive(Debug, Clone, PartialEq)]
pub struct ProducerRecord {
    /// The topic's name.
    pub topic: Arc<str>,
    /// The partition. If it is not set, the key decides, as with Kafka's Java client; records without key go to one
    /// partition together, batch by batch.
    pub partition: Option<i32>,
    /// The key.
    pub key: Option<Bytes>,
    /// The value; without one the record removes its key from a compacted topic.
    pub value: Option<Bytes>,
    /// Headers, in order.
    pub headers: Vec<Header>,
    /// Milliseconds since 1970. If it is not set, the broker sets it.
    pub timestamp_ms: Option<i64>,
}

impl ProducerRecord {
    /// A record without key and value.
    #[must_use]
    pub fn new(topic: impl Into<Arc<str>>) -> Self {
        Self {
            topic: topic.into(),
            partition: None,
            key: None,
            value: None,
            headers: Vec::new(),
            timestamp_ms: None,
        }
    }

    /// Sets the key.
    #[must_use]
    pub fn key(mut self, key: impl Into<Bytes>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// Sets the value.
    #[must_use]
    pub fn value(mut self, value: impl Into<Bytes>) -> Self {
        self.value = Some(value.into());
        self
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, key: impl Into<String>, value: impl Into<Bytes>) -> Self {
        self.headers.push(Header {
            key: key.into(),
            value: Some(value.into()),
        });
        self
    }

    /// Sets the partition.
    #[must_use]
    pub fn partition(mut self, partition: i32) -> Self {
        self.partition = Some(partition);
        self
    }

    /// Sets the timestamp, in milliseconds since 1970.
    #[must_use]
    pub fn timestamp_ms(mut self, timestamp_ms: i64) -> Self {
        self.timestamp_ms = Some(timestamp_ms);
        self
    }

    /// What this record counts for in the limits, in bytes.
    pub(super) fn size_bytes(&self) -> usize {
        batch::size_bytes(self.key.as_ref(), self.value.as_ref(), &self.headers)
    }

    pub(super) fn into_record(self) -> Record {
        Record {
            key: self.key,
            value: self.value,
            headers: self.headers,
            timestamp_ms: self.timestamp_ms,
        }
    }
}
