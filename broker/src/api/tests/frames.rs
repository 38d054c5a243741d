//! What a client may send that is not a request, and ApiVersions.

use bytes::Bytes;
use fjord_wire::{
    ApiKey, Decode as _, ErrorCode, Reader, encode_request,
    messages::{
        api_versions_request::ApiVersionsRequest, api_versions_response::ApiVersionsResponse,
        metadata_request::MetadataRequest,
    },
};

use super::Fixture;

fn header(api_key: i16, version: i16) -> Vec<u8> {
    [
        &api_key.to_be_bytes()[..],
        &version.to_be_bytes(),
        &9_i32.to_be_bytes(),
    ]
    .concat()
}

fn client(name: &str) -> ApiVersionsRequest {
    ApiVersionsRequest {
        client_software_name: name.to_owned(),
        client_software_version: "1.0".to_owned(),
    }
}

#[tokio::test]
async fn api_versions_lists_exactly_what_is_served() {
    let fixture = Fixture::new().await;
    for version in 0..=4 {
        let request = if version < 3 {
            client("")
        } else {
            client("tests")
        };
        let request = match version {
            0..3 => ApiVersionsRequest::default(),
            _ => request,
        };
        let response = fixture.send(version, &request).await;
        assert_eq!(response.error_code, 0);
        let find = |key: ApiKey| {
            let range = response
                .api_keys
                .iter()
                .find(|range| range.api_key == key.code())?;
            Some((range.min_version, range.max_version))
        };
        assert_eq!(find(ApiKey::Metadata), Some((0, 13)));
        assert_eq!(find(ApiKey::CreateTopics), Some((2, 7)));
        assert_eq!(find(ApiKey::DescribeConfigs), Some((1, 4)));
        assert_eq!(response.finalized_features_epoch, -1);
        assert_eq!(response.finalized_features, []);
    }
    let information = fixture.context.connection.client_information();
    assert_eq!(information.software_name, "tests");
}

#[tokio::test]
async fn a_client_with_a_bad_name_is_refused() {
    let fixture = Fixture::new().await;
    let response = fixture.send(3, &client("-bad-")).await;
    assert_eq!(response.error_code, ErrorCode::InvalidRequest.code());
}

#[tokio::test]
async fn an_unknown_version_of_api_versions_is_answered_in_version_0() {
    let fixture = Fixture::new().await;
    let mut frame = header(18, 99);
    frame.extend([0xff; 20]);
    let response = fixture.send_frame(frame.into()).await.unwrap();
    let mut reader = Reader::new(response.slice(4..));
    assert_eq!(reader.i32().unwrap(), 9);
    let response = ApiVersionsResponse::decode(&mut reader, 0).unwrap();
    assert_eq!(reader.remaining(), 0);
    assert_eq!(response.error_code, ErrorCode::UnsupportedVersion.code());
    assert!(
        response
            .api_keys
            .iter()
            .any(|range| range.api_key == 18 && range.max_version == 4)
    );
}

#[tokio::test]
async fn what_is_not_a_request_closes_the_connection_with_a_reason() {
    let fixture = Fixture::new().await;
    let whole = encode_request(1, None, ApiKey::Metadata, 9, &MetadataRequest::default())
        .unwrap()
        .into_bytes()
        .slice(4..);
    let mut huge_array = header(3, 1);
    huge_array.extend([0xff, 0xff, 0x7f, 0xff, 0xff, 0xff]);
    let cases: [(Bytes, &str); 6] = [
        (header(3, 99).into(), "unsupported version 99 of Metadata"),
        (header(3, -1).into(), "unsupported version -1 of Metadata"),
        (header(4711, 0).into(), "unknown api key 4711"),
        (vec![0, 3, 0].into(), "bad request header"),
        (
            whole.slice(..whole.len() - 1),
            "malformed MetadataRequest version 9",
        ),
        (huge_array.into(), "malformed MetadataRequest version 1"),
    ];
    for (frame, reason) in cases {
        let error = fixture.send_frame(frame).await.unwrap_err();
        assert!(
            error.reason.starts_with(reason),
            "{} is not {reason}",
            error.reason
        );
    }
}

#[tokio::test]
async fn any_prefix_of_a_request_is_survived() {
    let fixture = Fixture::new().await;
    let whole = encode_request(1, Some("c"), ApiKey::ApiVersions, 3, &client("tests"))
        .unwrap()
        .into_bytes()
        .slice(4..);
    for length in 0..whole.len() {
        assert!(
            fixture.send_frame(whole.slice(..length)).await.is_err(),
            "{length} bytes"
        );
    }
    fixture.send_frame(whole).await.unwrap();
}

#[tokio::test]
async fn requests_are_counted_by_api_and_error() {
    let fixture = Fixture::new().await;
    fixture.send(3, &client("tests")).await;
    fixture.send(3, &client("")).await;
    let metrics = fixture.broker.metrics.render().unwrap();
    for line in [
        r#"fjord_requests_total{api="ApiVersions",error="none"} 1"#,
        r#"fjord_requests_total{api="ApiVersions",error="INVALID_REQUEST"} 1"#,
    ] {
        assert!(metrics.contains(line), "{metrics}");
    }
}
