//! Snappy in the framing of the xerial library, and raw.
//!
//! ```text
//! 82 "SNAPPY" 00 │ version i32 │ least compatible version i32 │ (block length i32, block)*
//! ```

use std::io::{self, Read};

const MAGIC: [u8; 8] = [0x82, b'S', b'N', b'A', b'P', b'P', b'Y', 0];

/// Magic and two versions.
const HEADER_BYTES: usize = 16;

/// The version that the library writes, and the least that has to be understood to read it.
const VERSION: i32 = 1;

/// How much of the data the library puts in one block.
const BLOCK_BYTES: usize = 32 * 1024;

/// No block expands by more than this: three bytes of a copy stand for 64.
const MAX_EXPANSION: usize = 22;

/// A block would decompress to more than the limit.
#[derive(Debug, thiserror::Error)]
#[error("a snappy block of more than {limit} bytes")]
pub(super) struct BlockTooLarge {
    pub limit: usize,
}

/// Compresses in xerial's framing.
pub(super) fn compress(data: &[u8]) -> io::Result<Vec<u8>> {
    let mut output = Vec::with_capacity(HEADER_BYTES + data.len() / 2);
    output.extend_from_slice(&MAGIC);
    output.extend_from_slice(&VERSION.to_be_bytes());
    output.extend_from_slice(&VERSION.to_be_bytes());
    let mut encoder = snap::raw::Encoder::new();
    for block in data.chunks(BLOCK_BYTES) {
        let compressed = encoder.compress_vec(block).map_err(io::Error::other)?;
        let length = i32::try_from(compressed.len()).map_err(io::Error::other)?;
        output.extend_from_slice(&length.to_be_bytes());
        output.extend_from_slice(&compressed);
    }
    Ok(output)
}

/// Decompresses block by block.
pub(super) struct Decoder<'a> {
    /// What was not decompressed yet.
    input: &'a [u8],
    framed: bool,
    limit: usize,
    block: Vec<u8>,
    position: usize,
}

impl<'a> Decoder<'a> {
    /// No block may be larger than `limit` when decompressed.
    pub(super) fn new(data: &'a [u8], limit: usize) -> Self {
        let framed = data.len() >= HEADER_BYTES && data.starts_with(&MAGIC);
        let input = if framed { &data[HEADER_BYTES..] } else { data };
        Self {
            input,
            framed,
            limit,
            block: Vec::new(),
            position: 0,
        }
    }

    fn next_block(&mut self) -> io::Result<()> {
        let compressed = if self.framed {
            let (length, rest) = self
                .input
                .split_first_chunk()
                .ok_or(io::ErrorKind::UnexpectedEof)?;
            let length = u32::from_be_bytes(*length) as usize;
            let (block, rest) = rest
                .split_at_checked(length)
                .ok_or(io::ErrorKind::UnexpectedEof)?;
            self.input = rest;
            block
        } else {
            std::mem::take(&mut self.input)
        };
        let size = snap::raw::decompress_len(compressed).map_err(invalid)?;
        if size > self.limit {
            return Err(io::Error::other(BlockTooLarge { limit: self.limit }));
        }
        if size > compressed.len().saturating_mul(MAX_EXPANSION) {
            return Err(invalid("a block that claims to be larger than it can be"));
        }
        self.block.clear();
        self.block.resize(size, 0);
        self.position = 0;
        let mut decoder = snap::raw::Decoder::new();
        decoder
            .decompress(compressed, &mut self.block)
            .map_err(invalid)?;
        Ok(())
    }
}

fn invalid(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

impl Read for Decoder<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.position == self.block.len() {
            if self.input.is_empty() {
                return Ok(0);
            }
            self.next_block()?;
        }
        let count = buffer.len().min(self.block.len() - self.position);
        buffer[..count].copy_from_slice(&self.block[self.position..self.position + count]);
        self.position += count;
        Ok(count)
    }
}
