//! A batch of records: what it counts for, and how one that is too large becomes two.

use std::time::{Duration, Instant};

use bytes::Bytes;
use fjord_proto::v1::{Header, Record};
use tokio::sync::OwnedSemaphorePermit;

use super::delivery::{BatchDelivery, Outcome, Split, Teller, Told, batch_delivery};

/// What a record costs at most beside its bytes: its lengths, its timestamp, its place in memory.
const RECORD_OVERHEAD_BYTES: usize = 64;
/// What a header costs at most beside its bytes: two lengths.
const HEADER_OVERHEAD_BYTES: usize = 10;
/// What a batch costs in the log beside its records: the head that Kafka's format (v2) has.
const BATCH_OVERHEAD_BYTES: usize = 61;

/// What a queue has to know of the producer's options.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    pub(super) batch_bytes: usize,
    /// So many bytes do not linger while nothing is under way.
    pub(super) quick_bytes: usize,
    pub(super) linger: Duration,
    pub(super) delivery_timeout: Duration,
    /// Whether answers come.
    pub(super) answered: bool,
    pub(super) idempotent: bool,
}

/// Who numbers batches: from `InitProducer`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) producer_id: i64,
    pub(super) producer_epoch: i32,
}

/// Records that go together.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) records: Vec<Record>,
    pub(super) bytes: usize,
    pub(super) opened: Instant,
    /// Somebody waits for it: it does not linger.
    pub(super) flush: bool,
    /// The number of its first record, once it was sent.
    pub(super) first: Option<i32>,
    /// Whether it was sent and no answer came: then the broker knows it again only as it is.
    pub(super) maybe_there: bool,
    teller: Teller,
    pub(super) delivery: BatchDelivery,
    /// Its share of the bytes that may be in flight; given back when it is dropped.
    permit: OwnedSemaphorePermit,
}

impl Batch {
    /// A batch of one record, which counts for so many bytes.
    pub(super) fn new(
        record: Record,
        bytes: usize,
        permit: OwnedSemaphorePermit,
        now: Instant,
    ) -> Self {
        let (teller, delivery) = batch_delivery();
        Self {
            records: vec![record],
            bytes,
            opened: now,
            flush: false,
            first: None,
            maybe_there: false,
            teller,
            delivery,
            permit,
        }
    }

    /// Adds a record, which counts for so many bytes.
    pub(super) fn add(&mut self, record: Record, bytes: usize, permit: OwnedSemaphorePermit) {
        self.bytes += bytes;
        self.records.push(record);
        self.permit.merge(permit);
    }

    /// Tells the records what became of them.
    pub(super) fn done(self, outcome: Outcome) {
        // Nobody has to wait for it.
        let _ = self.teller.send(Told::Done(outcome));
    }

    /// Makes two batches of one that has several records, about equally large. Each record keeps its number.
    pub(super) fn halve(mut self) -> [Self; 2] {
        let sizes: Vec<usize> = self.records.iter().map(size_of_record).collect();
        let half = self.bytes / 2;
        let mut head_bytes = 0;
        let mut head_count = 0;
        for size in &sizes[..sizes.len() - 1] {
            head_bytes += size;
            head_count += 1;
            if head_bytes >= half {
                break;
            }
        }
        let records = self.records.split_off(head_count);
        // A record that is larger than all that may be in flight has no more than that.
        let rest = self.permit.num_permits().saturating_sub(head_bytes);
        let permit = self
            .permit
            .split(rest)
            .expect("it is no more than there are");
        let (head_teller, head) = batch_delivery();
        let (tail_teller, tail) = batch_delivery();
        let second = Self {
            bytes: self.bytes - head_bytes,
            first: self.first.map(|first| sequence_after(first, head_count)),
            records,
            teller: tail_teller,
            delivery: tail.clone(),
            permit,
            ..self
        };
        let first = Self {
            bytes: head_bytes,
            first: self.first,
            records: self.records,
            teller: head_teller,
            delivery: head.clone(),
            permit: self.permit,
            ..second
        };
        let _ = self.teller.send(Told::Split(Split {
            // A batch has fewer records than bytes, and those are bounded.
            head_count: head_count as u32,
            head,
            tail,
        }));
        [first, second]
    }
}

/// How many bytes a batch may count for if the topic's `max.message.bytes` is this.
pub(super) fn batch_bytes_of(max_message_bytes: usize) -> usize {
    max_message_bytes
        .saturating_sub(BATCH_OVERHEAD_BYTES)
        .max(1)
}

/// What a record counts for in the limits, in bytes: no less than it takes in the log, unless it grows there when it
/// is compressed.
pub(super) fn size_bytes(key: Option<&Bytes>, value: Option<&Bytes>, headers: &[Header]) -> usize {
    let length = |bytes: Option<&Bytes>| bytes.map_or(0, Bytes::len);
    let headers: usize = headers
        .iter()
        .map(|header| HEADER_OVERHEAD_BYTES + header.key.len() + length(header.value.as_ref()))
        .sum();
    RECORD_OVERHEAD_BYTES + length(key) + length(value) + headers
}

/// The same of a record in a batch.
fn size_of_record(record: &Record) -> usize {
    size_bytes(record.key.as_ref(), record.value.as_ref(), &record.headers)
}

/// The number after `count` records from `first`: after 2^31 - 1 comes 0.
pub(super) fn sequence_after(first: i32, count: usize) -> i32 {
    let next = (i64::from(first) + count as i64) % (i64::from(i32::MAX) + 1);
    // It is between 0 and 2^31 - 1.
    next as i32
}
