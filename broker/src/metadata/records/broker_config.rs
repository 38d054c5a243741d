//! `config/broker` and `config/broker/<id>`: dynamic broker configs (KIP-226).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Body;

/// The configs that were set at run time, for one broker or as the default of all.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BrokerConfigRecord {
    /// Overrides by Kafka's config name.
    pub configs: BTreeMap<String, String>,
}

impl Body for BrokerConfigRecord {
    const VERSION: u32 = 0;
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::metadata::records::{Record, check_round_trip};

    proptest! {
        #[test]
        fn round_trip(broker_id: Option<i32>, configs: Option<BTreeMap<String, String>>) {
            let value = configs.map(|configs| BrokerConfigRecord { configs });
            check_round_trip(&Record::BrokerConfig { broker_id, value });
        }
    }
}
