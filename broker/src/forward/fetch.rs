//! Fetches of partitions with several leaders.
//!
//! ```text
//!   each leader: what is there now ─┬─ something ──────────────────────────────┐
//!                                   └─ nothing: waits as long as is left ──────┤
//!   as soon as all were asked once and one has something: the answer ◄─────────┘   (the others are dropped)
//! ```
//!
//! So one that always has something does not keep the others from being heard, and none is waited for that has nothing.
//! A partition that moves has no answer meanwhile; whoever reads asks for it again.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use fjord_wire::{
    Records,
    messages::{
        fetch_request::FetchRequest,
        fetch_response::{FetchResponse, PartitionData},
    },
};
use futures::{StreamExt, future::BoxFuture, stream::FuturesUnordered};
use tokio::time::{Instant, sleep, sleep_until};

use super::{
    outcome::{Failed, Outcome},
    partitions::ByPartition,
    route::{self, Place, TopicPartition},
    router::{Left, PAUSE, Routed, Router},
};

/// How long leaders are waited for that should have answered: one may have been cut off.
const LATE: Duration = Duration::from_millis(100);

/// The most bytes that one leader is asked for, in a message that has room for twice as many: a batch comes whole.
const MOST_BYTES: i32 = 64 << 20;

/// What one leader was asked.
struct Asked {
    place: Place,
    part: FetchRequest,
    /// It was asked to wait.
    waited: bool,
    outcome: Outcome<FetchResponse>,
}

impl Routed for FetchRequest {
    async fn route(router: &Router, version: i16, request: Self) -> Result<FetchResponse, Failed> {
        let wait = Duration::from_millis(u64::try_from(request.max_wait_ms).unwrap_or(0));
        let deadline = Instant::now() + wait;
        let (this, image) = (router.this(), router.image());
        let places = route::by_leader(&image, this, request.partitions());
        let several = places.len() > 1;
        let share = i32::try_from(places.len()).unwrap_or(i32::MAX).max(1);
        let mut round = Round::new(request.min_bytes);
        let mut asking = FuturesUnordered::new();
        for (place, partitions) in places {
            let wanted: HashSet<&TopicPartition> = partitions.iter().collect();
            let mut part = request.only(&wanted);
            part.max_bytes = (request.max_bytes / share).clamp(1, MOST_BYTES);
            if place == Place::Nowhere {
                continue;
            }
            round.not_asked_yet += usize::from(several);
            asking.push(ask(router, version, place, part, !several, deadline));
        }
        // Only then: a partition that stays without a leader must not keep the others busy.
        round.has_moved = asking.is_empty();
        // As soon as it is known, the time at which there is no more waiting.
        let mut end = None;
        while !asking.is_empty() {
            let until = end.unwrap_or(deadline + LATE);
            let asked = tokio::select! {
                biased;
                Some(asked) = asking.next() => asked,
                () = sleep_until(until) => break,
                () = router.broker.stopping.cancelled() => break,
            };
            if let Some((place, part)) = round.take(asked)? {
                asking.push(ask(router, version, place, part, true, deadline));
            }
            if round.is_enough() && round.not_asked_yet == 0 {
                break;
            }
            if end.is_none() && round.is_enough() {
                end = Some(Instant::now() + LATE);
            } else if end.is_none() && round.has_moved {
                end = Some(Instant::now() + PAUSE);
            }
        }
        drop(asking);
        if round.has_moved && !round.is_enough() {
            // Whoever reads asks again at once.
            tokio::select! {
                () = sleep(PAUSE) => {}
                () = router.broker.stopping.cancelled() => {}
            }
        }
        Ok(request.in_order(round.found))
    }
}

/// Asks one leader: to wait for records, or for what is there.
fn ask(
    router: &Router,
    version: i16,
    place: Place,
    part: FetchRequest,
    waits: bool,
    deadline: Instant,
) -> BoxFuture<'_, Asked> {
    let mut request = part.clone();
    let left = deadline.saturating_duration_since(Instant::now());
    request.max_wait_ms = match waits {
        true => i32::try_from(left.as_millis()).unwrap_or(i32::MAX),
        false => 0,
    };
    Box::pin(async move {
        let outcome = router.ask(place, version, request).await;
        Asked {
            place,
            part,
            waited: waits,
            outcome,
        }
    })
}

/// What one fetch has found so far. Pure.
struct Round {
    min_bytes: usize,
    /// Leaders that have not said yet what is there.
    not_asked_yet: usize,
    /// Partitions have moved, or their leader was lost.
    has_moved: bool,
    found: HashMap<TopicPartition, PartitionData>,
}

impl Round {
    fn new(min_bytes: i32) -> Round {
        Round {
            min_bytes: usize::try_from(min_bytes).unwrap_or(0),
            not_asked_yet: 0,
            has_moved: false,
            found: HashMap::new(),
        }
    }

    /// Takes in what a leader said; gives back what it is to wait for, if it had nothing and has not waited.
    fn take(&mut self, asked: Asked) -> Result<Option<(Place, FetchRequest)>, Failed> {
        let Asked {
            place,
            part,
            waited,
            outcome,
        } = asked;
        if !waited {
            self.not_asked_yet = self.not_asked_yet.saturating_sub(1);
        }
        let partitions = part.partitions();
        let mut left = Left::nothing();
        let mut answers = HashMap::new();
        left.take::<FetchRequest>(place, partitions, outcome, &mut answers)?;
        self.has_moved |= !left.errors.is_empty();
        let has_something = is_enough(answers.values(), self.min_bytes);
        let still: HashSet<&TopicPartition> = answers.keys().collect();
        let again =
            (!waited && !has_something && !still.is_empty()).then(|| (place, part.only(&still)));
        self.found.extend(answers);
        Ok(again)
    }

    fn is_enough(&self) -> bool {
        is_enough(self.found.values(), self.min_bytes)
    }
}

/// Whether there are so many bytes, or an error to tell.
fn is_enough<'a>(found: impl Iterator<Item = &'a PartitionData>, min_bytes: usize) -> bool {
    let mut bytes = 0;
    for data in found {
        if data.error_code != 0 {
            return true;
        }
        bytes += data.records.as_ref().map_or(0, Records::len);
    }
    bytes >= min_bytes.max(1)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use fjord_wire::{
        ErrorCode,
        messages::fetch_request::{FetchPartition, FetchTopic},
    };

    use super::*;

    fn part(partitions: &[i32]) -> FetchRequest {
        let partition = |partition: &i32| FetchPartition {
            partition: *partition,
            ..FetchPartition::default()
        };
        FetchRequest {
            topics: vec![FetchTopic {
                topic: "t".to_owned(),
                partitions: partitions.iter().map(partition).collect(),
                ..FetchTopic::default()
            }],
            ..FetchRequest::default()
        }
    }

    /// What the leader of some partitions says: bytes or an error for each.
    fn said(waited: bool, partitions: &[(i32, usize, ErrorCode)]) -> Asked {
        let numbers: Vec<i32> = partitions.iter().map(|(number, ..)| *number).collect();
        let answer = |(number, bytes, code): &(i32, usize, ErrorCode)| {
            let data = PartitionData {
                partition_index: *number,
                error_code: code.code(),
                records: Some(Records::from(Bytes::from(vec![0; *bytes]))),
                ..PartitionData::default()
            };
            (("t".to_owned(), *number), data)
        };
        let response = FetchRequest::response(partitions.iter().map(answer).collect());
        Asked {
            place: Place::There(2),
            part: part(&numbers),
            waited,
            outcome: Outcome::Answered(Some(response), 1),
        }
    }

    #[test]
    fn a_leader_that_has_nothing_is_asked_to_wait_and_one_that_has_is_not() {
        let mut round = Round::new(1);
        round.not_asked_yet = 2;
        let nothing = said(false, &[(0, 0, ErrorCode::None), (1, 0, ErrorCode::None)]);
        let again = round.take(nothing).unwrap();
        assert_eq!(again, Some((Place::There(2), part(&[0, 1]))));
        assert!(!round.is_enough());
        let something = said(false, &[(2, 10, ErrorCode::None)]);
        assert_eq!(round.take(something).unwrap(), None);
        assert!(round.is_enough());
        assert_eq!(round.not_asked_yet, 0);
        let waited = said(true, &[(0, 0, ErrorCode::None)]);
        assert_eq!(round.take(waited).unwrap(), None);
    }

    #[test]
    fn fewer_bytes_than_wanted_are_not_enough_and_an_error_is() {
        let mut round = Round::new(20);
        let some = said(false, &[(0, 15, ErrorCode::None)]);
        assert!(round.take(some).unwrap().is_some());
        assert!(!round.is_enough());
        let failed = said(true, &[(1, 0, ErrorCode::OffsetOutOfRange)]);
        assert_eq!(round.take(failed).unwrap(), None);
        assert!(round.is_enough());
    }

    #[test]
    fn what_has_moved_is_left_out_and_the_rest_goes_on() {
        let mut round = Round::new(1);
        let moved = [
            (0, 0, ErrorCode::NotLeaderOrFollower),
            (1, 0, ErrorCode::None),
        ];
        let again = round.take(said(false, &moved)).unwrap();
        assert_eq!(again, Some((Place::There(2), part(&[1]))));
        assert!(round.has_moved && !round.is_enough());
        assert!(!round.found.contains_key(&("t".to_owned(), 0)));
        let lost = Asked {
            outcome: Outcome::Unknown("lost".to_owned()),
            ..said(true, &[(1, 0, ErrorCode::None)])
        };
        assert_eq!(round.take(lost).unwrap(), None);
    }
}
