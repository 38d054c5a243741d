//! Records as text: the value, key and value, JSON, or a template.

use fjord_client::proto::ConsumedRecord;

use super::{record_json::write_record, template::Template};

/// How records are printed.
#[derive(Debug, Clone)]
pub struct Renderer {
    /// What of a record.
    pub shape: Shape,
    /// What stands for a key or value that is not there.
    pub null: Vec<u8>,
    /// What comes behind each record, except JSON and templates.
    pub delimiter: Vec<u8>,
}

/// What of a record is printed.
#[derive(Debug, Clone)]
pub enum Shape {
    /// The value.
    Value,
    /// The key, this, and the value.
    KeyValue(Vec<u8>),
    /// All, as one line of JSON.
    Json,
    /// What the template says.
    Template(Template),
}

impl Renderer {
    /// Writes a record.
    pub fn render(&self, topic: &str, partition: i32, record: &ConsumedRecord, out: &mut Vec<u8>) {
        let value = record.value.as_deref().unwrap_or(&self.null);
        match &self.shape {
            Shape::Json => write_record(topic, partition, record, out),
            Shape::Template(template) => template.render(topic, partition, record, &self.null, out),
            Shape::Value => {
                out.extend_from_slice(value);
                out.extend_from_slice(&self.delimiter);
            }
            Shape::KeyValue(separator) => {
                out.extend_from_slice(record.key.as_deref().unwrap_or(&self.null));
                out.extend_from_slice(separator);
                out.extend_from_slice(value);
                out.extend_from_slice(&self.delimiter);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes() {
        let record = ConsumedRecord {
            value: Some(bytes::Bytes::from_static(b"v\xff")),
            ..ConsumedRecord::default()
        };
        let render = |shape: Shape| {
            let renderer = Renderer {
                shape,
                null: b"~".to_vec(),
                delimiter: b"\n".to_vec(),
            };
            let mut out = Vec::new();
            renderer.render("t", 0, &record, &mut out);
            out
        };
        assert_eq!(render(Shape::Value), b"v\xff\n");
        assert_eq!(render(Shape::KeyValue(b": ".to_vec())), b"~: v\xff\n");
        let template = "%o\\0".parse().expect("a template");
        assert_eq!(render(Shape::Template(template)), b"0\0");
        assert!(render(Shape::Json).ends_with(b"}\n"));
    }
}
