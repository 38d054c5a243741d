//! Caches of Topics and Clusters, one pair for each namespace that is watched.

use std::{collections::HashMap, sync::Arc};

use futures::{Stream, StreamExt};
use kube::{
    Api, Client, Resource,
    runtime::{
        WatchStreamExt,
        reflector::{ObjectRef, Store, store::Writer},
        watcher,
    },
};
use tracing::warn;

use crate::api::{Cluster, Topic};

/// What the API server has told.
#[derive(Debug, Clone)]
pub struct Watched {
    /// The Topics of each namespace, or of all.
    pub topics: Vec<Store<Topic>>,
    /// The Clusters of each namespace, or of all.
    pub clusters: Vec<Store<Cluster>>,
}

impl Watched {
    /// Waits until everything was told once. Nothing may be decided before that: an older resource, or the Cluster, may
    /// not be known yet.
    pub async fn ready(&self) {
        let topics = self.topics.iter().map(Store::wait_until_ready);
        let clusters = self.clusters.iter().map(Store::wait_until_ready);
        // A cache whose writer is gone belongs to a controller that stops.
        let _ = futures::future::join(
            futures::future::join_all(topics),
            futures::future::join_all(clusters),
        )
        .await;
    }

    /// A Cluster.
    #[must_use]
    pub fn cluster(&self, cluster: &ObjectRef<Cluster>) -> Option<Arc<Cluster>> {
        self.clusters.iter().find_map(|store| store.get(cluster))
    }

    /// The resources that name a topic like this, in any cluster.
    pub fn named(&self, topic_name: &str) -> impl Iterator<Item = Arc<Topic>> {
        let named = |store: &Store<Topic>| store.state_filter(|t| t.topic_name() == topic_name);
        let found: Vec<_> = self.topics.iter().flat_map(named).collect();
        found.into_iter()
    }
}

/// The APIs of a kind: one for each namespace, or one for all.
pub fn apis<K>(client: &Client, namespaces: &[String]) -> Vec<Api<K>>
where
    K: Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>,
{
    if namespaces.is_empty() {
        return vec![Api::all(client.clone())];
    }
    let one = |namespace: &String| Api::namespaced(client.clone(), namespace);
    namespaces.iter().map(one).collect()
}

/// Watches Clusters, and tells those of which something that matters to Topics has changed.
pub fn clusters(
    api: Api<Cluster>,
    writer: Writer<Cluster>,
) -> impl Stream<Item = ObjectRef<Cluster>> {
    let events = watcher(api, watcher::Config::default())
        .default_backoff()
        .reflect(writer);
    let mut known: HashMap<ObjectRef<Cluster>, Digest> = HashMap::new();
    events.filter_map(move |event| {
        let changed = match event {
            Ok(event) => changed(&mut known, &event),
            Err(error) => {
                warn!(%error, "the watch of Clusters was interrupted");
                None
            }
        };
        std::future::ready(changed)
    })
}

/// What of a Cluster matters to Topics: which one it is, whether it is ready, how many brokers it has, and whose topics
/// it takes.
#[derive(Debug, PartialEq)]
struct Digest {
    uid: Option<String>,
    is_ready: bool,
    replicas: i32,
    topic_namespaces: Vec<String>,
}

impl Digest {
    fn of(cluster: &Cluster) -> Self {
        let conditions = cluster.status.iter().flat_map(|status| &status.conditions);
        let mut ready = conditions.filter(|condition| condition.type_ == "Ready");
        Self {
            uid: cluster.metadata.uid.clone(),
            is_ready: ready.any(|condition| condition.status == "True"),
            replicas: cluster.spec.replicas,
            topic_namespaces: cluster.spec.topic_namespaces.clone(),
        }
    }
}

/// The Cluster that an event is about, if it changes what matters. One that is not told again after an interruption is
/// found missing by its Topics within a tick.
fn changed(
    known: &mut HashMap<ObjectRef<Cluster>, Digest>,
    event: &watcher::Event<Cluster>,
) -> Option<ObjectRef<Cluster>> {
    match event {
        watcher::Event::Apply(cluster) | watcher::Event::InitApply(cluster) => {
            let (reference, digest) = (ObjectRef::from_obj(cluster), Digest::of(cluster));
            let is_same = known.get(&reference) == Some(&digest);
            known.insert(reference.clone(), digest);
            (!is_same).then_some(reference)
        }
        watcher::Event::Delete(cluster) => {
            let reference = ObjectRef::from_obj(cluster);
            known.remove(&reference);
            Some(reference)
        }
        watcher::Event::Init | watcher::Event::InitDone => None,
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::{
        apimachinery::pkg::apis::meta::v1::{Condition, Time},
        jiff::Timestamp,
    };
    use kube::runtime::watcher::Event;

    use super::*;
    use crate::{api::ClusterStatus, testing::cluster};

    #[test]
    fn topics_are_woken_only_by_what_matters_to_them() {
        let mut known = HashMap::new();
        let mut is_told = |event| changed(&mut known, &event).is_some();
        let mut main = cluster("kafka", "main");
        assert!(is_told(Event::InitApply(main.clone())));
        main.metadata.resource_version = Some("2".to_owned());
        assert!(!is_told(Event::Apply(main.clone())));

        let mut status = ClusterStatus::default();
        status.conditions.push(Condition {
            type_: "Ready".to_owned(),
            status: "True".to_owned(),
            reason: "Reason".to_owned(),
            message: String::new(),
            observed_generation: None,
            last_transition_time: Time(Timestamp::UNIX_EPOCH),
        });
        main.status = Some(status);
        assert!(is_told(Event::Apply(main.clone())));
        assert!(!is_told(Event::InitApply(main.clone())));
        main.spec.topic_namespaces.push("shop".to_owned());
        assert!(is_told(Event::Apply(main.clone())));
        assert!(is_told(Event::Delete(main.clone())));
        assert!(is_told(Event::Apply(main)));
    }
}
