//! What brokers have on their disks: in all, and of each partition.

use std::collections::BTreeMap;

use fjord_wire::messages::{
    describe_log_dirs_request::{DescribableLogDirTopic, DescribeLogDirsRequest},
    describe_log_dirs_response::DescribeLogDirsResult,
};
use tonic::Status;

use super::{backend::Client, error, topics::numbers};
use crate::metadata::{Topic, plan::PartitionKey};

/// The disks of one broker, in bytes.
#[derive(Debug, Default)]
pub struct Disks {
    /// What its partitions take.
    pub size: i64,
    /// The size of its disks; 0 if it is not known.
    pub total: i64,
    /// What is free there; 0 if it is not known.
    pub free: i64,
    /// The size of each partition.
    pub partitions: BTreeMap<PartitionKey, i64>,
}

/// The disks by broker, with all partitions or with those of one topic only. Brokers that do not answer are left out.
///
/// # Errors
///
/// If they must not be told.
pub async fn by_broker(
    client: &Client,
    topic: Option<&Topic>,
) -> Result<BTreeMap<i32, Disks>, Status> {
    let named = |topic: &Topic| {
        vec![DescribableLogDirTopic {
            topic: topic.name.to_string(),
            partitions: numbers(topic),
        }]
    };
    let request = DescribeLogDirsRequest {
        topics: topic.map(named),
    };
    let mut by_broker = BTreeMap::new();
    for (broker, response) in client.log_dirs(request).await {
        error::check(response.error_code, None)?;
        let mut disks = Disks::default();
        for directory in response.results {
            error::check(directory.error_code, None)?;
            disks.add(directory);
        }
        by_broker.insert(broker, disks);
    }
    Ok(by_broker)
}

impl Disks {
    fn add(&mut self, directory: DescribeLogDirsResult) {
        self.total += directory.total_bytes.max(0);
        self.free += directory.usable_bytes.max(0);
        for topic in directory.topics {
            for partition in topic.partitions {
                let index = usize::try_from(partition.partition_index).unwrap_or(usize::MAX);
                let key = (topic.name.as_str().into(), index);
                *self.partitions.entry(key).or_default() += partition.partition_size;
                self.size += partition.partition_size;
            }
        }
    }
}

/// The size of the largest replica of each partition: followers that catch up have less.
pub fn largest(disks: BTreeMap<i32, Disks>) -> BTreeMap<PartitionKey, u64> {
    let mut largest: BTreeMap<PartitionKey, u64> = BTreeMap::new();
    for (key, size) in disks.into_values().flat_map(|disks| disks.partitions) {
        let size = u64::try_from(size).unwrap_or(0);
        let known = largest.entry(key).or_default();
        *known = size.max(*known);
    }
    largest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partition_is_as_large_as_its_largest_replica() {
        let broker = |sizes: &[(usize, i64)]| Disks {
            partitions: sizes
                .iter()
                .map(|(index, size)| (("t".into(), *index), *size))
                .collect(),
            ..Disks::default()
        };
        let disks = BTreeMap::from([(1, broker(&[(0, 10), (1, 7)])), (2, broker(&[(0, 12)]))]);
        let sizes: Vec<u64> = largest(disks).into_values().collect();
        assert_eq!(sizes, [12, 7]);
    }
}
