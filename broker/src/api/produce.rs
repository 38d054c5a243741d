//! Produce (key 0), versions 3 to 13; 0 to 2 are advertised and refused (KAFKA-18659).
//!
//! - A record is answered for when it is on the leader's disk (`acks=1`), or on those of all in-sync replicas, of
//!   which there must be `min.insync.replicas` (`acks=all`). With acks=0 there is no response at all.
//! - One batch for each partition, of format 2 (KIP-98); each is checked down to its records before it is
//!   queued, and errors are per partition.
//! - From version 13 on topics come by id (KIP-516); version 8 added errors by record (KIP-467).
//! - A batch that an idempotent producer repeats is answered with the offset it had the first time.

use std::{sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use fjord_log::AppendOutcome;
use fjord_wire::{
    ErrorCode, Records,
    messages::{
        produce_request::{PartitionProduceData, ProduceRequest, TopicProduceData},
        produce_response::{
            BatchIndexAndErrorMessage, PartitionProduceResponse, ProduceResponse,
            TopicProduceResponse,
        },
    },
    records::{
        Batch, BatchLimits, Compression, Depth, recompress, set_append_time, set_max_timestamp,
        validate_batch,
    },
};

use super::{Answer, Call, Handler, call::first_of, error::ApiError, gather::Gather};
use crate::{
    clock::now_ms,
    config::{CompressionType, TimestampType, TopicConfig},
    metadata::{Image, Topic, topic_name},
    net::CloseConnection,
    partition::{Acks, Replica},
    security::{Operation, QuotaKind, Resource},
};

/// What a compressed batch may become when it is decompressed: this many times the largest batch that the
/// topic takes, and at least [`LEAST_DECOMPRESSED`]. Text compresses a hundredfold; bombs a thousandfold.
const DECOMPRESSED_FACTOR: usize = 128;
const LEAST_DECOMPRESSED: usize = 64 << 20;

/// The client id under which Kafka lets its own tools write to internal topics.
const ADMIN_CLIENT_ID: &str = "__admin_client";

pub struct Produce;

/// A partition of the request on its way: where its answer goes.
struct Place {
    topic: usize,
    partition: usize,
    slot: usize,
    append_time_ms: i64,
    leader: Arc<Replica>,
}

impl Handler for Produce {
    type Request = ProduceRequest;

    async fn handle(
        mut call: Call<ProduceRequest>,
    ) -> Result<Answer<ProduceResponse>, CloseConnection> {
        let acks = call.request.acks;
        let topics = std::mem::take(&mut call.request.topic_data);
        let timeout = Duration::from_millis(u64::try_from(call.request.timeout_ms).unwrap_or(0));
        let mut response = ProduceResponse::default();
        let mut gather = Gather::new();
        let mut places = Vec::new();
        let mut bytes = 0;
        for topic in topics {
            let started = start_topic(
                &call,
                topic,
                response.responses.len(),
                &mut gather,
                &mut places,
            );
            bytes += started.1;
            response.responses.push(started.0);
        }
        response.throttle_time_ms = call.throttle_time_ms(QuotaKind::Produce, bytes);
        if acks == 0 {
            return Ok(Answer::None);
        }
        let done = gather.finish();
        Ok(Answer::later(async move {
            let results = tokio::time::timeout(timeout, done).await;
            for place in places {
                let outcome = match &results {
                    Ok(results) => results.get(place.slot).cloned().flatten(),
                    Err(_) => Some(Err(timed_out(timeout))),
                };
                let partitions = &mut response.responses[place.topic].partition_responses;
                settle(&mut partitions[place.partition], &place, outcome);
            }
            response
        }))
    }

    fn first_error(response: &ProduceResponse) -> i16 {
        let partitions = response
            .responses
            .iter()
            .flat_map(|topic| &topic.partition_responses);
        first_of(partitions.map(|partition| partition.error_code))
    }
}

/// Queues what a request has for one topic; also says how many bytes that were.
fn start_topic(
    call: &Call<ProduceRequest>,
    topic: TopicProduceData,
    place: usize,
    gather: &mut Gather<Result<AppendOutcome, ApiError>>,
    places: &mut Vec<Place>,
) -> (TopicProduceResponse, usize) {
    let image = call.image();
    let found = find_topic(call, &image, &topic);
    let mut response = TopicProduceResponse {
        name: topic.name,
        topic_id: topic.topic_id,
        ..TopicProduceResponse::default()
    };
    let mut bytes = 0;
    for partition in topic.partition_data {
        let size = partition.records.as_ref().map_or(0, Records::len);
        bytes += size;
        let index = partition.index;
        let mut answer = PartitionProduceResponse {
            index,
            base_offset: -1,
            log_append_time_ms: -1,
            log_start_offset: -1,
            ..PartitionProduceResponse::default()
        };
        let started = found
            .as_ref()
            .map_err(|error| Refusal::from(error.clone()))
            .and_then(|topic| start_partition(call, topic, partition, gather));
        match started {
            Ok(queued) => places.push(Place {
                topic: place,
                partition: response.partition_responses.len(),
                slot: queued.slot,
                append_time_ms: queued.append_time_ms,
                leader: queued.leader,
            }),
            Err(refusal) => refuse(&mut answer, refusal),
        }
        response.partition_responses.push(answer);
    }
    (response, bytes)
}

fn find_topic<'a>(
    call: &Call<ProduceRequest>,
    image: &'a Image,
    topic: &TopicProduceData,
) -> Result<&'a Arc<Topic>, ApiError> {
    if !(-1..=1).contains(&call.request.acks) {
        return Err(ErrorCode::InvalidRequiredAcks.into());
    }
    let found = if call.version >= 13 {
        image
            .topic_by_id(&topic.topic_id)
            .ok_or(ErrorCode::UnknownTopicId)?
    } else {
        if !call.is_authorized(Operation::Write, Resource::topic(&topic.name)) {
            return Err(ErrorCode::TopicAuthorizationFailed.into());
        }
        image
            .topic(&topic.name)
            .ok_or(ErrorCode::UnknownTopicOrPartition)?
    };
    if !call.is_authorized(Operation::Write, Resource::topic(&found.name)) {
        return Err(ErrorCode::TopicAuthorizationFailed.into());
    }
    if topic_name::is_internal(&found.name) && call.client_id != ADMIN_CLIENT_ID {
        return Err(ApiError::new(
            ErrorCode::InvalidTopicException,
            format!(
                "{} is internal and takes no records from clients",
                found.name
            ),
        ));
    }
    Ok(found)
}

/// Why a partition's records are refused, and which records are to blame.
struct Refusal {
    error: ApiError,
    records: Vec<(i32, String)>,
}

impl From<ApiError> for Refusal {
    fn from(error: ApiError) -> Self {
        Self {
            error,
            records: Vec::new(),
        }
    }
}

/// A batch that waits for the disk.
struct Queued {
    slot: usize,
    append_time_ms: i64,
    leader: Arc<Replica>,
}

/// Checks and queues the records for one partition.
fn start_partition(
    call: &Call<ProduceRequest>,
    topic: &Topic,
    data: PartitionProduceData,
    gather: &mut Gather<Result<AppendOutcome, ApiError>>,
) -> Result<Queued, Refusal> {
    let leader = call
        .broker
        .partitions
        .leader(&topic.id, data.index)
        .map_err(|absent| ApiError::from(ErrorCode::from(absent)))?;
    let batch = the_batch(data.records.unwrap_or_default())?;
    let config = leader.config();
    let now_ms = now_ms();
    let batch = checked(batch, &config, now_ms)?;
    let append_time_ms = match config.message_timestamp_type {
        TimestampType::CreateTime => -1,
        TimestampType::LogAppendTime => now_ms,
    };
    let counters = call.broker.metrics.topics.of(&topic.name);
    counters.produced_bytes.inc_by(batch.bytes.len() as u64);
    counters
        .produced_records
        .inc_by(u64::try_from(batch.header.record_count).unwrap_or(0));
    let waiting = gather.slot();
    let slot = waiting.index();
    let acks = match call.request.acks {
        -1 => Acks::All,
        _ => Acks::Leader,
    };
    leader
        .append(batch.bytes, acks, move |result| {
            waiting.fill(result.map_err(ApiError::from));
        })
        .map_err(ApiError::from)?;
    Ok(Queued {
        slot,
        append_time_ms,
        leader,
    })
}

/// The one batch that a producer sends for a partition.
fn the_batch(records: Records) -> Result<Batch, Refusal> {
    let mut batches = records.batches();
    let first = batches.next();
    let batch = match first {
        Some(batch) => batch.map_err(|error| refusal_of(&error))?,
        None => {
            return Err(invalid_record(
                "a produce request needs a record batch for each partition",
            ));
        }
    };
    if batches.next().is_some() {
        return Err(invalid_record(
            "a produce request takes one record batch for each partition",
        ));
    }
    if batch.header.is_control() {
        return Err(invalid_record("clients must not write control batches"));
    }
    if batch.header.is_transactional() {
        let error = ApiError::new(
            ErrorCode::InvalidTxnState,
            "transactions are not supported yet",
        );
        return Err(error.into());
    }
    Ok(batch)
}

fn invalid_record(message: &str) -> Refusal {
    ApiError::new(ErrorCode::InvalidRecord, message).into()
}

fn refusal_of(error: &fjord_wire::records::BatchError) -> Refusal {
    Refusal {
        error: ApiError::new(error.error_code(), error.to_string()),
        records: error.record_errors(),
    }
}

/// Checks a batch against its topic, and gives it the timestamps and the compression that the topic asks
/// for.
fn checked(batch: Batch, config: &TopicConfig, now_ms: i64) -> Result<Batch, Refusal> {
    let append_time = config.message_timestamp_type == TimestampType::LogAppendTime;
    let earliest = now_ms.saturating_sub(config.message_timestamp_before_max_ms);
    let latest = now_ms.saturating_add(config.message_timestamp_after_max_ms);
    let limits = BatchLimits {
        max_batch_bytes: config.max_message_bytes,
        max_decompressed_bytes: max_decompressed_bytes(config),
        depth: Depth::Deep,
        require_keys: config.cleanup_policy.compact,
        timestamps: (!append_time).then_some(earliest..=latest),
    };
    let valid = validate_batch(&batch.bytes, &limits).map_err(|error| refusal_of(&error))?;
    let mut batch = recompressed(batch, config)?;
    if append_time || valid.max_timestamp != batch.header.max_timestamp {
        // The only copy of a batch on its way, where the topic or a wrong producer asks for it.
        let mut bytes = BytesMut::from(&batch.bytes[..]);
        let set = if append_time {
            set_append_time(&mut bytes, now_ms)
        } else {
            set_max_timestamp(&mut bytes, valid.max_timestamp)
        };
        set.map_err(|error| refusal_of(&error))?;
        batch = Batch {
            bytes: bytes.freeze(),
            ..batch
        };
    }
    Ok(batch)
}

fn max_decompressed_bytes(config: &TopicConfig) -> usize {
    config
        .max_message_bytes
        .saturating_mul(DECOMPRESSED_FACTOR)
        .max(LEAST_DECOMPRESSED)
}

fn recompressed(batch: Batch, config: &TopicConfig) -> Result<Batch, Refusal> {
    let (codec, level) = match config.compression_type {
        CompressionType::Producer => return Ok(batch),
        CompressionType::Uncompressed => (Compression::None, None),
        CompressionType::Gzip => {
            // -1 is gzip's own default.
            let level = Some(config.compression_gzip_level).filter(|level| *level >= 0);
            (Compression::Gzip, level)
        }
        CompressionType::Snappy => (Compression::Snappy, None),
        CompressionType::Lz4 => (Compression::Lz4, Some(config.compression_lz4_level)),
        CompressionType::Zstd => (Compression::Zstd, Some(config.compression_zstd_level)),
    };
    if batch
        .header
        .compression()
        .is_ok_and(|current| current == codec)
    {
        return Ok(batch);
    }
    let bytes: Bytes = recompress(&batch, codec, level, max_decompressed_bytes(config))
        .map_err(|error| invalid_record(&error.to_string()))?;
    let header =
        fjord_wire::records::BatchHeader::parse(&bytes).map_err(|error| refusal_of(&error))?;
    Ok(Batch { header, bytes })
}

fn timed_out(timeout: Duration) -> ApiError {
    let message = format!(
        "the records were not on disk after {} ms; they may still get there",
        timeout.as_millis()
    );
    ApiError::new(ErrorCode::RequestTimedOut, message)
}

/// Fills in what became of a partition's records.
fn settle(
    answer: &mut PartitionProduceResponse,
    place: &Place,
    outcome: Option<Result<AppendOutcome, ApiError>>,
) {
    match outcome {
        Some(Ok(outcome)) => {
            answer.base_offset = to_i64(outcome.base_offset);
            answer.log_append_time_ms = if outcome.duplicate {
                -1
            } else {
                place.append_time_ms
            };
            answer.log_start_offset = to_i64(place.leader.bounds().log_start);
        }
        Some(Err(error)) => refuse(answer, error.into()),
        None => {
            // The log went away without a word: it is being closed.
            refuse(
                answer,
                ApiError::from(ErrorCode::NotLeaderOrFollower).into(),
            );
        }
    }
}

fn refuse(answer: &mut PartitionProduceResponse, refusal: Refusal) {
    answer.error_code = refusal.error.code.code();
    let record_error = |(batch_index, message)| BatchIndexAndErrorMessage {
        batch_index,
        batch_index_error_message: Some(message),
    };
    answer.record_errors = refusal.records.into_iter().map(record_error).collect();
    answer.error_message = refusal.error.message;
}

/// Offsets stay far below 2^63.
fn to_i64(offset: u64) -> i64 {
    i64::try_from(offset).unwrap_or(i64::MAX)
}
