//! `broker/<id>`: a broker's registration, written at each of its starts.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::Body;

/// A broker as the others and the clients know it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BrokerRecord {
    /// `node.id`.
    pub broker_id: i32,
    /// Grows with each registration in the cluster; tells a restarted broker from its former self.
    pub epoch: i64,
    /// Chosen anew at each start of the process.
    pub incarnation_id: Uuid,
    /// `broker.rack`.
    pub rack: Option<String>,
    /// The advertised listeners.
    pub endpoints: Vec<Endpoint>,
}

/// One advertised listener.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    /// Listener name, as in `listeners`.
    pub listener: String,
    /// Host that clients connect to.
    pub host: String,
    /// Port that clients connect to.
    pub port: u16,
}

impl Body for BrokerRecord {
    const VERSION: u32 = 0;
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::metadata::records::{Record, check_round_trip};

    proptest! {
        #[test]
        fn round_trip(
            broker_id: i32, epoch: i64, id: u128, rack: Option<String>,
            endpoints: Vec<(String, String, u16)>,
        ) {
            let endpoints = endpoints
                .into_iter()
                .map(|(listener, host, port)| Endpoint { listener, host, port })
                .collect();
            let incarnation_id = Uuid::from_u128(id);
            let record = BrokerRecord { broker_id, epoch, incarnation_id, rack, endpoints };
            check_round_trip(&Record::Broker(record));
        }
    }
}
