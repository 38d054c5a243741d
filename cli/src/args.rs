//! The arguments that all commands have, and what commands get from them.

use std::time::Duration;

use clap::{Parser, builder::NonEmptyStringValueParser};
use fjord_client::{Client, ClientOptions};

use crate::{
    commands::Command, failure::Failure, format::duration::parse_duration, output::Output,
};

/// How long connecting may take, whatever the timeout of requests.
const LONGEST_CONNECT: Duration = Duration::from_secs(10);

/// How commands end, at the foot of the help.
const EXIT_CODES: &str = "\
Exit codes: 0 done; 1 refused or failed; 2 wrong arguments or input; 3 cannot connect; 4 what was asked for is not \
there; 5 no answer in time.

Shell completions: fjord completions --help. Manual pages: fjord man --help.";

/// Talks to a Fjord message broker: topics, records, consumer groups, configs, benchmarks.
#[derive(Debug, Parser)]
#[command(name = "fjord", version, after_help = EXIT_CODES, max_term_width = 100)]
pub struct Cli {
    /// Brokers to connect to, HOST:PORT of the gRPC listener, separated by commas; the first that answers is taken.
    #[arg(long, short = 'b', global = true, env = "FJORD_BROKER", default_value = "localhost:9192",
          value_name = "HOST:PORT", value_parser = NonEmptyStringValueParser::new(), help_heading = "Global options")]
    pub broker: String,

    /// Text for people, or JSON for programs.
    #[arg(
        long,
        short = 'o',
        global = true,
        value_enum,
        default_value = "text",
        value_name = "FORM",
        help_heading = "Global options"
    )]
    pub output: Output,

    /// How long connecting and each request may take, such as 500ms, 10s or 2m.
    #[arg(long, global = true, default_value = "30s", value_name = "TIME", value_parser = parse_duration,
          help_heading = "Global options")]
    pub timeout: Duration,

    #[command(subcommand)]
    pub command: Command,
}

/// What commands know besides their own arguments.
#[derive(Debug)]
pub struct Context {
    broker: String,
    timeout: Duration,
    /// The form of the output.
    pub output: Output,
}

impl Context {
    /// Takes the global arguments.
    pub fn new(cli: &Cli) -> Self {
        Self {
            broker: cli.broker.clone(),
            timeout: cli.timeout,
            output: cli.output,
        }
    }

    /// Connects.
    ///
    /// # Errors
    ///
    /// If no broker can be reached.
    pub async fn client(&self) -> Result<Client, Failure> {
        let options = ClientOptions {
            connect_timeout: self.timeout.min(LONGEST_CONNECT),
            request_timeout: self.timeout,
            ..ClientOptions::default()
        };
        Ok(Client::connect(&self.broker, options).await?)
    }

    /// How long a request may take.
    pub fn timeout(&self) -> Duration {
        self.timeout
    }
}
