//! Where the logs of a leader and a follower begin to differ: KIP-101 with KIP-279's way for several failovers
//! in a row. Pure.

/// What a leader says to a follower that wants to follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Agreement {
    /// The follower has nothing that the leader has not.
    Agrees,
    /// The follower has records that the leader has not, or other ones: the leader's newest epoch up to the follower's
    /// last one, and where it ends.
    Diverged {
        /// The epoch.
        epoch: i32,
        /// The offset after its last record at the leader.
        end: u64,
    },
    /// There is no common part: the follower begins anew where the leader's log begins.
    StartAt(u64),
}

/// The end of a follower's log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogTail {
    /// The offset after the last record.
    pub log_end: u64,
    /// The leader epoch of the last record, if there is one.
    pub last_epoch: Option<i32>,
}

/// Compares a follower's log with the leader's, which begins at `log_start` and ends before `log_end`; `end_of` says of an epoch
/// which the leader's greatest one up to it is, and where that ends.
pub fn compare(
    follower: LogTail,
    log_start: u64,
    log_end: u64,
    end_of: impl FnOnce(i32) -> Option<(i32, u64)>,
) -> Agreement {
    if follower.log_end < log_start {
        return Agreement::StartAt(log_start);
    }
    let Some(last_epoch) = follower.last_epoch else {
        return match follower.log_end <= log_end {
            true => Agreement::Agrees,
            false => Agreement::StartAt(log_start),
        };
    };
    match end_of(last_epoch) {
        None => Agreement::StartAt(log_start),
        Some((epoch, end)) if epoch < last_epoch || end < follower.log_end => {
            Agreement::Diverged { epoch, end }
        }
        Some(_) => Agreement::Agrees,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A log as the epochs of its records.
    type Log = Vec<i32>;

    fn end_of(log: &Log, epoch: i32) -> Option<(i32, u64)> {
        let found = log.iter().copied().filter(|other| *other <= epoch).max()?;
        let end = log.iter().filter(|other| **other <= found).count();
        Some((found, end as u64))
    }

    fn tail(log: &Log) -> LogTail {
        LogTail {
            log_end: log.len() as u64,
            last_epoch: log.last().copied(),
        }
    }

    /// Where the follower truncates, as [`fjord_log::EpochTable::diverges_at`] has it.
    fn diverges_at(log: &Log, epoch: i32, leader_end: u64) -> u64 {
        end_of(log, epoch).map_or(0, |(_, end)| end).min(leader_end)
    }

    /// Lets the follower ask and truncate until the leader agrees.
    fn settle(leader: &Log, mut follower: Log) -> Log {
        for _ in 0..100 {
            let leader_end = leader.len() as u64;
            match compare(tail(&follower), 0, leader_end, |epoch| {
                end_of(leader, epoch)
            }) {
                Agreement::Agrees => return follower,
                Agreement::StartAt(_) => follower.clear(),
                Agreement::Diverged { epoch, end } => {
                    let point = usize::try_from(diverges_at(&follower, epoch, end)).unwrap();
                    assert!(point < follower.len(), "each round takes something away");
                    follower.truncate(point);
                }
            }
        }
        panic!("leader {leader:?} and follower {follower:?} never agree");
    }

    /// Histories of logs that share a beginning: each leader, of ascending epochs, copies a prefix of some earlier log and
    /// appends. So within an epoch, the same offset is the same record everywhere.
    fn histories() -> impl Strategy<Value = Vec<Log>> {
        let step = (
            any::<prop::sample::Index>(),
            any::<prop::sample::Index>(),
            0usize..4,
        );
        prop::collection::vec(step, 1..8).prop_map(|steps| {
            let mut logs: Vec<Log> = vec![Vec::new()];
            for (epoch, (from, cut, added)) in (1..).zip(steps) {
                let from = &logs[from.index(logs.len())];
                let mut log = from[..cut.index(from.len() + 1)].to_vec();
                log.extend(std::iter::repeat_n(epoch, added));
                logs.push(log);
            }
            logs
        })
    }

    proptest! {
        #[test]
        fn followers_keep_all_that_they_share_and_nothing_else(
            logs in histories(), leader: prop::sample::Index, follower: prop::sample::Index,
        ) {
            let leader = &logs[leader.index(logs.len())];
            let follower = &logs[follower.index(logs.len())];
            let settled = settle(leader, follower.clone());
            prop_assert!(leader.starts_with(&settled));
        }
    }

    #[test]
    fn two_failovers_in_a_row() {
        // KIP-279: offsets 3 and 4 are of other epochs on both sides.
        let leader = vec![1, 1, 1, 3, 3];
        assert_eq!(settle(&leader, vec![1, 1, 1, 2, 2]), [1, 1, 1]);
        assert_eq!(settle(&leader, vec![1, 1, 1, 3]), [1, 1, 1, 3]);
    }

    #[test]
    fn a_log_that_ends_before_the_leaders_begins_is_of_no_use() {
        let follower = LogTail {
            log_end: 3,
            last_epoch: Some(1),
        };
        assert_eq!(
            compare(follower, 5, 9, |_| Some((1, 9))),
            Agreement::StartAt(5)
        );
    }
}
