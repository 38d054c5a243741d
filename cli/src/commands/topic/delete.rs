//! `fjord topic delete`.

use clap::Args;
use fjord_client::proto::DeleteTopicRequest;
use serde_json::json;

use crate::{args::Context, failure::Failure};

/// Delete topics and all their records
#[derive(Debug, Args)]
pub struct DeleteArgs {
    /// The topics' names
    #[arg(required = true)]
    topics: Vec<String>,
    /// Succeed if one is not there
    #[arg(long)]
    if_exists: bool,
}

/// Runs it. It ends at the first topic that cannot be deleted.
///
/// # Errors
///
/// Why it failed.
pub async fn run(context: &Context, args: DeleteArgs) -> Result<(), Failure> {
    let client = context.client().await?;
    for topic in args.topics {
        let request = DeleteTopicRequest {
            topic: topic.clone(),
            ..DeleteTopicRequest::default()
        };
        let deleted = match client.delete_topic(request).await {
            Ok(_) => true,
            Err(error) if args.if_exists && error.reason() == "UNKNOWN_TOPIC_OR_PARTITION" => false,
            Err(error) => return Err(error.into()),
        };
        let became = if deleted { "deleted" } else { "is not there" };
        context.output.print(
            || format!("topic {topic} {became}\n"),
            || json!({"topic": topic, "deleted": deleted}),
        )?;
    }
    Ok(())
}
