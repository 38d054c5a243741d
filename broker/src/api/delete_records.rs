//! DeleteRecords (key 21), versions 0 to 2: moves a partition's start forward (KIP-107).
//!
//! - Offset -1 is the high watermark.
//! - Only topics with `cleanup.policy=delete` (alone, or beside compact) take it, as in Kafka.

use std::{sync::Arc, time::Duration};

use fjord_log::AppendOutcome;
use fjord_wire::{
    ErrorCode,
    messages::{
        delete_records_request::{DeleteRecordsPartition, DeleteRecordsRequest},
        delete_records_response::{
            DeleteRecordsPartitionResult, DeleteRecordsResponse, DeleteRecordsTopicResult,
        },
    },
};

use super::{Answer, Call, Handler, call::first_of, error::ApiError, gather::Gather, leadership};
use crate::{metadata::topic_name, net::CloseConnection, partition::Replica, security::Operation};

/// Means "up to the high watermark".
const HIGH_WATERMARK: i64 = -1;

pub struct DeleteRecords;

type Outcome = Result<AppendOutcome, ApiError>;

/// A deletion on its way to the disk: where its answer goes.
struct Place {
    topic: usize,
    partition: usize,
    slot: usize,
    leader: Arc<Replica>,
}

impl Handler for DeleteRecords {
    type Request = DeleteRecordsRequest;

    async fn handle(
        call: Call<DeleteRecordsRequest>,
    ) -> Result<Answer<DeleteRecordsResponse>, CloseConnection> {
        let timeout = Duration::from_millis(u64::try_from(call.request.timeout_ms).unwrap_or(0));
        let mut response = DeleteRecordsResponse::default();
        let mut gather = Gather::new();
        let mut places = Vec::new();
        for topic in &call.request.topics {
            let mut result = DeleteRecordsTopicResult {
                name: topic.name.clone(),
                partitions: Vec::new(),
            };
            for asked in &topic.partitions {
                let mut answer = DeleteRecordsPartitionResult {
                    partition_index: asked.partition_index,
                    low_watermark: -1,
                    ..DeleteRecordsPartitionResult::default()
                };
                match start(&call, &topic.name, asked, &mut gather) {
                    Ok((leader, slot)) => places.push(Place {
                        topic: response.topics.len(),
                        partition: result.partitions.len(),
                        slot,
                        leader,
                    }),
                    Err(error) => answer.error_code = error.code.code(),
                }
                result.partitions.push(answer);
            }
            response.topics.push(result);
        }
        let done = gather.finish();
        Ok(Answer::later(async move {
            let outcomes = tokio::time::timeout(timeout, done).await.ok();
            for place in places {
                let answer = &mut response.topics[place.topic].partitions[place.partition];
                let outcome = outcomes
                    .as_ref()
                    .and_then(|all| all.get(place.slot)?.as_ref());
                match outcome {
                    Some(Ok(_)) => {
                        let log_start = place.leader.bounds().log_start;
                        answer.low_watermark = i64::try_from(log_start).unwrap_or(i64::MAX);
                    }
                    Some(Err(error)) => answer.error_code = error.code.code(),
                    None => answer.error_code = ErrorCode::RequestTimedOut.code(),
                }
            }
            response
        }))
    }

    fn first_error(response: &DeleteRecordsResponse) -> i16 {
        let partitions = response.topics.iter().flat_map(|topic| &topic.partitions);
        first_of(partitions.map(|partition| partition.error_code))
    }
}

fn start(
    call: &Call<DeleteRecordsRequest>,
    topic: &str,
    asked: &DeleteRecordsPartition,
    gather: &mut Gather<Outcome>,
) -> Result<(Arc<Replica>, usize), ApiError> {
    let leader = leadership::find(call, Operation::Delete, topic, asked.partition_index)?;
    if topic_name::is_internal(topic) {
        return Err(ErrorCode::InvalidTopicException.into());
    }
    if !leader.config().cleanup_policy.delete {
        return Err(ErrorCode::PolicyViolation.into());
    }
    let bounds = leader.bounds();
    let target = match asked.offset {
        HIGH_WATERMARK => bounds.high_watermark,
        offset => u64::try_from(offset).map_err(|_| ErrorCode::OffsetOutOfRange)?,
    };
    if target > bounds.high_watermark {
        return Err(ErrorCode::OffsetOutOfRange.into());
    }
    let waiting = gather.slot();
    let slot = waiting.index();
    leader
        .delete_records_before(target, move |result| {
            waiting.fill(result.map_err(ApiError::from));
        })
        .map_err(ApiError::from)?;
    Ok((leader, slot))
}
