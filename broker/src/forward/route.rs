//! Where a request belongs, by the metadata. Pure.

use std::collections::BTreeMap;

use crate::{
    coordinator::groups::partition_of,
    metadata::{Image, image::NO_LEADER, topic_name::CONSUMER_OFFSETS},
};

/// A partition as requests name it: topic and number.
pub type TopicPartition = (String, i32);

/// Where something belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Place {
    /// To this broker, or nowhere else: this one says why.
    Here,
    /// To another broker.
    There(i32),
    /// To a partition that has no leader now.
    Nowhere,
}

impl Place {
    /// The place of a broker, as seen by the broker `this`.
    pub fn of(broker: i32, this: i32) -> Place {
        match broker {
            broker if broker == this => Place::Here,
            NO_LEADER => Place::Nowhere,
            broker => Place::There(broker),
        }
    }
}

/// Where a partition is led. One that does not exist is looked for here, in vain.
pub fn of_partition(image: &Image, this: i32, topic: &str, partition: i32) -> Place {
    let found = image
        .topic(topic)
        .and_then(|topic| topic.partition(partition));
    found.map_or(Place::Here, |partition| Place::of(partition.leader, this))
}

/// Partitions by where they are led.
pub fn by_leader(
    image: &Image,
    this: i32,
    partitions: impl IntoIterator<Item = TopicPartition>,
) -> BTreeMap<Place, Vec<TopicPartition>> {
    let mut places: BTreeMap<Place, Vec<TopicPartition>> = BTreeMap::new();
    for (topic, partition) in partitions {
        let place = of_partition(image, this, &topic, partition);
        places.entry(place).or_default().push((topic, partition));
    }
    places
}

/// Where a group is coordinated: by the leader of its partition of `__consumer_offsets`. Before there is one, this broker
/// says so.
pub fn of_group(image: &Image, this: i32, group: &str) -> Place {
    let Some(topic) = image.topic(CONSUMER_OFFSETS) else {
        return Place::Here;
    };
    let count = i32::try_from(topic.partitions.len()).unwrap_or(i32::MAX);
    match partition_of(group, count) {
        Some(partition) => of_partition(image, this, CONSUMER_OFFSETS, partition),
        None => Place::Here,
    }
}

/// All brokers that may coordinate or lead something.
pub fn of_all(image: &Image, this: i32) -> Vec<Place> {
    let alive = image.brokers().filter(|broker| !broker.fenced);
    alive
        .map(|broker| Place::of(broker.broker_id, this))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metadata::commands::{
        self,
        testing::{DEFAULTS, image_with_brokers, new_topic},
    };

    /// Brokers 0 to 2, which lead partitions 0 to 2 of `t` and of `__consumer_offsets`.
    fn image() -> Image {
        let mut image = image_with_brokers(3);
        for name in ["t", CONSUMER_OFFSETS] {
            let mut topic = new_topic(name);
            topic.assignments = vec![(0, vec![0, 1, 2]), (1, vec![1, 2, 0]), (2, vec![2, 0, 1])];
            let created = commands::create_topics(&image, &[topic], DEFAULTS).unwrap();
            image = created.records.into_iter().fold(image, Image::apply);
        }
        image
    }

    #[test]
    fn partitions_belong_to_their_leaders_and_unknown_ones_here() {
        let image = image();
        assert_eq!(of_partition(&image, 1, "t", 1), Place::Here);
        assert_eq!(of_partition(&image, 1, "t", 2), Place::There(2));
        assert_eq!(of_partition(&image, 1, "t", 3), Place::Here);
        assert_eq!(of_partition(&image, 1, "t", -1), Place::Here);
        assert_eq!(of_partition(&image, 1, "u", 0), Place::Here);
        assert_eq!(Place::of(NO_LEADER, 1), Place::Nowhere);
        let named = [2, 0, 1, 5].map(|partition| ("t".to_owned(), partition));
        let places = by_leader(&image, 0, named);
        let numbers = |place| -> Vec<i32> {
            let partitions = places.get(&place).into_iter().flatten();
            partitions.map(|(_, partition)| *partition).collect()
        };
        assert_eq!(numbers(Place::Here), [0, 5]);
        assert_eq!(numbers(Place::There(1)), [1]);
        assert_eq!(numbers(Place::There(2)), [2]);
    }

    #[test]
    fn a_group_belongs_to_the_leader_of_its_partition() {
        let image = image();
        for group in ["", "a", "my-group", "connect-cluster"] {
            let partition = partition_of(group, 3).unwrap();
            assert_eq!(of_group(&image, 7, group), Place::There(partition));
            assert_eq!(of_group(&image, partition, group), Place::Here);
        }
        assert_eq!(of_group(&image_with_brokers(3), 0, "a"), Place::Here);
    }

    #[test]
    fn all_are_those_that_are_not_fenced() {
        let all = of_all(&image(), 1);
        assert_eq!(all, [Place::There(0), Place::Here, Place::There(2)]);
    }
}
