//! `cluster`: the identity that the cluster was given when its first broker started.

use serde::{Deserialize, Serialize};

use super::Body;

/// Identity of the cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterRecord {
    /// As clients see it: 22 characters of URL-safe base64, as in Kafka.
    pub cluster_id: String,
}

impl Body for ClusterRecord {
    const VERSION: u32 = 0;
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::metadata::records::{Record, check_round_trip};

    proptest! {
        #[test]
        fn round_trip(cluster_id: String) {
            check_round_trip(&Record::Cluster(ClusterRecord { cluster_id }));
        }
    }
}
