//! Cutting record data into its batches.

use super::Records;
use super::error::BatchError;
use super::header::BatchHeader;
use bytes::Bytes;

/// One batch: its header, parsed, and all its bytes, header included. Its checksum is not checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// The header.
    pub header: BatchHeader,
    /// The whole batch; exactly as long as the header says.
    pub bytes: Bytes,
}

/// The batches of some record data, one after the other; ends behind the first error.
#[derive(Debug)]
pub struct Batches {
    current: Bytes,
    /// Chunks behind `current`, last first.
    rest: Vec<Bytes>,
}

impl Records {
    /// The batches of this data. Batches that lie within a chunk, as they do in data from one
    /// request or one batch at a time, are slices of it; one that spans chunks is copied.
    pub fn batches(&self) -> Batches {
        let mut rest: Vec<Bytes> = self.chunks().cloned().collect();
        rest.reverse();
        Batches {
            current: Bytes::new(),
            rest,
        }
    }
}

impl From<Bytes> for Batches {
    fn from(bytes: Bytes) -> Self {
        Self {
            current: bytes,
            rest: Vec::new(),
        }
    }
}

impl Batches {
    fn next_batch(&mut self) -> Result<Batch, BatchError> {
        let header = match BatchHeader::parse(&self.current) {
            Err(BatchError::Truncated { .. }) if self.join() => BatchHeader::parse(&self.current)?,
            other => other?,
        };
        let needed = header.size();
        if self.current.len() < needed {
            self.join();
        }
        let available = self.current.len();
        if available < needed {
            return Err(BatchError::Truncated { needed, available });
        }
        Ok(Batch {
            header,
            bytes: self.current.split_to(needed),
        })
    }

    /// Makes one chunk of all that is left; returns whether that changes anything.
    fn join(&mut self) -> bool {
        if self.rest.is_empty() {
            return false;
        }
        let mut all = self.current.to_vec();
        while let Some(chunk) = self.rest.pop() {
            all.extend_from_slice(&chunk);
        }
        self.current = Bytes::from(all);
        true
    }
}

impl Iterator for Batches {
    type Item = Result<Batch, BatchError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.current.is_empty() {
            self.current = self.rest.pop()?;
        }
        let batch = self.next_batch();
        if batch.is_err() {
            self.current = Bytes::new();
            self.rest.clear();
        }
        Some(batch)
    }
}
