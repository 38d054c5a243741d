//! Topics whose resource is deleted, and the finalizer that makes the API server wait for that.
//!
//! Only a resource whose deletion policy is `Delete` has the finalizer, and it never holds a namespace for good:
//!
//! | | |
//! |---|---|
//! | the brokers have deleted the topic, or it is gone | let go |
//! | the Cluster is gone, or is going and its brokers do not answer | let go: the topic goes with it, or stays on retained volumes |
//! | the topic is an older resource's, or the Cluster does not allow the namespace | let go, the topic stays |
//! | nothing says that the topic was ever this resource's | let go, the topic stays |
//! | the brokers of a Cluster that stays do not answer | wait, and say so |
//!
//! The topic is deleted by its id, which is read from the API server at that moment: neither an old cache nor a topic that
//! has got the name since then can lead to the deletion of another one.

use kube::{Resource, ResourceExt};

use super::claims::Standing;
use crate::api::{Topic, topic::DeletionPolicy};

/// The finalizer.
pub const FINALIZER: &str = "fjord.dev/topic";

/// What is to be done about a resource that is being deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Farewell {
    /// The resource may go; the topic stays, for this reason.
    LetGo(&'static str),
    /// The topic of this id has to be deleted first.
    Delete {
        /// The topic's id.
        topic_id: String,
    },
}

/// What is to be done about this resource, which is being deleted and has the finalizer.
#[must_use]
pub fn farewell(topic: &Topic, standing: &Standing) -> Farewell {
    if topic.spec.deletion_policy == DeletionPolicy::Retain {
        return Farewell::LetGo("deletionPolicy is Retain");
    }
    match standing {
        Standing::NoCluster => Farewell::LetGo("the Cluster is gone"),
        Standing::NotAllowed => Farewell::LetGo("the Cluster does not allow this namespace"),
        Standing::Conflict { .. } => Farewell::LetGo("it is an older Topic's"),
        Standing::Owner(_) => {
            let status = topic.status.as_ref();
            let topic_id = status.and_then(|status| status.topic_id.clone());
            topic_id.map_or(Farewell::LetGo("it was never this Topic's"), |topic_id| {
                Farewell::Delete { topic_id }
            })
        }
    }
}

/// The finalizers that a resource should have which is not being deleted, if it has others. It gets ours before
/// anything is done for it, and loses it with the policy.
#[must_use]
pub fn finalizers(topic: &Topic, standing: &Standing) -> Option<Vec<String>> {
    let has = has_finalizer(topic);
    let wants = topic.spec.deletion_policy == DeletionPolicy::Delete;
    if has && !wants {
        Some(without_finalizer(topic))
    } else if wants && !has && matches!(standing, Standing::Owner(_)) {
        let mut finalizers = topic.finalizers().to_vec();
        finalizers.push(FINALIZER.to_owned());
        Some(finalizers)
    } else {
        None
    }
}

/// Whether a resource has the finalizer.
#[must_use]
pub fn has_finalizer(topic: &Topic) -> bool {
    topic.finalizers().iter().any(|known| known == FINALIZER)
}

/// Its finalizers but for ours.
#[must_use]
pub fn without_finalizer(topic: &Topic) -> Vec<String> {
    let others = topic.finalizers().iter().filter(|f| *f != FINALIZER);
    others.cloned().collect()
}

/// Whether a resource is being deleted.
#[must_use]
pub fn is_deleting(object: &impl Resource) -> bool {
    object.meta().deletion_timestamp.is_some()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{
        api::TopicStatus,
        testing::{cluster, topic},
    };

    fn with_policy(deletion_policy: DeletionPolicy) -> Topic {
        let mut topic = topic("kafka", "orders");
        topic.spec.deletion_policy = deletion_policy;
        topic.status = Some(TopicStatus {
            topic_id: Some("id".to_owned()),
            ..TopicStatus::default()
        });
        topic
    }

    fn standings() -> [Standing; 4] {
        let owner = "kafka/older".to_owned();
        [
            Standing::Owner(Arc::new(cluster("kafka", "main"))),
            Standing::Conflict { owner },
            Standing::NotAllowed,
            Standing::NoCluster,
        ]
    }

    #[test]
    fn a_topic_is_deleted_only_for_its_owner_by_policy_and_id() {
        for standing in standings() {
            let retained = farewell(&with_policy(DeletionPolicy::Retain), &standing);
            assert!(matches!(retained, Farewell::LetGo(_)), "{standing:?}");
            let deleted = farewell(&with_policy(DeletionPolicy::Delete), &standing);
            let is_owner = matches!(standing, Standing::Owner(_));
            let topic_id = "id".to_owned();
            assert_eq!(deleted == Farewell::Delete { topic_id }, is_owner);
            let mut unknown = with_policy(DeletionPolicy::Delete);
            unknown.status = None;
            assert!(matches!(farewell(&unknown, &standing), Farewell::LetGo(_)));
        }
    }

    #[test]
    fn the_finalizer_comes_and_goes_with_the_policy() {
        let [owner, others @ ..] = standings();
        let mut topic = with_policy(DeletionPolicy::Retain);
        topic.metadata.finalizers = Some(vec!["other".to_owned()]);
        assert_eq!(finalizers(&topic, &owner), None);
        topic.spec.deletion_policy = DeletionPolicy::Delete;
        for standing in others {
            assert_eq!(finalizers(&topic, &standing), None);
        }
        let both = Some(vec!["other".to_owned(), FINALIZER.to_owned()]);
        assert_eq!(finalizers(&topic, &owner), both);
        topic.metadata.finalizers = both;
        assert_eq!(finalizers(&topic, &owner), None);
        topic.spec.deletion_policy = DeletionPolicy::Retain;
        for standing in standings() {
            let left = Some(vec!["other".to_owned()]);
            assert_eq!(finalizers(&topic, &standing), left);
        }
    }
}
