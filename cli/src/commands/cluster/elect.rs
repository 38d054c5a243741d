//! `fjord cluster elect`.

use clap::Args;
use fjord_client::proto::{ElectLeadersRequest, Election};

use super::moves::report;
use crate::{args::Context, failure::Failure};

/// Give leadership back to preferred replicas
#[derive(Debug, Args)]
#[command(after_help = "Example: fjord cluster elect flights:0 flights:1")]
pub struct ElectArgs {
    /// The partitions; all that have another leader than the preferred one if there are none
    #[arg(value_name = "TOPIC:PARTITION", value_parser = partition)]
    partitions: Vec<(String, i32)>,
    /// Let any replica lead where none with all records is left: the records that it lacks are lost
    #[arg(long, requires = "partitions")]
    unclean: bool,
}

fn partition(text: &str) -> Result<(String, i32), String> {
    let parsed = text.rsplit_once(':').and_then(|(topic, number)| {
        let number = number.parse().ok().filter(|number| *number >= 0)?;
        Some((topic.to_owned(), number))
    });
    parsed.ok_or_else(|| "a partition is TOPIC:NUMBER, such as flights:0".to_owned())
}

/// Runs it.
///
/// # Errors
///
/// Why it failed.
pub async fn run(context: &Context, args: ElectArgs) -> Result<(), Failure> {
    let client = context.client().await?;
    let election = match args.unclean {
        true => Election::Unclean,
        false => Election::Preferred,
    };
    let partitions = args.partitions.into_iter();
    let request = ElectLeadersRequest {
        election: election.into(),
        partitions: partitions
            .map(|(topic, partition)| fjord_client::proto::TopicPartition { topic, partition })
            .collect(),
    };
    let elected = client.elect_leaders(request).await?.partitions;
    report(context, &elected, "elected")
}
