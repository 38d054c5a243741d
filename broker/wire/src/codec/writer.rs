//! The writer that messages are encoded to, and the frame that comes out of it: a list of chunks in
//! which large record data is shared with its source rather than copied.

use super::error::EncodeError;
use crate::Records;
use bytes::Bytes;
use uuid::Uuid;

/// Record chunks of at least this size are spliced in; smaller ones are cheaper to copy than to
/// carry as a chunk of their own.
const SPLICE_THRESHOLD_BYTES: usize = 1024;

/// What the buffer starts with: enough for most responses but large metadata.
const INITIAL_CAPACITY_BYTES: usize = 512;

/// Longest string in bytes; Kafka keeps it for compact strings too.
const MAX_STRING_BYTES: usize = i16::MAX as usize;

/// Appends values; what is small goes to one buffer, what is large stays where it is.
#[derive(Debug, Default)]
pub struct Writer {
    buffer: Vec<u8>,
    /// Shared chunks, each with the position in the buffer before which it belongs; in order.
    spliced: Vec<(usize, Bytes)>,
    spliced_bytes: usize,
}

/// Encoded bytes, in chunks to be written one after the other.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Frame {
    chunks: Vec<Bytes>,
    size: usize,
}

type Result<T> = std::result::Result<T, EncodeError>;

impl Writer {
    /// An empty writer.
    pub fn new() -> Self {
        Self {
            buffer: Vec::with_capacity(INITIAL_CAPACITY_BYTES),
            ..Self::default()
        }
    }

    /// Bytes written so far.
    pub fn len(&self) -> usize {
        self.buffer.len() + self.spliced_bytes
    }

    /// Whether nothing was written.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What was written, as chunks.
    pub fn finish(self) -> Frame {
        let size = self.len();
        let buffer = Bytes::from(self.buffer);
        let mut chunks = Vec::with_capacity(2 * self.spliced.len() + 1);
        let mut taken = 0;
        for (position, chunk) in self.spliced {
            if position > taken {
                chunks.push(buffer.slice(taken..position));
                taken = position;
            }
            chunks.push(chunk);
        }
        if taken < buffer.len() {
            chunks.push(buffer.slice(taken..));
        }
        Frame { chunks, size }
    }

    /// Like [`finish`](Self::finish), for a writer whose first four bytes are to become the length
    /// of all that follows them.
    pub(crate) fn finish_with_length_prefix(mut self) -> Result<Frame> {
        let length = self.len() - size_of::<i32>();
        let prefix = i32::try_from(length).map_err(|_| EncodeError::FrameTooLarge { length })?;
        self.buffer[..size_of::<i32>()].copy_from_slice(&prefix.to_be_bytes());
        Ok(self.finish())
    }

    /// One byte.
    pub fn bool(&mut self, value: bool) {
        self.buffer.push(u8::from(value));
    }

    /// A signed byte.
    pub fn i8(&mut self, value: i8) {
        self.buffer.extend_from_slice(&value.to_be_bytes());
    }

    /// Two bytes, signed.
    pub fn i16(&mut self, value: i16) {
        self.buffer.extend_from_slice(&value.to_be_bytes());
    }

    /// Four bytes, signed.
    pub fn i32(&mut self, value: i32) {
        self.buffer.extend_from_slice(&value.to_be_bytes());
    }

    /// Eight bytes, signed.
    pub fn i64(&mut self, value: i64) {
        self.buffer.extend_from_slice(&value.to_be_bytes());
    }

    /// Two bytes, unsigned.
    pub fn u16(&mut self, value: u16) {
        self.buffer.extend_from_slice(&value.to_be_bytes());
    }

    /// Four bytes, unsigned.
    pub fn u32(&mut self, value: u32) {
        self.buffer.extend_from_slice(&value.to_be_bytes());
    }

    /// An IEEE 754 double.
    pub fn f64(&mut self, value: f64) {
        self.buffer.extend_from_slice(&value.to_be_bytes());
    }

    /// Sixteen bytes.
    pub fn uuid(&mut self, value: &Uuid) {
        self.buffer.extend_from_slice(value.as_bytes());
    }

    /// An unsigned integer of seven bits a byte, least significant first.
    pub fn unsigned_varint(&mut self, value: u32) {
        push_unsigned_varint(&mut self.buffer, value);
    }

    /// A length in front of bytes or of an array: four bytes, or compact.
    fn length(&mut self, length: usize, flexible: bool) -> Result<()> {
        let wire = i32::try_from(length)
            .ok()
            .filter(|length| *length < i32::MAX)
            .ok_or(EncodeError::TooLong { field: "", length })?;
        if flexible {
            self.unsigned_varint(wire.unsigned_abs() + 1);
        } else {
            self.i32(wire);
        }
        Ok(())
    }

    fn null(&mut self, flexible: bool, nullable: bool) -> Result<()> {
        if !nullable {
            return Err(EncodeError::UnexpectedNull { field: "" });
        }
        if flexible {
            self.unsigned_varint(0);
        } else {
            self.i32(-1);
        }
        Ok(())
    }

    /// A string.
    pub fn string(&mut self, value: &str, flexible: bool) -> Result<()> {
        let length = value.len();
        if length > MAX_STRING_BYTES {
            return Err(EncodeError::TooLong { field: "", length });
        }
        if flexible {
            self.length(length, true)?;
        } else {
            let length =
                i16::try_from(length).map_err(|_| EncodeError::TooLong { field: "", length })?;
            self.i16(length);
        }
        self.buffer.extend_from_slice(value.as_bytes());
        Ok(())
    }

    /// A string that may be null if `nullable`.
    pub fn nullable_string(
        &mut self,
        value: Option<&str>,
        flexible: bool,
        nullable: bool,
    ) -> Result<()> {
        match value {
            Some(value) => self.string(value, flexible),
            None if nullable && !flexible => {
                self.i16(-1);
                Ok(())
            }
            None => self.null(flexible, nullable),
        }
    }

    /// Bytes, copied.
    pub fn bytes(&mut self, value: &Bytes, flexible: bool) -> Result<()> {
        self.length(value.len(), flexible)?;
        self.buffer.extend_from_slice(value);
        Ok(())
    }

    /// Bytes that may be null if `nullable`.
    pub fn nullable_bytes(
        &mut self,
        value: Option<&Bytes>,
        flexible: bool,
        nullable: bool,
    ) -> Result<()> {
        match value {
            Some(value) => self.bytes(value, flexible),
            None => self.null(flexible, nullable),
        }
    }

    /// Record batches; large chunks are shared, not copied.
    pub fn records(&mut self, value: &Records, flexible: bool) -> Result<()> {
        self.length(value.len(), flexible)?;
        for chunk in value.chunks() {
            if chunk.len() < SPLICE_THRESHOLD_BYTES {
                self.buffer.extend_from_slice(chunk);
            } else {
                self.spliced.push((self.buffer.len(), chunk.clone()));
                self.spliced_bytes += chunk.len();
            }
        }
        Ok(())
    }

    /// Record batches that may be null if `nullable`.
    pub fn nullable_records(
        &mut self,
        value: Option<&Records>,
        flexible: bool,
        nullable: bool,
    ) -> Result<()> {
        match value {
            Some(value) => self.records(value, flexible),
            None => self.null(flexible, nullable),
        }
    }

    /// An array.
    pub fn array<T>(
        &mut self,
        items: &[T],
        flexible: bool,
        mut element: impl FnMut(&mut Self, &T) -> Result<()>,
    ) -> Result<()> {
        self.length(items.len(), flexible)?;
        for item in items {
            element(self, item)?;
        }
        Ok(())
    }

    /// An array that may be null if `nullable`.
    pub fn nullable_array<T>(
        &mut self,
        items: Option<&[T]>,
        flexible: bool,
        nullable: bool,
        element: impl FnMut(&mut Self, &T) -> Result<()>,
    ) -> Result<()> {
        match items {
            Some(items) => self.array(items, flexible, element),
            None => self.null(flexible, nullable),
        }
    }

    /// A struct behind a byte that says whether there is one.
    pub fn nullable_struct<T>(
        &mut self,
        value: Option<&T>,
        nullable: bool,
        write: impl FnOnce(&mut Self, &T) -> Result<()>,
    ) -> Result<()> {
        match value {
            Some(value) => {
                self.i8(1);
                write(self, value)
            }
            None if nullable => {
                self.i8(-1);
                Ok(())
            }
            None => Err(EncodeError::UnexpectedNull { field: "" }),
        }
    }

    /// A tagged field (KIP-482): its tag, the length of its content, and its content.
    pub fn tagged_field(
        &mut self,
        tag: u32,
        write: impl FnOnce(&mut Self) -> Result<()>,
    ) -> Result<()> {
        self.unsigned_varint(tag);
        let (start, before, first_spliced) = (self.buffer.len(), self.len(), self.spliced.len());
        write(self)?;
        let length = self.len() - before;
        let length =
            u32::try_from(length).map_err(|_| EncodeError::TooLong { field: "", length })?;
        let mut prefix = Vec::new();
        push_unsigned_varint(&mut prefix, length);
        let shift = prefix.len();
        self.buffer.splice(start..start, prefix);
        for (position, _) in &mut self.spliced[first_spliced..] {
            *position += shift;
        }
        Ok(())
    }
}

fn push_unsigned_varint(buffer: &mut Vec<u8>, mut value: u32) {
    while value >= 0x80 {
        buffer.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    buffer.push(value.to_le_bytes()[0]);
}

impl Frame {
    /// The chunks, in order; none is empty.
    pub fn chunks(&self) -> &[Bytes] {
        &self.chunks
    }

    /// The chunks, in order; none is empty.
    pub fn into_chunks(self) -> Vec<Bytes> {
        self.chunks
    }

    /// The length of all chunks together, in bytes.
    pub fn len(&self) -> usize {
        self.size
    }

    /// Whether there are no bytes.
    pub fn is_empty(&self) -> bool {
        self.size == 0
    }

    /// All chunks as one; copies unless there is only one.
    pub fn into_bytes(self) -> Bytes {
        if self.chunks.len() == 1
            && let Some(chunk) = self.chunks.first()
        {
            return chunk.clone();
        }
        Bytes::from(self.chunks.concat())
    }
}
