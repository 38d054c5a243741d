//! Topics: created, shown, grown and deleted.

use fjord_wire::{
    ErrorCode,
    messages::{
        create_partitions_request::{CreatePartitionsRequest, CreatePartitionsTopic},
        create_topics_request::{CreatableTopic, CreatableTopicConfig, CreateTopicsRequest},
        create_topics_response::CreateTopicsResponse,
        delete_topics_request::{DeleteTopicState, DeleteTopicsRequest},
        delete_topics_response::DeletableTopicResult,
        describe_cluster_request::DescribeClusterRequest,
        describe_topic_partitions_request::DescribeTopicPartitionsRequest,
        metadata_request::{MetadataRequest, MetadataRequestTopic},
        metadata_response::MetadataResponse,
    },
};
use uuid::Uuid;

use super::Fixture;
use crate::metadata::store::replay;

fn topic(name: &str, num_partitions: i32) -> CreatableTopic {
    CreatableTopic {
        name: name.to_owned(),
        num_partitions,
        replication_factor: -1,
        ..Default::default()
    }
}

async fn create(fixture: &Fixture, topics: Vec<CreatableTopic>) -> CreateTopicsResponse {
    fixture
        .send(
            7,
            &CreateTopicsRequest {
                topics,
                ..Default::default()
            },
        )
        .await
}

fn by_name(name: &str) -> MetadataRequestTopic {
    MetadataRequestTopic {
        name: Some(name.to_owned()),
        topic_id: Uuid::nil(),
    }
}

fn by_id(topic_id: Uuid) -> MetadataRequestTopic {
    MetadataRequestTopic {
        name: None,
        topic_id,
    }
}

async fn metadata(
    fixture: &Fixture,
    version: i16,
    topics: Option<Vec<MetadataRequestTopic>>,
    allow_auto_topic_creation: bool,
) -> MetadataResponse {
    let request = MetadataRequest {
        topics,
        allow_auto_topic_creation,
        ..Default::default()
    };
    fixture.send(version, &request).await
}

/// (name, error code, number of partitions) of each topic.
fn shown(response: &MetadataResponse) -> Vec<(&str, i16, usize)> {
    let topics = response.topics.iter().map(|topic| {
        let name = topic.name.as_deref().unwrap_or("(none)");
        (name, topic.error_code, topic.partitions.len())
    });
    topics.collect()
}

#[tokio::test]
async fn created_topics_are_shown_in_every_version_and_survive_a_replay() {
    let fixture = Fixture::new().await;
    let response = create(&fixture, vec![topic("a", 2), topic("b", -1)]).await;
    let created = &response.topics[0];
    assert_eq!((created.error_code, created.num_partitions), (0, 2));
    assert_eq!(
        (created.error_message.as_deref(), created.replication_factor),
        (None, 1)
    );
    let configs = created.configs.as_ref().unwrap();
    assert!(
        configs
            .iter()
            .any(|config| config.name == "retention.ms" && config.config_source == 5)
    );
    for version in 0..=13 {
        // In version 0 an empty list means all topics.
        let all = if version == 0 { Some(vec![]) } else { None };
        let allow = true;
        let response = metadata(&fixture, version, all, allow).await;
        assert_eq!(
            shown(&response),
            [("a", 0, 2), ("b", 0, 1)],
            "version {version}"
        );
        let broker = &response.brokers[0];
        assert_eq!((broker.host.as_str(), broker.port), ("127.0.0.7", 9092));
        assert_eq!(response.topics[0].partitions[1].leader_id, broker.node_id);
        if version >= 2 {
            assert_eq!(response.cluster_id.as_deref(), Some("cluster-of-tests"));
        }
        if version >= 1 {
            assert_eq!(response.controller_id, broker.node_id);
            let none = metadata(&fixture, version, Some(vec![]), allow).await;
            assert_eq!(none.topics, []);
        }
    }
    assert_eq!(
        replay(fixture.log.records()).unwrap(),
        *fixture.broker.metadata.image()
    );
}

#[tokio::test]
async fn missing_topics_are_created_where_that_is_wanted() {
    let fixture = Fixture::with(&[("num.partitions", "4")]).await;
    let ask = || Some(vec![by_name("auto"), by_name("bad name"), by_name("auto")]);
    let unknown = ErrorCode::UnknownTopicOrPartition.code();
    let invalid = ErrorCode::InvalidTopicException.code();
    let response = metadata(&fixture, 9, ask(), false).await;
    assert_eq!(
        shown(&response),
        [("auto", unknown, 0), ("bad name", invalid, 0)]
    );
    let response = metadata(&fixture, 9, ask(), true).await;
    assert_eq!(shown(&response), [("auto", 0, 4), ("bad name", invalid, 0)]);
    let response = metadata(&fixture, 9, Some(vec![by_name("__consumer_offsets")]), true).await;
    assert_eq!(shown(&response), [("__consumer_offsets", 0, 50)]);
    assert!(response.topics[0].is_internal);

    let strict = Fixture::with(&[("auto.create.topics.enable", "false")]).await;
    let response = metadata(&strict, 9, ask(), true).await;
    assert_eq!(response.topics[0].error_code, unknown);
}

#[tokio::test]
async fn topics_are_found_by_id_from_version_12() {
    let fixture = Fixture::new().await;
    let id = create(&fixture, vec![topic("a", 1)]).await.topics[0].topic_id;
    let wrong = Uuid::from_u128(77);
    let response = metadata(&fixture, 12, Some(vec![by_id(id), by_id(wrong)]), true).await;
    let unknown = ErrorCode::UnknownTopicId.code();
    assert_eq!(shown(&response), [("a", 0, 1), ("(none)", unknown, 0)]);
    assert_eq!(response.topics[1].topic_id, wrong);
    let response = metadata(&fixture, 10, Some(vec![by_id(id)]), true).await;
    assert_eq!(
        response.topics[0].error_code,
        ErrorCode::InvalidRequest.code()
    );
}

#[tokio::test]
async fn one_refused_topic_leaves_the_others_alone() {
    let fixture = Fixture::new().await;
    create(&fixture, vec![topic("there", 1)]).await;
    let mut unknown_config = topic("config", 1);
    let config = CreatableTopicConfig {
        name: "no.such".into(),
        value: Some("1".into()),
    };
    unknown_config.configs.push(config);
    let topics = vec![
        topic("twice", 1),
        topic("there", 1),
        unknown_config,
        topic("twice", 2),
        topic("none", 0),
        topic("good", 1),
    ];
    let response = create(&fixture, topics).await;
    let code = |name: &str| {
        let found: Vec<_> = response
            .topics
            .iter()
            .filter(|topic| topic.name == name)
            .collect();
        assert_eq!(found.len(), 1, "{name} is answered once");
        ErrorCode::from_code(found[0].error_code).unwrap()
    };
    assert_eq!(code("twice"), ErrorCode::InvalidRequest);
    assert_eq!(code("there"), ErrorCode::TopicAlreadyExists);
    assert_eq!(code("config"), ErrorCode::InvalidConfig);
    assert_eq!(code("none"), ErrorCode::InvalidPartitions);
    assert_eq!(code("good"), ErrorCode::None);
    let response = metadata(&fixture, 9, None, true).await;
    assert_eq!(shown(&response), [("good", 0, 1), ("there", 0, 1)]);
}

#[tokio::test]
async fn validation_alone_changes_nothing() {
    let fixture = Fixture::new().await;
    let request = CreateTopicsRequest {
        topics: vec![topic("a", 3)],
        validate_only: true,
        timeout_ms: 1,
    };
    let response = fixture.send(5, &request).await;
    assert_eq!(
        (
            response.topics[0].error_code,
            response.topics[0].num_partitions
        ),
        (0, 3)
    );
    create(&fixture, vec![topic("b", 1)]).await;
    let grow = CreatePartitionsRequest {
        topics: vec![CreatePartitionsTopic {
            name: "b".into(),
            count: 2,
            assignments: None,
        }],
        validate_only: true,
        timeout_ms: 1,
    };
    assert_eq!(fixture.send(3, &grow).await.results[0].error_code, 0);
    assert_eq!(
        shown(&metadata(&fixture, 9, None, true).await),
        [("b", 0, 1)]
    );
}

#[tokio::test]
async fn a_full_disk_refuses_and_leaves_everything_as_it_was() {
    let fixture = Fixture::new().await;
    fixture.log.set_refusing(true);
    let response = create(&fixture, vec![topic("a", 1)]).await;
    assert_eq!(
        response.topics[0].error_code,
        ErrorCode::KafkaStorageError.code()
    );
    assert_eq!(metadata(&fixture, 9, None, true).await.topics, []);
}

#[tokio::test]
async fn partitions_are_added() {
    let fixture = Fixture::new().await;
    create(&fixture, vec![topic("a", 1), topic("b", 1)]).await;
    let grow = |name: &str, count| CreatePartitionsTopic {
        name: name.to_owned(),
        count,
        assignments: None,
    };
    let topics = vec![
        grow("a", 3),
        grow("b", 1),
        grow("c", 2),
        grow("d", 1),
        grow("d", 2),
    ];
    let request = CreatePartitionsRequest {
        topics,
        ..Default::default()
    };
    let response = fixture.send(2, &request).await;
    let code = |name: &str| {
        let result = response
            .results
            .iter()
            .find(|result| result.name == name)
            .unwrap();
        ErrorCode::from_code(result.error_code).unwrap()
    };
    assert_eq!(code("a"), ErrorCode::None);
    assert_eq!(code("b"), ErrorCode::InvalidPartitions);
    assert_eq!(code("c"), ErrorCode::UnknownTopicOrPartition);
    assert_eq!(code("d"), ErrorCode::InvalidRequest);
    assert_eq!(response.results.len(), 4);
    assert_eq!(
        shown(&metadata(&fixture, 9, None, true).await),
        [("a", 0, 3), ("b", 0, 1)]
    );
}

fn code_of(results: &[DeletableTopicResult], name: Option<&str>, id: Uuid) -> ErrorCode {
    let is_it = |r: &&DeletableTopicResult| r.name.as_deref() == name && r.topic_id == id;
    let found: Vec<_> = results.iter().filter(is_it).collect();
    assert_eq!(found.len(), 1, "{name:?} {id} in {results:?}");
    ErrorCode::from_code(found[0].error_code).unwrap()
}

#[tokio::test]
async fn topics_are_deleted_by_name_and_by_id() {
    let fixture = Fixture::new().await;
    let names = ["a", "b", "c", "d"];
    let response = create(&fixture, names.map(|name| topic(name, 1)).to_vec()).await;
    let id = |index: usize| response.topics[index].topic_id;
    let nil = Uuid::nil();
    let state = |name: Option<&str>, topic_id| DeleteTopicState {
        name: name.map(str::to_owned),
        topic_id,
    };
    let topics = vec![
        state(Some("a"), nil),
        state(None, id(1)),
        state(None, id(2)),
        state(Some("c"), nil),
        state(Some("no"), nil),
        state(None, Uuid::from_u128(5)),
        state(Some("twice"), nil),
        state(Some("twice"), nil),
        state(None, nil),
    ];
    let request = DeleteTopicsRequest {
        topics,
        ..Default::default()
    };
    let results = fixture.send(6, &request).await.responses;
    assert_eq!(code_of(&results, Some("a"), id(0)), ErrorCode::None);
    assert_eq!(code_of(&results, Some("b"), id(1)), ErrorCode::None);
    assert_eq!(
        code_of(&results, Some("c"), id(2)),
        ErrorCode::InvalidRequest
    );
    assert_eq!(
        code_of(&results, Some("no"), nil),
        ErrorCode::UnknownTopicOrPartition
    );
    assert_eq!(
        code_of(&results, None, Uuid::from_u128(5)),
        ErrorCode::UnknownTopicId
    );
    assert_eq!(
        code_of(&results, Some("twice"), nil),
        ErrorCode::InvalidRequest
    );
    assert_eq!(code_of(&results, None, nil), ErrorCode::InvalidRequest);
    assert_eq!(results.len(), 7);
    assert_eq!(
        shown(&metadata(&fixture, 9, None, true).await),
        [("c", 0, 1), ("d", 0, 1)]
    );

    let topic_names = vec!["c".to_owned(), "no".to_owned()];
    let request = DeleteTopicsRequest {
        topic_names,
        ..Default::default()
    };
    let results = fixture.send(1, &request).await.responses;
    assert_eq!(code_of(&results, Some("c"), nil), ErrorCode::None);
    assert_eq!(
        code_of(&results, Some("no"), nil),
        ErrorCode::UnknownTopicOrPartition
    );
}

#[tokio::test]
async fn deletion_can_be_disabled() {
    let fixture = Fixture::with(&[("delete.topic.enable", "false")]).await;
    create(&fixture, vec![topic("a", 1)]).await;
    let request = DeleteTopicsRequest {
        topic_names: vec!["a".to_owned()],
        ..Default::default()
    };
    let code = |response: Vec<DeletableTopicResult>| response[0].error_code;
    let disabled = ErrorCode::TopicDeletionDisabled.code();
    assert_eq!(code(fixture.send(4, &request).await.responses), disabled);
    let invalid = ErrorCode::InvalidRequest.code();
    assert_eq!(code(fixture.send(2, &request).await.responses), invalid);
    assert_eq!(metadata(&fixture, 9, None, true).await.topics.len(), 1);
}

#[tokio::test]
async fn the_cluster_and_its_partitions_are_described() {
    let fixture = Fixture::new().await;
    create(&fixture, vec![topic("a", 2)]).await;
    let request = DescribeTopicPartitionsRequest::default();
    let response = fixture.send(0, &request).await;
    assert_eq!(response.topics[0].partitions.len(), 2);
    assert_eq!(response.next_cursor, None);
    assert_eq!(
        response.topics[0].topic_authorized_operations,
        0b1101_1111_1000
    );
    for version in 0..=2 {
        let request = DescribeClusterRequest::default();
        let response = fixture.send(version, &request).await;
        assert_eq!((response.error_code, response.brokers.len()), (0, 1));
        assert_eq!(response.brokers[0].rack.as_deref(), Some("rack-1"));
        assert_eq!(response.cluster_id, "cluster-of-tests");
    }
    for (endpoint_type, code) in [
        (2, ErrorCode::MismatchedEndpointType),
        (9, ErrorCode::UnsupportedEndpointType),
    ] {
        let request = DescribeClusterRequest {
            endpoint_type,
            ..Default::default()
        };
        assert_eq!(fixture.send(1, &request).await.error_code, code.code());
    }
}

#[tokio::test]
async fn every_version_carries_success_and_refusal() {
    let fixture = Fixture::new().await;
    for version in 2..=7 {
        let name = format!("v{version}");
        let topics = vec![topic(&name, 1), topic("bad name", 1)];
        let request = CreateTopicsRequest {
            topics,
            ..Default::default()
        };
        let codes = fixture.send(version, &request).await.topics;
        let codes: Vec<_> = codes.iter().map(|topic| topic.error_code).collect();
        assert_eq!(
            codes,
            [0, ErrorCode::InvalidTopicException.code()],
            "version {version}"
        );
    }
    for version in 0..=3 {
        let grow = |name: &str| CreatePartitionsTopic {
            name: name.to_owned(),
            count: i32::from(version) + 2,
            assignments: None,
        };
        let topics = vec![grow("v2"), grow("no")];
        let request = CreatePartitionsRequest {
            topics,
            ..Default::default()
        };
        let codes = fixture.send(version, &request).await.results;
        let codes: Vec<_> = codes.iter().map(|topic| topic.error_code).collect();
        assert_eq!(
            codes,
            [0, ErrorCode::UnknownTopicOrPartition.code()],
            "version {version}"
        );
    }
    for version in 1..=6 {
        let names = [format!("v{}", version + 1), "no".to_owned()];
        let request = match version {
            6 => {
                let state = |name| DeleteTopicState {
                    name: Some(name),
                    topic_id: Uuid::nil(),
                };
                let topics = names.map(state).to_vec();
                DeleteTopicsRequest {
                    topics,
                    ..Default::default()
                }
            }
            _ => DeleteTopicsRequest {
                topic_names: names.to_vec(),
                ..Default::default()
            },
        };
        let codes = fixture.send(version, &request).await.responses;
        let mut codes: Vec<_> = codes.iter().map(|topic| topic.error_code).collect();
        codes.sort_unstable();
        assert_eq!(
            codes,
            [0, ErrorCode::UnknownTopicOrPartition.code()],
            "version {version}"
        );
    }
    assert_eq!(fixture.broker.metadata.image().topic_count(), 0);
}
