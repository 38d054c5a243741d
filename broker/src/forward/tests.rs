//! What other brokers send, hostile and sound, at the service that takes it. Calls between brokers that run are tested from
//! the outside (`tests/cluster/test_forwarding.py`).

use std::sync::Arc;

use bytes::Bytes;
use fjord_proto::peer::v1::{
    ForwardedCall, forward_service_server::ForwardService, forwarded_answer::Outcome,
};
use fjord_wire::{
    ApiKey, Decode, Encode, Reader, Writer,
    messages::{
        list_groups_request::ListGroupsRequest, list_groups_response::ListGroupsResponse,
        list_offsets_request::ListOffsetsRequest,
    },
};
use tonic::Request;

use super::Service;
use crate::{api::tests::Fixture, security::Principal};

const LIST_GROUPS: i16 = 5;

struct Called {
    fixture: Fixture,
    service: Service,
}

impl Called {
    async fn new() -> Called {
        let fixture = Fixture::new().await;
        Called {
            service: Service::new(Arc::clone(&fixture.broker)),
            fixture,
        }
    }

    /// A call for this broker.
    fn call(&self, api_key: ApiKey, version: i16, request: Bytes) -> ForwardedCall {
        let image = self.fixture.broker.metadata.image();
        let nobody = Principal::anonymous();
        ForwardedCall {
            cluster_id: image.cluster_id().unwrap().to_owned(),
            broker_id: self.fixture.broker.id(),
            position: 0,
            api_key: api_key.code().into(),
            version: version.into(),
            request,
            client_id: "tests".to_owned(),
            client_address: "198.18.0.1:5000".to_owned(),
            principal_kind: nobody.kind().to_owned(),
            principal_name: nobody.name().to_owned(),
        }
    }

    async fn outcome(&self, call: ForwardedCall) -> Option<Outcome> {
        let answer = self.service.call(Request::new(call)).await;
        answer.unwrap().into_inner().outcome
    }
}

fn encoded(request: &impl Encode, version: i16) -> Bytes {
    let mut writer = Writer::new();
    request.encode(&mut writer, version).unwrap();
    writer.finish().into_bytes()
}

#[tokio::test]
async fn a_call_is_answered_as_a_kafka_client_would_be() {
    let called = Called::new().await;
    // Version 2 has no tagged fields in the header of its response.
    for version in [2, LIST_GROUPS] {
        let request = encoded(&ListGroupsRequest::default(), version);
        let call = called.call(ApiKey::ListGroups, version, request);
        let Some(Outcome::Response(response)) = called.outcome(call).await else {
            panic!("version {version} has a response");
        };
        let mut reader = Reader::new(response);
        let response = ListGroupsResponse::decode(&mut reader, version).unwrap();
        assert_eq!((response.error_code, reader.remaining()), (0, 0));
    }
}

#[tokio::test]
async fn what_is_meant_for_others_is_not_done() {
    let called = Called::new().await;
    let request = encoded(&ListGroupsRequest::default(), LIST_GROUPS);
    let call = called.call(ApiKey::ListGroups, LIST_GROUPS, request);
    let other_cluster = ForwardedCall {
        cluster_id: "another".to_owned(),
        ..call.clone()
    };
    let other_broker = ForwardedCall {
        broker_id: 77,
        ..call
    };
    for call in [other_cluster, other_broker] {
        let outcome = called.outcome(call).await;
        assert!(matches!(outcome, Some(Outcome::NotDone(_))), "{outcome:?}");
    }
}

#[tokio::test]
async fn what_makes_no_sense_is_refused() {
    let called = Called::new().await;
    let request = encoded(&ListOffsetsRequest::default(), 9);
    let sound = called.call(ApiKey::ListOffsets, 9, request.clone());
    assert!(matches!(
        called.outcome(sound.clone()).await,
        Some(Outcome::Response(_))
    ));
    let mut wrong = vec![];
    for (api_key, version) in [(9_999, 9), (2, 99), (2, -1), (i32::MAX, 9), (2, i32::MIN)] {
        wrong.push(ForwardedCall {
            api_key,
            version,
            ..sound.clone()
        });
    }
    for request in [
        Bytes::new(),
        request.slice(1..),
        Bytes::from(vec![0xff; 64]),
    ] {
        wrong.push(ForwardedCall {
            request,
            ..sound.clone()
        });
    }
    for call in wrong {
        let told = format!("{call:?}");
        let outcome = called.outcome(call).await;
        assert!(
            matches!(outcome, Some(Outcome::Refused(_))),
            "{told}: {outcome:?}"
        );
    }
    let nowhere = ForwardedCall {
        client_address: "nowhere".to_owned(),
        ..sound
    };
    assert!(matches!(
        called.outcome(nowhere).await,
        Some(Outcome::Response(_))
    ));
}
