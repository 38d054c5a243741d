//! What the client says, and what the member does about it while it has its partitions.

use fjord_proto::v1::{
    Commit, CommitFailure, Committed, ConsumeRequest, Position, Seek, consume_request::Command,
    consume_response::Event, seek::To,
};
use fjord_wire::ErrorCode;
use tonic::{Status, Streaming};

use super::{Session, Turn};
use crate::{
    api::error::ApiError,
    grpc::{
        committed::Refused,
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
            Command::Pause(pause) => self.positions.pause(&pause.partitions, true),
            Command::Resume(resume) => self.positions.pause(&resume.partitions, false),
            // For partitions that were given back before.
            Command::Release(_) => {}
        }
        Ok(None)
    }

    /// Commits what the client says, and tells what became of it.
    pub(super) async fn commit(&mut self, commit: Commit) -> Result<(), Status> {
        let offsets = match commit.offsets.is_empty() {
            true => self.positions.sent(),
            false => commit.offsets,
        };
        let refused = self.membership.commit(offsets).await?;
        let failure = |refused: Refused| CommitFailure {
            topic: refused.topic,
            partition: refused.partition,
            error: Some(error::part(&refused.error)),
        };
        self.outbox.push(Event::Committed(Committed {
            id: commit.id,
            failures: refused.into_iter().map(failure).collect(),
            error: None,
        }));
        Ok(())
    }

    async fn seek(&mut self, seek: Seek) -> Result<(), Status> {
        let Seek {
            topic,
            partition,
            to,
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
        if self.positions.next_offset(&topic, partition).is_none() {
            // It may just have gone to another member, which is no fault of the client's.
            return Ok(());
        }
        let found = offsets::find(&self.client, &topic, partition, place).await?;
        let offset = found.map_err(|error| error::status(&error))?;
        self.positions.seek(&topic, partition, offset);
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
    Event::Committed(Committed {
        id: commit.id,
        failures: Vec::new(),
        error: Some(error::part(&error)),
    })
}
