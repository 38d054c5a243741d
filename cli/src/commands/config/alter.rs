//! `fjord config alter`.

use clap::Args;
use fjord_client::proto::AlterConfigsRequest;
use serde_json::json;

use super::Whose;
use crate::{args::Context, failure::Failure, format::pairs::parse_pair};

/// Change configs while the broker runs
#[derive(Debug, Args)]
#[command(
    after_help = "Example: fjord config alter --topic flights --set retention.ms=3600000 --reset cleanup.policy"
)]
pub struct AlterArgs {
    #[command(flatten)]
    whose: Whose,
    /// A config to set; may be given more than once
    #[arg(long, value_name = "NAME=VALUE", value_parser = parse_pair, required_unless_present = "reset")]
    set: Vec<(String, String)>,
    /// A config to set back; may be given more than once
    #[arg(long, value_name = "NAME")]
    reset: Vec<String>,
    /// Only check whether it could be changed
    #[arg(long)]
    dry_run: bool,
}

/// Runs it.
///
/// # Errors
///
/// Why it failed.
pub async fn run(context: &Context, args: AlterArgs) -> Result<(), Failure> {
    let client = context.client().await?;
    let request = AlterConfigsRequest {
        resource: Some(args.whose.resource()),
        set: args.set.into_iter().collect(),
        reset: args.reset,
        validate_only: args.dry_run,
    };
    client.alter_configs(request).await?;
    let text = if args.dry_run {
        "could be changed\n"
    } else {
        "changed\n"
    };
    context
        .output
        .print(|| text.to_owned(), || json!({"altered": !args.dry_run}))
}
