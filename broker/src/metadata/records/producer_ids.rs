//! `producer-ids`: the next block of producer ids (KIP-730).

use serde::{Deserialize, Serialize};

use super::Body;

/// The next producer id block to hand out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProducerIdsRecord {
    /// Larger than every producer id of a block that was ever handed out.
    pub next_producer_id: i64,
}

impl Body for ProducerIdsRecord {
    const VERSION: u32 = 0;
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::metadata::records::{Record, check_round_trip};

    proptest! {
        #[test]
        fn round_trip(next_producer_id: i64) {
            check_round_trip(&Record::ProducerIds(ProducerIdsRecord { next_producer_id }));
        }
    }
}
