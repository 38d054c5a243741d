//! `fjord cluster reassign` and `fjord cluster reassignments`.

use std::io::{self, Read};

use clap::Args;
use fjord_client::proto::{
    ListReassignmentsRequest, PartitionOutcome, ReassignPartitionsRequest, Reassignment,
};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{args::Context, failure::Failure, format::table::Table};

/// Give partitions other replicas, as a plan has them
///
/// A plan is a JSON object such as `{"moves":[{"topic":"flights","partition":0,"to":[1,2,3]}]}`, the preferred leader
/// first; no brokers cancel what is under way. `fjord cluster plan --output json` writes one. It ends once the
/// brokers have begun to copy.
#[derive(Debug, Args)]
pub struct ReassignArgs {
    /// The plan's file; - for standard input
    #[arg(value_name = "FILE")]
    plan: String,
}

/// A plan, as far as carrying it out needs it.
#[derive(Debug, Deserialize)]
struct Plan {
    moves: Vec<Move>,
}

#[derive(Debug, Deserialize)]
struct Move {
    topic: String,
    partition: i32,
    to: Vec<i32>,
}

/// Runs `reassign`.
///
/// # Errors
///
/// Why it failed.
pub async fn reassign(context: &Context, args: ReassignArgs) -> Result<(), Failure> {
    // Whether anybody is there is told before anything else is.
    context.client().await?;
    let text = match args.plan.as_str() {
        "-" => io::read_to_string(io::stdin().lock().take(MAX_PLAN_BYTES)),
        path => std::fs::read_to_string(path),
    };
    let text = text.map_err(|error| Failure::File {
        what: format!("cannot read {}", args.plan),
        error,
    })?;
    let plan: Plan = serde_json::from_str(&text)
        .map_err(|error| Failure::Usage(format!("{} is not a plan: {error}", args.plan)))?;
    let moves = plan.moves.into_iter().map(|wanted| Reassignment {
        topic: wanted.topic,
        partition: wanted.partition,
        replicas: wanted.to,
    });
    carry_out(context, moves).await
}

/// What is read of standard input: far more than the plan of any cluster has.
const MAX_PLAN_BYTES: u64 = 256 << 20;

/// Carries a plan out, and prints what came of it.
///
/// # Errors
///
/// Why it failed, or that some of it did.
pub async fn carry_out(
    context: &Context,
    moves: impl Iterator<Item = Reassignment>,
) -> Result<(), Failure> {
    let client = context.client().await?;
    let request = ReassignPartitionsRequest {
        reassignments: moves.collect(),
        keep_replication_factor: false,
    };
    let outcomes = client.reassign_partitions(request).await?.partitions;
    report(context, &outcomes, "begun")
}

/// Prints what came of each partition; `done` is the word for what went well.
///
/// # Errors
///
/// If something did not.
pub fn report(context: &Context, outcomes: &[PartitionOutcome], done: &str) -> Result<(), Failure> {
    let table = || {
        let mut table = Table::new(["TOPIC", "PARTITION", "OUTCOME"]).right([1]);
        for outcome in outcomes {
            let error = outcome.error.as_ref();
            table.row([
                outcome.topic.clone(),
                outcome.partition.to_string(),
                error.map_or(done.to_owned(), |error| error.message.clone()),
            ]);
        }
        table
    };
    let json = || {
        let outcomes = outcomes.iter().map(|outcome| {
            json!({
                "topic": outcome.topic,
                "partition": outcome.partition,
                "error": outcome.error.as_ref().map(|error| json!({
                    "reason": error.reason,
                    "message": error.message,
                    "retriable": error.retriable,
                })),
            })
        });
        Value::Array(outcomes.collect())
    };
    context.output.table(table, json)?;
    match outcomes.iter().filter(|o| o.error.is_some()).count() {
        0 => Ok(()),
        failed => Err(Failure::Other(format!(
            "{failed} of {} partitions were refused",
            outcomes.len()
        ))),
    }
}

/// Runs `reassignments`.
///
/// # Errors
///
/// Why it failed.
pub async fn list(context: &Context) -> Result<(), Failure> {
    let client = context.client().await?;
    let request = ListReassignmentsRequest { topics: vec![] };
    let ongoing = client.list_reassignments(request).await?.reassignments;
    let table = || {
        let columns = ["TOPIC", "PARTITION", "REPLICAS", "ADDING", "REMOVING"];
        let mut table = Table::new(columns).right([1]);
        for partition in &ongoing {
            table.row([
                partition.topic.clone(),
                partition.partition.to_string(),
                ids(&partition.replicas),
                ids(&partition.adding),
                ids(&partition.removing),
            ]);
        }
        table
    };
    let json = || {
        let ongoing = ongoing.iter().map(|partition| {
            json!({
                "topic": partition.topic,
                "partition": partition.partition,
                "replicas": partition.replicas,
                "adding": partition.adding,
                "removing": partition.removing,
            })
        });
        Value::Array(ongoing.collect())
    };
    context.output.table(table, json)
}

/// Brokers as a list.
pub fn ids(brokers: &[i32]) -> String {
    let ids: Vec<String> = brokers.iter().map(i32::to_string).collect();
    ids.join(",")
}
