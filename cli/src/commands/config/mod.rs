//! `fjord config`.

mod alter;
mod changes;
mod describe;

use clap::{Args, Subcommand};
use fjord_client::proto::{Config, ConfigResource, ConfigSource, config_resource::Resource};
use serde_json::{Value, json};

pub use self::changes::Changes;
use crate::{args::Context, failure::Failure};

/// Describe and change configs of topics and brokers
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// List configs with their values, where those come from, and what they do
    Describe(describe::DescribeArgs),
    /// Change configs while the broker runs
    Alter(alter::AlterArgs),
}

/// Whose configs.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct Whose {
    /// Those of this topic
    #[arg(long, value_name = "TOPIC")]
    topic: Option<String>,
    /// Those of the broker with this id
    #[arg(long, value_name = "ID")]
    broker_id: Option<i32>,
    /// Those that all brokers have that set nothing else
    #[arg(long)]
    all_brokers: bool,
}

impl Whose {
    fn resource(&self) -> ConfigResource {
        let resource = match (&self.topic, self.broker_id) {
            (Some(topic), _) => Resource::Topic(topic.clone()),
            (None, Some(broker)) => Resource::Broker(broker),
            (None, None) => Resource::AllBrokers(true),
        };
        ConfigResource {
            resource: Some(resource),
        }
    }
}

/// Runs it.
///
/// # Errors
///
/// Why it failed.
pub async fn run(context: &Context, command: ConfigCommand) -> Result<(), Failure> {
    match command {
        ConfigCommand::Describe(args) => describe::run(context, args).await,
        ConfigCommand::Alter(args) => alter::run(context, args).await,
    }
}

/// A config as JSON.
pub fn config_json(config: &Config) -> Value {
    json!({
        "name": config.name,
        "value": config.value,
        "source": source_name(config.source()),
        "read_only": config.read_only,
        "sensitive": config.sensitive,
        "documentation": config.documentation,
    })
}

/// Where a config's value comes from, in one word.
pub fn source_name(source: ConfigSource) -> &'static str {
    match source {
        ConfigSource::Unspecified => "unknown",
        ConfigSource::Topic => "topic",
        ConfigSource::Broker => "broker",
        ConfigSource::AllBrokers => "all-brokers",
        ConfigSource::Static => "static",
        ConfigSource::Default => "default",
    }
}
