//! What a group is after a restart.

use super::super::records::group_metadata::GroupMetadataKey;
use super::super::records::hex;
use super::*;

#[test]
fn members_go_on_after_a_restart_and_have_a_whole_session() {
    let mut world = World::new();
    let (generation, ids) = world.stable_group(2);
    world.pass(9_000);
    let mut world = world.restarted();
    assert_eq!(world.state(), GroupState::Stable);
    world.pass(9_999);
    assert_eq!(world.heartbeat(generation, &ids[0]), ErrorCode::None);
    let token = world.sync(generation, &ids[0], &[]);
    assert_eq!(world.synced(token).assignment, ids[0]);
    world.pass(1);
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
fn a_rebalance_that_a_restart_cuts_off_leaves_the_generation_before_it() {
    let mut world = World::new();
    let (generation, ids) = world.stable_group(1);
    let (_, _) = world.join_dynamic("late");
    let mut world = world.restarted();
    assert_eq!(world.heartbeat(generation, &ids[0]), ErrorCode::None);
    let leader = world.join(consumer(&ids[0]));
    assert_eq!(world.joined(leader).generation_id, generation + 1);
}

#[test]
fn a_group_above_a_lowered_limit_shrinks_after_a_restart() {
    let mut world = World::new();
    let (_, ids) = world.stable_group(3);
    let config = GroupConfig {
        max_group_size: 2,
        ..world.config.clone()
    };
    let mut world = World::replayed(config, world.log.clone(), world.now);
    assert_eq!(world.state(), GroupState::PreparingRebalance);
    let first = world.join(consumer(&ids[0]));
    world.join(consumer(&ids[1]));
    let last = world.join_now(consumer(&ids[2]));
    assert_eq!(last.error, ErrorCode::GroupMaxSizeReached);
    assert_eq!(world.joined(first).members.len(), 2);
}

#[test]
fn an_empty_group_keeps_its_generation() {
    let mut world = World::new();
    let (generation, ids) = world.stable_group(1);
    world.leave(&ids[0]);
    let mut world = world.restarted();
    assert_eq!(world.state(), GroupState::Empty);
    let (_, token) = world.join_dynamic("a");
    world.pass(3_000);
    assert_eq!(world.joined(token).generation_id, generation + 2);
}

#[test]
fn records_of_unknown_kinds_are_skipped_and_damaged_ones_are_errors() {
    let mut shard = GroupShard::new(GroupConfig::default());
    shard.replay(hex("0003000167"), Some(hex("0000"))).unwrap();
    shard
        .replay(GroupMetadataKey::encode("g"), Some(hex("0009")))
        .unwrap_err();
    shard.replay(hex("00"), None).unwrap_err();
    assert_eq!(shard.groups().count(), 0);
}

#[test]
fn a_tombstone_of_what_is_not_there_is_fine() {
    let mut shard = GroupShard::new(GroupConfig::default());
    for tombstone in [
        records::group_metadata::tombstone("g"),
        records::offset_commit::tombstone("g", "t", 0),
    ] {
        shard.replay(tombstone.key, tombstone.value).unwrap();
    }
    assert_eq!(shard.groups().count(), 0);
}
