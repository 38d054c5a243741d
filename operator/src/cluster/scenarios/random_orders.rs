//! Anything may happen in any order, and caches may know of it or not. In the end, all is well.

use k8s_openapi::api::apps::v1::StatefulSet;
use proptest::{collection::vec, prelude::*};

use super::{Health, Operator, World, kubernetes, main};
use crate::testing::api_server::Fault;

#[derive(Debug, Clone, Copy)]
enum Happens {
    Look,
    CatchUp(usize),
    Replicas(i32),
    Image(bool),
    Config(u8),
    Pause(bool),
    Fault(Fault),
    Restart,
    Kubernetes,
    Health(i32, Health),
    Found,
}

fn any_event() -> impl Strategy<Value = Happens> {
    let fault = prop_oneof![
        Just(Fault::Refused(409)),
        Just(Fault::Refused(500)),
        Just(Fault::Unanswered),
    ];
    let health = prop_oneof![
        Just(Health::Starting),
        Just(Health::Ready),
        Just(Health::Failing),
    ];
    prop_oneof![
        8 => Just(Happens::Look),
        12 => (0..9_usize).prop_map(Happens::CatchUp),
        2 => (1..6_i32).prop_map(Happens::Replicas),
        2 => any::<bool>().prop_map(Happens::Image),
        1 => (0..3_u8).prop_map(Happens::Config),
        1 => any::<bool>().prop_map(Happens::Pause),
        3 => fault.prop_map(Happens::Fault),
        1 => Just(Happens::Restart),
        4 => Just(Happens::Kubernetes),
        4 => (0..5_i32, health).prop_map(|(broker, health)| Happens::Health(broker, health)),
        1 => Just(Happens::Found),
    ]
}

async fn happens(world: &mut World, event: Happens) {
    match event {
        Happens::Look => {
            world.look().await;
        }
        Happens::CatchUp(kind) => {
            let kinds = world.operator.kinds();
            world.operator.catch_up(&kinds[kind]);
        }
        Happens::Replicas(replicas) => world.edit(|cluster| cluster.spec.replicas = replicas),
        Happens::Image(newer) => world.edit(|cluster| {
            cluster.spec.image = Some(if newer { "fjord:3" } else { "fjord:2" }.to_owned());
        }),
        Happens::Config(partitions) => world.edit(|cluster| {
            let config = &mut cluster.spec.config;
            config.insert("num.partitions".to_owned(), partitions.to_string());
        }),
        Happens::Pause(paused) => world.edit(|cluster| cluster.spec.paused = paused),
        Happens::Fault(fault) => world.server.fail([Some(fault)]),
        Happens::Restart => world.operator = Operator::start(&world.server),
        Happens::Kubernetes => kubernetes::act(&world.server),
        Happens::Health(broker, health) => kubernetes::set_health(&world.server, broker, health),
        Happens::Found => world.found(),
    }
    world.invariants.check();
}

/// What the resource says is so, as far as that takes no broker that answers.
fn assert_is_reflected(world: &World) {
    let cluster = world.server.get(&main()).expect("the Cluster");
    let status = world.status();
    assert_eq!(status.observed_generation, cluster.metadata.generation);
    let set = world
        .server
        .list::<StatefulSet>()
        .pop()
        .and_then(|set| set.spec);
    let set = set.expect("a stateful set");
    assert!(set.replicas >= Some(cluster.spec.replicas));
    assert_eq!(Some(status.replicas), set.replicas);
    let pod = set.template.spec.expect("a pod");
    assert_eq!(pod.containers[0].image, status.image);
    if let Some(image) = cluster.spec.image {
        assert_eq!(status.image, Some(image));
    }
    let types = status.conditions.iter().map(|told| told.type_.as_str());
    let types: Vec<&str> = types.collect();
    let is_accepted = status.config.as_ref() == Some(&cluster.spec.config);
    assert_ne!(is_accepted, types.contains(&"ConfigInvalid"));
    assert!(!types.contains(&"ReconciliationPaused"));
}

async fn all_is_well_in_the_end(events: Vec<Happens>) {
    let mut world = World::new(&main());
    for event in events {
        happens(&mut world, event).await;
    }
    world.server.fail([]);
    world.edit(|cluster| cluster.spec.paused = false);
    world.settle().await;
    world.found();
    for broker in 0..5 {
        kubernetes::set_health(&world.server, broker, Health::Ready);
    }
    world.settle().await;
    assert_is_reflected(&world);
    world.server.take_requests();
    for _ in 0..3 {
        world.operator.look().await.expect("it is well");
    }
    assert_eq!(world.server.take_requests(), Vec::<String>::new());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn nothing_is_lost_and_nothing_is_stuck(events in vec(any_event(), 0..60)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("a runtime").block_on(all_is_well_in_the_end(events));
    }
}
