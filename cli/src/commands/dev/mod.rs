//! `fjord dev`: brokers on this machine, to try things with.

mod broker;
mod layout;

use std::path::PathBuf;

use clap::Args;
use serde_json::{Value, json};

use self::{broker::Running, layout::Layout};
use crate::{args::Context, failure::Failure, interrupt::Interrupts};

/// Arguments of `fjord dev`.
#[derive(Debug, Args)]
pub struct DevArgs {
    /// How many brokers; of three, any one may die
    #[arg(long, default_value_t = 3, value_name = "COUNT", value_parser = clap::value_parser!(u16).range(1..=9))]
    brokers: u16,

    /// Where the brokers keep their data and their logs; what is there is used again
    #[arg(long, default_value = "fjord-dev", value_name = "DIRECTORY")]
    directory: PathBuf,

    /// Port of the first broker for Kafka clients; the next brokers have the next ports. Those for gRPC are 100
    /// higher, for HTTP 200, for the brokers among themselves 300
    #[arg(long, default_value_t = 9092, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..=65_200))]
    port: u16,

    /// The broker's program; else fjord-broker beside this program, or in PATH
    #[arg(long, value_name = "FILE")]
    program: Option<PathBuf>,

    /// A config of all brokers; may be given more than once
    #[arg(long = "set", value_name = "NAME=VALUE")]
    settings: Vec<String>,
}

/// Runs it until a signal ends it.
///
/// # Errors
///
/// Why it failed.
pub async fn run(context: &Context, args: DevArgs) -> Result<(), Failure> {
    let layout = Layout {
        brokers: args.brokers,
        directory: args.directory,
        first_port: args.port,
        settings: args.settings,
    };
    layout.check_directory()?;
    let program = args.program.unwrap_or_else(broker::program);
    let mut interrupts = Interrupts::listen()?;
    let mut running = Running::start(&program, &layout)?;
    let outcome = tokio::select! {
        outcome = serve(context, &mut running, &layout) => outcome,
        () = interrupts.next() => tell(context, "stopping", json!({})),
    };
    // Whoever does not want to wait may ask twice.
    tokio::select! {
        () = running.stop() => {}
        () = interrupts.next() => {}
    }
    outcome
}

/// Waits until all brokers are ready, says how they are reached, and starts again those that end.
async fn serve(
    context: &Context,
    running: &mut Running<'_>,
    layout: &Layout,
) -> Result<(), Failure> {
    running.wait_ready().await?;
    let processes = running.process_ids();
    let ready = || json!({"event": "ready", "brokers": layout.to_json(&processes)});
    context
        .output
        .print(|| layout.describe(&processes), ready)?;
    loop {
        let (id, status) = running.next_end().await;
        let how = status.to_string();
        tell(context, "ended", json!({"broker": id, "status": how}))?;
        let process = running.restart(id).await?;
        tell(
            context,
            "started",
            json!({"broker": id, "process": process}),
        )?;
    }
}

/// Tells of an event: as a document with its name, or as a line of text with what is in it.
fn tell(context: &Context, event: &str, what: Value) -> Result<(), Failure> {
    let pairs = || what.as_object().into_iter().flatten();
    let text = || {
        let each = pairs().map(|(name, value)| format!(", {name} {value}"));
        format!("{event}{}\n", each.collect::<String>())
    };
    let json = || {
        let mut document = json!({"event": event});
        pairs().for_each(|(name, value)| document[name.as_str()] = value.clone());
        document
    };
    context.output.print(text, json)
}
