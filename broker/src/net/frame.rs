//! From bytes as they arrive to request frames: a four-byte length, then that many bytes.
//!
//! [`FrameAssembler`] is pure. What a client merely claims costs nothing: up to
//! [`UNRESERVED_MAX_BYTES`] of a frame are buffered in steps as they arrive. Only then does it ask
//! its caller to reserve memory for the whole frame, and only then does the frame get a buffer for all of
//! it, into which the rest is read directly.

use bytes::{Bytes, BytesMut};
use fjord_buffers::{Buffer, BufferPool};
use thiserror::Error;

/// The size of a frame's length prefix.
pub const LENGTH_PREFIX_BYTES: usize = 4;

/// The smallest frame that can be a request: API key, API version and correlation id.
pub const MIN_FRAME_BYTES: usize = 8;

/// How much of a frame is buffered before memory for all of it has to be reserved. Frames up to
/// this size are reserved for when they are complete.
pub const UNRESERVED_MAX_BYTES: usize = 8 * 1024;

/// The first buffer of a frame that arrives in pieces; most requests but produces fit.
const FIRST_STEP_BYTES: usize = 512;

/// From this many missing bytes on, a frame's rest is read directly into its buffer; below it, a
/// read into the shared scratch buffer may bring the next frames along.
const DIRECT_READ_MIN_BYTES: usize = 4 * 1024;

/// A length prefix that cannot be that of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum FrameError {
    /// More than `socket.request.max.bytes`.
    #[error("frame of {length} bytes is larger than socket.request.max.bytes ({limit})")]
    TooLarge {
        /// The claimed size.
        length: usize,
        /// The limit that it is over.
        limit: usize,
    },
    /// Less than a request header needs.
    #[error("frame of {length} bytes is too small for a request")]
    TooSmall {
        /// The claimed size.
        length: usize,
    },
    /// A negative number.
    #[error("frame length is negative ({length})")]
    Negative {
        /// The claimed size.
        length: i32,
    },
}

/// What [`FrameAssembler::feed`] made of its input.
#[derive(Debug, PartialEq, Eq)]
pub struct Fed {
    /// How much of the input was taken.
    pub consumed: usize,
    /// The frame that became complete, without its length prefix.
    pub frame: Option<Bytes>,
}

#[derive(Debug)]
enum State {
    /// In the length prefix, of which `filled` bytes are there.
    Length {
        bytes: [u8; LENGTH_PREFIX_BYTES],
        filled: usize,
    },
    /// In a frame of `length` bytes for which no memory is reserved, of which the buffer's are there.
    Body { length: usize, buffer: BytesMut },
    /// In a frame whose buffer has room for all of it, of which the first `filled` bytes are there.
    Reserved { buffer: Buffer, filled: usize },
}

impl State {
    const START: Self = Self::Length {
        bytes: [0; LENGTH_PREFIX_BYTES],
        filled: 0,
    };
}

/// Cuts a stream of bytes into frames.
#[derive(Debug)]
pub struct FrameAssembler {
    max_frame_bytes: usize,
    buffers: BufferPool,
    state: State,
}

impl FrameAssembler {
    /// An assembler that refuses frames larger than `max_frame_bytes`, and takes the memory for large ones from
    /// `buffers`.
    pub fn new(max_frame_bytes: usize, buffers: BufferPool) -> Self {
        Self {
            max_frame_bytes,
            buffers,
            state: State::START,
        }
    }

    /// Takes bytes from `input` up to the end of a frame, the end of the input, or the point where
    /// memory has to be reserved (see [`Self::wants_reservation`]), whichever comes first.
    ///
    /// # Errors
    ///
    /// [`FrameError`] if the stream cannot be one of requests; nothing after it can be trusted.
    pub fn feed(&mut self, input: &[u8]) -> Result<Fed, FrameError> {
        let mut consumed = 0;
        if let State::Length { bytes, filled } = &mut self.state {
            let taken = input.len().min(LENGTH_PREFIX_BYTES - *filled);
            bytes[*filled..*filled + taken].copy_from_slice(&input[..taken]);
            *filled += taken;
            consumed = taken;
            if *filled < LENGTH_PREFIX_BYTES {
                return Ok(Fed {
                    consumed,
                    frame: None,
                });
            }
            let length = checked_length(i32::from_be_bytes(*bytes), self.max_frame_bytes)?;
            self.state = State::Body {
                length,
                buffer: BytesMut::new(),
            };
        }
        let rest = &input[consumed..];
        consumed += match &mut self.state {
            State::Length { .. } => 0,
            State::Body { length, buffer } => {
                let bound = (*length).min(UNRESERVED_MAX_BYTES);
                let taken = rest.len().min(bound - buffer.len());
                if taken > 0 {
                    make_room(buffer, taken, bound);
                    buffer.extend_from_slice(&rest[..taken]);
                }
                taken
            }
            State::Reserved { buffer, filled } => {
                let room = &mut buffer.as_mut()[*filled..];
                let taken = rest.len().min(room.len());
                room[..taken].copy_from_slice(&rest[..taken]);
                *filled += taken;
                taken
            }
        };
        Ok(Fed {
            consumed,
            frame: self.take_complete(),
        })
    }

    /// The size of the current frame, if memory for it must be reserved before more is taken.
    pub fn wants_reservation(&self) -> Option<usize> {
        match &self.state {
            State::Body { length, buffer }
                if *length > UNRESERVED_MAX_BYTES && buffer.len() == UNRESERVED_MAX_BYTES =>
            {
                Some(*length)
            }
            _ => None,
        }
    }

    /// Tells that memory for the whole current frame is reserved; it gets its buffer now.
    pub fn reserved(&mut self) {
        if let State::Body { length, buffer } = &self.state {
            let mut larger = self.buffers.take(*length);
            larger.as_mut()[..buffer.len()].copy_from_slice(buffer);
            self.state = State::Reserved {
                filled: buffer.len(),
                buffer: larger,
            };
        }
    }

    /// What the current frame still misses of its own buffer, if that is enough to be read without the detour of a
    /// scratch buffer. [`Self::filled`] is to be told how much was read.
    pub fn direct_buffer(&mut self) -> Option<&mut [u8]> {
        match &mut self.state {
            State::Reserved { buffer, filled } => {
                let missing = &mut buffer.as_mut()[*filled..];
                (missing.len() >= DIRECT_READ_MIN_BYTES).then_some(missing)
            }
            _ => None,
        }
    }

    /// Notes that so many bytes were read into [`Self::direct_buffer`]; returns the frame if that completes it.
    pub fn filled(&mut self, count: usize) -> Option<Bytes> {
        if let State::Reserved { filled, .. } = &mut self.state {
            *filled += count;
        }
        self.take_complete()
    }

    /// The current frame, if it is complete.
    fn take_complete(&mut self) -> Option<Bytes> {
        let is_complete = match &self.state {
            State::Length { .. } => false,
            State::Body { length, buffer } => buffer.len() == *length,
            State::Reserved { buffer, filled } => buffer.as_ref().len() == *filled,
        };
        if !is_complete {
            return None;
        }
        match std::mem::replace(&mut self.state, State::START) {
            State::Length { .. } => None,
            State::Body { buffer, .. } => Some(buffer.freeze()),
            State::Reserved { buffer, .. } => Some(buffer.freeze()),
        }
    }

    /// How much of the current frame has arrived, without its length prefix.
    pub fn received_bytes(&self) -> usize {
        match &self.state {
            State::Length { .. } => 0,
            State::Body { buffer, .. } => buffer.len(),
            State::Reserved { filled, .. } => *filled,
        }
    }

    /// Whether nothing of a next frame has arrived yet.
    pub fn is_at_boundary(&self) -> bool {
        matches!(self.state, State::Length { filled: 0, .. })
    }
}

/// The length of a frame by its prefix, if it is within the limits.
fn checked_length(prefix: i32, max_frame_bytes: usize) -> Result<usize, FrameError> {
    let length = usize::try_from(prefix).map_err(|_| FrameError::Negative { length: prefix })?;
    if length > max_frame_bytes {
        return Err(FrameError::TooLarge {
            length,
            limit: max_frame_bytes,
        });
    }
    if length < MIN_FRAME_BYTES {
        return Err(FrameError::TooSmall { length });
    }
    Ok(length)
}

/// Makes room for `additional` bytes in a buffer that will never hold more than `bound`: exactly
/// as much as has arrived, or the first step, or all of `bound`.
fn make_room(buffer: &mut BytesMut, additional: usize, bound: usize) {
    let needed = buffer.len() + additional;
    if needed <= buffer.capacity() {
        return;
    }
    let capacity = match needed {
        needed if needed == bound => bound,
        needed if needed <= FIRST_STEP_BYTES => FIRST_STEP_BYTES.min(bound),
        _ => bound,
    };
    buffer.reserve_exact_total(capacity);
}

trait ReserveExactTotal {
    fn reserve_exact_total(&mut self, capacity: usize);
}

impl ReserveExactTotal for BytesMut {
    /// Moves the content to a buffer of exactly this capacity; `BytesMut::reserve` would double.
    fn reserve_exact_total(&mut self, capacity: usize) {
        if self.capacity() < capacity {
            let mut larger = Self::with_capacity(capacity);
            larger.extend_from_slice(self);
            *self = larger;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LIMIT: usize = 100 * 1024;

    fn framed(frames: &[Vec<u8>]) -> Vec<u8> {
        let mut stream = Vec::new();
        for frame in frames {
            stream.extend_from_slice(&u32::try_from(frame.len()).unwrap().to_be_bytes());
            stream.extend_from_slice(frame);
        }
        stream
    }

    /// Feeds `stream` in pieces of the given sizes (repeated) and returns the frames.
    fn assemble(stream: &[u8], pieces: &[usize]) -> Vec<Bytes> {
        let mut assembler = FrameAssembler::new(LIMIT, BufferPool::new(LIMIT));
        let mut frames = Vec::new();
        let mut rest = stream;
        let mut sizes = pieces.iter().cycle();
        while !rest.is_empty() {
            let (mut piece, after) = rest.split_at(rest.len().min(*sizes.next().unwrap()));
            rest = after;
            while !piece.is_empty() {
                let fed = assembler.feed(piece).unwrap();
                piece = &piece[fed.consumed..];
                frames.extend(fed.frame);
                if assembler.wants_reservation().is_some() {
                    assembler.reserved();
                }
            }
        }
        assert!(assembler.is_at_boundary());
        frames
    }

    proptest! {
        #[test]
        fn frames_come_out_as_they_went_in(
            sizes in prop::collection::vec(
                prop_oneof![MIN_FRAME_BYTES..600, 8000..9000usize, 20_000..LIMIT], 1..6),
            pieces in prop::collection::vec(prop_oneof![1..20usize, 1000..30_000usize], 1..5),
        ) {
            let frames: Vec<Vec<u8>> =
                sizes.iter().map(|&size| (0..size).map(|at| (at % 251) as u8).collect()).collect();
            let assembled = assemble(&framed(&frames), &pieces);
            prop_assert_eq!(assembled, frames);
        }
    }

    fn check_refused(length: i32, expected: FrameError) {
        let mut assembler = FrameAssembler::new(LIMIT, BufferPool::new(LIMIT));
        assert_eq!(assembler.feed(&length.to_be_bytes()), Err(expected));
    }

    #[test]
    fn impossible_lengths_are_refused() {
        check_refused(-1, FrameError::Negative { length: -1 });
        check_refused(i32::MIN, FrameError::Negative { length: i32::MIN });
        check_refused(0, FrameError::TooSmall { length: 0 });
        check_refused(7, FrameError::TooSmall { length: 7 });
        check_refused(
            102_401,
            FrameError::TooLarge {
                length: 102_401,
                limit: LIMIT,
            },
        );
        check_refused(
            i32::MAX,
            FrameError::TooLarge {
                length: 2_147_483_647,
                limit: LIMIT,
            },
        );
    }

    #[test]
    fn a_claim_allocates_nothing_before_a_reservation() {
        let mut assembler = FrameAssembler::new(LIMIT, BufferPool::new(LIMIT));
        let mut stream = 100_000_u32.to_be_bytes().to_vec();
        assembler.feed(&stream).unwrap();
        assert!(
            matches!(&assembler.state, State::Body { buffer, .. } if buffer.capacity() == 0),
            "a length alone must not allocate"
        );
        stream = vec![1; 20_000];
        let fed = assembler.feed(&stream).unwrap();
        assert_eq!(fed.consumed, UNRESERVED_MAX_BYTES);
        assert_eq!(assembler.wants_reservation(), Some(100_000));
        assert!(assembler.direct_buffer().is_none());
        assert!(
            matches!(&assembler.state, State::Body { buffer, .. }
                if buffer.capacity() <= UNRESERVED_MAX_BYTES),
            "an unreserved frame must stay small"
        );
        assembler.reserved();
        assert_eq!(assembler.wants_reservation(), None);
        let direct = assembler.direct_buffer().unwrap();
        assert_eq!(direct.len(), 100_000 - 8192);
        direct.fill(1);
        assert_eq!(assembler.filled(90_000), None);
        assert_eq!(assembler.received_bytes(), 98_192);
        let frame = assembler.filled(1808).unwrap();
        assert_eq!(frame, vec![1; 100_000]);
        assert!(assembler.is_at_boundary());
    }
}
