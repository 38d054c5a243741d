//! Rules 8 and 9: registration, levels of features, and stopping.

use super::*;

#[test]
fn rule_8_what_a_restart_proves_decides_about_the_elr() {
    // Synced, clean marker of the last epoch, and which replicas are eligible afterwards.
    for (is_log_synced, is_clean, directory, eligible) in [
        (true, false, 101, &[1][..]),
        (false, true, 101, &[1][..]),
        (false, false, 101, &[][..]),
        (true, true, 999, &[][..]),
    ] {
        let image = fence(&set_in_sync(&cluster(3, &[]), &[0, 1]), 1);
        assert_eq!(partition(&image).eligible_leader_replicas, [1]);
        let restarted = Registration {
            is_log_synced,
            clean_epoch: is_clean.then_some(epoch(&image, 1)),
            ..registration(1, 300, directory)
        };
        let before = epoch(&image, 1);
        let image = done(&image, register(&image, restarted, false, RULES));
        assert_eq!(partition(&image).eligible_leader_replicas, eligible);
        assert!(image.broker(1).unwrap().fenced && epoch(&image, 1) > before);
        let is_lost = directory == 999;
        let known = &partition(&image).last_known_eligible_leader_replicas;
        assert_eq!(known.contains(&1), eligible.is_empty() && !is_lost);
    }
}

#[test]
fn rule_8_a_broker_with_an_empty_disk_is_not_even_the_last_known_leader() {
    let image = set_in_sync(&cluster(3, &[("min.insync.replicas", "1")]), &[0]);
    let image = fence(&image, 0);
    assert_eq!(partition(&image).last_known_leader, 0);
    let image = start(&image, 0, 400, 401);
    let state = partition(&unfence(&image, 0)).clone();
    assert_eq!((state.leader, state.last_known_leader), (-1, -1));
}

#[test]
fn registrations_that_contradict_each_other_are_refused() {
    let image = cluster(3, &[]);
    let again = register(&image, registration(1, 101, 101), true, RULES).unwrap();
    assert_eq!((again.records, again.outcome), (vec![], epoch(&image, 1)));
    let other = register(&image, registration(1, 500, 101), true, RULES);
    assert_eq!(other.unwrap_err(), RegistrationError::Duplicate(1));
    let copied = register(&image, registration(9, 500, 101), true, RULES).unwrap_err();
    assert!(matches!(
        copied,
        RegistrationError::DirectoryInUse { owner: 1, .. }
    ));
}

#[test]
fn rule_9_a_broker_that_stops_hands_over_first() {
    let image = cluster(3, &[]);
    let number = epoch(&image, 0);
    let image = done(&image, begin_controlled_shutdown(&image, 0, number, RULES));
    let state = partition(&image);
    assert_eq!(
        (state.leader, state.in_sync_replicas.as_slice()),
        (1, &[1, 2][..])
    );
    let back = unfence_broker(&image, 0, number, RULES).unwrap_err();
    assert_eq!(back, BrokerLifeError::ShuttingDown(0));
    let (_, refused) = alter(&image, alteration(&image, &[0, 1, 2]));
    assert_eq!(refused, Err(AlterPartitionError::IneligibleReplica(0)));
    let image = done(&image, finish_controlled_shutdown(&image, 0, number));
    assert!(image.broker(0).unwrap().fenced);
    let early = finish_controlled_shutdown(&image, 1, epoch(&image, 1)).unwrap_err();
    assert_eq!(early, BrokerLifeError::NotShuttingDown(1));
}

#[test]
fn an_unregistered_broker_leaves_its_epoch_and_its_copies_behind() {
    let image = set_in_sync(&cluster(3, &[]), &[0, 2]);
    let image = fence(&fence(&image, 0), 2);
    let image = done(&image, unregister_broker(&image, 2, RULES));
    assert_eq!(partition(&image).eligible_leader_replicas, [0]);
    let image = start(&image, 2, 600, 102);
    assert_eq!(epoch(&image, 2), 3);
    assert_eq!(partition(&unfence(&image, 2)).leader, -1);
}

#[test]
fn kip_584_levels_are_finalized_only_where_all_brokers_have_them() {
    let image = cluster(3, &[]);
    let unknown = update(&image, "dance.version", 1).1.unwrap_err();
    assert!(matches!(unknown, UpdateFeatureError::Unsupported { .. }));
    let newer = update(&image, FJORD_VERSION, NEWEST_FJORD_VERSION + 1).1;
    assert!(matches!(newer, Err(UpdateFeatureError::Unsupported { .. })));
    // A broker that has registered without the feature keeps the cluster from it.
    let mut old = registration(1, 700, 101);
    old.supported_features.clear();
    let lagging = done(&image, register(&image, old.clone(), false, RULES));
    let refused = update(&lagging, FJORD_VERSION, 1).1.unwrap_err();
    assert!(
        matches!(
            refused,
            UpdateFeatureError::UnsupportedByBroker { broker_id: 1, .. }
        ),
        "{refused}"
    );
    let (image, result) = update(&image, FJORD_VERSION, 1);
    assert_eq!((result, image.feature_level(FJORD_VERSION)), (Ok(()), 1));
    let (same, result) = update(&image, FJORD_VERSION, 1);
    assert_eq!((result, same), (Ok(()), image.clone()));
    let lower = update(&image, FJORD_VERSION, 0).1.unwrap_err();
    assert!(matches!(lower, UpdateFeatureError::Downgrade { .. }));
    // And a cluster that has it keeps such a broker away.
    let refused = register(&image, old, false, RULES).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "Unable to register because the broker does not support finalized version 1 of \
         fjord.version. The broker wants a version between 0 and 0, inclusive."
    );
    let again = register(&image, registration(1, 701, 101), false, RULES);
    assert!(again.is_ok());
    let snapshot = image.to_records();
    assert_eq!(apply(&Image::default(), snapshot), image);
}

#[test]
fn kip_584_what_is_on_cannot_be_switched_off_and_what_is_unknown_can() {
    let (image, _) = update(&cluster(3, &[]), FJORD_VERSION, 1);
    let off = |name: &str| FeatureUpdate {
        name: name.into(),
        level: 0,
        may_downgrade: true,
    };
    let refused = update_features(&image, &[off(FJORD_VERSION)], RULES).outcome;
    let expected = UpdateFeatureError::CannotBeOff(FJORD_VERSION.into());
    assert_eq!(refused, [Err(expected)]);
    let unknown = Record::Feature {
        name: "dance.version".into(),
        value: Some(crate::metadata::records::FeatureRecord { level: 4 }),
    };
    let image = image.apply(unknown);
    let decision = update_features(&image, &[off("dance.version")], RULES);
    assert_eq!(decision.outcome, [Ok(())]);
    let image = apply(&image, decision.records);
    assert_eq!(image.features().len(), 1);
}

#[test]
fn rule_9_a_broker_that_stops_leaves_no_leader_where_it_was_the_last_in_sync() {
    let image = set_in_sync(&cluster(3, &[(MIN, "1")]), &[0]);
    let image = done(
        &image,
        begin_controlled_shutdown(&image, 0, epoch(&image, 0), RULES),
    );
    let state = partition(&image);
    assert_eq!((state.leader, state.last_known_leader), (-1, 0));
    assert_eq!(state.eligible_leader_replicas, [0]);
    // It comes back with its clean marker, and leads without having lost anything.
    let clean = Registration {
        clean_epoch: Some(epoch(&image, 0)),
        is_log_synced: false,
        ..registration(0, 800, 100)
    };
    let image = done(&image, register(&image, clean, false, RULES));
    let image = unfence(&image, 0);
    assert_eq!(partition(&image).leader, 0);
    assert!(partition(&image).leader_recovery_state.is_recovered());
}

#[test]
fn rule_8_a_marker_of_an_earlier_stop_proves_nothing() {
    let image = fence(&set_in_sync(&cluster(3, &[]), &[0, 1]), 1);
    let first = epoch(&image, 1);
    let restarted = |image: &Image, start: u128, clean_epoch| {
        let registration = Registration {
            is_log_synced: false,
            clean_epoch: Some(clean_epoch),
            ..registration(1, start, 101)
        };
        done(image, register(image, registration, false, RULES))
    };
    let image = restarted(&image, 300, first);
    assert_eq!(partition(&image).eligible_leader_replicas, [1]);
    // It stops again, uncleanly, and what it finds is the marker of the stop before.
    let image = restarted(&image, 301, first);
    assert!(partition(&image).eligible_leader_replicas.is_empty());
}

#[test]
fn a_log_that_ends_within_fencing_is_repaired_by_fencing_again() {
    let mut topic = new_topic("u");
    topic.assignments = (0..3).map(|index| (index, vec![0, 1, 2])).collect();
    let image = cluster(3, &[]);
    let created = create_topics(&image, &[topic], testing::DEFAULTS).unwrap();
    let image = apply(&image, created.records);
    let records = fence_broker(&image, &lost(0, epoch(&image, 0)), RULES)
        .unwrap()
        .records;
    let complete = apply(&image, records.clone());
    assert_eq!(records.len(), 5);
    for end in 0..records.len() {
        let cut = apply(&image, records[..end].to_vec());
        assert_eq!(cut.validate(), Ok(()));
        assert_eq!(fence(&cut, 0), complete, "after {end} records");
    }
}
