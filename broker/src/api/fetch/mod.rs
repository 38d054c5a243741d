//! Fetch (key 1), versions 4 to 18.
//!
//! - Stored batches are spliced into the response as they are; the one that holds the offset comes whole,
//!   and the client passes over what is before it.
//! - The first batch of a response comes whatever its size (KIP-74), so that no consumer gets stuck.
//! - The response waits until there are `min_bytes`, or `max_wait_ms` have passed, or there is an error.
//! - Incremental fetch sessions (KIP-227) are in [`session`]; from version 13 on topics come by id (KIP-516).
//! - A broker that hears no leader of the quorum may have been replaced: rather than nothing, it answers
//!   NOT_LEADER_OR_FOLLOWER, upon which consumers look for another leader.
//! - There are no transactions yet, so `read_committed` reads up to the high watermark, and no transaction
//!   was aborted.

pub mod ahead;
mod read;
pub mod session;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use fjord_wire::{
    ErrorCode,
    messages::{
        fetch_request::FetchRequest,
        fetch_response::{FetchResponse, FetchableTopicResponse, PartitionData},
    },
};

use self::{
    read::{ReadContext, ReadPartition},
    session::{FetchContext, TopicKey, Wanted},
};
use super::{Answer, Call, Handler, call::first_of};
use crate::{
    broker::Broker, net::CloseConnection, partition::parked::ParkedFetch, security::QuotaKind,
};

/// The longest that a fetch waits, whatever the client asks for.
const LONGEST_WAIT: Duration = Duration::from_secs(300);

/// See the module's documentation.
pub struct Fetch;

impl Handler for Fetch {
    type Request = FetchRequest;

    async fn handle(call: Call<FetchRequest>) -> Result<Answer<FetchResponse>, CloseConnection> {
        let by_id = call.version >= 13;
        let opened = call
            .broker
            .fetch_sessions
            .open(&call.request, by_id, Instant::now());
        let context = match opened {
            Ok(context) => context,
            Err(code) => {
                return Ok(Answer::Now(FetchResponse {
                    error_code: code.code(),
                    ..FetchResponse::default()
                }));
            }
        };
        Ok(Answer::later(run(call, context)))
    }

    fn first_error(response: &FetchResponse) -> i16 {
        let partitions = response
            .responses
            .iter()
            .flat_map(|topic| &topic.partitions);
        let codes = partitions.map(|partition| partition.error_code);
        first_of(std::iter::once(response.error_code).chain(codes))
    }
}

async fn run(call: Call<FetchRequest>, mut context: FetchContext) -> FetchResponse {
    let broker = Arc::clone(&call.broker);
    let limits = &broker.config().api;
    let asked = |bytes: i32| usize::try_from(bytes).unwrap_or(0);
    let max_bytes = asked(call.request.max_bytes).min(limits.fetch_max_bytes);
    let reads = ReadContext {
        max_bytes,
        max_disk_bytes: limits.fetch_disk_max_bytes.min(max_bytes),
        read_committed: call.request.isolation_level != 0,
    };
    let wanted = Arc::new(read::resolve(&call, context.wanted()));
    let found = wait_for_records(&broker, &call.request, reads, &wanted).await;
    let mut bytes = 0;
    let mut response = FetchResponse {
        session_id: context.session_id(),
        ..FetchResponse::default()
    };
    let size_of = |data: &PartitionData| data.records.as_ref().map_or(0, fjord_wire::Records::len);
    let is_empty = found.iter().all(|data| size_of(data) == 0);
    let may_be_replaced = is_empty && !broker.cluster.is_in_contact();
    for (place, mut data) in found.into_iter().enumerate() {
        if may_be_replaced && data.error_code == ErrorCode::None.code() {
            data.error_code = ErrorCode::NotLeaderOrFollower.code();
        }
        let topic = &wanted[place].topic;
        let size = size_of(&data);
        bytes += size;
        count(&broker, &wanted[place], size);
        if context.keeps(place, &data) {
            add(&mut response, topic, data);
        }
    }
    context.finish(&broker.fetch_sessions);
    response.throttle_time_ms = call.throttle_time_ms(QuotaKind::Fetch, bytes);
    response
}

/// Reads until there is enough, or the time is over.
async fn wait_for_records(
    broker: &Arc<Broker>,
    request: &FetchRequest,
    reads: ReadContext,
    wanted: &Arc<Vec<ReadPartition>>,
) -> Vec<PartitionData> {
    let min_bytes = usize::try_from(request.min_bytes)
        .unwrap_or(0)
        .min(reads.max_bytes);
    let wait = Duration::from_millis(u64::try_from(request.max_wait_ms).unwrap_or(0));
    let deadline = tokio::time::Instant::now() + wait.min(LONGEST_WAIT);
    let mut parked: Option<Arc<ParkedFetch>> = None;
    loop {
        let found = read::read_all(broker, reads, Arc::clone(wanted)).await;
        let bytes: usize = found
            .partitions
            .iter()
            .filter_map(|data| data.records.as_ref())
            .map(fjord_wire::Records::len)
            .sum();
        let is_answer = |data: &PartitionData| {
            data.error_code != ErrorCode::None.code() || data.diverging_epoch.epoch >= 0
        };
        // More than fits would not make it more.
        let enough = bytes >= min_bytes || found.is_full || wanted.is_empty();
        let answered = enough || found.partitions.iter().any(is_answer);
        if answered || tokio::time::Instant::now() >= deadline || broker.stopping.is_cancelled() {
            return found.partitions;
        }
        match &parked {
            Some(parked) => {
                tokio::select! {
                    () = parked.woken() => {}
                    () = tokio::time::sleep_until(deadline) => {}
                    () = broker.stopping.cancelled() => {}
                }
            }
            None => {
                // Registered first, then read once more: nothing that is appended in between is missed.
                let fetch = ParkedFetch::new(min_bytes.saturating_sub(bytes).max(1));
                wanted
                    .iter()
                    .filter_map(|partition| partition.leader.as_ref().ok())
                    .for_each(|leader| leader.park(&fetch));
                parked = Some(fetch);
            }
        }
    }
}

fn count(broker: &Broker, partition: &ReadPartition, bytes: usize) {
    if bytes > 0
        && let Ok(leader) = &partition.leader
    {
        broker
            .metrics
            .topics
            .of(leader.topic())
            .fetched_bytes
            .inc_by(bytes as u64);
    }
}

/// Adds a partition to its topic in the response; partitions of one topic follow each other.
fn add(response: &mut FetchResponse, topic: &TopicKey, data: PartitionData) {
    let (name, id) = match topic {
        TopicKey::Name(name) => (name.to_string(), uuid::Uuid::nil()),
        TopicKey::Id(id) => (String::new(), *id),
    };
    match response.responses.last_mut() {
        Some(last) if last.topic == name && last.topic_id == id => last.partitions.push(data),
        _ => response.responses.push(FetchableTopicResponse {
            topic: name,
            topic_id: id,
            partitions: vec![data],
        }),
    }
}

impl Wanted {
    /// An answer without anything, which the read fills in.
    fn empty_answer(&self) -> PartitionData {
        PartitionData {
            partition_index: self.partition,
            high_watermark: -1,
            last_stable_offset: -1,
            log_start_offset: -1,
            preferred_read_replica: -1,
            ..PartitionData::default()
        }
    }
}
