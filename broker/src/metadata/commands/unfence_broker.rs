//! Unfencing: a broker that has caught up with the metadata takes part.

use super::{
    broker_life::{BrokerLifeError, registered},
    partition_change::{ElectionDefaults, change_partitions},
};
use crate::metadata::{Decision, Image, image::NO_LEADER, records::Record};

/// Unfences a broker, and elects it where its return ends a partition's time without a leader. It comes
/// back into the in-sync replicas of the others by AlterPartition. The outcome is the number of
/// partitions that got a leader. Unfencing it again repairs what a log that ended early has left.
pub fn unfence_broker(
    image: &Image,
    broker_id: i32,
    broker_epoch: i64,
    defaults: ElectionDefaults,
) -> Result<Decision<usize>, BrokerLifeError> {
    let mut broker = registered(image, broker_id, broker_epoch)?;
    if broker.in_controlled_shutdown {
        return Err(BrokerLifeError::ShuttingDown(broker_id));
    }
    let mut records = Vec::new();
    if broker.fenced {
        broker.fenced = false;
        broker.silent = false;
        records.push(Record::from(broker));
    }
    let after = records.iter().cloned().fold(image.clone(), Image::apply);
    let elected = change_partitions(
        &after,
        defaults,
        |partition| partition.leader == NO_LEADER && partition.replicas.contains(&broker_id),
        |_| {},
    );
    let outcome = elected.len();
    records.extend(elected);
    Ok(Decision { records, outcome })
}
