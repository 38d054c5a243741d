//! OffsetForLeaderEpoch (key 23), versions 2 to 4: where an epoch ended (KIP-101, KIP-279), by which a
//! client finds out that its position was truncated (KIP-320).

use fjord_wire::{
    ErrorCode,
    messages::{
        offset_for_leader_epoch_request::{OffsetForLeaderEpochRequest, OffsetForLeaderPartition},
        offset_for_leader_epoch_response::{
            EpochEndOffset, OffsetForLeaderEpochResponse, OffsetForLeaderTopicResult,
        },
    },
};

use super::{Answer, Call, Handler, call::first_of, leadership};
use crate::{net::CloseConnection, security::Operation};

pub struct OffsetForLeaderEpoch;

impl Handler for OffsetForLeaderEpoch {
    type Request = OffsetForLeaderEpochRequest;

    async fn handle(
        call: Call<OffsetForLeaderEpochRequest>,
    ) -> Result<Answer<OffsetForLeaderEpochResponse>, CloseConnection> {
        let topics = call
            .request
            .topics
            .iter()
            .map(|topic| OffsetForLeaderTopicResult {
                topic: topic.topic.clone(),
                partitions: topic
                    .partitions
                    .iter()
                    .map(|partition| answer(&call, &topic.topic, partition))
                    .collect(),
            });
        let response = OffsetForLeaderEpochResponse {
            throttle_time_ms: 0,
            topics: topics.collect(),
        };
        Ok(Answer::Now(response))
    }

    fn first_error(response: &OffsetForLeaderEpochResponse) -> i16 {
        let partitions = response.topics.iter().flat_map(|topic| &topic.partitions);
        first_of(partitions.map(|partition| partition.error_code))
    }
}

fn answer(
    call: &Call<OffsetForLeaderEpochRequest>,
    topic: &str,
    asked: &OffsetForLeaderPartition,
) -> EpochEndOffset {
    let mut answer = EpochEndOffset {
        partition: asked.partition,
        leader_epoch: -1,
        end_offset: -1,
        ..EpochEndOffset::default()
    };
    match end_of_epoch(call, topic, asked) {
        Ok(Some((epoch, end))) => {
            answer.leader_epoch = epoch;
            answer.end_offset = end;
        }
        Ok(None) => {}
        Err(code) => answer.error_code = code.code(),
    }
    answer
}

fn end_of_epoch(
    call: &Call<OffsetForLeaderEpochRequest>,
    topic: &str,
    asked: &OffsetForLeaderPartition,
) -> Result<Option<(i32, i64)>, ErrorCode> {
    let leader = leadership::find(call, Operation::Describe, topic, asked.partition)?;
    leadership::check_epoch(&leader, asked.current_leader_epoch)?;
    let end = if asked.leader_epoch == leader.leader_epoch() {
        // The current epoch ends where the log does, even if nothing was appended in it yet. The high watermark would
        // not do: that of a new leader may still be below what clients have read, who would take that for a truncation.
        Some((asked.leader_epoch, leader.log().positions().durable_end))
    } else {
        leader.log().end_offset_for_epoch(asked.leader_epoch)
    };
    Ok(end.map(|(epoch, end)| (epoch, i64::try_from(end).unwrap_or(i64::MAX))))
}
