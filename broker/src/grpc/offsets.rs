//! Places in partitions, by name or time, and the offsets that they stand for.

use fjord_proto::v1::Position;
use fjord_wire::messages::list_offsets_request::{
    ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic,
};
use tonic::Status;

use super::{backend::Client, error};
use crate::api::error::ApiError;

/// The version of ListOffsets.
const LIST_OFFSETS: i16 = 9;
/// What ListOffsets calls the ends.
const LATEST: i64 = -1;
const EARLIEST: i64 = -2;

/// A place in a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// The first record that is still there.
    Earliest,
    /// Behind the last record.
    Latest,
    /// This offset.
    Offset(i64),
    /// The first record that is not older, in milliseconds since 1970; the end if there is none.
    Time(i64),
}

impl Place {
    /// The place of a position on the wire; `unspecified` is what nothing stands for.
    pub fn of_position(position: i32, unspecified: Place) -> Place {
        match Position::try_from(position) {
            Ok(Position::Earliest) => Place::Earliest,
            Ok(Position::Latest) => Place::Latest,
            Ok(Position::Unspecified) | Err(_) => unspecified,
        }
    }
}

/// An offset, and the time of the record there if that was looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FoundOffset {
    /// The offset; -1 if there is none.
    pub offset: i64,
    /// The record's time, or -1.
    pub timestamp_ms: i64,
}

/// The offset of a place; an offset stands for itself, whether it is there or not.
///
/// # Errors
///
/// The outer one if the question makes no sense, the inner one if the partition has no answer.
pub async fn find(
    client: &Client,
    topic: &str,
    partition: i32,
    place: Place,
) -> Result<Result<i64, ApiError>, Status> {
    if let Place::Offset(offset) = place {
        return Ok(Ok(offset));
    }
    let found = list(client, topic, &[partition], place).await?;
    let first = found.into_iter().next().map(|(_, found)| found);
    let found = first.ok_or_else(|| Status::internal("ListOffsets left a partition out"))?;
    match found {
        Ok(found) if found.offset >= 0 => Ok(Ok(found.offset)),
        // No record is that young.
        Ok(_) => Box::pin(find(client, topic, partition, Place::Latest)).await,
        Err(error) => Ok(Err(error)),
    }
}

/// The offsets of a place in several partitions of a topic.
///
/// # Errors
///
/// If the question makes no sense; what a partition has to say comes with it.
pub async fn list(
    client: &Client,
    topic: &str,
    partitions: &[i32],
    place: Place,
) -> Result<Vec<(i32, Result<FoundOffset, ApiError>)>, Status> {
    let timestamp = match place {
        Place::Earliest => EARLIEST,
        Place::Latest => LATEST,
        Place::Time(time) if time >= 0 => time,
        Place::Time(_) | Place::Offset(_) => {
            return Err(error::invalid("times are milliseconds since 1970"));
        }
    };
    let asked = |partition: &i32| ListOffsetsPartition {
        partition_index: *partition,
        current_leader_epoch: -1,
        timestamp,
    };
    let request = ListOffsetsRequest {
        replica_id: -1,
        topics: vec![ListOffsetsTopic {
            name: topic.to_owned(),
            partitions: partitions.iter().map(asked).collect(),
        }],
        ..ListOffsetsRequest::default()
    };
    let response = client.call(LIST_OFFSETS, request).await?;
    let answers = response
        .topics
        .into_iter()
        .flat_map(|topic| topic.partitions);
    let found = answers.map(|answer| {
        let found = FoundOffset {
            offset: answer.offset,
            timestamp_ms: answer.timestamp,
        };
        let outcome = error::api_error(answer.error_code, None).map(|()| found);
        (answer.partition_index, outcome)
    });
    Ok(found.collect())
}
