//! Reassignments, elections, features, the quorum and fenced brokers, on the only broker of a cluster.

use fjord_wire::{
    ErrorCode,
    messages::{
        alter_partition_reassignments_request::{
            AlterPartitionReassignmentsRequest, ReassignablePartition, ReassignableTopic,
        },
        api_versions_request::ApiVersionsRequest,
        create_topics_request::{CreatableTopic, CreateTopicsRequest},
        describe_cluster_request::DescribeClusterRequest,
        describe_quorum_request::{DescribeQuorumRequest, PartitionData, TopicData},
        elect_leaders_request::{ElectLeadersRequest, TopicPartitions},
        elect_leaders_response::ElectLeadersResponse,
        list_partition_reassignments_request::{
            ListPartitionReassignmentsRequest, ListPartitionReassignmentsTopics,
        },
        metadata_request::MetadataRequest,
        unregister_broker_request::UnregisterBrokerRequest,
        update_features_request::{FeatureUpdateKey, UpdateFeaturesRequest},
        update_features_response::UpdateFeaturesResponse,
    },
};
use uuid::Uuid;

use super::Fixture;
use crate::metadata::{
    commands::{
        FJORD_VERSION, FenceBroker, Register, RegisterBroker, RegisterOnlyBroker, Registration,
        UnfenceBroker, supported_features,
    },
    records::Endpoint,
};

/// The default of `node.id`.
const THIS: i32 = 1;
const OTHER: i32 = 8;

async fn create(fixture: &Fixture, name: &str, num_partitions: i32) {
    let request = CreateTopicsRequest {
        topics: vec![CreatableTopic {
            name: name.to_owned(),
            num_partitions,
            replication_factor: 1,
            ..Default::default()
        }],
        ..Default::default()
    };
    assert_eq!(fixture.send(7, &request).await.topics[0].error_code, 0);
}

/// Another broker, of which nothing runs here but the registration.
async fn register_other(fixture: &Fixture) {
    let other = RegisterBroker {
        broker_id: OTHER,
        incarnation_id: Uuid::nil(),
        rack: None,
        endpoints: vec![Endpoint {
            listener: "PLAINTEXT".to_owned(),
            host: "other".to_owned(),
            port: 9092,
        }],
    };
    let register = RegisterOnlyBroker { broker: other };
    fixture.broker.metadata.submit(register).await.unwrap();
}

async fn fence_other(fixture: &Fixture) {
    let image = fixture.broker.metadata.image();
    let fence = FenceBroker {
        broker_id: OTHER,
        broker_epoch: image.broker(OTHER).unwrap().epoch,
        is_silent: false,
    };
    fixture
        .broker
        .metadata
        .submit(fence)
        .await
        .unwrap()
        .unwrap();
}

/// The codes and messages of moving partitions of topic `t`.
async fn reassign(
    fixture: &Fixture,
    version: i16,
    partitions: &[(i32, Option<Vec<i32>>)],
) -> Vec<(ErrorCode, Option<String>)> {
    let partition = |(index, replicas): &(i32, Option<Vec<i32>>)| ReassignablePartition {
        partition_index: *index,
        replicas: replicas.clone(),
    };
    let request = AlterPartitionReassignmentsRequest {
        // Version 0 cannot say so, and allows it.
        allow_replication_factor_change: version == 0,
        topics: vec![ReassignableTopic {
            name: "t".to_owned(),
            partitions: partitions.iter().map(partition).collect(),
        }],
        ..Default::default()
    };
    let response = fixture.send(version, &request).await;
    assert_eq!((response.error_code, response.error_message), (0, None));
    assert_eq!(response.responses[0].name, "t");
    let outcomes = response.responses[0].partitions.iter().zip(partitions);
    outcomes
        .map(|(outcome, (index, _))| {
            assert_eq!(outcome.partition_index, *index);
            let code = ErrorCode::from_code(outcome.error_code).unwrap();
            (code, outcome.error_message.clone())
        })
        .collect()
}

fn codes(outcomes: Vec<(ErrorCode, Option<String>)>) -> Vec<ErrorCode> {
    outcomes.into_iter().map(|(code, _)| code).collect()
}

#[tokio::test]
async fn reassignments_that_cannot_be_are_refused_one_by_one() {
    let fixture = Fixture::new().await;
    create(&fixture, "t", 3).await;
    for version in 0..=1 {
        let outcomes = reassign(
            &fixture,
            version,
            &[
                (0, Some(vec![OTHER])),
                (1, Some(vec![THIS, THIS])),
                (2, Some(vec![])),
                (3, Some(vec![THIS])),
                (-1, None),
                (0, None),
                (1, Some(vec![THIS])),
            ],
        )
        .await;
        let message = outcomes[0].1.clone().unwrap();
        assert!(
            message.contains("broker 8, but no such broker"),
            "{message}"
        );
        assert_eq!(
            codes(outcomes),
            [
                ErrorCode::InvalidReplicaAssignment,
                ErrorCode::InvalidReplicaAssignment,
                ErrorCode::InvalidReplicaAssignment,
                ErrorCode::UnknownTopicOrPartition,
                ErrorCode::UnknownTopicOrPartition,
                ErrorCode::NoReassignmentInProgress,
                ErrorCode::None,
            ]
        );
    }
    let request = ListPartitionReassignmentsRequest::default();
    assert_eq!(fixture.send(0, &request).await.topics, []);
}

#[tokio::test]
async fn a_reassignment_is_listed_until_it_is_cancelled() {
    let fixture = Fixture::new().await;
    create(&fixture, "t", 2).await;
    register_other(&fixture).await;
    let longer = || vec![(1, Some(vec![THIS, OTHER]))];
    assert_eq!(
        codes(reassign(&fixture, 1, &longer()).await),
        [ErrorCode::InvalidReplicationFactor]
    );
    // What this broker leads cannot leave it before the other one has it, which never comes here.
    assert_eq!(
        codes(reassign(&fixture, 0, &longer()).await),
        [ErrorCode::None]
    );
    let topic = |name: &str, partition_indexes| ListPartitionReassignmentsTopics {
        name: name.to_owned(),
        partition_indexes,
    };
    let asked = [
        (None, 1),
        (
            Some(vec![topic("t", vec![0, 1, 7]), topic("u", vec![0])]),
            1,
        ),
        (Some(vec![topic("t", vec![0])]), 0),
        (Some(vec![]), 0),
    ];
    for (topics, count) in asked {
        let request = ListPartitionReassignmentsRequest {
            topics,
            ..Default::default()
        };
        let response = fixture.send(0, &request).await;
        assert_eq!(response.topics.len(), count, "{:?}", request.topics);
        for topic in response.topics {
            assert_eq!((topic.name.as_str(), topic.partitions.len()), ("t", 1));
            let partition = &topic.partitions[0];
            assert_eq!(partition.partition_index, 1);
            assert_eq!(partition.replicas, [THIS, OTHER]);
            assert_eq!(partition.adding_replicas, [OTHER]);
            assert!(partition.removing_replicas.is_empty());
        }
    }
    assert_eq!(
        codes(reassign(&fixture, 1, &[(1, None)]).await),
        [ErrorCode::None]
    );
    let request = ListPartitionReassignmentsRequest {
        topics: None,
        ..Default::default()
    };
    assert_eq!(fixture.send(0, &request).await.topics, []);
}

async fn elect(
    fixture: &Fixture,
    version: i16,
    election_type: i8,
    partitions: Option<&[(&str, &[i32])]>,
) -> ElectLeadersResponse {
    let named = |(topic, partitions): &(&str, &[i32])| TopicPartitions {
        topic: (*topic).to_owned(),
        partitions: partitions.to_vec(),
    };
    let request = ElectLeadersRequest {
        election_type,
        topic_partitions: partitions.map(|topics| topics.iter().map(named).collect()),
        ..Default::default()
    };
    fixture.send(version, &request).await
}

fn elected(response: &ElectLeadersResponse) -> Vec<(&str, i32, ErrorCode)> {
    let topics = response.replica_election_results.iter();
    let partitions = topics.flat_map(|topic| {
        let results = topic.partition_result.iter();
        results.map(|result| {
            let code = ErrorCode::from_code(result.error_code).unwrap();
            (topic.topic.as_str(), result.partition_id, code)
        })
    });
    partitions.collect()
}

#[tokio::test]
async fn a_leader_that_leads_already_needs_no_election() {
    let fixture = Fixture::new().await;
    create(&fixture, "t", 2).await;
    let not_needed = ErrorCode::ElectionNotNeeded;
    let unknown = ErrorCode::UnknownTopicOrPartition;
    for (version, kind) in [(0, 0), (1, 0), (2, 0), (1, 1), (2, 1)] {
        let named: &[(&str, &[i32])] = &[("t", &[0, 7, 1]), ("u", &[0])];
        let response = elect(&fixture, version, kind, Some(named)).await;
        assert_eq!(response.error_code, 0);
        assert_eq!(
            elected(&response),
            [
                ("t", 0, not_needed),
                ("t", 7, unknown),
                ("t", 1, not_needed),
                ("u", 0, unknown)
            ]
        );
        let all = elect(&fixture, version, kind, None).await;
        assert_eq!((all.error_code, elected(&all)), (0, vec![]));
    }
    let strange = elect(&fixture, 2, 2, Some(&[("t", &[0])])).await;
    assert_eq!(strange.error_code, ErrorCode::InvalidRequest.code());
    assert_eq!(elected(&strange), []);
}

#[tokio::test]
async fn of_all_partitions_those_that_need_an_election_are_told() {
    let fixture = Fixture::new().await;
    create(&fixture, "t", 2).await;
    create(&fixture, "u", 1).await;
    register_other(&fixture).await;
    // The other one is to lead, once it has the records.
    let preferred = [(0, Some(vec![OTHER, THIS]))];
    let begun = reassign(&fixture, 0, &preferred).await;
    assert_eq!(codes(begun), [ErrorCode::None]);
    let unavailable = ErrorCode::PreferredLeaderNotAvailable;
    let all = elect(&fixture, 2, 0, None).await;
    assert_eq!(elected(&all), [("t", 0, unavailable)]);
    let unclean = elect(&fixture, 2, 1, None).await;
    assert_eq!(elected(&unclean), []);
}

async fn update(
    fixture: &Fixture,
    version: i16,
    updates: &[(&str, i16)],
    validate_only: bool,
) -> UpdateFeaturesResponse {
    let update = |(feature, level): &(&str, i16)| FeatureUpdateKey {
        feature: (*feature).to_owned(),
        max_version_level: *level,
        ..Default::default()
    };
    let request = UpdateFeaturesRequest {
        feature_updates: updates.iter().map(update).collect(),
        validate_only,
        ..Default::default()
    };
    fixture.send(version, &request).await
}

/// Lets the registered broker support what this program does.
async fn support_features(fixture: &Fixture) {
    let metadata = &fixture.broker.metadata;
    let registration = Registration {
        broker_id: THIS,
        incarnation_id: Uuid::from_u128(1),
        directory_id: Uuid::from_u128(2),
        rack: None,
        endpoints: vec![],
        supported_features: supported_features(),
        clean_epoch: None,
        is_log_synced: true,
    };
    let registered = metadata.submit(Register { registration }).await.unwrap();
    let unfence = UnfenceBroker {
        broker_id: THIS,
        broker_epoch: registered.unwrap(),
    };
    metadata.submit(unfence).await.unwrap().unwrap();
}

#[tokio::test]
async fn features_are_finalized_together_or_not_at_all() {
    let fixture = Fixture::new().await;
    let level = || fixture.broker.metadata.image().feature_level(FJORD_VERSION);
    // The broker has not registered that it supports the feature.
    let refused = update(&fixture, 2, &[(FJORD_VERSION, 1)], false).await;
    assert_eq!(refused.error_code, ErrorCode::InvalidUpdateVersion.code());
    support_features(&fixture).await;
    for version in 0..=2 {
        let both = [(FJORD_VERSION, 1), ("dance.version", 1)];
        let refused = update(&fixture, version, &both, false).await;
        assert_eq!(refused.error_code, ErrorCode::InvalidUpdateVersion.code());
        let message = refused.error_message.unwrap();
        assert!(
            message.starts_with("The update failed for all features"),
            "{message}"
        );
        assert!(message.contains("dance.version"), "{message}");
        assert_eq!((refused.results, level()), (vec![], 0));
    }
    let checked = update(&fixture, 1, &[(FJORD_VERSION, 1)], true).await;
    assert_eq!((checked.error_code, checked.results.len()), (0, 1));
    assert_eq!(level(), 0);
    let done = update(&fixture, 2, &[(FJORD_VERSION, 1)], false).await;
    assert_eq!((done.error_code, done.results.len(), level()), (0, 0, 1));
}

#[tokio::test]
async fn a_kind_of_upgrade_that_nobody_knows_is_refused() {
    let fixture = Fixture::new().await;
    support_features(&fixture).await;
    let request = UpdateFeaturesRequest {
        feature_updates: vec![FeatureUpdateKey {
            feature: FJORD_VERSION.to_owned(),
            max_version_level: 1,
            upgrade_type: 4,
            ..Default::default()
        }],
        ..Default::default()
    };
    let response = fixture.send(2, &request).await;
    assert_eq!(response.error_code, ErrorCode::InvalidUpdateVersion.code());
    assert_eq!(fixture.broker.metadata.image().features().len(), 0);
}

#[tokio::test]
async fn api_versions_tells_of_features() {
    let fixture = Fixture::new().await;
    let request = ApiVersionsRequest {
        client_software_name: "tests".to_owned(),
        client_software_version: "1".to_owned(),
    };
    let before = fixture.send(4, &request).await;
    let supported = before.supported_features.iter();
    let supported: Vec<_> = supported
        .map(|f| (f.name.as_str(), f.min_version, f.max_version))
        .collect();
    assert_eq!(supported, [(FJORD_VERSION, 1, 1)]);
    assert_eq!(
        (
            before.finalized_features.len(),
            before.finalized_features_epoch
        ),
        (0, -1)
    );
    support_features(&fixture).await;
    update(&fixture, 2, &[(FJORD_VERSION, 1)], false).await;
    for version in 3..=4 {
        let after = fixture.send(version, &request).await;
        let finalized = after.finalized_features.iter();
        let finalized: Vec<_> = finalized
            .map(|f| (f.name.as_str(), f.min_version_level, f.max_version_level))
            .collect();
        assert_eq!(finalized, [(FJORD_VERSION, 1, 1)]);
        assert!(after.finalized_features_epoch >= 0);
    }
}

#[tokio::test]
async fn only_a_fenced_broker_can_be_unregistered() {
    let fixture = Fixture::new().await;
    register_other(&fixture).await;
    let request = |broker_id| UnregisterBrokerRequest { broker_id };
    for (broker_id, code) in [
        (THIS, ErrorCode::InvalidRequest),
        (OTHER, ErrorCode::InvalidRequest),
        (77, ErrorCode::BrokerIdNotRegistered),
    ] {
        let response = fixture.send(0, &request(broker_id)).await;
        assert_eq!(response.error_code, code.code(), "{broker_id}");
        assert!(response.error_message.is_some());
    }
    fence_other(&fixture).await;
    let response = fixture.send(0, &request(OTHER)).await;
    assert_eq!((response.error_code, response.error_message), (0, None));
    let image = fixture.broker.metadata.image();
    assert!(image.broker(OTHER).is_none() && image.broker(THIS).is_some());
}

#[tokio::test]
async fn fenced_brokers_are_described_where_that_is_asked_for() {
    let fixture = Fixture::new().await;
    register_other(&fixture).await;
    fence_other(&fixture).await;
    for version in 0..=2 {
        let request = DescribeClusterRequest {
            endpoint_type: 1,
            ..Default::default()
        };
        let response = fixture.send(version, &request).await;
        let ids: Vec<i32> = response.brokers.iter().map(|b| b.broker_id).collect();
        assert_eq!(ids, [THIS], "version {version}");
    }
    let request = DescribeClusterRequest {
        endpoint_type: 1,
        include_fenced_brokers: true,
        ..Default::default()
    };
    let response = fixture.send(2, &request).await;
    let brokers = response.brokers.iter();
    let brokers: Vec<_> = brokers
        .map(|b| (b.broker_id, b.host.as_str(), b.is_fenced))
        .collect();
    assert_eq!(
        brokers,
        [(THIS, "127.0.0.7", false), (OTHER, "other", true)]
    );
}

#[tokio::test]
async fn clients_are_never_told_of_no_broker_at_all() {
    let fixture = Fixture::new().await;
    register_other(&fixture).await;
    let metadata = &fixture.broker.metadata;
    for broker_id in [OTHER, THIS] {
        let broker_epoch = metadata.image().broker(broker_id).unwrap().epoch;
        let fence = FenceBroker {
            broker_id,
            broker_epoch,
            is_silent: true,
        };
        metadata.submit(fence).await.unwrap().unwrap();
        let response = fixture.send(12, &MetadataRequest::default()).await;
        let told: Vec<i32> = response.brokers.iter().map(|b| b.node_id).collect();
        let wanted: &[i32] = match broker_id {
            OTHER => &[THIS],
            _ => &[THIS, OTHER],
        };
        assert_eq!(told, wanted, "after {broker_id} was fenced");
    }
}

fn quorum_of(topic: &str, partitions: &[i32]) -> DescribeQuorumRequest {
    let partitions = partitions.iter();
    DescribeQuorumRequest {
        topics: vec![TopicData {
            topic_name: topic.to_owned(),
            partitions: partitions
                .map(|index| PartitionData {
                    partition_index: *index,
                })
                .collect(),
        }],
    }
}

#[tokio::test]
async fn the_only_broker_is_the_quorum() {
    let fixture = Fixture::new().await;
    for version in 0..=2 {
        let asked = quorum_of("__cluster_metadata", &[0]);
        let response = fixture.send(version, &asked).await;
        assert_eq!(response.error_code, 0);
        let partition = &response.topics[0].partitions[0];
        assert_eq!((partition.error_code, partition.leader_id), (0, THIS));
        assert!(partition.leader_epoch >= 0 && partition.high_watermark >= 0);
        assert_eq!(
            (partition.current_voters.len(), partition.observers.len()),
            (1, 0)
        );
        let voter = &partition.current_voters[0];
        assert_eq!(voter.replica_id, THIS);
        assert!(voter.log_end_offset >= partition.high_watermark);
        assert_eq!(voter.last_fetch_timestamp > 0, version >= 1);
        let nodes: Vec<i32> = response.nodes.iter().map(|node| node.node_id).collect();
        assert_eq!(nodes, if version == 2 { vec![THIS] } else { vec![] });
    }
    for asked in [
        quorum_of("t", &[0]),
        quorum_of("__cluster_metadata", &[1]),
        quorum_of("__cluster_metadata", &[0, 0]),
    ] {
        let response = fixture.send(2, &asked).await;
        let partitions = &response.topics[0].partitions;
        assert_eq!(partitions.len(), asked.topics[0].partitions.len());
        let unknown = ErrorCode::UnknownTopicOrPartition.code();
        assert!(partitions.iter().all(|p| p.error_code == unknown));
    }
    let nothing = DescribeQuorumRequest { topics: vec![] };
    assert_eq!(fixture.send(2, &nothing).await.topics, []);
}
