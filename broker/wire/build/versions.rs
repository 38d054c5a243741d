//! Version ranges as the schema files write them ("none", "3", "0-12", "7+"), and the Rust
//! conditions on `version` that they become.

use serde::Deserialize;

/// A range of versions, both ends included; empty when `low > high`.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(try_from = "String")]
pub struct Versions {
    pub low: i16,
    pub high: i16,
}

impl Default for Versions {
    fn default() -> Self {
        Self::NONE
    }
}

impl TryFrom<String> for Versions {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let number = |part: &str| {
            part.parse::<i16>()
                .map_err(|error| format!("versions {text:?}: {error}"))
        };
        if text == "none" {
            Ok(Self::NONE)
        } else if let Some(low) = text.strip_suffix('+') {
            Ok(Self {
                low: number(low)?,
                high: i16::MAX,
            })
        } else if let Some((low, high)) = text.split_once('-') {
            Ok(Self {
                low: number(low)?,
                high: number(high)?,
            })
        } else {
            Ok(Self {
                low: number(&text)?,
                high: number(&text)?,
            })
        }
    }
}

impl Versions {
    pub const NONE: Self = Self { low: 0, high: -1 };

    pub fn is_empty(self) -> bool {
        self.low > self.high
    }

    pub fn contains(self, version: i16) -> bool {
        self.low <= version && version <= self.high
    }

    pub fn intersect(self, other: Self) -> Self {
        let both = Self {
            low: self.low.max(other.low),
            high: self.high.min(other.high),
        };
        if both.is_empty() { Self::NONE } else { both }
    }

    /// A Rust expression that is true when `version` is in this range, given that it is in `valid`.
    pub fn condition(self, valid: Self) -> String {
        let within = self.intersect(valid);
        if within.is_empty() {
            return "false".to_owned();
        }
        match (within.low > valid.low, within.high < valid.high) {
            (false, false) => "true".to_owned(),
            (true, false) => format!("version >= {}", within.low),
            (false, true) => format!("version <= {}", within.high),
            (true, true) => format!("({}..={}).contains(&version)", within.low, within.high),
        }
    }

    /// As the schema files write it, for documentation.
    pub fn describe(self) -> String {
        if self.is_empty() {
            "none".to_owned()
        } else if self.high == i16::MAX {
            format!("{}+", self.low)
        } else if self.low == self.high {
            self.low.to_string()
        } else {
            format!("{}-{}", self.low, self.high)
        }
    }
}
