//! What groups look like from outside.

use super::*;

#[test]
fn a_group_is_described_in_each_of_its_states() {
    let mut world = World::new();
    let unknown = world.describe(GROUP);
    assert_eq!(
        (unknown.error, unknown.state),
        (ErrorCode::GroupIdNotFound, GroupState::Dead)
    );
    assert_eq!(unknown.error_message.as_deref(), Some("Group g not found."));

    let (id, _) = world.join_dynamic("a");
    let preparing = world.describe(GROUP);
    assert_eq!(preparing.state, GroupState::PreparingRebalance);
    world.pass(3_000);
    let completing = world.describe(GROUP);
    assert_eq!(completing.state, GroupState::CompletingRebalance);
    assert_eq!(
        (
            completing.protocol.as_str(),
            completing.members[0].metadata.len()
        ),
        ("", 0)
    );
    world.sync_all(1, std::slice::from_ref(&id));

    let stable = world.describe(GROUP);
    let expected = DescribedGroup {
        group_id: GROUP.into(),
        error: ErrorCode::None,
        error_message: None,
        state: GroupState::Stable,
        protocol_type: "consumer".into(),
        protocol: "range".into(),
        members: vec![DescribedMember {
            member_id: id.clone(),
            group_instance_id: None,
            client_id: "a".into(),
            client_host: "/127.0.0.1".into(),
            metadata: protocol("range", &["t"]).metadata,
            assignment: id.clone().into(),
        }],
    };
    assert_eq!(stable, expected);
    world.leave(&id);
    let empty = world.describe(GROUP);
    assert_eq!(
        (empty.state, empty.protocol_type.as_str()),
        (GroupState::Empty, "consumer")
    );
}

fn check_listed(world: &mut World, states: &[&str], types: &[&str], expected: &[&str]) {
    let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    let request = ListRequest {
        states: owned(states),
        types: owned(types),
    };
    let token = world.ask(Request::List(request));
    let Reply::List(listed) = world.reply(token) else {
        panic!("a list")
    };
    let ids: Vec<&str> = listed.iter().map(|group| group.group_id.as_str()).collect();
    assert_eq!(ids, expected, "{states:?} {types:?}");
}

#[test]
fn groups_are_listed_by_state_and_type() {
    let mut world = World::new();
    world.stable_group(1);
    world.must_commit(simple_commit("simple", "t", 0, 1));
    check_listed(&mut world, &[], &[], &["g", "simple"]);
    check_listed(&mut world, &["Stable"], &[], &["g"]);
    check_listed(
        &mut world,
        &["empty", " STABLE "],
        &["Classic"],
        &["g", "simple"],
    );
    check_listed(&mut world, &["Dead"], &[], &[]);
    check_listed(&mut world, &[], &["consumer"], &[]);
    check_listed(
        &mut world,
        &["Empty"],
        &["consumer", "classic"],
        &["simple"],
    );
}
