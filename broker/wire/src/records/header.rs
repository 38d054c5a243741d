//! The 61-byte header of a record batch (format v2): parsing it, and changing the few fields that a
//! broker sets.
//!
//! ```text
//!  0 base offset i64           12 leader epoch i32   21 attributes i16         35 max timestamp i64
//!  8 batch length i32          16 magic i8           23 last offset delta i32  43 producer id i64
//!    (of what follows it)      17 crc-32c u32        27 base timestamp i64     51 producer epoch i16
//!                                 (of 21 to the end)                           53 base sequence i32
//!                                                                              57 record count i32
//! ```

use super::compression::Compression;
use super::error::BatchError;

/// Size of the header of a record batch, in bytes.
pub const BATCH_HEADER_BYTES: usize = 61;

/// Size of base offset and batch length, which the batch length does not count.
pub const LOG_OVERHEAD_BYTES: usize = 12;

/// The message format that this crate reads and writes.
pub const MAGIC_V2: i8 = 2;

/// The producer id of a batch that no idempotent producer sent.
pub const NO_PRODUCER_ID: i64 = -1;

/// The producer epoch of a batch that no idempotent producer sent.
pub const NO_PRODUCER_EPOCH: i16 = -1;

/// The base sequence of a batch that no idempotent producer sent.
pub const NO_SEQUENCE: i32 = -1;

/// The timestamp of a record that has none.
pub const NO_TIMESTAMP: i64 = -1;

const BASE_OFFSET: usize = 0;
const BATCH_LENGTH: usize = 8;
const LEADER_EPOCH: usize = 12;
const MAGIC: usize = 16;
const CRC: usize = 17;
const ATTRIBUTES: usize = 21;
const LAST_OFFSET_DELTA: usize = 23;
const BASE_TIMESTAMP: usize = 27;
const MAX_TIMESTAMP: usize = 35;
const PRODUCER_ID: usize = 43;
const PRODUCER_EPOCH: usize = 51;
const BASE_SEQUENCE: usize = 53;
const RECORD_COUNT: usize = 57;

/// Where the timestamps of a batch come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TimestampType {
    /// The producer set them.
    #[default]
    CreateTime,
    /// All records have the time of the append, which is the batch's maximum timestamp.
    LogAppendTime,
}

/// The attribute bits of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Attributes(pub i16);

impl Attributes {
    const COMPRESSION_MASK: i16 = 0x07;
    const LOG_APPEND_TIME: i16 = 0x08;
    const TRANSACTIONAL: i16 = 0x10;
    const CONTROL: i16 = 0x20;
    const DELETE_HORIZON: i16 = 0x40;

    /// The codec of the records.
    ///
    /// # Errors
    /// [`BatchError::UnknownCompression`] for the codes that Kafka does not define.
    pub fn compression(self) -> Result<Compression, BatchError> {
        let code = self.0 & Self::COMPRESSION_MASK;
        Compression::from_code(code).ok_or(BatchError::UnknownCompression { code })
    }

    /// Where the timestamps come from.
    pub fn timestamp_type(self) -> TimestampType {
        match self.0 & Self::LOG_APPEND_TIME {
            0 => TimestampType::CreateTime,
            _ => TimestampType::LogAppendTime,
        }
    }

    /// Whether the batch is part of a transaction.
    pub fn is_transactional(self) -> bool {
        self.0 & Self::TRANSACTIONAL != 0
    }

    /// Whether the records are control records, such as the markers that end transactions.
    pub fn is_control(self) -> bool {
        self.0 & Self::CONTROL != 0
    }

    /// Whether the base timestamp is the time at which compaction may drop tombstones (KIP-534).
    pub fn has_delete_horizon(self) -> bool {
        self.0 & Self::DELETE_HORIZON != 0
    }

    /// The same with another codec.
    #[must_use]
    pub fn with_compression(self, codec: Compression) -> Self {
        Self(self.0 & !Self::COMPRESSION_MASK | codec.code())
    }

    /// The same with another timestamp type.
    #[must_use]
    pub fn with_timestamp_type(self, timestamp_type: TimestampType) -> Self {
        self.with(
            Self::LOG_APPEND_TIME,
            timestamp_type == TimestampType::LogAppendTime,
        )
    }

    /// The same, part of a transaction or not.
    #[must_use]
    pub fn with_transactional(self, transactional: bool) -> Self {
        self.with(Self::TRANSACTIONAL, transactional)
    }

    /// The same, with control records or not.
    #[must_use]
    pub fn with_control(self, control: bool) -> Self {
        self.with(Self::CONTROL, control)
    }

    /// The same, with the base timestamp as delete horizon or not.
    #[must_use]
    pub fn with_delete_horizon(self, delete_horizon: bool) -> Self {
        self.with(Self::DELETE_HORIZON, delete_horizon)
    }

    fn with(self, bit: i16, set: bool) -> Self {
        Self(if set { self.0 | bit } else { self.0 & !bit })
    }
}

/// The header of a record batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchHeader {
    /// Offset of the first record; kept by compaction even if that record goes.
    pub base_offset: i64,
    /// Bytes that follow the length field; 49 at least.
    pub batch_length: i32,
    /// Epoch of the leader that appended the batch; not covered by the checksum.
    pub partition_leader_epoch: i32,
    /// CRC-32C from the attributes to the end.
    pub crc: u32,
    /// Codec and flags.
    pub attributes: Attributes,
    /// Offset of the last record, relative to the base offset; kept by compaction.
    pub last_offset_delta: i32,
    /// What the timestamps of the records are relative to, in milliseconds since 1970.
    pub base_timestamp: i64,
    /// The latest timestamp of the records, in milliseconds since 1970.
    pub max_timestamp: i64,
    /// Id of the idempotent producer, or [`NO_PRODUCER_ID`].
    pub producer_id: i64,
    /// Epoch of that producer.
    pub producer_epoch: i16,
    /// Sequence number of the first record, or [`NO_SEQUENCE`].
    pub base_sequence: i32,
    /// How many records there are; fewer than the offsets after compaction, and never trusted.
    pub record_count: i32,
}

impl BatchHeader {
    /// Parses the header at the start of `bytes`; whether the rest of the batch is there, and
    /// whether its checksum is right, is not looked at.
    ///
    /// # Errors
    /// [`BatchError::Truncated`], [`BatchError::Magic`], [`BatchError::BatchLength`].
    pub fn parse(bytes: &[u8]) -> Result<Self, BatchError> {
        let Some(header) = bytes.first_chunk::<BATCH_HEADER_BYTES>() else {
            return Err(Self::too_short(bytes));
        };
        let [magic] = field(header, MAGIC);
        check_magic(i8::from_be_bytes([magic]))?;
        let batch_length = i32::from_be_bytes(field(header, BATCH_LENGTH));
        check_batch_length(batch_length)?;
        Ok(Self {
            base_offset: i64::from_be_bytes(field(header, BASE_OFFSET)),
            batch_length,
            partition_leader_epoch: i32::from_be_bytes(field(header, LEADER_EPOCH)),
            crc: u32::from_be_bytes(field(header, CRC)),
            attributes: Attributes(i16::from_be_bytes(field(header, ATTRIBUTES))),
            last_offset_delta: i32::from_be_bytes(field(header, LAST_OFFSET_DELTA)),
            base_timestamp: i64::from_be_bytes(field(header, BASE_TIMESTAMP)),
            max_timestamp: i64::from_be_bytes(field(header, MAX_TIMESTAMP)),
            producer_id: i64::from_be_bytes(field(header, PRODUCER_ID)),
            producer_epoch: i16::from_be_bytes(field(header, PRODUCER_EPOCH)),
            base_sequence: i32::from_be_bytes(field(header, BASE_SEQUENCE)),
            record_count: i32::from_be_bytes(field(header, RECORD_COUNT)),
        })
    }

    /// Old formats have shorter batches, so their magic is worth a look even if there are too few
    /// bytes for a header.
    fn too_short(bytes: &[u8]) -> BatchError {
        let truncated = BatchError::Truncated {
            needed: BATCH_HEADER_BYTES,
            available: bytes.len(),
        };
        match bytes
            .get(MAGIC)
            .map(|magic| check_magic(i8::from_be_bytes([*magic])))
        {
            Some(Err(error)) => error,
            _ => truncated,
        }
    }

    /// Writes the header to the start of `batch`, which is at least as long, all but the checksum.
    pub(super) fn write(&self, batch: &mut [u8; BATCH_HEADER_BYTES]) {
        put(batch, BASE_OFFSET, self.base_offset.to_be_bytes());
        put(batch, BATCH_LENGTH, self.batch_length.to_be_bytes());
        put(
            batch,
            LEADER_EPOCH,
            self.partition_leader_epoch.to_be_bytes(),
        );
        put(batch, MAGIC, MAGIC_V2.to_be_bytes());
        put(batch, ATTRIBUTES, self.attributes.0.to_be_bytes());
        put(
            batch,
            LAST_OFFSET_DELTA,
            self.last_offset_delta.to_be_bytes(),
        );
        put(batch, BASE_TIMESTAMP, self.base_timestamp.to_be_bytes());
        put(batch, MAX_TIMESTAMP, self.max_timestamp.to_be_bytes());
        put(batch, PRODUCER_ID, self.producer_id.to_be_bytes());
        put(batch, PRODUCER_EPOCH, self.producer_epoch.to_be_bytes());
        put(batch, BASE_SEQUENCE, self.base_sequence.to_be_bytes());
        put(batch, RECORD_COUNT, self.record_count.to_be_bytes());
    }

    /// Size of the whole batch in bytes, header included.
    pub fn size(&self) -> usize {
        // `parse` lets no length below that of the header's rest pass.
        LOG_OVERHEAD_BYTES + usize::try_from(self.batch_length).unwrap_or(0)
    }

    /// Offset of the batch's last record.
    pub fn last_offset(&self) -> i64 {
        self.base_offset
            .saturating_add(i64::from(self.last_offset_delta))
    }

    /// The offset that follows the batch.
    pub fn next_offset(&self) -> i64 {
        self.last_offset().saturating_add(1)
    }

    /// The codec of the records.
    ///
    /// # Errors
    /// [`BatchError::UnknownCompression`].
    pub fn compression(&self) -> Result<Compression, BatchError> {
        self.attributes.compression()
    }

    /// Where the timestamps come from.
    pub fn timestamp_type(&self) -> TimestampType {
        self.attributes.timestamp_type()
    }

    /// Whether the batch is part of a transaction.
    pub fn is_transactional(&self) -> bool {
        self.attributes.is_transactional()
    }

    /// Whether the records are control records.
    pub fn is_control(&self) -> bool {
        self.attributes.is_control()
    }

    /// Whether an idempotent producer sent the batch.
    pub fn has_producer_id(&self) -> bool {
        self.producer_id != NO_PRODUCER_ID
    }

    /// Sequence number of the last record; sequence numbers start over at 0 after `i32::MAX`.
    pub fn last_sequence(&self) -> i32 {
        if self.base_sequence == NO_SEQUENCE {
            return NO_SEQUENCE;
        }
        match self.base_sequence.checked_add(self.last_offset_delta) {
            Some(sequence) => sequence,
            // Adding wraps to the negative numbers, of which there is one more.
            None => self.base_sequence.wrapping_add(self.last_offset_delta) & i32::MAX,
        }
    }

    /// The time from which compaction may drop the batch's tombstones, in milliseconds since 1970.
    pub fn delete_horizon(&self) -> Option<i64> {
        self.attributes
            .has_delete_horizon()
            .then_some(self.base_timestamp)
    }
}

fn check_magic(magic: i8) -> Result<(), BatchError> {
    if magic == MAGIC_V2 {
        Ok(())
    } else {
        Err(BatchError::Magic { magic })
    }
}

fn check_batch_length(length: i32) -> Result<(), BatchError> {
    match usize::try_from(length) {
        Ok(bytes) if bytes >= BATCH_HEADER_BYTES - LOG_OVERHEAD_BYTES => Ok(()),
        _ => Err(BatchError::BatchLength { length }),
    }
}

fn field<const N: usize>(header: &[u8; BATCH_HEADER_BYTES], at: usize) -> [u8; N] {
    let mut bytes = [0; N];
    bytes.copy_from_slice(&header[at..at + N]);
    bytes
}

fn put<const N: usize>(header: &mut [u8; BATCH_HEADER_BYTES], at: usize, value: [u8; N]) {
    header[at..at + N].copy_from_slice(&value);
}

/// CRC-32C of a batch, as its header should have it; 0 for less than a header.
pub fn compute_crc(batch: &[u8]) -> u32 {
    batch.get(ATTRIBUTES..).map_or(0, crc32c::crc32c)
}

/// Checks that `batch` is one whole batch, and that its checksum is right. This is what a stored
/// batch is checked with before it is served.
///
/// # Errors
/// Those of [`BatchHeader::parse`], and [`BatchError::Truncated`], [`BatchError::TrailingBytes`],
/// [`BatchError::Checksum`].
pub fn verify_batch(batch: &[u8]) -> Result<BatchHeader, BatchError> {
    let header = BatchHeader::parse(batch)?;
    let (needed, available) = (header.size(), batch.len());
    if available < needed {
        return Err(BatchError::Truncated { needed, available });
    }
    if available > needed {
        return Err(BatchError::TrailingBytes {
            extra: available - needed,
        });
    }
    let computed = compute_crc(batch);
    if computed != header.crc {
        return Err(BatchError::Checksum {
            stored: header.crc,
            computed,
        });
    }
    Ok(header)
}

fn header_mut(batch: &mut [u8]) -> Result<&mut [u8; BATCH_HEADER_BYTES], BatchError> {
    let available = batch.len();
    batch.first_chunk_mut().ok_or(BatchError::Truncated {
        needed: BATCH_HEADER_BYTES,
        available,
    })
}

/// Sets the offset of a batch's first record, and with it of all; the checksum does not cover it.
///
/// # Errors
/// [`BatchError::Truncated`] for less than a header.
pub fn set_base_offset(batch: &mut [u8], base_offset: i64) -> Result<(), BatchError> {
    put(header_mut(batch)?, BASE_OFFSET, base_offset.to_be_bytes());
    Ok(())
}

/// Sets the epoch of the leader that appends the batch; the checksum does not cover it.
///
/// # Errors
/// [`BatchError::Truncated`] for less than a header.
pub fn set_partition_leader_epoch(batch: &mut [u8], leader_epoch: i32) -> Result<(), BatchError> {
    put(header_mut(batch)?, LEADER_EPOCH, leader_epoch.to_be_bytes());
    Ok(())
}

/// Gives all records of a whole batch the time of the append: sets the timestamp type and the
/// maximum timestamp (milliseconds since 1970), and computes the checksum anew.
///
/// # Errors
/// [`BatchError::Truncated`] for less than a header.
pub fn set_append_time(batch: &mut [u8], timestamp: i64) -> Result<(), BatchError> {
    let header = header_mut(batch)?;
    let attributes = Attributes(i16::from_be_bytes(field(header, ATTRIBUTES)))
        .with_timestamp_type(TimestampType::LogAppendTime);
    put(header, ATTRIBUTES, attributes.0.to_be_bytes());
    set_max_timestamp(batch, timestamp)
}

/// Sets the maximum timestamp (milliseconds since 1970) of a whole batch whose producer got it
/// wrong, and computes the checksum anew.
///
/// # Errors
/// [`BatchError::Truncated`] for less than a header.
pub fn set_max_timestamp(batch: &mut [u8], timestamp: i64) -> Result<(), BatchError> {
    put(header_mut(batch)?, MAX_TIMESTAMP, timestamp.to_be_bytes());
    set_crc(batch)
}

/// Computes the checksum of a whole batch anew.
pub(super) fn set_crc(batch: &mut [u8]) -> Result<(), BatchError> {
    let crc = compute_crc(batch);
    put(header_mut(batch)?, CRC, crc.to_be_bytes());
    Ok(())
}
