//! What the generated messages are made of: the traits they implement, the reader they are decoded
//! from, and the writer they are encoded to.

mod error;
mod reader;
mod writer;

pub use error::{DecodeError, DecodeErrorKind, EncodeError};
pub(crate) use reader::MAX_AMPLIFICATION;
pub use reader::Reader;
pub use writer::{Frame, Writer};

use crate::ApiKey;

/// Can be read from bytes, in any of its versions.
pub trait Decode: Sized {
    /// Reads a value of the given version and leaves whatever follows it.
    ///
    /// # Errors
    /// When the bytes are not a value of that version, or the version is not valid.
    fn decode(reader: &mut Reader, version: i16) -> Result<Self, DecodeError>;
}

/// Can be written as bytes, in any of its versions.
pub trait Encode {
    /// Appends the value in the given version.
    ///
    /// # Errors
    /// When the version cannot carry the value: a field that it lacks and that may not be left out,
    /// a null where it has none, a string longer than 32,767 bytes.
    fn encode(&self, writer: &mut Writer, version: i16) -> Result<(), EncodeError>;
}

/// A whole message: a header, or the body of a request or response.
pub trait Message: Decode + Encode {
    /// Kafka's name, such as `FetchRequest`.
    const NAME: &'static str;
    /// The oldest version that can be decoded and encoded.
    const MIN_VERSION: i16;
    /// The newest version that can be decoded and encoded.
    const MAX_VERSION: i16;
}

/// The body of a request or of a response.
pub trait ApiMessage: Message {
    /// The API that it belongs to.
    const API_KEY: ApiKey;
}

/// The body of a request.
pub trait Request: ApiMessage {
    /// What answers it.
    type Response: ApiMessage;
}

pub(crate) fn check_decode_version<M: Message>(version: i16) -> Result<(), DecodeError> {
    if (M::MIN_VERSION..=M::MAX_VERSION).contains(&version) {
        return Ok(());
    }
    Err(DecodeError::new(DecodeErrorKind::UnsupportedVersion { version }, 0).in_field(M::NAME))
}

pub(crate) fn check_encode_version<M: Message>(version: i16) -> Result<(), EncodeError> {
    if (M::MIN_VERSION..=M::MAX_VERSION).contains(&version) {
        return Ok(());
    }
    Err(EncodeError::UnsupportedVersion {
        message: M::NAME,
        version,
    })
}
