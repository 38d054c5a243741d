//! `fjord config describe`.

use clap::Args;
use fjord_client::proto::{ConfigSource, DescribeConfigsRequest};
use serde_json::Value;

use super::{Whose, config_json, source_name};
use crate::{args::Context, failure::Failure, format::table::Table};

/// List configs with their values, where those come from, and what they do
#[derive(Debug, Args)]
#[command(
    after_help = "Example: fjord config describe --topic flights retention.ms cleanup.policy"
)]
pub struct DescribeArgs {
    #[command(flatten)]
    whose: Whose,
    /// Which; all if none is named
    names: Vec<String>,
    /// Without those that are set nowhere
    #[arg(long)]
    set_only: bool,
    /// With what they do (JSON always has it)
    #[arg(long)]
    documentation: bool,
}

/// Runs it.
///
/// # Errors
///
/// Why it failed.
pub async fn run(context: &Context, args: DescribeArgs) -> Result<(), Failure> {
    let client = context.client().await?;
    let request = DescribeConfigsRequest {
        resource: Some(args.whose.resource()),
        names: args.names,
    };
    let mut configs = client.describe_configs(request).await?.configs;
    configs.retain(|config| !args.set_only || config.source() != ConfigSource::Default);
    let value = |config: &fjord_client::proto::Config| match (&config.value, config.sensitive) {
        (Some(value), _) => value.clone(),
        (None, true) => "(secret)".to_owned(),
        (None, false) => String::new(),
    };
    let text = || {
        if args.documentation {
            let each = configs.iter().map(|config| {
                let read_only = if config.read_only { ", read-only" } else { "" };
                format!(
                    "{} = {} ({}{read_only})\n    {}\n",
                    config.name,
                    value(config),
                    source_name(config.source()),
                    config.documentation
                )
            });
            return each.collect();
        }
        let mut table = Table::new(["CONFIG", "VALUE", "FROM", "CHANGES"]);
        for config in &configs {
            let changes = if config.read_only {
                "at the start"
            } else {
                "while it runs"
            };
            table.row([
                config.name.clone(),
                value(config),
                source_name(config.source()).to_owned(),
                changes.to_owned(),
            ]);
        }
        table.to_string()
    };
    let json = || Value::Array(configs.iter().map(config_json).collect());
    context.output.print(text, json)
}
