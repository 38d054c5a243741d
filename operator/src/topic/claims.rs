//! Who may have a topic: a resource whose namespace the Cluster allows, and of several the oldest.

use std::{cmp::Reverse, sync::Arc};

use kube::{Resource, ResourceExt};

use crate::api::{Cluster, Topic};

/// How a resource stands to the topic that it names.
#[derive(Debug, Clone)]
pub enum Standing {
    /// The topic is this resource's.
    Owner(Arc<Cluster>),
    /// The topic is an older resource's.
    Conflict {
        /// `NAMESPACE/NAME` of that resource.
        owner: String,
    },
    /// The Cluster does not allow the resource's namespace.
    NotAllowed,
    /// There is no such Cluster, or its namespace is not watched.
    NoCluster,
}

/// How `topic` stands among `topics`, which are all that are known.
#[must_use]
pub fn standing(
    topic: &Topic,
    cluster: Option<Arc<Cluster>>,
    topics: impl IntoIterator<Item = Arc<Topic>>,
) -> Standing {
    let Some(cluster) = cluster else {
        return Standing::NoCluster;
    };
    if !allows(&cluster, topic) {
        return Standing::NotAllowed;
    }
    let older = topics
        .into_iter()
        .filter(|other| is_same_topic(other, topic) && allows(&cluster, other))
        .filter(|other| seniority(other) > seniority(topic));
    match older.max_by(|a, b| seniority(a).cmp(&seniority(b))) {
        Some(owner) => Standing::Conflict {
            owner: format!(
                "{}/{}",
                owner.namespace().unwrap_or_default(),
                owner.name_any()
            ),
        },
        None => Standing::Owner(cluster),
    }
}

fn is_same_topic(one: &Topic, other: &Topic) -> bool {
    one.topic_name() == other.topic_name() && one.cluster() == other.cluster()
}

/// Whether Topics of this one's namespace may name the cluster.
fn allows(cluster: &Cluster, topic: &Topic) -> bool {
    let namespace = topic.meta().namespace.as_deref().unwrap_or_default();
    cluster.meta().namespace.as_deref() == Some(namespace)
        || cluster
            .spec
            .topic_namespaces
            .iter()
            .any(|allowed| allowed == "*" || allowed == namespace)
}

/// Is greater for a resource that comes first: the older one; of those made in the same second the first by namespace
/// and name.
fn seniority(topic: &Topic) -> impl Ord + use<'_> {
    let meta = topic.meta();
    // One that has no time yet is not stored yet.
    let age = meta.creation_timestamp.as_ref().map(|made| Reverse(made.0));
    (
        age,
        Reverse((meta.namespace.as_deref(), meta.name.as_deref())),
    )
}

#[cfg(test)]
mod tests {
    use k8s_openapi::{apimachinery::pkg::apis::meta::v1::Time, jiff::Timestamp};
    use proptest::prelude::*;

    use super::*;
    use crate::testing::{cluster, topic};

    fn made(namespace: &str, name: &str, second: i64) -> Arc<Topic> {
        let mut made = topic(namespace, name);
        made.spec.topic_name = Some("orders".to_owned());
        made.spec.cluster.namespace = Some("kafka".to_owned());
        let time = Timestamp::from_second(second).expect("a time");
        made.metadata.creation_timestamp = Some(Time(time));
        Arc::new(made)
    }

    fn cluster_for(namespaces: &[&str]) -> Option<Arc<Cluster>> {
        let mut cluster = cluster("kafka", "main");
        cluster.spec.topic_namespaces = namespaces.iter().map(|&n| n.to_owned()).collect();
        Some(Arc::new(cluster))
    }

    fn owner(of: &Topic, topics: &[Arc<Topic>], namespaces: &[&str]) -> String {
        match standing(of, cluster_for(namespaces), topics.iter().cloned()) {
            Standing::Owner(_) => "own".to_owned(),
            Standing::Conflict { owner } => owner,
            Standing::NotAllowed => "not allowed".to_owned(),
            Standing::NoCluster => "no cluster".to_owned(),
        }
    }

    #[test]
    fn the_oldest_has_the_topic_and_then_the_first_by_name() {
        let topics = [
            made("kafka", "b", 5),
            made("kafka", "c", 5),
            made("a", "z", 5),
            made("a", "a", 6),
        ];
        let owners = |namespaces: &[&str]| topics.each_ref().map(|t| owner(t, &topics, namespaces));
        assert_eq!(owners(&["*"]), ["a/z", "a/z", "own", "a/z"]);
        // A resource that must not have the topic keeps nobody from it.
        assert_eq!(
            owners(&["other"]),
            ["own", "kafka/b", "not allowed", "not allowed"]
        );
    }

    #[test]
    fn other_topics_and_other_clusters_are_no_conflict() {
        let mine = made("kafka", "mine", 5);
        let mut elsewhere = (*made("kafka", "elsewhere", 1)).clone();
        elsewhere.spec.cluster.name = "other".to_owned();
        let mut another = (*made("kafka", "another", 1)).clone();
        another.spec.topic_name = None;
        let topics = [mine.clone(), Arc::new(elsewhere), Arc::new(another)];
        assert_eq!(owner(&mine, &topics, &[]), "own");
        assert!(matches!(standing(&mine, None, topics), Standing::NoCluster));
    }

    proptest! {
        /// Whoever asks, in whatever order: all name the same one owner.
        #[test]
        fn there_is_one_owner(places in proptest::collection::btree_set((0..3u8, 0..9u8), 1..8),
                              seconds in proptest::collection::vec(1..4i64, 8)) {
            let topics: Vec<_> = places.iter().zip(seconds)
                .map(|((namespace, name), second)| made(&format!("n{namespace}"), &format!("t{name}"), second))
                .collect();
            let mut reversed = topics.clone();
            reversed.reverse();
            let own: Vec<_> = topics.iter().filter(|t| owner(t, &topics, &["*"]) == "own").collect();
            prop_assert_eq!(own.len(), 1);
            let owned = format!("{}/{}", own[0].namespace().unwrap_or_default(), own[0].name_any());
            for topic in &topics {
                let named = owner(topic, &reversed, &["*"]);
                prop_assert!(named == "own" || named == owned);
            }
        }
    }
}
