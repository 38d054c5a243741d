//! A restart against an API server that knows better than the watches.

use http::{Method, Request, Response};
use kube::{Client, client::Body, runtime::events::Recorder};
use serde_json::{Value, json};
use tower_test::mock;

use super::{names::Names, restart::restart};
use crate::{
    api::Cluster,
    brokers::Brokers,
    context::{Context, Settings},
    metrics::Metrics,
};

/// An API server with one pod. Returns the bodies of the deletions that were asked for.
async fn serve(mut handle: mock::Handle<Request<Body>, Response<Body>>, pod: Value) -> Vec<Value> {
    let mut deletions = Vec::new();
    while let Some((request, send)) = handle.next_request().await {
        let (parts, body) = request.into_parts();
        let answer = match parts.method {
            Method::GET => pod.clone(),
            Method::DELETE => {
                let body = body.collect_bytes().await.unwrap();
                deletions.push(serde_json::from_slice(&body).unwrap());
                pod.clone()
            }
            _ => serde_json::from_slice(&body.collect_bytes().await.unwrap()).unwrap(),
        };
        let body = Body::from(answer.to_string().into_bytes());
        send.send_response(Response::new(body));
    }
    deletions
}

async fn deletions(metadata: Value) -> Vec<Value> {
    let (service, handle) = mock::pair::<Request<Body>, Response<Body>>();
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata});
    let server = tokio::spawn(serve(handle, pod));
    let client = Client::new(service, "shop");
    let context = Context {
        client: client.clone(),
        brokers: Brokers::default().into(),
        recorder: Recorder::new(client, "test".into()),
        settings: Settings {
            namespaces: Vec::new(),
            image: "fjord:1".to_owned(),
            domain: None,
        },
        metrics: Metrics::default(),
    };
    let cluster: Cluster = serde_json::from_value(json!({
        "apiVersion": "fjord.dev/v1alpha1", "kind": "Cluster",
        "metadata": {"name": "orders", "namespace": "shop", "uid": "u"},
        "spec": {"replicas": 3},
    }))
    .unwrap();
    let names = Names::new(&cluster, None);
    let difference = ["image: 1 -> 2".to_owned()];
    restart(&context, &cluster, &names, 1, "meant", &difference)
        .await
        .unwrap();
    drop(context);
    server.await.unwrap()
}

#[tokio::test]
async fn only_the_pod_that_was_meant_is_deleted() {
    let meant = json!({"name": "orders-1", "uid": "meant"});
    let sent = deletions(meant).await;
    assert_eq!(sent.len(), 1);
    assert_eq!(sent[0]["preconditions"]["uid"], "meant");
    let anew = json!({"name": "orders-1", "uid": "another"});
    assert!(deletions(anew).await.is_empty());
    let going =
        json!({"name": "orders-1", "uid": "meant", "deletionTimestamp": "2026-01-01T00:00:00Z"});
    assert!(deletions(going).await.is_empty());
}
