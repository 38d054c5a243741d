//! What the brokers of a cluster say of all topics at once. It is asked for once in a while for all Topics together.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use fjord_client::{
    Client, Result,
    proto::{
        DescribeClusterRequest, DescribeClusterResponse, ListReassignmentsRequest,
        ListTopicsRequest, ListedTopic, OngoingReassignment,
    },
};
use tokio::time::Instant;

/// All topics of a cluster.
#[derive(Debug)]
pub struct Survey {
    /// When the brokers were asked.
    pub began: Instant,
    /// How many brokers there are, those that are down among them.
    pub brokers: i32,
    /// Whether all brokers are up and all replicas in sync, so that no partition need be looked at.
    pub all_in_sync: bool,
    topics: HashMap<String, Seen>,
}

/// A topic, in short.
#[derive(Debug, Clone)]
pub struct Seen {
    /// What the brokers say.
    pub topic: Arc<ListedTopic>,
    /// How many partitions are on their way to other replicas.
    pub moving: i32,
}

impl Survey {
    /// Asks the brokers.
    ///
    /// # Errors
    ///
    /// They do not answer, or refuse.
    pub async fn take(client: &Client) -> Result<Self> {
        let began = Instant::now();
        let (topics, moving, cluster) = futures::try_join!(
            client.list_topics(ListTopicsRequest {
                include_internal: true
            }),
            client.list_reassignments(ListReassignmentsRequest::default()),
            client.describe_cluster(DescribeClusterRequest::default()),
        )?;
        Ok(Self::of(
            began,
            topics.topics,
            &moving.reassignments,
            &cluster,
        ))
    }

    fn of(
        began: Instant,
        topics: Vec<ListedTopic>,
        moving: &[OngoingReassignment],
        cluster: &DescribeClusterResponse,
    ) -> Self {
        let mut moving_by_topic: BTreeMap<&str, i32> = BTreeMap::new();
        for partition in moving {
            *moving_by_topic.entry(&partition.topic).or_default() += 1;
        }
        let seen = |topic: ListedTopic| {
            let moving = moving_by_topic.get(topic.topic.as_str()).copied();
            let seen = Seen {
                topic: Arc::new(topic),
                moving: moving.unwrap_or_default(),
            };
            (seen.topic.topic.clone(), seen)
        };
        Self {
            began,
            brokers: i32::try_from(cluster.brokers.len()).unwrap_or(i32::MAX),
            all_in_sync: cluster
                .brokers
                .iter()
                .all(|broker| !broker.fenced && broker.out_of_sync == 0),
            topics: topics.into_iter().map(seen).collect(),
        }
    }

    /// Whether replicas move, of any topic.
    #[must_use]
    pub fn is_moving(&self) -> bool {
        self.topics.values().any(|seen| seen.moving > 0)
    }

    /// The topic of this name.
    #[must_use]
    pub fn topic(&self, name: &str) -> Option<&Seen> {
        self.topics.get(name)
    }
}

#[cfg(test)]
mod tests {
    use fjord_client::proto::Broker;

    use super::*;

    fn survey(brokers: Vec<Broker>) -> Survey {
        let topic = |topic: &str| ListedTopic {
            topic: topic.to_owned(),
            ..ListedTopic::default()
        };
        let moving = |topic: &str, partition| OngoingReassignment {
            topic: topic.to_owned(),
            partition,
            ..OngoingReassignment::default()
        };
        Survey::of(
            Instant::now(),
            vec![topic("a"), topic("b")],
            &[moving("b", 0), moving("b", 7)],
            &DescribeClusterResponse {
                brokers,
                ..DescribeClusterResponse::default()
            },
        )
    }

    #[test]
    fn partitions_on_their_way_are_counted_by_topic() {
        let survey = survey(vec![]);
        let moving = |topic| survey.topic(topic).map(|seen| seen.moving);
        assert_eq!(
            (moving("a"), moving("b"), moving("c")),
            (Some(0), Some(2), None)
        );
    }

    #[test]
    fn one_broker_that_is_down_or_behind_is_enough_to_look_closer() {
        let well = Broker::default();
        let fenced = Broker {
            fenced: true,
            ..Broker::default()
        };
        let behind = Broker {
            out_of_sync: 1,
            ..Broker::default()
        };
        assert!(survey(vec![well.clone(), well.clone()]).all_in_sync);
        assert!(!survey(vec![well.clone(), fenced]).all_in_sync);
        assert!(!survey(vec![behind, well]).all_in_sync);
    }
}
