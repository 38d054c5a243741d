//! What the objects of a cluster look like.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{Blueprint, config_map, pod, services, stateful_set};
use crate::{
    api::Cluster,
    cluster::{names::Names, template::Template},
};

fn cluster(spec: Value) -> Cluster {
    serde_json::from_value(json!({
        "apiVersion": "fjord.dev/v1alpha1", "kind": "Cluster",
        "metadata": {"name": "orders", "namespace": "shop", "uid": "u"}, "spec": spec,
    }))
    .unwrap()
}

fn blueprint<'a>(
    cluster: &'a Cluster,
    formed: bool,
    config: &'a BTreeMap<String, String>,
) -> Blueprint<'a> {
    Blueprint {
        names: Names::new(cluster, None),
        cluster,
        cluster_id: "id",
        formed,
        image: "fjord:1",
        config,
        replicas: cluster.spec.replicas,
        external: BTreeMap::new(),
    }
}

#[test]
fn brokers_found_the_cluster_once_and_join_it_ever_after() {
    let cluster = cluster(json!({"replicas": 4}));
    let config = BTreeMap::from([("num.partitions".to_owned(), "3".to_owned())]);
    let before = config_map::configs(&blueprint(&cluster, false, &config), 3);
    let voters = &before["controller.quorum.voters"];
    assert_eq!(
        voters.split(',').next(),
        Some("0@orders-0.orders-brokers.shop.svc:9392")
    );
    assert_eq!(voters.split(',').count(), 3);
    assert_eq!(before["num.partitions"], "3");
    let after = config_map::configs(&blueprint(&cluster, true, &config), 3);
    assert!(!after.contains_key("controller.quorum.voters"));
    let peers = &after["controller.quorum.bootstrap.servers"];
    assert_eq!(peers.split(',').count(), 4);
}

#[test]
fn what_is_no_reason_for_a_restart_is_not_in_the_template() {
    let config = BTreeMap::new();
    let (three, five) = (
        cluster(json!({"replicas": 3})),
        cluster(json!({"replicas": 5})),
    );
    let template = |cluster, formed| Template::new(&blueprint(cluster, formed, &config));
    assert_eq!(template(&three, false), template(&five, true));
    let other = cluster(json!({"replicas": 3, "pod": {"priorityClassName": "high"}}));
    assert_ne!(template(&three, true), template(&other, true));
}

#[test]
fn pods_are_restricted() {
    let cluster = cluster(json!({"replicas": 3, "rack": {"key": "topology.kubernetes.io/zone"}}));
    let config = BTreeMap::new();
    let template = serde_json::to_value(pod::build(&blueprint(&cluster, true, &config))).unwrap();
    let pod = &template["spec"];
    assert_eq!(pod["securityContext"]["runAsUser"], 65532);
    assert_eq!(pod["automountServiceAccountToken"], false);
    let container = &pod["containers"][0];
    let security = &container["securityContext"];
    assert_eq!(security["readOnlyRootFilesystem"], true);
    assert_eq!(security["allowPrivilegeEscalation"], false);
    assert_eq!(security["capabilities"]["drop"], json!(["ALL"]));
    let environment = container["env"].as_array().unwrap();
    let rack = environment
        .iter()
        .find(|env| env["name"] == "FJORD_BROKER_RACK");
    assert_eq!(
        rack.unwrap()["valueFrom"]["fieldRef"]["fieldPath"],
        "metadata.labels['topology.kubernetes.io/zone']"
    );
}

#[test]
fn what_cannot_change_of_a_stateful_set_stays() {
    let small = cluster(json!({"replicas": 3, "storage": {"size": "1Gi"}}));
    let large = cluster(json!({"replicas": 3, "storage": {"size": "2Gi"}}));
    let config = BTreeMap::new();
    let there = stateful_set::build(&blueprint(&small, true, &config), None);
    let grown = stateful_set::build(&blueprint(&large, true, &config), Some(&there));
    assert_eq!(there, grown);
}

#[test]
fn each_broker_has_an_address_outside() {
    let external = json!({"type": "NodePort", "advertisedHost": "b{broker}.example.com"});
    let cluster = cluster(json!({"replicas": 2, "listeners": {"external": external}}));
    let config = BTreeMap::new();
    let mut blueprint = blueprint(&cluster, true, &config);
    let services = services::build(&blueprint);
    let names: Vec<_> = services
        .iter()
        .filter_map(|service| service.metadata.name.as_deref())
        .collect();
    assert_eq!(
        names,
        [
            "orders-brokers",
            "orders-bootstrap",
            "orders-grpc",
            "orders-0-external",
            "orders-1-external"
        ]
    );
    let mut service = services[4].clone();
    let listener = cluster.spec.listeners.external.as_ref().unwrap();
    assert_eq!(services::external_address(listener, 1, &service), None);
    service.spec.as_mut().unwrap().ports.as_mut().unwrap()[0].node_port = Some(30_001);
    let address = services::external_address(listener, 1, &service);
    assert_eq!(address.as_deref(), Some("b1.example.com:30001"));
    blueprint
        .external
        .extend(address.map(|address| (1, address)));
    let configs = config_map::configs(&blueprint, 1);
    assert!(configs["advertised.listeners"].ends_with(",EXTERNAL://b1.example.com:30001"));
}
