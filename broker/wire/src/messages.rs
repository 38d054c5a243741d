//! Kafka's messages as plain structs, one module each, generated from `schema/*.json` at build time.
//!
//! Field names are Kafka's in snake case, defaults are Kafka's too: a nullable string or array that
//! has no default of `null` in the schema starts out empty, not absent. A field that a version lacks
//! is left at its default by decoding; encoding refuses a value there, unless the field is ignorable.
#![expect(
    clippy::all,
    clippy::pedantic,
    unused_variables,
    reason = "generated code: every message is read and written by the same pattern, also one without a field"
)]

mod prelude {
    pub(super) use crate::codec::{
        ApiMessage, Decode, DecodeError, Encode, EncodeError, MAX_AMPLIFICATION, Message, Reader,
        Request, Writer, check_decode_version, check_encode_version,
    };
    pub(super) use crate::{ApiKey, Records};
    pub(super) use bytes::Bytes;
    pub(super) use uuid::Uuid;
}

include!(concat!(env!("OUT_DIR"), "/messages.rs"));
