//! What clients may read of a replica: nothing beyond the high watermark.

use fjord_log::{Found, ReadBatches, ReadError, ReadLimit};

use super::Replica;

/// Where a partition's records begin and end, for clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// First offset there is.
    pub log_start: u64,
    /// Offset after the last record that no open transaction comes before.
    pub last_stable: u64,
    /// Offset after the last record that is on the disks of all in-sync replicas.
    pub high_watermark: u64,
}

impl Replica {
    /// Where the records begin and end now.
    pub fn bounds(&self) -> Bounds {
        let positions = self.log.positions();
        // Read after the positions: it may have moved beyond them since.
        let high_watermark = self
            .log
            .high_watermark()
            .clamp(positions.log_start, positions.durable_end);
        Bounds {
            log_start: positions.log_start,
            // There are no transactions yet.
            last_stable: high_watermark,
            high_watermark,
        }
    }

    /// Stored batches from the one that holds `offset` on, up to the high watermark, if they are in
    /// memory; `None` if the disk must be asked, by [`Replica::read`].
    pub fn read_recent(
        &self,
        offset: u64,
        limit: ReadLimit,
    ) -> Option<Result<ReadBatches, ReadError>> {
        self.log
            .read_recent(offset, limit, self.bounds().high_watermark)
    }

    /// Stored batches from the one that holds `offset` on, up to the high watermark. May block.
    ///
    /// # Errors
    ///
    /// See [`fjord_log::Partition::read`].
    pub fn read(&self, offset: u64, limit: ReadLimit) -> Result<ReadBatches, ReadError> {
        self.log.read(offset, limit, self.bounds().high_watermark)
    }

    /// The first record that is not older than `timestamp`. May block.
    ///
    /// # Errors
    ///
    /// See [`fjord_log::Partition::offset_for_timestamp`].
    pub fn offset_for_timestamp(&self, timestamp: i64) -> Result<Option<Found>, ReadError> {
        self.log
            .offset_for_timestamp(timestamp, self.bounds().high_watermark)
    }

    /// The record with the greatest timestamp. May block.
    ///
    /// # Errors
    ///
    /// See [`fjord_log::Partition::offset_of_max_timestamp`].
    pub fn offset_of_max_timestamp(&self) -> Result<Option<Found>, ReadError> {
        self.log
            .offset_of_max_timestamp(self.bounds().high_watermark)
    }
}
