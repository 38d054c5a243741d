//! Who may reach the brokers: everybody at the ports for clients, only the cluster's own brokers at the port for peers.

use k8s_openapi::{
    api::networking::v1::{
        NetworkPolicy, NetworkPolicyIngressRule, NetworkPolicyPeer, NetworkPolicyPort,
        NetworkPolicySpec,
    },
    apimachinery::pkg::util::intstr::IntOrString,
};

use super::Blueprint;
use crate::cluster::names::{EXTERNAL_PORT, GRPC_PORT, HTTP_PORT, KAFKA_PORT, PEER_PORT};

/// The network policy of the brokers' pods.
#[must_use]
pub fn build(blueprint: &Blueprint<'_>) -> NetworkPolicy {
    let port = |port| NetworkPolicyPort {
        port: Some(IntOrString::Int(port)),
        protocol: Some("TCP".to_owned()),
        end_port: None,
    };
    let mut clients = vec![port(KAFKA_PORT), port(GRPC_PORT), port(HTTP_PORT)];
    if blueprint.cluster.spec.listeners.external.is_some() {
        clients.push(port(EXTERNAL_PORT));
    }
    let brokers = NetworkPolicyPeer {
        pod_selector: Some(blueprint.selector()),
        ..NetworkPolicyPeer::default()
    };
    NetworkPolicy {
        metadata: blueprint.meta(blueprint.names.cluster.clone()),
        spec: Some(NetworkPolicySpec {
            pod_selector: Some(blueprint.selector()),
            policy_types: Some(vec!["Ingress".to_owned()]),
            ingress: Some(vec![
                NetworkPolicyIngressRule {
                    from: None,
                    ports: Some(clients),
                },
                NetworkPolicyIngressRule {
                    from: Some(vec![brokers]),
                    ports: Some(vec![port(PEER_PORT)]),
                },
            ]),
            egress: None,
        }),
    }
}
