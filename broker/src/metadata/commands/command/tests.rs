//! Every kind of command and of answer on its way between brokers.

use std::{borrow::Cow, collections::BTreeMap};

use uuid::Uuid;

use super::*;
use crate::{
    config::{InvalidConfig, InvalidConfigKind},
    metadata::{
        commands::{
            testing::{CONDITIONS, DEFAULTS, image_with_brokers, new_topic},
            *,
        },
        placement::PlacementError,
        records::{Endpoint, LeaderRecoveryState, PartitionRecord},
        topic_name::TopicNameError,
    },
};

fn endpoint() -> Endpoint {
    Endpoint {
        listener: "PLAIN".into(),
        host: "a.example".into(),
        port: 9092,
    }
}

fn configs() -> Vec<Command> {
    let alteration = |resource, alteration| ResourceAlteration {
        resource,
        alteration,
    };
    let operations = vec![
        ("a".to_owned(), ConfigOperation::Set("1".into())),
        ("b".to_owned(), ConfigOperation::Delete),
        ("c".to_owned(), ConfigOperation::Append("x,y".into())),
        ("d".to_owned(), ConfigOperation::Subtract("z".into())),
    ];
    let replaced = BTreeMap::from([("a".to_owned(), "ø".to_owned())]);
    let alterations = vec![
        alteration(
            ConfigResource::Topic("t".into()),
            Alteration::Incremental(operations),
        ),
        alteration(
            ConfigResource::Broker(None),
            Alteration::Replace(replaced.clone()),
        ),
        alteration(
            ConfigResource::Broker(Some(7)),
            Alteration::Replace(BTreeMap::new()),
        ),
    ];
    let internal = InternalTopic {
        name: Cow::Borrowed("__consumer_offsets"),
        topic_id: Uuid::from_u128(9),
        partition_count: 50,
        replication_factor: 3,
        configs: replaced,
    };
    vec![
        AlterConfigs {
            alterations,
            validate_only: true,
        }
        .into(),
        EnsureInternalTopic { topic: internal }.into(),
        AllocateProducerIds {}.into(),
        EnsureClusterId {
            new_id: "id".into(),
        }
        .into(),
        UpdateFeatures {
            updates: vec![FeatureUpdate {
                name: FJORD_VERSION.into(),
                level: 1,
                may_downgrade: false,
            }],
            validate_only: false,
        }
        .into(),
    ]
}

fn topics() -> Vec<Command> {
    let mut topic = new_topic("t");
    topic.assignments = vec![(0, vec![0, 1]), (1, vec![1, 0])];
    topic.configs = vec![("a".into(), Some("1".into())), ("b".into(), None)];
    let grown = |assignments| NewPartitions {
        name: "t".into(),
        count: 5,
        assignments,
    };
    vec![
        CreateTopics {
            topics: vec![topic, new_topic("u")],
            defaults: DEFAULTS,
            validate_only: false,
        }
        .into(),
        DeleteTopics {
            ids: vec![Uuid::from_u128(u128::MAX), Uuid::nil()],
        }
        .into(),
        CreatePartitions {
            topics: vec![grown(None), grown(Some(vec![vec![2, 0], vec![]]))],
            validate_only: true,
        }
        .into(),
    ]
}

fn brokers() -> Vec<Command> {
    let (broker_id, broker_epoch) = (-1, i64::MAX);
    let registration = Registration {
        broker_id,
        incarnation_id: Uuid::from_u128(1),
        directory_id: Uuid::from_u128(2),
        rack: Some("r".into()),
        endpoints: vec![endpoint()],
        supported_features: supported_features(),
        clean_epoch: Some(-5),
        is_log_synced: true,
    };
    let only = RegisterBroker {
        broker_id,
        incarnation_id: Uuid::nil(),
        rack: None,
        endpoints: vec![],
    };
    vec![
        RegisterOnlyBroker { broker: only }.into(),
        Register { registration }.into(),
        FenceBroker {
            broker_id,
            broker_epoch,
            is_silent: false,
        }
        .into(),
        UnfenceBroker {
            broker_id,
            broker_epoch,
        }
        .into(),
        BeginControlledShutdown {
            broker_id,
            broker_epoch,
        }
        .into(),
        FinishControlledShutdown {
            broker_id,
            broker_epoch,
        }
        .into(),
        UnregisterBroker { broker_id }.into(),
    ]
}

fn partitions() -> Vec<Command> {
    let alteration = PartitionAlteration {
        topic_id: Uuid::from_u128(3),
        index: 4,
        leader_epoch: 5,
        partition_epoch: 6,
        in_sync_replicas: vec![(1, 10), (2, -1)],
        leader_recovery_state: LeaderRecoveryState::Recovering,
    };
    let reassignment = |replicas| Reassignment {
        topic: "t".into(),
        index: 0,
        replicas,
    };
    vec![
        AlterPartitions {
            sender: 1,
            sender_epoch: 10,
            alterations: vec![alteration],
        }
        .into(),
        ElectLeaders {
            kind: ElectionKind::Unclean,
            partitions: vec![("t".into(), 0)],
        }
        .into(),
        RestorePreferredLeaders { limit: 10 }.into(),
        ElectMissingLeaders { limit: usize::MAX }.into(),
        AlterReassignments {
            reassignments: vec![reassignment(None), reassignment(Some(vec![3, 1]))],
            may_change_replication_factor: true,
        }
        .into(),
    ]
}

fn all_commands() -> Vec<Command> {
    [configs(), topics(), brokers(), partitions()].concat()
}

#[test]
fn every_command_comes_back_and_is_answered_by_its_own_kind() {
    let commands = all_commands();
    let kinds: std::collections::HashSet<_> = commands.iter().map(std::mem::discriminant).collect();
    assert_eq!(kinds.len(), KINDS.len(), "each kind is sent");
    let image = image_with_brokers(3);
    for command in commands {
        assert_eq!(Command::decode(&command.encode()).unwrap(), command);
        let answer = execute(&image, &command, &CONDITIONS).outcome;
        assert_eq!(answer.kind(), command.kind());
        assert_eq!(Answer::decode(&answer.encode()).unwrap(), answer);
    }
}

#[test]
fn every_kind_of_error_comes_back() {
    use AssignmentError as Assignment;
    let invalid = |kind| InvalidConfig {
        key: "k".into(),
        reason: "is wrong".into(),
        kind,
    };
    let created = |error: CreateTopicError| Err(error);
    let answers = [
        Answer::CreateTopics(Err(TooManyPartitions)),
        Answer::CreateTopics(Ok(vec![
            created(TopicNameError::Empty.into()),
            created(TopicNameError::Characters("?".into()).into()),
            created(CreateTopicError::Collision {
                name: "a".into(),
                existing: "b".into(),
            }),
            created(CreateTopicError::Metadata),
            created(CreateTopicError::Placement {
                replication_factor: 3,
                source: PlacementError::TooFewBrokers {
                    replication_factor: 3,
                    brokers: 1,
                },
            }),
            created(Assignment::Gaps.into()),
            created(invalid(InvalidConfigKind::ReadOnly).into()),
        ])),
        Answer::CreatePartitions(Ok(vec![
            Err(CreatePartitionsError::SameCount(4)),
            Err(CreatePartitionsError::Assignment(Assignment::Count {
                additional: 1,
                assignments: 2,
            })),
        ])),
        Answer::AlterConfigs(vec![
            Err(AlterConfigsError::NotAList {
                operation: Cow::Borrowed("APPEND"),
                name: "n".into(),
            }),
            Err(AlterConfigsError::ValueTooLarge),
            Err(invalid(InvalidConfigKind::Unknown).into()),
            Ok(()),
        ]),
        Answer::AllocateProducerIds(Err(ProducerIdsExhausted)),
        Answer::Register(Err(RegistrationError::DirectoryInUse {
            broker_id: 1,
            directory_id: Uuid::from_u128(4),
            owner: 2,
        })),
        Answer::FenceBroker(Err(BrokerLifeError::StaleEpoch {
            asked: 1,
            registered: 2,
        })),
        Answer::AlterPartitions(Ok(vec![
            Err(AlterPartitionError::IneligibleReplica(3)),
            Ok(PartitionRecord {
                incarnation: 1,
                replicas: vec![1, 2],
                in_sync_replicas: vec![1],
                leader: 1,
                leader_epoch: 2,
                partition_epoch: 3,
                eligible_leader_replicas: vec![2],
                last_known_eligible_leader_replicas: vec![],
                last_known_leader: -1,
                leader_recovery_state: LeaderRecoveryState::Recovering,
                adding_replicas: vec![],
                removing_replicas: vec![2],
            }),
        ])),
        Answer::AlterReassignments(vec![Err(ReassignmentError::ReplicationFactor {
            from: 1,
            to: 2,
        })]),
        Answer::UpdateFeatures(vec![Err(UpdateFeatureError::CannotBeOff("f".into()))]),
    ];
    for answer in answers {
        assert_eq!(Answer::decode(&answer.encode()).unwrap(), answer);
    }
}

#[test]
fn the_bytes_of_a_command_are_fixed() {
    let fence = Command::from(FenceBroker {
        broker_id: 2,
        broker_epoch: 300,
        is_silent: false,
    });
    // Version; a map of one: the kind, and a map of three: the fields by name.
    let mut expected = vec![0, 0xa1, 0x6b];
    expected.extend(b"FenceBroker");
    expected.push(0xa3);
    expected.push(0x69);
    expected.extend(b"broker_id");
    expected.push(2);
    expected.push(0x6c);
    expected.extend(b"broker_epoch");
    expected.extend([0x19, 0x01, 0x2c]);
    expected.push(0x69);
    expected.extend(b"is_silent");
    expected.push(0xf4);
    assert_eq!(fence.encode(), expected);
}

#[test]
fn what_is_not_understood_is_refused() {
    assert!(matches!(
        Command::decode(&[]),
        Err(CommandDecodeError::Empty)
    ));
    assert!(matches!(
        Command::decode(&[COMMAND_VERSION + 1, 0xa0]),
        Err(CommandDecodeError::NewerVersion(_))
    ));
    let good = Command::from(UnregisterBroker { broker_id: 1 }).encode();
    for cut in 1..good.len() {
        let error = Command::decode(&good[..cut]).unwrap_err();
        assert!(matches!(error, CommandDecodeError::Malformed(_)), "{cut}");
    }
    let longer = [&good[..], &[0]].concat();
    assert!(matches!(
        Command::decode(&longer),
        Err(CommandDecodeError::TrailingBytes(1))
    ));
    // A kind that only a newer program has.
    let mut newer = vec![COMMAND_VERSION];
    let unknown = BTreeMap::from([("Dance", BTreeMap::from([("steps", 3)]))]);
    ciborium::into_writer(&unknown, &mut newer).unwrap();
    assert!(matches!(
        Command::decode(&newer),
        Err(CommandDecodeError::Malformed(_))
    ));
}

#[test]
fn a_field_that_a_newer_program_adds_is_passed_over() {
    let mut newer = vec![COMMAND_VERSION];
    let fields = BTreeMap::from([("broker_id", 1), ("later", 2)]);
    let command = BTreeMap::from([("UnregisterBroker", fields)]);
    ciborium::into_writer(&command, &mut newer).unwrap();
    let expected = Command::from(UnregisterBroker { broker_id: 1 });
    assert_eq!(Command::decode(&newer).unwrap(), expected);
}

#[test]
fn an_answer_to_another_kind_is_no_outcome() {
    assert_eq!(FenceBroker::outcome(Answer::UnfenceBroker(Ok(1))), None);
    assert_eq!(
        FenceBroker::outcome(Answer::FenceBroker(Ok(1))),
        Some(Ok(1))
    );
}

#[test]
fn what_is_only_validated_changes_nothing() {
    let image = image_with_brokers(1);
    for validate_only in [false, true] {
        let request = CreateTopics {
            topics: vec![new_topic("t")],
            defaults: DEFAULTS,
            validate_only,
        };
        let decision = request.decide(&image, &CONDITIONS);
        assert!(decision.outcome.unwrap()[0].is_ok());
        assert_eq!(decision.records.is_empty(), validate_only);
    }
}

#[test]
fn who_is_alive_is_known_to_the_broker_that_decides() {
    let request = |start| Register {
        registration: Registration {
            broker_id: 0,
            incarnation_id: Uuid::from_u128(start),
            directory_id: Uuid::nil(),
            rack: None,
            endpoints: vec![],
            supported_features: supported_features(),
            clean_epoch: None,
            is_log_synced: true,
        },
    };
    let image = image_with_brokers(1);
    let mut conditions = CONDITIONS;
    let outcome = request(1).decide(&image, &conditions).outcome;
    assert_eq!(outcome, Ok(1));
    conditions.live_brokers.insert(0);
    let outcome = request(1).decide(&image, &conditions).outcome;
    assert_eq!(outcome, Err(RegistrationError::Duplicate(0)));
}
