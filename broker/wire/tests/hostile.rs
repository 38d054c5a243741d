//! Bytes that mean harm: nothing panics, and what is wrong is said. What they cost is in `memory.rs`.

mod common;

use bytes::Bytes;
use common::MessageType;
use common::strategies::{any_message, damaged_message};
use fjord_wire::messages::metadata_request::MetadataRequest;
use fjord_wire::records::{BatchLimits, Batches, Compression, Depth, decompress, validate_batch};
use fjord_wire::{Decode, DecodeErrorKind, Reader, decode_request_header};
use proptest::prelude::*;
use proptest::sample::Index;

/// Whatever can be decoded can be encoded, and is then the same.
fn check_round_trip(message: MessageType, bytes: &Bytes, version: i16) {
    if let Ok(decoded) = (message.round_trip)(bytes, version) {
        let name = message.name;
        assert!(
            decoded.stable,
            "{name} {version}: {:?}, {}",
            decoded.encoded, decoded.debug
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, failure_persistence: None, ..<_>::default() })]

    #[test]
    fn random_messages((message, version) in any_message(), bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        let bytes = Bytes::from(bytes);
        check_round_trip(message, &bytes, version);
    }

    #[test]
    fn damaged_messages((message, version, bytes) in damaged_message()) {
        check_round_trip(message, &bytes, version);
    }

    #[test]
    fn random_headers(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
        let _ = decode_request_header(&mut Reader::new(Bytes::from(bytes)));
    }

    #[test]
    fn random_compressed_data(codec in 1i16..5, bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = decompress(Compression::from_code(codec).unwrap(), &bytes, 1 << 20);
    }

    #[test]
    fn damaged_batches(vector in any::<Index>(), at in any::<Index>(), byte in any::<u8>()) {
        let lines: Vec<&str> = include_str!("vectors/batches.txt").lines().skip(1).collect();
        let (_, hex) = lines[vector.index(lines.len())].split_once(' ').unwrap();
        let mut bytes = common::unhex(hex).to_vec();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        // With the checksum right again, the damage gets further.
        let crc = fjord_wire::records::compute_crc(&bytes);
        bytes[17..21].copy_from_slice(&crc.to_be_bytes());
        let limits = BatchLimits {
            max_batch_bytes: 1 << 20,
            max_decompressed_bytes: 1 << 20,
            depth: Depth::Deep,
            require_keys: false,
            timestamps: None,
        };
        for batch in Batches::from(Bytes::from(bytes)).flatten() {
            let valid = validate_batch(&batch.bytes, &limits).is_ok();
            let records = batch.records(1 << 20).and_then(Iterator::collect::<Result<Vec<_>, _>>);
            prop_assert!(!valid || records.is_ok(), "a valid batch has to be readable");
        }
    }
}

#[test]
fn an_array_longer_than_its_frame_is_refused() {
    for (version, count) in [
        (1, &[0x7f, 0xff, 0xff, 0xff][..]),
        (9, &[0xff, 0xff, 0xff, 0xff, 7]),
    ] {
        let bytes = Bytes::copy_from_slice(count);
        let error = MetadataRequest::decode(&mut Reader::new(bytes), version).unwrap_err();
        assert!(
            matches!(error.kind, DecodeErrorKind::ArrayTooLong { .. }),
            "{error}"
        );
        assert_eq!(error.field, "MetadataRequest.Topics");
    }
}

#[test]
fn bad_text_and_lengths_are_named() {
    let decode = |bytes: &'static [u8]| {
        MetadataRequest::decode(&mut Reader::new(Bytes::from_static(bytes)), 1).unwrap_err()
    };
    let error = decode(&[0, 0, 0, 1, 0, 2, b'a', 0xff]);
    assert_eq!(error.kind, DecodeErrorKind::InvalidUtf8 { valid_up_to: 1 });
    assert_eq!(
        (error.field, error.position),
        ("MetadataRequestTopic.Name", 6)
    );
    assert_eq!(
        error.to_string(),
        "MetadataRequestTopic.Name at byte 6: a string that is not UTF-8 from its byte 1 on"
    );
    assert_eq!(
        decode(&[0, 0, 0, 1, 0xff, 0xff]).kind,
        DecodeErrorKind::UnexpectedNull
    );
    let negative = DecodeErrorKind::NegativeLength { length: -2 };
    assert_eq!(decode(&[0xff, 0xff, 0xff, 0xfe]).kind, negative);
    let truncated = DecodeErrorKind::Truncated {
        needed: 9,
        remaining: 2,
    };
    assert_eq!(decode(&[0, 0, 0, 1, 0, 9, b'a', b'b']).kind, truncated);
}
