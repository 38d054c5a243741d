//! Deterministic simulation of Fjord: nodes in one process and one thread, over a simulated network, disks and clock.
//!
//! One seed decides everything, so a seed that fails does so again, message by message:
//!
//! ```text
//! cargo run -p fjord-sim --release -- --seeds 1000
//! cargo run -p fjord-sim --release -- --seed 17 --trace
//! ```

mod dice;
mod faults;
mod many;
mod net;
mod quorum;
mod trace;
mod verdict;

use std::process::ExitCode;

use clap::Parser;
use mad_turmoil::time::SimClocksGuard;
use rand::SeedableRng;
use rand::rngs::StdRng;

use self::verdict::Verdict;

/// Simulates brokers under faults, and holds what they do against what they promise.
#[derive(Parser)]
struct Arguments {
    /// Runs so many seeds.
    #[arg(long, default_value_t = 100, conflicts_with = "seed")]
    seeds: u64,
    /// The first of them.
    #[arg(long, default_value_t = 0, conflicts_with = "seed")]
    first: u64,
    /// Seeds that run at the same time, each in a process of its own.
    #[arg(long, default_value_t = 2, conflicts_with = "seed")]
    jobs: u64,
    /// Ends after the first seed that fails.
    #[arg(long, conflicts_with = "seed")]
    stop: bool,
    /// Runs this seed only.
    #[arg(long)]
    seed: Option<u64>,
    /// Shows every message, decision and fault of the seed.
    #[arg(long, requires = "seed")]
    trace: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let good = match arguments.seed {
        Some(seed) => one(seed, arguments.trace),
        None => many(&arguments),
    };
    if good {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// Runs one seed in this process.
fn one(seed: u64, traces: bool) -> bool {
    if traces {
        trace::show();
    }
    // Whatever asks the system for chance or for the time gets the simulation's from here on: the order of hash tables
    // and of `select!` as well. The thread is new, so that its hash tables know nothing of those of before.
    mad_turmoil::rand::set_rng(StdRng::seed_from_u64(seed));
    let clocks = SimClocksGuard::init();
    let verdict = Verdict::new();
    let simulation = std::thread::spawn(move || quorum::run(seed, &verdict));
    let outcome = simulation
        .join()
        .unwrap_or_else(|_| Err("the simulation has panicked".to_owned()));
    drop(clocks);
    match &outcome {
        Ok(summary) => println!("seed {seed}: {summary}"),
        Err(violation) => println!("seed {seed}: VIOLATED: {violation}"),
    }
    outcome.is_ok()
}

fn many(arguments: &Arguments) -> bool {
    let Arguments {
        seeds,
        first,
        jobs,
        stop,
        ..
    } = arguments;
    match many::run(*first, *seeds, *jobs, &[], *stop) {
        Ok(outcome) => {
            let failed: Vec<u64> = outcome.failed.iter().map(|(seed, _)| *seed).collect();
            println!("{} seeds, failed: {failed:?}", outcome.run);
            failed.is_empty()
        }
        Err(error) => {
            println!("a seed could not be run: {error}");
            false
        }
    }
}
