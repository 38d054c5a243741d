//! UnregisterBroker: a broker that will not come back.

use super::{
    broker_life::BrokerLifeError,
    partition_change::{Distrust, ElectionDefaults},
    register_broker::forget,
};
use crate::metadata::{
    Decision, Image,
    records::{BrokerEpochsRecord, Record},
};

/// Removes a registration. With it goes the knowledge of which data directory the broker had, so its
/// copies count as lost: whoever registers under this id later starts empty. A broker that takes part is
/// therefore refused, which Kafka does not do.
pub fn unregister_broker(
    image: &Image,
    broker_id: i32,
    defaults: ElectionDefaults,
) -> Result<Decision<()>, BrokerLifeError> {
    let broker = image.broker(broker_id);
    let broker = broker.ok_or(BrokerLifeError::NotRegistered(broker_id))?;
    if !broker.fenced {
        return Err(BrokerLifeError::NotFenced(broker_id));
    }
    let removal = Record::Broker {
        broker_id,
        value: None,
    };
    let after = image.clone().apply(removal.clone());
    let distrust = Distrust {
        broker_id,
        is_lost: true,
    };
    let mut records = forget(&after, distrust, defaults);
    // Its epoch must not be handed out again once its record is gone.
    records.push(Record::BrokerEpochs(BrokerEpochsRecord {
        next: image.next_broker_epoch(),
    }));
    records.push(removal);
    Ok(Decision {
        records,
        outcome: (),
    })
}
