//! Where records are parsed from: a slice (uncompressed, or decompressed as a whole), or a decoder
//! whose output is looked at piece by piece and never held in full.

use super::compression::{Compression, decoder};
use super::error::{BatchError, RecordProblem};
use bytes::{Buf, Bytes};
use std::io::Read;

/// How much decompressed data is looked at in one go.
const STREAM_BUFFER_BYTES: usize = 16 * 1024;

/// Why no more can be read.
#[derive(Debug)]
pub(super) enum SourceError {
    /// The record, or what it claims, is malformed.
    Problem(RecordProblem),
    /// The data behind it cannot be had.
    Failed(Box<BatchError>),
}

impl SourceError {
    pub(super) fn at(self, index: i32) -> BatchError {
        match self {
            Self::Problem(problem) => BatchError::Record { index, problem },
            Self::Failed(error) => *error,
        }
    }
}

impl From<RecordProblem> for SourceError {
    fn from(problem: RecordProblem) -> Self {
        Self::Problem(problem)
    }
}

/// Bytes of records, read once from start to end.
pub(super) trait Source {
    /// What becomes of a key, a value or a header.
    type Blob;

    /// The next byte.
    fn byte(&mut self) -> Result<u8, SourceError>;

    /// The next `length` bytes; none are reserved before they are there.
    fn take(&mut self, length: usize) -> Result<Self::Blob, SourceError>;

    /// Bytes read so far.
    fn consumed(&self) -> usize;

    /// Whether nothing is left.
    fn at_end(&mut self) -> Result<bool, SourceError>;
}

/// Slices of bytes in memory.
#[derive(Debug)]
pub(super) struct Slices {
    bytes: Bytes,
    consumed: usize,
}

impl Slices {
    pub(super) fn new(bytes: Bytes) -> Self {
        Self { bytes, consumed: 0 }
    }
}

impl Source for Slices {
    type Blob = Bytes;

    fn byte(&mut self) -> Result<u8, SourceError> {
        if self.bytes.is_empty() {
            return Err(RecordProblem::BeyondBatch.into());
        }
        self.consumed += 1;
        Ok(self.bytes.get_u8())
    }

    fn take(&mut self, length: usize) -> Result<Bytes, SourceError> {
        if self.bytes.len() < length {
            return Err(RecordProblem::BeyondBatch.into());
        }
        self.consumed += length;
        Ok(self.bytes.split_to(length))
    }

    fn consumed(&self) -> usize {
        self.consumed
    }

    fn at_end(&mut self) -> Result<bool, SourceError> {
        Ok(self.bytes.is_empty())
    }
}

/// Bytes in memory of which only the shape matters.
#[derive(Debug)]
pub(super) struct Skim<'a> {
    bytes: &'a [u8],
    position: usize,
}

impl<'a> Skim<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, position: 0 }
    }
}

impl Source for Skim<'_> {
    type Blob = ();

    fn byte(&mut self) -> Result<u8, SourceError> {
        let byte = self
            .bytes
            .get(self.position)
            .ok_or(RecordProblem::BeyondBatch)?;
        self.position += 1;
        Ok(*byte)
    }

    fn take(&mut self, length: usize) -> Result<(), SourceError> {
        if self.bytes.len() - self.position < length {
            return Err(RecordProblem::BeyondBatch.into());
        }
        self.position += length;
        Ok(())
    }

    fn consumed(&self) -> usize {
        self.position
    }

    fn at_end(&mut self) -> Result<bool, SourceError> {
        Ok(self.position == self.bytes.len())
    }
}

/// The output of a decoder, of which only the shape matters; at most `limit` bytes of it.
pub(super) struct Stream<'a> {
    codec: Compression,
    decoder: Box<dyn Read + 'a>,
    limit: usize,
    buffer: Vec<u8>,
    /// The part of the buffer that was not looked at yet.
    start: usize,
    end: usize,
    /// Bytes that came out of the decoder before those in the buffer.
    before: usize,
}

impl<'a> Stream<'a> {
    pub(super) fn new(
        codec: Compression,
        compressed: &'a [u8],
        limit: usize,
    ) -> Result<Self, BatchError> {
        let decoder = decoder(codec, compressed, limit)?;
        let buffer = vec![0; STREAM_BUFFER_BYTES];
        Ok(Self {
            codec,
            decoder,
            limit,
            buffer,
            start: 0,
            end: 0,
            before: 0,
        })
    }

    /// Refills the buffer once it is used up; false at the end of the data.
    fn fill(&mut self) -> Result<bool, SourceError> {
        if self.start < self.end {
            return Ok(true);
        }
        self.before += self.end;
        (self.start, self.end) = (0, 0);
        self.end = super::compression::read_some(self.codec, &mut self.decoder, &mut self.buffer)
            .map_err(|error| SourceError::Failed(Box::new(error)))?;
        if self.before + self.end > self.limit {
            let error = BatchError::DecompressedTooLarge { limit: self.limit };
            return Err(SourceError::Failed(Box::new(error)));
        }
        Ok(self.end > 0)
    }
}

impl Source for Stream<'_> {
    type Blob = ();

    fn byte(&mut self) -> Result<u8, SourceError> {
        if !self.fill()? {
            return Err(RecordProblem::BeyondBatch.into());
        }
        let byte = self.buffer[self.start];
        self.start += 1;
        Ok(byte)
    }

    fn take(&mut self, length: usize) -> Result<(), SourceError> {
        let mut left = length;
        while left > 0 {
            if !self.fill()? {
                return Err(RecordProblem::BeyondBatch.into());
            }
            let step = left.min(self.end - self.start);
            self.start += step;
            left -= step;
        }
        Ok(())
    }

    fn consumed(&self) -> usize {
        self.before + self.start
    }

    fn at_end(&mut self) -> Result<bool, SourceError> {
        Ok(!self.fill()?)
    }
}
