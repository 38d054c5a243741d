//! A member of a consumer group: one stream, on which commands go to the broker and events come back.
//!
//! The broker sends no more records than it has credit for. Credit is given back as the application takes records, so
//! that what waits here is bounded whatever the application does meanwhile.

mod member;
mod options;
mod session;

use std::collections::{BTreeMap, VecDeque};

use fjord_proto::v1::{
    self, Assigned, Commit, CommittedOffset, PartitionRecords, Position, Revoked, TopicPartition,
    consume_request::Command, consume_response, seek,
};
use tokio::time::timeout;

use self::member::Member;
pub use self::options::SubscribeOptions;
use crate::{Client, Result, Start, error::Error, retry::Patience};

/// What a member learns.
#[derive(Debug, Clone)]
pub enum Event {
    /// The member has these partitions, in place of all before.
    Assigned(Assigned),
    /// The member is to give its partitions back: now is the time to commit. The next call of [`Consumer::next`] says
    /// to the broker that this is done. If they are `lost`, others have them already, and nothing can be committed.
    Revoked(Revoked),
    /// Records of one partition, in order.
    Records(PartitionRecords),
}

/// A member of a consumer group.
///
/// ```no_run
/// # use fjord_client::*;
/// # async fn run(client: Client) -> Result<()> {
/// let mut consumer = client.consumer(SubscribeOptions::new("billing", ["flights"])).await?;
/// while let Some(event) = consumer.next().await? {
///     match event {
///         Event::Records(batch) => {
///             for record in &batch.records {
///                 println!("{}: {:?}", record.offset, record.value);
///             }
///             consumer.commit().await?;
///         }
///         Event::Assigned(assigned) => println!("{} partitions", assigned.partitions.len()),
///         Event::Revoked(_) => println!("the group changes"),
///     }
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Consumer {
    client: Client,
    options: SubscribeOptions,
    stream: Option<Member>,
    /// What came while an answer was waited for.
    waiting: VecDeque<consume_response::Event>,
    assigned: Vec<TopicPartition>,
    /// Behind the records that the application took, where that is not committed yet.
    positions: BTreeMap<(String, i32), i64>,
    /// Whether the broker waits for `release`.
    release_due: bool,
    /// How many records were taken since credit was given back.
    taken: u32,
    commits: u64,
    /// The last seek of each partition where it has not taken effect yet: records that come before are not wanted.
    seeks: BTreeMap<(String, i32), u64>,
    seek_count: u64,
    patience: Patience,
}

impl Client {
    /// Joins a group.
    ///
    /// # Errors
    ///
    /// What the broker says and what does not pass by itself.
    pub async fn consumer(&self, mut options: SubscribeOptions) -> Result<Consumer> {
        // Half of the credit is given back at a time.
        options.credit_records = options.credit_records.max(2);
        let mut consumer = Consumer {
            client: self.clone(),
            patience: Patience::new(options.retry_for),
            options,
            stream: None,
            waiting: VecDeque::new(),
            assigned: Vec::new(),
            positions: BTreeMap::new(),
            release_due: false,
            taken: 0,
            commits: 0,
            seeks: BTreeMap::new(),
            seek_count: 0,
        };
        while consumer.stream.is_none() {
            consumer.open().await?;
        }
        Ok(consumer)
    }
}

impl Consumer {
    /// The next event. It never ends by itself: a broken connection is [`Event::Revoked`] with `lost`, and the member
    /// joins again. Dropping the future loses nothing.
    ///
    /// # Errors
    ///
    /// What the broker says and what does not pass by itself.
    pub async fn next(&mut self) -> Result<Option<Event>> {
        loop {
            if let Some(event) = self.waiting.pop_front() {
                if let Some(event) = self.take(event)? {
                    return Ok(Some(event));
                }
                continue;
            }
            if self.stream.is_none() {
                self.open().await?;
                continue;
            }
            match self.receive().await {
                Ok(event) => self.waiting.push_back(event),
                Err(error) => {
                    if let Some(lost) = self.lost(error).await? {
                        return Ok(Some(lost));
                    }
                }
            }
        }
    }

    /// The partitions that the member has.
    #[must_use]
    pub fn assigned(&self) -> &[TopicPartition] {
        &self.assigned
    }

    /// Commits the places behind all records that [`next`](Self::next) has returned, and waits for the answer.
    ///
    /// # Errors
    ///
    /// As [`commit_offsets`](Self::commit_offsets).
    pub async fn commit(&mut self) -> Result<()> {
        let offsets: Vec<CommittedOffset> = self
            .positions
            .iter()
            .map(|((topic, partition), offset)| CommittedOffset {
                topic: topic.clone(),
                partition: *partition,
                offset: *offset,
                metadata: String::new(),
            })
            .collect();
        self.commit_offsets(offsets).await
    }

    /// Commits offsets, and waits for the answer.
    ///
    /// # Errors
    ///
    /// The first that the broker refused; [`Error::Disconnected`] if the stream broke: then the partitions are lost,
    /// which [`next`](Self::next) tells.
    pub async fn commit_offsets(&mut self, offsets: Vec<CommittedOffset>) -> Result<()> {
        if offsets.is_empty() {
            return Ok(());
        }
        self.commits += 1;
        let id = self.commits;
        let commit = Commit {
            id,
            offsets: offsets.clone(),
            through: 0,
        };
        self.send(Command::Commit(commit)).await?;
        let limit = self.client.options().request_timeout;
        let refused = match timeout(limit, self.committed(id)).await {
            Ok(refused) => refused?,
            Err(_) => {
                return Err(Error::Timeout {
                    address: self.client.address(),
                    after: limit,
                });
            }
        };
        if let Some(error) = refused {
            return Err(error.into());
        }
        for CommittedOffset {
            topic,
            partition,
            offset,
            ..
        } in offsets
        {
            let key = (topic, partition);
            if self.positions.get(&key) == Some(&offset) {
                self.positions.remove(&key);
            }
        }
        Ok(())
    }

    /// Goes on at another place of an assigned partition: the next records of it that [`next`](Self::next) returns are
    /// from there, and those that were on their way already are dropped. If the place cannot be found, `next` says so,
    /// and reading goes on behind what was dropped.
    ///
    /// # Errors
    ///
    /// [`Error::Disconnected`] if the stream is broken.
    pub async fn seek(&mut self, topic: &str, partition: i32, to: Start) -> Result<()> {
        let to = match to {
            Start::Offset(offset) => seek::To::Offset(offset),
            Start::Timestamp(timestamp_ms) => seek::To::TimestampMs(timestamp_ms),
            Start::Earliest => seek::To::Position(Position::Earliest.into()),
            Start::Latest => seek::To::Position(Position::Latest.into()),
        };
        self.seek_count += 1;
        let id = self.seek_count;
        self.send(Command::Seek(v1::Seek {
            topic: topic.to_owned(),
            partition,
            to: Some(to),
            id,
        }))
        .await?;
        let key = (topic.to_owned(), partition);
        self.positions.remove(&key);
        self.seeks.insert(key, id);
        Ok(())
    }

    /// Stops records of some partitions, or of all if none is named; they stay with this member.
    ///
    /// # Errors
    ///
    /// [`Error::Disconnected`] if the stream is broken.
    pub async fn pause(&mut self, partitions: Vec<TopicPartition>) -> Result<()> {
        self.send(Command::Pause(v1::Pause { partitions, id: 0 }))
            .await
    }

    /// Lets records of paused partitions come again; of all if none is named.
    ///
    /// # Errors
    ///
    /// [`Error::Disconnected`] if the stream is broken.
    pub async fn resume(&mut self, partitions: Vec<TopicPartition>) -> Result<()> {
        self.send(Command::Resume(v1::Resume { partitions, id: 0 }))
            .await
    }

    /// Leaves the group, so that others get the partitions at once. Nothing is committed by it.
    ///
    /// # Errors
    ///
    /// [`Error::Timeout`] if the broker does not end the stream; the session ends by itself then.
    pub async fn leave(mut self) -> Result<()> {
        if self.stream.is_none() || self.send(Command::Leave(v1::Leave {})).await.is_err() {
            // The stream is broken: the broker sees that too.
            return Ok(());
        }
        let limit = self.client.options().request_timeout;
        let address = self.client.address();
        let to_the_end = async {
            if let Some(member) = &mut self.stream {
                while member.event(&self.client).await.is_ok() {}
            }
        };
        timeout(limit, to_the_end)
            .await
            .map_err(|_| Error::Timeout {
                address,
                after: limit,
            })
    }
}
