//! Frames from a hostile client: header and body of every API and version.
//!
//! From this folder's parent, with cargo-fuzz installed, on the stable toolchain:
//! `RUSTC_BOOTSTRAP=1 cargo fuzz run frame -- -max_total_time=60 -rss_limit_mb=512`
#![no_main]

use bytes::Bytes;
use fjord_wire::{
    ApiKey, Decode, DecodedHeader, Encode, Reader, Request, Writer, decode_request_header,
    for_each_api,
};
use libfuzzer_sys::fuzz_target;

/// Decodes a body; what can be decoded has to survive being encoded. Its bytes are taken for a
/// response as well.
fn body<M: Request + PartialEq>(reader: &mut Reader, rest: &Bytes, version: i16) {
    if let Ok(message) = M::decode(reader, version) {
        let mut writer = Writer::new();
        message
            .encode(&mut writer, version)
            .expect("what was decoded can be encoded");
        let mut again = Reader::new(writer.finish().into_bytes());
        assert!(M::decode(&mut again, version).is_ok_and(|again| again == message));
    }
    let _ = M::Response::decode(&mut Reader::new(rest.clone()), version);
}

macro_rules! dispatch {
    ($(($name:ident, $request:ty, $response:ty),)*) => {
        fn decode_body(api_key: ApiKey, reader: &mut Reader, rest: &Bytes, version: i16) {
            match api_key {
                $(ApiKey::$name => body::<$request>(reader, rest, version),)*
            }
        }
    };
}

for_each_api!(dispatch);

fuzz_target!(|data: &[u8]| {
    let frame = Bytes::copy_from_slice(data);
    let mut reader = Reader::new(frame.clone());
    if let Ok(DecodedHeader::Supported { api_key, header }) = decode_request_header(&mut reader) {
        let rest = frame.slice(reader.position()..);
        decode_body(api_key, &mut reader, &rest, header.request_api_version);
    }
});
