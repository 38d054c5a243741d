//! `feature/<name>`: the finalized level of a feature (KIP-584), which all brokers keep to. A tombstone
//! stands for level 0: the feature is off.

use serde::{Deserialize, Serialize};

use super::Body;

/// The level of a feature that is in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FeatureRecord {
    /// At least 1.
    pub level: i16,
}

impl Body for FeatureRecord {
    const VERSION: u32 = 0;
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::metadata::records::{Record, check_round_trip};

    proptest! {
        #[test]
        fn round_trip(name in "[a-z.]{1,20}", level: Option<i16>) {
            let value = level.map(|level| FeatureRecord { level });
            check_round_trip(&Record::Feature { name, value });
        }
    }
}
