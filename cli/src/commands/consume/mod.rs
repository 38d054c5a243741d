//! `fjord consume`.

mod direct;
mod group;
mod printer;

use clap::{Args, ValueEnum};

pub use self::direct::offsets;
use self::printer::Printer;
use crate::{
    args::Context,
    failure::Failure,
    format::{
        escape::Escaped,
        place::Place,
        render::{Renderer, Shape},
        template::{TEMPLATE_HELP, Template},
    },
    interrupt::Interrupts,
    output::Output,
};

/// Read records from topics, alone or in a consumer group
#[derive(Debug, Args)]
#[command(after_help = "\
Without --until-end or --count it follows the topics until it is interrupted; that is no failure. In a group it commits \
what it has printed, once a second and at the end.

Examples:
  fjord consume flights --until-end
  fjord consume flights --from -10 --format key-value
  fjord consume flights --from 2013-06-01 --count 100 --template '%p/%o %D %k: %v\\n'
  fjord consume flights --group billing --output json")]
pub struct ConsumeArgs {
    /// The topics
    #[arg(required_unless_present = "pattern")]
    topics: Vec<String>,
    /// Only these partitions, separated by commas
    #[arg(
        long,
        short,
        value_name = "NUMBER,...",
        value_delimiter = ',',
        conflicts_with = "group"
    )]
    partition: Vec<i32>,
    /// Where to begin: beginning, end, an offset (42), so many records before the end (-10), a time
    /// (2013-01-01T10:00:00Z or @1356998400000), or how long ago (10m). In a group, where it has committed nothing:
    /// beginning or end
    #[arg(
        long,
        default_value = "beginning",
        value_name = "PLACE",
        allow_hyphen_values = true
    )]
    from: Place,
    /// Read as a member of this group, from where it has committed
    #[arg(long, short, value_name = "NAME")]
    group: Option<String>,
    /// With --group: also all topics whose whole name matches this regular expression
    #[arg(long, value_name = "REGEX", requires = "group")]
    pattern: Option<String>,
    /// With --group: be a static member of this name, which gets its partitions back after a restart
    #[arg(long, value_name = "NAME", requires = "group")]
    instance_id: Option<String>,
    /// End after so many records
    #[arg(long, short = 'n', value_name = "RECORDS", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    /// End where the partitions ended when it began
    #[arg(long, short = 'e')]
    until_end: bool,
    /// What of a record is printed; json with --output json
    #[arg(long, short = 'F', value_enum, conflicts_with = "template")]
    format: Option<RecordFormat>,
    /// What of a record is printed, in the manner of printf
    #[arg(long, short = 'T', value_name = "TEXT", long_help = template_help())]
    template: Option<Template>,
    /// What stands between key and value with --format key-value
    #[arg(long, short = 'K', default_value = "\\t", value_name = "TEXT")]
    key_separator: Escaped,
    /// What stands for a key or value that is not there
    #[arg(long, default_value = "", value_name = "TEXT")]
    null: Escaped,
    /// What comes behind each record with --format value and key-value
    #[arg(long, default_value = "\\n", value_name = "TEXT")]
    delimiter: Escaped,
}

/// What of a record is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum RecordFormat {
    /// The value.
    Value,
    /// The key, a separator, and the value.
    KeyValue,
    /// All of it, one JSON object a line.
    Json,
}

fn template_help() -> String {
    format!("What of a record is printed, in the manner of printf: {TEMPLATE_HELP}")
}

/// Runs it.
///
/// # Errors
///
/// Why it failed.
pub async fn run(context: &Context, args: ConsumeArgs) -> Result<(), Failure> {
    let mut interrupts = Interrupts::listen()?;
    let printer = Printer::new(args.renderer(context.output), args.count);
    let client = tokio::select! {
        client = context.client() => client?,
        () = interrupts.next() => return Ok(()),
    };
    match args.group.clone() {
        Some(group) => group::run(&client, &args, &group, printer, &mut interrupts).await,
        None => tokio::select! {
            read = direct::run(&client, &args, printer) => read,
            () = interrupts.next() => Ok(()),
        },
    }
}

impl ConsumeArgs {
    fn renderer(&self, output: Output) -> Renderer {
        let usual = if output == Output::Json {
            RecordFormat::Json
        } else {
            RecordFormat::Value
        };
        let shape = match (&self.template, self.format.unwrap_or(usual)) {
            (Some(template), _) => Shape::Template(template.clone()),
            (None, RecordFormat::Value) => Shape::Value,
            (None, RecordFormat::KeyValue) => Shape::KeyValue(self.key_separator.0.clone()),
            (None, RecordFormat::Json) => Shape::Json,
        };
        Renderer {
            shape,
            null: self.null.0.clone(),
            delimiter: self.delimiter.0.clone(),
        }
    }
}
