//! Calls that administer a cluster: each of the API's, with its message.

use fjord_proto::v1::{
    self, cluster_service_client::ClusterServiceClient, config_service_client::ConfigServiceClient,
    group_service_client::GroupServiceClient, topic_service_client::TopicServiceClient,
};

use crate::{Client, Result};

/// Writes a method of [`Client`] for each call of a service.
macro_rules! calls {
    ($service:ident: $($(#[$doc:meta])* $method:ident($request:ident) -> $response:ident;)*) => {
        impl Client {
            $(
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
                    match service.$method(self.request(request)).await {
                        Ok(response) => Ok(response.into_inner()),
                        Err(status) => Err(self.failed(&connection, &status).await),
                    }
                }
            )*
        }
    };
}

calls! { TopicServiceClient:
    /// Makes a topic.
    create_topic(CreateTopicRequest) -> CreateTopicResponse;
    /// Lists the topics.
    list_topics(ListTopicsRequest) -> ListTopicsResponse;
    /// Describes a topic: its partitions, where they are, and what is in them.
    describe_topic(DescribeTopicRequest) -> DescribeTopicResponse;
    /// Gives a topic more partitions, or other configs.
    alter_topic(AlterTopicRequest) -> AlterTopicResponse;
    /// Deletes a topic and all its records.
    delete_topic(DeleteTopicRequest) -> DeleteTopicResponse;
    /// Deletes the records before an offset.
    delete_records(DeleteRecordsRequest) -> DeleteRecordsResponse;
    /// Finds offsets: the ends of partitions, or the first record of a time.
    list_offsets(ListOffsetsRequest) -> ListOffsetsResponse;
}

calls! { GroupServiceClient:
    /// Lists the consumer groups.
    list_groups(ListGroupsRequest) -> ListGroupsResponse;
    /// Describes a group: its members, what is committed, and how far behind that is.
    describe_group(DescribeGroupRequest) -> DescribeGroupResponse;
    /// Sets the committed offsets of a group that has no members.
    reset_offsets(ResetOffsetsRequest) -> ResetOffsetsResponse;
    /// Forgets committed offsets of topics that no member of the group reads.
    delete_offsets(DeleteOffsetsRequest) -> DeleteOffsetsResponse;
    /// Deletes a group that has no members, and its offsets.
    delete_group(DeleteGroupRequest) -> DeleteGroupResponse;
}

calls! { ConfigServiceClient:
    /// Lists configs, with their values, where those come from, and what they do.
    describe_configs(DescribeConfigsRequest) -> DescribeConfigsResponse;
    /// Changes configs while the broker runs.
    alter_configs(AlterConfigsRequest) -> AlterConfigsResponse;
}

calls! { ClusterServiceClient:
    /// Describes the cluster: its id, its brokers, and how much is on their disks.
    describe_cluster(DescribeClusterRequest) -> DescribeClusterResponse;
}
