//! Controlled shutdown (rule 9): leaderships move before the broker stops.

use super::{
    broker_life::{BrokerLifeError, registered},
    fence_broker::with_partitions_first,
    partition_change::ElectionDefaults,
};
use crate::metadata::{Decision, Image, records::Record};

/// Hands the leaderships of a broker over and takes it out of all in-sync replicas. It stays registered
/// and unfenced, but cannot come back before it has registered again. The outcome is the number of
/// partitions that changed.
pub fn begin_controlled_shutdown(
    image: &Image,
    broker_id: i32,
    broker_epoch: i64,
    defaults: ElectionDefaults,
) -> Result<Decision<usize>, BrokerLifeError> {
    let mut broker = registered(image, broker_id, broker_epoch)?;
    if broker.in_controlled_shutdown {
        return Ok(Decision {
            records: Vec::new(),
            outcome: 0,
        });
    }
    broker.in_controlled_shutdown = true;
    Ok(with_partitions_first(
        image,
        Record::from(broker),
        broker_id,
        defaults,
    ))
}

/// Fences a broker that has flushed its log and written its clean marker.
pub fn finish_controlled_shutdown(
    image: &Image,
    broker_id: i32,
    broker_epoch: i64,
) -> Result<Decision<()>, BrokerLifeError> {
    let mut broker = registered(image, broker_id, broker_epoch)?;
    if !broker.in_controlled_shutdown {
        return Err(BrokerLifeError::NotShuttingDown(broker_id));
    }
    let mut records = Vec::new();
    if !broker.fenced {
        broker.fenced = true;
        records.push(Record::from(broker));
    }
    Ok(Decision {
        records,
        outcome: (),
    })
}
