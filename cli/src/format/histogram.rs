//! Latencies as a table of percentiles and as a picture.

use hdrhistogram::Histogram;
use serde_json::{Value, json};

use super::{size::grouped, table::Table};

/// The percentiles that are told.
const PERCENTILES: [(&str, f64); 6] = [
    ("p50", 50.0),
    ("p90", 90.0),
    ("p95", 95.0),
    ("p99", 99.0),
    ("p99.9", 99.9),
    ("p99.99", 99.99),
];
/// The longest latency that is told apart from longer ones, in microseconds: an hour.
const LONGEST_US: u64 = 3_600_000_000;
/// How long the longest bar of the picture is.
const BAR: usize = 50;

/// An empty histogram of microseconds, exact to three digits.
pub fn latencies() -> Histogram<u64> {
    Histogram::new_with_bounds(1, LONGEST_US, 3).expect("the bounds are valid")
}

/// The percentiles, in milliseconds.
pub fn table(histogram: &Histogram<u64>) -> Table {
    let mut table = Table::new(["LATENCY", "MS"]).right([1]);
    for (name, micros) in values(histogram) {
        table.row([name.to_owned(), millis(micros)]);
    }
    table
}

/// A bar for each range of latencies that occurs: ranges of 1, 2, 5, 10 and so on.
pub fn picture(histogram: &Histogram<u64>) -> String {
    let ranges = ranges(histogram);
    let most = ranges.iter().map(|range| range.count).max().unwrap_or(0);
    let mut table = Table::new(["UP TO MS", "COUNT", "SHARE", ""]).right([0, 1, 2]);
    for range in &ranges {
        // A bar for anything that is there; the product fits, since counts are below 2^58.
        let length = (range.count * BAR as u64).div_ceil(most.max(1)) as usize;
        table.row([
            millis(range.up_to_us),
            grouped(range.count),
            format!("{:.2} %", share(range.count, histogram.len())),
            "█".repeat(length),
        ]);
    }
    table.to_string().replace("  -\n", "\n")
}

/// Percentiles and ranges, in milliseconds.
pub fn to_json(histogram: &Histogram<u64>) -> Value {
    let mut percentiles = json!({ "mean": histogram.mean() / 1000.0 });
    for (name, micros) in values(histogram) {
        percentiles[name] = json!(micros as f64 / 1000.0);
    }
    let ranges: Vec<Value> = ranges(histogram)
        .iter()
        .map(|range| json!({"up_to_ms": range.up_to_us as f64 / 1000.0, "count": range.count}))
        .collect();
    json!({"latency_ms": percentiles, "histogram": ranges})
}

fn values(histogram: &Histogram<u64>) -> Vec<(&'static str, u64)> {
    let mut values = vec![("min", histogram.min())];
    for (name, percentile) in PERCENTILES {
        values.push((name, histogram.value_at_percentile(percentile)));
    }
    values.push(("max", histogram.max()));
    values
}

struct Range {
    up_to_us: u64,
    count: u64,
}

/// From the first range that is not empty to the last.
fn ranges(histogram: &Histogram<u64>) -> Vec<Range> {
    let mut ranges: Vec<Range> = Vec::new();
    let mut ends = ends();
    for step in histogram.iter_recorded() {
        // A histogram keeps values that are nearly the same as one: the lowest of them is in one range.
        let value = histogram.lowest_equivalent(step.value_iterated_to());
        while ranges.last().is_none_or(|range| range.up_to_us < value) {
            let Some(up_to_us) = ends.next() else {
                return ranges;
            };
            if up_to_us >= value || !ranges.is_empty() {
                ranges.push(Range { up_to_us, count: 0 });
            }
        }
        if let Some(range) = ranges.last_mut() {
            range.count += step.count_since_last_iteration();
        }
    }
    ranges
}

/// The ends of ranges: 1, 2, 5, 10 and so on, in microseconds.
fn ends() -> impl Iterator<Item = u64> {
    let powers = (0..).map_while(|exponent| 10_u64.checked_pow(exponent));
    powers.flat_map(|power| [1, 2, 5].map(|factor| power.saturating_mul(factor)))
}

fn share(part: u64, all: u64) -> f64 {
    100.0 * part as f64 / all.max(1) as f64
}

fn millis(micros: u64) -> String {
    format!("{}.{:03}", grouped(micros / 1000), micros % 1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled() -> Histogram<u64> {
        let mut histogram = latencies();
        for micros in 1..=1000 {
            histogram.record(micros).expect("in range");
        }
        histogram
    }

    #[test]
    fn percentiles() {
        let text = table(&filled()).to_string();
        assert!(text.contains("p50"), "{text}");
        assert!(text.contains("0.500"), "{text}");
        assert!(text.contains("1.000"), "{text}");
    }

    #[test]
    fn every_value_is_in_one_range() {
        let ranges = ranges(&filled());
        assert_eq!(ranges.iter().map(|range| range.count).sum::<u64>(), 1000);
        let ends: Vec<u64> = ranges.iter().map(|range| range.up_to_us).collect();
        assert_eq!(ends, [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000]);
        assert_eq!(ranges[9].count, 500);
    }

    #[test]
    fn the_longest_bar_is_the_most_frequent_range() {
        let picture = picture(&filled());
        let last = picture.lines().last().expect("a line");
        assert!(last.ends_with(&"█".repeat(BAR)), "{picture}");
        assert!(last.contains("50.00 %"), "{picture}");
    }

    #[test]
    fn an_empty_histogram_is_no_panic() {
        let empty = latencies();
        assert!(table(&empty).to_string().contains("p99"));
        assert!(picture(&empty).contains("COUNT"));
        assert_eq!(to_json(&empty)["histogram"], json!([]));
    }
}
