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
use futures::future::join_all;

use super::{
    ahead::ReadAhead,
    session::{TopicKey, Wanted},
};
use crate::{
    api::{Call, error::ApiError, leadership},
    broker::Broker,
    partition::Replica,
    security::{Operation, Resource},
};

/// Partitions that are read from disk at once for one response: disks serve several readers faster than one.
const READS_AT_ONCE: usize = 4;

/// With less room than this in a response, or than the client wants, no further partition is read from disk for it.
const ROOM_BYTES: usize = 1 << 20;

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
    pub leader: Result<Arc<Replica>, ErrorCode>,
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
            .map_err(ErrorCode::from)
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

/// Reads all partitions once: from memory if everything is there, else on threads that may block.
pub async fn read_all(
    broker: &Arc<Broker>,
    context: ReadContext,
    partitions: Arc<Vec<ReadPartition>>,
) -> Found {
    if let Some(found) = read_recent(context, &partitions) {
        return found;
    }
    let context = ReadContext {
        max_bytes: context.max_disk_bytes,
        ..context
    };
    // Clients that do not read must not fill the memory with what is read for them.
    let _room = tokio::select! {
        room = broker.limits.reserve_response(most_bytes(context, &partitions)) => Some(room),
        () = broker.stopping.cancelled() => None,
    };
    read_from_disk(broker, context, &partitions).await
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

/// Nothing if one of the reads has to ask the disk.
fn read_recent(context: ReadContext, partitions: &[ReadPartition]) -> Option<Found> {
    let mut progress = Progress::new(context, partitions.len());
    for partition in partitions {
        if let Some(read) = progress.begin(partition, 0) {
            let result = read.leader.read_recent(read.offset, read.limit)?;
            progress.settle(&read, result);
        }
    }
    Some(progress.into_found())
}

/// Reads what is not in memory from disk, several partitions at once.
async fn read_from_disk(
    broker: &Arc<Broker>,
    context: ReadContext,
    partitions: &[ReadPartition],
) -> Found {
    let mut progress = Progress::new(context, partitions.len());
    let mut under_way: Vec<Read> = Vec::with_capacity(READS_AT_ONCE);
    let reserved = |reads: &[Read]| reads.iter().map(|read| read.limit.bytes).sum::<usize>();
    for partition in partitions {
        let wanted = usize::try_from(partition.wanted.max_bytes).unwrap_or(0);
        let room = progress.left.saturating_sub(reserved(&under_way));
        let fits = under_way.len() < READS_AT_ONCE && room >= wanted.min(ROOM_BYTES);
        if !under_way.is_empty() && !fits {
            progress
                .finish(broker, std::mem::take(&mut under_way))
                .await;
        }
        if let Some(read) = progress.begin(partition, reserved(&under_way)) {
            match read.leader.read_recent(read.offset, read.limit) {
                Some(result) => progress.settle(&read, result),
                None if read.is_cut_short() => progress.leave_out(read),
                None => under_way.push(read),
            }
        }
    }
    progress.finish(broker, under_way).await;
    for (leader, offset, most) in progress.next() {
        ReadAhead::begin(broker, leader, offset, most);
    }
    progress.into_found()
}

/// Takes what was read ahead, or reads it now. Nothing if the broker stops.
async fn from_disk(broker: &Arc<Broker>, read: &Read) -> Option<Result<ReadBatches, ReadError>> {
    let (offset, limit) = (read.offset, read.limit);
    let ahead = broker.read_ahead.take(
        (read.leader.log().id(), read.leader.leader_epoch()),
        offset,
        limit,
    );
    if let Some(found) = ahead.await
        && read.leader.bounds().log_start <= offset
    {
        return Some(Ok(found));
    }
    let leader = Arc::clone(&read.leader);
    broker.blocking(move || leader.read(offset, limit)).await
}

/// A read of one partition within a response.
struct Read {
    /// Where its answer stands in the response.
    place: usize,
    leader: Arc<Replica>,
    unknown: ErrorCode,
    offset: u64,
    limit: ReadLimit,
    /// Most bytes that the client wants of the partition.
    most: usize,
}

impl Read {
    /// Whether the response has so little room left for the partition that it is not worth the disk's time.
    fn is_cut_short(&self) -> bool {
        self.limit.bytes < self.most.min(ROOM_BYTES) && !self.limit.first_whole
    }
}

/// What has been read for a response.
struct Progress {
    context: ReadContext,
    /// Bytes that the response has room for.
    left: usize,
    have_some: bool,
    is_full: bool,
    all: Vec<PartitionData>,
    /// Partitions that the response had no room for.
    left_out: Vec<Next>,
    /// Partitions that were read from disk, and have more.
    unfinished: Vec<Next>,
}

/// Where a partition will be read from next, and how many bytes at most.
type Next = (Arc<Replica>, u64, usize);

impl Progress {
    fn new(context: ReadContext, partitions: usize) -> Self {
        Self {
            context,
            left: context.max_bytes,
            have_some: false,
            is_full: false,
            all: Vec::with_capacity(partitions),
            left_out: Vec::new(),
            unfinished: Vec::new(),
        }
    }

    /// Adds the answer for the next partition; also returns what to read for it, if there is something to be read
    /// and room for it beside `reserved` bytes.
    fn begin(&mut self, partition: &ReadPartition, reserved: usize) -> Option<Read> {
        let mut data = partition.wanted.empty_answer();
        let readable = readable(partition, self.context, &mut data);
        if let Err(code) = readable {
            data.error_code = code.code();
        }
        self.all.push(data);
        let leader = readable.ok().flatten()?;
        let wanted = &partition.wanted;
        let most = usize::try_from(wanted.max_bytes).unwrap_or(0);
        let offset = u64::try_from(wanted.fetch_offset).unwrap_or(0);
        // Behind the first that does not fit, the others may be larger still; their turn comes.
        if self.is_full {
            if self.left_out.len() < READS_AT_ONCE {
                self.left_out.push((Arc::clone(leader), offset, most));
            }
            return None;
        }
        Some(Read {
            place: self.all.len() - 1,
            leader: Arc::clone(leader),
            unknown: partition.topic.unknown(),
            offset,
            limit: ReadLimit {
                bytes: most.min(self.left.saturating_sub(reserved)),
                first_whole: !self.have_some && reserved == 0,
            },
            most,
        })
    }

    /// The response has no room for it.
    fn leave_out(&mut self, read: Read) {
        self.is_full = true;
        self.left_out.push((read.leader, read.offset, read.most));
    }

    /// Fills in what was read.
    fn settle(&mut self, read: &Read, result: Result<ReadBatches, ReadError>) {
        let data = &mut self.all[read.place];
        match result {
            Ok(found) => {
                self.is_full |=
                    read.limit.bytes < read.most && signed(found.next_offset) < data.high_watermark;
                self.have_some |= found.bytes > 0;
                self.left = self.left.saturating_sub(found.bytes);
                data.records = Some(found.batches.into_iter().collect::<Records>());
            }
            Err(ReadError::Deleted) => data.error_code = read.unknown.code(),
            Err(error) => data.error_code = ApiError::from(error).code.code(),
        }
    }

    /// Reads from disk, all at once, and fills in what was read.
    async fn finish(&mut self, broker: &Arc<Broker>, reads: Vec<Read>) {
        let results = join_all(reads.iter().map(|read| from_disk(broker, read)));
        for (read, result) in reads.iter().zip(results.await) {
            let Some(result) = result else {
                self.all[read.place].error_code = ErrorCode::KafkaStorageError.code();
                continue;
            };
            if let Ok(found) = &result
                && signed(found.next_offset) < self.all[read.place].high_watermark
            {
                let next = (Arc::clone(&read.leader), found.next_offset, read.most);
                self.unfinished.push(next);
            }
            self.settle(read, result);
        }
    }

    /// What will be asked for next, if the client goes on: first what it has not got anything of.
    fn next(&self) -> impl Iterator<Item = (&Arc<Replica>, u64, usize)> {
        let next = self.left_out.iter().chain(&self.unfinished);
        next.take(READS_AT_ONCE)
            .map(|(leader, offset, most)| (leader, *offset, *most))
    }

    fn into_found(self) -> Found {
        Found {
            partitions: self.all,
            is_full: self.is_full,
        }
    }
}

/// The partition to read, with its bounds filled in; nothing if the client must truncate first.
fn readable<'a>(
    partition: &'a ReadPartition,
    context: ReadContext,
    data: &mut PartitionData,
) -> Result<Option<&'a Arc<Replica>>, ErrorCode> {
    let wanted = &partition.wanted;
    let leader = partition.leader.as_ref().map_err(|code| *code)?;
    // Things may have changed since it was looked up.
    leader.check_leads()?;
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
