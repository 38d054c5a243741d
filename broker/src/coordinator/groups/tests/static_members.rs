//! Static members (KIP-345): they come back without a rebalance, and two cannot be one.

use super::*;

fn fixed(instance: &str, api_version: i16) -> JoinRequest {
    JoinRequest {
        group_instance_id: Some(instance.into()),
        api_version,
        ..consumer("")
    }
}

/// A stable group of the static members i1, who leads, and i2; with their member ids.
fn stable() -> (World, i32, String, String) {
    let mut world = World::new();
    let first = world.join(fixed("i1", 9));
    let second = world.join(fixed("i2", 9));
    world.pass(6_000);
    let (first, second) = (world.joined(first), world.joined(second));
    assert_eq!(first.leader, first.member_id);
    assert_eq!(first.members[0].group_instance_id.as_deref(), Some("i1"));
    let generation = first.generation_id;
    world.sync_all(
        generation,
        &[first.member_id.clone(), second.member_id.clone()],
    );
    (world, generation, first.member_id, second.member_id)
}

fn heartbeat(world: &mut World, generation_id: i32, id: &str, instance: &str) -> ErrorCode {
    let token = world.ask(Request::Heartbeat(HeartbeatRequest {
        group_id: GROUP.into(),
        generation_id,
        member_id: id.into(),
        group_instance_id: Some(instance.into()),
    }));
    let Reply::Heartbeat(error) = world.reply(token) else {
        panic!("a heartbeat's reply")
    };
    error
}

#[test]
fn a_static_member_needs_no_second_join() {
    let mut world = World::new();
    let token = world.join(fixed("i1", 9));
    assert!(world.is_parked(token));
    world.pass(3_000);
    let reply = world.joined(token);
    assert!(reply.member_id.starts_with("i1-"), "{}", reply.member_id);
}

#[test]
fn a_follower_comes_back_with_its_assignment_and_nobody_notices() {
    let (mut world, generation, leader, old) = stable();
    let reply = world.join_now(fixed("i2", 9));
    assert_eq!(
        (reply.error, reply.generation_id),
        (ErrorCode::None, generation)
    );
    assert_ne!(reply.member_id, old);
    assert!(!reply.skip_assignment);
    assert_eq!(world.state(), GroupState::Stable);
    assert_eq!(
        heartbeat(&mut world, generation, &leader, "i1"),
        ErrorCode::None
    );
    let token = world.sync(generation, &reply.member_id, &[]);
    assert_eq!(
        world.synced(token).assignment,
        old,
        "what its former self was assigned"
    );

    // The former self is fenced off by its instance id, and unknown without it.
    assert_eq!(
        heartbeat(&mut world, generation, &old, "i2"),
        ErrorCode::FencedInstanceId
    );
    assert_eq!(
        world.heartbeat(generation, &old),
        ErrorCode::UnknownMemberId
    );
    let commit = CommitRequest {
        generation_id: generation,
        member_id: old.clone(),
        group_instance_id: Some("i2".into()),
        ..simple_commit(GROUP, "t", 0, 1)
    };
    assert_eq!(only(world.commit(commit)), ErrorCode::FencedInstanceId);
    let rejoin = JoinRequest {
        member_id: old,
        ..fixed("i2", 9)
    };
    assert_eq!(world.join_now(rejoin).error, ErrorCode::FencedInstanceId);
}

#[test]
fn the_takeover_is_stored() {
    let (mut world, generation, ..) = stable();
    let reply = world.join_now(fixed("i2", 9));
    let mut world = world.restarted();
    assert_eq!(
        heartbeat(&mut world, generation, &reply.member_id, "i2"),
        ErrorCode::None
    );
}

#[test]
fn a_leader_that_comes_back_skips_assigning_if_it_can() {
    let (mut world, generation, old, follower) = stable();
    let reply = world.join_now(fixed("i1", 9));
    assert!(reply.skip_assignment);
    assert_eq!((&reply.leader, reply.members.len()), (&reply.member_id, 2));
    assert_eq!(world.state(), GroupState::Stable);
    let token = world.sync(generation, &reply.member_id, &[]);
    assert_eq!(world.synced(token).assignment, old);

    // An older client must not see that it leads, or it would assign.
    let older = world.join_now(fixed("i1", 8));
    assert!(!older.skip_assignment);
    assert_eq!((&older.leader, older.members.len()), (&reply.member_id, 0));
    assert_ne!(older.member_id, reply.member_id);

    // It does lead, though: when it joins again there is a rebalance.
    let again = JoinRequest {
        member_id: older.member_id,
        ..fixed("i1", 8)
    };
    world.join(again);
    assert_eq!(
        world.heartbeat(generation, &follower),
        ErrorCode::RebalanceInProgress
    );
}

#[test]
fn a_changed_subscription_needs_no_rebalance_but_a_changed_protocol_does() {
    let (mut world, generation, ..) = stable();
    let protocols = vec![protocol("range", &["t", "u"]), protocol("sticky", &["t"])];
    let reply = world.join_now(JoinRequest {
        protocols,
        ..fixed("i2", 9)
    });
    assert_eq!(
        (reply.error, reply.generation_id),
        (ErrorCode::None, generation)
    );

    let mut world = World::new();
    let both = || vec![protocol("range", &["t"]), protocol("sticky", &["t"])];
    let token = world.join(JoinRequest {
        protocols: both(),
        ..fixed("i1", 9)
    });
    world.pass(3_000);
    let id = world.joined(token).member_id;
    world.sync_all(1, &[id]);
    let only_sticky = vec![protocol("sticky", &["t"])];
    let refused = world.join_now(JoinRequest {
        protocols: vec![protocol("other", &["t"])],
        ..fixed("i1", 9)
    });
    assert_eq!(refused.error, ErrorCode::InconsistentGroupProtocol);
    let token = world.join(JoinRequest {
        protocols: only_sticky,
        ..fixed("i1", 9)
    });
    let reply = world.joined(token);
    assert_eq!(
        (reply.generation_id, reply.protocol_name.as_deref()),
        (2, Some("sticky"))
    );
}

#[test]
fn a_takeover_while_the_leader_assigns_starts_over() {
    let mut world = World::new();
    let first = world.join(fixed("i1", 9));
    let second = world.join(fixed("i2", 9));
    world.pass(6_000);
    let (first, second) = (
        world.joined(first).member_id,
        world.joined(second).member_id,
    );
    let waiting = world.sync(1, &second, &[]);
    let token = world.join(fixed("i2", 9));
    assert_eq!(world.synced(waiting).error, ErrorCode::FencedInstanceId);
    assert!(world.is_parked(token));
    let leader = JoinRequest {
        member_id: first,
        ..fixed("i1", 9)
    };
    world.join(leader);
    assert_eq!(world.joined(token).generation_id, 2);
}

#[test]
fn a_takeover_of_a_waiting_join_fences_it() {
    let mut world = World::new();
    let first = world.join(fixed("i1", 9));
    let second = world.join(fixed("i1", 9));
    assert_eq!(world.joined(first).error, ErrorCode::FencedInstanceId);
    world.pass(3_000);
    assert_eq!(world.joined(second).members.len(), 1);
}

#[test]
fn a_rebalance_keeps_an_absent_static_member_until_its_session_ends() {
    let (mut world, generation, leader, absent) = stable();
    world.pass(5_000);
    assert_eq!(
        heartbeat(&mut world, generation, &leader, "i1"),
        ErrorCode::None
    );
    let rejoin = JoinRequest {
        member_id: leader,
        rebalance_timeout_ms: 1_000,
        ..fixed("i1", 9)
    };
    let token = world.join(rejoin);
    assert!(world.is_parked(token));
    world.pass(5_000);
    let reply = world.joined(token);
    assert_eq!(
        (reply.generation_id, reply.members.len()),
        (generation + 1, 1)
    );
    assert_eq!(
        heartbeat(&mut world, generation, &absent, "i2"),
        ErrorCode::UnknownMemberId
    );
}

#[test]
fn a_static_member_that_lives_but_does_not_join_stays_in_the_generation() {
    let (mut world, generation, leader, late) = stable();
    let rejoin = JoinRequest {
        member_id: leader,
        ..fixed("i1", 9)
    };
    let token = world.join(rejoin);
    for _ in 0..6 {
        world.pass(9_999);
        let beat = heartbeat(&mut world, generation, &late, "i2");
        assert_eq!(beat, ErrorCode::RebalanceInProgress);
    }
    world.pass(6);
    assert_eq!(world.joined(token).members.len(), 2);
}

#[test]
fn a_static_member_comes_back_to_a_full_group() {
    let (world, ..) = stable();
    let config = GroupConfig {
        max_group_size: 2,
        ..world.config.clone()
    };
    let mut world = World::replayed(config, world.log.clone(), world.now);
    assert_eq!(world.join_now(fixed("i2", 9)).error, ErrorCode::None);
    assert_eq!(
        world.join_now(fixed("i3", 9)).error,
        ErrorCode::GroupMaxSizeReached
    );
}

#[test]
fn a_takeover_that_cannot_be_stored_starts_a_rebalance() {
    let (world, ..) = stable();
    let config = GroupConfig {
        max_group_record_bytes: 5_000,
        ..world.config.clone()
    };
    let mut world = World::replayed(config, world.log.clone(), world.now);
    let before = world.log.len();
    let large = "t".repeat(5_000);
    let protocols = vec![protocol("range", &[&large])];
    let token = world.join(JoinRequest {
        protocols,
        ..fixed("i2", 9)
    });
    assert!(world.is_parked(token));
    assert_eq!(world.state(), GroupState::PreparingRebalance);
    assert_eq!(world.log.len(), before);
}
