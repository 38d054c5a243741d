//! The one table of the APIs that this broker serves. What is not in it is neither advertised nor
//! served, whatever the wire crate can decode.

use std::{ops::RangeInclusive, sync::Arc};

use fjord_wire::{ApiKey, ApiMessage, Reader, messages::request_header::RequestHeader};

use super::{
    alter_configs, alter_partition_reassignments, api_versions, call,
    call::{Dispatched, Handler},
    create_partitions, create_topics, delete_records, delete_topics, describe_cluster,
    describe_configs, describe_log_dirs, describe_quorum, describe_topic_partitions, elect_leaders,
    fetch, groups, incremental_alter_configs, init_producer_id, list_config_resources,
    list_offsets, list_partition_reassignments, metadata, offset_for_leader_epoch, produce,
    raft_voters, unregister_broker, update_features,
};
use crate::{broker::Broker, net::RequestContext};

/// An API of the table.
pub(super) struct Entry {
    /// Its key.
    pub api_key: ApiKey,
    /// Its first stage, from and to frames.
    pub dispatch: fn(Arc<Broker>, RequestContext, RequestHeader, Reader) -> Dispatched,
}

impl Entry {
    const fn of<H: Handler>() -> Entry {
        Entry {
            api_key: <H::Request as ApiMessage>::API_KEY,
            dispatch: call::dispatch::<H>,
        }
    }

    /// The versions that clients are told of.
    pub fn advertised_versions(&self) -> RangeInclusive<i16> {
        self.api_key.advertised_versions()
    }
}

/// The APIs, by key.
pub(super) static TABLE: &[Entry] = &[
    Entry::of::<produce::Produce>(),
    Entry::of::<fetch::Fetch>(),
    Entry::of::<list_offsets::ListOffsets>(),
    Entry::of::<metadata::Metadata>(),
    Entry::of::<groups::OffsetCommit>(),
    Entry::of::<groups::OffsetFetch>(),
    Entry::of::<groups::FindCoordinator>(),
    Entry::of::<groups::JoinGroup>(),
    Entry::of::<groups::Heartbeat>(),
    Entry::of::<groups::LeaveGroup>(),
    Entry::of::<groups::SyncGroup>(),
    Entry::of::<groups::DescribeGroups>(),
    Entry::of::<groups::ListGroups>(),
    Entry::of::<api_versions::ApiVersions>(),
    Entry::of::<create_topics::CreateTopics>(),
    Entry::of::<delete_topics::DeleteTopics>(),
    Entry::of::<delete_records::DeleteRecords>(),
    Entry::of::<init_producer_id::InitProducerId>(),
    Entry::of::<offset_for_leader_epoch::OffsetForLeaderEpoch>(),
    Entry::of::<describe_configs::DescribeConfigs>(),
    Entry::of::<alter_configs::AlterConfigs>(),
    Entry::of::<describe_log_dirs::DescribeLogDirs>(),
    Entry::of::<create_partitions::CreatePartitions>(),
    Entry::of::<groups::DeleteGroups>(),
    Entry::of::<elect_leaders::ElectLeaders>(),
    Entry::of::<incremental_alter_configs::IncrementalAlterConfigs>(),
    Entry::of::<alter_partition_reassignments::AlterPartitionReassignments>(),
    Entry::of::<list_partition_reassignments::ListPartitionReassignments>(),
    Entry::of::<groups::OffsetDelete>(),
    Entry::of::<describe_quorum::DescribeQuorum>(),
    Entry::of::<update_features::UpdateFeatures>(),
    Entry::of::<describe_cluster::DescribeCluster>(),
    Entry::of::<unregister_broker::UnregisterBroker>(),
    Entry::of::<list_config_resources::ListConfigResources>(),
    Entry::of::<describe_topic_partitions::DescribeTopicPartitions>(),
    Entry::of::<raft_voters::AddRaftVoter>(),
    Entry::of::<raft_voters::RemoveRaftVoter>(),
];

/// The entry of an API, if it is served.
pub(super) fn find(api_key: ApiKey) -> Option<&'static Entry> {
    let index = TABLE
        .binary_search_by_key(&api_key, |entry| entry.api_key)
        .ok()?;
    TABLE.get(index)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_order_and_names_each_api_once() {
        assert!(TABLE.is_sorted_by(|left, right| left.api_key < right.api_key));
    }
}
