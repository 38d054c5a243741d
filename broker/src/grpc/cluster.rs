//! `ClusterService`: the cluster, its brokers, and what they are to have.

use std::collections::BTreeMap;

use fjord_proto::v1::{
    AddVoterRequest, AddVoterResponse, Broker, CheckRestartRequest, CheckRestartResponse,
    DescribeClusterRequest, DescribeClusterResponse, DescribeQuorumRequest, DescribeQuorumResponse,
    PlanReassignmentsRequest, PlanReassignmentsResponse, QuorumMember, RemoveVoterRequest,
    RemoveVoterResponse, UnregisterBrokerRequest, UnregisterBrokerResponse,
    cluster_service_server::ClusterService,
};
use fjord_wire::messages::{
    add_raft_voter_request::AddRaftVoterRequest,
    describe_cluster_request,
    describe_quorum_request::{self, PartitionData, TopicData},
    describe_quorum_response::ReplicaState,
    remove_raft_voter_request::RemoveRaftVoterRequest,
    unregister_broker_request,
};
use tonic::{Request, Response, Status};

use super::{
    backend::{Backend, stopping},
    disks, error,
    numbers::count,
    plans, restart,
};
use crate::{
    broker::election_defaults,
    metadata::{Image, image::NO_LEADER, topic_name::CLUSTER_METADATA},
};

const DESCRIBE_CLUSTER: i16 = 2;
const DESCRIBE_QUORUM: i16 = 2;
const ADD_RAFT_VOTER: i16 = 1;
const REMOVE_RAFT_VOTER: i16 = 0;
const UNREGISTER_BROKER: i16 = 0;
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

#[tonic::async_trait]
impl ClusterService for Cluster {
    async fn describe_cluster(
        &self,
        request: Request<DescribeClusterRequest>,
    ) -> Result<Response<DescribeClusterResponse>, Status> {
        let client = self.backend.client(&request);
        let asked = describe_cluster_request::DescribeClusterRequest {
            endpoint_type: BROKERS,
            include_fenced_brokers: true,
            ..describe_cluster_request::DescribeClusterRequest::default()
        };
        let cluster = client.call(DESCRIBE_CLUSTER, asked).await?;
        error::check(cluster.error_code, cluster.error_message)?;
        let this = self.backend.broker().id();
        let image = self.backend.image();
        let counts = counts(&image);
        let mut disks = disks::by_broker(&client, None).await?;
        let mut brokers = Vec::with_capacity(cluster.brokers.len());
        for broker in cluster.brokers {
            let disks = disks.remove(&broker.broker_id).unwrap_or_default();
            let counted = counts.get(&broker.broker_id).copied().unwrap_or_default();
            let registered = image.broker(broker.broker_id);
            brokers.push(Broker {
                broker: broker.broker_id,
                host: broker.host,
                port: broker.port,
                rack: broker.rack.unwrap_or_default(),
                size_bytes: disks.size,
                disk_total_bytes: disks.total,
                disk_free_bytes: disks.free,
                fenced: broker.is_fenced,
                stopping: registered.is_some_and(|broker| broker.in_controlled_shutdown),
                replicas: counted.replicas,
                leaders: counted.leaders,
                out_of_sync: counted.out_of_sync,
                cordoned: image.is_cordoned(broker.broker_id),
                directory_id: registered.map_or_else(String::new, |b| b.directory_id.to_string()),
            });
        }
        let (mut topics, mut partitions) = (0, 0);
        for topic in image.topics().filter(|topic| !topic.is_internal()) {
            topics += 1;
            partitions += count(topic.partitions.len());
        }
        Ok(Response::new(DescribeClusterResponse {
            cluster_id: cluster.cluster_id,
            controller: self
                .backend
                .broker()
                .cluster
                .controller()
                .unwrap_or(NO_LEADER),
            broker: this,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            brokers,
            topics,
            partitions,
        }))
    }

    async fn describe_quorum(
        &self,
        request: Request<DescribeQuorumRequest>,
    ) -> Result<Response<DescribeQuorumResponse>, Status> {
        let client = self.backend.client(&request);
        let asked = describe_quorum_request::DescribeQuorumRequest {
            topics: vec![TopicData {
                topic_name: CLUSTER_METADATA.to_owned(),
                partitions: vec![PartitionData { partition_index: 0 }],
            }],
        };
        let quorum = client.call(DESCRIBE_QUORUM, asked).await?;
        error::check(quorum.error_code, quorum.error_message)?;
        let mut partitions = quorum.topics.into_iter().flat_map(|topic| topic.partitions);
        let Some(partition) = partitions.next() else {
            return Err(Status::internal("DescribeQuorum left the partition out"));
        };
        error::check(partition.error_code, partition.error_message)?;
        Ok(Response::new(DescribeQuorumResponse {
            leader: partition.leader_id,
            leader_epoch: partition.leader_epoch,
            high_watermark: partition.high_watermark,
            voters: partition.current_voters.iter().map(member).collect(),
            observers: partition.observers.iter().map(member).collect(),
        }))
    }

    async fn add_voter(
        &self,
        request: Request<AddVoterRequest>,
    ) -> Result<Response<AddVoterResponse>, Status> {
        let client = self.backend.client(&request);
        let asked = AddRaftVoterRequest {
            voter_id: request.into_inner().broker,
            ..Default::default()
        };
        let response = client.call(ADD_RAFT_VOTER, asked).await?;
        error::check(response.error_code, response.error_message)?;
        Ok(Response::new(AddVoterResponse {}))
    }

    async fn remove_voter(
        &self,
        request: Request<RemoveVoterRequest>,
    ) -> Result<Response<RemoveVoterResponse>, Status> {
        let client = self.backend.client(&request);
        let asked = RemoveRaftVoterRequest {
            voter_id: request.into_inner().broker,
            ..Default::default()
        };
        let response = client.call(REMOVE_RAFT_VOTER, asked).await?;
        error::check(response.error_code, response.error_message)?;
        Ok(Response::new(RemoveVoterResponse {}))
    }

    async fn plan_reassignments(
        &self,
        request: Request<PlanReassignmentsRequest>,
    ) -> Result<Response<PlanReassignmentsResponse>, Status> {
        let client = self.backend.client(&request);
        let image = self.backend.image();
        let wanted = plans::wanted(&image, request.into_inner())?;
        let broker = self.backend.broker();
        let sizes = disks::largest(disks::by_broker(&client, None).await?);
        // On another thread: the plan of a large cluster takes seconds.
        let planned = broker.blocking(move || plans::planned(&image, &sizes, &wanted));
        planned.await.map(Response::new).ok_or_else(stopping)
    }

    async fn check_restart(
        &self,
        request: Request<CheckRestartRequest>,
    ) -> Result<Response<CheckRestartResponse>, Status> {
        let request = request.into_inner();
        let broker = self.backend.broker();
        let quorum = broker.cluster.quorum().await;
        let quorum = quorum.map_err(|error| Status::unavailable(error.to_string()))?;
        let voters: Vec<i32> = quorum.voters.iter().map(|voter| voter.broker_id).collect();
        let defaults = election_defaults(&broker.config());
        let checked = restart::checked(&self.backend.image(), request, &voters, defaults)?;
        Ok(Response::new(checked))
    }

    async fn unregister_broker(
        &self,
        request: Request<UnregisterBrokerRequest>,
    ) -> Result<Response<UnregisterBrokerResponse>, Status> {
        let client = self.backend.client(&request);
        let asked = unregister_broker_request::UnregisterBrokerRequest {
            broker_id: request.into_inner().broker,
        };
        let response = client.call(UNREGISTER_BROKER, asked).await?;
        error::check(response.error_code, response.error_message)?;
        Ok(Response::new(UnregisterBrokerResponse {}))
    }
}

/// What a broker has.
#[derive(Debug, Clone, Copy, Default)]
struct Counts {
    replicas: i32,
    leaders: i32,
    out_of_sync: i32,
}

fn counts(image: &Image) -> BTreeMap<i32, Counts> {
    let mut counts: BTreeMap<i32, Counts> = BTreeMap::new();
    for (_, _, partition) in image.partitions() {
        for id in &partition.replicas {
            let counts = counts.entry(*id).or_default();
            counts.replicas += 1;
            counts.leaders += i32::from(partition.leader == *id);
            counts.out_of_sync += i32::from(!partition.in_sync_replicas.contains(id));
        }
    }
    counts
}

fn member(state: &ReplicaState) -> QuorumMember {
    let known = |value: i64| Some(value).filter(|value| *value >= 0);
    QuorumMember {
        broker: state.replica_id,
        log_end_offset: known(state.log_end_offset),
        last_heard_ms: known(state.last_fetch_timestamp),
        last_caught_up_ms: known(state.last_caught_up_timestamp),
    }
}
