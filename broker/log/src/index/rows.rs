//! The values of the index that are not batches.

use crate::fold::{Extent, decode_extent, encode_extent, take_u32, take_u64};
use crate::types::Lsn;

/// How far the index is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Applied {
    /// Every entry before this place is in the index.
    pub applied: Lsn,
    /// Every entry before this place is on disk too.
    pub durable: Lsn,
}

impl Applied {
    pub fn encode(self) -> Vec<u8> {
        [self.applied.0.to_le_bytes(), self.durable.0.to_le_bytes()].concat()
    }

    pub fn decode(mut bytes: &[u8]) -> Option<Self> {
        let (applied, durable) = (Lsn(take_u64(&mut bytes)?), Lsn(take_u64(&mut bytes)?));
        bytes.is_empty().then_some(Self { applied, durable })
    }
}

/// What is known of a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct FileRow {
    /// Bytes of entries in it that the index points to, headers and padding included.
    pub live_bytes: u64,
}

impl FileRow {
    pub fn encode(self) -> Vec<u8> {
        self.live_bytes.to_le_bytes().to_vec()
    }

    pub fn decode(mut bytes: &[u8]) -> Option<Self> {
        let live_bytes = take_u64(&mut bytes)?;
        bytes.is_empty().then_some(Self { live_bytes })
    }
}

/// What is known of a partition, at the place up to which the index is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PartitionRow {
    pub extent: Extent,
    /// Bytes of the batches that the index points to.
    pub size_bytes: u64,
    /// Greatest timestamp appended, and the base offset of the batch that holds it.
    pub max_timestamp: i64,
    pub max_timestamp_offset: u64,
    /// Up to this offset compaction has looked at everything.
    pub cleaned_end: u64,
    /// When the next tombstone may go, in milliseconds; -1 if there is none.
    pub delete_horizon: i64,
    /// The newest row of the time index, and the bytes appended since.
    pub sampled_timestamp: i64,
    pub unsampled_bytes: u64,
    /// No batch's row is left before this offset, and none of the time index before this time: trimming
    /// begins here, and does not walk over everything that was ever removed. Whatever puts a row before the
    /// offset lowers it.
    pub trimmed_offset: u64,
    pub trimmed_timestamp: i64,
    /// The partition is deleted; its rows are being removed.
    pub deleted: bool,
}

/// Appended bytes after which another row of the time index is due.
const SAMPLE_EVERY: u64 = 64 << 10;

impl PartitionRow {
    pub fn new(extent: Extent) -> Self {
        Self {
            extent,
            size_bytes: 0,
            max_timestamp: -1,
            max_timestamp_offset: 0,
            cleaned_end: 0,
            delete_horizon: -1,
            sampled_timestamp: -1,
            unsampled_bytes: SAMPLE_EVERY,
            trimmed_offset: 0,
            trimmed_timestamp: i64::MIN,
            deleted: false,
        }
    }

    /// Notes an appended batch's timestamp. True if the time index gets a row `timestamp -> base_offset`:
    /// then all batches before `base_offset` are at most as new as the row before says.
    pub fn note_timestamp(&mut self, base_offset: u64, timestamp: i64, bytes: u32) -> bool {
        self.unsampled_bytes += u64::from(bytes);
        if timestamp > self.max_timestamp {
            self.max_timestamp = timestamp;
            self.max_timestamp_offset = base_offset;
        }
        let due =
            self.unsampled_bytes >= SAMPLE_EVERY && self.max_timestamp > self.sampled_timestamp;
        if due {
            self.sampled_timestamp = self.max_timestamp;
            self.unsampled_bytes = 0;
        }
        due
    }

    /// Nothing is left of which a time is known.
    pub fn forget_times(&mut self) {
        self.max_timestamp = -1;
        self.max_timestamp_offset = 0;
        self.sampled_timestamp = -1;
        self.unsampled_bytes = SAMPLE_EVERY;
        self.trimmed_timestamp = i64::MIN;
    }

    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(112);
        for number in [
            self.size_bytes,
            self.max_timestamp.cast_unsigned(),
            self.max_timestamp_offset,
            self.cleaned_end,
            self.delete_horizon.cast_unsigned(),
            self.sampled_timestamp.cast_unsigned(),
            self.unsampled_bytes,
            self.trimmed_offset,
            self.trimmed_timestamp.cast_unsigned(),
        ] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        out.extend_from_slice(&u32::from(self.deleted).to_le_bytes());
        encode_extent(&self.extent, &mut out);
        out
    }

    pub fn decode(mut bytes: &[u8]) -> Option<Self> {
        let bytes = &mut bytes;
        let row = Self {
            size_bytes: take_u64(bytes)?,
            max_timestamp: take_u64(bytes)?.cast_signed(),
            max_timestamp_offset: take_u64(bytes)?,
            cleaned_end: take_u64(bytes)?,
            delete_horizon: take_u64(bytes)?.cast_signed(),
            sampled_timestamp: take_u64(bytes)?.cast_signed(),
            unsampled_bytes: take_u64(bytes)?,
            trimmed_offset: take_u64(bytes)?,
            trimmed_timestamp: take_u64(bytes)?.cast_signed(),
            deleted: take_u32(bytes)? != 0,
            extent: decode_extent(bytes)?,
        };
        bytes.is_empty().then_some(row)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn partition_rows_round_trip(numbers: [u32; 6], timestamps: (i64, i64), deleted: bool) {
            let row = PartitionRow {
                extent: Extent { log_start: numbers[0].into(), log_end: u64::from(numbers[0]) + u64::from(numbers[1]), ..Extent::default() },
                size_bytes: numbers[2].into(),
                max_timestamp: timestamps.0,
                max_timestamp_offset: numbers[3].into(),
                cleaned_end: numbers[4].into(),
                delete_horizon: timestamps.1,
                sampled_timestamp: timestamps.1,
                unsampled_bytes: numbers[5].into(),
                trimmed_offset: numbers[0].into(),
                trimmed_timestamp: timestamps.1,
                deleted,
            };
            prop_assert_eq!(PartitionRow::decode(&row.encode()), Some(row));
        }

        #[test]
        fn applied_rows_round_trip(applied: u64, durable: u64) {
            let row = Applied { applied: Lsn(applied), durable: Lsn(durable) };
            prop_assert_eq!(Applied::decode(&row.encode()), Some(row));
        }

        #[test]
        fn file_rows_round_trip(live_bytes: u64) {
            prop_assert_eq!(FileRow::decode(&FileRow { live_bytes }.encode()), Some(FileRow { live_bytes }));
        }
    }

    #[test]
    fn a_time_row_is_due_after_enough_bytes_and_only_for_a_new_maximum() {
        let mut row = PartitionRow::new(Extent::default());
        assert!(row.note_timestamp(0, 100, 10));
        assert!(!row.note_timestamp(1, 200, 10));
        assert!(!row.note_timestamp(2, 50, 64 << 10) || row.sampled_timestamp == 200);
        assert_eq!((row.max_timestamp, row.max_timestamp_offset), (200, 1));
        assert!(!row.note_timestamp(3, 150, 64 << 10));
    }
}
