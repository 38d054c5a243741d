//! `FetchService`: partitions as streams of records.

use std::{
    collections::{HashMap, HashSet},
    pin::Pin,
    time::{Duration, Instant},
};

use fjord_proto::v1::{
    FetchPartition, FetchRequest, FetchResponse, PartitionRecords, fetch_partition::Start,
    fetch_service_server::FetchService,
};
use fjord_wire::{
    ErrorCode,
    messages::{fetch_request, fetch_response::PartitionData},
};
use futures::{Stream, stream};
use tonic::{Request, Response, Status};

use super::{
    backend::{Backend, Client},
    error,
    numbers::{or_default, signed},
    offsets::{self, Place},
    records,
};
use crate::api::error::ApiError;

/// Partitions of one stream.
const MAX_PARTITIONS: usize = 10_000;
/// The last version of Fetch with topics' names.
const FETCH: i16 = 12;
const DEFAULT_MAX_BYTES: u32 = 1 << 20;
const DEFAULT_MAX_WAIT_MS: u32 = 500;
/// How long a partition may have no leader before the stream says so; until then it only pauses.
const AWAY: Duration = Duration::from_secs(30);

/// See the module's documentation.
pub struct Fetch {
    backend: Backend,
}

impl Fetch {
    pub fn new(backend: Backend) -> Self {
        Self { backend }
    }
}

type FetchStream = Pin<Box<dyn Stream<Item = Result<FetchResponse, Status>> + Send>>;

#[tonic::async_trait]
impl FetchService for Fetch {
    type FetchStream = FetchStream;

    async fn fetch(&self, request: Request<FetchRequest>) -> Result<Response<FetchStream>, Status> {
        let client = self.backend.client(&request);
        let request = request.into_inner();
        if request.partitions.is_empty() {
            return Err(error::invalid("a fetch needs at least one partition"));
        }
        let names: HashSet<_> = request
            .partitions
            .iter()
            .map(|asked| (&asked.topic, asked.partition))
            .collect();
        if names.len() < request.partitions.len() {
            return Err(error::invalid("a fetch names each partition once"));
        }
        if request.partitions.len() > MAX_PARTITIONS {
            return Err(error::invalid(format!(
                "a fetch reads at most {MAX_PARTITIONS} partitions; use several calls"
            )));
        }
        let limits = Limits {
            max_bytes: or_default(request.max_bytes, DEFAULT_MAX_BYTES),
            min_bytes: signed(request.min_bytes.max(1)),
            max_wait_ms: or_default(request.max_wait_ms, DEFAULT_MAX_WAIT_MS),
        };
        let reader = Reader::open(client, request, limits).await?;
        let responses = stream::try_unfold(reader, |mut reader| async move {
            Ok(reader.next().await?.map(|response| (response, reader)))
        });
        Ok(Response::new(Box::pin(responses)))
    }
}

/// How much comes at a time, and when.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// About the most bytes of one response.
    pub max_bytes: i32,
    /// Bytes for which a response waits.
    pub min_bytes: i32,
    /// The longest that it waits for them, in milliseconds.
    pub max_wait_ms: i32,
}

/// Where the reading of a partition is.
#[derive(Debug, Clone)]
struct Progress {
    topic: String,
    partition: i32,
    next_offset: i64,
    /// Reading ends here, if it does.
    end: Option<i64>,
    /// Since when its leader has not been there.
    away_since: Option<Instant>,
}

/// The state of one stream.
struct Reader {
    client: Client,
    partitions: Vec<Progress>,
    limits: Limits,
    /// What could not be read from the start on, to be told first.
    failed: Vec<PartitionRecords>,
    /// Whether anything was ever readable.
    is_empty: bool,
    last_error: Option<ApiError>,
}

impl Reader {
    async fn open(client: Client, request: FetchRequest, limits: Limits) -> Result<Self, Status> {
        let until_end = request.until_end;
        let mut reader = Self {
            client,
            partitions: Vec::new(),
            limits,
            failed: Vec::new(),
            is_empty: false,
            last_error: None,
        };
        for asked in request.partitions {
            let found = start_of(&reader.client, &asked, until_end).await?;
            match found {
                Ok((next_offset, end)) => reader.partitions.push(Progress {
                    topic: asked.topic,
                    partition: asked.partition,
                    next_offset,
                    end,
                    away_since: None,
                }),
                Err(error) => {
                    reader.failed.push(PartitionRecords {
                        topic: asked.topic,
                        partition: asked.partition,
                        next_offset: -1,
                        high_watermark: -1,
                        log_start_offset: -1,
                        error: Some(error::part(&error)),
                        ..PartitionRecords::default()
                    });
                    reader.last_error = Some(error);
                }
            }
        }
        reader.is_empty = reader.partitions.is_empty();
        match &reader.last_error {
            Some(error) if reader.is_empty => Err(error::status(error)),
            _ => Ok(reader),
        }
    }

    /// The next response; nothing when all has been read that there is to read.
    async fn next(&mut self) -> Result<Option<FetchResponse>, Status> {
        if !self.failed.is_empty() {
            let partitions = std::mem::take(&mut self.failed);
            return Ok(Some(FetchResponse { partitions }));
        }
        self.partitions
            .retain(|p| p.end.is_none_or(|end| p.next_offset < end));
        if self.partitions.is_empty() {
            return Ok(None);
        }
        // None is asked for first all the time: the first ones may fill every response.
        self.partitions.rotate_left(1);
        let found = read(&self.client, self.limits, &self.wanted()).await?;
        self.client.refuse_if_stopping()?;
        let mut found: HashMap<usize, PartitionData> = found.into_iter().collect();
        let mut response = FetchResponse::default();
        for (place, progress) in self.partitions.iter_mut().enumerate() {
            let taken = match found.remove(&place) {
                Some(data) => progress.take(data),
                None => progress.away(Instant::now()),
            };
            response.partitions.extend(taken);
        }
        self.partitions.retain(|p| p.next_offset >= 0);
        Ok(Some(response))
    }

    fn wanted<'a>(&'a self) -> Vec<Wanted<'a>> {
        let wanted = |progress: &'a Progress| Wanted {
            topic: &progress.topic,
            partition: progress.partition,
            offset: progress.next_offset,
        };
        self.partitions.iter().map(wanted).collect()
    }
}

impl Progress {
    /// The leader has not answered: the partition moves. Told when it takes too long.
    fn away(&mut self, now: Instant) -> Option<PartitionRecords> {
        let since = *self.away_since.get_or_insert(now);
        if now.duration_since(since) < AWAY {
            return None;
        }
        self.take(PartitionData {
            error_code: ErrorCode::LeaderNotAvailable.code(),
            high_watermark: -1,
            log_start_offset: -1,
            ..PartitionData::default()
        })
    }

    /// Takes in what was read; nothing if there is nothing to say.
    fn take(&mut self, data: PartitionData) -> Option<PartitionRecords> {
        self.away_since = None;
        let decoded = partition_records(&self.topic, self.partition, self.next_offset, data);
        if decoded.error.is_some() {
            // Marks it as read to its end.
            self.next_offset = -1;
            return Some(decoded);
        }
        let moved = decoded.next_offset > self.next_offset;
        self.next_offset = decoded.next_offset;
        moved.then_some(decoded)
    }
}

/// What was read of a partition from `offset` on.
pub fn partition_records(
    topic: &str,
    partition: i32,
    offset: i64,
    data: PartitionData,
) -> PartitionRecords {
    let records = data.records.unwrap_or_default();
    let decoded =
        error::api_error(data.error_code, None).and_then(|()| records::decode(&records, offset));
    let mut message = PartitionRecords {
        topic: topic.to_owned(),
        partition,
        next_offset: offset,
        high_watermark: data.high_watermark,
        log_start_offset: data.log_start_offset,
        ..PartitionRecords::default()
    };
    match decoded {
        Ok((records, next_offset)) => {
            message.records = records;
            message.next_offset = next_offset;
        }
        Err(error) => message.error = Some(error::part(&explained(error, offset))),
    }
    message
}

fn explained(error: ApiError, offset: i64) -> ApiError {
    match error.code {
        ErrorCode::OffsetOutOfRange => ApiError::new(
            error.code,
            format!("offset {offset} is not there; begin at an end, or at a time"),
        ),
        _ => error,
    }
}

/// Where a partition's reading begins, and where it ends if that is asked for.
async fn start_of(
    client: &Client,
    asked: &FetchPartition,
    until_end: bool,
) -> Result<Result<(i64, Option<i64>), ApiError>, Status> {
    let place = match &asked.start {
        Some(Start::Offset(offset)) => Place::Offset(*offset),
        Some(Start::TimestampMs(time)) => Place::Time(*time),
        Some(Start::Position(position)) => Place::of_position(*position, Place::Earliest),
        None => Place::Earliest,
    };
    let find = |place| offsets::find(client, &asked.topic, asked.partition, place);
    let start = match find(place).await? {
        Ok(start) => start,
        Err(error) => return Ok(Err(error)),
    };
    let latest = match place {
        Place::Latest => start,
        Place::Earliest | Place::Time(_) if !until_end => return Ok(Ok((start, None))),
        _ => match find(Place::Latest).await? {
            Ok(latest) => latest,
            Err(error) => return Ok(Err(error)),
        },
    };
    if matches!(place, Place::Offset(_)) {
        // Told now: the first read would only come across it after the stream has begun.
        match find(Place::Earliest).await? {
            Ok(earliest) if (earliest..=latest).contains(&start) => {}
            Ok(_) => return Ok(Err(explained(ErrorCode::OffsetOutOfRange.into(), start))),
            Err(error) => return Ok(Err(error)),
        }
    }
    Ok(Ok((start, until_end.then_some(latest))))
}

/// A place to read from.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// The topic's name.
    pub topic: &'a str,
    /// The partition's number.
    pub partition: i32,
    /// The first offset.
    pub offset: i64,
}

/// Reads partitions once; each answer comes with its place in `wanted`. Those that move from one leader to another have none.
///
/// # Errors
///
/// If nothing can be read at all.
pub async fn read(
    client: &Client,
    limits: Limits,
    wanted: &[Wanted<'_>],
) -> Result<Vec<(usize, PartitionData)>, Status> {
    let mut topics: Vec<fetch_request::FetchTopic> = Vec::new();
    let mut places = HashMap::new();
    for (place, wanted) in wanted.iter().enumerate() {
        places.insert((wanted.topic, wanted.partition), place);
        let partition = fetch_request::FetchPartition {
            partition: wanted.partition,
            current_leader_epoch: -1,
            fetch_offset: wanted.offset,
            last_fetched_epoch: -1,
            log_start_offset: -1,
            partition_max_bytes: limits.max_bytes,
            ..fetch_request::FetchPartition::default()
        };
        match topics.last_mut() {
            Some(last) if last.topic == wanted.topic => last.partitions.push(partition),
            _ => topics.push(fetch_request::FetchTopic {
                topic: wanted.topic.to_owned(),
                partitions: vec![partition],
                ..fetch_request::FetchTopic::default()
            }),
        }
    }
    let request = fetch_request::FetchRequest {
        replica_id: -1,
        max_wait_ms: limits.max_wait_ms,
        min_bytes: limits.min_bytes,
        max_bytes: limits.max_bytes,
        // No session: every request says all that it wants (KIP-227).
        session_id: 0,
        session_epoch: -1,
        topics,
        ..fetch_request::FetchRequest::default()
    };
    let response = client.call(FETCH, request).await?;
    error::check(response.error_code, None)?;
    let mut found = Vec::with_capacity(wanted.len());
    for topic in response.responses {
        for data in topic.partitions {
            if let Some(place) = places.get(&(topic.topic.as_str(), data.partition_index)) {
                found.push((*place, data));
            }
        }
    }
    Ok(found)
}
