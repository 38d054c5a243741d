use std::{
    sync::atomic::{AtomicBool, Ordering::SeqCst},
    task::Context,
};

use bytes::Bytes;
use tokio::sync::oneshot;

use super::{outbox::MAX_BEGUN, *};
use crate::net::budget::RequestBudget;

struct Fixture {
    pipeline: Pipeline,
    budget: RequestBudget,
    memory_used: Gauge,
}

fn fixture(max_requests: usize, max_response_bytes: usize) -> Fixture {
    let memory_used = Gauge::default();
    Fixture {
        pipeline: Pipeline::new(
            PipelineLimits {
                max_requests,
                max_response_bytes,
            },
            ResponseMemory::new(1 << 20, Gauge::default()),
            Gauge::default(),
        ),
        budget: RequestBudget::new(1 << 20, 1 << 20, memory_used.clone()),
        memory_used,
    }
}

impl Fixture {
    /// Pushes a request whose response is what is sent over the returned channel.
    async fn push_later(&self) -> oneshot::Sender<usize> {
        let (sender, receiver) = oneshot::channel();
        let future: LaterReply = Box::pin(async move { Ok(receiver.await.ok().map(frame)) });
        self.pipeline
            .push(Work::Later(future), self.budget.reserve(100).await);
        sender
    }
}

/// A response of one piece of this size.
fn frame(size_bytes: usize) -> Frame {
    let mut writer = fjord_wire::Writer::new();
    for _ in 0..size_bytes {
        writer.i8(7);
    }
    writer.finish()
}

fn poll_once<F: Future>(future: F) -> Option<F::Output> {
    let mut future = std::pin::pin!(future);
    let mut context = Context::from_waker(Waker::noop());
    match future.as_mut().poll(&mut context) {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    }
}

fn sizes(gathered: Option<Gathered>) -> Option<Vec<usize>> {
    match gathered? {
        Gathered::Batch(batch) => Some(batch.chunks.iter().map(Bytes::len).collect()),
        Gathered::Finished | Gathered::Close(_) => Some(vec![]),
    }
}

#[tokio::test]
async fn responses_leave_in_the_order_of_requests() {
    let fixture = fixture(10, 1000);
    let mut outbox = Outbox::new(&fixture.pipeline);
    let first = fixture.push_later().await;
    let second = fixture.push_later().await;
    second.send(2).unwrap();
    assert_eq!(
        sizes(poll_once(outbox.gather(1000))),
        None,
        "the first is not done"
    );
    assert_eq!(
        fixture.memory_used.get(),
        100,
        "the second gave its memory back"
    );
    first.send(1).unwrap();
    assert_eq!(sizes(poll_once(outbox.gather(1000))), Some(vec![1, 2]));
}

#[tokio::test]
async fn a_response_in_turn_is_not_made_before_all_earlier_ones() {
    let fixture = fixture(10, 1000);
    let mut outbox = Outbox::new(&fixture.pipeline);
    let first = fixture.push_later().await;
    let is_made = Arc::new(AtomicBool::new(false));
    let made = Arc::clone(&is_made);
    let future: LaterReply = Box::pin(async move {
        made.store(true, SeqCst);
        Ok(Some(frame(2)))
    });
    let memory = fixture.budget.reserve(100).await;
    fixture.pipeline.push(Work::InTurn(future), memory);
    let third = fixture.push_later().await;
    third.send(3).unwrap();
    assert_eq!(sizes(poll_once(outbox.gather(1000))), None);
    assert!(!is_made.load(SeqCst), "the first is not done");
    first.send(1).unwrap();
    assert_eq!(sizes(poll_once(outbox.gather(1000))), Some(vec![1, 2, 3]));
}

#[tokio::test]
async fn the_count_of_requests_is_bounded_until_written() {
    let fixture = fixture(2, 1000);
    let mut outbox = Outbox::new(&fixture.pipeline);
    for _ in 0..2 {
        assert!(poll_once(fixture.pipeline.room()).is_some());
        fixture.push_later().await.send(5).unwrap();
    }
    assert!(poll_once(fixture.pipeline.room()).is_none());
    let Some(Gathered::Batch(batch)) = poll_once(outbox.gather(1000)) else {
        panic!("both responses are ready");
    };
    assert!(
        poll_once(fixture.pipeline.room()).is_none(),
        "gathered is not written"
    );
    outbox.written(batch);
    assert!(poll_once(fixture.pipeline.room()).is_some());
    assert!(fixture.pipeline.is_idle());
}

#[tokio::test]
async fn responses_over_the_limit_are_not_made() {
    let fixture = fixture(10, 100);
    let mut outbox = Outbox::new(&fixture.pipeline);
    let first = fixture.push_later().await;
    for _ in 0..5 {
        fixture.push_later().await.send(60).unwrap();
    }
    assert_eq!(sizes(poll_once(outbox.gather(1000))), None);
    // Two of 60 bytes reach the limit of 100; three others and the first still hold memory.
    assert_eq!(fixture.memory_used.get(), 400);
    assert_eq!(fixture.pipeline.lock().waiting_bytes, 120);
    assert!(
        poll_once(fixture.pipeline.room()).is_none(),
        "no further request is read"
    );
    first.send(60).unwrap();
    assert_eq!(sizes(poll_once(outbox.gather(1000))), Some(vec![60; 3]));
}

#[tokio::test]
async fn what_was_begun_is_polled_to_its_end() {
    let fixture = fixture(10, 100);
    let mut outbox = Outbox::new(&fixture.pipeline);
    let _first = fixture.push_later().await;
    let large = fixture.push_later().await;
    let small = fixture.push_later().await;
    assert_eq!(sizes(poll_once(outbox.gather(1000))), None);
    large.send(100).unwrap();
    assert_eq!(sizes(poll_once(outbox.gather(1000))), None);
    small.send(1).unwrap();
    fixture.push_later().await.send(1).unwrap();
    assert_eq!(sizes(poll_once(outbox.gather(1000))), None);
    assert_eq!(
        fixture.pipeline.lock().waiting_bytes,
        101,
        "the third ran already, the fourth must wait"
    );
}

#[tokio::test]
async fn what_was_begun_goes_on_while_a_batch_is_written() {
    let fixture = fixture(10, 1000);
    let mut outbox = Outbox::new(&fixture.pipeline);
    fixture.push_later().await.send(1).unwrap();
    let begun = fixture.push_later().await;
    let Some(Gathered::Batch(batch)) = poll_once(outbox.gather(1000)) else {
        panic!("the first response is ready");
    };
    begun.send(2).unwrap();
    fixture.push_later().await.send(3).unwrap();
    assert!(poll_once(outbox.go_on()).is_none());
    assert_eq!(fixture.pipeline.lock().waiting_bytes, 1 + 2);
    outbox.written(batch);
    assert_eq!(sizes(poll_once(outbox.gather(1000))), Some(vec![2, 3]));
}

#[tokio::test]
async fn few_second_stages_run_at_once() {
    let fixture = fixture(20, 1000);
    let mut outbox = Outbox::new(&fixture.pipeline);
    let mut running = vec![];
    for _ in 0..MAX_BEGUN {
        running.push(fixture.push_later().await);
    }
    fixture.push_later().await.send(1).unwrap();
    assert_eq!(sizes(poll_once(outbox.gather(1000))), None);
    assert_eq!(fixture.pipeline.lock().waiting_bytes, 0);
    running.pop().unwrap().send(1).unwrap();
    assert_eq!(sizes(poll_once(outbox.gather(1000))), None);
    assert_eq!(fixture.pipeline.lock().waiting_bytes, 2);
}

#[tokio::test]
async fn a_request_without_response_keeps_the_order_and_frees_its_place() {
    let fixture = fixture(10, 100);
    let mut outbox = Outbox::new(&fixture.pipeline);
    drop(fixture.push_later().await);
    let Some(Gathered::Batch(batch)) = poll_once(outbox.gather(1000)) else {
        panic!("the request is done");
    };
    assert!(batch.chunks.is_empty());
    outbox.written(batch);
    assert!(fixture.pipeline.is_idle());
    fixture.pipeline.finish_pushing();
    assert!(matches!(
        poll_once(outbox.gather(1000)),
        Some(Gathered::Finished)
    ));
}
