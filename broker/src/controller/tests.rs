//! The deciding task and the way to it, on a quorum of one node in memory. Several nodes are tested as processes.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use fjord_quorum::{
    Options, Quorum, QuorumConfig, Role, store::ModelStore, transport::GrpcTransport,
};
use tokio::{sync::mpsc, time::timeout};
use tokio_util::sync::CancellationToken;

use super::{
    channels::Channels,
    client::Controller,
    committed::{Committed, Machine},
    leader::{Leader, QUEUE, SharedSessions},
    publisher::Published,
    sessions::{Limits, Sessions},
};
use crate::{
    broker::LiveConfig,
    config::{BrokerConfig, Layers},
    metadata::{
        ExecuteError,
        commands::{
            AllocateProducerIds, Answer, FJORD_VERSION, Register, Registration, RegistrationError,
            SEVERAL_BROKERS, supported_features,
        },
    },
};

const LIMIT: Duration = Duration::from_secs(20);

struct Alone {
    quorum: Quorum,
    committed: Arc<Committed>,
    controller: Controller,
    sessions: Arc<SharedSessions>,
    _stop: tokio_util::sync::DropGuard,
}

/// A node with its deciding task, which has founded nothing yet.
async fn started() -> Alone {
    let committed = Committed::new();
    let options = Options {
        node_id: 1,
        cluster_id: Some("tests".to_owned()),
        config: QuorumConfig::default(),
        store: Arc::new(ModelStore::default()),
        transport: Arc::new(GrpcTransport::default()),
        machine: Box::new(Machine(Arc::clone(&committed))),
        seed: 7,
    };
    let quorum = Quorum::start(options).await.unwrap();
    let sessions = SharedSessions::new(Sessions::new(Limits {
        silence_ms: 2000,
        grace_ms: 100,
        takeover_ms: 300,
        away_ms: 500,
    }));
    let (queue, submissions) = mpsc::channel(QUEUE);
    let config = BrokerConfig::resolve(Layers::default()).unwrap();
    let leader = Leader {
        quorum: quorum.clone(),
        committed: Arc::clone(&committed),
        sessions: Arc::clone(&sessions),
        live_config: LiveConfig::new(config),
        rebalance: None,
        queue: submissions,
    };
    let stop = CancellationToken::new();
    tokio::spawn(leader.run(stop.clone()));
    let controller = Controller::new(
        quorum.clone(),
        "tests".to_owned(),
        queue,
        Channels::default(),
        committed.applied(),
        Published::new(),
    );
    Alone {
        quorum,
        committed,
        controller,
        sessions,
        _stop: stop.drop_guard(),
    }
}

async fn founded() -> Alone {
    let alone = started().await;
    let voters = BTreeMap::from([(1, "127.0.0.1:1".to_owned())]);
    alone.quorum.found("tests", &voters).await.unwrap();
    alone
}

fn registration(incarnation: u128) -> Register {
    let registration = Registration {
        broker_id: 1,
        incarnation_id: uuid::Uuid::from_u128(incarnation),
        directory_id: uuid::Uuid::from_u128(1),
        rack: None,
        endpoints: vec![],
        supported_features: supported_features(),
        clean_epoch: None,
        is_log_synced: true,
    };
    Register { registration }
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_are_carried_out_one_after_the_other() {
    let alone = founded().await;
    let commands = (0..40).map(|_| {
        let controller = alone.controller.clone();
        tokio::spawn(async move {
            controller
                .decide(AllocateProducerIds {}.into(), LIMIT)
                .await
        })
    });
    let mut firsts = Vec::new();
    for command in commands.collect::<Vec<_>>() {
        let decided = command.await.unwrap().unwrap();
        assert!(decided.position <= alone.committed.state().changes());
        let Answer::AllocateProducerIds(Ok(block)) = decided.answer else {
            panic!("{:?}", decided.answer);
        };
        firsts.push(block.start);
    }
    firsts.sort_unstable();
    let each_once: Vec<i64> = (0..40).map(|block| block * 1000).collect();
    assert_eq!(firsts, each_once);
    // The first change of all is the leader's own.
    let image = alone.committed.image();
    assert_eq!(image.cluster_id(), Some("tests"));
    assert_eq!(image.feature_level(FJORD_VERSION), SEVERAL_BROKERS);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_is_unfenced_when_it_is_ready_and_fenced_when_it_is_gone() {
    let alone = founded().await;
    let decided = alone.controller.decide(registration(1).into(), LIMIT).await;
    let Answer::Register(Ok(epoch)) = decided.unwrap().answer else {
        panic!("registered");
    };
    assert!(alone.committed.image().broker(1).unwrap().fenced);
    let now_ms = crate::clock::monotonic_ms;
    let beat = super::sessions::Beat {
        is_ready: true,
        ..Default::default()
    };
    let stream = {
        let mut sessions = alone.sessions.lock();
        let stream = sessions.connected(1, epoch, now_ms()).unwrap();
        assert!(sessions.heard(1, stream, beat, now_ms()));
        stream
    };
    alone.sessions.changed();
    wait(&alone, |fenced| !fenced).await;
    // While it is heard of, nobody else takes its id.
    let other = alone.controller.decide(registration(2).into(), LIMIT).await;
    let refused = Answer::Register(Err(RegistrationError::Duplicate(1)));
    assert_eq!(other.unwrap().answer, refused);
    alone.sessions.lock().disconnected(1, stream, now_ms());
    alone.sessions.changed();
    wait(&alone, |fenced| fenced).await;
    let other = alone.controller.decide(registration(2).into(), LIMIT).await;
    assert!(matches!(other.unwrap().answer, Answer::Register(Ok(_))));
}

/// Waits until broker 1 is fenced or not.
async fn wait(alone: &Alone, is_it: impl Fn(bool) -> bool) {
    let mut applied = alone.committed.applied();
    let reached = applied.wait_for(|_| is_it(alone.committed.image().broker(1).unwrap().fenced));
    timeout(LIMIT, reached).await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_leader_nothing_is_done_and_that_is_said() {
    let alone = started().await;
    let limit = Duration::from_millis(50);
    let refused = alone
        .controller
        .decide(AllocateProducerIds {}.into(), limit)
        .await;
    assert!(
        matches!(refused, Err(ExecuteError::NoController)),
        "{refused:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_stops_at_what_it_does_not_understand() {
    let alone = founded().await;
    let mut state = alone.quorum.watch();
    let leads = state.wait_for(|state| state.role == Role::Leader);
    timeout(LIMIT, leads).await.unwrap().unwrap();
    let version = crate::metadata::proposal::PROPOSAL_VERSION + 1;
    let mut failure = alone.committed.failure();
    // Whether it was committed is not known to its proposer; that takes as long as a call may.
    let quorum = alone.quorum.clone();
    tokio::spawn(async move { quorum.propose(vec![version]).await });
    let failed = failure.wait_for(Option::is_some);
    let reason = timeout(LIMIT, failed)
        .await
        .unwrap()
        .unwrap()
        .clone()
        .unwrap();
    assert!(reason.contains("not understood"), "{reason}");
    // Nothing is applied after it.
    let limit = Duration::from_millis(500);
    let decided = alone
        .controller
        .decide(AllocateProducerIds {}.into(), limit)
        .await;
    assert!(decided.is_err(), "{decided:?}");
    assert_eq!(alone.committed.image().next_producer_id(), 0);
}
