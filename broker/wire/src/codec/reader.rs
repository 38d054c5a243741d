//! The reader that messages are decoded from; the only place where lengths from the wire are used.

use super::error::{DecodeError, DecodeErrorKind};
use crate::Records;
use bytes::Bytes;
use uuid::Uuid;

/// Longest string in bytes; Kafka keeps it for compact strings too.
const MAX_STRING_BYTES: usize = i16::MAX as usize;

/// A small frame may make a decoder use this many times its length of memory. No element of an array
/// takes more for its bytes, as the generated code asserts, so this refuses no well-formed message.
pub(crate) const MAX_AMPLIFICATION: usize = 32;

/// A large frame may make a decoder use this many times its length, plus [`ALLOWANCE_BYTES`].
const LARGE_FRAME_AMPLIFICATION: usize = 4;

/// What a large frame may use on top, so that the two bounds meet.
const ALLOWANCE_BYTES: usize = 16 * 1024 * 1024;

/// What the allocator is taken to spend on a small piece of memory beyond its size.
const ALLOCATION_OVERHEAD_BYTES: usize = 16;

/// Reads values from bytes that may be hostile.
///
/// `bytes` and `records` are slices of the input, not copies. Everything else is charged to a budget
/// before it is allocated: decoding input of `n` bytes allocates at most
/// `min(32 * n, 4 * n + 16 MiB)`, whatever it contains.
#[derive(Debug)]
pub struct Reader {
    bytes: Bytes,
    position: usize,
    /// Where the readable part ends: at the end of the input, or of the tagged field being read.
    end: usize,
    memory_left: usize,
}

type Result<T> = std::result::Result<T, DecodeError>;

impl Reader {
    /// Reads from the start of `bytes`.
    pub fn new(bytes: Bytes) -> Self {
        let length = bytes.len();
        Self {
            bytes,
            position: 0,
            end: length,
            memory_left: Self::memory_bound(length),
        }
    }

    /// The most memory, in bytes, that decoding input of this length allocates.
    pub fn memory_bound(length: usize) -> usize {
        let small = length.saturating_mul(MAX_AMPLIFICATION);
        let large = length.saturating_mul(LARGE_FRAME_AMPLIFICATION);
        small.min(large.saturating_add(ALLOWANCE_BYTES))
    }

    /// Bytes not read yet. After a message has been decoded these are trailing bytes, which Kafka
    /// ignores.
    pub fn remaining(&self) -> usize {
        self.end - self.position
    }

    /// Bytes read so far.
    pub fn position(&self) -> usize {
        self.position
    }

    /// Reads something and goes back to where it started.
    pub fn peek<T>(&mut self, read: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        let start = self.position;
        let value = read(self);
        self.position = start;
        value
    }

    fn error(&self, kind: DecodeErrorKind) -> DecodeError {
        DecodeError::new(kind, self.position)
    }

    /// Advances over `count` bytes and returns where they start.
    fn advance(&mut self, count: usize) -> Result<usize> {
        let remaining = self.remaining();
        if count > remaining {
            return Err(self.error(DecodeErrorKind::Truncated {
                needed: count,
                remaining,
            }));
        }
        let start = self.position;
        self.position += count;
        Ok(start)
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N]> {
        let start = self.advance(N)?;
        let mut array = [0; N];
        array.copy_from_slice(&self.bytes[start..start + N]);
        Ok(array)
    }

    fn slice(&mut self, length: usize) -> Result<Bytes> {
        let start = self.advance(length)?;
        Ok(self.bytes.slice(start..start + length))
    }

    fn charge(&mut self, bytes: usize) -> Result<()> {
        match self.memory_left.checked_sub(bytes) {
            Some(left) => {
                self.memory_left = left;
                Ok(())
            }
            None => Err(self.error(DecodeErrorKind::MemoryLimit)),
        }
    }

    /// One byte; anything but 0 is true.
    pub fn bool(&mut self) -> Result<bool> {
        Ok(self.take::<1>()? != [0])
    }

    /// A signed byte.
    pub fn i8(&mut self) -> Result<i8> {
        self.take().map(i8::from_be_bytes)
    }

    /// Two bytes, signed.
    pub fn i16(&mut self) -> Result<i16> {
        self.take().map(i16::from_be_bytes)
    }

    /// Four bytes, signed.
    pub fn i32(&mut self) -> Result<i32> {
        self.take().map(i32::from_be_bytes)
    }

    /// Eight bytes, signed.
    pub fn i64(&mut self) -> Result<i64> {
        self.take().map(i64::from_be_bytes)
    }

    /// Two bytes, unsigned.
    pub fn u16(&mut self) -> Result<u16> {
        self.take().map(u16::from_be_bytes)
    }

    /// Four bytes, unsigned.
    pub fn u32(&mut self) -> Result<u32> {
        self.take().map(u32::from_be_bytes)
    }

    /// An IEEE 754 double.
    pub fn f64(&mut self) -> Result<f64> {
        self.take().map(f64::from_be_bytes)
    }

    /// Sixteen bytes.
    pub fn uuid(&mut self) -> Result<Uuid> {
        self.take().map(Uuid::from_bytes)
    }

    /// An unsigned integer of seven bits a byte, least significant first; at most five bytes.
    pub fn unsigned_varint(&mut self) -> Result<u32> {
        let mut value = 0;
        for shift in (0..35).step_by(7) {
            let [byte] = self.take()?;
            value |= u32::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(self.error(DecodeErrorKind::VarintTooLong))
    }

    /// The length in front of a string (two bytes unless compact); `None` for null.
    fn string_length(&mut self, flexible: bool) -> Result<Option<usize>> {
        let length = if flexible {
            self.compact_length()?
        } else {
            i64::from(self.i16()?)
        };
        let length = self.checked_length(length)?;
        match length {
            Some(length) if length > MAX_STRING_BYTES => {
                Err(self.error(DecodeErrorKind::StringTooLong { length }))
            }
            other => Ok(other),
        }
    }

    /// The length in front of bytes or of an array (four bytes unless compact); `None` for null.
    fn length(&mut self, flexible: bool) -> Result<Option<usize>> {
        let length = if flexible {
            self.compact_length()?
        } else {
            i64::from(self.i32()?)
        };
        self.checked_length(length)
    }

    fn compact_length(&mut self) -> Result<i64> {
        Ok(i64::from(self.unsigned_varint()?) - 1)
    }

    fn checked_length(&self, length: i64) -> Result<Option<usize>> {
        match usize::try_from(length) {
            Ok(length) => Ok(Some(length)),
            Err(_) if length == -1 => Ok(None),
            Err(_) => Err(self.error(DecodeErrorKind::NegativeLength { length })),
        }
    }

    fn require<T>(&self, value: Option<T>) -> Result<T> {
        value.ok_or_else(|| self.error(DecodeErrorKind::UnexpectedNull))
    }

    fn permit<T>(&self, value: Option<T>, nullable: bool) -> Result<Option<T>> {
        if value.is_none() && !nullable {
            return Err(self.error(DecodeErrorKind::UnexpectedNull));
        }
        Ok(value)
    }

    /// A string that may be null if `nullable`.
    pub fn nullable_string(&mut self, flexible: bool, nullable: bool) -> Result<Option<String>> {
        let Some(length) = self.string_length(flexible)? else {
            return self.permit(None, nullable);
        };
        let start = self.advance(length)?;
        if length > 0 {
            self.charge(length + ALLOCATION_OVERHEAD_BYTES)?;
        }
        match std::str::from_utf8(&self.bytes[start..start + length]) {
            Ok(text) => Ok(Some(text.to_owned())),
            Err(error) => Err(DecodeError::new(
                DecodeErrorKind::InvalidUtf8 {
                    valid_up_to: error.valid_up_to(),
                },
                start,
            )),
        }
    }

    /// A string.
    pub fn string(&mut self, flexible: bool) -> Result<String> {
        let value = self.nullable_string(flexible, true)?;
        self.require(value)
    }

    /// Bytes that may be null if `nullable`; a slice of the input.
    pub fn nullable_bytes(&mut self, flexible: bool, nullable: bool) -> Result<Option<Bytes>> {
        match self.length(flexible)? {
            Some(length) => self.slice(length).map(Some),
            None => self.permit(None, nullable),
        }
    }

    /// Bytes; a slice of the input.
    pub fn bytes(&mut self, flexible: bool) -> Result<Bytes> {
        let value = self.nullable_bytes(flexible, true)?;
        self.require(value)
    }

    /// Record batches that may be null if `nullable`; a slice of the input, not looked into.
    pub fn nullable_records(&mut self, flexible: bool, nullable: bool) -> Result<Option<Records>> {
        Ok(self.nullable_bytes(flexible, nullable)?.map(Records::from))
    }

    /// Record batches; a slice of the input, not looked into.
    pub fn records(&mut self, flexible: bool) -> Result<Records> {
        self.bytes(flexible).map(Records::from)
    }

    /// An array that may be null if `nullable`, of elements that take `least_size` bytes or more.
    pub fn nullable_array<T>(
        &mut self,
        flexible: bool,
        nullable: bool,
        least_size: usize,
        mut element: impl FnMut(&mut Self) -> Result<T>,
    ) -> Result<Option<Vec<T>>> {
        let Some(count) = self.length(flexible)? else {
            return self.permit(None, nullable);
        };
        let remaining = self.remaining();
        if count > remaining / least_size.max(1) {
            return Err(self.error(DecodeErrorKind::ArrayTooLong { count, remaining }));
        }
        self.charge(count.saturating_mul(size_of::<T>()))?;
        let mut array = Vec::with_capacity(count);
        for _ in 0..count {
            array.push(element(self)?);
        }
        Ok(Some(array))
    }

    /// An array of elements that take `least_size` bytes or more.
    pub fn array<T>(
        &mut self,
        flexible: bool,
        least_size: usize,
        element: impl FnMut(&mut Self) -> Result<T>,
    ) -> Result<Vec<T>> {
        let value = self.nullable_array(flexible, true, least_size, element)?;
        self.require(value)
    }

    /// A struct behind a byte that says whether there is one.
    pub fn nullable_struct<T>(
        &mut self,
        nullable: bool,
        read: impl FnOnce(&mut Self) -> Result<T>,
    ) -> Result<Option<T>> {
        if self.i8()? < 0 {
            return self.permit(None, nullable);
        }
        read(self).map(Some)
    }

    /// The tagged fields that end a flexible struct (KIP-482).
    ///
    /// `known` reads the content of a field whose tag it knows and returns true; a field of an
    /// unknown tag is skipped.
    pub fn tagged_fields(
        &mut self,
        mut known: impl FnMut(&mut Self, u32) -> Result<bool>,
    ) -> Result<()> {
        for _ in 0..self.unsigned_varint()? {
            let tag = self.unsigned_varint()?;
            let size = self.unsigned_varint()? as usize;
            let remaining = self.remaining();
            if size > remaining {
                return Err(self.error(DecodeErrorKind::Truncated {
                    needed: size,
                    remaining,
                }));
            }
            let outer_end = std::mem::replace(&mut self.end, self.position + size);
            if !known(self, tag)? {
                self.position = self.end;
            }
            if self.position != self.end {
                return Err(self.error(DecodeErrorKind::TaggedFieldLength { tag }));
            }
            self.end = outer_end;
        }
        Ok(())
    }
}
