//! ListOffsets (key 2), versions 1 to 11.
//!
//! - -1 is the end: the high watermark, or with `read_committed` the last stable offset; -2 the start.
//! - -3 is the record with the greatest timestamp (version 7, KIP-734); -4 the start of what is on local
//!   disks (version 8); -5 the last offset in tiered storage (version 9), of which there is none; -6 the
//!   first offset that waits for upload (version 11), which is none either.
//! - Any other number is a time: the first record that is not older, or -1 if there is none.

use std::sync::Arc;

use fjord_log::Found;
use fjord_wire::{
    ErrorCode,
    messages::{
        list_offsets_request::{ListOffsetsPartition, ListOffsetsRequest},
        list_offsets_response::{
            ListOffsetsPartitionResponse, ListOffsetsResponse, ListOffsetsTopicResponse,
        },
    },
};

use super::{Answer, Call, Handler, call::first_of, error::ApiError, leadership};
use crate::{net::CloseConnection, partition::Replica, security::Operation};

const LATEST: i64 = -1;
const EARLIEST: i64 = -2;
const MAX_TIMESTAMP: i64 = -3;
const EARLIEST_LOCAL: i64 = -4;
const LATEST_TIERED: i64 = -5;
const EARLIEST_PENDING_UPLOAD: i64 = -6;

/// The first version whose response says in which leader epoch an offset is.
const FIRST_WITH_EPOCH: i16 = 4;

/// Stands for no offset and for no timestamp.
const NONE: i64 = -1;

pub struct ListOffsets;

/// A partition that is asked for, looked up.
struct Asked {
    topic: usize,
    partition: ListOffsetsPartition,
    leader: Result<Arc<Replica>, ErrorCode>,
}

impl Handler for ListOffsets {
    type Request = ListOffsetsRequest;

    async fn handle(
        mut call: Call<ListOffsetsRequest>,
    ) -> Result<Answer<ListOffsetsResponse>, CloseConnection> {
        let topics = std::mem::take(&mut call.request.topics);
        let mut response = ListOffsetsResponse::default();
        let mut asked = Vec::new();
        for (place, topic) in topics.into_iter().enumerate() {
            for partition in topic.partitions {
                let index = partition.partition_index;
                let leader = leadership::find(&call, Operation::Describe, &topic.name, index);
                asked.push(Asked {
                    topic: place,
                    partition,
                    leader,
                });
            }
            response.topics.push(ListOffsetsTopicResponse {
                name: topic.name,
                partitions: Vec::new(),
            });
        }
        let (broker, version) = (Arc::clone(&call.broker), call.version);
        Ok(Answer::later(async move {
            // Times are looked up on disk; the ends are not, but one way for all is simple.
            let answers = broker.blocking(move || {
                let answer = |asked: &Asked| (asked.topic, answer(asked));
                asked.iter().map(answer).collect::<Vec<_>>()
            });
            for (topic, mut partition) in answers.await.unwrap_or_default() {
                if version < FIRST_WITH_EPOCH {
                    partition.leader_epoch = -1;
                }
                response.topics[topic].partitions.push(partition);
            }
            response
        }))
    }

    fn first_error(response: &ListOffsetsResponse) -> i16 {
        let partitions = response.topics.iter().flat_map(|topic| &topic.partitions);
        first_of(partitions.map(|partition| partition.error_code))
    }
}

fn answer(asked: &Asked) -> ListOffsetsPartitionResponse {
    let mut answer = ListOffsetsPartitionResponse {
        partition_index: asked.partition.partition_index,
        timestamp: NONE,
        offset: NONE,
        leader_epoch: -1,
        ..ListOffsetsPartitionResponse::default()
    };
    let found = asked
        .leader
        .as_ref()
        .map_err(|code| *code)
        .and_then(|leader| look_up(leader, &asked.partition));
    match found {
        Ok((offset, timestamp, leader_epoch)) => {
            answer.offset = offset;
            answer.timestamp = timestamp;
            answer.leader_epoch = leader_epoch;
        }
        Err(code) => answer.error_code = code.code(),
    }
    answer
}

/// Offset, timestamp and leader epoch.
fn look_up(leader: &Replica, asked: &ListOffsetsPartition) -> Result<(i64, i64, i32), ErrorCode> {
    leadership::check_epoch(leader, asked.current_leader_epoch)?;
    let bounds = leader.bounds();
    let epoch_at = |offset: u64| leader.log().epoch_at(offset).unwrap_or(-1);
    let failed = |error: fjord_log::ReadError| ApiError::from(error).code;
    let of_record = |found: Option<Found>| match found {
        Some(found) => (signed(found.offset), found.timestamp, found.leader_epoch),
        None => (NONE, NONE, -1),
    };
    match asked.timestamp {
        // The high watermark of a new leader may still be below what its predecessor has shown (KIP-207).
        LATEST if !leader.is_settled() => Err(ErrorCode::OffsetNotAvailable),
        LATEST => {
            let end = bounds.last_stable;
            let epoch = leader
                .log()
                .latest_epoch()
                .map_or(leader.leader_epoch(), |latest| latest.epoch);
            Ok((signed(end), NONE, epoch))
        }
        EARLIEST | EARLIEST_LOCAL => {
            Ok((signed(bounds.log_start), NONE, epoch_at(bounds.log_start)))
        }
        MAX_TIMESTAMP => leader
            .offset_of_max_timestamp()
            .map(of_record)
            .map_err(failed),
        LATEST_TIERED | EARLIEST_PENDING_UPLOAD => Ok((NONE, NONE, -1)),
        time if time >= 0 => leader
            .offset_for_timestamp(time)
            .map(of_record)
            .map_err(failed),
        _ => Err(ErrorCode::UnsupportedForMessageFormat),
    }
}

fn signed(offset: u64) -> i64 {
    i64::try_from(offset).unwrap_or(i64::MAX)
}
