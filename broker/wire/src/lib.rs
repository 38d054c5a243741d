//! Kafka's wire format, as bytes and as types. No I/O, no clock, no network.
//!
//! ```text
//! frame ──► frame::decode_request_header ──► messages::*::decode ──► Records ──► records::validate
//! Frame ◄── frame::encode_response       ◄── messages::*::encode ◄── Records (spliced, not copied)
//! ```
//!
//! Whatever arrives is taken as hostile: a decoder never panics, checks every length against the
//! bytes that remain before it reserves memory, and spends memory in proportion to the frame only
//! (see [`Reader`]).

mod api_key;
mod codec;
mod error_code;
pub mod frame;
pub mod messages;
pub mod records;

pub use api_key::ApiKey;
pub use codec::{
    ApiMessage, Decode, DecodeError, DecodeErrorKind, Encode, EncodeError, Frame, Message, Reader,
    Request, Writer,
};
pub use error_code::ErrorCode;
pub use frame::{
    DecodedHeader, RequestStart, decode_request_header, encode_request, encode_response,
};
pub use records::Records;
