//! `fjord group delete`.

use clap::Args;
use fjord_client::proto::{DeleteGroupRequest, DeleteOffsetsRequest};
use serde_json::json;

use crate::{args::Context, failure::Failure};

/// Delete groups without members, with their offsets, or a group's offsets of some topics
#[derive(Debug, Args)]
pub struct DeleteArgs {
    /// The groups' names
    #[arg(required = true)]
    groups: Vec<String>,
    /// Only forget the offsets of this topic; may be given more than once
    #[arg(long = "topic", value_name = "TOPIC")]
    topics: Vec<String>,
}

/// Runs it. It ends at the first group that cannot be deleted.
///
/// # Errors
///
/// Why it failed.
pub async fn run(context: &Context, args: DeleteArgs) -> Result<(), Failure> {
    let client = context.client().await?;
    for group in args.groups {
        if args.topics.is_empty() {
            let request = DeleteGroupRequest {
                group: group.clone(),
            };
            client.delete_group(request).await?;
            context.output.print(
                || format!("group {group} deleted\n"),
                || json!({"group": group, "deleted": true}),
            )?;
            continue;
        }
        let request = DeleteOffsetsRequest {
            group: group.clone(),
            topics: args.topics.clone(),
        };
        let partitions = client.delete_offsets(request).await?.partitions;
        context.output.print(
            || {
                format!(
                    "group {group}: offsets of {} partitions forgotten\n",
                    partitions.len()
                )
            },
            || {
                let each = partitions
                    .iter()
                    .map(|one| json!({"topic": one.topic, "partition": one.partition}));
                json!({"group": group, "forgotten": each.collect::<Vec<_>>()})
            },
        )?;
    }
    Ok(())
}
