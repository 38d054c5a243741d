//! Reads partitions, each from a place that the reader names, and follows them.
//!
//! ```text
//! next_batch ──► waiting responses ──► places move on ──► the reader
//!     ▲                                    │
//!     └── a new stream from there, after what may succeed later
//! ```

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use fjord_proto::v1::{
    self, ConsumedRecord, FetchRequest, FetchResponse, PartitionRecords, Position, fetch_partition,
    fetch_service_client::FetchServiceClient,
};
use futures::{Stream, stream};
use tonic::Streaming;

use crate::{Client, Result, error::Error, retry::Patience};

/// Where reading a partition begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// At the first record that is still there.
    Earliest,
    /// Behind the last record: only what comes.
    Latest,
    /// At this offset.
    Offset(i64),
    /// At the first record that is not older than this, in milliseconds since 1970.
    Timestamp(i64),
}

/// How a [`Fetcher`] reads.
#[derive(Debug, Clone)]
pub struct FetchOptions {
    /// Ends when every partition has been read up to where it ended when it was asked for. If the connection breaks
    /// meanwhile, that is where it ends when it is asked for again.
    pub until_end: bool,
    /// About the most bytes of records in one response. 1 MiB unless set.
    pub max_bytes: u32,
    /// A response waits until it has so many bytes of records, or `max_wait` is over. 1 unless set.
    pub min_bytes: u32,
    /// How long a response waits for `min_bytes`. 500 ms unless set.
    pub max_wait: Duration,
    /// How long is tried again what may succeed later, such as a connection that broke. Two minutes unless set.
    pub retry_for: Duration,
}

impl Default for FetchOptions {
    fn default() -> Self {
        Self {
            until_end: false,
            max_bytes: 1 << 20,
            min_bytes: 1,
            max_wait: Duration::from_millis(500),
            retry_for: Duration::from_secs(120),
        }
    }
}

/// A record that was read.
#[derive(Debug, Clone)]
pub struct Fetched {
    /// The topic's name.
    pub topic: Arc<str>,
    /// The partition's number.
    pub partition: i32,
    /// The record.
    pub record: ConsumedRecord,
}

/// Reads partitions.
///
/// ```no_run
/// # use fjord_client::*;
/// # async fn run(client: Client) -> Result<()> {
/// let options = FetchOptions { until_end: true, ..FetchOptions::default() };
/// let mut fetcher = client.fetcher([("flights".to_owned(), 0, Start::Earliest)], options);
/// while let Some(batch) = fetcher.next_batch().await? {
///     for record in batch.records {
///         println!("{}: {:?}", record.offset, record.value);
///     }
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Fetcher {
    client: Client,
    options: FetchOptions,
    /// The partitions that are read, and where a new stream would begin.
    places: BTreeMap<(String, i32), Start>,
    stream: Option<Streaming<FetchResponse>>,
    /// What has come and was not asked for yet: the partitions of one response.
    waiting: VecDeque<PartitionRecords>,
    patience: Patience,
}

impl Client {
    /// Reads partitions: topic, partition, and where to begin. Nothing is sent until the first record is asked for.
    #[must_use]
    pub fn fetcher(
        &self,
        partitions: impl IntoIterator<Item = (String, i32, Start)>,
        options: FetchOptions,
    ) -> Fetcher {
        let places = partitions
            .into_iter()
            .map(|(topic, partition, start)| ((topic, partition), start))
            .collect();
        Fetcher {
            client: self.clone(),
            patience: Patience::new(options.retry_for),
            options,
            places,
            stream: None,
            waiting: VecDeque::new(),
        }
    }
}

impl Fetcher {
    /// The next records of some partition, or nothing if all has been read.
    ///
    /// Records may be empty: then the message tells that nothing has come for a while, and where the partition ends.
    /// Dropping the future loses no records.
    ///
    /// # Errors
    ///
    /// What the broker says and what does not pass by itself. An error about one partition ends the reading of that
    /// one; the others go on when this is called again.
    pub async fn next_batch(&mut self) -> Result<Option<PartitionRecords>> {
        loop {
            if let Some(batch) = self.waiting.pop_front() {
                match self.take(batch) {
                    Ok(batch) => return Ok(Some(batch)),
                    Err(error) => self.patience.wait(error).await?,
                }
                continue;
            }
            if self.places.is_empty() {
                return Ok(None);
            }
            let Some(stream) = &mut self.stream else {
                self.open().await?;
                continue;
            };
            match stream.message().await {
                Ok(Some(response)) => {
                    self.patience.succeeded();
                    self.waiting.extend(response.partitions);
                }
                Ok(None) if self.options.until_end => self.places.clear(),
                Ok(None) => {
                    self.stream = None;
                    let error = Error::Disconnected {
                        address: self.client.address(),
                        cause: "the broker ended the stream".to_owned(),
                    };
                    self.patience.wait(error).await?;
                }
                Err(status) => {
                    self.stream = None;
                    let error = self.client.error(&self.client.connection(), &status);
                    self.patience.wait(error).await?;
                }
            }
        }
    }

    /// The records one by one, as a stream. It ends after an error.
    pub fn records(self) -> impl Stream<Item = Result<Fetched>> + Send {
        let none = VecDeque::new();
        stream::unfold(Some((self, none)), |state| async move {
            let (mut fetcher, mut records): (Self, VecDeque<Fetched>) = state?;
            loop {
                if let Some(record) = records.pop_front() {
                    return Some((Ok(record), Some((fetcher, records))));
                }
                match fetcher.next_batch().await {
                    Ok(Some(batch)) => records.extend(one_by_one(batch)),
                    Ok(None) => return None,
                    Err(error) => return Some((Err(error), None)),
                }
            }
        })
    }

    /// Moves the place of a partition on.
    fn take(&mut self, mut batch: PartitionRecords) -> Result<PartitionRecords> {
        let partition = (batch.topic.clone(), batch.partition);
        if let Some(error) = batch.error.take() {
            let error = Error::from(error);
            if error.is_retriable() {
                // The stream does not read this partition any more; a new one does, from the same place.
                self.stream = None;
            } else {
                self.places.remove(&partition);
            }
            return Err(error);
        }
        if let Some(place) = self.places.get_mut(&partition) {
            *place = Start::Offset(batch.next_offset);
        }
        Ok(batch)
    }

    /// Opens a stream at the places, or waits after a failure that may pass.
    async fn open(&mut self) -> Result<()> {
        let partitions = self
            .places
            .iter()
            .map(|((topic, partition), start)| v1::FetchPartition {
                topic: topic.clone(),
                partition: *partition,
                start: Some(start_of(*start)),
            })
            .collect();
        let request = FetchRequest {
            partitions,
            max_bytes: self.options.max_bytes,
            min_bytes: self.options.min_bytes,
            max_wait_ms: millis(self.options.max_wait),
            until_end: self.options.until_end,
        };
        let connection = self.client.connection();
        let mut service = FetchServiceClient::new(connection.channel.clone())
            .max_decoding_message_size(self.client.options().max_message_bytes);
        match self
            .client
            .open_stream(&connection, service.fetch(request))
            .await
        {
            Ok(stream) => {
                self.stream = Some(stream);
                Ok(())
            }
            Err(error) => {
                let broken = matches!(error, Error::Disconnected { .. });
                self.patience.wait(error).await?;
                if broken && let Err(error) = self.client.reconnect(&connection).await {
                    self.patience.wait(error).await?;
                }
                Ok(())
            }
        }
    }
}

/// The records of a batch, each with the name of where it is from.
fn one_by_one(batch: PartitionRecords) -> impl Iterator<Item = Fetched> {
    let topic: Arc<str> = batch.topic.into();
    let partition = batch.partition;
    batch.records.into_iter().map(move |record| Fetched {
        topic: Arc::clone(&topic),
        partition,
        record,
    })
}

fn start_of(start: Start) -> fetch_partition::Start {
    match start {
        Start::Earliest => fetch_partition::Start::Position(Position::Earliest.into()),
        Start::Latest => fetch_partition::Start::Position(Position::Latest.into()),
        Start::Offset(offset) => fetch_partition::Start::Offset(offset),
        Start::Timestamp(timestamp_ms) => fetch_partition::Start::TimestampMs(timestamp_ms),
    }
}

/// Whole milliseconds, as the API has them: at least 1 of a time that is not zero, since 0 stands for a default.
pub(crate) fn millis(time: Duration) -> u32 {
    let millis = u32::try_from(time.as_millis()).unwrap_or(u32::MAX);
    if time.is_zero() { 0 } else { millis.max(1) }
}
