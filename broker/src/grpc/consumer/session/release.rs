//! The time between `revoked` and the next partitions, in which the client finishes with those it had.

use std::time::Duration;

use fjord_proto::v1::{Pause, Resume, Seek, consume_request::Command};
use tokio::time::{Instant, interval, sleep_until};
use tonic::Status;

use super::{
    HEARTBEAT_EVERY, Session, Turn,
    commands::{refused, subscribed_already, without_effect},
};

impl Session {
    /// Waits until the client is done with what was revoked, or for half the time that a rebalance may take.
    pub(super) async fn release(&mut self, lost: bool) -> Result<Turn, Status> {
        let patience = u64::try_from(self.membership.rebalance_timeout_ms / 2).unwrap_or(0);
        let deadline = Instant::now() + Duration::from_millis(patience);
        let mut heartbeats = interval(HEARTBEAT_EVERY);
        let mut released = lost;
        while !(released && self.outbox.is_empty()) {
            tokio::select! {
                () = self.outbox.deliver() => {}
                command = self.commands.next(), if self.outbox.has_room() => match command? {
                    Command::Leave(_) => return Ok(Turn::Left),
                    Command::Release(_) => released = true,
                    Command::Commit(commit) if lost => {
                        self.outbox.push(refused(commit));
                    }
                    Command::Commit(commit) => self.commit(commit).await?,
                    Command::Credit(credit) => self.positions.add_credit(credit.records),
                    Command::Subscribe(_) => return Err(subscribed_already()),
                    Command::Seek(Seek { id, .. })
                    | Command::Pause(Pause { id, .. })
                    | Command::Resume(Resume { id, .. }) => {
                        self.outbox.push(without_effect(id));
                    }
                },
                // The session must not end while the client takes its time.
                _ = heartbeats.tick(), if !lost => {
                    self.membership.heartbeat().await?;
                }
                () = sleep_until(deadline) => break,
            }
        }
        Ok(Turn::Rebalance)
    }
}
