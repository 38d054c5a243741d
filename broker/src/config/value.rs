//! Text -> value of a config's type -> text again, by Kafka's rules.

use std::time::Duration;

use super::definition::{ConfigDef, ConfigType, Valid};

/// A parsed value that its config's definition accepts.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    Boolean(bool),
    Number(i64),
    Double(f64),
    Text(String),
    List(Vec<String>),
}

impl Value {
    /// Parses and checks `text`. The error says what a valid value looks like, so that it reads as
    /// the end of a sentence that begins with the config's name.
    pub(super) fn parse(definition: &ConfigDef, text: &str) -> Result<Self, String> {
        let value = Self::parse_type(definition.config_type, text)?;
        value.check(definition)?;
        Ok(value)
    }

    fn parse_type(config_type: ConfigType, text: &str) -> Result<Self, String> {
        let trimmed = text.trim();
        match config_type {
            ConfigType::Boolean if trimmed.eq_ignore_ascii_case("true") => Ok(Self::Boolean(true)),
            ConfigType::Boolean if trimmed.eq_ignore_ascii_case("false") => {
                Ok(Self::Boolean(false))
            }
            ConfigType::Boolean => Err("must be true or false".to_owned()),
            ConfigType::Short => parse_number(trimmed, i16::MIN.into(), i16::MAX.into()),
            ConfigType::Int => parse_number(trimmed, i32::MIN.into(), i32::MAX.into()),
            ConfigType::Long => parse_number(trimmed, i64::MIN, i64::MAX),
            ConfigType::Double => match trimmed.parse::<f64>() {
                Ok(number) if number.is_finite() => Ok(Self::Double(number)),
                _ => Err("must be a finite number such as 0.5".to_owned()),
            },
            ConfigType::String => Ok(Self::Text(trimmed.to_owned())),
            // A password may begin or end with a space.
            ConfigType::Password => Ok(Self::Text(text.to_owned())),
            ConfigType::List => Ok(Self::List(split_list(trimmed))),
        }
    }

    fn check(&self, definition: &ConfigDef) -> Result<(), String> {
        match (definition.valid, self) {
            (Valid::AtLeast(low), Self::Number(number)) if *number < low => {
                Err(format!("must be at least {low}"))
            }
            (Valid::Between(low, high), Self::Number(number)) if !(low..=high).contains(number) => {
                Err(format!("must be between {low} and {high}"))
            }
            (Valid::BetweenOr(low, high, other), Self::Number(number))
                if *number != other && !(low..=high).contains(number) =>
            {
                Err(format!("must be {other} or between {low} and {high}"))
            }
            (Valid::Ratio(low, high), Self::Double(number)) if !(low..=high).contains(number) => {
                Err(format!("must be between {low} and {high}"))
            }
            (Valid::OneOf(texts), Self::Text(text)) if !texts.contains(&text.as_str()) => {
                Err(format!("must be one of {}", texts.join(", ")))
            }
            (Valid::OneOf(texts), Self::List(entries)) => {
                match entries
                    .iter()
                    .find(|entry| !texts.contains(&entry.as_str()))
                {
                    Some(entry) => Err(format!(
                        "must be a list of {}, not '{entry}'",
                        texts.join(", ")
                    )),
                    None => Ok(()),
                }
            }
            (Valid::Check(_, check), value) => check(&value.to_text()),
            _ => Ok(()),
        }
    }

    /// The value of a boolean config. This and its siblings panic for a config of another type, which
    /// is a mistake in this module that building any configuration at all brings to light.
    pub(super) fn into_boolean(self) -> bool {
        match self {
            Self::Boolean(value) => value,
            other => panic!("{other:?} is no boolean"),
        }
    }

    /// The value of a short, int or long config.
    pub(super) fn into_number(self) -> i64 {
        match self {
            Self::Number(value) => value,
            other => panic!("{other:?} is no number"),
        }
    }

    /// The value of a short or int config.
    pub(super) fn into_int(self) -> i32 {
        i32::try_from(self.into_number())
            .expect("a value of an int config was checked to be an int")
    }

    /// The value of a short config, or of an int config that ends where a short does.
    pub(super) fn into_short(self) -> i16 {
        i16::try_from(self.into_number()).expect("a value of this config was checked to be a short")
    }

    /// The value of a config whose range lies within 32 bits, without a sign.
    pub(super) fn into_u32(self) -> u32 {
        u32::try_from(self.into_number()).expect("a value of this config was checked to fit")
    }

    /// The value of a config that counts things or bytes; what is negative counts as none.
    pub(super) fn into_size(self) -> usize {
        usize::try_from(self.into_number().max(0)).unwrap_or(usize::MAX)
    }

    /// The value of a config in milliseconds that cannot be negative.
    pub(super) fn into_milliseconds(self) -> Duration {
        Duration::from_millis(self.into_number().max(0).unsigned_abs())
    }

    /// The value of a double config.
    pub(super) fn into_double(self) -> f64 {
        match self {
            Self::Double(value) => value,
            other => panic!("{other:?} is no double"),
        }
    }

    /// The value of a string config.
    pub(super) fn into_text(self) -> String {
        match self {
            Self::Text(value) => value,
            other => panic!("{other:?} is no text"),
        }
    }

    /// The value of a list config.
    pub(super) fn into_list(self) -> Vec<String> {
        match self {
            Self::List(entries) => entries,
            other => panic!("{other:?} is no list"),
        }
    }

    /// The value as Kafka writes it in a DescribeConfigs response.
    pub(super) fn to_text(&self) -> String {
        match self {
            Self::Boolean(value) => value.to_string(),
            Self::Number(value) => value.to_string(),
            Self::Double(value) => double_to_text(*value),
            Self::Text(value) => value.clone(),
            Self::List(entries) => entries.join(","),
        }
    }
}

/// Splits a list at its commas; spaces around entries do not count, empty text is an empty list,
/// and an entry that is there already is dropped.
pub(super) fn split_list(text: &str) -> Vec<String> {
    let mut entries: Vec<String> = Vec::new();
    for entry in text
        .split(',')
        .map(str::trim)
        .filter(|entry| !entry.is_empty())
    {
        if !entries.iter().any(|known| known == entry) {
            entries.push(entry.to_owned());
        }
    }
    entries
}

fn parse_number(text: &str, low: i64, high: i64) -> Result<Value, String> {
    match text.parse::<i64>() {
        Ok(number) if (low..=high).contains(&number) => Ok(Value::Number(number)),
        _ => Err(format!("must be a whole number from {low} to {high}")),
    }
}

/// Java's notation (`1.0`, `1.5E10`), which clients compare with what Kafka answers.
fn double_to_text(value: f64) -> String {
    let magnitude = value.abs();
    if magnitude == 0.0 || (1e-3..1e7).contains(&magnitude) {
        return format!("{value:?}");
    }
    let text = format!("{value:E}");
    match text.split_once('E') {
        Some((mantissa, exponent)) if !mantissa.contains('.') => format!("{mantissa}.0E{exponent}"),
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_are_written_as_java_writes_them() {
        for (value, text) in [
            (0.5, "0.5"),
            (1.0, "1.0"),
            (0.0, "0.0"),
            (9_999_999.0, "9999999.0"),
            (1e7, "1.0E7"),
            (1.5e10, "1.5E10"),
            (0.001, "0.001"),
            (0.0005, "5.0E-4"),
            (f64::MAX, "1.7976931348623157E308"),
        ] {
            assert_eq!(double_to_text(value), text);
        }
    }

    #[test]
    fn lists_drop_spaces_empty_entries_and_repetitions() {
        assert_eq!(split_list(" a, b ,,a "), ["a", "b"]);
        assert_eq!(split_list(""), Vec::<String>::new());
    }

    #[test]
    fn numbers_are_bounded_by_their_type() {
        let check = |config_type, text: &str| Value::parse_type(config_type, text).is_ok();
        assert!(check(ConfigType::Short, "32767"));
        assert!(!check(ConfigType::Short, "32768"));
        assert!(check(ConfigType::Int, " -2147483648 "));
        assert!(!check(ConfigType::Int, "2147483648"));
        assert!(check(ConfigType::Long, "9223372036854775807"));
        assert!(!check(ConfigType::Long, "9223372036854775808"));
        assert!(!check(ConfigType::Long, ""));
        assert!(!check(ConfigType::Long, "1.5"));
        assert!(check(ConfigType::Boolean, "TRUE"));
        assert!(!check(ConfigType::Boolean, "yes"));
        assert!(!check(ConfigType::Double, "NaN"));
    }
}
