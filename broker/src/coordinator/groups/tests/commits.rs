//! Who may commit offsets, what is read back, and when offsets expire.

use super::*;

const DAY_MS: u64 = 24 * 60 * 60 * 1000;

fn member_commit(generation_id: i32, member_id: &str, offset: i64) -> CommitRequest {
    CommitRequest {
        generation_id,
        member_id: member_id.into(),
        ..simple_commit(GROUP, "t", 0, offset)
    }
}

#[test]
fn a_client_outside_the_membership_commits_to_a_group_without_members() {
    let mut world = World::new();
    assert_eq!(
        only(world.commit(simple_commit("s", "t", 3, 42))),
        ErrorCode::None
    );
    assert_eq!(world.committed("s", "t", 3), 42);
    assert_eq!(world.committed("s", "t", 4), -1);
    let described = world.describe("s");
    assert_eq!(
        (described.state, described.protocol_type.as_str()),
        (GroupState::Empty, "")
    );

    assert_eq!(
        only(world.commit(simple_commit("", "t", 0, 7))),
        ErrorCode::None
    );
    assert_eq!(
        world.committed("", "t", 0),
        7,
        "the group without a name is one, too"
    );
}

#[test]
fn commits_are_checked_against_the_group() {
    let mut world = World::new();
    let unknown = CommitRequest {
        generation_id: 1,
        ..simple_commit("h", "t", 0, 1)
    };
    assert_eq!(
        only(world.commit(unknown.clone())),
        ErrorCode::GroupIdNotFound
    );
    let older = CommitRequest {
        api_version: 8,
        ..unknown
    };
    assert_eq!(only(world.commit(older)), ErrorCode::IllegalGeneration);
    assert_eq!(world.shard.groups().count(), 0);

    let (generation, ids) = world.stable_group(1);
    let cases = [
        (generation, ids[0].as_str(), ErrorCode::None),
        (
            generation - 1,
            ids[0].as_str(),
            ErrorCode::IllegalGeneration,
        ),
        (
            generation + 1,
            ids[0].as_str(),
            ErrorCode::IllegalGeneration,
        ),
        (-1, ids[0].as_str(), ErrorCode::IllegalGeneration),
        (generation, "nobody", ErrorCode::UnknownMemberId),
        (generation, "", ErrorCode::UnknownMemberId),
        (-1, "", ErrorCode::UnknownMemberId),
    ];
    for (generation, id, error) in cases {
        let outcome = only(world.commit(member_commit(generation, id, 1)));
        assert_eq!(outcome, error, "{generation} {id}");
    }
}

#[test]
fn members_commit_while_others_join_but_not_before_they_sync() {
    let mut world = World::new();
    let (generation, ids) = world.stable_group(2);
    let leader = world.join(consumer(&ids[0]));
    let outcome = only(world.commit(member_commit(generation, &ids[1], 5)));
    assert_eq!(outcome, ErrorCode::None, "the last moment before its join");
    world.join(consumer(&ids[1]));
    assert_eq!(world.joined(leader).generation_id, generation + 1);
    let outcome = only(world.commit(member_commit(generation, &ids[1], 6)));
    assert_eq!(outcome, ErrorCode::IllegalGeneration);
    let outcome = only(world.commit(member_commit(generation + 1, &ids[1], 6)));
    assert_eq!(outcome, ErrorCode::RebalanceInProgress);
    assert_eq!(world.committed(GROUP, "t", 0), 5);
}

#[test]
fn a_commit_is_a_sign_of_life() {
    let mut world = World::new();
    let (generation, ids) = world.stable_group(1);
    for offset in 0..4 {
        world.pass(9_999);
        let outcome = only(world.commit(member_commit(generation, &ids[0], offset)));
        assert_eq!(outcome, ErrorCode::None);
    }
    assert_eq!(world.heartbeat(generation, &ids[0]), ErrorCode::None);
}

#[test]
fn large_metadata_is_refused_for_its_partition_only() {
    let mut world = World::with(|config| config.offset_metadata_max_bytes = 4);
    let partition = |partition, metadata: Option<&str>| CommitPartition {
        partition,
        offset: 1,
        leader_epoch: 3,
        metadata: metadata.map(str::to_owned),
    };
    let mut request = simple_commit("s", "t", 0, 1);
    request.topics[0].partitions = vec![
        partition(0, Some("12345")),
        partition(1, Some("1234")),
        // As in Kafka, what counts is UTF-16 units.
        partition(2, Some("\u{e4}\u{f6}\u{fc}\u{df}")),
        partition(3, None),
    ];
    let outcome = world.commit(request).unwrap();
    let errors: Vec<ErrorCode> = outcome[0]
        .partitions
        .iter()
        .map(|(_, error)| *error)
        .collect();
    let too_large = ErrorCode::OffsetMetadataTooLarge;
    assert_eq!(
        errors,
        [too_large, ErrorCode::None, ErrorCode::None, ErrorCode::None]
    );

    let token = world.ask(Request::Fetch(FetchRequest {
        group_id: "s".into(),
        topics: None,
    }));
    let Reply::Fetch(reply) = world.reply(token) else {
        panic!("a fetch's reply")
    };
    let fetched = |partition, metadata: &str| FetchedOffset {
        partition,
        offset: 1,
        leader_epoch: 3,
        metadata: metadata.into(),
    };
    assert_eq!(
        reply.topics[0].partitions,
        [
            fetched(1, "1234"),
            fetched(2, "\u{e4}\u{f6}\u{fc}\u{df}"),
            fetched(3, "")
        ]
    );
}

#[test]
fn offsets_of_another_topic_of_the_same_name_are_not_given_out() {
    let mut world = World::new();
    let mut request = simple_commit("s", "t", 0, 9);
    request.topics[0].topic_id = Uuid::from_u128(1);
    world.must_commit(request);
    for (id, offset) in [(0, 9), (1, 9), (2, -1)] {
        let topic = FetchTopic {
            name: "t".into(),
            topic_id: Uuid::from_u128(id),
            partitions: vec![0],
        };
        let request = FetchRequest {
            group_id: "s".into(),
            topics: Some(vec![topic]),
        };
        let token = world.ask(Request::Fetch(request));
        let Reply::Fetch(reply) = world.reply(token) else {
            panic!("a fetch's reply")
        };
        assert_eq!(
            reply.topics[0].partitions[0].offset, offset,
            "topic id {id}"
        );
        assert_eq!(reply.topics[0].topic_id, Uuid::from_u128(id));
    }
}

#[test]
fn an_unknown_group_has_committed_nothing() {
    let mut world = World::new();
    assert_eq!(world.committed("nobody", "t", 0), -1);
    let token = world.ask(Request::Fetch(FetchRequest {
        group_id: "x".into(),
        topics: None,
    }));
    let Reply::Fetch(reply) = world.reply(token) else {
        panic!("a fetch's reply")
    };
    assert_eq!((reply.error, reply.topics), (ErrorCode::None, Vec::new()));
}

#[test]
fn a_commit_that_cannot_be_written_is_taken_back() {
    let mut world = World::new();
    world.must_commit(simple_commit("s", "t", 0, 1));
    world.ask_with(Request::Commit(simple_commit("s", "t", 0, 2)), false);
    world.ask_with(Request::Commit(simple_commit("new", "t", 0, 2)), false);
    assert_eq!(world.committed("s", "t", 0), 1);
    assert_eq!(world.describe("new").state, GroupState::Dead);
}

#[test]
fn an_offset_that_was_committed_twice_in_a_request_is_taken_back_whole() {
    let mut world = World::new();
    world.must_commit(simple_commit("s", "t", 0, 1));
    let mut request = simple_commit("s", "t", 0, 2);
    let twice = request.topics[0].partitions[0].clone();
    request.topics[0]
        .partitions
        .push(CommitPartition { offset: 3, ..twice });
    world.ask_with(Request::Commit(request), false);
    assert_eq!(world.committed("s", "t", 0), 1);
}

#[test]
fn taking_back_spares_what_was_committed_later() {
    let mut world = World::new();
    world.must_commit(simple_commit("s", "t", 0, 1));
    let mut commit = |token, offset| {
        let request = Request::Commit(simple_commit("s", "t", 0, offset));
        world
            .shard
            .handle(Token(token), request, world.now)
            .append
            .unwrap()
            .0
    };
    let (second, third, fourth) = (commit(900, 2), commit(901, 3), commit(902, 4));
    for (append, written, seen) in [(second, false, 4), (third, true, 4), (fourth, false, 3)] {
        assert_eq!(
            world.shard.appended(append, written),
            AfterAppend::Consistent
        );
        assert_eq!(world.committed("s", "t", 0), seen);
    }
}

#[test]
fn offsets_of_a_group_without_members_expire_together() {
    let mut world = World::new();
    let (generation, ids) = world.stable_group(1);
    assert_eq!(
        only(world.commit(member_commit(generation, &ids[0], 5))),
        ErrorCode::None
    );
    for _ in 0..(8 * DAY_MS / 9_000) {
        world.pass(9_000);
        assert_eq!(world.heartbeat(generation, &ids[0]), ErrorCode::None);
    }
    assert_eq!(world.committed(GROUP, "t", 0), 5, "it is read by a member");
    world.leave(&ids[0]);
    world.pass(7 * DAY_MS - 1);
    assert_eq!(world.committed(GROUP, "t", 0), 5);
    world.pass(600_001);
    assert_eq!(world.committed(GROUP, "t", 0), -1);
    assert_eq!(
        world.state(),
        GroupState::Dead,
        "a group without anything is no more"
    );
    assert_eq!(world.restarted().shard.groups().count(), 0);
}

#[test]
fn offsets_outside_a_membership_expire_one_by_one() {
    let mut world = World::new();
    world.must_commit(simple_commit("s", "t", 0, 1));
    world.pass(4 * DAY_MS);
    world.must_commit(simple_commit("s", "t", 1, 1));
    world.pass(3 * DAY_MS + 600_000);
    assert_eq!(
        (world.committed("s", "t", 0), world.committed("s", "t", 1)),
        (-1, 1)
    );
    world.pass(4 * DAY_MS);
    assert_eq!(world.describe("s").state, GroupState::Dead);
}

#[test]
fn a_stable_group_loses_the_offsets_of_topics_that_it_no_longer_reads() {
    let mut world = World::new();
    world.must_commit(simple_commit(GROUP, "old", 0, 1));
    world.must_commit(simple_commit(GROUP, "t", 0, 1));
    let (generation, ids) = world.stable_group(1);
    for _ in 0..(8 * DAY_MS / 9_000) {
        world.pass(9_000);
        assert_eq!(world.heartbeat(generation, &ids[0]), ErrorCode::None);
    }
    assert_eq!(
        (
            world.committed(GROUP, "old", 0),
            world.committed(GROUP, "t", 0)
        ),
        (-1, 1)
    );
}

#[test]
fn a_retention_time_of_the_client_counts_from_the_commit() {
    let mut world = World::new();
    let request = CommitRequest {
        retention_time_ms: 1_000_000,
        api_version: 3,
        ..simple_commit("s", "t", 0, 1)
    };
    world.must_commit(request);
    let mut world = world.restarted();
    world.pass(600_000);
    assert_eq!(world.committed("s", "t", 0), 1);
    world.pass(600_000);
    assert_eq!(world.committed("s", "t", 0), -1);
}

#[test]
fn a_pass_of_the_expiry_is_bounded_and_the_next_one_follows_at_once() {
    let mut world = World::new();
    let mut request = simple_commit("s", "t", 0, 1);
    let one = request.topics[0].partitions[0].clone();
    let many = 0..2_500;
    request.topics[0].partitions = many
        .map(|partition| CommitPartition {
            partition,
            ..one.clone()
        })
        .collect();
    world.must_commit(request);
    let before = world.log.len();
    world.pass(7 * DAY_MS);
    assert_eq!(world.log.len() - before, config::MAX_EXPIRED_PER_PASS);
    world.pass(2);
    assert_eq!(world.log.len() - before, 2_500);
    assert_eq!(world.describe("s").state, GroupState::Dead);
}

#[test]
fn groups_without_anything_are_removed_in_bounded_passes_too() {
    let empty = |n: usize| {
        let mut group = group::Group::new(format!("group-{n}").into(), 0);
        group.protocol_type = Some("consumer".into());
        Record {
            key: records::group_metadata::GroupMetadataKey::encode(&group.id),
            value: Some(group.to_record().encode()),
        }
    };
    let log: Vec<Record> = (0..1_500).map(empty).collect();
    let now = Now {
        wall_ms: 0,
        monotonic_ms: 0,
    };
    let mut world = World::replayed(GroupConfig::default(), log, now);
    world.pass(600_000);
    assert_eq!(world.log.len(), 1_500 + config::MAX_EXPIRED_PER_PASS);
    world.pass(1);
    assert_eq!(world.shard.groups().count(), 0);
    assert_eq!(world.restarted().shard.groups().count(), 0);
}

fn delete(world: &mut World, group: &str, topic: &str) -> ErrorCode {
    let request = OffsetDeleteRequest {
        group_id: group.into(),
        topics: vec![(topic.into(), vec![0])],
    };
    let token = world.ask(Request::OffsetDelete(request));
    let Reply::OffsetDelete(outcome) = world.reply(token) else {
        panic!("a deletion's reply")
    };
    only(outcome)
}

#[test]
fn offsets_are_deleted_unless_members_read_the_topic() {
    let mut world = World::new();
    assert_eq!(delete(&mut world, "", "t"), ErrorCode::InvalidGroupId);
    assert_eq!(delete(&mut world, GROUP, "t"), ErrorCode::GroupIdNotFound);
    world.must_commit(simple_commit(GROUP, "t", 0, 1));
    world.must_commit(simple_commit(GROUP, "old", 0, 1));
    let (_, ids) = world.stable_group(1);
    assert_eq!(
        delete(&mut world, GROUP, "t"),
        ErrorCode::GroupSubscribedToTopic
    );
    assert_eq!(delete(&mut world, GROUP, "old"), ErrorCode::None);
    assert_eq!(delete(&mut world, GROUP, "never"), ErrorCode::None);
    assert_eq!(
        (
            world.committed(GROUP, "old", 0),
            world.committed(GROUP, "t", 0)
        ),
        (-1, 1)
    );
    world.leave(&ids[0]);
    assert_eq!(delete(&mut world, GROUP, "t"), ErrorCode::None);
    assert_eq!(world.restarted().committed(GROUP, "t", 0), -1);
}

#[test]
fn what_groups_of_other_types_read_is_not_known() {
    let mut world = World::new();
    world.must_commit(simple_commit(GROUP, "t", 0, 1));
    let token = world.join(JoinRequest {
        api_version: 0,
        protocol_type: "connect".into(),
        ..consumer("")
    });
    assert_eq!(delete(&mut world, GROUP, "t"), ErrorCode::NonEmptyGroup);
    assert!(world.is_parked(token));
}

#[test]
fn a_deleted_topic_takes_its_offsets_along() {
    let mut world = World::new();
    let with_id = |group: &str, partition, id| {
        let mut request = simple_commit(group, "t", partition, 1);
        request.topics[0].topic_id = Uuid::from_u128(id);
        request
    };
    world.must_commit(with_id("a", 0, 1));
    world.must_commit(with_id("a", 1, 2));
    world.must_commit(with_id("b", 0, 0));
    world.must_commit(simple_commit("b", "u", 0, 1));
    let token = world.ask(Request::TopicsDeleted(vec![(
        "t".into(),
        Uuid::from_u128(1),
    )]));
    assert_eq!(world.reply(token), Reply::TopicsDeleted);
    let mut world = world.restarted();
    assert_eq!(
        (world.committed("a", "t", 0), world.committed("a", "t", 1)),
        (-1, 1)
    );
    assert_eq!(
        (world.committed("b", "t", 0), world.committed("b", "u", 0)),
        (-1, 1)
    );
}
