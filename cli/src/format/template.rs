//! Templates of records, in the manner of printf.

use std::io::Write as _;

use fjord_client::proto::ConsumedRecord;

use super::{escape::unescape, time::format_millis};

/// What the help says of templates.
pub const TEMPLATE_HELP: &str = "\
%t topic, %p partition, %o offset, %k key, %v value, %h headers (name=value,...), %T milliseconds since 1970, %D date \
and time, %K length of the key, %V length of the value (-1 if there is none), %% a percent sign; \\n, \\t, \\r, \\0, \
\\xHH";

/// A template, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(Vec<u8>),
    Topic,
    Partition,
    Offset,
    Key,
    Value,
    Headers,
    Millis,
    Date,
    KeyLength,
    ValueLength,
}

impl std::str::FromStr for Template {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut literal = Vec::new();
        let mut bytes = unescape(text)?.into_iter();
        while let Some(byte) = bytes.next() {
            if byte != b'%' {
                literal.push(byte);
                continue;
            }
            let part = match bytes.next() {
                Some(b'%') => {
                    literal.push(b'%');
                    continue;
                }
                Some(b't') => Part::Topic,
                Some(b'p') => Part::Partition,
                Some(b'o') => Part::Offset,
                Some(b'k') => Part::Key,
                Some(b'v') => Part::Value,
                Some(b'h') => Part::Headers,
                Some(b'T') => Part::Millis,
                Some(b'D') => Part::Date,
                Some(b'K') => Part::KeyLength,
                Some(b'V') => Part::ValueLength,
                _ => {
                    return Err(format!(
                        "{text:?}: after % comes one of these: {TEMPLATE_HELP}"
                    ));
                }
            };
            if !literal.is_empty() {
                parts.push(Part::Text(std::mem::take(&mut literal)));
            }
            parts.push(part);
        }
        if !literal.is_empty() {
            parts.push(Part::Text(literal));
        }
        Ok(Self { parts })
    }
}

impl Template {
    /// Writes a record; `null` stands for a key or value that is not there.
    pub fn render(
        &self,
        topic: &str,
        partition: i32,
        record: &ConsumedRecord,
        null: &[u8],
        out: &mut Vec<u8>,
    ) {
        let length = |bytes: Option<usize>| bytes.map_or(-1, |length| length as i64);
        for part in &self.parts {
            // Writing to a vector cannot fail.
            let _ = match part {
                Part::Text(text) => out.write_all(text),
                Part::Topic => out.write_all(topic.as_bytes()),
                Part::Partition => write!(out, "{partition}"),
                Part::Offset => write!(out, "{}", record.offset),
                Part::Key => out.write_all(record.key.as_deref().unwrap_or(null)),
                Part::Value => out.write_all(record.value.as_deref().unwrap_or(null)),
                Part::Headers => {
                    write_headers(record, null, out);
                    Ok(())
                }
                Part::Millis => write!(out, "{}", record.timestamp_ms),
                Part::Date => write!(out, "{}", format_millis(record.timestamp_ms)),
                Part::KeyLength => write!(
                    out,
                    "{}",
                    length(record.key.as_ref().map(bytes::Bytes::len))
                ),
                Part::ValueLength => {
                    write!(
                        out,
                        "{}",
                        length(record.value.as_ref().map(bytes::Bytes::len))
                    )
                }
            };
        }
    }
}

fn write_headers(record: &ConsumedRecord, null: &[u8], out: &mut Vec<u8>) {
    for (place, header) in record.headers.iter().enumerate() {
        if place > 0 {
            out.push(b',');
        }
        out.extend_from_slice(header.key.as_bytes());
        out.push(b'=');
        out.extend_from_slice(header.value.as_deref().unwrap_or(null));
    }
}

#[cfg(test)]
mod tests {
    use fjord_client::proto::Header;

    use super::*;

    fn render(template: &str) -> String {
        let header = |key: &str, value: Option<&'static str>| Header {
            key: key.to_owned(),
            value: value.map(Into::into),
        };
        let record = ConsumedRecord {
            offset: 7,
            timestamp_ms: 1500,
            key: None,
            value: Some("EWR".into()),
            headers: vec![header("a", Some("1")), header("a", None)],
        };
        let mut out = Vec::new();
        let template: Template = template.parse().expect("a template");
        template.render("flights", 3, &record, b"~", &mut out);
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn parts_are_filled_in() {
        assert_eq!(render(r"%t-%p@%o: %k=%v\n"), "flights-3@7: ~=EWR\n");
        assert_eq!(
            render("%T %D %K %V 100%%"),
            "1500 1970-01-01T00:00:01.500Z -1 3 100%"
        );
        assert_eq!(render("%h"), "a=1,a=~");
        assert_eq!(render(""), "");
    }

    #[test]
    fn unknown_parts_are_refused() {
        for wrong in ["%", "%q", r"\q"] {
            assert!(wrong.parse::<Template>().is_err(), "{wrong}");
        }
    }
}
