//! Order, numbers and answers of one partition's batches.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use futures::FutureExt;
use tokio::sync::Semaphore;
use tonic::Code;

use super::{super::delivery::Outcome, *};
use crate::error::ApiError;

const IDENTITY: Identity = Identity {
    producer_id: 7,
    producer_epoch: 0,
};

struct Bench {
    queue: PartitionQueue,
    permits: Arc<Semaphore>,
    now: Instant,
}

impl Bench {
    /// A batch for each record.
    fn new(answered: bool, idempotent: bool) -> Self {
        let limits = Limits {
            batch_bytes: 10,
            quick_bytes: 10,
            linger: Duration::ZERO,
            delivery_timeout: Duration::from_secs(60),
            answered,
            idempotent,
        };
        Self {
            queue: PartitionQueue::new(limits, idempotent.then_some(IDENTITY)),
            permits: Arc::new(Semaphore::new(1000)),
            now: Instant::now(),
        }
    }

    fn push(&mut self, name: &'static str) -> BatchDelivery {
        let permit = Arc::clone(&self.permits)
            .try_acquire_many_owned(10)
            .expect("enough");
        let record = Record {
            value: Some(name.into()),
            ..Record::default()
        };
        self.queue.push(record, 10, permit, self.now).delivery
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

    fn succeed(&mut self) {
        let placed = Placed {
            base_offset: Some(0),
            append_time_ms: None,
            acknowledged: self.now,
        };
        self.queue.succeeded(placed, self.now);
    }

    fn fail(&mut self, reason: &str, retriable: bool) {
        self.queue.failed(error(reason, retriable), self.now);
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

fn answer(delivery: &BatchDelivery) -> Option<Outcome> {
    delivery
        .clone()
        .now_or_never()
        .map(|outcome| outcome.expect("an answer"))
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
    assert_eq!(bench.permits.available_permits(), 1000);
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
    assert_eq!(placed.base_offset, None);
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
    bench.queue.limits.batch_bytes = 25;
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
        batch_bytes: 100,
        quick_bytes: 20,
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
