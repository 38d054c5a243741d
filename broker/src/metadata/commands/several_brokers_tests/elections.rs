//! Rules 5 and 6: what a leader may change, and who leads.

use super::*;

#[test]
fn rule_5_checks_come_in_their_order() {
    use AlterPartitionError as Error;
    let image = fence(&cluster(4, &[]), 0);
    // Leader 1, leader epoch 1, partition epoch 1.
    let check = |change: &dyn Fn(&mut PartitionAlteration), sender: i32, expected: Error| {
        let mut request = alteration(&image, &[1, 2]);
        change(&mut request);
        let decision = alter_partitions(&image, sender, epoch(&image, sender), &[request], RULES);
        assert_eq!(decision.unwrap().outcome, [Err(expected)]);
    };
    check(&|r| r.topic_id = Uuid::nil(), 1, Error::UnknownTopicId);
    check(
        &|r| (r.index, r.leader_epoch) = (7, 9),
        1,
        Error::UnknownPartition,
    );
    check(
        &|r| (r.partition_epoch, r.leader_epoch) = (2, 0),
        1,
        Error::NewerEpoch,
    );
    check(&|r| r.leader_epoch = 2, 1, Error::NewerEpoch);
    check(&|r| r.leader_epoch = 0, 2, Error::FencedLeaderEpoch);
    check(&|r| r.partition_epoch = 0, 2, Error::NotLeader);
    check(
        &|r| (r.partition_epoch, r.in_sync_replicas) = (0, vec![]),
        1,
        Error::InvalidUpdateVersion,
    );
    check(
        &|r| r.in_sync_replicas = vec![(2, 2)],
        1,
        Error::InvalidInSyncReplicas,
    );
    check(
        &|r| r.in_sync_replicas = vec![(1, 1), (1, 1)],
        1,
        Error::InvalidInSyncReplicas,
    );
    check(
        &|r| r.in_sync_replicas = vec![(1, 1), (3, 3)],
        1,
        Error::InvalidInSyncReplicas,
    );
    let recovering = |r: &mut PartitionAlteration| {
        r.leader_recovery_state = LeaderRecoveryState::Recovering;
    };
    check(&recovering, 1, Error::InvalidInSyncReplicas);
    check(
        &|r| {
            recovering(r);
            r.in_sync_replicas.truncate(1);
        },
        1,
        Error::RecoveryState,
    );
    check(
        &|r| r.in_sync_replicas.push((0, 0)),
        1,
        Error::IneligibleReplica(0),
    );
    check(
        &|r| r.in_sync_replicas[1].1 = 77,
        1,
        Error::IneligibleReplica(2),
    );
    let stale = alter_partitions(&image, 1, 55, &[], RULES).unwrap_err();
    assert!(matches!(
        stale,
        BrokerLifeError::StaleEpoch {
            asked: 55,
            registered: 1
        }
    ));
}

#[test]
fn rule_6_the_isr_comes_first_then_the_elr_and_nobody_else() {
    let image = set_in_sync(&cluster(3, &[]), &[0, 2]);
    let image = fence(&image, 0);
    assert_eq!(partition(&image).leader, 2);
    let image = fence(&image, 2);
    let state = partition(&image);
    assert_eq!(
        (state.leader, state.in_sync_replicas.as_slice()),
        (-1, &[] as &[i32])
    );
    // Broker 1 was out of sync before the others left.
    assert_eq!(state.eligible_leader_replicas, [2, 0]);
    assert_eq!(state.last_known_leader, 2);
    let image = unfence(&image, 0);
    let state = partition(&image);
    assert_eq!(
        (state.leader, state.in_sync_replicas.as_slice()),
        (0, &[0][..])
    );
    assert!(state.leader_recovery_state.is_recovered());
    assert_eq!(state.eligible_leader_replicas, [2]);
    assert_eq!(state.last_known_leader, -1);
}

#[test]
fn rule_6_unclean_only_where_the_topic_opts_in() {
    for (opts_in, leader) in [("false", -1), ("true", 1)] {
        let image = cluster(3, &[("unclean.leader.election.enable", opts_in)]);
        let image = set_in_sync(&image, &[0, 2]);
        let image = fence(&fence(&image, 0), 2);
        let state = partition(&image);
        assert_eq!(state.leader, leader, "opts in: {opts_in}");
        assert_eq!(state.leader_recovery_state.is_recovered(), leader == -1);
        if leader == 1 {
            assert_eq!(state.in_sync_replicas, [1]);
            assert_eq!(state.eligible_leader_replicas, Vec::<i32>::new());
            // A leader that recovers stays alone until it says that it is done.
            let mut request = alteration(&image, &[1]);
            request.leader_recovery_state = LeaderRecoveryState::Recovering;
            let (same, result) = alter(&image, request);
            assert!(result.is_ok());
            assert_eq!(partition(&same), state);
            assert!(
                partition(&set_in_sync(&image, &[1]))
                    .leader_recovery_state
                    .is_recovered()
            );
        } else {
            let asked = [("t".to_owned(), 0)];
            let elected = elect_leaders(&image, ElectionKind::Unclean, &asked, RULES);
            assert_eq!(elected.outcome, [Ok(1)]);
            let image = apply(&image, elected.records);
            assert!(!partition(&image).leader_recovery_state.is_recovered());
        }
    }
}

#[test]
fn rule_6_the_last_known_leader_comes_back_as_one_that_recovers() {
    let image = set_in_sync(&cluster(3, &[]), &[0]);
    let image = fence(&fence(&fence(&image, 1), 2), 0);
    // All of them have stopped uncleanly, without a synced log.
    let mut image = image;
    for id in [1, 2, 0] {
        let unclean = Registration {
            is_log_synced: false,
            ..registration(
                id,
                200 + u128::try_from(id).unwrap(),
                100 + u128::try_from(id).unwrap(),
            )
        };
        image = done(&image, register(&image, unclean, false, RULES));
    }
    assert_eq!(
        partition(&image).eligible_leader_replicas,
        Vec::<i32>::new()
    );
    let image = unfence(&image, 1);
    assert_eq!(partition(&image).leader, -1);
    let image = unfence(&image, 0);
    assert_eq!(partition(&image).leader, 0);
    assert!(!partition(&image).leader_recovery_state.is_recovered());
}

#[test]
fn rule_6_the_preferred_leader_takes_over_when_it_is_in_sync() {
    let image = fence(&cluster(3, &[]), 0);
    let asked = [
        ("t".to_owned(), 0),
        ("t".to_owned(), 0),
        ("u".to_owned(), 0),
    ];
    let elected = elect_leaders(&image, ElectionKind::Preferred, &asked, RULES);
    let refused = Err(ElectLeaderError::PreferredNotAvailable);
    assert_eq!(
        elected.outcome,
        [refused, refused, Err(ElectLeaderError::UnknownPartition)]
    );
    let image = unfence(&image, 0);
    assert_eq!(restore_preferred_leaders(&image, 10, RULES).outcome, 0);
    let image = set_in_sync(&image, &[0, 1, 2]);
    assert_eq!(restore_preferred_leaders(&image, 0, RULES).outcome, 0);
    let restored = restore_preferred_leaders(&image, 10, RULES);
    assert_eq!(partition(&apply(&image, restored.records)).leader, 0);
    let elected = elect_leaders(&image, ElectionKind::Preferred, &asked[..2], RULES);
    assert_eq!(elected.outcome, [Ok(0), Err(ElectLeaderError::NotNeeded)]);
    let unclean = elect_leaders(&image, ElectionKind::Unclean, &asked[..1], RULES);
    assert_eq!(unclean.outcome, [Err(ElectLeaderError::NotNeeded)]);
}

#[test]
fn rule_6_a_topic_that_opts_in_later_gets_a_leader() {
    let image = set_in_sync(&cluster(3, &[]), &[0, 2]);
    let image = fence(&fence(&image, 0), 2);
    assert_eq!(elect_missing_leaders(&image, 10, RULES).outcome, 0);
    let topic = ConfigResource::Topic("t".into());
    let opted = set(topic, "unclean.leader.election.enable", Some("true"));
    let image = apply(&image, alter_configs(&image, &[opted]).records);
    assert_eq!(partition(&image).leader, -1);
    assert_eq!(elect_missing_leaders(&image, 0, RULES).outcome, 0);
    let image = apply(&image, elect_missing_leaders(&image, 10, RULES).records);
    assert_eq!(partition(&image).leader, 1);
    assert!(!partition(&image).leader_recovery_state.is_recovered());
}

#[test]
fn rule_6_an_eligible_replica_waits_while_any_other_is_in_sync() {
    // Broker 1 is eligible and comes first, but broker 2 is in sync.
    let image = set_in_sync(&cluster(3, &[(MIN, "3")]), &[0, 2]);
    assert_eq!(partition(&image).eligible_leader_replicas, [1]);
    let image = fence(&image, 0);
    let state = partition(&image);
    assert_eq!((state.leader, &state.in_sync_replicas[..]), (2, &[2][..]));
    assert_eq!(state.eligible_leader_replicas, [0, 1]);
}

#[test]
fn rule_6_an_unclean_leader_is_never_one_that_is_only_being_added() {
    let optin = [("unclean.leader.election.enable", "true")];
    let (image, _) = reassign(&cluster(5, &optin), Some(&[3, 4, 2]));
    let image = fence(&fence(&fence(&image, 0), 1), 2);
    assert_eq!(partition(&image).leader, -1);
    let asked = [("t".to_owned(), 0)];
    let elected = elect_leaders(&image, ElectionKind::Unclean, &asked, RULES);
    assert_eq!(elected.outcome, [Ok(3)]);
}

#[test]
fn rule_6_the_last_known_leader_waits_while_somebody_is_eligible() {
    let image = fence(&set_in_sync(&cluster(3, &[]), &[0, 2]), 2);
    let image = fence(&image, 0);
    assert_eq!(partition(&image).last_known_leader, 0);
    let unclean = Registration {
        is_log_synced: false,
        ..registration(0, 900, 100)
    };
    let image = done(&image, register(&image, unclean, false, RULES));
    let image = unfence(&image, 0);
    let state = partition(&image);
    assert_eq!(
        (state.leader, &state.eligible_leader_replicas[..]),
        (-1, &[2][..])
    );
    // Broker 2 comes back with all that was acknowledged.
    let state = partition(&unfence(&image, 2)).clone();
    assert_eq!(state.leader, 2);
    assert!(state.leader_recovery_state.is_recovered());
}
