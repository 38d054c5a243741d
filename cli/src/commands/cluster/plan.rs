//! `fjord cluster plan` and `fjord cluster drain`.

use clap::{Args, value_parser};
use fjord_client::proto::{
    BalanceGoal, DrainGoal, PlanReassignmentsRequest, PlanReassignmentsResponse, PlannedMove,
    ReplicationFactorGoal, plan_reassignments_request::Goal,
};
use serde_json::{Value, json};

use super::moves;
use crate::{
    args::Context,
    failure::Failure,
    format::{size::human_bytes, table::Table},
};

/// Say which replicas would have to move, and move nothing
///
/// Without --drain and --topic, the plan gives brokers as much as each other.
#[derive(Debug, Args)]
#[command(
    after_help = "Example: fjord cluster plan --output json > plan.json; fjord cluster reassign plan.json"
)]
pub struct PlanArgs {
    /// Move everything off these brokers
    #[arg(
        long,
        value_name = "BROKER",
        value_delimiter = ',',
        conflicts_with = "topics"
    )]
    drain: Vec<i32>,
    /// Give these topics another number of replicas
    #[arg(long = "topic", value_name = "TOPIC", requires = "replication_factor")]
    topics: Vec<String>,
    /// How many replicas
    #[arg(long, requires = "topics", value_name = "COUNT", value_parser = value_parser!(i32).range(1..))]
    replication_factor: Option<i32>,
    /// How many replicas are copied at most
    #[arg(long, value_name = "COUNT", value_parser = value_parser!(u32).range(1..), default_value_t = 1_000)]
    max_moves: u32,
}

/// Move everything off brokers, so that they can be stopped for good
///
/// It ends once the others have begun to copy: `fjord cluster reassignments` lists what is under way.
#[derive(Debug, Args)]
pub struct DrainArgs {
    /// The brokers
    #[arg(required = true, value_name = "BROKER")]
    brokers: Vec<i32>,
    /// How many replicas are copied at most
    #[arg(long, value_name = "COUNT", value_parser = value_parser!(u32).range(1..), default_value_t = 1_000)]
    max_moves: u32,
}

/// Runs `plan`.
///
/// # Errors
///
/// Why it failed.
pub async fn run(context: &Context, args: PlanArgs) -> Result<(), Failure> {
    let goal = match args.replication_factor {
        Some(replication_factor) => Goal::ReplicationFactor(ReplicationFactorGoal {
            topics: args.topics,
            replication_factor,
        }),
        None if args.drain.is_empty() => Goal::Balance(BalanceGoal {}),
        None => Goal::Drain(DrainGoal {
            brokers: args.drain,
        }),
    };
    let plan = plan(context, goal, args.max_moves).await?;
    context.output.print(|| to_text(&plan), || to_json(&plan))
}

/// Runs `drain`.
///
/// # Errors
///
/// Why it failed; also if the brokers would still have something afterwards.
pub async fn drain(context: &Context, args: DrainArgs) -> Result<(), Failure> {
    let goal = Goal::Drain(DrainGoal {
        brokers: args.brokers,
    });
    let plan = plan(context, goal, args.max_moves).await?;
    let unfinished = plan.unfinished_partitions;
    moves::carry_out(context, plan.moves.into_iter().map(to_reassignment)).await?;
    match unfinished {
        0 => Ok(()),
        _ => Err(Failure::Other(format!(
            "{unfinished} partitions stay where they are: no broker can take them, they are on their way already, or \
             --max-moves is too low; add brokers, or drain again later"
        ))),
    }
}

async fn plan(
    context: &Context,
    goal: Goal,
    max_moves: u32,
) -> Result<PlanReassignmentsResponse, Failure> {
    let client = context.client().await?;
    let request = PlanReassignmentsRequest {
        goal: Some(goal),
        max_moves,
        max_leader_moves: 0,
    };
    Ok(client.plan_reassignments(request).await?)
}

fn to_reassignment(planned: PlannedMove) -> fjord_client::proto::Reassignment {
    fjord_client::proto::Reassignment {
        topic: planned.topic,
        partition: planned.partition,
        replicas: planned.to,
    }
}

fn to_text(plan: &PlanReassignmentsResponse) -> String {
    let mut table = Table::new(["TOPIC", "PARTITION", "FROM", "TO", "BYTES"]).right([1, 4]);
    for planned in &plan.moves {
        table.row([
            planned.topic.clone(),
            planned.partition.to_string(),
            moves::ids(&planned.from),
            moves::ids(&planned.to),
            human_bytes(planned.bytes),
        ]);
    }
    format!(
        "partitions   {}\nto copy      {}\nunfinished   {}\n\n{table}",
        plan.moves.len(),
        human_bytes(plan.bytes),
        plan.unfinished_partitions,
    )
}

fn to_json(plan: &PlanReassignmentsResponse) -> Value {
    let moves: Vec<Value> = plan
        .moves
        .iter()
        .map(|planned| {
            json!({
                "topic": planned.topic,
                "partition": planned.partition,
                "from": planned.from,
                "to": planned.to,
                "bytes": planned.bytes,
            })
        })
        .collect();
    json!({
        "bytes": plan.bytes,
        "unfinished_partitions": plan.unfinished_partitions,
        "moves": moves,
    })
}
