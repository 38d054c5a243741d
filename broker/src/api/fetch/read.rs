//! Reading what a fetch wants, partition by partition, within the limits of the response.

use std::sync::Arc;

use fjord_log::{ReadBatches, ReadError, ReadLimit};
use fjord_wire::{
    ErrorCode, Records,
    messages::{
        fetch_request::FetchRequest,
        fetch_response::{EpochEndOffset, PartitionData},
    },
};

use super::session::{TopicKey, Wanted};
use crate::{
    api::{Call, error::ApiError, leadership},
    broker::Broker,
    partition::Leader,
    security::{Operation, Resource},
};

/// What holds for all partitions of a fetch.
#[derive(Debug, Clone, Copy)]
pub struct ReadContext {
    /// Most bytes of the response, but for a first batch that is larger.
    pub max_bytes: usize,
    /// The same of a response that is read from disk.
    pub max_disk_bytes: usize,
    /// Whether only records of committed transactions are wanted.
    pub read_committed: bool,
}

/// What was read.
pub struct Found {
    /// In the order of what was asked for.
    pub partitions: Vec<PartitionData>,
    /// Whether there is more that the response has no room for.
    pub is_full: bool,
}

/// A partition to read, looked up.
pub struct ReadPartition {
    /// The topic as the client named it.
    pub topic: TopicKey,
    /// What is wanted.
    pub wanted: Wanted,
    /// The partition, or why it cannot be read.
    pub leader: Result<Arc<Leader>, ErrorCode>,
}

/// Looks up everything that is wanted.
pub fn resolve(call: &Call<FetchRequest>, wanted: Vec<(TopicKey, Wanted)>) -> Vec<ReadPartition> {
    let image = call.image();
    let find = |topic: &TopicKey, wanted: &Wanted| {
        let found = match topic {
            TopicKey::Name(name) => image.topic(name),
            TopicKey::Id(id) => image.topic_by_id(id),
        };
        if let TopicKey::Name(name) = topic
            && !call.is_authorized(Operation::Read, Resource::topic(name))
        {
            return Err(ErrorCode::TopicAuthorizationFailed);
        }
        let found = found.ok_or_else(|| topic.unknown())?;
        if !call.is_authorized(Operation::Read, Resource::topic(&found.name)) {
            return Err(ErrorCode::TopicAuthorizationFailed);
        }
        call.broker
            .partitions
            .leader(&found.id, wanted.partition)
            .ok_or(ErrorCode::UnknownTopicOrPartition)
    };
    wanted
        .into_iter()
        .map(|(topic, wanted)| ReadPartition {
            leader: find(&topic, &wanted),
            topic,
            wanted,
        })
        .collect()
}

/// Reads all partitions once: from memory if everything is there, else on a thread that may block.
pub async fn read_all(
    broker: &Arc<Broker>,
    context: ReadContext,
    partitions: Arc<Vec<ReadPartition>>,
) -> Found {
    if let Some(found) = read_each(context, &partitions, Leader::read_recent) {
        return found;
    }
    let on_disk = Arc::clone(&partitions);
    let context = ReadContext {
        max_bytes: context.max_disk_bytes,
        ..context
    };
    // Clients that do not read must not fill the memory with what is read for them.
    let _room = tokio::select! {
        room = broker.limits.reserve_response(most_bytes(context, &partitions)) => Some(room),
        () = broker.stopping.cancelled() => None,
    };
    let read = broker.blocking(move || {
        read_each(context, &on_disk, |leader, offset, limit| {
            Some(leader.read(offset, limit))
        })
    });
    let failed = |partition: &ReadPartition| PartitionData {
        error_code: ErrorCode::KafkaStorageError.code(),
        ..partition.wanted.empty_answer()
    };
    match read.await {
        Some(Some(found)) => found,
        _ => Found {
            partitions: partitions.iter().map(failed).collect(),
            is_full: false,
        },
    }
}

/// About the most that can be read.
fn most_bytes(context: ReadContext, partitions: &[ReadPartition]) -> usize {
    let most = partitions.iter().map(|partition| {
        let stored = partition
            .leader
            .as_ref()
            .map_or(0, |leader| leader.log().size_bytes());
        let wanted = u64::try_from(partition.wanted.max_bytes).unwrap_or(0);
        usize::try_from(stored.min(wanted)).unwrap_or(usize::MAX)
    });
    most.fold(0, usize::saturating_add).min(context.max_bytes)
}

/// Nothing if one of the reads says that it has to block.
fn read_each(
    context: ReadContext,
    partitions: &[ReadPartition],
    read: impl Fn(&Leader, u64, ReadLimit) -> Option<Result<ReadBatches, ReadError>>,
) -> Option<Found> {
    let mut left = context.max_bytes;
    let mut have_some = false;
    let mut is_full = false;
    let mut all = Vec::with_capacity(partitions.len());
    for partition in partitions {
        let mut data = partition.wanted.empty_answer();
        match readable(partition, context, &mut data) {
            // Behind the first that does not fit, the others may be larger still; their turn comes.
            Ok(Some(leader)) if !is_full => {
                let wanted = &partition.wanted;
                let most = usize::try_from(wanted.max_bytes).unwrap_or(0);
                let limit = ReadLimit {
                    bytes: most.min(left),
                    first_whole: !have_some,
                };
                let offset = u64::try_from(wanted.fetch_offset).unwrap_or(0);
                match read(leader, offset, limit)? {
                    Ok(found) => {
                        is_full =
                            limit.bytes < most && signed(found.next_offset) < data.high_watermark;
                        have_some |= found.bytes > 0;
                        left = left.saturating_sub(found.bytes);
                        data.records = Some(found.batches.into_iter().collect::<Records>());
                    }
                    Err(ReadError::Deleted) => data.error_code = partition.topic.unknown().code(),
                    Err(error) => data.error_code = ApiError::from(error).code.code(),
                }
            }
            Ok(_) => {}
            Err(code) => data.error_code = code.code(),
        }
        all.push(data);
    }
    Some(Found {
        partitions: all,
        is_full,
    })
}

/// The partition to read, with its bounds filled in; nothing if the client must truncate first.
fn readable<'a>(
    partition: &'a ReadPartition,
    context: ReadContext,
    data: &mut PartitionData,
) -> Result<Option<&'a Leader>, ErrorCode> {
    let wanted = &partition.wanted;
    let leader = partition.leader.as_ref().map_err(|code| *code)?;
    leadership::check_epoch(leader, wanted.current_leader_epoch)?;
    let bounds = leader.bounds();
    data.records = Some(Records::new());
    data.high_watermark = signed(bounds.high_watermark);
    data.last_stable_offset = signed(bounds.last_stable);
    data.log_start_offset = signed(bounds.log_start);
    data.aborted_transactions = context.read_committed.then(Vec::new);
    if wanted.last_fetched_epoch >= 0 {
        // KIP-595: the client's last epoch ended earlier here, or never was.
        let ended = leader.log().end_offset_for_epoch(wanted.last_fetched_epoch);
        let (epoch, end) = ended.unwrap_or((wanted.last_fetched_epoch, bounds.log_start));
        if epoch < wanted.last_fetched_epoch || signed(end) < wanted.fetch_offset {
            data.diverging_epoch = EpochEndOffset {
                epoch,
                end_offset: signed(end),
            };
            return Ok(None);
        }
    }
    if wanted.fetch_offset < 0 {
        return Err(ErrorCode::OffsetOutOfRange);
    }
    Ok(Some(leader))
}

/// An offset as Kafka writes it.
fn signed(offset: u64) -> i64 {
    i64::try_from(offset).unwrap_or(i64::MAX)
}
