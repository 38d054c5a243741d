//! DescribeLogDirs (key 35), versions 1 to 5: the size of partitions on disk, and the room that is left.

use std::collections::BTreeMap;

use fjord_wire::{
    ErrorCode,
    messages::{
        describe_log_dirs_request::DescribeLogDirsRequest,
        describe_log_dirs_response::{
            DescribeLogDirsPartition, DescribeLogDirsResponse, DescribeLogDirsResult,
            DescribeLogDirsTopic,
        },
    },
};

use super::{Answer, Call, Handler};
use crate::{
    net::CloseConnection,
    partition::Replica,
    security::{Operation, Resource},
};

/// Stands for a size that is not known.
const UNKNOWN: i64 = -1;

pub struct DescribeLogDirs;

impl Handler for DescribeLogDirs {
    type Request = DescribeLogDirsRequest;

    async fn handle(
        call: Call<DescribeLogDirsRequest>,
    ) -> Result<Answer<DescribeLogDirsResponse>, CloseConnection> {
        if !call.is_authorized(Operation::Describe, Resource::cluster()) {
            return Ok(Answer::Now(DescribeLogDirsResponse {
                error_code: ErrorCode::ClusterAuthorizationFailed.code(),
                ..DescribeLogDirsResponse::default()
            }));
        }
        let mut topics: BTreeMap<String, Vec<DescribeLogDirsPartition>> = BTreeMap::new();
        for leader in wanted(&call) {
            let partition = DescribeLogDirsPartition {
                partition_index: leader.index(),
                partition_size: i64::try_from(leader.log().size_bytes()).unwrap_or(i64::MAX),
                ..DescribeLogDirsPartition::default()
            };
            topics
                .entry(leader.topic().to_owned())
                .or_default()
                .push(partition);
        }
        let log = call.broker.partitions.log();
        let bytes = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX);
        let space = log.disk_space().ok();
        let result = DescribeLogDirsResult {
            log_dir: log.directory().display().to_string(),
            topics: topics
                .into_iter()
                .map(|(name, partitions)| DescribeLogDirsTopic { name, partitions })
                .collect(),
            total_bytes: space.map_or(UNKNOWN, |space| bytes(space.total)),
            usable_bytes: space.map_or(UNKNOWN, |space| bytes(space.available)),
            ..DescribeLogDirsResult::default()
        };
        Ok(Answer::Now(DescribeLogDirsResponse {
            results: vec![result],
            ..DescribeLogDirsResponse::default()
        }))
    }

    fn first_error(response: &DescribeLogDirsResponse) -> i16 {
        response.error_code
    }
}

/// The partitions that are asked for; all, if none is named.
fn wanted(call: &Call<DescribeLogDirsRequest>) -> Vec<std::sync::Arc<Replica>> {
    let mut replicas = Vec::new();
    let Some(topics) = &call.request.topics else {
        call.broker
            .partitions
            .for_each(|replica| replicas.push(std::sync::Arc::clone(replica)));
        return replicas;
    };
    let image = call.image();
    for topic in topics {
        let Some(found) = image.topic(&topic.topic) else {
            continue;
        };
        let named = topic.partitions.iter();
        replicas
            .extend(named.filter_map(|index| call.broker.partitions.replica(&found.id, *index)));
    }
    replicas
}
