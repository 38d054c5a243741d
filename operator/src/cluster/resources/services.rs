//! Names and addresses: of each broker inside, of all of them together, and of each broker outside.

use k8s_openapi::{
    api::core::v1::{Service, ServicePort, ServiceSpec},
    apimachinery::pkg::util::intstr::IntOrString,
};

use super::Blueprint;
use crate::{
    api::cluster::{ExternalListener, ExternalType},
    cluster::names::{EXTERNAL_PORT, GRPC_PORT, HTTP_PORT, KAFKA_PORT, PEER_PORT},
};

/// The services of a cluster.
#[must_use]
pub fn build(blueprint: &Blueprint<'_>) -> Vec<Service> {
    let name = &blueprint.names.cluster;
    let together = |name: String, port| service(blueprint, name, &[port]);
    let mut services = vec![
        headless(blueprint),
        together(format!("{name}-bootstrap"), ("kafka", KAFKA_PORT)),
        together(format!("{name}-grpc"), ("grpc", GRPC_PORT)),
    ];
    if let Some(listener) = &blueprint.cluster.spec.listeners.external {
        let brokers = 0..blueprint.replicas;
        services.extend(brokers.map(|broker| external(blueprint, listener, broker)));
    }
    services
}

/// Brokers find each other before they are ready: nobody would become ready otherwise.
fn headless(blueprint: &Blueprint<'_>) -> Service {
    let ports = [
        ("kafka", KAFKA_PORT),
        ("grpc", GRPC_PORT),
        ("http", HTTP_PORT),
        ("peer", PEER_PORT),
    ];
    let mut service = service(blueprint, blueprint.names.headless(), &ports);
    if let Some(spec) = &mut service.spec {
        spec.cluster_ip = Some("None".to_owned());
        spec.publish_not_ready_addresses = Some(true);
    }
    service
}

fn external(blueprint: &Blueprint<'_>, listener: &ExternalListener, broker: i32) -> Service {
    let name = blueprint.names.external(broker);
    let mut service = service(blueprint, name, &[("external", EXTERNAL_PORT)]);
    let annotations = listener.annotations.iter();
    let filled = annotations.map(|(key, value)| {
        let value = ExternalListener::filled(value, broker);
        (key.clone(), value)
    });
    service.metadata.annotations = Some(filled.collect());
    if let Some(spec) = &mut service.spec {
        let kind = match listener.type_ {
            ExternalType::NodePort => "NodePort",
            ExternalType::LoadBalancer => "LoadBalancer",
        };
        spec.type_ = Some(kind.to_owned());
        let pod = (
            "statefulset.kubernetes.io/pod-name".to_owned(),
            blueprint.names.pod(broker),
        );
        spec.selector.get_or_insert_default().extend([pod]);
        // Clients are told this address while the broker starts, too.
        spec.publish_not_ready_addresses = Some(true);
    }
    service
}

fn service(blueprint: &Blueprint<'_>, name: String, ports: &[(&str, i32)]) -> Service {
    let port = |(name, port): &(&str, i32)| ServicePort {
        name: Some((*name).to_owned()),
        port: *port,
        protocol: Some("TCP".to_owned()),
        target_port: Some(IntOrString::String((*name).to_owned())),
        ..ServicePort::default()
    };
    Service {
        metadata: blueprint.meta(name),
        spec: Some(ServiceSpec {
            selector: Some(blueprint.names.selector()),
            ports: Some(ports.iter().map(port).collect()),
            ..ServiceSpec::default()
        }),
        status: None,
    }
}

/// Where clients outside reach a broker, `HOST:PORT`, once its service has an address.
#[must_use]
pub fn external_address(
    listener: &ExternalListener,
    broker: i32,
    service: &Service,
) -> Option<String> {
    let named = listener.advertised_host.as_ref();
    let named = named.map(|host| ExternalListener::filled(host, broker));
    let port = service.spec.as_ref()?.ports.as_ref()?.first()?;
    match listener.type_ {
        ExternalType::NodePort => Some(format!("{}:{}", named?, port.node_port?)),
        ExternalType::LoadBalancer => {
            let balancer = service.status.as_ref()?.load_balancer.as_ref()?;
            let ingress = balancer.ingress.as_ref()?.first()?;
            let given = ingress.hostname.clone().or_else(|| ingress.ip.clone());
            Some(format!("{}:{}", named.or(given)?, port.port))
        }
    }
}
