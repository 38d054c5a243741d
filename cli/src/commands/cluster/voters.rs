//! `fjord cluster add-voter` and `fjord cluster remove-voter`.

use clap::Args;
use fjord_client::proto::{AddVoterRequest, RemoveVoterRequest};
use serde_json::json;

use crate::{args::Context, failure::Failure};

/// Which broker.
#[derive(Debug, Args)]
pub struct VoterArgs {
    /// Its id, `node.id`
    broker_id: i32,
}

/// Gives a vote.
///
/// # Errors
///
/// Why it failed.
pub async fn add(context: &Context, args: VoterArgs) -> Result<(), Failure> {
    let broker = args.broker_id;
    let client = context.client().await?;
    client.add_voter(AddVoterRequest { broker }).await?;
    context.output.print(
        || format!("broker {broker} has a vote\n"),
        || json!({"broker": broker, "votes": true}),
    )
}

/// Takes one away.
///
/// # Errors
///
/// Why it failed.
pub async fn remove(context: &Context, args: VoterArgs) -> Result<(), Failure> {
    let broker = args.broker_id;
    let client = context.client().await?;
    client.remove_voter(RemoveVoterRequest { broker }).await?;
    context.output.print(
        || format!("broker {broker} has no vote\n"),
        || json!({"broker": broker, "votes": false}),
    )
}
