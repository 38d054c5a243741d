//! [`Records`]: the bytes of record batches in shared chunks, so that they pass from the network to
//! the log and back without being copied.

use bytes::Bytes;
use std::fmt;

/// Bytes of record batches, in chunks; cheap to clone. What the chunks contain is not checked.
///
/// Two are equal if their bytes are, however they are cut.
#[derive(Clone, Default)]
pub struct Records {
    /// Most records are one chunk, which then takes no allocation of its own.
    first: Bytes,
    /// Not empty only if `first` is not empty; no chunk in it is empty.
    rest: Vec<Bytes>,
    size: usize,
}

impl Records {
    /// No bytes.
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends a chunk.
    pub fn push(&mut self, chunk: Bytes) {
        if chunk.is_empty() {
            return;
        }
        self.size += chunk.len();
        if self.first.is_empty() {
            self.first = chunk;
        } else {
            self.rest.push(chunk);
        }
    }

    /// The length of all chunks together, in bytes.
    pub fn len(&self) -> usize {
        self.size
    }

    /// Whether there are no bytes.
    pub fn is_empty(&self) -> bool {
        self.size == 0
    }

    /// The chunks, in order; none is empty.
    pub fn chunks(&self) -> impl Iterator<Item = &Bytes> {
        std::iter::once(&self.first)
            .filter(|first| !first.is_empty())
            .chain(&self.rest)
    }

    /// All chunks as one; copies unless there is only one.
    pub fn to_bytes(&self) -> Bytes {
        if self.rest.is_empty() {
            return self.first.clone();
        }
        let mut all = Vec::with_capacity(self.size);
        for chunk in self.chunks() {
            all.extend_from_slice(chunk);
        }
        Bytes::from(all)
    }
}

impl From<Bytes> for Records {
    fn from(chunk: Bytes) -> Self {
        Self {
            size: chunk.len(),
            first: chunk,
            rest: Vec::new(),
        }
    }
}

impl FromIterator<Bytes> for Records {
    fn from_iter<I: IntoIterator<Item = Bytes>>(chunks: I) -> Self {
        let mut records = Self::new();
        for chunk in chunks {
            records.push(chunk);
        }
        records
    }
}

/// Only the size, since messages are logged and records are not for logs.
impl fmt::Debug for Records {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Records({} bytes)", self.size)
    }
}

impl PartialEq for Records {
    fn eq(&self, other: &Self) -> bool {
        let bytes = |records: &Self| records.chunks().flatten().copied().collect::<Vec<u8>>();
        self.size == other.size && bytes(self) == bytes(other)
    }
}

impl Eq for Records {}
