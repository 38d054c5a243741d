//! `fjord config alter`.

use clap::{ArgGroup, Args};
use fjord_client::proto::AlterConfigsRequest;
use serde_json::json;

use super::{Changes, Whose};
use crate::{args::Context, failure::Failure};

/// Change configs while the broker runs
#[derive(Debug, Args)]
#[command(
    group = ArgGroup::new("what").args(["set", "reset"]).required(true).multiple(true),
    after_help = "Example: fjord config alter --topic flights --set retention.ms=3600000 --reset cleanup.policy"
)]
pub struct AlterArgs {
    #[command(flatten)]
    whose: Whose,
    #[command(flatten)]
    changes: Changes,
}

/// Runs it.
///
/// # Errors
///
/// Why it failed.
pub async fn run(context: &Context, args: AlterArgs) -> Result<(), Failure> {
    let changes = &args.changes;
    let client = context.client().await?;
    let request = AlterConfigsRequest {
        resource: Some(args.whose.resource()),
        set: changes.set(),
        reset: changes.reset.clone(),
        validate_only: changes.dry_run,
    };
    client.alter_configs(request).await?;
    context.output.print(
        || format!("{}\n", changes.outcome()),
        || json!({"altered": !changes.dry_run}),
    )
}
