//! All services of the listener, for one broker.

use fjord_proto::v1::{
    cluster_service_server::ClusterServiceServer, config_service_server::ConfigServiceServer,
    consumer_service_server::ConsumerServiceServer, fetch_service_server::FetchServiceServer,
    group_service_server::GroupServiceServer, producer_service_server::ProducerServiceServer,
    topic_service_server::TopicServiceServer,
};
use tonic::service::{Routes, RoutesBuilder};

use super::{
    backend::Backend, cluster::Cluster, configs::ConfigsOfAll, consumer::Consumer, fetch::Fetch,
    groups::Groups, producer::Producer, topics::Topics,
};

/// The largest message that a client may send.
const MAX_MESSAGE_BYTES: usize = 16 << 20;

/// The broker's own services, and the one that shows them to clients (`grpc.reflection.v1.ServerReflection`).
///
/// # Errors
///
/// If the protos cannot be shown.
pub fn services(backend: &Backend) -> Result<Routes, tonic_reflection::server::Error> {
    let reflection = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(fjord_proto::DESCRIPTORS)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .build_v1()?;
    let backend = || backend.clone();
    let producer = ProducerServiceServer::new(Producer::new(backend()))
        .max_decoding_message_size(MAX_MESSAGE_BYTES);
    let mut routes = RoutesBuilder::default();
    routes
        .add_service(reflection)
        .add_service(producer)
        .add_service(FetchServiceServer::new(Fetch::new(backend())))
        .add_service(ConsumerServiceServer::new(Consumer::new(backend())))
        .add_service(GroupServiceServer::new(Groups::new(backend())))
        .add_service(TopicServiceServer::new(Topics::new(backend())))
        .add_service(ConfigServiceServer::new(ConfigsOfAll::new(backend())))
        .add_service(ClusterServiceServer::new(Cluster::new(backend())));
    Ok(routes.routes())
}
