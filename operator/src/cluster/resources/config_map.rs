//! The brokers' configuration files, one for each broker.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ConfigMap;

use super::Blueprint;
use crate::cluster::names::{EXTERNAL_PORT, GRPC_PORT, HTTP_PORT, KAFKA_PORT, PEER_PORT};

/// Where the files are in the pods.
pub const DIRECTORY: &str = "/etc/fjord";
/// Where the brokers' volumes are in the pods.
pub const DATA: &str = "/var/lib/fjord";
/// The most voters of the metadata's quorum: more make every change slower.
const MOST_VOTERS: i32 = 5;

/// How many brokers decide on metadata where there are `replicas`: an odd number, for an even one survives no more.
#[must_use]
pub fn voters(replicas: i32) -> i32 {
    match replicas.min(MOST_VOTERS) {
        replicas if replicas % 2 == 0 => replicas - 1,
        replicas => replicas,
    }
}

/// The config map with a file for each broker.
#[must_use]
pub fn build(blueprint: &Blueprint<'_>) -> ConfigMap {
    let files = (0..blueprint.replicas).map(|broker| (file(broker), content(blueprint, broker)));
    ConfigMap {
        metadata: blueprint.meta(blueprint.names.cluster.clone()),
        data: Some(files.collect()),
        ..ConfigMap::default()
    }
}

/// The name of a broker's file.
#[must_use]
pub fn file(broker: i32) -> String {
    format!("broker-{broker}.yaml")
}

fn content(blueprint: &Blueprint<'_>, broker: i32) -> String {
    let configs = configs(blueprint, broker);
    // A text between quotes as JSON has them is one in YAML too.
    let line = |(name, value): (&String, &String)| {
        format!("{name}: {}\n", serde_json::Value::from(value.as_str()))
    };
    configs.iter().map(line).collect()
}

/// What a broker is started with.
#[must_use]
pub fn configs(blueprint: &Blueprint<'_>, broker: i32) -> BTreeMap<String, String> {
    let names = &blueprint.names;
    let mut configs = blueprint.config.clone();
    let mut set = |name: &str, value: String| configs.insert(name.to_owned(), value);
    let mut listeners = format!("PLAINTEXT://:{KAFKA_PORT}");
    let mut advertised = format!("PLAINTEXT://{}:{KAFKA_PORT}", names.host(broker));
    if let Some(address) = blueprint.external.get(&broker) {
        listeners += &format!(",EXTERNAL://:{EXTERNAL_PORT}");
        advertised += &format!(",EXTERNAL://{address}");
        set(
            "listener.security.protocol.map",
            "PLAINTEXT:PLAINTEXT,EXTERNAL:PLAINTEXT".to_owned(),
        );
    }
    set("listeners", listeners);
    set("advertised.listeners", advertised);
    set("log.dir", format!("{DATA}/data"));
    set("fjord.cluster.id", blueprint.cluster_id.to_owned());
    set("fjord.peer.listen", format!(":{PEER_PORT}"));
    set("fjord.peer.advertised", names.peer(broker));
    set("fjord.grpc.listen", format!(":{GRPC_PORT}"));
    set("fjord.http.listen", format!(":{HTTP_PORT}"));
    let peers = (0..blueprint.replicas).map(|broker| names.peer(broker));
    set(
        "controller.quorum.bootstrap.servers",
        peers.collect::<Vec<_>>().join(","),
    );
    if !blueprint.formed {
        let voters = (0..voters(blueprint.replicas)).map(|id| {
            let peer = names.peer(id);
            format!("{id}@{peer}")
        });
        set(
            "controller.quorum.voters",
            voters.collect::<Vec<_>>().join(","),
        );
    }
    configs
}
