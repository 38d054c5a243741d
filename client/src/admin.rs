//! Calls that administer a cluster: each of the API's, with its message.
//!
//! Those that only read are made again while no answer can be had; those that change something are made once.

use fjord_proto::v1::{
    self, cluster_service_client::ClusterServiceClient, config_service_client::ConfigServiceClient,
    group_service_client::GroupServiceClient, topic_service_client::TopicServiceClient,
};

use crate::{Client, Result};

/// Writes a method of [`Client`] for each call of a service: one that reads, or one that changes something.
macro_rules! calls {
    ($service:ident: $($(#[$doc:meta])* $kind:ident $method:ident($request:ident) -> $response:ident;)*) => {
        impl Client {
            $(
                calls! { @$kind $service; $(#[$doc])* $method($request) -> $response }
            )*
        }
    };
    (@read $service:ident; $(#[$doc:meta])* $method:ident($request:ident) -> $response:ident) => {
        $(#[$doc])*
        ///
        /// # Errors
        ///
        /// What the broker says, or that it was not reached. While the broker is not available, or if the connection
        /// breaks, it is asked again, within
        /// [`request_timeout`](crate::ClientOptions::request_timeout) altogether.
        pub async fn $method(&self, request: v1::$request) -> Result<v1::$response> {
            let most = self.options().max_message_bytes;
            let call = |channel, request| async move {
                let mut service = $service::new(channel).max_decoding_message_size(most);
                service.$method(request).await
            };
            self.read(request, call).await
        }
    };
    (@change $service:ident; $(#[$doc:meta])* $method:ident($request:ident) -> $response:ident) => {
        $(#[$doc])*
        ///
        /// # Errors
        ///
        /// What the broker says, or that it was not reached. A call is made once: after
        /// [`Error::Disconnected`](crate::Error::Disconnected) and [`Error::Timeout`](crate::Error::Timeout)
        /// it is not known whether it took effect.
        pub async fn $method(&self, request: v1::$request) -> Result<v1::$response> {
            let connection = self.connection();
            let mut service = $service::new(connection.channel.clone())
                .max_decoding_message_size(self.options().max_message_bytes);
            let answer = service.$method(self.request(request)).await;
            self.answered(&connection, answer).await
        }
    };
}

calls! { TopicServiceClient:
    /// Makes a topic.
    change create_topic(CreateTopicRequest) -> CreateTopicResponse;
    /// Lists the topics.
    read list_topics(ListTopicsRequest) -> ListTopicsResponse;
    /// Describes a topic: its partitions, where they are, and what is in them.
    read describe_topic(DescribeTopicRequest) -> DescribeTopicResponse;
    /// Gives a topic more partitions, or other configs.
    change alter_topic(AlterTopicRequest) -> AlterTopicResponse;
    /// Deletes a topic and all its records.
    change delete_topic(DeleteTopicRequest) -> DeleteTopicResponse;
    /// Deletes the records before an offset.
    change delete_records(DeleteRecordsRequest) -> DeleteRecordsResponse;
    /// Finds offsets: the ends of partitions, or the first record of a time.
    read list_offsets(ListOffsetsRequest) -> ListOffsetsResponse;
    /// Gives partitions other replicas, or another number of them.
    change reassign_partitions(ReassignPartitionsRequest) -> ReassignPartitionsResponse;
    /// Lists the partitions that are on their way to other replicas.
    read list_reassignments(ListReassignmentsRequest) -> ListReassignmentsResponse;
    /// Elects leaders of partitions anew.
    change elect_leaders(ElectLeadersRequest) -> ElectLeadersResponse;
}

calls! { GroupServiceClient:
    /// Lists the consumer groups.
    read list_groups(ListGroupsRequest) -> ListGroupsResponse;
    /// Describes a group: its members, what is committed, and how far behind that is.
    read describe_group(DescribeGroupRequest) -> DescribeGroupResponse;
    /// Sets the committed offsets of a group that has no members.
    change reset_offsets(ResetOffsetsRequest) -> ResetOffsetsResponse;
    /// Forgets committed offsets of topics that no member of the group reads.
    change delete_offsets(DeleteOffsetsRequest) -> DeleteOffsetsResponse;
    /// Deletes a group that has no members, and its offsets.
    change delete_group(DeleteGroupRequest) -> DeleteGroupResponse;
}

calls! { ConfigServiceClient:
    /// Lists configs, with their values, where those come from, and what they do.
    read describe_configs(DescribeConfigsRequest) -> DescribeConfigsResponse;
    /// Changes configs while the broker runs.
    change alter_configs(AlterConfigsRequest) -> AlterConfigsResponse;
    /// Says what would keep a broker from starting with some configs.
    read check_configs(CheckConfigsRequest) -> CheckConfigsResponse;
}

calls! { ClusterServiceClient:
    /// Describes the cluster: its id, its brokers, and how much is on their disks.
    read describe_cluster(DescribeClusterRequest) -> DescribeClusterResponse;
    /// Describes the quorum: the brokers that decide on metadata, and how far each of them is.
    read describe_quorum(DescribeQuorumRequest) -> DescribeQuorumResponse;
    /// Gives a broker a vote in the quorum.
    change add_voter(AddVoterRequest) -> AddVoterResponse;
    /// Takes a broker's vote in the quorum away, whether it runs or not; it follows on.
    change remove_voter(RemoveVoterRequest) -> RemoveVoterResponse;
    /// Says which replicas would have to move to reach a goal.
    read plan_reassignments(PlanReassignmentsRequest) -> PlanReassignmentsResponse;
    /// Says what would be at risk while some brokers are down.
    read check_restart(CheckRestartRequest) -> CheckRestartResponse;
    /// Forgets a broker that has stopped and will not come back, and whatever it has.
    change unregister_broker(UnregisterBrokerRequest) -> UnregisterBrokerResponse;
}
