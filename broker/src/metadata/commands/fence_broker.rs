//! Fencing: a broker that is not heard of any more leads nothing and is in sync with nothing.

use super::{
    FenceBroker,
    broker_life::{BrokerLifeError, registered},
    partition_change::{ElectionDefaults, change_partitions},
};
use crate::metadata::{Decision, Image, Partition, records::Record};

/// Fences a broker. Its leaderships move, it leaves all in-sync replicas, and where too few are left it
/// becomes eligible (rule 7). The outcome is the number of partitions that changed.
pub fn fence_broker(
    image: &Image,
    request: &FenceBroker,
    defaults: ElectionDefaults,
) -> Result<Decision<usize>, BrokerLifeError> {
    let broker_id = request.broker_id;
    let mut broker = registered(image, broker_id, request.broker_epoch)?;
    if broker.fenced {
        return Ok(Decision {
            records: Vec::new(),
            outcome: 0,
        });
    }
    broker.fenced = true;
    broker.silent = request.is_silent;
    Ok(with_partitions_first(
        image,
        Record::from(broker),
        broker_id,
        defaults,
    ))
}

/// Takes a broker out of the partitions as `record` makes it inactive. The partitions' records come
/// first: if the log ends between them, the broker is not fenced, and will be fenced again.
pub(super) fn with_partitions_first(
    image: &Image,
    record: Record,
    broker_id: i32,
    defaults: ElectionDefaults,
) -> Decision<usize> {
    let after = image.clone().apply(record.clone());
    let mut records = change_partitions(&after, defaults, |p| concerns(p, broker_id), |_| {});
    let outcome = records.len();
    records.push(record);
    Decision { records, outcome }
}

/// Whether a broker leads a partition or is in sync with it.
fn concerns(partition: &Partition, broker_id: i32) -> bool {
    partition.leader == broker_id || partition.in_sync_replicas.contains(&broker_id)
}
