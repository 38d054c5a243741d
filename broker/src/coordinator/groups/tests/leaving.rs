//! How members and groups go.

use super::*;

fn leave(world: &mut World, group: &str, members: &[(&str, Option<&str>)]) -> LeaveReply {
    let members = members.iter().map(|(id, instance)| LeavingMember {
        member_id: (*id).into(),
        group_instance_id: instance.map(str::to_owned),
        reason: Some("test".into()),
    });
    let request = LeaveRequest {
        group_id: group.into(),
        members: members.collect(),
    };
    let token = world.ask(Request::Leave(request));
    let Reply::Leave(reply) = world.reply(token) else {
        panic!("a leave's reply")
    };
    reply
}

#[test]
fn the_last_member_leaves_an_empty_group() {
    let mut world = World::new();
    let (generation, ids) = world.stable_group(1);
    assert_eq!(world.leave(&ids[0]), ErrorCode::None);
    assert_eq!(world.state(), GroupState::Empty);
    assert_eq!(world.leave(&ids[0]), ErrorCode::UnknownMemberId);
    assert_eq!(
        world.heartbeat(generation, &ids[0]),
        ErrorCode::UnknownMemberId
    );

    let (_, token) = world.join_dynamic("b");
    world.pass(3_000);
    assert_eq!(
        world.joined(token).generation_id,
        generation + 2,
        "becoming empty is one, too"
    );
}

#[test]
fn a_member_that_leaves_starts_a_rebalance() {
    let mut world = World::new();
    let (generation, ids) = world.stable_group(3);
    assert_eq!(world.leave(&ids[0]), ErrorCode::None);
    let second = world.join(consumer(&ids[1]));
    assert!(world.is_parked(second));
    assert_eq!(world.leave(&ids[2]), ErrorCode::None);
    let reply = world.joined(second);
    assert_eq!(
        (reply.generation_id, reply.members.len()),
        (generation + 1, 1)
    );
}

#[test]
fn parked_requests_of_who_leaves_are_answered() {
    let mut world = World::new();
    let (id, token) = world.join_dynamic("a");
    assert_eq!(world.leave(&id), ErrorCode::None);
    let reply = world.joined(token);
    assert_eq!(
        (reply.error, reply.member_id.as_str()),
        (ErrorCode::UnknownMemberId, "")
    );
    world.pass(3_000);
    assert_eq!(world.state(), GroupState::Empty);

    let (_, _) = world.join_dynamic("b");
    let (follower, _) = world.join_dynamic("c");
    world.pass(6_000);
    let generation = 2;
    let waiting = world.sync(generation, &follower, &[]);
    assert_eq!(world.leave(&follower), ErrorCode::None);
    assert_eq!(world.synced(waiting).error, ErrorCode::UnknownMemberId);
}

#[test]
fn a_pending_member_may_leave() {
    let mut world = World::new();
    let (_, ids) = world.stable_group(1);
    let given = world.join_now(consumer(""));
    let leader = world.join(consumer(&ids[0]));
    assert!(world.is_parked(leader));
    assert_eq!(world.leave(&given.member_id), ErrorCode::None);
    assert_eq!(
        world.joined(leader).error,
        ErrorCode::None,
        "nobody is missing any more"
    );
}

#[test]
fn several_leave_at_once_each_with_its_own_outcome() {
    let mut world = World::new();
    let static_join = |instance: &str| JoinRequest {
        group_instance_id: Some(instance.into()),
        ..consumer("")
    };
    let first = world.join(static_join("i1"));
    let second = world.join(static_join("i2"));
    world.pass(6_000);
    let first = world.joined(first).member_id;
    let second = world.joined(second).member_id;
    let reply = leave(
        &mut world,
        GROUP,
        &[
            ("", Some("i1")),
            ("", Some("i9")),
            ("", None),
            (&first, Some("i2")),
            (&second, Some("i2")),
            ("nobody", None),
        ],
    );
    let errors: Vec<ErrorCode> = reply.members.iter().map(|member| member.error).collect();
    assert_eq!(
        errors,
        [
            ErrorCode::None,
            ErrorCode::UnknownMemberId,
            ErrorCode::UnknownMemberId,
            ErrorCode::FencedInstanceId,
            ErrorCode::None,
            ErrorCode::UnknownMemberId,
        ]
    );
    assert_eq!(reply.members[3].group_instance_id.as_deref(), Some("i2"));
    assert_eq!(world.state(), GroupState::Empty);
}

#[test]
fn leaving_an_unknown_group() {
    let mut world = World::new();
    let reply = leave(&mut world, "h", &[("a", None)]);
    assert_eq!(
        (reply.error, reply.members[0].error),
        (ErrorCode::None, ErrorCode::UnknownMemberId)
    );
    assert_eq!(
        leave(&mut world, "", &[("a", None)]).error,
        ErrorCode::InvalidGroupId
    );
}

fn delete(world: &mut World, group: &str) -> ErrorCode {
    let token = world.ask(Request::DeleteGroup(group.into()));
    let Reply::DeleteGroup(error) = world.reply(token) else {
        panic!("a deletion's reply")
    };
    error
}

#[test]
fn only_groups_without_members_can_be_deleted() {
    let mut world = World::new();
    assert_eq!(delete(&mut world, GROUP), ErrorCode::GroupIdNotFound);
    let (generation, ids) = world.stable_group(1);
    let commit = CommitRequest {
        generation_id: generation,
        member_id: ids[0].clone(),
        ..simple_commit(GROUP, "t", 0, 5)
    };
    assert_eq!(only(world.commit(commit)), ErrorCode::None);
    assert_eq!(delete(&mut world, GROUP), ErrorCode::NonEmptyGroup);
    world.leave(&ids[0]);
    assert_eq!(delete(&mut world, GROUP), ErrorCode::None);
    assert_eq!(world.describe(GROUP).state, GroupState::Dead);
    assert_eq!(world.committed(GROUP, "t", 0), -1);
    assert_eq!(delete(&mut world, GROUP), ErrorCode::GroupIdNotFound);
    assert_eq!(
        world.restarted().shard.groups().count(),
        0,
        "nor does it come back"
    );
}

#[test]
fn an_id_given_out_by_a_deleted_group_is_worth_nothing() {
    let mut world = World::new();
    let given = world.join_now(consumer(""));
    assert_eq!(delete(&mut world, GROUP), ErrorCode::None);
    assert_eq!(
        world.join_now(consumer(&given.member_id)).error,
        ErrorCode::UnknownMemberId
    );
}
