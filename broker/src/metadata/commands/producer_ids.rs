//! Blocks of producer ids (KIP-730): a broker hands the ids of its block out without asking again, and
//! a block that was begun before a crash is given up.

use serde::{Deserialize, Serialize};
use std::ops::Range;

use crate::metadata::{
    Decision, Image,
    records::{ProducerIdsRecord, Record},
};

/// How many ids a block has; as in Kafka.
pub const PRODUCER_ID_BLOCK_SIZE: i64 = 1000;

/// All 2^63 producer ids were handed out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[error(
    "Exhausted all producerIds as the next block's end producerId has exceeded the int64 type limit"
)]
pub struct ProducerIdsExhausted;

/// Takes the next block out of use. The outcome is its ids.
pub fn allocate_producer_ids(image: &Image) -> Result<Decision<Range<i64>>, ProducerIdsExhausted> {
    let start = image.next_producer_id();
    let end = start
        .checked_add(PRODUCER_ID_BLOCK_SIZE)
        .ok_or(ProducerIdsExhausted)?;
    let record = Record::ProducerIds(ProducerIdsRecord {
        next_producer_id: end,
    });
    Ok(Decision {
        records: vec![record],
        outcome: start..end,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_follow_each_other_to_the_end_of_the_numbers() {
        let first = allocate_producer_ids(&Image::default()).unwrap();
        assert_eq!(first.outcome, 0..1000);
        let image = first
            .records
            .into_iter()
            .fold(Image::default(), Image::apply);
        assert_eq!(allocate_producer_ids(&image).unwrap().outcome, 1000..2000);
        let last = Record::ProducerIds(ProducerIdsRecord {
            next_producer_id: i64::MAX - 10,
        });
        assert_eq!(
            allocate_producer_ids(&image.apply(last)),
            Err(ProducerIdsExhausted)
        );
    }
}
