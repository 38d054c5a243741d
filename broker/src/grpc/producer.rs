//! `ProducerService`: records become one batch for each partition, and go the way of a Kafka producer's.

use std::{collections::BTreeMap, pin::Pin};

use fjord_proto::partitioner::partition_for_key;
use fjord_proto::v1::{
    self, Acks, InitProducerRequest, InitProducerResponse, ProduceRequest, ProduceResponse,
    ProduceStreamRequest, ProduceStreamResponse, ProducedPartition, produce_stream_response,
    producer_service_server::ProducerService,
};
use fjord_wire::{
    messages::{
        metadata_request::{MetadataRequest, MetadataRequestTopic},
        produce_request::{self, PartitionProduceData, TopicProduceData},
        produce_response,
    },
    records::Compression,
};
use futures::{Stream, StreamExt};
use tonic::{Request, Response, Status, Streaming};

use super::{
    backend::{Backend, Client, failed_call, unknown_topic},
    error,
    numbers::or_default,
    records::{self, Sequence},
};
use crate::{
    api::error::ApiError,
    forward::{Producing, Sent},
};

/// Versions of the Kafka requests, the last ones with topics' names.
const PRODUCE: i16 = 12;
const METADATA: i16 = 12;
const DEFAULT_TIMEOUT_MS: u32 = 30_000;

/// See the module's documentation.
pub struct Producer {
    backend: Backend,
}

impl Producer {
    pub fn new(backend: Backend) -> Self {
        Self { backend }
    }
}

type ProduceStream = Pin<Box<dyn Stream<Item = Result<ProduceStreamResponse, Status>> + Send>>;

#[tonic::async_trait]
impl ProducerService for Producer {
    async fn init_producer(
        &self,
        request: Request<InitProducerRequest>,
    ) -> Result<Response<InitProducerResponse>, Status> {
        let client = self.backend.client(&request);
        let given = client.init_producer().await;
        let (producer_id, producer_epoch) = given.map_err(|error| error::status(&error))?;
        Ok(Response::new(InitProducerResponse {
            producer_id,
            producer_epoch: producer_epoch.into(),
        }))
    }

    async fn produce(
        &self,
        request: Request<ProduceRequest>,
    ) -> Result<Response<ProduceResponse>, Status> {
        let client = self.backend.client(&request);
        let lane = Lane::new(client);
        let produced = Produced::begin(&self.backend, &lane, request.into_inner()).await;
        let response = produced
            .response()
            .await
            .map_err(|error| error::status(&error))?;
        Ok(Response::new(response.unwrap_or_default()))
    }

    type ProduceStreamStream = ProduceStream;

    async fn produce_stream(
        &self,
        request: Request<Streaming<ProduceStreamRequest>>,
    ) -> Result<Response<ProduceStream>, Status> {
        let backend = self.backend.clone();
        let lane = Lane::new(backend.client(&request));
        let max_in_flight = backend.broker().config().grpc.max_in_flight;
        // The first stages run one after the other, so that requests take effect in their order; the waits for
        // the disk run at once, and are answered in order.
        let produced = request.into_inner().then(move |message| {
            let (backend, lane) = (backend.clone(), lane.clone());
            async move {
                let message = message?;
                let produced = match message.request {
                    Some(request) => Produced::begin(&backend, &lane, request).await,
                    None => Produced {
                        expects_answer: true,
                        queued: Err(ApiError::invalid_request("the message has no request")),
                    },
                };
                Ok((message.id, produced))
            }
        });
        let answers = produced
            .map(|produced| async move {
                match produced {
                    Ok((id, produced)) => {
                        let outcome = produced.response().await.transpose()?;
                        Some(Ok(answer(id, outcome)))
                    }
                    Err(status) => Some(Err(status)),
                }
            })
            .buffered(max_in_flight)
            .filter_map(std::future::ready);
        Ok(Response::new(Box::pin(answers)))
    }
}

fn answer(id: u64, outcome: Result<ProduceResponse, ApiError>) -> ProduceStreamResponse {
    let result = match outcome {
        Ok(response) => produce_stream_response::Result::Response(response),
        Err(error) => produce_stream_response::Result::Error(error::part(&error)),
    };
    ProduceStreamResponse {
        id,
        result: Some(result),
    }
}

/// The records of one request for one partition: their places in the request.
#[derive(Debug, Default)]
struct Part {
    places: Vec<u32>,
}

/// The requests of one call, in their order.
#[derive(Clone)]
struct Lane {
    client: Client,
    producing: Producing,
}

impl Lane {
    fn new(client: Client) -> Lane {
        Lane {
            producing: client.producing(),
            client,
        }
    }
}

/// Records that wait for the disk.
struct Queued {
    sent: Sent,
    parts: BTreeMap<i32, Part>,
}

/// A request whose records are queued, or that was refused.
struct Produced {
    expects_answer: bool,
    queued: Result<Queued, ApiError>,
}

impl Produced {
    /// Shares the records out to partitions and queues them.
    async fn begin(backend: &Backend, lane: &Lane, request: ProduceRequest) -> Self {
        Self {
            expects_answer: request.acks != i32::from(Acks::None),
            queued: queue(backend, lane, request).await,
        }
    }

    /// Where the records are; nothing with `ACKS_NONE`, whatever became of them.
    async fn response(self) -> Result<Option<ProduceResponse>, ApiError> {
        if !self.expects_answer {
            if let Ok(queued) = self.queued {
                // Until it is where it belongs, it is sent again.
                let _ = queued.sent.response().await;
            }
            return Ok(None);
        }
        let Queued { sent, mut parts } = self.queued?;
        let response = sent.response().await.map_err(failed_call)?;
        let response = response.unwrap_or_default();
        let one = parts.len() == 1;
        let mut failed = None;
        let mut partitions = Vec::new();
        for answer in response
            .responses
            .into_iter()
            .flat_map(|topic| topic.partition_responses)
        {
            let places = parts.remove(&answer.index).unwrap_or_default().places;
            if let Err(error) = error::api_error(answer.error_code, answer.error_message.clone()) {
                failed.get_or_insert(error);
            }
            partitions.push(produced(answer, places, one));
        }
        match failed {
            Some(error) if partitions.iter().all(|p| p.error.is_some()) => Err(error),
            _ => Ok(Some(ProduceResponse { partitions })),
        }
    }
}

fn produced(
    answer: produce_response::PartitionProduceResponse,
    places: Vec<u32>,
    one: bool,
) -> ProducedPartition {
    ProducedPartition {
        partition: answer.index,
        base_offset: answer.base_offset,
        record_count: u32::try_from(places.len()).unwrap_or(u32::MAX),
        records: if one { Vec::new() } else { places },
        append_time_ms: Some(answer.log_append_time_ms).filter(|time| *time >= 0),
        error: error::part_of(answer.error_code, answer.error_message),
    }
}

/// The broker makes no sense of a request that a service has made: what it says is all there is.
fn of_status(status: Status) -> ApiError {
    ApiError::invalid_request(status.message())
}

/// Shares the records out to partitions and queues them.
async fn queue(
    backend: &Backend,
    lane: &Lane,
    request: ProduceRequest,
) -> Result<Queued, ApiError> {
    if request.records.is_empty() {
        return Err(ApiError::invalid_request(
            "a produce request needs at least one record",
        ));
    }
    let sequence = request.sequence.as_ref().map(sequence).transpose()?;
    if sequence.is_some() && request.partition.is_none() {
        return Err(ApiError::invalid_request(
            "a request with a sequence must name its partition: sequences count by partition",
        ));
    }
    let compression = compression(request.compression)?;
    let acks = match Acks::try_from(request.acks) {
        Ok(Acks::None) => 0,
        Ok(Acks::Leader) => 1,
        Ok(Acks::Unspecified | Acks::All) => -1,
        Err(_) => return Err(ApiError::invalid_request("acks are none, leader or all")),
    };
    let partitions = partition_count(backend, &lane.client, &request.topic).await?;
    let parts = share_out(&request.records, request.partition, partitions)?;
    let mut partition_data = Vec::with_capacity(parts.len());
    for (partition, part) in &parts {
        let batch = records::batch(&request.records, &part.places, compression, sequence)?;
        partition_data.push(PartitionProduceData {
            index: *partition,
            records: Some(batch),
        });
    }
    let timeout_ms = or_default(request.timeout_ms, DEFAULT_TIMEOUT_MS);
    let kafka = produce_request::ProduceRequest {
        transactional_id: None,
        acks,
        timeout_ms,
        topic_data: vec![TopicProduceData {
            name: request.topic,
            partition_data,
            ..TopicProduceData::default()
        }],
    };
    let sent = lane.producing.begin(PRODUCE, kafka).await;
    let sent = sent.map_err(|refused| failed_call(refused.into()))?;
    Ok(Queued { sent, parts })
}

/// Which partition each record goes to.
fn share_out(
    records: &[v1::Record],
    partition: Option<i32>,
    count: i32,
) -> Result<BTreeMap<i32, Part>, ApiError> {
    if let Some(partition) = partition
        && !(0..count).contains(&partition)
    {
        return Err(ApiError::new(
            fjord_wire::ErrorCode::UnknownTopicOrPartition,
            format!("there is no partition {partition}; the topic has {count}, from 0 on"),
        ));
    }
    let mut parts: BTreeMap<i32, Part> = BTreeMap::new();
    let mut sticky = None;
    for (place, record) in (0u32..).zip(records) {
        let partition = match (partition, &record.key) {
            (Some(partition), _) => partition,
            (None, Some(key)) => partition_for_key(key, count),
            (None, None) => *sticky.get_or_insert_with(|| rand::random_range(0..count)),
        };
        parts.entry(partition).or_default().places.push(place);
    }
    Ok(parts)
}

fn sequence(sequence: &v1::Sequence) -> Result<Sequence, ApiError> {
    let producer_epoch = i16::try_from(sequence.producer_epoch).unwrap_or(-1);
    if sequence.producer_id < 0 || producer_epoch < 0 || sequence.first < 0 {
        return Err(ApiError::invalid_request(
            "a sequence needs an id and an epoch from InitProducer, and a number from 0 on",
        ));
    }
    Ok(Sequence {
        producer_id: sequence.producer_id,
        producer_epoch,
        first: sequence.first,
    })
}

fn compression(compression: i32) -> Result<Compression, ApiError> {
    Ok(match v1::Compression::try_from(compression) {
        Ok(v1::Compression::Unspecified) => Compression::None,
        Ok(v1::Compression::Gzip) => Compression::Gzip,
        Ok(v1::Compression::Snappy) => Compression::Snappy,
        Ok(v1::Compression::Lz4) => Compression::Lz4,
        Ok(v1::Compression::Zstd) => Compression::Zstd,
        Err(_) => {
            return Err(ApiError::invalid_request(
                "compressions are gzip, snappy, lz4 and zstd",
            ));
        }
    })
}

/// How many partitions a topic has; makes it if that is allowed and it is not there.
async fn partition_count(backend: &Backend, client: &Client, name: &str) -> Result<i32, ApiError> {
    if let Some(topic) = backend.image().topic(name) {
        return Ok(i32::try_from(topic.partitions.len()).unwrap_or(i32::MAX));
    }
    let request = MetadataRequest {
        topics: Some(vec![MetadataRequestTopic {
            name: Some(name.to_owned()),
            ..MetadataRequestTopic::default()
        }]),
        allow_auto_topic_creation: true,
        ..MetadataRequest::default()
    };
    let response = client.call(METADATA, request).await.map_err(of_status)?;
    let Some(topic) = response.topics.into_iter().next() else {
        return Err(unknown_topic(name));
    };
    match error::api_error(topic.error_code, None) {
        Ok(()) => Ok(i32::try_from(topic.partitions.len()).unwrap_or(i32::MAX)),
        Err(error) if error.code == fjord_wire::ErrorCode::UnknownTopicOrPartition => {
            Err(unknown_topic(name))
        }
        Err(error) => Err(error),
    }
}
