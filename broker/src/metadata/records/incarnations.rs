//! `incarnations`: the next partition incarnation.
//!
//! An incarnation names the data of one partition of one topic id, for ever. It is written before the
//! topic that uses the numbers, so that no crash and no compaction can make one come back.

use serde::{Deserialize, Serialize};

use super::Body;

/// The next incarnation to hand out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IncarnationsRecord {
    /// Larger than every incarnation that was ever handed out.
    pub next: u64,
}

impl Body for IncarnationsRecord {
    const VERSION: u32 = 0;
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::metadata::records::{Record, check_round_trip};

    proptest! {
        #[test]
        fn round_trip(next: u64) {
            check_round_trip(&Record::Incarnations(IncarnationsRecord { next }));
        }
    }
}
