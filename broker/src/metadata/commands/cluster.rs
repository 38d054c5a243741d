//! The cluster's identity, and the registration of its only broker.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

use uuid::Uuid;

use crate::metadata::{
    Decision, Image,
    records::{BrokerRecord, ClusterRecord, Endpoint, Record},
};

/// A broker that starts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegisterBroker {
    /// `node.id`.
    pub broker_id: i32,
    /// Chosen anew at each start of the process.
    pub incarnation_id: Uuid,
    /// `broker.rack`.
    pub rack: Option<String>,
    /// The advertised listeners.
    pub endpoints: Vec<Endpoint>,
}

/// Gives a new cluster its id; one that has an id keeps it. The outcome is the id in force.
pub fn ensure_cluster_id(image: &Image, new_id: String) -> Decision<String> {
    match image.cluster_id() {
        Some(existing) => Decision {
            records: Vec::new(),
            outcome: existing.to_owned(),
        },
        None => {
            let record = Record::Cluster(ClusterRecord {
                cluster_id: new_id.clone(),
            });
            Decision {
                records: vec![record],
                outcome: new_id,
            }
        }
    }
}

/// Registers the only broker of a cluster, or registers it anew: it is not fenced, and its partitions stay
/// as they are. With others, a broker is registered by [`register`](super::register). The outcome is its
/// epoch.
pub fn register_broker(image: &Image, broker: RegisterBroker) -> Decision<i64> {
    let epoch = image.next_broker_epoch();
    let RegisterBroker {
        broker_id,
        incarnation_id,
        rack,
        endpoints,
    } = broker;
    let record = BrokerRecord {
        broker_id,
        epoch,
        incarnation_id,
        rack,
        endpoints,
        directory_id: Uuid::nil(),
        supported_features: BTreeMap::new(),
        fenced: false,
        silent: false,
        in_controlled_shutdown: false,
    };
    Decision {
        records: vec![Record::from(record)],
        outcome: epoch,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cluster_id_is_given_once() {
        let first = ensure_cluster_id(&Image::default(), "first".into());
        let image = first
            .records
            .into_iter()
            .fold(Image::default(), Image::apply);
        let second = ensure_cluster_id(&image, "second".into());
        assert_eq!(
            second,
            Decision {
                records: vec![],
                outcome: "first".into()
            }
        );
    }

    #[test]
    fn epochs_grow_with_each_registration() {
        let broker = |broker_id| RegisterBroker {
            broker_id,
            incarnation_id: Uuid::nil(),
            rack: None,
            endpoints: vec![],
        };
        let mut image = Image::default();
        for (expected, id) in [(0, 1), (1, 2), (2, 1)] {
            let decision = register_broker(&image, broker(id));
            assert_eq!(decision.outcome, expected);
            image = decision.records.into_iter().fold(image, Image::apply);
        }
        assert_eq!(image.broker_count(), 2);
    }
}
