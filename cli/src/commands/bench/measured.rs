//! What was measured, as text and JSON.

use std::time::Duration;

use hdrhistogram::Histogram;
use serde_json::{Value, json};

use crate::{
    args::Context,
    failure::Failure,
    format::{histogram, size::grouped},
};

/// What was measured.
pub struct Measured {
    /// What this is, in one line.
    pub title: String,
    pub records: u64,
    /// Bytes of keys and values.
    pub bytes: u64,
    /// From the first record to the last.
    pub elapsed: Duration,
    /// In microseconds, and what they are the latencies of.
    pub latencies: Histogram<u64>,
    pub latency_of: &'static str,
}

impl Measured {
    /// Prints it.
    ///
    /// # Errors
    ///
    /// If the output cannot be written.
    pub fn print(&self, context: &Context) -> Result<(), Failure> {
        context.output.print(|| self.to_text(), || self.to_json())
    }

    fn to_text(&self) -> String {
        // Parts of a record a second are not shown.
        let per_second = self.per_second(self.records) as u64;
        format!(
            "{}\n\n{} records, {:.1} MiB in {:.3} s: {} records/s, {:.1} MiB/s\n\n{}, {}\n\n{}\n{}",
            self.title,
            grouped(self.records),
            mebibytes(self.bytes as f64),
            self.elapsed.as_secs_f64(),
            grouped(per_second),
            mebibytes(self.per_second(self.bytes)),
            self.latency_of,
            "in milliseconds",
            histogram::table(&self.latencies),
            histogram::picture(&self.latencies),
        )
    }

    fn to_json(&self) -> Value {
        let mut value = histogram::to_json(&self.latencies);
        value["title"] = json!(self.title);
        value["records"] = json!(self.records);
        value["bytes"] = json!(self.bytes);
        value["seconds"] = json!(self.elapsed.as_secs_f64());
        value["records_per_second"] = json!(self.per_second(self.records));
        value["mib_per_second"] = json!(mebibytes(self.per_second(self.bytes)));
        value["latency_of"] = json!(self.latency_of);
        value
    }

    fn per_second(&self, count: u64) -> f64 {
        let seconds = self.elapsed.as_secs_f64();
        if seconds > 0.0 {
            count as f64 / seconds
        } else {
            0.0
        }
    }
}

fn mebibytes(bytes: f64) -> f64 {
    bytes / f64::from(1 << 20)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn throughput_is_told() {
        let measured = Measured {
            title: "x".to_owned(),
            records: 2000,
            bytes: 4 << 20,
            elapsed: Duration::from_secs(2),
            latencies: histogram::latencies(),
            latency_of: "nothing",
        };
        assert!(
            measured
                .to_text()
                .contains("2,000 records, 4.0 MiB in 2.000 s: 1,000 records/s, 2.0 MiB/s")
        );
        assert_eq!(measured.to_json()["mib_per_second"], json!(2.0));
    }
}
