//! Reading and writing the primitive types of Kafka's coordinator records.
//!
//! Coordinator records are not requests: they start with a 16-bit version of their own and are
//! few enough that hand-written codecs are shorter than a generator. Every length read here is
//! checked against what is left of the record before anything is reserved.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use thiserror::Error;
use uuid::Uuid;

/// Why a stored coordinator record could not be understood.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum DecodeError {
    /// The record ends before a field does.
    #[error("the record ends inside a field")]
    Truncated,
    /// A length is negative where null is not allowed, or larger than the record.
    #[error("a length in the record is out of range")]
    InvalidLength,
    /// A string is not UTF-8.
    #[error("a string in the record is not utf-8")]
    InvalidUtf8,
    /// The value was written by a version of the software that this one does not know.
    #[error("value version {0} is newer than any that is known")]
    UnknownValueVersion(i16),
}

/// A cursor over one stored key or value.
pub struct Reader {
    rest: Bytes,
    flexible: bool,
}

impl Reader {
    /// Starts reading at the version of the record.
    pub fn new(record: Bytes) -> Self {
        Self {
            rest: record,
            flexible: false,
        }
    }

    /// From here on strings, bytes and arrays have compact lengths (KIP-482).
    pub fn set_flexible(&mut self, flexible: bool) {
        self.flexible = flexible;
    }

    /// Reads a 16-bit integer.
    pub fn i16(&mut self) -> Result<i16, DecodeError> {
        self.rest.try_get_i16().map_err(|_| DecodeError::Truncated)
    }

    /// Reads a 32-bit integer.
    pub fn i32(&mut self) -> Result<i32, DecodeError> {
        self.rest.try_get_i32().map_err(|_| DecodeError::Truncated)
    }

    /// Reads a 64-bit integer.
    pub fn i64(&mut self) -> Result<i64, DecodeError> {
        self.rest.try_get_i64().map_err(|_| DecodeError::Truncated)
    }

    /// Reads a 128-bit identifier.
    pub fn uuid(&mut self) -> Result<Uuid, DecodeError> {
        self.rest
            .try_get_u128()
            .map(Uuid::from_u128)
            .map_err(|_| DecodeError::Truncated)
    }

    /// Reads a string that may not be null.
    pub fn string(&mut self) -> Result<String, DecodeError> {
        self.nullable_string()?.ok_or(DecodeError::InvalidLength)
    }

    /// Reads a string that may be null.
    pub fn nullable_string(&mut self) -> Result<Option<String>, DecodeError> {
        let length = if self.flexible {
            self.compact_length()?
        } else {
            i64::from(self.i16()?)
        };
        let Some(bytes) = self.take(length)? else {
            return Ok(None);
        };
        let text = std::str::from_utf8(&bytes).map_err(|_| DecodeError::InvalidUtf8)?;
        Ok(Some(text.to_owned()))
    }

    /// Reads bytes that may not be null.
    pub fn bytes(&mut self) -> Result<Bytes, DecodeError> {
        let length = if self.flexible {
            self.compact_length()?
        } else {
            i64::from(self.i32()?)
        };
        self.take(length)?.ok_or(DecodeError::InvalidLength)
    }

    /// Reads the number of elements of an array. An element takes at least one byte, so that a
    /// count beyond the rest of the record is refused before anything is reserved.
    pub fn array_count(&mut self) -> Result<usize, DecodeError> {
        let count = if self.flexible {
            self.compact_length()?
        } else {
            i64::from(self.i32()?)
        };
        let count = usize::try_from(count).map_err(|_| DecodeError::InvalidLength)?;
        if count > self.rest.len() {
            Err(DecodeError::InvalidLength)
        } else {
            Ok(count)
        }
    }

    /// Reads the tagged fields of a flexible version and hands each to `visit` by its tag.
    pub fn tagged_fields(
        &mut self,
        mut visit: impl FnMut(u32, &mut Reader) -> Result<(), DecodeError>,
    ) -> Result<(), DecodeError> {
        if !self.flexible {
            return Ok(());
        }
        for _ in 0..self.unsigned_varint()? {
            let tag = self.unsigned_varint()?;
            let length = i64::from(self.unsigned_varint()?);
            let rest = self.take(length)?.ok_or(DecodeError::InvalidLength)?;
            visit(
                tag,
                &mut Reader {
                    rest,
                    flexible: true,
                },
            )?;
        }
        Ok(())
    }

    fn take(&mut self, length: i64) -> Result<Option<Bytes>, DecodeError> {
        if length == -1 {
            return Ok(None);
        }
        let length = usize::try_from(length).map_err(|_| DecodeError::InvalidLength)?;
        if length > self.rest.len() {
            return Err(DecodeError::InvalidLength);
        }
        Ok(Some(self.rest.split_to(length)))
    }

    fn compact_length(&mut self) -> Result<i64, DecodeError> {
        Ok(i64::from(self.unsigned_varint()?) - 1)
    }

    fn unsigned_varint(&mut self) -> Result<u32, DecodeError> {
        let mut value = 0_u64;
        for shift in (0..35).step_by(7) {
            let byte = self.rest.try_get_u8().map_err(|_| DecodeError::Truncated)?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return u32::try_from(value).map_err(|_| DecodeError::InvalidLength);
            }
        }
        Err(DecodeError::InvalidLength)
    }
}

/// Builds one stored key or value.
pub struct Writer {
    buffer: BytesMut,
    flexible: bool,
}

impl Writer {
    /// Starts a record with its version.
    pub fn new(version: i16) -> Self {
        let mut buffer = BytesMut::with_capacity(64);
        buffer.put_i16(version);
        Self {
            buffer,
            flexible: false,
        }
    }

    /// From here on strings, bytes and arrays get compact lengths (KIP-482).
    pub fn set_flexible(&mut self, flexible: bool) {
        self.flexible = flexible;
    }

    /// Writes a 32-bit integer.
    pub fn i32(&mut self, value: i32) {
        self.buffer.put_i32(value);
    }

    /// Writes a 64-bit integer.
    pub fn i64(&mut self, value: i64) {
        self.buffer.put_i64(value);
    }

    /// Writes a string. Its length must fit the type's length field, which holds for every string
    /// that came in by Kafka's protocol.
    pub fn string(&mut self, value: &str) {
        if self.flexible {
            self.compact_length(value.len());
        } else {
            let length = i16::try_from(value.len()).expect("protocol strings have 16-bit lengths");
            self.buffer.put_i16(length);
        }
        self.buffer.put_slice(value.as_bytes());
    }

    /// Writes a string or null.
    pub fn nullable_string(&mut self, value: Option<&str>) {
        match value {
            Some(value) => self.string(value),
            None if self.flexible => self.unsigned_varint(0),
            None => self.buffer.put_i16(-1),
        }
    }

    /// Writes bytes.
    pub fn bytes(&mut self, value: &[u8]) {
        self.array_count(value.len());
        self.buffer.put_slice(value);
    }

    /// Writes the number of elements of an array.
    pub fn array_count(&mut self, count: usize) {
        if self.flexible {
            self.compact_length(count);
        } else {
            self.buffer
                .put_i32(i32::try_from(count).expect("a record is smaller than 2 GiB"));
        }
    }

    /// Writes the tagged fields of a flexible version: at most one, tag 0, a 128-bit identifier.
    pub fn tagged_uuid(&mut self, value: Option<Uuid>) {
        if !self.flexible {
            return;
        }
        match value {
            None => self.unsigned_varint(0),
            Some(value) => {
                self.buffer.put_slice(&[1, 0, 16]);
                self.buffer.put_u128(value.as_u128());
            }
        }
    }

    /// Gives the finished record.
    pub fn finish(self) -> Bytes {
        self.buffer.freeze()
    }

    fn compact_length(&mut self, length: usize) {
        let length = u32::try_from(length).expect("a record is smaller than 2 GiB");
        self.unsigned_varint(length + 1);
    }

    fn unsigned_varint(&mut self, mut value: u32) {
        while value >= 0x80 {
            self.buffer.put_u8((value & 0x7f) as u8 | 0x80);
            value >>= 7;
        }
        self.buffer.put_u8(value as u8);
    }
}
