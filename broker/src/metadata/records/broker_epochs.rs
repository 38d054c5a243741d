//! `broker-epochs`: the next broker epoch, written when a registration is removed.
//!
//! While a broker is registered, its own record says which epoch was handed out. Once that record is
//! gone, this one keeps its epoch from being handed out again.

use serde::{Deserialize, Serialize};

use super::Body;

/// The next broker epoch to hand out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BrokerEpochsRecord {
    /// Larger than the epoch of every broker that was ever unregistered.
    pub next: i64,
}

impl Body for BrokerEpochsRecord {
    const VERSION: u32 = 0;
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::metadata::records::{Record, check_round_trip};

    proptest! {
        #[test]
        fn round_trip(next: i64) {
            check_round_trip(&Record::BrokerEpochs(BrokerEpochsRecord { next }));
        }
    }
}
