//! Rule 7: eligible leader replicas, and the `min.insync.replicas` that they depend on.

use super::*;

#[test]
fn rule_7_the_elr_fills_below_min_isr_and_is_emptied_above() {
    let image = set_in_sync(&cluster(3, &[]), &[0, 1]);
    assert_eq!(
        partition(&image).eligible_leader_replicas,
        Vec::<i32>::new()
    );
    let image = set_in_sync(&image, &[0]);
    assert_eq!(partition(&image).eligible_leader_replicas, [1]);
    let full = set_in_sync(&image, &[0, 2]);
    assert_eq!(partition(&full).eligible_leader_replicas, Vec::<i32>::new());
    // With a lower bound the leader goes on without broker 1.
    let lower = ResourceAlteration {
        resource: ConfigResource::Topic("t".into()),
        alteration: Alteration::Incremental(vec![(
            "min.insync.replicas".into(),
            ConfigOperation::Set("1".into()),
        )]),
    };
    let image = apply(&image, alter_configs(&image, &[lower]).records);
    assert_eq!(
        partition(&image).eligible_leader_replicas,
        Vec::<i32>::new()
    );
}

#[test]
fn rule_7_the_elr_is_emptied_when_the_cluster_wide_min_isr_changes() {
    for (own, eligible) in [(None, &[][..]), (Some("3"), &[2, 1][..])] {
        let configs: Vec<_> = own.iter().map(|value| (MIN, *value)).collect();
        let image = set_in_sync(&set_in_sync(&cluster(3, &configs), &[0, 1]), &[0]);
        let before = partition(&image).clone();
        assert!(!before.eligible_leader_replicas.is_empty());
        let lower = set(ConfigResource::Broker(None), MIN, Some("1"));
        let retention = set(ConfigResource::Topic("t".into()), "retention.ms", Some("5"));
        let decision = alter_configs(&image, &[lower, retention]);
        assert_eq!(decision.outcome, [Ok(()), Ok(())]);
        // The partition's record comes before the config's, whatever the log ends with.
        let image = apply(
            &image,
            decision.records[..decision.records.len() - 2].to_vec(),
        );
        let mut now = partition(&image).eligible_leader_replicas.clone();
        now.reverse();
        assert_eq!(now, eligible, "min.insync.replicas of the topic: {own:?}");
        let image = apply(&image, decision.records);
        assert_eq!(image.validate(), Ok(()));
        let state = partition(&image);
        let is_changed = own.is_none();
        assert_eq!(state.eligible_leader_replicas.is_empty(), is_changed);
        let raised = state.partition_epoch - before.partition_epoch;
        assert_eq!(raised, i32::from(is_changed));
    }
}

#[test]
fn rule_7_the_elr_stays_while_nothing_is_in_sync() {
    let image = set_in_sync(&cluster(3, &[]), &[0, 1]);
    let image = fence(&fence(&fence(&image, 2), 1), 0);
    let eligible = partition(&image).eligible_leader_replicas.clone();
    assert_eq!(eligible, [0, 1]);
    let lower = |resource| alter_configs(&image, &[set(resource, MIN, Some("1"))]).records;
    for resource in [
        ConfigResource::Broker(None),
        ConfigResource::Topic("t".into()),
    ] {
        let image = apply(&image, lower(resource));
        assert_eq!(partition(&image).eligible_leader_replicas, eligible);
        assert_eq!(partition(&unfence(&image, 0)).leader, 0);
    }
}

#[test]
fn kip_966_one_min_isr_for_all_brokers_once_there_may_be_several() {
    let of_broker = || set(ConfigResource::Broker(Some(1)), MIN, Some("3"));
    let image = cluster(3, &[]);
    let image = apply(&image, alter_configs(&image, &[of_broker()]).records);
    assert_eq!(image.broker_configs(1).unwrap()[MIN], "3");
    let (image, _) = update(&image, FJORD_VERSION, 1);
    assert_eq!(image.broker_configs(1), None);
    assert_eq!(
        image.broker_default_configs()[MIN],
        "2",
        "that of the rules"
    );
    let removed = set(ConfigResource::Broker(None), MIN, None);
    let decision = alter_configs(&image, &[of_broker(), removed]);
    assert_eq!(
        decision.outcome,
        [
            Err(AlterConfigsError::MinInSyncOfBroker),
            Err(AlterConfigsError::MinInSyncRemoved)
        ]
    );
    assert_eq!(decision.records, []);
    let changed = set(ConfigResource::Broker(None), MIN, Some("1"));
    let image = apply(&image, alter_configs(&image, &[changed]).records);
    let topic = image.topic("t").unwrap();
    assert_eq!(min_in_sync_replicas(&image, topic, 3, RULES), 1);
}
