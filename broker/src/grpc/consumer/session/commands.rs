//! What the client says, and what the member does about it while it has its partitions.

use fjord_proto::v1::{
    AssignedPartition, Commit, CommitFailure, Committed, CommittedOffset, ConsumeRequest, Pause,
    Position, Positioned, Resume, Seek, consume_request::Command, consume_response::Event,
    seek::To,
};
use fjord_wire::ErrorCode;
use tonic::{Status, Streaming};

use super::{Session, Turn};
use crate::{
    api::error::ApiError,
    grpc::{
        committed::Refused,
        consumer::progress::Unknown,
        error,
        offsets::{self, Place},
    },
};

/// The client's side of the stream.
pub struct Commands {
    stream: Streaming<ConsumeRequest>,
    /// The client says nothing more; it still listens.
    silent: bool,
}

impl Commands {
    /// The commands behind `subscribe`.
    pub fn new(stream: Streaming<ConsumeRequest>) -> Self {
        Self {
            stream,
            silent: false,
        }
    }

    /// The next command; waits for ever when the client says nothing more. Dropping the future loses nothing.
    pub async fn next(&mut self) -> Result<Command, Status> {
        if self.silent {
            return std::future::pending().await;
        }
        match self.stream.message().await? {
            Some(request) => request
                .command
                .ok_or_else(|| error::invalid("the message has no command")),
            None => {
                self.silent = true;
                std::future::pending().await
            }
        }
    }
}

impl Session {
    /// Does what the client says, while the member has its partitions.
    pub(super) async fn command(&mut self, command: Command) -> Result<Option<Turn>, Status> {
        match command {
            Command::Subscribe(_) => return Err(subscribed_already()),
            Command::Leave(_) => return Ok(Some(Turn::Left)),
            Command::Credit(credit) => self.positions.add_credit(credit.records),
            Command::Commit(commit) => self.commit(commit).await?,
            Command::Seek(seek) => self.seek(seek).await?,
            Command::Pause(Pause { id, partitions }) => {
                let partitions = self.positions.pause(&partitions, true);
                self.outbox.push(positioned(id, partitions));
            }
            Command::Resume(Resume { id, partitions }) => {
                let partitions = self.positions.pause(&partitions, false);
                self.outbox.push(positioned(id, partitions));
            }
            // For partitions that were given back before.
            Command::Release(_) => {}
        }
        Ok(None)
    }

    /// Commits what the client says, and tells what became of it.
    pub(super) async fn commit(&mut self, commit: Commit) -> Result<(), Status> {
        let Commit {
            id,
            offsets,
            through,
        } = commit;
        let is_through = offsets.is_empty();
        let offsets = match self.meant(offsets, through) {
            Ok(offsets) => offsets,
            Err(error) => {
                self.outbox.push(not_committed(id, &error));
                return Ok(());
            }
        };
        let refused = self.membership.commit(offsets).await?;
        if is_through {
            self.progress.committed(|topic, partition| {
                let is_this = |r: &Refused| r.topic == topic && r.partition == partition;
                refused.iter().any(is_this)
            });
        }
        let failure = |refused: Refused| CommitFailure {
            topic: refused.topic,
            partition: refused.partition,
            error: Some(error::part(&refused.error)),
        };
        self.outbox.push(Event::Committed(Committed {
            id,
            failures: refused.into_iter().map(failure).collect(),
            error: None,
        }));
        Ok(())
    }

    /// The offsets that a commit means.
    fn meant(
        &mut self,
        offsets: Vec<CommittedOffset>,
        through: u64,
    ) -> Result<Vec<CommittedOffset>, ApiError> {
        match (offsets.is_empty(), through) {
            (false, 0) => Ok(offsets),
            (true, 1..) if through > self.outbox.delivered() => Err(ApiError::invalid_request(
                "there was no such response yet; commit through one that has come",
            )),
            (true, 1..) => self.progress.through(through).map_err(|unknown| {
                let code = match unknown {
                    Unknown::GivenBack => ErrorCode::RebalanceInProgress,
                    Unknown::Forgotten => ErrorCode::InvalidRequest,
                };
                ApiError::new(code, unknown.to_string())
            }),
            _ => Err(ApiError::invalid_request(
                "a commit needs offsets, or the sequence of a response, and not both",
            )),
        }
    }

    async fn seek(&mut self, seek: Seek) -> Result<(), Status> {
        let Seek {
            topic,
            partition,
            to,
            id,
        } = seek;
        let place = match to {
            Some(To::Offset(offset)) => Place::Offset(offset),
            Some(To::TimestampMs(time)) => Place::Time(time),
            Some(To::Position(position)) => match Position::try_from(position) {
                Ok(Position::Earliest) => Place::Earliest,
                Ok(Position::Latest) => Place::Latest,
                _ => return Err(error::invalid("seek needs an offset, a time or an end")),
            },
            None => return Err(error::invalid("seek needs an offset, a time or an end")),
        };
        if !self.positions.contains(&topic, partition) {
            // It may just have gone to another member, which is no fault of the client's.
            self.outbox.push(without_effect(id));
            return Ok(());
        }
        let offset = match offsets::find(&self.client, &topic, partition, place).await? {
            Ok(offset) => offset,
            Err(error) => {
                self.outbox.push(Event::Positioned(Positioned {
                    id,
                    partitions: Vec::new(),
                    error: Some(error::part(&error)),
                }));
                return Ok(());
            }
        };
        self.positions.seek(&topic, partition, offset);
        let place = AssignedPartition {
            topic: topic.clone(),
            partition,
            offset,
        };
        let sequence = self.outbox.push(positioned(id, vec![place]));
        self.progress.step(sequence, (topic, partition), offset);
        Ok(())
    }
}

/// The client subscribes on a stream that has a subscription.
pub fn subscribed_already() -> Status {
    error::invalid("the stream has subscribed already; another subscription needs another stream")
}

/// A commit while the member has no partitions.
pub fn refused(commit: Commit) -> Event {
    let error = ApiError::new(
        ErrorCode::RebalanceInProgress,
        "the partitions are with other members now; what was not committed is read again",
    );
    not_committed(commit.id, &error)
}

fn not_committed(id: u64, error: &ApiError) -> Event {
    Event::Committed(Committed {
        id,
        failures: Vec::new(),
        error: Some(error::part(error)),
    })
}

/// A seek, a pause or a resume of partitions that the member does not have.
pub fn without_effect(id: u64) -> Event {
    positioned(id, Vec::new())
}

fn positioned(id: u64, partitions: Vec<AssignedPartition>) -> Event {
    Event::Positioned(Positioned {
        id,
        partitions,
        error: None,
    })
}
