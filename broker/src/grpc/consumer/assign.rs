//! Who gets which partition: Kafka's `range` and `roundrobin`, with the outcome that Kafka's own clients compute,
//! since any member of a group may be the one that assigns.

use std::collections::{BTreeMap, HashMap};

use super::protocol::Partitions;

/// An assignor that members can agree on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Assignor {
    /// Topic by topic, each member a stretch of its partitions.
    Range,
    /// Partition by partition, over all topics, to the members in turn.
    RoundRobin,
}

impl Assignor {
    /// In the order in which this broker's members prefer them; the first is the first of most clients.
    pub const ALL: [Assignor; 2] = [Assignor::Range, Assignor::RoundRobin];

    /// The name in the protocol.
    pub fn name(self) -> &'static str {
        match self {
            Self::Range => "range",
            Self::RoundRobin => "roundrobin",
        }
    }

    /// The one of this name.
    pub fn of_name(name: &str) -> Option<Assignor> {
        Self::ALL
            .into_iter()
            .find(|assignor| assignor.name() == name)
    }

    /// Shares the partitions of topics, of which there are so many, out to members.
    pub fn assign(
        self,
        mut members: Vec<Subscriber>,
        partition_counts: &BTreeMap<String, i32>,
    ) -> HashMap<String, Partitions> {
        // Static members come first, by their instance ids, the others by their member ids, as in Kafka.
        members.sort_by(|a, b| {
            let key = |m: &Subscriber| (m.instance_id.is_none(), m.instance_id.clone());
            key(a)
                .cmp(&key(b))
                .then_with(|| a.member_id.cmp(&b.member_id))
        });
        match self {
            Self::Range => range(&members, partition_counts),
            Self::RoundRobin => round_robin(&members, partition_counts),
        }
    }
}

/// A member, and what it wants to read.
#[derive(Debug, Clone)]
pub struct Subscriber {
    /// The member's id.
    pub member_id: String,
    /// The static member's id.
    pub instance_id: Option<String>,
    /// The topics.
    pub topics: Vec<String>,
}

fn nothing(members: &[Subscriber]) -> HashMap<String, Partitions> {
    let nothing = |member: &Subscriber| (member.member_id.clone(), Partitions::new());
    members.iter().map(nothing).collect()
}

fn give(
    assigned: &mut HashMap<String, Partitions>,
    member: &Subscriber,
    topic: &str,
    partition: i32,
) {
    if let Some(partitions) = assigned.get_mut(&member.member_id) {
        partitions
            .entry(topic.to_owned())
            .or_default()
            .push(partition);
    }
}

fn range(
    members: &[Subscriber],
    partition_counts: &BTreeMap<String, i32>,
) -> HashMap<String, Partitions> {
    let mut assigned = nothing(members);
    for (topic, count) in partition_counts {
        let readers: Vec<_> = members
            .iter()
            .filter(|m| m.topics.contains(topic))
            .collect();
        let Ok(reader_count) = i32::try_from(readers.len()) else {
            continue;
        };
        if reader_count == 0 {
            continue;
        }
        let (each, more) = (count / reader_count, count % reader_count);
        let mut next = 0;
        for (place, reader) in (0..).zip(readers) {
            let end = next + each + i32::from(place < more);
            (next..end).for_each(|partition| give(&mut assigned, reader, topic, partition));
            next = end;
        }
    }
    assigned
}

fn round_robin(
    members: &[Subscriber],
    partition_counts: &BTreeMap<String, i32>,
) -> HashMap<String, Partitions> {
    let mut assigned = nothing(members);
    let mut turn = 0;
    for (topic, count) in partition_counts {
        for partition in 0..*count {
            let order = (0..members.len()).map(|i| (turn + i) % members.len());
            let reader = order
                .into_iter()
                .find(|place| members[*place].topics.contains(topic));
            if let Some(place) = reader {
                give(&mut assigned, &members[place], topic, partition);
                turn = place + 1;
            }
        }
    }
    assigned
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(id: &str, topics: &[&str]) -> Subscriber {
        Subscriber {
            member_id: id.into(),
            instance_id: None,
            topics: topics.iter().map(|t| (*t).to_owned()).collect(),
        }
    }

    fn counts(counts: &[(&str, i32)]) -> BTreeMap<String, i32> {
        counts.iter().map(|(t, n)| ((*t).to_owned(), *n)).collect()
    }

    #[test]
    fn range_is_kafkas() {
        // The example in the documentation of Kafka's RangeAssignor.
        let members = vec![member("C1", &["t0", "t1"]), member("C0", &["t0", "t1"])];
        let assigned = Assignor::Range.assign(members, &counts(&[("t0", 3), ("t1", 3)]));
        let of = |t0: &[i32], t1: &[i32]| {
            Partitions::from([("t0".into(), t0.to_vec()), ("t1".into(), t1.to_vec())])
        };
        assert_eq!(assigned["C0"], of(&[0, 1], &[0, 1]));
        assert_eq!(assigned["C1"], of(&[2], &[2]));
    }

    #[test]
    fn round_robin_is_kafkas() {
        // The second example in the documentation of Kafka's RoundRobinAssignor.
        let members = vec![
            member("C0", &["t0"]),
            member("C1", &["t0", "t1"]),
            member("C2", &["t0", "t1", "t2"]),
        ];
        let assigned =
            Assignor::RoundRobin.assign(members, &counts(&[("t0", 1), ("t1", 2), ("t2", 3)]));
        assert_eq!(assigned["C0"], Partitions::from([("t0".into(), vec![0])]));
        assert_eq!(assigned["C1"], Partitions::from([("t1".into(), vec![0])]));
        let third = Partitions::from([("t1".into(), vec![1]), ("t2".into(), vec![0, 1, 2])]);
        assert_eq!(assigned["C2"], third);
    }

    #[test]
    fn every_partition_has_one_reader_and_who_reads_nothing_gets_nothing() {
        for assignor in Assignor::ALL {
            let members = vec![
                member("a", &["t"]),
                member("b", &["t", "u"]),
                member("c", &[]),
            ];
            let assigned = assignor.assign(members, &counts(&[("t", 5), ("u", 1), ("v", 2)]));
            let mut of_t: Vec<i32> = assigned
                .values()
                .flat_map(|p| p.get("t").cloned().unwrap_or_default())
                .collect();
            of_t.sort_unstable();
            assert_eq!(of_t, [0, 1, 2, 3, 4], "{assignor:?}");
            assert_eq!(assigned["b"]["u"], [0]);
            assert!(assigned["c"].is_empty());
        }
    }
}
