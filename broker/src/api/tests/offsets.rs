//! Committed offsets through the table: stored, read, deleted, and gone with their topic.

use std::sync::Arc;

use fjord_wire::{
    ErrorCode, Request,
    messages::{
        create_topics_request::{CreatableTopic, CreateTopicsRequest},
        delete_topics_request::{DeleteTopicState, DeleteTopicsRequest},
        offset_commit_request::{
            OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic,
        },
        offset_commit_response::OffsetCommitResponse,
        offset_delete_request::{
            OffsetDeleteRequest, OffsetDeleteRequestPartition, OffsetDeleteRequestTopic,
        },
        offset_delete_response::OffsetDeleteResponse,
        offset_fetch_request::{
            OffsetFetchRequest, OffsetFetchRequestGroup, OffsetFetchRequestTopic,
            OffsetFetchRequestTopics,
        },
        offset_fetch_response::{
            OffsetFetchResponseGroup, OffsetFetchResponsePartitions, OffsetFetchResponseTopics,
        },
    },
};
use uuid::Uuid;

use super::{Fixture, MemoryGroupLog, groups::wait_for};
use crate::{
    api::Api,
    net::{Reply, Service as _},
};

const UNKNOWN_ID: Uuid = Uuid::from_u128(7);

/// A topic as requests name it, with partition indexes.
type Asked<'a> = (&'a str, &'a [i32]);

/// (partition, offset, error code) of fetched offsets.
type Shown = (i32, i64, i16);

impl Fixture {
    async fn with_topics() -> Fixture {
        Fixture::with_topics_over(None).await
    }

    async fn with_topics_over(group_log: Option<Arc<MemoryGroupLog>>) -> Fixture {
        let fixture = Fixture::with_groups(group_log).await;
        for name in ["t", "u"] {
            fixture.create(name).await;
        }
        fixture
    }

    async fn create(&self, name: &str) {
        let topic = CreatableTopic {
            name: name.to_owned(),
            num_partitions: 2,
            replication_factor: -1,
            ..Default::default()
        };
        let request = CreateTopicsRequest {
            topics: vec![topic],
            ..Default::default()
        };
        assert_eq!(self.send(7, &request).await.topics[0].error_code, 0);
    }

    fn id_of(&self, name: &str) -> Uuid {
        let image = self.broker.metadata.image();
        image.topic(name).map_or(UNKNOWN_ID, |topic| topic.id)
    }

    /// Commits offset 10 + index for each partition.
    async fn commit(&self, version: i16, group_id: &str, asked: &[Asked<'_>]) -> Vec<Vec<Shown>> {
        let request = self.commit_request(version, group_id, asked);
        let response = self.send(version, &request).await;
        for (topic, (name, _)) in response.topics.iter().zip(asked) {
            if version >= 10 {
                assert_eq!(topic.topic_id, self.id_of(name));
            } else {
                assert_eq!(topic.name, *name);
            }
        }
        committed(&response)
    }

    fn commit_request(
        &self,
        version: i16,
        group_id: &str,
        asked: &[Asked<'_>],
    ) -> OffsetCommitRequest {
        let partition = |index: &i32| OffsetCommitRequestPartition {
            partition_index: *index,
            committed_offset: i64::from(10 + index),
            committed_leader_epoch: if version >= 6 { 3 } else { -1 },
            committed_metadata: Some(format!("m{index}")),
        };
        let topic = |(name, indexes): &Asked<'_>| OffsetCommitRequestTopic {
            name: (*name).to_owned(),
            topic_id: self.id_of(name),
            partitions: indexes.iter().map(partition).collect(),
        };
        OffsetCommitRequest {
            group_id: group_id.to_owned(),
            topics: asked.iter().map(topic).collect(),
            ..Default::default()
        }
    }

    /// Fetches in the form of version 8, whatever the version.
    async fn fetch(
        &self,
        version: i16,
        group_id: &str,
        asked: Option<&[Asked<'_>]>,
    ) -> OffsetFetchResponseGroup {
        if version >= 8 {
            let request = OffsetFetchRequest {
                groups: vec![self.fetch_group(group_id, asked)],
                ..Default::default()
            };
            return self.send(version, &request).await.groups.remove(0);
        }
        let topic = |(name, indexes): &Asked<'_>| OffsetFetchRequestTopic {
            name: (*name).to_owned(),
            partition_indexes: indexes.to_vec(),
        };
        let request = OffsetFetchRequest {
            group_id: group_id.to_owned(),
            topics: asked.map(|asked| asked.iter().map(topic).collect()),
            ..Default::default()
        };
        let response = self.send(version, &request).await;
        let topics = response.topics.into_iter();
        let topics = topics.map(|topic| OffsetFetchResponseTopics {
            name: topic.name,
            topic_id: Uuid::nil(),
            partitions: topic
                .partitions
                .into_iter()
                .map(|partition| OffsetFetchResponsePartitions {
                    partition_index: partition.partition_index,
                    committed_offset: partition.committed_offset,
                    committed_leader_epoch: partition.committed_leader_epoch,
                    metadata: partition.metadata,
                    error_code: partition.error_code,
                })
                .collect(),
        });
        OffsetFetchResponseGroup {
            group_id: group_id.to_owned(),
            topics: topics.collect(),
            error_code: response.error_code,
        }
    }

    fn fetch_group(&self, group_id: &str, asked: Option<&[Asked<'_>]>) -> OffsetFetchRequestGroup {
        let topic = |(name, indexes): &Asked<'_>| OffsetFetchRequestTopics {
            name: (*name).to_owned(),
            topic_id: self.id_of(name),
            partition_indexes: indexes.to_vec(),
        };
        OffsetFetchRequestGroup {
            group_id: group_id.to_owned(),
            topics: asked.map(|asked| asked.iter().map(topic).collect()),
            ..Default::default()
        }
    }

    /// The first stage of a request, and its reply still to come.
    async fn begin<R: Request>(&self, api: &Api, version: i16, request: &R) -> Reply {
        let frame =
            fjord_wire::encode_request(7, Some("tests"), R::API_KEY, version, request).unwrap();
        let frame = frame.into_bytes().slice(4..);
        api.call(&self.context, frame).await.unwrap()
    }

    async fn delete_offsets(&self, group_id: &str, asked: &[Asked<'_>]) -> OffsetDeleteResponse {
        let partition = |index: &i32| OffsetDeleteRequestPartition {
            partition_index: *index,
        };
        let topic = |(name, indexes): &Asked<'_>| OffsetDeleteRequestTopic {
            name: (*name).to_owned(),
            partitions: indexes.iter().map(partition).collect(),
        };
        let request = OffsetDeleteRequest {
            group_id: group_id.to_owned(),
            topics: asked.iter().map(topic).collect(),
        };
        self.send(0, &request).await
    }

    async fn delete_topic(&self, name: &str) {
        let request = DeleteTopicsRequest {
            topics: vec![DeleteTopicState {
                name: Some(name.to_owned()),
                topic_id: Uuid::nil(),
            }],
            ..Default::default()
        };
        assert_eq!(self.send(6, &request).await.responses[0].error_code, 0);
    }
}

fn committed(response: &OffsetCommitResponse) -> Vec<Vec<Shown>> {
    let topics = response.topics.iter().map(|topic| {
        let partitions = topic.partitions.iter();
        partitions
            .map(|partition| (partition.partition_index, 0, partition.error_code))
            .collect()
    });
    topics.collect()
}

fn shown(topic: &OffsetFetchResponseTopics) -> Vec<Shown> {
    let partitions = topic.partitions.iter();
    partitions
        .map(|p| (p.partition_index, p.committed_offset, p.error_code))
        .collect()
}

#[tokio::test]
async fn what_is_committed_is_fetched_in_every_version() {
    let fixture = Fixture::with_topics().await;
    for version in 2..=10 {
        let group_id = format!("group-{version}");
        let asked: &[Asked<'_>] = &[("t", &[0, 1]), ("u", &[1])];
        let outcome = fixture.commit(version, &group_id, asked).await;
        assert_eq!(outcome, [vec![(0, 0, 0), (1, 0, 0)], vec![(1, 0, 0)]]);
        let leader_epoch = if version >= 6 { 3 } else { -1 };
        for version in 1..=10 {
            let asked: &[Asked<'_>] = &[("t", &[1]), ("u", &[0, 1])];
            let group = fixture.fetch(version, &group_id, Some(asked)).await;
            assert_eq!((group.group_id.as_str(), group.error_code), (&*group_id, 0));
            assert_eq!(shown(&group.topics[0]), [(1, 11, 0)], "version {version}");
            assert_eq!(shown(&group.topics[1]), [(0, -1, 0), (1, 11, 0)]);
            let found = &group.topics[0].partitions[0];
            assert_eq!(found.metadata.as_deref(), Some("m1"));
            let none = &group.topics[1].partitions[0];
            assert_eq!(none.metadata.as_deref(), Some(""));
            let epoch = if version >= 5 { leader_epoch } else { -1 };
            assert_eq!(found.committed_leader_epoch, epoch);
            let (name, id) = match version {
                10 => ("", fixture.id_of("t")),
                _ => ("t", Uuid::nil()),
            };
            let topic = &group.topics[0];
            assert_eq!((topic.name.as_str(), topic.topic_id), (name, id));
        }
    }
}

#[tokio::test]
async fn all_topics_of_a_group_are_fetched() {
    let fixture = Fixture::with_topics().await;
    fixture
        .commit(10, "g", &[("t", &[0, 1]), ("u", &[1])])
        .await;
    for version in 2..=10 {
        let group = fixture.fetch(version, "g", None).await;
        let topics: Vec<_> = group.topics.iter().map(shown).collect();
        let expected = [vec![(0, 10, 0), (1, 11, 0)], vec![(1, 11, 0)]];
        assert_eq!(topics, expected, "version {version}");
        if version >= 10 {
            assert_eq!(group.topics[1].topic_id, fixture.id_of("u"));
        } else {
            assert_eq!(group.topics[1].name, "u");
        }
        let none = fixture.fetch(version, "g", Some(&[])).await;
        assert_eq!(none.topics, []);
        let unknown = fixture.fetch(version, "unknown", None).await;
        assert_eq!((unknown.error_code, unknown.topics), (0, vec![]));
    }
}

#[tokio::test]
async fn several_groups_are_fetched_at_once() {
    let fixture = Fixture::with_topics().await;
    fixture.commit(9, "a", &[("t", &[0])]).await;
    fixture.commit(9, "b", &[("u", &[1])]).await;
    for version in 8..=10 {
        let request = OffsetFetchRequest {
            groups: vec![
                fixture.fetch_group("b", None),
                fixture.fetch_group("a", Some(&[("t", &[0]), ("u", &[0])])),
            ],
            require_stable: true,
            ..Default::default()
        };
        let groups = fixture.send(version, &request).await.groups;
        assert_eq!(groups[0].group_id, "b");
        assert_eq!(shown(&groups[0].topics[0]), [(1, 11, 0)]);
        assert_eq!(groups[1].group_id, "a");
        assert_eq!(shown(&groups[1].topics[0]), [(0, 10, 0)]);
        assert_eq!(shown(&groups[1].topics[1]), [(0, -1, 0)]);
    }
}

#[tokio::test]
async fn what_does_not_exist_is_refused_and_the_rest_committed() {
    let fixture = Fixture::with_topics().await;
    let unknown = ErrorCode::UnknownTopicOrPartition.code();
    for version in 2..=10 {
        let unknown_topic = match version {
            10 => ErrorCode::UnknownTopicId.code(),
            _ => unknown,
        };
        let asked: &[Asked<'_>] = &[
            ("missing", &[0, 1]),
            ("t", &[7, 1, -1]),
            ("u", &[2]),
            ("u", &[0]),
        ];
        let group_id = format!("group-{version}");
        let outcome = fixture.commit(version, &group_id, asked).await;
        let expected = [
            vec![(0, 0, unknown_topic), (1, 0, unknown_topic)],
            vec![(7, 0, unknown), (1, 0, 0), (-1, 0, unknown)],
            vec![(2, 0, unknown)],
            vec![(0, 0, 0)],
        ];
        assert_eq!(outcome, expected, "version {version}");
        let group = fixture.fetch(9, &group_id, None).await;
        let topics: Vec<_> = group.topics.iter().map(shown).collect();
        assert_eq!(topics, [vec![(1, 11, 0)], vec![(0, 10, 0)]]);

        let group = fixture
            .fetch(version, &group_id, Some(&[("missing", &[0]), ("t", &[1])]))
            .await;
        let mut topics: Vec<_> = group.topics.iter().map(shown).collect();
        topics.sort_unstable_by_key(|partitions| partitions[0].0);
        let missing = if version == 10 { unknown_topic } else { 0 };
        assert_eq!(topics, [[(0, -1, missing)], [(1, 11, 0)]]);
    }
    // Nothing is left to ask the coordinator about, whatever the group.
    let outcome = fixture.commit(9, "", &[("missing", &[0])]).await;
    assert_eq!(outcome, [[(0, 0, unknown)]]);
}

#[tokio::test]
async fn what_is_wrong_with_a_group_is_said_for_every_partition_asked_about() {
    let fixture = Fixture::with_topics().await;
    let asked: &[Asked<'_>] = &[("missing", &[0]), ("t", &[0, 1])];
    let mut request = fixture.commit_request(9, "g", asked);
    request.generation_id_or_member_epoch = 5;
    request.member_id = "nobody".to_owned();
    let unknown = ErrorCode::UnknownTopicOrPartition.code();
    for (version, code) in [
        (9, ErrorCode::GroupIdNotFound.code()),
        (8, ErrorCode::IllegalGeneration.code()),
    ] {
        let outcome = committed(&fixture.send(version, &request).await);
        let expected = [vec![(0, 0, unknown)], vec![(0, 0, code), (1, 0, code)]];
        assert_eq!(outcome, expected, "version {version}");
    }

    // The coordinator is not there: version 1 has no error for the whole group.
    let fixture = Fixture::new().await;
    let code = ErrorCode::CoordinatorNotAvailable.code();
    let asked: &[Asked<'_>] = &[("t", &[0, 1]), ("u", &[1])];
    for version in 1..=10 {
        let asked = if version == 10 { &[][..] } else { asked };
        let group = fixture.fetch(version, "g", Some(asked)).await;
        if version == 1 {
            let topics: Vec<_> = group.topics.iter().map(shown).collect();
            assert_eq!(
                topics,
                [vec![(0, -1, code), (1, -1, code)], vec![(1, -1, code)]]
            );
        } else {
            assert_eq!((group.error_code, group.topics), (code, vec![]));
        }
    }
}

#[tokio::test]
async fn requests_take_effect_in_order_and_are_answered_when_durable() {
    let log = Arc::<MemoryGroupLog>::default();
    let fixture = Fixture::with_topics_over(Some(log.clone())).await;
    log.stop();
    let commit = fixture.commit_request(9, "g", &[("t", &[0])]);
    let commit = fixture.begin(&fixture.api, 9, &commit).await;
    let fetch = OffsetFetchRequest {
        groups: vec![fixture.fetch_group("g", None)],
        ..Default::default()
    };
    let fetch = fixture.begin(&fixture.api, 9, &fetch).await;
    let (Reply::Later(mut commit), Reply::Later(mut fetch)) = (commit, fetch) else {
        panic!("both wait for the disk");
    };
    let is_pending = |reply: &mut crate::net::LaterReply| {
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        reply.as_mut().poll(&mut context).is_pending()
    };
    assert!(is_pending(&mut commit) && is_pending(&mut fetch));
    assert_eq!(log.waiting(), 1);
    log.settle(true);
    let bytes = fetch.await.unwrap().unwrap().into_bytes();
    assert!(commit.await.unwrap().is_some());
    let needle = 10_i64.to_be_bytes();
    assert!(bytes.windows(8).any(|window| window == needle));

    // What cannot be written is not acknowledged, and not seen.
    let commit = fixture.commit_request(9, "g", &[("t", &[1])]);
    let commit = fixture.send(9, &commit);
    let fail = async {
        wait_for(|| log.waiting() == 1).await;
        log.settle(false);
    };
    let (response, ()) = tokio::join!(commit, fail);
    let code = ErrorCode::NotCoordinator.code();
    assert_eq!(committed(&response), [[(1, 0, code)]]);
    log.go_on();
    let group = fixture.fetch(9, "g", None).await;
    assert_eq!(shown(&group.topics[0]), [(0, 10, 0)]);
}

#[tokio::test]
async fn offsets_are_deleted_unless_somebody_reads_the_topic() {
    let fixture = Fixture::with_topics().await;
    let asked: &[Asked<'_>] = &[("missing", &[0]), ("t", &[0, 9]), ("u", &[1])];
    let unknown_group = fixture.delete_offsets("g", asked).await;
    let code = ErrorCode::GroupIdNotFound.code();
    assert_eq!(
        (unknown_group.error_code, unknown_group.topics),
        (code, vec![])
    );

    fixture
        .commit(10, "g", &[("t", &[0, 1]), ("u", &[1])])
        .await;
    // It subscribes to `t` alone.
    fixture.lone_member("g").await;
    let deleted = fixture.delete_offsets("g", asked).await;
    assert_eq!(deleted.error_code, 0);
    let topics: Vec<Vec<_>> = deleted
        .topics
        .iter()
        .map(|topic| topic.partitions.iter())
        .map(|partitions| {
            partitions
                .map(|p| (p.partition_index, p.error_code))
                .collect()
        })
        .collect();
    let unknown = ErrorCode::UnknownTopicOrPartition.code();
    let subscribed = ErrorCode::GroupSubscribedToTopic.code();
    let expected = [
        vec![(0, unknown)],
        vec![(0, subscribed), (9, unknown)],
        vec![(1, 0)],
    ];
    assert_eq!(topics, expected);
    let group = fixture.fetch(9, "g", None).await;
    let topics: Vec<_> = group.topics.iter().map(shown).collect();
    assert_eq!(topics, [[(0, 10, 0), (1, 11, 0)]]);
}

#[tokio::test]
async fn offsets_go_with_their_topic() {
    let log = Arc::<MemoryGroupLog>::default();
    let fixture = Fixture::with_topics_over(Some(log.clone())).await;
    fixture.commit(9, "g", &[("t", &[0]), ("u", &[1])]).await;
    let before = log.records();
    fixture.delete_topic("t").await;
    // Before and after the coordinator has heard of it, a new topic of this name starts from nothing.
    fixture.create("t").await;
    let group = fixture.fetch(9, "g", Some(&[("t", &[0])])).await;
    assert_eq!(shown(&group.topics[0]), [(0, -1, 0)]);
    wait_for(|| log.records() > before).await;
    let group = fixture.fetch(9, "g", None).await;
    let topics: Vec<_> = group.topics.iter().map(shown).collect();
    assert_eq!(topics, [[(1, 11, 0)]]);
}

#[tokio::test]
async fn the_coordinator_closes_with_its_topic_and_comes_back() {
    let fixture = Fixture::with_topics().await;
    fixture.commit(9, "g", &[("t", &[0])]).await;
    fixture.delete_topic("__consumer_offsets").await;
    let gone = ErrorCode::NotCoordinator.code();
    let group = async || fixture.fetch(9, "g", None).await;
    let wait = async { while group().await.error_code != gone {} };
    tokio::time::timeout(std::time::Duration::from_secs(60), wait)
        .await
        .expect("the coordinator closes");
    let ensured = fixture
        .broker
        .ensure_internal_topic("__consumer_offsets")
        .await;
    ensured.unwrap();
    let wait = async { while group().await.error_code != 0 {} };
    tokio::time::timeout(std::time::Duration::from_secs(60), wait)
        .await
        .expect("the coordinator serves again");
}
