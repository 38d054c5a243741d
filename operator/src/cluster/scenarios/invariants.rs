//! What must never be, whatever happens in whatever order, while no broker answers.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::kubernetes::is_ready;
use crate::testing::api_server::{ApiServer, Change};

/// Checks all changes, one after the other.
pub struct Invariants {
    server: ApiServer,
    /// The objects as they were before the next change, by path.
    objects: BTreeMap<String, Value>,
    /// The pods that the operator has deleted, and that have not been made anew.
    away: BTreeSet<String>,
}

impl Invariants {
    pub fn new(server: &ApiServer) -> Self {
        Self {
            server: server.clone(),
            objects: BTreeMap::new(),
            away: BTreeSet::new(),
        }
    }

    /// Checks what has changed since the last time. Returns how many changes there were.
    pub fn check(&mut self) -> usize {
        let changes = self.server.take_changes();
        let count = changes.len();
        for change in changes {
            if change.by_client {
                self.check_change(&change);
            }
            let Change { path, after, .. } = change;
            match after {
                Some(after) => {
                    if after["metadata"]["deletionTimestamp"].is_null() {
                        self.away.remove(&path);
                    }
                    self.objects.insert(path, after);
                }
                None => {
                    self.objects.remove(&path);
                }
            }
        }
        count
    }

    fn check_change(&mut self, change: &Change) {
        let none = Value::Null;
        let (before, after) = (
            change.before.as_ref().unwrap_or(&none),
            change.after.as_ref().unwrap_or(&none),
        );
        if change.path.contains("/clusters/") {
            check_cluster(before, after);
            return;
        }
        self.check_identity(after);
        match after["kind"].as_str() {
            Some("StatefulSet") => {
                let replicas = |object: &Value| object["spec"]["replicas"].as_i64();
                assert!(
                    replicas(after) >= replicas(before),
                    "brokers are taken away"
                );
            }
            Some("Pod") => {
                assert!(!is_ready(before), "nobody was asked: {}", change.path);
                assert_eq!(
                    self.away,
                    BTreeSet::new(),
                    "others are away: {}",
                    change.path
                );
                self.away.insert(change.path.clone());
            }
            Some(_) => {}
            None => panic!("{} is taken away", change.path),
        }
    }

    /// Nothing is made before the cluster has its id, and nothing with another one.
    fn check_identity(&self, object: &Value) {
        let mut clusters = self
            .objects
            .values()
            .filter(|object| object["kind"] == "Cluster");
        let cluster = clusters.next().expect("there is a Cluster");
        let id = cluster["status"]["clusterId"].as_str();
        let id = id.unwrap_or_else(|| panic!("there is no id for {object}"));
        let files = object["data"].as_object().into_iter().flatten();
        for (_, file) in files.filter(|_| object["kind"] == "ConfigMap") {
            let line = format!("fjord.cluster.id: \"{id}\"\n");
            assert!(
                file.as_str().is_some_and(|file| file.contains(&line)),
                "{file}"
            );
        }
    }
}

/// Only the status is changed, and what is certain in it stays.
fn check_cluster(before: &Value, after: &Value) {
    assert_eq!(before["metadata"]["uid"], after["metadata"]["uid"]);
    assert_eq!(before["spec"], after["spec"]);
    let (old, new) = (&before["status"], &after["status"]);
    if !old["clusterId"].is_null() {
        assert_eq!(old["clusterId"], new["clusterId"]);
    }
    let formed = |status: &Value| status["formed"] == true;
    assert!(formed(new) || !formed(old), "it is not founded any more");
    let generation = |status: &Value| status["observedGeneration"].as_i64();
    assert!(generation(new) >= generation(old));
    check_conditions(&old["conditions"], &new["conditions"]);
}

/// A condition has another time if, and only if, it has another status. All times are the same in a scenario that takes
/// less than a second, unless it sets old ones.
fn check_conditions(old: &Value, new: &Value) {
    let conditions = |list: &Value| list.as_array().cloned().unwrap_or_default();
    for new in conditions(new) {
        let old = conditions(old)
            .into_iter()
            .find(|old| old["type"] == new["type"]);
        if let Some(old) = old.filter(|old| old["status"] == new["status"]) {
            assert_eq!(
                old["lastTransitionTime"], new["lastTransitionTime"],
                "{new}"
            );
        }
    }
}
