//! The stream of a member: commands one way, events the other.

use fjord_proto::v1::{
    ConsumeRequest, ConsumeResponse, Subscribe, consume_request::Command, consume_response::Event,
    consumer_service_client::ConsumerServiceClient,
};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;

use crate::{Client, Result, client::Connection, error::Error};

/// How many commands wait for being sent. More would only hide that the connection is slow.
const COMMANDS: usize = 16;

/// An open stream.
#[derive(Debug)]
pub(super) struct Member {
    commands: mpsc::Sender<ConsumeRequest>,
    events: Streaming<ConsumeResponse>,
}

impl Member {
    /// Opens a stream, and joins a group on it.
    pub(super) async fn join(
        client: &Client,
        connection: &Connection,
        subscribe: Subscribe,
    ) -> Result<Self> {
        let (commands, requests) = mpsc::channel(COMMANDS);
        let first = ConsumeRequest {
            command: Some(Command::Subscribe(subscribe)),
        };
        commands.try_send(first).expect("the channel is empty");
        let mut service = ConsumerServiceClient::new(connection.channel.clone())
            .max_decoding_message_size(client.options().max_message_bytes);
        let opening = service.consume(ReceiverStream::new(requests));
        let events = client.open_stream(connection, opening).await?;
        Ok(Self { commands, events })
    }

    /// Sends a command.
    pub(super) async fn send(&self, client: &Client, command: Command) -> Result<()> {
        let request = ConsumeRequest {
            command: Some(command),
        };
        let sent = self.commands.send(request).await;
        sent.map_err(|_| ended(client))
    }

    /// Waits for an event. Dropping the future loses none.
    pub(super) async fn event(&mut self, client: &Client) -> Result<Event> {
        loop {
            match self.events.message().await {
                Ok(Some(response)) => {
                    if let Some(event) = response.event {
                        return Ok(event);
                    }
                }
                Ok(None) => return Err(ended(client)),
                Err(status) => return Err(client.error(&client.connection(), &status)),
            }
        }
    }
}

/// The broker said nothing, and that it will say nothing more.
pub(super) fn ended(client: &Client) -> Error {
    Error::Disconnected {
        address: client.address(),
        cause: "the broker ended the stream".to_owned(),
    }
}
