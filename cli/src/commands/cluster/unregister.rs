//! `fjord cluster unregister`.

use clap::Args;
use fjord_client::proto::UnregisterBrokerRequest;
use serde_json::json;

use crate::{args::Context, failure::Failure};

/// Forget a broker that has stopped and will not come back, and whatever it has
#[derive(Debug, Args)]
pub struct UnregisterArgs {
    /// Its id, `node.id`
    broker_id: i32,
}

/// Runs it.
///
/// # Errors
///
/// Why it failed.
pub async fn run(context: &Context, args: UnregisterArgs) -> Result<(), Failure> {
    let client = context.client().await?;
    let broker = args.broker_id;
    client
        .unregister_broker(UnregisterBrokerRequest { broker })
        .await?;
    context.output.print(
        || format!("broker {broker} is forgotten\n"),
        || json!({"broker": broker, "unregistered": true}),
    )
}
