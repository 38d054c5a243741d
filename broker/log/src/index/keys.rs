//! The keys of the index: one byte for the kind, then big-endian numbers, so that byte order is their order.

use crate::types::{PartitionId, be_u64};

/// Kind of rows `partition, base offset -> Location`.
pub(crate) const BATCH: u8 = b'b';
/// Kind of rows `file -> FileRow`.
pub(crate) const FILE: u8 = b'f';
/// Kind of rows `partition -> PartitionRow`.
pub(crate) const PARTITION: u8 = b'p';
/// Kind of rows `partition, producer id -> producer state`.
pub(crate) const PRODUCER: u8 = b'q';
/// Kind of rows `partition, timestamp -> base offset`.
pub(crate) const TIME: u8 = b't';
/// The one row that says how far the index is.
pub(crate) const APPLIED: [u8; 1] = [b'a'];
/// Kind of rows `slot -> commit number`; see [`crate::index::chain`].
pub(crate) const COMMIT: u8 = b'c';

fn pair(kind: u8, partition: PartitionId, second: u64) -> [u8; 17] {
    let mut key = [0; 17];
    key[0] = kind;
    key[1..9].copy_from_slice(&partition.0.to_be_bytes());
    key[9..17].copy_from_slice(&second.to_be_bytes());
    key
}

fn single(kind: u8, number: u64) -> [u8; 9] {
    let mut key = [0; 9];
    key[0] = kind;
    key[1..9].copy_from_slice(&number.to_be_bytes());
    key
}

pub(crate) fn batch(partition: PartitionId, base_offset: u64) -> [u8; 17] {
    pair(BATCH, partition, base_offset)
}

/// The key after the last batch that a partition can have: offsets stay below `u64::MAX`.
pub(crate) fn batches_end(partition: PartitionId) -> [u8; 17] {
    pair(BATCH, partition, u64::MAX)
}

pub(crate) fn partition(partition: PartitionId) -> [u8; 9] {
    single(PARTITION, partition.0)
}

pub(crate) fn file(id: u32) -> [u8; 9] {
    single(FILE, u64::from(id))
}

pub(crate) fn producer(partition: PartitionId, producer: i64) -> [u8; 17] {
    pair(PRODUCER, partition, producer.cast_unsigned())
}

pub(crate) fn commit(slot: u64) -> [u8; 9] {
    single(COMMIT, slot)
}

/// Where a partition's producers start and end.
pub(crate) fn producers(partition: PartitionId) -> ([u8; 17], [u8; 17]) {
    (
        pair(PRODUCER, partition, 0),
        pair(PRODUCER, partition, u64::MAX),
    )
}

/// Timestamps before 1970 sort before later ones: the sign bit is turned round.
pub(crate) fn time(partition: PartitionId, timestamp: i64) -> [u8; 17] {
    pair(TIME, partition, timestamp.cast_unsigned() ^ 1 << 63)
}

/// The timestamp in a key of the time index.
pub(crate) fn parse_time(key: &[u8]) -> Option<i64> {
    let turned = parse_u64(key.get(9..)?)?;
    Some((turned ^ 1 << 63).cast_signed())
}

pub(crate) fn times_start(partition: PartitionId) -> [u8; 17] {
    pair(TIME, partition, 0)
}

/// The key after a partition's last row for times up to `timestamp`.
pub(crate) fn times_after(partition: PartitionId, timestamp: i64) -> Vec<u8> {
    let mut key = time(partition, timestamp).to_vec();
    key.push(0);
    key
}

/// A big-endian number that fills `bytes`.
pub(crate) fn parse_u64(bytes: &[u8]) -> Option<u64> {
    (bytes.len() == 8).then(|| be_u64(bytes, 0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn times_sort_as_numbers(a: i64, b: i64) {
            let id = PartitionId(1);
            prop_assert_eq!(a.cmp(&b), time(id, a).cmp(&time(id, b)));
        }

        #[test]
        fn times_round_trip(a: i64) {
            prop_assert_eq!(parse_time(&time(PartitionId(1), a)), Some(a));
        }

        #[test]
        fn batches_sort_by_partition_then_offset(a: (u64, u64), b: (u64, u64)) {
            prop_assert_eq!(a.cmp(&b), batch(PartitionId(a.0), a.1).cmp(&batch(PartitionId(b.0), b.1)));
        }
    }
}
