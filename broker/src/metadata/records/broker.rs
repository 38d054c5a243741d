//! `broker/<id>`: a broker's registration, written at each of its starts and whenever it is fenced,
//! unfenced or shuts down. A tombstone stands for a broker that was unregistered.
//!
//! Fields that version 0 did not have are read as their defaults, which are those of the only broker of
//! a cluster: neither fenced nor shutting down, its directory not known by an id.

use std::collections::BTreeMap;

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
    /// Names the data directory (KIP-858): another one under the same broker id means that the broker
    /// has lost everything. Nil where it is not known.
    #[serde(default, skip_serializing_if = "Uuid::is_nil")]
    pub directory_id: Uuid,
    /// Features by name, with the lowest and the highest level that the broker supports (KIP-584).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub supported_features: BTreeMap<String, (i16, i16)>,
    /// Whether the broker is kept from leading and from being in sync.
    #[serde(default, skip_serializing_if = "is_false")]
    pub fenced: bool,
    /// Whether it was fenced because it fell silent, though its connection stood.
    #[serde(default, skip_serializing_if = "is_false")]
    pub silent: bool,
    /// Whether the broker has asked to stop, and hands its work over.
    #[serde(default, skip_serializing_if = "is_false")]
    pub in_controlled_shutdown: bool,
}

impl BrokerRecord {
    /// Whether the broker may lead partitions and be in sync.
    pub fn is_active(&self) -> bool {
        !self.fenced && !self.in_controlled_shutdown
    }
}

/// For leaving out what is false.
fn is_false(value: &bool) -> bool {
    !*value
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
    const VERSION: u32 = 1;
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
            endpoints: Vec<(String, String, u16)>, directory_id: u128,
            supported_features: BTreeMap<String, (i16, i16)>, fenced: bool,
            silent: bool, in_controlled_shutdown: bool,
        ) {
            let endpoints = endpoints
                .into_iter()
                .map(|(listener, host, port)| Endpoint { listener, host, port })
                .collect();
            let incarnation_id = Uuid::from_u128(id);
            let record = BrokerRecord {
                broker_id, epoch, incarnation_id, rack, endpoints,
                directory_id: Uuid::from_u128(directory_id), supported_features, fenced, silent,
                in_controlled_shutdown,
            };
            check_round_trip(&Record::from(record));
            check_round_trip(&Record::Broker { broker_id, value: None });
        }
    }

    #[test]
    fn version_0_is_the_only_broker_of_a_cluster() {
        let stored = br#"{"version":0,"body":{"broker_id":1,"epoch":3,"incarnation_id":"00000000-0000-0000-0000-000000000007","rack":null,"endpoints":[]}}"#;
        let Ok(Record::Broker {
            value: Some(broker),
            ..
        }) = Record::decode(b"broker/1", Some(stored))
        else {
            panic!("version 0 is read");
        };
        assert!(broker.is_active() && broker.directory_id.is_nil());
        assert_eq!(broker.epoch, 3);
    }
}
