//! Points in time: read as people write them, printed as programs read them.

use jiff::{Timestamp, civil, tz::TimeZone};

/// Milliseconds since 1970 as `2013-01-01T10:00:00.000Z`; as the bare number if it is out of range.
pub fn format_millis(millis: i64) -> String {
    match Timestamp::from_millisecond(millis) {
        Ok(time) => format!("{time:.3}"),
        Err(_) => millis.to_string(),
    }
}

/// Reads a point in time, to milliseconds since 1970: `@1700000000000`, or a date or a date and time
/// (`2013-01-01`, `2013-01-01T10:00`), in this machine's time zone unless it names one (`...Z`, `...+01:00`).
///
/// # Errors
///
/// A sentence, if it is none.
pub fn parse_millis(text: &str) -> Result<i64, String> {
    let wrong = || {
        format!(
            "{text:?} is no point in time: write a date (2013-01-01), a date and time (2013-01-01T10:00:00Z), or \
             milliseconds since 1970 (@1356998400000)"
        )
    };
    if let Some(millis) = text.strip_prefix('@') {
        return millis.parse().map_err(|_| wrong());
    }
    if let Ok(time) = text.parse::<Timestamp>() {
        return Ok(time.as_millisecond());
    }
    let local: civil::DateTime = text.parse().map_err(|_| wrong())?;
    let zoned = local.to_zoned(TimeZone::system()).map_err(|_| wrong())?;
    Ok(zoned.timestamp().as_millisecond())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_and_printed() {
        assert_eq!(parse_millis("@1500"), Ok(1500));
        assert_eq!(parse_millis("1970-01-01T00:00:01Z"), Ok(1000));
        assert_eq!(parse_millis("1970-01-01T01:00:00+01:00"), Ok(0));
        assert!(parse_millis("1970-01-02").is_ok());
        assert!(parse_millis("1970-01-02T10:00").is_ok());
        assert!(parse_millis("yesterday").is_err());
        assert!(parse_millis("@").is_err());
        assert_eq!(format_millis(1500), "1970-01-01T00:00:01.500Z");
        assert_eq!(format_millis(i64::MAX), i64::MAX.to_string());
    }
}
