//! The topic of a measurement: a given one, or one of its own.

use std::{pin::pin, sync::Arc};

use fjord_client::{
    Client,
    proto::{CreateTopicRequest, DeleteTopicRequest, DescribeTopicRequest},
};
use tokio::sync::watch;

use super::{LoadArgs, measured::Measured};
use crate::{args::Context, failure::Failure, interrupt::Interrupts};

/// Measures on a topic, and prints the result. A topic of the measurement's own is deleted whatever comes of it, also
/// if it is interrupted.
///
/// # Errors
///
/// Why it failed.
pub async fn on_topic(
    context: &Context,
    load: &LoadArgs,
    measure: impl AsyncFnOnce(&Client, &BenchTopic) -> Result<Measured, Failure>,
) -> Result<(), Failure> {
    let mut interrupts = Interrupts::listen()?;
    let client = context.client().await?;
    let (stop_now, stop) = watch::channel(false);
    let topic = BenchTopic::prepare(&client, load, stop).await?;
    let mut measuring = pin!(measure(&client, &topic));
    let measured = tokio::select! {
        measured = &mut measuring => measured,
        () = interrupts.next() => {
            stop_now.send_replace(true);
            // Records that are still on their way would make the topic anew.
            tokio::select! {
                _ = measuring => {}
                () = interrupts.next() => {}
            }
            Err(Failure::Other("interrupted before there was a result".to_owned()))
        }
    };
    let cleaned = topic.clean_up(&client).await;
    measured?.print(context)?;
    cleaned
}

/// The topic.
pub struct BenchTopic {
    pub name: Arc<str>,
    pub partitions: i32,
    temporary: bool,
    /// True when the measurement is to end.
    pub stop: watch::Receiver<bool>,
}

impl BenchTopic {
    /// Makes it if it is not there.
    ///
    /// # Errors
    ///
    /// What the broker says.
    async fn prepare(
        client: &Client,
        args: &LoadArgs,
        stop: watch::Receiver<bool>,
    ) -> Result<Self, Failure> {
        let temporary = args.topic.is_none();
        let name = args
            .topic
            .clone()
            .unwrap_or_else(|| format!("fjord-bench-{:08x}", rand::random::<u32>()));
        let request = CreateTopicRequest {
            topic: name.clone(),
            partitions: args.partitions,
            ..CreateTopicRequest::default()
        };
        let partitions = match client.create_topic(request).await {
            Ok(_) => args.partitions,
            Err(error) if error.reason() == "TOPIC_ALREADY_EXISTS" => {
                let request = DescribeTopicRequest {
                    topic: name.clone(),
                };
                let described = client.describe_topic(request).await?;
                described.topic.map_or(0, |topic| topic.partitions)
            }
            Err(error) => return Err(error.into()),
        };
        Ok(Self {
            name: name.into(),
            partitions,
            temporary,
            stop,
        })
    }

    /// Deletes it if it was only for the measurement.
    ///
    /// # Errors
    ///
    /// What the broker says.
    async fn clean_up(&self, client: &Client) -> Result<(), Failure> {
        if self.temporary {
            let request = DeleteTopicRequest {
                topic: self.name.to_string(),
                ..DeleteTopicRequest::default()
            };
            client.delete_topic(request).await?;
        }
        Ok(())
    }
}
