//! An API server in memory: versions and conflicts, unique ids, server-side apply by one manager, finalizers, status,
//! deletions and events are those of the real one. It fails when it is told to, and a client may delete nothing without
//! saying which object it means.

mod state;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use http::{Request, Response};
use kube::{Client, Resource, ResourceExt, client::Body};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};
use tokio::task::yield_now;
use tower_test::mock;

use state::{Author, State};
pub use state::{Change, Fault};

/// The server. Clones are the same one.
#[derive(Clone, Default)]
pub struct ApiServer {
    state: Arc<Mutex<State>>,
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

    /// Stores an object, as `kubectl` would.
    pub fn put<K: Resource<DynamicType = ()> + Serialize>(&self, object: &K) {
        let object_path = path(object);
        let mut object = serde_json::to_value(object).expect("JSON");
        object["kind"] = json!(K::kind(&()));
        object["apiVersion"] = json!(K::api_version(&()));
        self.state().store(Author::Somebody, &object_path, object);
    }

    /// Changes an object if it is there, as `kubectl` would.
    pub fn edit<K>(&self, object: &K, change: impl FnOnce(&mut K))
    where
        K: Resource<DynamicType = ()> + Serialize + DeserializeOwned,
    {
        if let Some(mut object) = self.get(object) {
            change(&mut object);
            self.put(&object);
        }
    }

    /// Deletes an object, as `kubectl` would.
    pub fn delete<K: Resource<DynamicType = ()>>(&self, object: &K) {
        let (mut state, none) = (self.state(), Value::Null);
        state.delete(Author::Somebody, &path(object), &none);
    }

    /// Takes an object away at once, as a kubelet does with a pod that has stopped.
    pub fn remove<K: Resource<DynamicType = ()>>(&self, object: &K) {
        self.state().remove(Author::Somebody, &path(object));
    }

    /// An object as it is now.
    pub fn get<K: Resource<DynamicType = ()> + DeserializeOwned>(&self, object: &K) -> Option<K> {
        let object = self.state().objects.get(&path(object)).cloned();
        object.map(|object| serde_json::from_value(object).expect("its kind"))
    }

    /// All objects of a kind.
    pub fn list<K: Resource<DynamicType = ()> + DeserializeOwned>(&self) -> Vec<K> {
        let state = self.state();
        let of_kind = |object: &&Value| object["kind"] == *K::kind(&());
        let found = state.objects.values().filter(of_kind).cloned();
        found
            .map(|object| serde_json::from_value(object).expect("its kind"))
            .collect()
    }

    /// What becomes of the next writes of clients, one after the other; those that come after them are taken.
    pub fn fail(&self, writes: impl IntoIterator<Item = Option<Fault>>) {
        self.state().faults = writes.into_iter().collect();
    }

    /// How many others have their turn before each of the next requests is answered.
    pub fn delay(&self, turns: impl IntoIterator<Item = usize>) {
        self.state().delays = turns.into_iter().collect();
    }

    /// All requests since the last time, as method and path.
    pub fn take_requests(&self) -> Vec<String> {
        std::mem::take(&mut self.state().requests)
    }

    /// The reasons of all events since the last time.
    pub fn take_events(&self) -> Vec<String> {
        std::mem::take(&mut self.state().events)
    }

    /// All changes since the last time.
    pub fn take_changes(&self) -> Vec<Change> {
        std::mem::take(&mut self.state().changes)
    }

    async fn answer(&self, request: Request<Body>) -> Response<Body> {
        let (head, body) = request.into_parts();
        let body = body.collect_bytes().await.expect("a body");
        let sent: Value = serde_json::from_slice(&body).unwrap_or_default();
        let turns = self.state().delays.pop_front().unwrap_or_default();
        for _ in 0..turns {
            yield_now().await;
        }
        let (code, answer) = self.state().serve(&head, &sent);
        let body = serde_json::to_vec(&answer).expect("JSON");
        let response = Response::builder().status(code);
        response.body(Body::from(body)).expect("a response")
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn path<K: Resource<DynamicType = ()>>(object: &K) -> String {
    let (namespace, name) = (object.namespace(), object.name_any());
    format!("{}/{name}", K::url_path(&(), namespace.as_deref()))
}
