//! Records from input: lines, lines with keys, JSON lines.

use bytes::Bytes;
use fjord_client::proto::Header;

use super::record_json::parse_record;

/// A record as it was read.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct InputRecord {
    /// The key.
    pub key: Option<Bytes>,
    /// The value.
    pub value: Option<Bytes>,
    /// Headers, in order.
    pub headers: Vec<Header>,
    /// Milliseconds since 1970.
    pub timestamp_ms: Option<i64>,
    /// The partition.
    pub partition: Option<i32>,
}

/// What a line is.
#[derive(Debug, Clone)]
pub enum LineFormat {
    /// The value, or with a separator the key and the value. What equals `null` is not there.
    Plain {
        /// What stands between key and value.
        separator: Option<Vec<u8>>,
        /// What stands for a key or value that is not there.
        null: Option<Vec<u8>>,
    },
    /// A JSON record; see [`super::record_json`].
    Json,
}

impl LineFormat {
    /// Reads a record from a line without its end; nothing from a blank line of JSON.
    ///
    /// # Errors
    ///
    /// A sentence, if there is none in it.
    pub fn parse(&self, line: Bytes) -> Result<Option<InputRecord>, String> {
        match self {
            Self::Json if line.trim_ascii().is_empty() => Ok(None),
            Self::Json => parse_record(&line).map(Some),
            Self::Plain { separator, null } => {
                Ok(Some(plain(line, separator.as_deref(), null.as_deref())))
            }
        }
    }
}

fn plain(line: Bytes, separator: Option<&[u8]>, null: Option<&[u8]>) -> InputRecord {
    let present = |bytes: Bytes| (null != Some(&bytes[..])).then_some(bytes);
    let found = separator
        .filter(|separator| !separator.is_empty())
        .and_then(|separator| Some((find(&line, separator)?, separator.len())));
    let (key, value) = match found {
        Some((place, length)) => (present(line.slice(..place)), line.slice(place + length..)),
        None => (None, line),
    };
    InputRecord {
        key,
        value: present(value),
        ..InputRecord::default()
    }
}

/// Where `wanted` begins first.
fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes
        .windows(wanted.len())
        .position(|window| window == wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &'static [u8], separator: Option<&str>, null: Option<&str>) -> InputRecord {
        let format = LineFormat::Plain {
            separator: separator.map(|text| text.as_bytes().to_vec()),
            null: null.map(|text| text.as_bytes().to_vec()),
        };
        format
            .parse(Bytes::from_static(line))
            .expect("valid")
            .expect("a record")
    }

    fn record(key: Option<&'static str>, value: Option<&'static str>) -> InputRecord {
        InputRecord {
            key: key.map(Into::into),
            value: value.map(Into::into),
            ..InputRecord::default()
        }
    }

    #[test]
    fn lines_are_values_or_keys_and_values() {
        assert_eq!(parse(b"a:b", None, None), record(None, Some("a:b")));
        assert_eq!(
            parse(b"a:b:c", Some(":"), None),
            record(Some("a"), Some("b:c"))
        );
        assert_eq!(
            parse(b"a::b", Some("::"), None),
            record(Some("a"), Some("b"))
        );
        assert_eq!(parse(b":b", Some(":"), None), record(Some(""), Some("b")));
        assert_eq!(parse(b"b", Some(":"), None), record(None, Some("b")));
        assert_eq!(parse(b"", None, None), record(None, Some("")));
        assert_eq!(
            parse(b"a:NULL", Some(":"), Some("NULL")),
            record(Some("a"), None)
        );
        assert_eq!(
            parse(b"NULL:b", Some(":"), Some("NULL")),
            record(None, Some("b"))
        );
        assert_eq!(parse(b"a:", Some(":"), Some("")), record(Some("a"), None));
    }

    #[test]
    fn blank_lines_of_json_are_nothing() {
        assert_eq!(LineFormat::Json.parse(Bytes::from_static(b" ")), Ok(None));
        let read = LineFormat::Json.parse(Bytes::from_static(br#"{"value":"x"}"#));
        assert_eq!(read, Ok(Some(record(None, Some("x")))));
    }
}
