//! Frames as they go out: lengths, headers, record data that is shared rather than copied; and the
//! rules of tagged fields and of fields that a version lacks.

use bytes::Bytes;
use fjord_wire::messages::api_versions_request::ApiVersionsRequest;
use fjord_wire::messages::api_versions_response::ApiVersionsResponse;
use fjord_wire::messages::fetch_response::{
    FetchResponse, FetchableTopicResponse, NodeEndpoint, PartitionData,
};
use fjord_wire::messages::heartbeat_request::HeartbeatRequest;
use fjord_wire::messages::join_group_response::JoinGroupResponse;
use fjord_wire::messages::offset_commit_request::OffsetCommitRequest;
use fjord_wire::{
    ApiKey, Decode, DecodeErrorKind, Encode, EncodeError, ErrorCode, Reader, Records, Writer,
    encode_response,
};

fn fetch_response(records: Records) -> FetchResponse {
    let partition = PartitionData {
        records: Some(records),
        ..PartitionData::default()
    };
    let topic = FetchableTopicResponse {
        partitions: vec![partition],
        ..FetchableTopicResponse::default()
    };
    let endpoint = NodeEndpoint {
        node_id: 3,
        host: "host".to_owned(),
        ..NodeEndpoint::default()
    };
    FetchResponse {
        responses: vec![topic],
        node_endpoints: vec![endpoint],
        ..FetchResponse::default()
    }
}

#[test]
fn large_records_are_shared_with_the_frame() {
    let large = Bytes::from(vec![7; 4096]);
    let small = Bytes::from(vec![8; 100]);
    let records: Records = [large.clone(), small, large.clone()].into_iter().collect();
    let response = fetch_response(records);
    let frame = encode_response(42, ApiKey::Fetch, 16, &response).unwrap();
    let shared = frame
        .chunks()
        .iter()
        .filter(|chunk| chunk.as_ptr() == large.as_ptr())
        .count();
    assert_eq!((frame.chunks().len(), shared), (5, 2));
    let size: usize = frame.chunks().iter().map(Bytes::len).sum();
    assert_eq!(frame.len(), size);

    let bytes = frame.into_bytes();
    let length = u32::from_be_bytes(*bytes.first_chunk().unwrap()) as usize;
    assert_eq!(length, bytes.len() - 4);
    // Correlation id, and the empty tagged fields of a flexible response header.
    assert_eq!(&bytes[4..9], [0, 0, 0, 42, 0]);
    let mut reader = Reader::new(bytes.slice(9..));
    assert_eq!(FetchResponse::decode(&mut reader, 16), Ok(response));
    assert_eq!(reader.remaining(), 0);
}

#[test]
fn shared_chunks_within_a_tagged_field_keep_their_places() {
    let large = Bytes::from(vec![7; 2000]);
    let records: Records = [Bytes::from_static(b"a"), large].into_iter().collect();
    let mut writer = Writer::new();
    writer.unsigned_varint(1);
    writer
        .tagged_field(5, |writer| {
            writer.records(&records, true)?;
            writer.i8(9);
            Ok(())
        })
        .unwrap();
    let mut reader = Reader::new(writer.finish().into_bytes());
    let mut found = None;
    reader
        .tagged_fields(|reader, tag| {
            found = Some((tag, reader.records(true)?, reader.i8()?));
            Ok(true)
        })
        .unwrap();
    assert_eq!(found, Some((5, records, 9)));
}

#[test]
fn unknown_tagged_fields_are_skipped_and_wrong_lengths_refused() {
    let decode = |tagged: &[u8]| {
        let mut bytes = b"\x02a\x02b".to_vec();
        bytes.extend_from_slice(tagged);
        ApiVersionsRequest::decode(&mut Reader::new(Bytes::from(bytes)), 3)
    };
    let plain = decode(&[0]).unwrap();
    assert_eq!(decode(&[2, 9, 3, 1, 2, 3, 10, 0]), Ok(plain));
    let kind = |tagged| decode(tagged).unwrap_err().kind;
    assert_eq!(
        kind(&[1, 9, 3, 1, 2]),
        DecodeErrorKind::Truncated {
            needed: 3,
            remaining: 2
        }
    );
    assert_eq!(
        kind(&[0xff, 0xff, 0xff, 0xff, 0xff]),
        DecodeErrorKind::VarintTooLong
    );
    // The epoch of the finalized features (tag 1) is eight bytes.
    let response = |length: u8| {
        let bytes = [&[0, 0, 1, 0, 0, 0, 0, 1, 1, length][..], &[0; 9]].concat();
        ApiVersionsResponse::decode(&mut Reader::new(Bytes::from(bytes)), 3)
    };
    assert_eq!(response(8).unwrap().finalized_features_epoch, 0);
    assert_eq!(
        response(9).unwrap_err().kind,
        DecodeErrorKind::TaggedFieldLength { tag: 1 }
    );
    assert!(matches!(
        response(7).unwrap_err().kind,
        DecodeErrorKind::Truncated { .. }
    ));
}

#[test]
fn a_version_that_lacks_a_field_refuses_its_value_or_leaves_it_out() {
    let encode = |message: &dyn Encode, version| {
        let mut writer = Writer::new();
        message
            .encode(&mut writer, version)
            .map(|()| writer.finish().into_bytes())
    };
    let heartbeat = HeartbeatRequest {
        group_instance_id: Some("static".to_owned()),
        ..HeartbeatRequest::default()
    };
    let field = "HeartbeatRequest.GroupInstanceId";
    let expected = Err(EncodeError::FieldUnsupported { field, version: 2 });
    assert_eq!(encode(&heartbeat, 2), expected);
    assert!(encode(&heartbeat, 3).is_ok());
    let message = "HeartbeatRequest";
    let expected = Err(EncodeError::UnsupportedVersion {
        message,
        version: 5,
    });
    assert_eq!(encode(&heartbeat, 5), expected);
    // Ignorable.
    let commit = OffsetCommitRequest {
        retention_time_ms: 5,
        ..OffsetCommitRequest::default()
    };
    assert!(encode(&commit, 5).is_ok());
    // May be null from version 7 on.
    let join = JoinGroupResponse {
        protocol_name: None,
        ..JoinGroupResponse::default()
    };
    let field = "JoinGroupResponse.ProtocolName";
    assert_eq!(encode(&join, 6), Err(EncodeError::UnexpectedNull { field }));
    assert!(encode(&join, 7).is_ok());
    let long = HeartbeatRequest {
        group_id: "x".repeat(32_768),
        ..HeartbeatRequest::default()
    };
    let field = "HeartbeatRequest.GroupId";
    assert_eq!(
        encode(&long, 4),
        Err(EncodeError::TooLong {
            field,
            length: 32_768
        })
    );
}

#[test]
fn headers_go_with_their_versions() {
    assert_eq!(ApiKey::ApiVersions.request_header_version(2), 1);
    assert_eq!(ApiKey::ApiVersions.request_header_version(3), 2);
    for version in 0..=4 {
        assert_eq!(ApiKey::ApiVersions.response_header_version(version), 0);
    }
    assert_eq!(ApiKey::Fetch.response_header_version(11), 0);
    assert_eq!(ApiKey::Fetch.response_header_version(12), 1);
    assert_eq!(ApiKey::OffsetDelete.request_header_version(0), 1);
    assert_eq!(ApiKey::Produce.valid_versions(), 3..=13);
    assert_eq!(ApiKey::Produce.advertised_versions(), 0..=13);
    assert_eq!(ApiKey::InitProducerId.advertised_versions(), 0..=5);
    for api_key in ApiKey::all() {
        assert_eq!(ApiKey::from_wire(api_key.code()), Some(*api_key));
    }
    assert_eq!(ApiKey::from_wire(-1), None);
}

#[test]
fn error_codes_are_those_of_kafka() {
    let codes: Vec<i16> = ErrorCode::ALL.iter().map(|error| error.code()).collect();
    assert_eq!(codes, (-1..=133).collect::<Vec<i16>>());
    for error in ErrorCode::ALL {
        assert_eq!(ErrorCode::from_code(error.code()), Some(*error));
    }
    assert_eq!(
        ErrorCode::NotLeaderOrFollower.name(),
        "NOT_LEADER_OR_FOLLOWER"
    );
    assert!(ErrorCode::NotLeaderOrFollower.retriable());
    assert!(!ErrorCode::InvalidRecord.retriable());
    assert_eq!(ErrorCode::from_code(134), None);
}
