//! What an API server has, and what requests make of it.

use std::collections::{BTreeMap, VecDeque};

use http::{Method, header::CONTENT_TYPE, request::Parts};
use serde_json::{Value, json};

/// How a write goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It is refused, with this code.
    Refused(u16),
    /// It is taken, but whoever asked for it is told that it took too long.
    Unanswered,
}

/// Who changes something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Author {
    /// A client, over HTTP.
    Client,
    /// Anybody else.
    Somebody,
}

/// A change of an object.
#[derive(Debug, Clone)]
pub struct Change {
    /// Where it is.
    pub path: String,
    /// Whether a client made it, and not the scenario.
    pub by_client: bool,
    /// What it was.
    pub before: Option<Value>,
    /// What it is.
    pub after: Option<Value>,
}

/// What the server has.
#[derive(Default)]
pub struct State {
    /// By path.
    pub objects: BTreeMap<String, Value>,
    pub requests: Vec<String>,
    pub events: Vec<String>,
    pub changes: Vec<Change>,
    pub faults: VecDeque<Option<Fault>>,
    pub delays: VecDeque<usize>,
    version: u64,
}

type Answer = (u16, Value);

impl State {
    pub fn serve(&mut self, head: &Parts, sent: &Value) -> Answer {
        let (method, path) = (&head.method, head.uri.path());
        self.requests.push(format!("{method} {path}"));
        if path.contains("/events") {
            return self.record(sent);
        }
        let (object, is_status) = match path.strip_suffix("/status") {
            Some(object) => (object, true),
            None => (path, false),
        };
        if *method == Method::GET {
            return self.read(object, head.uri.query().unwrap_or_default());
        }
        let content_type = head.headers.get(CONTENT_TYPE);
        let applies = content_type.is_some_and(|kind| kind == "application/apply-patch+yaml");
        let fault = self.faults.pop_front().flatten();
        if let Some(Fault::Refused(code)) = fault {
            return refusal(code);
        }
        let answer = match (method, is_status) {
            (&Method::DELETE, _) if sent["preconditions"]["uid"].is_null() => refusal(400),
            (&Method::DELETE, _) => self.delete(Author::Client, object, sent),
            (_, true) => self.change(object, sent, |there| {
                there["status"] = sent["status"].clone();
            }),
            _ if applies => self.apply(object, sent),
            (&Method::PATCH, _) => self.change(object, sent, |there| merge(there, sent)),
            _ => panic!("{method} {path}"),
        };
        match fault {
            Some(_) => refusal(504),
            None => answer,
        }
    }

    fn record(&mut self, event: &Value) -> Answer {
        let reason = event["reason"].as_str().unwrap_or_default();
        self.events.push(reason.to_owned());
        (201, event.clone())
    }

    /// An object, or all of a kind in a namespace that have a label.
    fn read(&self, path: &str, query: &str) -> Answer {
        let kind_and_name = path.rsplit("/namespaces/").next().unwrap_or_default();
        if kind_and_name.split('/').count() == 3 {
            let object = self.objects.get(path).cloned();
            return object.map_or_else(|| refusal(404), |object| (200, object));
        }
        let query = query.replace("%2F", "/").replace("%3D", "=");
        let has_label = |object: &&Value| {
            let selector = query
                .split('&')
                .find_map(|pair| pair.strip_prefix("labelSelector="));
            let label = selector.and_then(|label| label.split_once('='));
            label.is_none_or(|(name, value)| object["metadata"]["labels"][name] == value)
        };
        let folder = format!("{path}/");
        let of_kind = self
            .objects
            .iter()
            .filter(|(path, _)| path.starts_with(&folder));
        let items: Vec<&Value> = of_kind
            .map(|(_, object)| object)
            .filter(has_label)
            .collect();
        (
            200,
            json!({"kind": "List", "apiVersion": "v1", "metadata": {}, "items": items}),
        )
    }

    /// Makes an object what a client sends, as far as it is not the server's own business. There is one manager of
    /// fields, so that nothing stays that it does not want any more.
    fn apply(&mut self, path: &str, sent: &Value) -> Answer {
        if !self.objects.contains_key(path) {
            if !sent["metadata"]["uid"].is_null() {
                return refusal(409);
            }
            return (201, self.store(Author::Client, path, sent.clone()));
        }
        self.change(path, sent, |there| {
            let mut applied = sent.clone();
            for own in [
                "uid",
                "resourceVersion",
                "generation",
                "deletionTimestamp",
                "creationTimestamp",
            ] {
                if let Some(value) = there["metadata"].get(own) {
                    applied["metadata"][own] = value.clone();
                }
            }
            if let Some(status) = there.get("status") {
                applied["status"] = status.clone();
            }
            *there = applied;
        })
    }

    fn change(&mut self, path: &str, sent: &Value, change: impl FnOnce(&mut Value)) -> Answer {
        let Some(there) = self.objects.get(path) else {
            return refusal(404);
        };
        if is_outdated(sent, there) {
            return refusal(409);
        }
        let mut changed = there.clone();
        change(&mut changed);
        (200, self.store(Author::Client, path, changed))
    }

    /// Deletes an object, if it is the one that is meant. Who has finalizers, or is a pod, which has to stop first, is
    /// only marked.
    pub fn delete(&mut self, author: Author, path: &str, sent: &Value) -> Answer {
        let Some(mut object) = self.objects.get(path).cloned() else {
            return refusal(404);
        };
        if is_outdated(&json!({"metadata": sent["preconditions"]}), &object) {
            return refusal(409);
        }
        if object["metadata"]["deletionTimestamp"].is_null() {
            object["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
            self.store(author, path, object.clone());
        }
        (200, object)
    }

    pub fn remove(&mut self, author: Author, path: &str) {
        let before = self.objects.remove(path);
        self.note(author, path, before, None);
    }

    /// Stores an object, unless it is to go and nothing keeps it. Returns it as it is then.
    pub fn store(&mut self, author: Author, path: &str, mut object: Value) -> Value {
        let before = self.objects.get(path).cloned();
        if before.as_ref() == Some(&object) {
            return object;
        }
        self.version += 1;
        let meta = &mut object["metadata"];
        if meta["uid"].is_null() {
            meta["uid"] = json!(format!("uid-{}", self.version));
        }
        meta["resourceVersion"] = json!(self.version.to_string());
        let finalizers = meta["finalizers"].as_array().map_or(0, Vec::len);
        let is_going = meta["deletionTimestamp"].is_string();
        if let Some(before) = &before
            && before["spec"] != object["spec"]
        {
            let generation = before["metadata"]["generation"].as_i64().unwrap_or(1);
            object["metadata"]["generation"] = json!(generation + 1);
        }
        if is_going && finalizers == 0 && object["kind"] != "Pod" {
            self.remove(author, path);
        } else {
            self.objects.insert(path.to_owned(), object.clone());
            self.note(author, path, before, Some(object.clone()));
        }
        object
    }

    fn note(&mut self, author: Author, path: &str, before: Option<Value>, after: Option<Value>) {
        self.changes.push(Change {
            path: path.to_owned(),
            by_client: author == Author::Client,
            before,
            after,
        });
    }
}

/// Whether somebody has another object in mind, or an earlier version of it.
fn is_outdated(sent: &Value, there: &Value) -> bool {
    ["uid", "resourceVersion"].iter().any(|field| {
        let meant = &sent["metadata"][field];
        !meant.is_null() && *meant != there["metadata"][field]
    })
}

/// A JSON merge patch (RFC 7386).
fn merge(there: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *there = patch.clone();
        return;
    };
    for (name, value) in patch {
        match value {
            Value::Null => {
                there.as_object_mut().map(|there| there.remove(name));
            }
            value => merge(&mut there[name], value),
        }
    }
}

fn refusal(code: u16) -> Answer {
    let reason = match code {
        404 => "NotFound",
        409 => "Conflict",
        422 => "Invalid",
        504 => "Timeout",
        _ => "InternalError",
    };
    let status = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": reason,
        "reason": reason, "code": code,
    });
    (code, status)
}
