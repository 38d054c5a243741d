//! Order, numbers and answers of one partition's batches.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use futures::FutureExt;
use tokio::sync::Semaphore;
use tonic::Code;

use super::{
    super::{
        batch::size_bytes,
        delivery::{Delivered, Delivery},
    },
    answers::{DUPLICATE, OUT_OF_ORDER},
    *,
};
use crate::{
    Result,
    error::{ApiError, TOO_LARGE},
};

const IDENTITY: Identity = Identity {
    producer_id: 7,
    producer_epoch: 0,
};

struct Bench {
    queue: PartitionQueue,
    permits: Arc<Semaphore>,
    now: Instant,
}

/// What a record of one letter counts for.
const LETTER: usize = 65;
const PERMITS: usize = 100 * LETTER;

impl Bench {
    /// A batch for each record, and an identity that the broker knows.
    fn new(answered: bool, idempotent: bool) -> Self {
        let limits = Limits {
            batch_bytes: 10,
            quick_bytes: 10,
            linger: Duration::ZERO,
            delivery_timeout: Duration::from_secs(60),
            answered,
            idempotent,
        };
        let mut queue = PartitionQueue::new(limits, idempotent.then_some(IDENTITY));
        queue.identity_known = true;
        Self {
            queue,
            permits: Arc::new(Semaphore::new(PERMITS)),
            now: Instant::now(),
        }
    }

    /// All records that wait are one batch.
    fn of_one_batch(idempotent: bool) -> Self {
        let mut bench = Self::new(true, idempotent);
        bench.queue.limits.batch_bytes = 100 * LETTER;
        bench
    }

    fn push(&mut self, name: &'static str) -> Delivery {
        let value = Some(name.into());
        let bytes = size_bytes(None, value.as_ref(), &[]);
        let permit = Arc::clone(&self.permits)
            .try_acquire_many_owned(bytes as u32)
            .expect("enough");
        let record = Record {
            value,
            ..Record::default()
        };
        let pushed = self.queue.push(record, bytes, permit, self.now);
        Delivery {
            batch: pushed.delivery,
            topic: "t".into(),
            partition: 0,
            place: pushed.place,
        }
    }

    /// What is sent now: the first record's value, and the number.
    fn sent(&mut self) -> Option<(String, Option<i32>)> {
        match self.queue.next(self.now, false) {
            Next::Send(records, sequence) => {
                let value = records[0].value.clone().expect("a value");
                let name = String::from_utf8(value.to_vec()).expect("a name");
                Some((name, sequence.map(|sequence| sequence.first)))
            }
            _ => None,
        }
    }

    /// What is sent now: the first letters of all records, and the number.
    fn sent_all(&mut self) -> Option<(String, Option<i32>)> {
        match self.queue.next(self.now, false) {
            Next::Send(records, sequence) => {
                let letter = |record: Record| record.value.expect("a value")[0] as char;
                let letters = records.into_iter().map(letter).collect();
                Some((letters, sequence.map(|sequence| sequence.first)))
            }
            _ => None,
        }
    }

    fn succeed(&mut self) {
        self.succeed_at(0);
    }

    fn succeed_at(&mut self, base_offset: i64) {
        let placed = Placed {
            base_offset: Some(base_offset),
            append_time_ms: None,
            acknowledged: self.now,
        };
        self.queue.succeeded(placed, self.now);
    }

    fn fail(&mut self, reason: &str, retriable: bool) {
        let _ = self.queue.failed(error(reason, retriable), self.now);
    }

    /// As the producer does it: what follows is small, too.
    fn refuse_size(&mut self) {
        if let Some(bytes) = self.queue.failed(error(TOO_LARGE, false), self.now) {
            self.queue.limit_batches(bytes);
        }
    }

    /// After the longest pause.
    fn later(&mut self) {
        self.now += Duration::from_secs(2);
    }
}

fn error(reason: &str, retriable: bool) -> Error {
    Error::Api(ApiError {
        code: Code::Unknown,
        reason: reason.to_owned(),
        message: reason.to_owned(),
        retriable,
    })
}

fn answer(delivery: &Delivery) -> Option<Result<Delivered>> {
    delivery.clone().now_or_never()
}

/// The offsets of records, all of which are there.
fn offsets(deliveries: &[Delivery]) -> Vec<i64> {
    let offset = |delivery| {
        let delivered = answer(delivery).expect("an answer").expect("a success");
        delivered.offset.expect("it is known")
    };
    deliveries.iter().map(offset).collect()
}

fn named(name: &str, number: i32) -> Option<(String, Option<i32>)> {
    Some((name.to_owned(), Some(number)))
}

#[test]
fn no_more_than_five_are_in_flight() {
    let mut bench = Bench::new(true, true);
    for name in ["a", "b", "c", "d", "e", "f"] {
        drop(bench.push(name));
    }
    for (number, name) in ["a", "b", "c", "d", "e"].into_iter().enumerate() {
        assert_eq!(bench.sent(), named(name, number as i32));
    }
    assert_eq!(bench.sent(), None);
    bench.succeed();
    assert_eq!(bench.sent(), named("f", 5));
}

#[test]
fn what_failed_goes_again_in_order_with_its_numbers() {
    let mut bench = Bench::new(true, true);
    let first = bench.push("a");
    let second = bench.push("b");
    assert_eq!(bench.sent(), named("a", 0));
    assert_eq!(bench.sent(), named("b", 1));
    let third = bench.push("c");
    bench.fail("NOT_LEADER_OR_FOLLOWER", true);
    assert_eq!(
        bench.sent(),
        None,
        "nothing new while something in flight will fail"
    );
    bench.fail(OUT_OF_ORDER, false);
    assert_eq!(bench.sent(), None, "not at once");
    bench.later();
    assert_eq!(bench.sent(), named("a", 0));
    assert_eq!(bench.sent(), named("b", 1));
    assert_eq!(bench.sent(), named("c", 2));
    for _ in 0..3 {
        bench.succeed();
    }
    for delivery in [first, second, third] {
        assert!(answer(&delivery).is_some_and(|outcome| outcome.is_ok()));
    }
    assert!(bench.queue.is_empty());
    assert_eq!(bench.permits.available_permits(), PERMITS);
}

#[test]
fn a_broken_connection_sends_again_what_was_in_flight() {
    let mut bench = Bench::new(true, true);
    for name in ["a", "b"] {
        drop(bench.push(name));
    }
    assert_eq!(bench.sent(), named("a", 0));
    bench.queue.disconnected(&error("", true), bench.now);
    assert_eq!(bench.sent(), named("a", 0));
    assert_eq!(bench.sent(), named("b", 1));
}

#[test]
fn after_a_refusal_the_rest_gets_a_new_identity() {
    let mut bench = Bench::new(true, true);
    let refused = bench.push("a");
    drop(bench.push("b"));
    assert_eq!(bench.sent(), named("a", 0));
    assert_eq!(bench.sent(), named("b", 1));
    bench.fail("RECORD_TOO_LARGE", false);
    assert!(answer(&refused).is_some_and(|outcome| outcome.is_err()));
    assert!(matches!(bench.queue.next(bench.now, false), Next::Wait));
    bench.fail(OUT_OF_ORDER, false);
    bench.later();
    assert!(matches!(bench.queue.next(bench.now, false), Next::Identity));
    bench.queue.renew(Identity {
        producer_id: 8,
        producer_epoch: 0,
    });
    assert_eq!(bench.sent(), named("b", 0));
}

#[test]
fn a_gap_without_a_failure_is_told() {
    let mut bench = Bench::new(true, true);
    let delivery = bench.push("a");
    let _ = bench.sent();
    bench.fail(OUT_OF_ORDER, false);
    assert!(answer(&delivery).is_some_and(|outcome| outcome.is_err()));
}

#[test]
fn an_old_duplicate_is_a_success() {
    let mut bench = Bench::new(true, true);
    let delivery = bench.push("a");
    let _ = bench.sent();
    bench.fail(DUPLICATE, false);
    let placed = answer(&delivery).expect("an answer").expect("a success");
    assert_eq!(placed.offset, None);
}

#[test]
fn what_is_not_delivered_in_time_is_given_up() {
    let mut bench = Bench::new(true, true);
    let sent = bench.push("a");
    let _ = bench.sent();
    bench.queue.disconnected(&error("LOST", true), bench.now);
    bench.now += Duration::from_secs(61);
    let young = bench.push("b");
    bench.queue.expire(bench.now);
    let failed = answer(&sent).expect("an answer").expect_err("too late");
    assert_eq!(failed.reason(), "LOST");
    assert!(answer(&young).is_none());
    // Nobody knows whether "a" is there: its number is not used again.
    assert!(matches!(bench.queue.next(bench.now, false), Next::Identity));
}

#[test]
fn before_the_broker_knows_an_identity_batches_go_one_by_one() {
    let mut bench = Bench::new(true, true);
    bench.queue.renew(IDENTITY);
    for name in ["a", "b", "c"] {
        drop(bench.push(name));
    }
    assert_eq!(bench.sent(), named("a", 0));
    // It would take any number for the first one.
    assert_eq!(bench.sent(), None);
    bench.fail("KAFKA_STORAGE_ERROR", true);
    bench.later();
    assert_eq!(bench.sent(), named("a", 0));
    assert_eq!(bench.sent(), None);
    bench.succeed();
    assert_eq!(bench.sent(), named("b", 1));
    assert_eq!(bench.sent(), named("c", 2));
}

#[test]
fn a_batch_that_is_too_large_goes_in_parts_that_keep_the_numbers() {
    let mut bench = Bench::of_one_batch(true);
    let first: Vec<_> = ["a", "b", "c", "d"].map(|name| bench.push(name)).into();
    assert_eq!(bench.sent_all(), named("abcd", 0));
    let second: Vec<_> = ["e", "f", "g"].map(|name| bench.push(name)).into();
    assert_eq!(bench.sent_all(), named("efg", 4));
    let third = [bench.push("h")];
    bench.refuse_size();
    assert_eq!(bench.sent_all(), None, "nothing overtakes it");
    bench.fail(OUT_OF_ORDER, false);
    // At once, and what would be too large, too, is not even tried.
    for (letters, number) in [("ab", 0), ("cd", 2), ("ef", 4), ("g", 6), ("h", 7)] {
        assert_eq!(bench.sent_all(), named(letters, number));
    }
    assert!(answer(&first[0]).is_none());
    for base_offset in [10, 12, 14, 16, 17] {
        bench.succeed_at(base_offset);
    }
    assert_eq!(offsets(&first), [10, 11, 12, 13]);
    assert_eq!(offsets(&second), [14, 15, 16]);
    assert_eq!(offsets(&third), [17]);
    assert!(bench.queue.is_empty());
    assert_eq!(bench.permits.available_permits(), PERMITS);
}

#[test]
fn a_record_that_is_too_large_fails_alone() {
    let mut bench = Bench::of_one_batch(false);
    let names = ["a", "b", "cccccccccccccccccccccccccccccccccc", "d", "e"];
    let deliveries = names.map(|name| bench.push(name));
    let mut next_offset = 0;
    let mut requests = Vec::new();
    while let Some((letters, _)) = bench.sent_all() {
        if letters.contains('c') {
            bench.refuse_size();
        } else {
            bench.succeed_at(next_offset);
            next_offset += letters.len() as i64;
        }
        requests.push(letters);
    }
    assert_eq!(requests, ["abcde", "abc", "ab", "c", "de"]);
    let [a, b, c, d, e] = deliveries;
    assert_eq!(offsets(&[a, b, d, e]), [0, 1, 2, 3]);
    let refused = answer(&c).expect("an answer").expect_err("a refusal");
    assert_eq!(refused.reason(), TOO_LARGE);
    assert_eq!(bench.permits.available_permits(), PERMITS);
}

#[test]
fn what_may_be_there_is_not_split() {
    let mut bench = Bench::of_one_batch(true);
    let deliveries = ["a", "b"].map(|name| bench.push(name));
    assert_eq!(bench.sent_all(), named("ab", 0));
    bench.queue.disconnected(&error("LOST", true), bench.now);
    bench.queue.limit_batches(LETTER);
    assert_eq!(bench.sent_all(), named("ab", 0), "as it was");
    bench.refuse_size();
    for delivery in &deliveries {
        let failed = answer(delivery).expect("an answer").expect_err("a refusal");
        assert_eq!(failed.reason(), TOO_LARGE);
    }
    assert!(matches!(bench.queue.next(bench.now, false), Next::Identity));
}

#[test]
fn what_may_be_there_gets_no_other_number() {
    let mut bench = Bench::new(true, true);
    let [first, second, third] = ["a", "b", "c"].map(|name| bench.push(name));
    assert_eq!(bench.sent(), named("a", 0));
    assert_eq!(bench.sent(), named("b", 1));
    bench.queue.disconnected(&error("LOST", true), bench.now);
    assert_eq!(bench.sent(), named("a", 0));
    bench.fail("INVALID_RECORD", false);
    assert!(answer(&first).is_some_and(|outcome| outcome.is_err()));
    assert!(answer(&second).is_some_and(|outcome| outcome.is_err()));
    assert!(answer(&third).is_none());
    bench.queue.renew(IDENTITY);
    assert_eq!(bench.sent(), named("c", 0));
}

#[test]
fn what_the_broker_has_not_read_goes_again_at_once() {
    let mut bench = Bench::of_one_batch(true);
    drop(["a", "b"].map(|name| bench.push(name)));
    assert_eq!(bench.sent_all(), named("ab", 0));
    drop(["c", "d"].map(|name| bench.push(name)));
    assert_eq!(bench.sent_all(), named("cd", 2));
    bench.refuse_size();
    bench.queue.unread(bench.now);
    for (letters, number) in [("a", 0), ("b", 1), ("c", 2), ("d", 3)] {
        assert_eq!(bench.sent_all(), named(letters, number));
    }
}

#[test]
fn a_flush_waits_for_all_parts() {
    let mut bench = Bench::of_one_batch(true);
    drop(["a", "b"].map(|name| bench.push(name)));
    let mut deliveries = Vec::new();
    bench.queue.flush(&mut deliveries);
    let waiting = deliveries.pop().expect("one");
    let _ = bench.sent_all();
    bench.refuse_size();
    let _ = (bench.sent_all(), bench.sent_all());
    bench.succeed();
    assert_eq!(waiting.clone().done().now_or_never(), None);
    bench.fail("INVALID_RECORD", false);
    let done = waiting.done().now_or_never().expect("done");
    assert_eq!(done.expect_err("the second").reason(), "INVALID_RECORD");
}

#[test]
fn without_acks_what_is_sent_is_done() {
    let mut bench = Bench::new(false, false);
    let delivery = bench.push("a");
    assert_eq!(bench.sent(), Some(("a".to_owned(), None)));
    assert!(answer(&delivery).is_some_and(|outcome| outcome.is_ok()));
    assert!(bench.queue.is_empty());
}

#[test]
fn a_batch_lingers_unless_it_is_full_or_flushed() {
    let mut bench = Bench::new(true, false);
    bench.queue.limits.linger = Duration::from_millis(5);
    bench.queue.limits.batch_bytes = 2 * LETTER + 5;
    drop(bench.push("a"));
    let due = bench.now + Duration::from_millis(5);
    assert!(matches!(bench.queue.next(bench.now, false), Next::WaitUntil(at) if at == due));
    drop(bench.push("b"));
    let pushed = bench.push("c");
    assert_eq!(bench.sent(), Some(("a".to_owned(), None)));
    assert!(answer(&pushed).is_none());
    assert!(matches!(
        bench.queue.next(bench.now, false),
        Next::WaitUntil(_)
    ));
    bench.queue.flush(&mut Vec::new());
    assert_eq!(bench.sent(), Some(("c".to_owned(), None)));
}

#[test]
fn some_records_do_not_linger_while_nothing_is_under_way() {
    let mut bench = Bench::new(true, false);
    bench.queue.limits = Limits {
        batch_bytes: 10 * LETTER,
        quick_bytes: 2 * LETTER,
        linger: Duration::from_millis(5),
        ..bench.queue.limits
    };
    let now = bench.now;
    drop(bench.push("a"));
    assert!(matches!(bench.queue.next(now, true), Next::WaitUntil(_)));
    drop(bench.push("b"));
    assert!(matches!(bench.queue.next(now, false), Next::WaitUntil(_)));
    assert!(matches!(bench.queue.next(now, true), Next::Send(records, _) if records.len() == 2));
}

#[test]
fn numbers_begin_again_after_the_last() {
    assert_eq!(sequence_after(0, 3), 3);
    assert_eq!(sequence_after(i32::MAX, 1), 0);
    assert_eq!(sequence_after(i32::MAX - 1, 4), 2);
}
