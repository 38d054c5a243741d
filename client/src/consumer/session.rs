//! What happens on a member's stream behind the methods of a [`Consumer`]: events are noted, credit goes back, answers
//! are waited for, and a broken stream is opened again.

use fjord_proto::v1::{
    self, Credit, Release, Revoked, TopicPartition, consume_request::Command, consume_response,
};

use super::{
    Consumer, Event,
    member::{self, Member},
};
use crate::{Result, error::Error};

impl Consumer {
    /// Notes an event, and returns it if it is one for the application.
    pub(super) fn take(&mut self, event: consume_response::Event) -> Result<Option<Event>> {
        Ok(match event {
            consume_response::Event::Assigned(assigned) => {
                self.positions.clear();
                self.assigned = assigned
                    .partitions
                    .iter()
                    .map(|partition| TopicPartition {
                        topic: partition.topic.clone(),
                        partition: partition.partition,
                    })
                    .collect();
                Some(Event::Assigned(assigned))
            }
            consume_response::Event::Revoked(revoked) => {
                self.assigned.clear();
                self.release_due = !revoked.lost;
                if revoked.lost {
                    self.positions.clear();
                }
                Some(Event::Revoked(revoked))
            }
            consume_response::Event::Records(batch)
                if self
                    .seeks
                    .contains_key(&(batch.topic.clone(), batch.partition)) =>
            {
                // It was read before the seek.
                self.taken += batch.records.len() as u32;
                None
            }
            consume_response::Event::Records(mut batch) => {
                if let Some(error) = batch.error.take() {
                    return Err(error.into());
                }
                // There are never more in a message than it takes bytes to say so.
                self.taken += batch.records.len() as u32;
                self.positions
                    .insert((batch.topic.clone(), batch.partition), batch.next_offset);
                Some(Event::Records(batch))
            }
            consume_response::Event::Positioned(positioned) => {
                self.seeks.retain(|_, id| *id != positioned.id);
                if let Some(error) = positioned.error {
                    return Err(error.into());
                }
                None
            }
            // The answer to a commit that nobody waited for any more.
            consume_response::Event::Committed(_) => None,
        })
    }

    /// Tells the broker what is due, and waits for what it has to say.
    pub(super) async fn receive(&mut self) -> Result<consume_response::Event> {
        // A stream that takes no more says why when it is read: that may be the broker's refusal.
        if self.release_due {
            let _ = self.send(Command::Release(Release {})).await;
            self.release_due = false;
        }
        if self.taken >= self.options.credit_records / 2 {
            let records = self.taken;
            let _ = self.send(Command::Credit(Credit { records })).await;
            self.taken = 0;
        }
        self.event().await
    }

    async fn event(&mut self) -> Result<consume_response::Event> {
        let Some(member) = &mut self.stream else {
            return Err(member::ended(&self.client));
        };
        let event = member.event(&self.client).await?;
        self.patience.succeeded();
        Ok(event)
    }

    /// Waits for the answer to a commit, and returns why it was refused, or the first offset that was. What else comes
    /// waits for the application; that is bounded by the credit.
    pub(super) async fn committed(&mut self, id: u64) -> Result<Option<v1::Error>> {
        loop {
            match self.event().await? {
                consume_response::Event::Committed(committed) if committed.id == id => {
                    let mut failures = committed.failures.into_iter();
                    let first = || failures.find_map(|failure| failure.error);
                    return Ok(committed.error.or_else(first));
                }
                consume_response::Event::Committed(_) => {}
                other => self.waiting.push_back(other),
            }
        }
    }

    pub(super) async fn send(&mut self, command: Command) -> Result<()> {
        match &self.stream {
            Some(member) => member.send(&self.client, command).await,
            None => Err(member::ended(&self.client)),
        }
    }

    /// Joins the group, or waits after a failure that may pass.
    pub(super) async fn open(&mut self) -> Result<()> {
        let connection = self.client.connection();
        match Member::join(&self.client, &connection, self.options.subscribe()).await {
            Ok(member) => {
                self.client.note_answer();
                self.taken = 0;
                self.release_due = false;
                self.seeks.clear();
                self.stream = Some(member);
                Ok(())
            }
            Err(error) => {
                let broken = matches!(error, Error::Disconnected { .. });
                // There is hardly a broker then, but something else that does not know this protocol.
                if !matches!(error, Error::Api(_)) && !self.client.has_answered() {
                    return Err(error);
                }
                self.patience.wait(error).await?;
                if broken && let Err(error) = self.client.reconnect(&connection).await {
                    self.patience.wait(error).await?;
                }
                Ok(())
            }
        }
    }

    /// The stream broke: the partitions are lost, if there were any.
    pub(super) async fn lost(&mut self, error: Error) -> Result<Option<Event>> {
        self.stream = None;
        if !error.is_retriable() {
            return Err(error);
        }
        if self.assigned.is_empty() {
            self.patience.wait(error).await?;
            return Ok(None);
        }
        self.positions.clear();
        Ok(Some(Event::Revoked(Revoked {
            partitions: std::mem::take(&mut self.assigned),
            lost: true,
        })))
    }
}
