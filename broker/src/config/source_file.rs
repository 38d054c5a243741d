//! The configuration file: YAML -> settings with their lines.
//!
//! Names may be written flat (`log.retention.ms: 1000`), nested (`log: {retention: {ms: 1000}}`) or
//! mixed; nested maps are joined by '.'. A list is joined by ','. An empty value sets nothing.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_saphyr::Spanned;

use super::error::{ConfigError, ConfigErrors};
use super::layers::{Origin, Setting};

/// Parses the text of the file that was named `path`.
pub(super) fn parse(path: &str, text: &str) -> Result<Vec<Setting>, ConfigErrors> {
    let nothing = text.lines().all(|line| {
        let line = line.trim();
        line.is_empty() || line.starts_with('#')
    });
    if nothing {
        return Ok(Vec::new());
    }
    let root = serde_saphyr::from_str::<Spanned<Node>>(text).map_err(|error| ConfigError {
        name: path.to_owned(),
        value: None,
        origin: None,
        reason: format!("is not valid YAML: {error}"),
        fix: "write one NAME: VALUE per line".to_owned(),
    })?;
    let mut settings = Vec::new();
    match root.value {
        Node::Map(entries) => flatten(path, "", entries, &mut settings)?,
        Node::Empty => {}
        _ => return Err(unusable(path, "", root.referenced.line()).into()),
    }
    Ok(settings)
}

fn flatten(
    path: &str,
    prefix: &str,
    entries: Vec<(String, Spanned<Node>)>,
    settings: &mut Vec<Setting>,
) -> Result<(), ConfigErrors> {
    for (key, node) in entries {
        let name = if prefix.is_empty() {
            key
        } else {
            format!("{prefix}.{key}")
        };
        let line = node.referenced.line();
        let value = match node.value {
            Node::Map(entries) => {
                flatten(path, &name, entries, settings)?;
                continue;
            }
            Node::Empty => continue,
            Node::Scalar(value) => value,
            Node::List(entries) => {
                let mut texts = Vec::new();
                for entry in entries {
                    match entry.value {
                        Node::Scalar(text) => texts.push(text),
                        _ => return Err(unusable(path, &name, entry.referenced.line()).into()),
                    }
                }
                texts.join(",")
            }
        };
        let origin = Origin::File {
            path: path.to_owned(),
            line,
        };
        settings.push(Setting {
            name,
            value,
            origin,
        });
    }
    Ok(())
}

fn unusable(path: &str, name: &str, line: u64) -> ConfigError {
    ConfigError {
        name: if name.is_empty() {
            path.to_owned()
        } else {
            name.to_owned()
        },
        value: None,
        origin: Some(Origin::File {
            path: path.to_owned(),
            line,
        }),
        reason: "must be a value or a list of values under a name".to_owned(),
        fix: "write NAME: VALUE".to_owned(),
    }
}

/// A YAML node, with scalars as text.
enum Node {
    Empty,
    Scalar(String),
    List(Vec<Spanned<Node>>),
    Map(Vec<(String, Spanned<Node>)>),
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NodeVisitor)
    }
}

struct NodeVisitor;

impl<'de> Visitor<'de> for NodeVisitor {
    type Value = Node;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a value, a list or a map")
    }

    fn visit_unit<E: Error>(self) -> Result<Node, E> {
        Ok(Node::Empty)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Node, E> {
        Ok(Node::Scalar(value.to_string()))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Node, E> {
        Ok(Node::Scalar(value.to_string()))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Node, E> {
        Ok(Node::Scalar(value.to_string()))
    }

    fn visit_i128<E: Error>(self, value: i128) -> Result<Node, E> {
        Ok(Node::Scalar(value.to_string()))
    }

    fn visit_u128<E: Error>(self, value: u128) -> Result<Node, E> {
        Ok(Node::Scalar(value.to_string()))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Node, E> {
        Ok(Node::Scalar(value.to_string()))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Node, E> {
        Ok(Node::Scalar(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut entries: A) -> Result<Node, A::Error> {
        let mut list = Vec::new();
        while let Some(entry) = entries.next_element()? {
            list.push(entry);
        }
        Ok(Node::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Node, A::Error> {
        let mut map = Vec::new();
        while let Some(entry) = entries.next_entry()? {
            map.push(entry);
        }
        Ok(Node::Map(map))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flat(text: &str) -> Vec<(String, String, u64)> {
        let settings = parse("fjord.yaml", text).expect("valid file");
        let flat = settings.into_iter().map(|setting| match setting.origin {
            Origin::File { line, .. } => (setting.name, setting.value, line),
            origin => panic!("not from a file: {origin}"),
        });
        flat.collect()
    }

    #[test]
    fn flat_nested_and_lists_give_the_same_names() {
        let text = "# comment\nnum.partitions: 4\nlog:\n  retention.ms: -1\n  cleanup:\n    policy:\n      \
                    - compact\n      - delete\nbroker.rack: \"1e3\"\nauto.create.topics.enable: false\n\
                    log.cleaner.min.cleanable.ratio: 0.25\nadvertised.listeners:\n";
        let expected = [
            ("num.partitions", "4", 2),
            ("log.retention.ms", "-1", 4),
            ("log.cleanup.policy", "compact,delete", 7),
            ("broker.rack", "1e3", 9),
            ("auto.create.topics.enable", "false", 10),
            ("log.cleaner.min.cleanable.ratio", "0.25", 11),
        ];
        let found = flat(text);
        let found: Vec<(&str, &str, u64)> = found
            .iter()
            .map(|(name, value, line)| (name.as_str(), value.as_str(), *line))
            .collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn a_file_without_content_sets_nothing() {
        for text in ["", "\n\n", "# nothing\n", "---\n", "{}"] {
            assert_eq!(flat(text), [], "{text:?}");
        }
    }

    #[test]
    fn what_is_no_map_of_values_is_refused_with_its_line() {
        for (text, expected) in [
            (
                "- a\n",
                "fjord.yaml must be a value or a list of values under a name (from fjord.yaml line 1)",
            ),
            (
                "num.partitions:\n  - [1]\n",
                "num.partitions must be a value or a list of values",
            ),
            ("a: b: c", "fjord.yaml is not valid YAML"),
            ("num.partitions: 1\nnum.partitions: 2\n", "duplicate"),
        ] {
            let error = parse("fjord.yaml", text).expect_err(text).to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
