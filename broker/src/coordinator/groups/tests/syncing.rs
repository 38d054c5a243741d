//! Who gets which assignment when, and what keeps a member in the group.

use super::*;

fn check_sync_refused(change: impl FnOnce(&mut SyncRequest), error: ErrorCode) {
    let mut world = World::new();
    let (generation_id, ids) = world.stable_group(1);
    let mut request = SyncRequest {
        group_id: GROUP.into(),
        generation_id,
        member_id: ids[0].clone(),
        group_instance_id: None,
        protocol_type: Some("consumer".into()),
        protocol_name: Some("range".into()),
        assignments: Vec::new(),
    };
    change(&mut request);
    let token = world.ask(Request::Sync(request));
    assert_eq!(world.synced(token).error, error);
}

#[test]
fn a_sync_must_be_of_this_group_generation_and_protocol() {
    check_sync_refused(|_| {}, ErrorCode::None);
    check_sync_refused(|r| r.group_id.clear(), ErrorCode::InvalidGroupId);
    check_sync_refused(|r| r.group_id = "other".into(), ErrorCode::UnknownMemberId);
    check_sync_refused(
        |r| r.member_id = "nobody".into(),
        ErrorCode::UnknownMemberId,
    );
    check_sync_refused(|r| r.generation_id -= 1, ErrorCode::IllegalGeneration);
    check_sync_refused(|r| r.generation_id += 1, ErrorCode::IllegalGeneration);
    check_sync_refused(
        |r| r.protocol_type = Some("connect".into()),
        ErrorCode::InconsistentGroupProtocol,
    );
    check_sync_refused(
        |r| r.protocol_name = Some("sticky".into()),
        ErrorCode::InconsistentGroupProtocol,
    );
    check_sync_refused(|r| r.protocol_name = None, ErrorCode::None);
    check_sync_refused(
        |r| r.group_instance_id = Some("nobody".into()),
        ErrorCode::UnknownMemberId,
    );
}

#[test]
fn followers_wait_for_the_leader_and_get_their_part() {
    let mut world = World::new();
    let (leader, _) = world.join_dynamic("a");
    let (follower, _) = world.join_dynamic("b");
    let (forgotten, _) = world.join_dynamic("c");
    world.pass(6_000);
    let waiting = world.sync(1, &follower, &[]);
    assert!(world.is_parked(waiting));
    assert_eq!(world.heartbeat(1, &follower), ErrorCode::None);
    let done = world.sync(
        1,
        &leader,
        &[(&leader, "1"), (&follower, "2"), ("nobody", "3")],
    );
    assert_eq!(world.synced(done).assignment, "1");
    let reply = world.synced(waiting);
    assert_eq!(reply.assignment, "2");
    assert_eq!(reply.protocol_name.as_deref(), Some("range"));
    assert_eq!(reply.protocol_type.as_deref(), Some("consumer"));
    let late = world.sync(1, &forgotten, &[]);
    assert_eq!(
        world.synced(late).assignment,
        "",
        "the leader gave it nothing"
    );
}

#[test]
fn a_repeated_sync_is_answered_once() {
    let mut world = World::new();
    let (leader, _) = world.join_dynamic("a");
    let (follower, _) = world.join_dynamic("b");
    world.pass(6_000);
    let first = world.sync(1, &follower, &[]);
    let second = world.sync(1, &follower, &[]);
    assert_eq!(world.synced(first).error, ErrorCode::RebalanceInProgress);
    world.sync(1, &leader, &[(&follower, "2")]);
    assert_eq!(world.synced(second).assignment, "2");
}

#[test]
fn assignments_are_stored_before_anybody_gets_them() {
    let mut world = World::new();
    let (leader, _) = world.join_dynamic("a");
    world.pass(3_000);
    let request = SyncRequest {
        group_id: GROUP.into(),
        generation_id: 1,
        member_id: leader.clone(),
        group_instance_id: None,
        protocol_type: None,
        protocol_name: None,
        assignments: vec![(leader.clone(), Bytes::from_static(b"1"))],
    };
    let step = world
        .shard
        .handle(Token(900), Request::Sync(request), world.now);
    assert!(step.append.is_some());
    assert!(step.replies.is_empty());
    assert_eq!(step.held.len(), 1);
    // Whoever asks again gets the same, but not before it is durable either.
    let again = SyncRequest {
        group_id: GROUP.into(),
        generation_id: 1,
        member_id: leader,
        group_instance_id: None,
        protocol_type: None,
        protocol_name: None,
        assignments: Vec::new(),
    };
    let step = world
        .shard
        .handle(Token(901), Request::Sync(again), world.now);
    assert!(step.append.is_none() && step.replies.is_empty());
    assert_eq!(step.held.len(), 1);
    let (id, _) = (super::super::super::shard::AppendId(0), ());
    assert_eq!(world.shard.appended(id, false), AfterAppend::Reload);
}

#[test]
fn who_does_not_sync_in_time_is_out() {
    let mut world = World::new();
    let (leader, _) = world.join_dynamic("a");
    let (follower, _) = world.join_dynamic("b");
    world.pass(6_000);
    let waiting = world.sync(1, &follower, &[]);
    // The leader lives, but never hands in an assignment.
    for _ in 0..5 {
        world.pass(9_999);
        assert_eq!(world.heartbeat(1, &leader), ErrorCode::None);
    }
    assert!(world.is_parked(waiting));
    world.pass(10_005);
    assert_eq!(world.synced(waiting).error, ErrorCode::RebalanceInProgress);
    assert_eq!(world.heartbeat(1, &leader), ErrorCode::UnknownMemberId);
    let alone = world.join(consumer(&follower));
    let reply = world.joined(alone);
    assert_eq!((reply.generation_id, reply.leader), (2, follower));
}

#[test]
fn a_follower_that_never_syncs_is_removed_from_a_stable_group() {
    let mut world = World::new();
    let (leader, _) = world.join_dynamic("a");
    let (follower, _) = world.join_dynamic("b");
    world.pass(6_000);
    world.sync(1, &leader, &[(&leader, "1"), (&follower, "2")]);
    for _ in 0..6 {
        world.pass(9_999);
        assert_eq!(world.heartbeat(1, &leader), ErrorCode::None);
        assert_eq!(world.heartbeat(1, &follower), ErrorCode::None);
    }
    world.pass(6);
    assert_eq!(world.heartbeat(1, &follower), ErrorCode::UnknownMemberId);
    assert_eq!(world.heartbeat(1, &leader), ErrorCode::RebalanceInProgress);
}

#[test]
fn a_member_that_fails_while_the_leader_assigns_starts_a_rebalance() {
    let mut world = World::new();
    let (leader, _) = world.join_dynamic("a");
    let (follower, _) = world.join_dynamic("b");
    world.pass(6_000);
    let waiting = world.sync(1, &follower, &[]);
    world.pass(10_000);
    assert_eq!(
        world.synced(waiting).error,
        ErrorCode::RebalanceInProgress,
        "the leader died"
    );
    assert_eq!(world.heartbeat(1, &leader), ErrorCode::UnknownMemberId);
    let token = world.join(consumer(&follower));
    assert_eq!(world.joined(token).generation_id, 2);
}

#[test]
fn a_waiting_follower_does_not_need_heartbeats() {
    let mut world = World::new();
    let (leader, _) = world.join_dynamic("a");
    let (follower, _) = world.join_dynamic("b");
    world.pass(6_000);
    let waiting = world.sync(1, &follower, &[]);
    for _ in 0..5 {
        world.pass(9_000);
        assert_eq!(world.heartbeat(1, &leader), ErrorCode::None);
    }
    world.sync(1, &leader, &[(&follower, "2")]);
    assert_eq!(world.synced(waiting).assignment, "2");
    world.pass(9_999);
    assert_eq!(
        world.heartbeat(1, &follower),
        ErrorCode::None,
        "its session began anew"
    );
}

#[test]
fn an_assignment_that_cannot_be_stored_is_refused() {
    let mut world = World::with(|config| config.max_group_record_bytes = 10_000);
    let (leader, _) = world.join_dynamic("a");
    world.pass(3_000);
    let token = world.sync(1, &leader, &[(&leader, &"x".repeat(10_000))]);
    assert_eq!(world.synced(token).error, ErrorCode::UnknownServerError);
    assert_eq!(world.state(), GroupState::PreparingRebalance);
    assert!(world.log.is_empty());
}

#[test]
fn heartbeats_keep_a_member_and_silence_removes_it() {
    let mut world = World::new();
    let (generation, ids) = world.stable_group(2);
    world.pass(9_999);
    assert_eq!(world.heartbeat(generation, &ids[0]), ErrorCode::None);
    world.pass(9_999);
    assert_eq!(
        world.heartbeat(generation, &ids[0]),
        ErrorCode::RebalanceInProgress
    );
    assert_eq!(
        world.heartbeat(generation, &ids[1]),
        ErrorCode::UnknownMemberId
    );
}

#[test]
fn heartbeats_are_checked() {
    let mut world = World::new();
    let (generation, ids) = world.stable_group(1);
    assert_eq!(
        world.heartbeat(generation + 1, &ids[0]),
        ErrorCode::IllegalGeneration
    );
    assert_eq!(
        world.heartbeat(generation, "nobody"),
        ErrorCode::UnknownMemberId
    );
    for (group_id, error) in [
        ("", ErrorCode::InvalidGroupId),
        ("h", ErrorCode::UnknownMemberId),
    ] {
        let token = world.ask(Request::Heartbeat(HeartbeatRequest {
            group_id: group_id.into(),
            generation_id: 0,
            member_id: ids[0].clone(),
            group_instance_id: None,
        }));
        assert_eq!(world.reply(token), Reply::Heartbeat(error));
    }
}
