//! An even rate: when each of many is due.

use std::time::{Duration, Instant};

/// Says when each of a row is due, at a rate from a start. What comes late does not shift what follows.
#[derive(Debug, Clone, Copy)]
pub struct Pacer {
    start: Instant,
    per_second: f64,
}

impl Pacer {
    /// `per_second` has to be more than 0.
    pub fn new(start: Instant, per_second: f64) -> Self {
        Self { start, per_second }
    }

    /// When the one with this number is due, from 0.
    pub fn due(&self, number: u64) -> Instant {
        // A double is exact up to 2^53.
        self.start + Duration::from_secs_f64(number as f64 / self.per_second)
    }
}

/// Reads a rate: a number a second, more than 0.
///
/// # Errors
///
/// A sentence, if it is none.
pub fn parse_rate(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(rate) if rate.is_finite() && rate > 0.0 => Ok(rate),
        _ => Err(format!(
            "{text:?} is no rate: write a number of records a second, more than 0"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_due_in_its_turn() {
        let start = Instant::now();
        let pacer = Pacer::new(start, 4.0);
        assert_eq!(pacer.due(0), start);
        assert_eq!(pacer.due(6), start + Duration::from_millis(1500));
    }

    #[test]
    fn rates() {
        assert_eq!(parse_rate("0.5"), Ok(0.5));
        for wrong in ["0", "-1", "x", "inf", "NaN"] {
            assert!(parse_rate(wrong).is_err(), "{wrong}");
        }
    }
}
