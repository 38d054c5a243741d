//! `fjord topic`.

mod alter;
mod create;
mod delete;
mod describe;
mod list;

use clap::Subcommand;
use fjord_client::proto::ListedTopic;
use serde_json::{Value, json};

use crate::{args::Context, failure::Failure};

/// Make, list, describe, change and delete topics
#[derive(Debug, Subcommand)]
pub enum TopicCommand {
    /// Make a topic
    Create(create::CreateArgs),
    /// List the topics
    List(list::ListArgs),
    /// Describe topics: their partitions, where they are, what is in them, and their configs
    Describe(describe::DescribeArgs),
    /// Give a topic more partitions, or other configs
    Alter(alter::AlterArgs),
    /// Delete topics and all their records
    Delete(delete::DeleteArgs),
}

/// Runs it.
///
/// # Errors
///
/// Why it failed.
pub async fn run(context: &Context, command: TopicCommand) -> Result<(), Failure> {
    match command {
        TopicCommand::Create(args) => create::run(context, args).await,
        TopicCommand::List(args) => list::run(context, args).await,
        TopicCommand::Describe(args) => describe::run(context, args).await,
        TopicCommand::Alter(args) => alter::run(context, args).await,
        TopicCommand::Delete(args) => delete::run(context, args).await,
    }
}

/// A topic in short.
fn listed_json(topic: &ListedTopic) -> Value {
    json!({
        "topic": topic.topic,
        "topic_id": topic.topic_id,
        "partitions": topic.partitions,
        "replication_factor": topic.replication_factor,
        "internal": topic.internal,
    })
}
