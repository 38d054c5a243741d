//! `ClusterService`: the cluster and its brokers.

use fjord_proto::v1::{
    Broker, DescribeClusterRequest, DescribeClusterResponse, cluster_service_server::ClusterService,
};
use fjord_wire::messages::{
    describe_cluster_request, describe_log_dirs_request::DescribeLogDirsRequest,
};
use tonic::{Request, Response, Status};

use super::{
    backend::{Backend, Client},
    error,
};

const DESCRIBE_CLUSTER: i16 = 1;
const DESCRIBE_LOG_DIRS: i16 = 4;
/// Asks for brokers, not for controllers (KIP-919).
const BROKERS: i8 = 1;

/// See the module's documentation.
pub struct Cluster {
    backend: Backend,
}

impl Cluster {
    pub fn new(backend: Backend) -> Self {
        Self { backend }
    }
}

/// What is on a broker's disks.
#[derive(Default)]
struct Disks {
    size_bytes: i64,
    total_bytes: i64,
    free_bytes: i64,
}

#[tonic::async_trait]
impl ClusterService for Cluster {
    async fn describe_cluster(
        &self,
        request: Request<DescribeClusterRequest>,
    ) -> Result<Response<DescribeClusterResponse>, Status> {
        let client = self.backend.client(&request);
        let asked = describe_cluster_request::DescribeClusterRequest {
            endpoint_type: BROKERS,
            ..describe_cluster_request::DescribeClusterRequest::default()
        };
        let cluster = client.call(DESCRIBE_CLUSTER, asked).await?;
        error::check(cluster.error_code, cluster.error_message)?;
        let this = self.backend.broker().id();
        let mut brokers = Vec::with_capacity(cluster.brokers.len());
        for broker in cluster.brokers {
            let disks = match broker.broker_id == this {
                true => disks(&client).await?,
                false => Disks::default(),
            };
            brokers.push(Broker {
                broker: broker.broker_id,
                host: broker.host,
                port: broker.port,
                rack: broker.rack.unwrap_or_default(),
                size_bytes: disks.size_bytes,
                disk_total_bytes: disks.total_bytes,
                disk_free_bytes: disks.free_bytes,
            });
        }
        let image = self.backend.image();
        let (mut topics, mut partitions) = (0, 0);
        for topic in image.topics().filter(|topic| !topic.is_internal()) {
            topics += 1;
            partitions += i32::try_from(topic.partitions.len()).unwrap_or(i32::MAX);
        }
        Ok(Response::new(DescribeClusterResponse {
            cluster_id: cluster.cluster_id,
            controller: cluster.controller_id,
            broker: this,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            brokers,
            topics,
            partitions,
        }))
    }
}

async fn disks(client: &Client) -> Result<Disks, Status> {
    let request = DescribeLogDirsRequest { topics: None };
    let response = client.call(DESCRIBE_LOG_DIRS, request).await?;
    error::check(response.error_code, None)?;
    let mut disks = Disks::default();
    for directory in response.results {
        error::check(directory.error_code, None)?;
        disks.total_bytes += directory.total_bytes.max(0);
        disks.free_bytes += directory.usable_bytes.max(0);
        let partitions = directory.topics.iter().flat_map(|topic| &topic.partitions);
        disks.size_bytes += partitions
            .map(|partition| partition.partition_size)
            .sum::<i64>();
    }
    Ok(disks)
}
