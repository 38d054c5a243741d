//! Where a member was behind each response, so that a commit can name a response in place of offsets.
//!
//! ```text
//!   1 assigned ─► 2 records ─► 3 records ─► 4 positioned ─► 5 records        commit through 3
//!                                                                            notes the places behind 3
//! ```

use std::collections::{BTreeMap, VecDeque};

use fjord_proto::v1::CommittedOffset;

/// Responses behind which the places are remembered. A client that commits has far fewer under way.
const MOST_STEPS: usize = 4096;

type Partition = (String, i32);

/// A response that moved a partition's place.
#[derive(Debug)]
struct Step {
    sequence: u64,
    partition: Partition,
    next_offset: i64,
}

/// Why the places behind a response are not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unknown {
    /// The partitions of that time are given back.
    #[error(
        "the partitions that the member had then were given back; their records may be read again"
    )]
    GivenBack,
    /// Too much has come since.
    #[error(
        "the broker remembers the last {MOST_STEPS} responses; commit offsets, or a later response"
    )]
    Forgotten,
}

/// The places of the partitions that are assigned, as they were behind each response.
#[derive(Debug, Default)]
pub struct Progress {
    /// The response that assigned the partitions.
    assigned: u64,
    /// Before this response, nothing is known any more.
    oldest: u64,
    /// The places before the first step, where they are not committed.
    places: BTreeMap<Partition, i64>,
    steps: VecDeque<Step>,
}

impl Progress {
    /// The partitions are others from a response on.
    pub fn assign(&mut self, sequence: u64, starts: impl IntoIterator<Item = (Partition, i64)>) {
        *self = Self {
            assigned: sequence,
            oldest: sequence,
            places: starts.into_iter().collect(),
            steps: VecDeque::new(),
        };
    }

    /// A response moves a partition's place.
    pub fn step(&mut self, sequence: u64, partition: Partition, next_offset: i64) {
        self.steps.push_back(Step {
            sequence,
            partition,
            next_offset,
        });
        if self.steps.len() > MOST_STEPS
            && let Some(first) = self.steps.pop_front()
        {
            self.oldest = first.sequence;
            self.places.insert(first.partition, first.next_offset);
        }
    }

    /// The places behind a response that are not committed yet.
    ///
    /// # Errors
    ///
    /// If they are not known.
    pub fn through(&mut self, sequence: u64) -> Result<Vec<CommittedOffset>, Unknown> {
        if sequence < self.assigned {
            return Err(Unknown::GivenBack);
        }
        if sequence < self.oldest {
            return Err(Unknown::Forgotten);
        }
        let behind = self.steps.partition_point(|step| step.sequence <= sequence);
        for step in self.steps.drain(..behind) {
            self.places.insert(step.partition, step.next_offset);
        }
        let offset = |((topic, partition), offset): (&Partition, &i64)| CommittedOffset {
            topic: topic.clone(),
            partition: *partition,
            offset: *offset,
            metadata: String::new(),
        };
        Ok(self.places.iter().map(offset).collect())
    }

    /// All places that [`through`](Self::through) gave are noted, but for some partitions.
    pub fn committed(&mut self, is_refused: impl Fn(&str, i32) -> bool) {
        self.places
            .retain(|(topic, partition), _| is_refused(topic, *partition));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn partition(number: i32) -> Partition {
        ("t".to_owned(), number)
    }

    fn through(progress: &mut Progress, sequence: u64) -> Vec<(i32, i64)> {
        let offsets = progress.through(sequence).unwrap();
        offsets.iter().map(|o| (o.partition, o.offset)).collect()
    }

    /// Assigned by response 1, with records in 2, 3 and 5.
    fn progress() -> Progress {
        let mut progress = Progress::default();
        progress.assign(1, [(partition(0), 10), (partition(1), 20)]);
        progress.step(2, partition(0), 13);
        progress.step(3, partition(1), 25);
        progress.step(5, partition(0), 17);
        progress
    }

    #[test]
    fn what_came_later_is_not_committed() {
        assert_eq!(through(&mut progress(), 1), [(0, 10), (1, 20)]);
        assert_eq!(through(&mut progress(), 2), [(0, 13), (1, 20)]);
        assert_eq!(through(&mut progress(), 4), [(0, 13), (1, 25)]);
        assert_eq!(through(&mut progress(), 9), [(0, 17), (1, 25)]);
    }

    #[test]
    fn what_is_committed_is_not_committed_again_and_what_is_refused_is() {
        let mut progress = progress();
        through(&mut progress, 3);
        progress.committed(|_, partition| partition == 1);
        assert_eq!(through(&mut progress, 3), [(1, 25)]);
        progress.committed(|_, _| false);
        assert_eq!(through(&mut progress, 3), []);
        assert_eq!(through(&mut progress, 5), [(0, 17)]);
    }

    #[test]
    fn a_seek_goes_back() {
        let mut progress = progress();
        progress.step(6, partition(0), 4);
        assert_eq!(through(&mut progress, 5), [(0, 17), (1, 25)]);
        assert_eq!(through(&mut progress, 6), [(0, 4), (1, 25)]);
    }

    #[test]
    fn memory_is_bounded_and_nothing_is_committed_that_is_not_known() {
        let mut progress = progress();
        let last = 5 + MOST_STEPS as u64;
        for sequence in 6..=last {
            progress.step(sequence, partition(1), 20 + sequence as i64);
        }
        assert_eq!(progress.steps.len(), MOST_STEPS);
        assert_eq!(progress.through(4).unwrap_err(), Unknown::Forgotten);
        assert_eq!(through(&mut progress, 5), [(0, 17), (1, 25)]);
        assert_eq!(through(&mut progress, last)[1], (1, 20 + last as i64));
        progress.assign(last + 1, [(partition(0), 17)]);
        assert_eq!(progress.through(last).unwrap_err(), Unknown::GivenBack);
    }
}
