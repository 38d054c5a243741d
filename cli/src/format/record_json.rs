//! Records as JSON, one a line, out and in.
//!
//! Bytes that are text stand under `key` and `value`; others in base64 under `key_base64` and `value_base64`. A key or
//! value that is not there is `null`, or left out. Headers are a list of `{"key": ..., "value": ...}`, in order. What is
//! printed can be read again.

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use fjord_client::proto::{ConsumedRecord, Header};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{input::InputRecord, time::parse_millis};

/// Bytes as JSON shows them: at most one of the two.
struct Shown<'a> {
    text: Option<&'a str>,
    base64: Option<String>,
}

#[derive(Serialize)]
struct OutRecord<'a> {
    topic: &'a str,
    partition: i32,
    offset: i64,
    timestamp_ms: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<Option<&'a str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key_base64: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<Option<&'a str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value_base64: Option<String>,
    headers: Vec<OutHeader<'a>>,
}

#[derive(Serialize)]
struct OutHeader<'a> {
    key: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<Option<&'a str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value_base64: Option<String>,
}

/// Writes a record as one line.
pub fn write_record(topic: &str, partition: i32, record: &ConsumedRecord, out: &mut Vec<u8>) {
    let (key, value) = (shown(record.key.as_ref()), shown(record.value.as_ref()));
    let headers = record.headers.iter().map(|header| {
        let value = shown(header.value.as_ref());
        OutHeader {
            key: &header.key,
            value: value.base64.is_none().then_some(value.text),
            value_base64: value.base64,
        }
    });
    let record = OutRecord {
        topic,
        partition,
        offset: record.offset,
        timestamp_ms: record.timestamp_ms,
        key: key.base64.is_none().then_some(key.text),
        key_base64: key.base64,
        value: value.base64.is_none().then_some(value.text),
        value_base64: value.base64,
        headers: headers.collect(),
    };
    // Strings and numbers can always be written to a vector.
    let _ = serde_json::to_writer(&mut *out, &record);
    out.push(b'\n');
}

fn shown(bytes: Option<&Bytes>) -> Shown<'_> {
    let text = bytes.and_then(|bytes| std::str::from_utf8(bytes).ok());
    let base64 = match (bytes, text) {
        (Some(bytes), None) => Some(STANDARD.encode(bytes)),
        _ => None,
    };
    Shown { text, base64 }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct InRecord<'a> {
    #[serde(borrow)]
    key: Option<&'a RawValue>,
    key_base64: Option<String>,
    #[serde(borrow)]
    value: Option<&'a RawValue>,
    value_base64: Option<String>,
    #[serde(default)]
    headers: Vec<InHeader<'a>>,
    #[serde(borrow)]
    timestamp: Option<&'a RawValue>,
    timestamp_ms: Option<i64>,
    partition: Option<i32>,
    /// Where the record was; not where it goes.
    #[serde(rename = "topic")]
    _topic: Option<String>,
    #[serde(rename = "offset")]
    _offset: Option<i64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct InHeader<'a> {
    key: String,
    #[serde(borrow)]
    value: Option<&'a RawValue>,
    value_base64: Option<String>,
}

/// Reads a record from one line. A key or value that is no string is taken as the JSON that stands there.
///
/// # Errors
///
/// A sentence, if it is none.
pub fn parse_record(line: &[u8]) -> Result<InputRecord, String> {
    let record: InRecord<'_> = serde_json::from_slice(line)
        .map_err(|error| format!("no JSON record: {}", said(&error)))?;
    let timestamp_ms = match (record.timestamp_ms, record.timestamp) {
        (Some(_), Some(_)) => return Err("both timestamp and timestamp_ms".to_owned()),
        (Some(millis), None) => Some(millis),
        (None, Some(raw)) => Some(timestamp(raw)?),
        (None, None) => None,
    };
    let headers = record.headers.into_iter().map(|header| {
        Ok(Header {
            key: header.key,
            value: one_of("value", header.value, header.value_base64)?,
        })
    });
    Ok(InputRecord {
        key: one_of("key", record.key, record.key_base64)?,
        value: one_of("value", record.value, record.value_base64)?,
        headers: headers.collect::<Result<_, String>>()?,
        timestamp_ms,
        partition: record.partition,
    })
}

/// What is wrong. Its line is the only one here, and not the one that a reader of a file counts.
fn said(error: &serde_json::Error) -> String {
    error
        .to_string()
        .replace(" at line 1 column ", " at column ")
}

fn one_of(
    name: &str,
    raw: Option<&RawValue>,
    base64: Option<String>,
) -> Result<Option<Bytes>, String> {
    match (raw, base64) {
        (Some(_), Some(_)) => Err(format!("both {name} and {name}_base64")),
        (Some(raw), None) => text(raw).map(|text| Some(text.into())),
        (None, Some(base64)) => STANDARD
            .decode(base64)
            .map(|bytes| Some(bytes.into()))
            .map_err(|error| format!("{name}_base64: {error}")),
        (None, None) => Ok(None),
    }
}

/// What a string says, or the JSON that is no string.
fn text(raw: &RawValue) -> Result<String, String> {
    let json = raw.get();
    if json.starts_with('"') {
        serde_json::from_str(json).map_err(|error| error.to_string())
    } else {
        Ok(json.to_owned())
    }
}

fn timestamp(raw: &RawValue) -> Result<i64, String> {
    let said = text(raw)?;
    said.parse().or_else(|_| parse_millis(&said))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(key: Option<&'static [u8]>, value: Option<&'static [u8]>) -> ConsumedRecord {
        ConsumedRecord {
            offset: 7,
            timestamp_ms: 1500,
            key: key.map(Bytes::from_static),
            value: value.map(Bytes::from_static),
            headers: vec![Header {
                key: "h".to_owned(),
                value: Some(Bytes::from_static(b"\xfe")),
            }],
        }
    }

    fn printed(record: &ConsumedRecord) -> String {
        let mut out = Vec::new();
        write_record("t", 3, record, &mut out);
        String::from_utf8(out).expect("JSON is text")
    }

    #[test]
    fn null_empty_text_and_bytes_are_kept_apart() {
        assert_eq!(
            printed(&record(None, Some(b""))),
            "{\"topic\":\"t\",\"partition\":3,\"offset\":7,\"timestamp_ms\":1500,\"key\":null,\"value\":\"\",\
             \"headers\":[{\"key\":\"h\",\"value_base64\":\"/g==\"}]}\n"
        );
        assert!(
            printed(&record(Some(b"\xff\x00"), None))
                .contains("\"key_base64\":\"/wA=\",\"value\":null")
        );
    }

    #[test]
    fn what_is_printed_can_be_read_again() {
        let cases: [Option<&'static [u8]>; 4] = [
            None,
            Some(b""),
            Some("a \"quote\"\n\u{1f600}".as_bytes()),
            Some(b"\xff\x00\xfe"),
        ];
        for bytes in cases {
            let record = record(bytes, bytes);
            let read = parse_record(printed(&record).as_bytes()).expect("a record");
            assert_eq!(read.key, record.key);
            assert_eq!(read.value, record.value);
            assert_eq!(read.headers, record.headers);
            assert_eq!(read.timestamp_ms, Some(1500));
            assert_eq!(read.partition, Some(3));
        }
    }

    #[test]
    fn json_that_is_no_string_is_taken_as_it_stands() {
        let read =
            parse_record(br#"{"key": 5, "value": {"b": 1.50, "a": [] }}"#).expect("a record");
        assert_eq!(read.key.as_deref(), Some(&b"5"[..]));
        assert_eq!(
            read.value.as_deref(),
            Some(&br#"{"b": 1.50, "a": [] }"#[..])
        );
        let read = parse_record(br#"{"timestamp": "1970-01-01T00:00:01Z"}"#).expect("a record");
        assert_eq!(read.timestamp_ms, Some(1000));
        let read = parse_record(br#"{"timestamp": 5}"#).expect("a record");
        assert_eq!(read.timestamp_ms, Some(5));
    }

    #[test]
    fn what_is_no_record_is_refused() {
        for wrong in [
            &b"x"[..],
            b"[]",
            br#"{"vaule": 1}"#,
            br#"{"key": 1, "key_base64": "YQ=="}"#,
            br#"{"value_base64": "!"}"#,
            br#"{"timestamp": "soon"}"#,
        ] {
            assert!(
                parse_record(wrong).is_err(),
                "{}",
                String::from_utf8_lossy(wrong)
            );
        }
        let error = parse_record(br#"{"key": "a", value}"#).expect_err("no record");
        assert!(error.ends_with(" at column 14"), "{error}");
    }
}
