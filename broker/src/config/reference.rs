//! `docs/configuration.md`, made from the table so that it cannot say anything else.

use std::fmt::Write as _;

use super::definition::{ConfigDef, Update};
use super::source_env::variable_name;
use super::table::{BROKER_SECTIONS, topic_configs};

const INTRODUCTION: &str = "\
# Configuration

<!-- Made from the broker's table of configs. Do not edit; a test says how to write it anew. -->

The broker starts without any configuration. Whatever is set comes from four places, a later one
covering an earlier one:

1. the defaults below;
2. one configuration file, named by `--config FILE` or the environment variable `FJORD_CONFIG`;
3. environment variables: `FJORD_` and the name in upper case, with `_` for `.`, such as
   `FJORD_NUM_PARTITIONS=4`. `fjord.durability` can be set as `FJORD_DURABILITY`. A variable that
   begins with `FJORD_` and means nothing is refused, except those that Kubernetes makes for a
   service whose name begins with `fjord`;
4. flags: `--set NAME=VALUE` for any config of the broker, and the short forms that
   `fjord-broker --help` lists (`--data-dir`, `--listen-kafka`, `--advertise-kafka`, `--listen-grpc`,
   `--listen-http`, `--node-id`).

`fjord-broker --check-config` prints the configuration that results, with the origin of each value,
in the form of a configuration file. An unknown name or an invalid value keeps the broker from
starting; all mistakes are reported at once.

The file is YAML. Names may be written flat or nested, lists as lists or separated by commas:

```yaml
num.partitions: 4
log.retention.ms: 3600000
fjord:
  durability: fsync
  log:
    format: json
```

Names, types, defaults and ranges are those of Apache Kafka 4.3, except for the names that begin with
`fjord.`, for `node.id` (which Kafka requires) and for `log.dir`. A config of Kafka that is not here
has no meaning for this broker, and is refused.

Some configs have several names with different units, such as `log.retention.ms`,
`log.retention.minutes` and `log.retention.hours`. Of these the first one that is set decides, wherever
it is set.

\"Dynamic\" configs can also be changed while the broker runs, with `kafka-configs` or any other admin
client: for one broker, or as the default of all. What is set that way covers what was set at start.
";

const TOPICS: &str = "
## Topics

A topic's own configs are set when it is created, and altered at any time. What a topic does not set
comes from the broker configs in the last column.
";

/// The text of `docs/configuration.md`.
pub fn configuration_reference() -> String {
    let mut text = INTRODUCTION.to_owned();
    for (title, configs) in BROKER_SECTIONS {
        let _ = write!(text, "\n## {title}\n\n");
        text.push_str("| Name | Type | Default | Valid | Changed | What it does |\n");
        text.push_str("|---|---|---|---|---|---|\n");
        for config in configs {
            let changed = match config.update {
                Update::ReadOnly => "at start",
                Update::Dynamic => "dynamic",
            };
            push_row(&mut text, config, changed, config.documentation);
        }
    }
    text.push_str(TOPICS);
    text.push_str("\n| Name | Type | Default | Valid | What it does | Broker config |\n");
    text.push_str("|---|---|---|---|---|---|\n");
    for config in topic_configs() {
        let names: Vec<String> = config
            .synonyms
            .iter()
            .map(|name| format!("`{name}`"))
            .collect();
        push_row(&mut text, config, config.documentation, &names.join(", "));
    }
    let _ = write!(
        text,
        "\n## Example\n\nThese three set the same: the line `log.retention.hours: 24` in the file, the \
         variable `{}=24`, and the flag `--set log.retention.hours=24`.\n",
        variable_name("log.retention.hours"),
    );
    text
}

fn push_row(text: &mut String, config: &ConfigDef, fifth: &str, sixth: &str) {
    let default = match config.default {
        None => String::new(),
        Some("") => "(empty)".to_owned(),
        Some(default) => format!("`{default}`"),
    };
    let valid = config.valid_values();
    let (name, config_type) = (config.name, config.config_type.name());
    // Writing to a String cannot fail.
    let _ = writeln!(
        text,
        "| `{name}` | {config_type} | {default} | {valid} | {fifth} | {sixth} |"
    );
}
