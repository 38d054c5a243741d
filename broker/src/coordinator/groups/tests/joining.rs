//! Who may join, when a join is answered, and with what.

use super::*;

fn check_refused(change: impl FnOnce(&mut JoinRequest), error: ErrorCode) {
    let mut world = World::new();
    let mut request = consumer("");
    change(&mut request);
    let reply = world.join_now(request);
    assert_eq!((reply.error, reply.generation_id), (error, -1));
    assert_eq!(
        world.shard.groups().count(),
        0,
        "a refused join leaves no group behind"
    );
}

#[test]
fn requests_that_no_group_takes_are_refused() {
    check_refused(|r| r.group_id.clear(), ErrorCode::InvalidGroupId);
    check_refused(
        |r| r.group_id = "g".repeat(20_000),
        ErrorCode::InvalidGroupId,
    );
    check_refused(
        |r| r.session_timeout_ms = 5_999,
        ErrorCode::InvalidSessionTimeout,
    );
    check_refused(
        |r| r.session_timeout_ms = 1_800_001,
        ErrorCode::InvalidSessionTimeout,
    );
    check_refused(
        |r| r.member_id = "nobody".into(),
        ErrorCode::UnknownMemberId,
    );
    check_refused(
        |r| r.protocols.clear(),
        ErrorCode::InconsistentGroupProtocol,
    );
    check_refused(
        |r| r.protocol_type.clear(),
        ErrorCode::InconsistentGroupProtocol,
    );
    check_refused(
        |r| r.client_id = "c".repeat(20_000),
        ErrorCode::InvalidRequest,
    );
    check_refused(
        |r| r.protocols[0].metadata = vec![0; 600_000].into(),
        ErrorCode::PolicyViolation,
    );
}

#[test]
fn a_new_dynamic_member_is_given_an_id_from_version_4_on() {
    let mut world = World::new();
    let reply = world.join_now(JoinRequest {
        api_version: 4,
        ..consumer("")
    });
    assert_eq!(reply.error, ErrorCode::MemberIdRequired);
    assert_eq!(reply.member_id, "c-00000000-0000-0000-0000-000000000001");

    let token = world.join(JoinRequest {
        api_version: 3,
        ..consumer("")
    });
    assert!(world.is_parked(token), "an older one joins at once");
}

#[test]
fn the_first_rebalance_waits_for_more_members() {
    let mut world = World::new();
    let (_, first) = world.join_dynamic("a");
    world.pass(2_999);
    assert!(world.is_parked(first));
    let (_, second) = world.join_dynamic("b");
    world.pass(1);
    assert!(
        world.is_parked(first),
        "the second member prolongs the delay"
    );
    world.pass(3_000);
    let (first, second) = (world.joined(first), world.joined(second));
    assert_eq!((first.generation_id, second.generation_id), (1, 1));
    assert_eq!(first.leader, first.member_id);
    assert_eq!(second.leader, first.member_id);
    assert_eq!(
        (first.members.len(), second.members.len()),
        (2, 0),
        "only the leader sees all"
    );
    assert_eq!(first.protocol_name.as_deref(), Some("range"));
    assert_eq!(first.protocol_type.as_deref(), Some("consumer"));
}

#[test]
fn the_initial_delay_ends_with_the_rebalance_timeout() {
    let mut world = World::with(|config| config.initial_rebalance_delay_ms = 3_000);
    let quick = || JoinRequest {
        api_version: 0,
        rebalance_timeout_ms: 7_000,
        ..consumer("")
    };
    let first = world.join(quick());
    for _ in 0..3 {
        world.pass(2_000);
        world.join(quick());
    }
    assert!(world.is_parked(first));
    world.pass(1_000);
    assert_eq!(world.joined(first).members.len(), 4);
}

#[test]
fn without_a_delay_the_first_member_is_alone() {
    let mut world = World::with(|config| config.initial_rebalance_delay_ms = 0);
    let (_, token) = world.join_dynamic("a");
    world.pass(0);
    assert_eq!(world.joined(token).members.len(), 1);
}

#[test]
fn a_member_of_another_protocol_is_refused() {
    let mut world = World::new();
    world.stable_group(1);
    for (protocol_type, name) in [("connect", "range"), ("consumer", "sticky")] {
        let reply = world.join_now(JoinRequest {
            protocol_type: protocol_type.into(),
            protocols: vec![protocol(name, &["t"])],
            ..consumer("")
        });
        assert_eq!(reply.error, ErrorCode::InconsistentGroupProtocol);
    }
}

#[test]
fn other_protocol_types_work_the_same() {
    let mut world = World::new();
    let request = JoinRequest {
        protocol_type: "connect".into(),
        protocols: vec![Protocol {
            name: "sessioned".into(),
            metadata: Bytes::from_static(b"x"),
        }],
        ..consumer("")
    };
    let given = world.join_now(request.clone());
    let token = world.join(JoinRequest {
        member_id: given.member_id.clone(),
        ..request
    });
    world.pass(3_000);
    let reply = world.joined(token);
    assert_eq!(reply.protocol_type.as_deref(), Some("connect"));
    world.sync_all(1, &[given.member_id]);
}

#[test]
fn the_protocol_with_most_votes_among_the_common_ones_wins() {
    let mut world = World::new();
    let mut join = |names: &[&str]| {
        let protocols = names.iter().map(|name| protocol(name, &["t"])).collect();
        world.join(JoinRequest {
            api_version: 0,
            protocols,
            ..consumer("")
        })
    };
    let tokens = [
        join(&["only-mine", "a", "b"]),
        join(&["b", "a"]),
        join(&["b", "a", "b"]),
    ];
    world.pass(6_000);
    for token in tokens {
        assert_eq!(world.joined(token).protocol_name.as_deref(), Some("b"));
    }
}

#[test]
fn a_member_that_repeats_its_join_is_told_to_wait_only_once() {
    let mut world = World::new();
    let (id, first) = world.join_dynamic("a");
    let second = world.join(consumer(&id));
    assert_eq!(world.joined(first).error, ErrorCode::RebalanceInProgress);
    world.pass(3_000);
    assert_eq!(world.joined(second).error, ErrorCode::None);
}

#[test]
fn a_lost_join_reply_is_given_again_while_the_leader_assigns() {
    let mut world = World::new();
    let (leader, first) = world.join_dynamic("a");
    let (follower, _) = world.join_dynamic("b");
    world.pass(6_000);
    let original = world.joined(first);
    assert_eq!(world.join_now(consumer(&leader)), original);
    let again = world.join_now(consumer(&follower));
    assert_eq!((again.generation_id, again.members.len()), (1, 0));
}

#[test]
fn a_change_of_metadata_while_the_leader_assigns_starts_over() {
    let mut world = World::new();
    let (leader, _) = world.join_dynamic("a");
    let (follower, _) = world.join_dynamic("b");
    world.pass(6_000);
    let waiting = world.sync(1, &follower, &[]);
    let changed = vec![protocol("range", &["t", "u"])];
    let token = world.join(JoinRequest {
        protocols: changed,
        ..consumer(&leader)
    });
    assert_eq!(world.synced(waiting).error, ErrorCode::RebalanceInProgress);
    assert!(world.is_parked(token));
    assert_eq!(
        world.heartbeat(1, &follower),
        ErrorCode::RebalanceInProgress
    );
    world.join(consumer(&follower));
    assert_eq!(world.joined(token).generation_id, 2);
}

#[test]
fn in_a_stable_group_a_follower_changes_nothing_and_the_leader_starts_over() {
    let mut world = World::new();
    let (generation, ids) = world.stable_group(2);
    let same = world.join_now(consumer(&ids[1]));
    assert_eq!(
        (same.error, same.generation_id),
        (ErrorCode::None, generation)
    );
    assert_eq!(world.state(), GroupState::Stable);

    let leader = world.join(consumer(&ids[0]));
    assert_eq!(world.state(), GroupState::PreparingRebalance);
    assert_eq!(
        world.heartbeat(generation, &ids[1]),
        ErrorCode::RebalanceInProgress
    );
    let follower = world.join(consumer(&ids[1]));
    assert_eq!(world.joined(leader).generation_id, generation + 1);
    assert_eq!(world.joined(follower).generation_id, generation + 1);
}

#[test]
fn a_follower_that_changes_its_subscription_starts_over() {
    let mut world = World::new();
    let (generation, ids) = world.stable_group(2);
    let changed = vec![protocol("range", &["u"])];
    world.join(JoinRequest {
        protocols: changed.clone(),
        ..consumer(&ids[1])
    });
    let leader = world.join(consumer(&ids[0]));
    let seen = world.joined(leader);
    assert_eq!(seen.generation_id, generation + 1);
    let follower = seen
        .members
        .iter()
        .find(|member| member.member_id == ids[1])
        .unwrap();
    assert_eq!(follower.metadata, changed[0].metadata);
}

#[test]
fn a_second_consumer_that_joins_while_the_leader_assigns_gets_in() {
    let mut world = World::new();
    let (leader, first) = world.join_dynamic("a");
    world.pass(3_000);
    assert_eq!(world.joined(first).generation_id, 1);
    let (second, parked) = world.join_dynamic("b");
    assert_eq!(world.state(), GroupState::PreparingRebalance);

    // The leader does not know yet, and its assignment comes too late.
    let token = world.sync(1, &leader, &[(&leader, "all")]);
    assert_eq!(world.synced(token).error, ErrorCode::RebalanceInProgress);
    let again = world.join(consumer(&leader));
    let (again, parked) = (world.joined(again), world.joined(parked));
    assert_eq!((again.generation_id, again.members.len()), (2, 2));
    assert_eq!(parked.generation_id, 2);
    world.sync_all(2, &[leader, second]);
}

#[test]
fn who_does_not_join_again_in_time_is_out_and_learns_it() {
    let mut world = World::new();
    let (generation, ids) = world.stable_group(2);
    let leader = world.join(consumer(&ids[0]));
    for _ in 0..6 {
        world.pass(9_999);
        assert_eq!(
            world.heartbeat(generation, &ids[1]),
            ErrorCode::RebalanceInProgress
        );
    }
    assert!(world.is_parked(leader));
    world.pass(6);
    assert_eq!(world.joined(leader).members.len(), 1);
    assert_eq!(
        world.heartbeat(generation, &ids[1]),
        ErrorCode::UnknownMemberId
    );
    assert_eq!(
        world.join_now(consumer(&ids[1])).error,
        ErrorCode::UnknownMemberId
    );
}

#[test]
fn another_one_leads_if_the_leader_does_not_join_again() {
    let mut world = World::new();
    let (generation, ids) = world.stable_group(2);
    let changed = vec![protocol("range", &["t", "u"])];
    let follower = world.join(JoinRequest {
        protocols: changed,
        ..consumer(&ids[1])
    });
    world.pass(60_000);
    let reply = world.joined(follower);
    assert_eq!(
        (reply.generation_id, &reply.leader),
        (generation + 1, &ids[1])
    );
}

#[test]
fn a_pending_member_holds_the_rebalance_up_until_its_session_ends() {
    let mut world = World::new();
    let (_, ids) = world.stable_group(1);
    let given = world.join_now(consumer(""));
    let leader = world.join(consumer(&ids[0]));
    assert!(world.is_parked(leader), "one more was given an id");
    world.pass(9_999);
    assert!(world.is_parked(leader));
    world.pass(1);
    assert_eq!(world.joined(leader).members.len(), 1);
    assert_eq!(
        world.join_now(consumer(&given.member_id)).error,
        ErrorCode::UnknownMemberId
    );
}

#[test]
fn a_group_of_which_only_an_id_was_given_out_is_forgotten() {
    let mut world = World::new();
    world.join_now(consumer(""));
    assert_eq!(world.state(), GroupState::Empty);
    world.pass(10_000);
    assert_eq!(world.state(), GroupState::Dead);
    assert!(world.log.is_empty());
}

#[test]
fn a_new_member_that_went_away_does_not_wait_for_ever() {
    let mut world = World::with(|config| config.max_session_timeout_ms = 3_600_000);
    let patient = || JoinRequest {
        api_version: 0,
        session_timeout_ms: 3_600_000,
        rebalance_timeout_ms: 3_600_000,
        ..consumer("")
    };
    let old = world.join(patient());
    world.pass(60_000);
    let old = world.joined(old).member_id;
    world.sync_all(1, &[old]);
    let new = world.join(patient());
    world.pass(5 * 60 * 1000);
    assert_eq!(world.joined(new).error, ErrorCode::UnknownMemberId);
}

#[test]
fn a_full_group_takes_nobody_more() {
    let mut world = World::with(|config| config.max_group_size = 2);
    let mut joins: Vec<Token> = Vec::new();
    for _ in 0..2 {
        joins.push(world.join(JoinRequest {
            api_version: 0,
            ..consumer("")
        }));
    }
    let third = world.join_now(JoinRequest {
        api_version: 0,
        ..consumer("")
    });
    assert_eq!(third.error, ErrorCode::GroupMaxSizeReached);
    world.pass(6_000);
    let leader = world.joined(joins[0]);
    assert_eq!(leader.members.len(), 2);
    let late = world.join_now(consumer(""));
    assert_eq!(late.error, ErrorCode::GroupMaxSizeReached);
    assert_eq!(
        world.join_now(consumer(&leader.member_id)).error,
        ErrorCode::None
    );
}

#[test]
fn groups_and_pending_members_are_bounded() {
    let mut world = World::with(|config| {
        config.max_groups_per_shard = 2;
        config.max_pending_members = 2;
    });
    for _ in 0..2 {
        assert_eq!(
            world.join_now(consumer("")).error,
            ErrorCode::MemberIdRequired
        );
    }
    assert_eq!(
        world.join_now(consumer("")).error,
        ErrorCode::GroupMaxSizeReached
    );
    assert_eq!(
        only(world.commit(simple_commit("h", "t", 0, 1))),
        ErrorCode::None
    );
    assert_eq!(
        only(world.commit(simple_commit("i", "t", 0, 1))),
        ErrorCode::PolicyViolation
    );
    let other = JoinRequest {
        group_id: "i".into(),
        ..consumer("")
    };
    assert_eq!(world.join_now(other).error, ErrorCode::PolicyViolation);
}

#[test]
fn a_negative_rebalance_timeout_is_the_session_timeout() {
    let mut world = World::with(|config| config.initial_rebalance_delay_ms = 0);
    let old = || JoinRequest {
        api_version: 0,
        rebalance_timeout_ms: -1,
        ..consumer("")
    };
    let first = world.join(old());
    world.pass(0);
    let first = world.joined(first).member_id;
    world.sync_all(1, std::slice::from_ref(&first));
    let second = world.join(old());
    world.pass(9_000);
    assert_eq!(world.heartbeat(1, &first), ErrorCode::RebalanceInProgress);
    world.pass(1_000);
    assert_eq!(world.joined(second).members.len(), 1);
}
