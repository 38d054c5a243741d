//! `fjord group reset-offsets`.

use std::str::FromStr;

use clap::Args;
use fjord_client::proto::{
    Position, ResetOffset, ResetOffsetsRequest, TopicPartition, reset_offsets_request::To,
};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::{
    args::Context,
    failure::Failure,
    format::{
        place::{Place, millis_ago},
        table::Table,
    },
};

/// Set committed offsets of a group without members; only says what would be, unless --execute is given
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  fjord group reset-offsets billing --to beginning
  fjord group reset-offsets billing --topic flights:0,1 --to 2013-06-01T00:00:00Z --execute
  fjord group reset-offsets billing --topic flights --shift -100 --execute")]
pub struct ResetOffsetsArgs {
    /// The group's name; one that is not there is made
    group: String,
    /// A topic, or some of its partitions; may be given more than once. All that the group has committed offsets of if
    /// none is given
    #[arg(long = "topic", short = 't', value_name = "TOPIC[:PARTITION,...]")]
    topics: Vec<Partitions>,
    /// beginning, end, an offset (42), a time (2013-01-01T10:00:00Z or @1356998400000), or how long ago (10m)
    #[arg(
        long,
        value_name = "PLACE",
        allow_hyphen_values = true,
        required_unless_present = "shift",
        conflicts_with = "shift"
    )]
    to: Option<Place>,
    /// So many records on from what is committed, or back if negative
    #[arg(long, value_name = "COUNT", allow_hyphen_values = true)]
    shift: Option<i64>,
    /// Do it; without this, it is only said what would be
    #[arg(long)]
    execute: bool,
}

/// A topic, and which of its partitions; all if there are none.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Partitions {
    topic: String,
    partitions: Vec<i32>,
}

impl FromStr for Partitions {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // A topic's name has no colon.
        let (topic, partitions) = match text.split_once(':') {
            Some((topic, partitions)) => (topic, Some(partitions)),
            None => (text, None),
        };
        let numbers: Option<Result<Vec<i32>, _>> =
            partitions.map(|list| list.split(',').map(str::parse::<i32>).collect());
        match numbers.transpose() {
            Ok(partitions) if !topic.is_empty() => Ok(Self {
                topic: topic.to_owned(),
                partitions: partitions.unwrap_or_default(),
            }),
            _ => Err(format!("{text:?} is not of the form TOPIC or TOPIC:0,1,2")),
        }
    }
}

/// Runs it.
///
/// # Errors
///
/// Why it failed: also if a single partition was refused.
pub async fn run(context: &Context, args: ResetOffsetsArgs) -> Result<(), Failure> {
    let to = target(args.to, args.shift, Timestamp::now().as_millisecond())?;
    let client = context.client().await?;
    let mut topics = Vec::new();
    let mut partitions = Vec::new();
    for some in args.topics {
        if some.partitions.is_empty() {
            topics.push(some.topic);
            continue;
        }
        partitions.extend(some.partitions.iter().map(|partition| TopicPartition {
            topic: some.topic.clone(),
            partition: *partition,
        }));
    }
    let request = ResetOffsetsRequest {
        group: args.group.clone(),
        topics,
        partitions,
        dry_run: !args.execute,
        to: Some(to),
    };
    let offsets = client.reset_offsets(request).await?.offsets;
    let text = || {
        let end = if args.execute {
            ""
        } else {
            "Nothing was changed: this is what --execute would do.\n"
        };
        format!("{}{end}", table(&offsets))
    };
    let json = || {
        json!({
            "group": args.group,
            "executed": args.execute,
            "offsets": offsets.iter().map(to_json).collect::<Vec<_>>(),
        })
    };
    context.output.print(text, json)?;
    let refused = offsets
        .iter()
        .filter(|offset| offset.error.is_some())
        .count();
    if refused > 0 {
        return Err(Failure::Other(format!(
            "{refused} of {} partitions refused",
            offsets.len()
        )));
    }
    Ok(())
}

fn target(to: Option<Place>, shift: Option<i64>, now_ms: i64) -> Result<To, Failure> {
    Ok(match (to, shift) {
        (_, Some(shift)) => To::Shift(shift),
        (Some(Place::End), None) => To::Position(Position::Latest.into()),
        (Some(Place::Beginning), None) => To::Position(Position::Earliest.into()),
        (Some(Place::Offset(offset)), None) => To::Offset(offset),
        (Some(Place::Time(millis)), None) => To::TimestampMs(millis),
        (Some(Place::Ago(ago)), None) => To::TimestampMs(millis_ago(ago, now_ms)),
        (Some(Place::Last(_)), None) => {
            return Err(Failure::Usage(
                "a group is not reset to so many records before the end: use --to end first, then --shift".to_owned(),
            ));
        }
        (None, None) => {
            return Err(Failure::Usage(
                "either --to or --shift is needed".to_owned(),
            ));
        }
    })
}

fn table(offsets: &[ResetOffset]) -> Table {
    let mut table =
        Table::new(["TOPIC", "PARTITION", "BEFORE", "AFTER", "PROBLEM"]).right([1, 2, 3]);
    for offset in offsets {
        let after = if offset.error.is_some() {
            String::new()
        } else {
            offset.after.to_string()
        };
        table.row([
            offset.topic.clone(),
            offset.partition.to_string(),
            offset
                .before
                .map_or_else(String::new, |before| before.to_string()),
            after,
            offset
                .error
                .as_ref()
                .map_or_else(String::new, |error| error.message.clone()),
        ]);
    }
    table
}

fn to_json(offset: &ResetOffset) -> Value {
    let error = offset.error.as_ref().map(|error| {
        json!({
            "reason": error.reason,
            "message": error.message,
            "retriable": error.retriable,
        })
    });
    json!({
        "topic": offset.topic,
        "partition": offset.partition,
        "before": offset.before,
        "after": offset.error.is_none().then_some(offset.after),
        "error": error,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_and_partitions() {
        let some = |topic: &str, partitions: &[i32]| Partitions {
            topic: topic.to_owned(),
            partitions: partitions.to_vec(),
        };
        assert_eq!("a".parse(), Ok(some("a", &[])));
        assert_eq!("a:0".parse(), Ok(some("a", &[0])));
        assert_eq!("a:0,2".parse(), Ok(some("a", &[0, 2])));
        for wrong in ["", ":0", "a:", "a:x", "a:0,"] {
            assert!(wrong.parse::<Partitions>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn targets() {
        assert_eq!(target(None, Some(-5), 0).expect("valid"), To::Shift(-5));
        let ago = Place::Ago(std::time::Duration::from_secs(1));
        assert_eq!(
            target(Some(ago), None, 1500).expect("valid"),
            To::TimestampMs(500)
        );
        assert!(target(Some(Place::Last(3)), None, 0).is_err());
    }
}
