//! DescribeQuorum (key 55), versions 0 to 2: who decides on the metadata, and how far the others are (KIP-595).
//!
//! - There is one partition to ask for, `__cluster_metadata-0`; any other, or none, is answered with
//!   UNKNOWN_TOPIC_OR_PARTITION. Without a leader it is NOT_LEADER_OR_FOLLOWER, upon which clients ask again.
//! - Version 1 tells when members were last heard of (KIP-836); version 2 has ids of directories and the
//!   voters' addresses (KIP-853). Voters have no listener for clients of their own, so these are where
//!   clients reach the brokers.

use fjord_wire::{
    ErrorCode,
    messages::{
        describe_quorum_request::DescribeQuorumRequest,
        describe_quorum_response::{
            DescribeQuorumResponse, Listener, Node, PartitionData, ReplicaState, TopicData,
        },
    },
};
use uuid::Uuid;

use super::{
    Answer, Call, Handler,
    call::first_of,
    error::{ApiError, code_and_message},
};
use crate::{
    cluster_view::{QuorumMember, QuorumView},
    controller::PEER_ENDPOINT,
    metadata::{Image, topic_name::CLUSTER_METADATA},
    net::CloseConnection,
    security::{Operation, Resource},
};

/// The only partition of the metadata.
const PARTITION: i32 = 0;
/// Stands for what is not known.
const UNKNOWN: i64 = -1;
const FIRST_VERSION_WITH_NODES: i16 = 2;

pub struct DescribeQuorum;

impl Handler for DescribeQuorum {
    type Request = DescribeQuorumRequest;

    async fn handle(
        call: Call<DescribeQuorumRequest>,
    ) -> Result<Answer<DescribeQuorumResponse>, CloseConnection> {
        if !call.is_authorized(Operation::Describe, Resource::cluster()) {
            return Ok(Answer::Now(DescribeQuorumResponse {
                error_code: ErrorCode::ClusterAuthorizationFailed.code(),
                error_message: None,
                ..Default::default()
            }));
        }
        if !asks_for_metadata(&call.request) {
            return Ok(Answer::Now(unknown_partitions(&call.request)));
        }
        let quorum = call.broker.cluster.quorum();
        let (image, version) = (call.image(), call.version);
        // The broker that leads the quorum may be another one, and slow.
        Ok(Answer::later(async move {
            match quorum.await {
                Ok(view) => described(&view, &image, version),
                Err(error) => refused(error.into()),
            }
        }))
    }

    fn first_error(response: &DescribeQuorumResponse) -> i16 {
        let partitions = response.topics.iter().flat_map(|topic| &topic.partitions);
        let of_partitions = partitions.map(|partition| partition.error_code);
        first_of(std::iter::once(response.error_code).chain(of_partitions))
    }
}

fn asks_for_metadata(request: &DescribeQuorumRequest) -> bool {
    let [topic] = request.topics.as_slice() else {
        return false;
    };
    let indexes = topic.partitions.iter().map(|asked| asked.partition_index);
    topic.topic_name == CLUSTER_METADATA && indexes.eq([PARTITION])
}

fn unknown_partitions(request: &DescribeQuorumRequest) -> DescribeQuorumResponse {
    let unknown = |partition_index| PartitionData {
        partition_index,
        error_code: ErrorCode::UnknownTopicOrPartition.code(),
        error_message: None,
        ..Default::default()
    };
    let topics = request.topics.iter().map(|topic| TopicData {
        topic_name: topic.topic_name.clone(),
        partitions: topic
            .partitions
            .iter()
            .map(|asked| unknown(asked.partition_index))
            .collect(),
    });
    DescribeQuorumResponse {
        error_message: None,
        topics: topics.collect(),
        ..Default::default()
    }
}

fn of_metadata(partition: PartitionData) -> DescribeQuorumResponse {
    DescribeQuorumResponse {
        error_message: None,
        topics: vec![TopicData {
            topic_name: CLUSTER_METADATA.to_owned(),
            partitions: vec![partition],
        }],
        ..Default::default()
    }
}

fn refused(error: ApiError) -> DescribeQuorumResponse {
    let (error_code, error_message) = code_and_message(Err(error));
    of_metadata(PartitionData {
        partition_index: PARTITION,
        error_code,
        error_message,
        leader_id: crate::metadata::image::NO_LEADER,
        ..Default::default()
    })
}

fn described(view: &QuorumView, image: &Image, version: i16) -> DescribeQuorumResponse {
    let has_nodes = version >= FIRST_VERSION_WITH_NODES;
    let states = |members: &[QuorumMember]| {
        let states = members.iter().map(|member| {
            let broker = image.broker(member.broker_id).filter(|_| has_nodes);
            state(member, broker.map(|broker| broker.directory_id))
        });
        states.collect()
    };
    let response = of_metadata(PartitionData {
        partition_index: PARTITION,
        error_code: ErrorCode::None.code(),
        error_message: None,
        leader_id: view.leader_id,
        leader_epoch: view.leader_epoch,
        high_watermark: offset(Some(view.high_watermark)),
        current_voters: states(&view.voters),
        observers: states(&view.observers),
    });
    let nodes = match has_nodes {
        true => view.voters.iter().map(|voter| node(image, voter)).collect(),
        false => Vec::new(),
    };
    DescribeQuorumResponse { nodes, ..response }
}

fn offset(offset: Option<u64>) -> i64 {
    offset.map_or(UNKNOWN, |offset| i64::try_from(offset).unwrap_or(i64::MAX))
}

/// The id of the directory is that of the registration, in versions that have it.
fn state(member: &QuorumMember, directory_id: Option<Uuid>) -> ReplicaState {
    ReplicaState {
        replica_id: member.broker_id,
        replica_directory_id: directory_id.unwrap_or_default(),
        log_end_offset: offset(member.log_end_offset),
        last_fetch_timestamp: member.last_fetch_ms.unwrap_or(UNKNOWN),
        last_caught_up_timestamp: member.last_caught_up_ms.unwrap_or(UNKNOWN),
    }
}

fn node(image: &Image, voter: &QuorumMember) -> Node {
    let endpoints = image
        .broker(voter.broker_id)
        .map(|broker| &broker.endpoints);
    let for_clients = endpoints
        .into_iter()
        .flatten()
        .filter(|endpoint| endpoint.listener != PEER_ENDPOINT);
    Node {
        node_id: voter.broker_id,
        listeners: for_clients
            .map(|endpoint| Listener {
                name: endpoint.listener.clone(),
                host: endpoint.host.clone(),
                port: endpoint.port,
            })
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metadata::{
        Broker,
        records::{Endpoint, Record},
    };

    fn member(broker_id: i32, log_end_offset: Option<u64>) -> QuorumMember {
        QuorumMember {
            broker_id,
            log_end_offset,
            last_fetch_ms: log_end_offset.map(|_| 1_000),
            last_caught_up_ms: None,
        }
    }

    fn view() -> QuorumView {
        QuorumView {
            leader_id: 2,
            leader_epoch: 7,
            high_watermark: 90,
            voters: vec![member(1, Some(90)), member(2, Some(91)), member(3, None)],
            observers: vec![member(4, Some(80))],
        }
    }

    fn image() -> Image {
        let endpoint = |listener: &str| Endpoint {
            listener: listener.to_owned(),
            host: "broker-1".to_owned(),
            port: 9092,
        };
        Image::default().apply(Record::from(Broker {
            broker_id: 1,
            epoch: 0,
            incarnation_id: Uuid::nil(),
            rack: None,
            endpoints: vec![endpoint("PLAINTEXT"), endpoint(PEER_ENDPOINT)],
            directory_id: Uuid::from_u128(9),
            supported_features: Default::default(),
            fenced: false,
            silent: false,
            in_controlled_shutdown: false,
        }))
    }

    #[test]
    fn members_are_told_with_what_is_known_of_them() {
        let response = described(&view(), &image(), 2);
        let partition = &response.topics[0].partitions[0];
        assert_eq!((partition.leader_id, partition.leader_epoch), (2, 7));
        assert_eq!(partition.high_watermark, 90);
        let ends = |states: &[ReplicaState]| -> Vec<(i32, i64, i64)> {
            let ends = states.iter();
            ends.map(|s| (s.replica_id, s.log_end_offset, s.last_fetch_timestamp))
                .collect()
        };
        assert_eq!(
            ends(&partition.current_voters),
            [(1, 90, 1_000), (2, 91, 1_000), (3, -1, -1)]
        );
        assert_eq!(ends(&partition.observers), [(4, 80, 1_000)]);
        let directory = |place: usize| partition.current_voters[place].replica_directory_id;
        assert_eq!(directory(0), Uuid::from_u128(9));
        assert!(directory(1).is_nil());
    }

    #[test]
    fn voters_have_the_addresses_that_clients_know_and_no_others() {
        let response = described(&view(), &image(), 2);
        let nodes: Vec<(i32, Vec<&str>)> = response
            .nodes
            .iter()
            .map(|node| {
                let names = node.listeners.iter().map(|l| l.name.as_str());
                (node.node_id, names.collect())
            })
            .collect();
        assert_eq!(nodes, [(1, vec!["PLAINTEXT"]), (2, vec![]), (3, vec![])]);
        let old = described(&view(), &image(), 1);
        assert_eq!(old.nodes, []);
        let voters = &old.topics[0].partitions[0].current_voters;
        assert!(voters.iter().all(|v| v.replica_directory_id.is_nil()));
    }
}
