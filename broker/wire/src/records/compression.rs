//! The codecs of record batches, in the framings that Kafka's clients write.
//!
//! - gzip: as it is.
//! - snappy: the Java client and this crate write the framing of the xerial library (a magic, then
//!   blocks with their lengths); librdkafka and others write one raw block. Both are read.
//! - lz4: the standard frame format.
//! - zstd: as it is.
//!
//! Decoders are handed out as streams. What they hold in memory is bounded: a raw snappy block by
//! the length of its input, zstd by its window of at most 128 MiB (of which only what the output
//! has reached is touched), the others by less than 8 MiB.

use super::error::BatchError;
use super::snappy;
use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;
use lz4_flex::frame::{BlockMode, BlockSize, FrameDecoder, FrameEncoder, FrameInfo};
use std::fmt;
use std::io::{self, Read, Write};

/// Largest zstd window accepted, as a power of two: what zstd's own decoders accept.
const ZSTD_WINDOW_LOG_MAX: u32 = 27;

/// Output is collected in pieces of this size, so that no claimed length is believed.
const PIECE_BYTES: usize = 64 * 1024;

/// How the records of a batch are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Compression {
    /// Not at all.
    #[default]
    None,
    /// RFC 1952.
    Gzip,
    /// Snappy blocks, in xerial's framing or raw.
    Snappy,
    /// LZ4 frames.
    Lz4,
    /// RFC 8878; in produce requests from version 7 on (KIP-110).
    Zstd,
}

impl Compression {
    /// The codec of a code in a batch's attributes.
    pub fn from_code(code: i16) -> Option<Self> {
        match code {
            0 => Some(Self::None),
            1 => Some(Self::Gzip),
            2 => Some(Self::Snappy),
            3 => Some(Self::Lz4),
            4 => Some(Self::Zstd),
            _ => None,
        }
    }

    /// The code in a batch's attributes.
    pub fn code(self) -> i16 {
        match self {
            Self::None => 0,
            Self::Gzip => 1,
            Self::Snappy => 2,
            Self::Lz4 => 3,
            Self::Zstd => 4,
        }
    }

    /// The name, as in `compression.type`.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Gzip => "gzip",
            Self::Snappy => "snappy",
            Self::Lz4 => "lz4",
            Self::Zstd => "zstd",
        }
    }
}

impl fmt::Display for Compression {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// Compresses `data`; `level` is that of Kafka's `compression.gzip.level` and
/// `compression.zstd.level`, and means nothing to the other codecs (LZ4 is always of the fast kind).
///
/// # Errors
/// When the codec's library reports one, such as no memory.
pub fn compress(codec: Compression, data: &[u8], level: Option<i32>) -> io::Result<Vec<u8>> {
    match codec {
        Compression::None => Ok(data.to_vec()),
        Compression::Gzip => {
            let level = level
                .and_then(|level| u32::try_from(level).ok())
                .filter(|level| *level <= 9);
            let level = level.map_or_else(flate2::Compression::default, flate2::Compression::new);
            let mut encoder = GzEncoder::new(Vec::new(), level);
            encoder.write_all(data)?;
            encoder.finish()
        }
        Compression::Snappy => snappy::compress(data),
        Compression::Lz4 => {
            let info = FrameInfo::new()
                .block_size(BlockSize::Max64KB)
                .block_mode(BlockMode::Independent);
            let mut encoder = FrameEncoder::with_frame_info(info, Vec::new());
            encoder.write_all(data)?;
            encoder.finish().map_err(io::Error::other)
        }
        Compression::Zstd => zstd::stream::encode_all(data, level.unwrap_or(0)),
    }
}

/// A stream of decompressed data. `limit` is how much of it the caller will read at most; a block
/// that claims to be larger is refused before memory is reserved for it.
pub(super) fn decoder<'a>(
    codec: Compression,
    data: &'a [u8],
    limit: usize,
) -> Result<Box<dyn Read + 'a>, BatchError> {
    Ok(match codec {
        Compression::None => Box::new(data),
        Compression::Gzip => Box::new(MultiGzDecoder::new(data)),
        Compression::Snappy => Box::new(snappy::Decoder::new(data, limit)),
        Compression::Lz4 => Box::new(FrameDecoder::new(data)),
        Compression::Zstd => {
            let mut decoder = zstd::stream::read::Decoder::with_buffer(data)
                .map_err(|error| failure(codec, &error))?;
            decoder
                .window_log_max(ZSTD_WINDOW_LOG_MAX)
                .map_err(|error| failure(codec, &error))?;
            Box::new(decoder)
        }
    })
}

fn failure(codec: Compression, error: &io::Error) -> BatchError {
    match error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<snappy::BlockTooLarge>())
    {
        Some(block) => BatchError::DecompressedTooLarge { limit: block.limit },
        None => BatchError::Decompress {
            codec,
            reason: error.to_string(),
        },
    }
}

/// Reads whatever a decoder has next; 0 at its end.
pub(super) fn read_some(
    codec: Compression,
    decoder: &mut dyn Read,
    buffer: &mut [u8],
) -> Result<usize, BatchError> {
    loop {
        match decoder.read(buffer) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            other => return other.map_err(|error| failure(codec, &error)),
        }
    }
}

/// Decompresses all of `data`, to at most `limit` bytes; memory grows with what was decompressed.
///
/// # Errors
/// [`BatchError::Decompress`], [`BatchError::DecompressedTooLarge`].
pub fn decompress(codec: Compression, data: &[u8], limit: usize) -> Result<Vec<u8>, BatchError> {
    let mut decoder = decoder(codec, data, limit)?;
    let mut output = Vec::new();
    loop {
        let start = output.len();
        output.resize(start + PIECE_BYTES, 0);
        let count = read_some(codec, &mut decoder, &mut output[start..])?;
        output.truncate(start + count);
        if output.len() > limit {
            return Err(BatchError::DecompressedTooLarge { limit });
        }
        if count == 0 {
            return Ok(output);
        }
    }
}
