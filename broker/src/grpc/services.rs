//! All services of the listener, for one broker.

use fjord_proto::v1::{
    cluster_service_server::{self, ClusterServiceServer},
    config_service_server::{self, ConfigServiceServer},
    consumer_service_server::{self, ConsumerServiceServer},
    fetch_service_server::{self, FetchServiceServer},
    group_service_server::{self, GroupServiceServer},
    producer_service_server::{self, ProducerServiceServer},
    topic_service_server::{self, TopicServiceServer},
};
use tonic::service::{Routes, RoutesBuilder};

use super::{
    backend::Backend, cluster::Cluster, configs::ConfigsOfAll, consumer::Consumer, fetch::Fetch,
    groups::Groups, producer::Producer, topics::Topics,
};

/// The names of the broker's own services, for the health service.
pub const NAMES: [&str; 7] = [
    cluster_service_server::SERVICE_NAME,
    config_service_server::SERVICE_NAME,
    consumer_service_server::SERVICE_NAME,
    fetch_service_server::SERVICE_NAME,
    group_service_server::SERVICE_NAME,
    producer_service_server::SERVICE_NAME,
    topic_service_server::SERVICE_NAME,
];

/// The broker's own services, and the one that shows them to clients (`grpc.reflection.v1.ServerReflection`).
///
/// # Errors
///
/// If the protos cannot be shown.
pub fn services(backend: &Backend) -> Result<Routes, tonic_reflection::server::Error> {
    let reflection = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(fjord_proto::DESCRIPTORS)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    let most = backend.broker().config().grpc.max_message_bytes;
    let backend = || backend.clone();
    let mut routes = RoutesBuilder::default();
    routes
        .add_service(reflection().build_v1()?)
        // Which grpcio and older tools ask.
        .add_service(reflection().build_v1alpha()?)
        .add_service(
            ProducerServiceServer::new(Producer::new(backend())).max_decoding_message_size(most),
        )
        .add_service(FetchServiceServer::new(Fetch::new(backend())).max_decoding_message_size(most))
        .add_service(
            ConsumerServiceServer::new(Consumer::new(backend())).max_decoding_message_size(most),
        )
        .add_service(
            GroupServiceServer::new(Groups::new(backend())).max_decoding_message_size(most),
        )
        .add_service(
            TopicServiceServer::new(Topics::new(backend())).max_decoding_message_size(most),
        )
        .add_service(
            ConfigServiceServer::new(ConfigsOfAll::new(backend())).max_decoding_message_size(most),
        )
        .add_service(
            ClusterServiceServer::new(Cluster::new(backend())).max_decoding_message_size(most),
        );
    Ok(routes.routes())
}
