//! Reassignments (KIP-455).

use super::*;

#[test]
fn kip_455_a_reassignment_ends_when_the_added_replicas_are_in_sync() {
    let (image, result) = reassign(&cluster(5, &[]), Some(&[3, 4, 2]));
    assert_eq!(result, Ok(()));
    let state = partition(&image);
    assert_eq!(state.replicas, [3, 4, 2, 0, 1]);
    assert_eq!(
        (&state.adding_replicas[..], &state.removing_replicas[..]),
        (&[3, 4][..], &[0, 1][..])
    );
    assert_eq!(list_reassignments(&image).count(), 1);
    let image = set_in_sync(&image, &[0, 1, 2, 3]);
    assert!(partition(&image).is_reassigned());
    let before = partition(&image).leader_epoch;
    let image = set_in_sync(&image, &[0, 1, 2, 3, 4]);
    let state = partition(&image);
    assert!(!state.is_reassigned());
    assert_eq!(state.replicas, [3, 4, 2]);
    assert_eq!((state.leader, state.leader_epoch), (3, before + 1));
    assert_eq!(list_reassignments(&image).count(), 0);
}

#[test]
fn kip_455_cancel_replace_and_refuse() {
    let image = cluster(5, &[]);
    let (_, nothing) = reassign(&image, None);
    assert_eq!(nothing, Err(ReassignmentError::NotInProgress));
    let (image, _) = reassign(&image, Some(&[3, 1, 2]));
    let image = set_in_sync(&image, &[0, 1, 2]);
    let (replaced, _) = reassign(&image, Some(&[4, 1, 2]));
    assert_eq!(partition(&replaced).replicas, [4, 1, 2, 0]);
    let (cancelled, result) = reassign(&image, None);
    assert_eq!(result, Ok(()));
    let mut replicas = partition(&cancelled).replicas.clone();
    replicas.sort_unstable();
    assert_eq!(replicas, [0, 1, 2]);
    assert!(!partition(&cancelled).is_reassigned());
    let (_, unknown) = reassign(&image, Some(&[1, 9]));
    assert!(matches!(unknown, Err(ReassignmentError::Assignment(_))));
    let request = Reassignment {
        topic: "t".into(),
        index: 0,
        replicas: Some(vec![1]),
    };
    let fixed = alter_reassignments(&image, &[request], false, RULES);
    assert_eq!(
        fixed.outcome,
        [Err(ReassignmentError::ReplicationFactor { from: 3, to: 1 })]
    );
}

#[test]
fn kip_455_the_replication_factor_changes_by_reassignment() {
    let (image, _) = reassign(&cluster(5, &[]), Some(&[0, 1, 2, 3]));
    let image = set_in_sync(&image, &[0, 1, 2, 3]);
    assert_eq!(partition(&image).replicas, [0, 1, 2, 3]);
    assert!(!partition(&image).is_reassigned());
    let (image, _) = reassign(&image, Some(&[1]));
    assert_eq!(
        (&partition(&image).replicas[..], partition(&image).leader),
        (&[1][..], 1)
    );
}

#[test]
fn a_broker_that_stops_being_a_replica_raises_the_leader_epoch() {
    let image = cluster(5, &[]);
    let before = partition(&image).leader_epoch;
    let (image, _) = reassign(&image, Some(&[0, 1]));
    let state = partition(&image);
    assert_eq!((&state.replicas[..], state.leader), (&[0, 1][..], 0));
    assert_eq!(state.leader_epoch, before + 1);
    let (image, _) = reassign(&image, Some(&[0, 1, 3]));
    assert_eq!(
        partition(&image).leader_epoch,
        before + 1,
        "an addition does not"
    );
    let (image, _) = reassign(&image, None);
    assert_eq!(
        partition(&image).leader_epoch,
        before + 2,
        "a cancelled one does"
    );
}

#[test]
fn kip_455_a_reassignment_does_not_end_below_min_isr() {
    // Of the target only broker 3 is in sync, and an acknowledgement needs two.
    let (image, _) = reassign(&cluster(5, &[]), Some(&[3, 1, 2]));
    let image = fence(&fence(&image, 1), 2);
    let image = set_in_sync(&image, &[0, 3]);
    assert!(partition(&image).is_reassigned());
    let image = unfence(&image, 1);
    let image = set_in_sync(&image, &[0, 1, 3]);
    assert!(!partition(&image).is_reassigned());
    assert_eq!(partition(&image).in_sync_replicas, [1, 3]);
}

#[test]
fn kip_455_the_last_replicas_with_the_records_are_not_dropped() {
    let (image, _) = reassign(&cluster(6, &[]), Some(&[3, 4, 2]));
    // Broker 3 alone is in sync; without it, an unclean election would be needed.
    let image = set_in_sync(&image, &[0, 3]);
    let image = fence(&image, 0);
    assert_eq!(partition(&image).in_sync_replicas, [3]);
    for replicas in [None, Some(&[5, 1, 2][..])] {
        let (same, refused) = reassign(&image, replicas);
        assert_eq!(refused, Err(ReassignmentError::NothingInSync));
        assert_eq!(same, image);
    }
}
