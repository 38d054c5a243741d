//! Places in partitions, as arguments name them.

use std::{str::FromStr, time::Duration};

use super::{duration::parse_duration, time::parse_millis};

/// A place in a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// `beginning`: the first record that is still there.
    Beginning,
    /// `end`: behind the last record.
    End,
    /// `42`: this offset.
    Offset(i64),
    /// `-10`: so many records before the end.
    Last(i64),
    /// `2013-01-01T10:00:00Z` or `@1356998400000`: the first record that is not older, in milliseconds since 1970.
    Time(i64),
    /// `10m`: the first record that is not older than so long.
    Ago(Duration),
}

impl FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "beginning" | "earliest" => return Ok(Self::Beginning),
            "end" | "latest" => return Ok(Self::End),
            _ => {}
        }
        if let Some(last) = text.strip_prefix('-')
            && let Ok(last) = last.parse::<u32>()
        {
            return Ok(Self::Last(last.into()));
        }
        if let Ok(offset) = text.parse() {
            return Ok(Self::Offset(offset));
        }
        if let Ok(ago) = parse_duration(text) {
            return Ok(Self::Ago(ago));
        }
        parse_millis(text).map(Self::Time).map_err(|_| {
            format!(
                "{text:?} is no place: write beginning, end, an offset (42), so many records before the end (-10), a \
                 time (2013-01-01T10:00:00Z or @1356998400000), or how long ago (10m)"
            )
        })
    }
}

/// So long before `now_ms`; 1970 if that is before, since no record is older.
pub fn millis_ago(ago: Duration, now_ms: i64) -> i64 {
    let ago_ms = i64::try_from(ago.as_millis()).unwrap_or(i64::MAX);
    now_ms.saturating_sub(ago_ms).max(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places() {
        let cases = [
            ("beginning", Place::Beginning),
            ("end", Place::End),
            ("42", Place::Offset(42)),
            ("-10", Place::Last(10)),
            ("@1500", Place::Time(1500)),
            ("1970-01-01T00:00:01Z", Place::Time(1000)),
            ("10m", Place::Ago(Duration::from_secs(600))),
        ];
        for (text, place) in cases {
            assert_eq!(text.parse(), Ok(place), "{text}");
        }
        for wrong in ["", "-", "middle", "--5", "1.5"] {
            assert!(wrong.parse::<Place>().is_err(), "{wrong}");
        }
        assert_eq!(millis_ago(Duration::from_secs(1), 1500), 500);
        assert_eq!(millis_ago(Duration::from_secs(2), 1500), 0);
    }
}
