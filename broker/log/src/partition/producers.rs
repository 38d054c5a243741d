//! Idempotent producers (KIP-98): which batch of which producer comes next, and which was seen before.
//!
//! Pure. One table per partition; the last five batches of each producer are remembered, as many as a
//! producer may have in flight.

use std::collections::{HashMap, VecDeque};

use crate::fold::{take_u32, take_u64};

/// Batches remembered for each producer; a client may have five requests in flight (KIP-98).
const REMEMBERED_BATCHES: usize = 5;

/// One appended batch of an idempotent producer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchMetadata {
    /// Sequence number of the batch's first record.
    pub first_sequence: i32,
    /// Sequence number of the batch's last record.
    pub last_sequence: i32,
    /// Offset of the batch's first record.
    pub base_offset: u64,
    /// Offset of the batch's last record.
    pub last_offset: u64,
    /// Greatest timestamp in the batch, in milliseconds.
    pub timestamp: i64,
}

/// What an idempotent producer stamped on a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ProducerStamp {
    pub producer_id: i64,
    pub producer_epoch: i16,
    pub base_sequence: i32,
}

/// What to do with a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProducerCheck {
    /// It is the next one.
    Append,
    /// It was appended before, here.
    Duplicate(BatchMetadata),
    /// Its sequence does not follow; the expected one is given.
    OutOfOrder(i32),
    /// A newer epoch of the producer has written; it is given.
    Fenced(i16),
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct ProducerState {
    epoch: i16,
    batches: VecDeque<BatchMetadata>,
    last_timestamp: i64,
}

/// The producers that wrote to a partition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProducerTable {
    producers: HashMap<i64, ProducerState>,
}

impl ProducerTable {
    /// Number of producers remembered.
    #[must_use]
    pub fn len(&self) -> usize {
        self.producers.len()
    }

    /// Whether no producer is remembered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.producers.is_empty()
    }

    /// Decides about a batch of `count` sequence numbers.
    ///
    /// A producer that is not known may begin with any sequence: its records may have been deleted.
    pub(crate) fn check(&self, stamp: &ProducerStamp, last_offset_delta: u32) -> ProducerCheck {
        let Some(state) = self.producers.get(&stamp.producer_id) else {
            return ProducerCheck::Append;
        };
        if stamp.producer_epoch < state.epoch {
            return ProducerCheck::Fenced(state.epoch);
        }
        if stamp.producer_epoch > state.epoch {
            return if stamp.base_sequence == 0 {
                ProducerCheck::Append
            } else {
                ProducerCheck::OutOfOrder(0)
            };
        }
        let last = sequence_after(stamp.base_sequence, last_offset_delta);
        let seen = state
            .batches
            .iter()
            .find(|b| b.first_sequence == stamp.base_sequence && b.last_sequence == last);
        if let Some(seen) = seen {
            return ProducerCheck::Duplicate(*seen);
        }
        match state
            .batches
            .back()
            .map(|b| sequence_after(b.last_sequence, 1))
        {
            Some(expected) if expected != stamp.base_sequence => {
                ProducerCheck::OutOfOrder(expected)
            }
            _ => ProducerCheck::Append,
        }
    }

    /// Notes an appended batch.
    pub(crate) fn record(
        &mut self,
        stamp: &ProducerStamp,
        base_offset: u64,
        last_offset_delta: u32,
        timestamp: i64,
    ) {
        let state = self
            .producers
            .entry(stamp.producer_id)
            .or_insert_with(|| ProducerState {
                epoch: stamp.producer_epoch,
                batches: VecDeque::with_capacity(1),
                last_timestamp: timestamp,
            });
        if state.epoch != stamp.producer_epoch {
            state.epoch = stamp.producer_epoch;
            state.batches.clear();
        }
        if state.batches.len() == REMEMBERED_BATCHES {
            state.batches.pop_front();
        }
        state.batches.push_back(BatchMetadata {
            first_sequence: stamp.base_sequence,
            last_sequence: sequence_after(stamp.base_sequence, last_offset_delta),
            base_offset,
            last_offset: base_offset + u64::from(last_offset_delta),
            timestamp,
        });
        state.last_timestamp = state.last_timestamp.max(timestamp);
    }

    /// Forgets the batches at `log_end` and after it, and producers of which nothing is left. A producer's batches
    /// are all of one epoch: with those of its newest epoch it is forgotten.
    pub(crate) fn truncate_suffix(&mut self, log_end: u64) {
        self.producers.retain(|_, state| {
            let before = state.batches.len();
            state.batches.retain(|b| b.base_offset < log_end);
            let newest = state.batches.iter().map(|b| b.timestamp).max();
            if state.batches.len() < before {
                state.last_timestamp = newest.unwrap_or(-1);
            }
            !state.batches.is_empty()
        });
    }

    /// Forgets producers whose newest batch is older than `before` (milliseconds), as
    /// `producer.id.expiration.ms` has it; returns their ids.
    pub(crate) fn expire(&mut self, before: i64) -> Vec<i64> {
        let old: Vec<i64> = self
            .producers
            .iter()
            .filter(|(_, s)| s.last_timestamp < before)
            .map(|(id, _)| *id)
            .collect();
        for id in &old {
            self.producers.remove(id);
        }
        old
    }

    /// Offset of a producer's newest batch.
    pub(crate) fn newest_offset(&self, producer_id: i64) -> Option<u64> {
        let state = self.producers.get(&producer_id)?;
        state.batches.back().map(|b| b.base_offset)
    }

    /// Forgets the longest idle producer if there are more than `limit`; returns its id.
    pub(crate) fn evict_beyond(&mut self, limit: usize) -> Option<i64> {
        if self.producers.len() <= limit {
            return None;
        }
        let oldest = self
            .producers
            .iter()
            .min_by_key(|(id, s)| (s.last_timestamp, **id))
            .map(|(id, _)| *id)?;
        self.producers.remove(&oldest);
        Some(oldest)
    }

    /// One producer's state as bytes: epoch, last timestamp, count, then the batches.
    pub(crate) fn encode(&self, producer_id: i64) -> Option<Vec<u8>> {
        let state = self.producers.get(&producer_id)?;
        let mut out = Vec::with_capacity(16 + state.batches.len() * 32);
        out.extend_from_slice(&i32::from(state.epoch).to_le_bytes());
        out.extend_from_slice(&state.last_timestamp.to_le_bytes());
        for batch in &state.batches {
            out.extend_from_slice(&batch.first_sequence.to_le_bytes());
            out.extend_from_slice(&batch.last_sequence.to_le_bytes());
            out.extend_from_slice(&batch.base_offset.to_le_bytes());
            out.extend_from_slice(&batch.last_offset.to_le_bytes());
            out.extend_from_slice(&batch.timestamp.to_le_bytes());
        }
        Some(out)
    }

    /// The inverse of [`ProducerTable::encode`]: takes a producer's state in. False if it is not one.
    pub(crate) fn decode_into(&mut self, producer_id: i64, bytes: &[u8]) -> bool {
        let Some(state) = decode_state(bytes) else {
            return false;
        };
        self.producers.insert(producer_id, state);
        true
    }
}

fn decode_state(mut bytes: &[u8]) -> Option<ProducerState> {
    let epoch = i16::try_from(take_u32(&mut bytes)?.cast_signed()).ok()?;
    let last_timestamp = take_u64(&mut bytes)?.cast_signed();
    let mut batches = VecDeque::new();
    while !bytes.is_empty() {
        batches.push_back(BatchMetadata {
            first_sequence: take_u32(&mut bytes)?.cast_signed(),
            last_sequence: take_u32(&mut bytes)?.cast_signed(),
            base_offset: take_u64(&mut bytes)?,
            last_offset: take_u64(&mut bytes)?,
            timestamp: take_u64(&mut bytes)?.cast_signed(),
        });
    }
    (batches.len() <= REMEMBERED_BATCHES).then_some(ProducerState {
        epoch,
        batches,
        last_timestamp,
    })
}

/// Sequence numbers run from 0 to `i32::MAX` and then from 0 again.
fn sequence_after(sequence: i32, by: u32) -> i32 {
    let wrapped = (i64::from(sequence) + i64::from(by)) % (i64::from(i32::MAX) + 1);
    i32::try_from(wrapped).expect("a remainder by 2^31 is below 2^31")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stamp(epoch: i16, sequence: i32) -> ProducerStamp {
        ProducerStamp {
            producer_id: 7,
            producer_epoch: epoch,
            base_sequence: sequence,
        }
    }

    /// A table in which producer 7 with epoch 1 appended six batches of ten records, from offset 100.
    fn table() -> ProducerTable {
        let mut table = ProducerTable::default();
        for i in 0..6u8 {
            let (sequence, offset) = (i32::from(i) * 10, 100 + u64::from(i) * 10);
            assert_eq!(table.check(&stamp(1, sequence), 9), ProducerCheck::Append);
            table.record(&stamp(1, sequence), offset, 9, i64::from(i));
        }
        table
    }

    #[test]
    fn duplicates_of_the_last_five_are_answered_with_their_offsets() {
        let table = table();
        for i in 1..6u8 {
            match table.check(&stamp(1, i32::from(i) * 10), 9) {
                ProducerCheck::Duplicate(seen) => {
                    assert_eq!(seen.base_offset, 100 + u64::from(i) * 10);
                }
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(table.check(&stamp(1, 0), 9), ProducerCheck::OutOfOrder(60));
    }

    #[test]
    fn gaps_and_old_epochs_are_refused() {
        let table = table();
        assert_eq!(table.check(&stamp(1, 70), 9), ProducerCheck::OutOfOrder(60));
        assert_eq!(table.check(&stamp(0, 60), 9), ProducerCheck::Fenced(1));
        assert_eq!(table.check(&stamp(2, 60), 9), ProducerCheck::OutOfOrder(0));
        assert_eq!(table.check(&stamp(2, 0), 9), ProducerCheck::Append);
    }

    #[test]
    fn sequences_wrap() {
        let mut table = ProducerTable::default();
        table.record(&stamp(1, i32::MAX - 4), 0, 9, 0);
        assert_eq!(table.check(&stamp(1, 5), 0), ProducerCheck::Append);
        assert_eq!(table.check(&stamp(1, 6), 0), ProducerCheck::OutOfOrder(5));
    }

    #[test]
    fn truncation_takes_batches_back() {
        let mut table = table();
        table.truncate_suffix(130);
        assert_eq!(table.check(&stamp(1, 30), 9), ProducerCheck::Append);
        table.truncate_suffix(0);
        assert!(table.is_empty());
    }

    #[test]
    fn state_round_trips() {
        let table = table();
        let mut copy = ProducerTable::default();
        assert!(copy.decode_into(7, &table.encode(7).unwrap()));
        assert_eq!(copy, table);
    }

    #[test]
    fn idle_producers_are_forgotten() {
        let mut table = table();
        table.record(
            &ProducerStamp {
                producer_id: 8,
                ..stamp(0, 0)
            },
            160,
            0,
            99,
        );
        assert_eq!(table.clone().expire(50), vec![7]);
        assert_eq!(table.evict_beyond(2), None);
        assert_eq!(table.evict_beyond(1), Some(7));
    }
}
