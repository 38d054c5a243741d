//! An API server for Topics in memory: versions and conflicts, finalizers, status and events are those of the real one.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use http::{Method, Request, Response};
use kube::{Client, ResourceExt, client::Body};
use serde_json::{Value, json};
use tower_test::mock;

use crate::api::Topic;

/// The server. Clones are the same one.
#[derive(Clone, Default)]
pub struct ApiServer {
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    /// By path.
    objects: BTreeMap<String, Value>,
    version: u64,
    requests: Vec<String>,
    events: Vec<String>,
}

impl ApiServer {
    /// A client of this server.
    pub fn client(&self) -> Client {
        let (service, mut handle) = mock::pair::<Request<Body>, Response<Body>>();
        let server = self.clone();
        tokio::spawn(async move {
            while let Some((request, respond)) = handle.next_request().await {
                respond.send_response(server.answer(request).await);
            }
        });
        Client::new(service, "default")
    }

    /// Stores a resource, as `kubectl` would.
    pub fn put(&self, topic: &Topic) {
        let mut state = self.state();
        let mut object = serde_json::to_value(topic).expect("JSON");
        state.stamp(&mut object);
        state.objects.insert(path(topic), object);
    }

    /// Changes a resource, as `kubectl` would.
    pub fn edit(&self, topic: &Topic, change: impl FnOnce(&mut Topic)) {
        if let Some(mut topic) = self.get(topic) {
            change(&mut topic);
            let generation = topic.metadata.generation.unwrap_or_default();
            topic.metadata.generation = Some(generation + 1);
            self.put(&topic);
        }
    }

    /// Deletes a resource, as `kubectl` would.
    pub fn delete(&self, topic: &Topic) {
        let mut state = self.state();
        let Some(mut object) = state.objects.remove(&path(topic)) else {
            return;
        };
        object["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
        state.stamp(&mut object);
        state.keep(path(topic), object);
    }

    /// A resource as it is now.
    pub fn get(&self, topic: &Topic) -> Option<Topic> {
        let object = self.state().objects.get(&path(topic)).cloned();
        object.map(|object| serde_json::from_value(object).expect("a Topic"))
    }

    /// All requests since the last time, as method and path.
    pub fn take_requests(&self) -> Vec<String> {
        std::mem::take(&mut self.state().requests)
    }

    /// The reasons of all events since the last time.
    pub fn take_events(&self) -> Vec<String> {
        std::mem::take(&mut self.state().events)
    }

    async fn answer(&self, request: Request<Body>) -> Response<Body> {
        let (head, body) = request.into_parts();
        let body = body.collect_bytes().await.expect("a body");
        let body: Value = serde_json::from_slice(&body).unwrap_or_default();
        let path = head.uri.path().to_owned();
        let mut state = self.state();
        state.requests.push(format!("{} {path}", head.method));
        let (code, answer) = match head.method {
            _ if path.contains("/events") => state.record(body),
            Method::GET => state.read(&path),
            Method::PATCH => match path.strip_suffix("/status") {
                Some(of) => state.patch(of, &body, "/status"),
                None => state.patch(&path, &body, "/metadata/finalizers"),
            },
            method => panic!("{method} {path}"),
        };
        let body = serde_json::to_vec(&answer).expect("JSON");
        let response = Response::builder().status(code);
        response.body(Body::from(body)).expect("a response")
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn record(&mut self, event: Value) -> (u16, Value) {
        let reason = event["reason"].as_str().unwrap_or_default();
        self.events.push(reason.to_owned());
        (201, event)
    }

    fn read(&self, path: &str) -> (u16, Value) {
        match self.objects.get(path) {
            Some(object) => (200, object.clone()),
            None => refusal(404, "NotFound"),
        }
    }

    /// Replaces one field by what a patch has there.
    fn patch(&mut self, path: &str, patch: &Value, field: &str) -> (u16, Value) {
        let Some(mut object) = self.objects.get(path).cloned() else {
            return refusal(404, "NotFound");
        };
        let version = &patch["metadata"]["resourceVersion"];
        if *version != object["metadata"]["resourceVersion"] {
            return refusal(409, "Conflict");
        }
        let (parent, name) = field.rsplit_once('/').expect("a path");
        let parent = object.pointer_mut(parent).expect("it is there");
        parent[name] = patch.pointer(field).cloned().expect("the field");
        self.stamp(&mut object);
        self.keep(path.to_owned(), object.clone());
        (200, object)
    }

    /// Stores an object, unless it is to go and nothing keeps it.
    fn keep(&mut self, path: String, object: Value) {
        let meta = &object["metadata"];
        let finalizers = meta["finalizers"].as_array().map_or(0, Vec::len);
        if meta["deletionTimestamp"].is_string() && finalizers == 0 {
            self.objects.remove(&path);
        } else {
            self.objects.insert(path, object);
        }
    }

    fn stamp(&mut self, object: &mut Value) {
        self.version += 1;
        object["metadata"]["resourceVersion"] = json!(self.version.to_string());
    }
}

fn refusal(code: u16, reason: &str) -> (u16, Value) {
    let status = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": reason,
        "reason": reason, "code": code,
    });
    (code, status)
}

fn path(topic: &Topic) -> String {
    let (namespace, name) = (topic.namespace().unwrap_or_default(), topic.name_any());
    format!("/apis/fjord.dev/v1alpha1/namespaces/{namespace}/topics/{name}")
}
