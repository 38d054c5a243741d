//! Services of the cluster's administration on a broker whose metadata store is real. What all other services do is
//! tested from the outside, with stock clients (`tests/grpc_api`).

use fjord_proto::v1::{
    BalanceGoal, CreateTopicRequest, DescribeClusterRequest, DescribeQuorumRequest, DrainGoal,
    ElectLeadersRequest, Election, ListReassignmentsRequest, PartitionOutcome,
    PlanReassignmentsRequest, ReassignPartitionsRequest, Reassignment, TopicPartition,
    UnregisterBrokerRequest, cluster_service_server::ClusterService,
    plan_reassignments_request::Goal, topic_service_server::TopicService,
};
use std::sync::Arc;
use tonic::{Code, Request};
use uuid::Uuid;

use super::{backend::Backend, cluster::Cluster, topics::Topics};
use crate::{
    api::tests::Fixture,
    metadata::commands::{RegisterBroker, RegisterOnlyBroker},
};

/// The default of `node.id`.
const THIS: i32 = 1;
const OTHER: i32 = 8;

struct Services {
    fixture: Fixture,
    cluster: Cluster,
    topics: Topics,
}

impl Services {
    /// The services of a broker with topic `t` of two partitions, and with another broker that is only registered.
    async fn new() -> Services {
        let fixture = Fixture::new().await;
        let backend = Backend::new(Arc::clone(&fixture.broker), 9092, None);
        let services = Services {
            cluster: Cluster::new(backend.clone()),
            topics: Topics::new(backend),
            fixture,
        };
        let topic = CreateTopicRequest {
            topic: "t".to_owned(),
            partitions: 2,
            ..CreateTopicRequest::default()
        };
        let created = services.topics.create_topic(Request::new(topic)).await;
        created.unwrap();
        let other = RegisterBroker {
            broker_id: OTHER,
            incarnation_id: Uuid::nil(),
            rack: None,
            endpoints: vec![],
        };
        let register = RegisterOnlyBroker { broker: other };
        let metadata = &services.fixture.broker.metadata;
        metadata.submit(register).await.unwrap();
        services
    }

    async fn reassign(&self, partition: i32, replicas: &[i32]) -> PartitionOutcome {
        let request = ReassignPartitionsRequest {
            reassignments: vec![Reassignment {
                topic: "t".to_owned(),
                partition,
                replicas: replicas.to_vec(),
            }],
            keep_replication_factor: false,
        };
        let response = self.topics.reassign_partitions(Request::new(request)).await;
        let mut outcomes = response.unwrap().into_inner().partitions;
        assert_eq!(outcomes.len(), 1);
        outcomes.remove(0)
    }

    async fn ongoing(&self, topics: &[&str]) -> Vec<(i32, Vec<i32>, Vec<i32>)> {
        let request = ListReassignmentsRequest {
            topics: topics.iter().map(|name| (*name).to_owned()).collect(),
        };
        let response = self.topics.list_reassignments(Request::new(request)).await;
        let ongoing = response.unwrap().into_inner().reassignments.into_iter();
        ongoing
            .map(|partition| (partition.partition, partition.adding, partition.removing))
            .collect()
    }
}

fn reason(outcome: &PartitionOutcome) -> Option<&str> {
    outcome.error.as_ref().map(|error| error.reason.as_str())
}

#[tokio::test]
async fn a_reassignment_begins_is_listed_and_is_cancelled() {
    let services = Services::new().await;
    let refused = services.reassign(0, &[77]).await;
    assert_eq!(reason(&refused), Some("INVALID_REPLICA_ASSIGNMENT"));
    let nothing = services.reassign(0, &[]).await;
    assert_eq!(reason(&nothing), Some("NO_REASSIGNMENT_IN_PROGRESS"));
    let begun = services.reassign(1, &[OTHER]).await;
    assert_eq!((begun.topic.as_str(), begun.partition), ("t", 1));
    assert_eq!(reason(&begun), None);
    let expected = [(1, vec![OTHER], vec![THIS])];
    assert_eq!(services.ongoing(&[]).await, expected);
    assert_eq!(services.ongoing(&["t"]).await, expected);
    assert_eq!(services.ongoing(&["u"]).await, []);
    assert_eq!(reason(&services.reassign(1, &[]).await), None);
    assert_eq!(services.ongoing(&[]).await, []);
}

#[tokio::test]
async fn elections_are_asked_for_by_partition_or_for_all_that_need_one() {
    let services = Services::new().await;
    let elect = async |election: Election, partitions: &[i32]| {
        let named = partitions.iter().map(|partition| TopicPartition {
            topic: "t".to_owned(),
            partition: *partition,
        });
        let request = ElectLeadersRequest {
            election: election.into(),
            partitions: named.collect(),
        };
        let response = services.topics.elect_leaders(Request::new(request)).await;
        response.map(|response| response.into_inner().partitions)
    };
    let both = elect(Election::Unspecified, &[1, 5]).await.unwrap();
    let reasons: Vec<_> = both.iter().map(reason).collect();
    assert_eq!(
        reasons,
        [
            Some("ELECTION_NOT_NEEDED"),
            Some("UNKNOWN_TOPIC_OR_PARTITION")
        ]
    );
    assert_eq!(elect(Election::Preferred, &[]).await.unwrap(), []);
    let all = elect(Election::Unclean, &[]).await.unwrap_err();
    assert_eq!(all.code(), Code::InvalidArgument);
    let one = elect(Election::Unclean, &[0]).await.unwrap();
    assert_eq!(reason(&one[0]), Some("ELECTION_NOT_NEEDED"));
}

#[tokio::test]
async fn what_is_planned_can_be_carried_out() {
    let services = Services::new().await;
    let plan = async |goal| {
        let request = PlanReassignmentsRequest {
            goal: Some(goal),
            ..PlanReassignmentsRequest::default()
        };
        let planned = services.cluster.plan_reassignments(Request::new(request));
        planned.await.unwrap().into_inner()
    };
    // Both partitions are on this broker, none on the other.
    let balance = plan(Goal::Balance(BalanceGoal {})).await;
    assert_eq!((balance.moves.len(), balance.unfinished_partitions), (1, 0));
    let brokers = vec![THIS];
    let drain = plan(Goal::Drain(DrainGoal { brokers })).await;
    assert_eq!((drain.moves.len(), drain.unfinished_partitions), (2, 0));
    assert_eq!(services.ongoing(&[]).await, []);
    for planned in &drain.moves {
        assert_eq!((&planned.from, &planned.to), (&vec![THIS], &vec![OTHER]));
        let begun = services.reassign(planned.partition, &planned.to).await;
        assert_eq!(reason(&begun), None);
    }
    assert_eq!(services.ongoing(&[]).await.len(), 2);
}

#[tokio::test]
async fn the_quorum_and_the_brokers_are_described() {
    let services = Services::new().await;
    let request = Request::new(DescribeQuorumRequest {});
    let quorum = services.cluster.describe_quorum(request).await.unwrap();
    let quorum = quorum.into_inner();
    assert_eq!((quorum.leader, quorum.observers.len()), (THIS, 0));
    assert_eq!(quorum.voters.len(), 1);
    assert!(quorum.voters[0].log_end_offset.is_some());
    assert!(quorum.voters[0].last_heard_ms.is_some());

    let request = Request::new(DescribeClusterRequest {});
    let cluster = services.cluster.describe_cluster(request).await.unwrap();
    let cluster = cluster.into_inner();
    assert_eq!(cluster.controller, THIS);
    let this = &cluster.brokers[0];
    assert_eq!((this.broker, this.replicas, this.leaders), (THIS, 2, 2));
    assert!(!this.fenced && !this.stopping);
}

#[tokio::test]
async fn a_broker_that_runs_is_not_forgotten() {
    let services = Services::new().await;
    let unregister = async |broker| {
        let request = Request::new(UnregisterBrokerRequest { broker });
        let response = services.cluster.unregister_broker(request).await;
        response.unwrap_err().code()
    };
    assert_eq!(unregister(THIS).await, Code::InvalidArgument);
    assert_eq!(unregister(77).await, Code::NotFound);
    assert!(
        services
            .fixture
            .broker
            .metadata
            .image()
            .broker(THIS)
            .is_some()
    );
}
