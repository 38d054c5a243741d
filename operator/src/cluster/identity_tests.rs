//! The cluster's id against an API server that is read late and refuses what is out of date.

use http::{Method, Request, Response, StatusCode};
use kube::{Client, client::Body};
use serde_json::{Value, json};
use tower_test::mock;

use super::identity::{IdentityError, ensure};
use crate::api::Cluster;

fn cluster(version: &str, status: Value) -> Value {
    json!({
        "apiVersion": "fjord.dev/v1alpha1", "kind": "Cluster",
        "metadata": {"name": "orders", "namespace": "shop", "uid": "u", "resourceVersion": version},
        "spec": {"replicas": 3}, "status": status,
    })
}

/// An API server with one cluster, which somebody else changes between a read and a write `conflicts` times.
async fn serve(
    mut handle: mock::Handle<Request<Body>, Response<Body>>,
    mut conflicts: u32,
) -> (Value, u32) {
    let (mut version, mut writes) = (1, 0);
    let mut there = cluster("1", json!({}));
    while let Some((request, send)) = handle.next_request().await {
        let (parts, body) = request.into_parts();
        let path = parts.uri.path().to_owned();
        let answer = match parts.method {
            Method::GET if path.ends_with("/persistentvolumeclaims") => {
                json!({"kind": "PersistentVolumeClaimList", "apiVersion": "v1", "metadata": {}, "items": []})
            }
            Method::GET => there.clone(),
            _ => {
                let sent: Value =
                    serde_json::from_slice(&body.collect_bytes().await.unwrap()).unwrap();
                if conflicts > 0 {
                    conflicts -= 1;
                    version += 1;
                    there["metadata"]["resourceVersion"] = json!(version.to_string());
                }
                match sent["metadata"]["resourceVersion"] == there["metadata"]["resourceVersion"] {
                    false => {
                        json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "Conflict", "message": "", "code": 409})
                    }
                    true => {
                        writes += 1;
                        version += 1;
                        there = sent;
                        there["metadata"]["resourceVersion"] = json!(version.to_string());
                        there.clone()
                    }
                }
            }
        };
        let code = answer["code"]
            .as_u64()
            .and_then(|code| u16::try_from(code).ok());
        let response = Response::builder()
            .status(code.map_or(StatusCode::OK, |code| StatusCode::from_u16(code).unwrap()))
            .body(Body::from(answer.to_string().into_bytes()))
            .unwrap();
        send.send_response(response);
    }
    (there, writes)
}

/// However late the watches are and however often somebody is quicker, there is one id, and it is written once.
#[tokio::test]
async fn the_id_is_made_once() {
    for conflicts in 0..3 {
        let (service, handle) = mock::pair::<Request<Body>, Response<Body>>();
        let server = tokio::spawn(serve(handle, conflicts));
        let client = Client::new(service, "shop");
        // What the watches know is from before everything, every time.
        let stale: Cluster = serde_json::from_value(cluster("1", json!({}))).unwrap();
        let mut ids = Vec::new();
        for _ in 0..6 {
            match ensure(&client, &stale, |_| "fjord:1".to_owned()).await {
                Ok(fresh) => ids.extend(fresh.status.and_then(|status| status.cluster_id)),
                Err(IdentityError::Kubernetes(kube::Error::Api(status))) => {
                    assert!(status.is_conflict());
                }
                Err(error) => panic!("{error}"),
            }
        }
        drop(client);
        let (there, writes) = server.await.unwrap();
        assert_eq!(writes, 1);
        assert_eq!(ids.len(), 6 - usize::try_from(conflicts).unwrap());
        assert!(ids.iter().all(|id| *id == there["status"]["clusterId"]));
    }
}
