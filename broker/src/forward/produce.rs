//! Produce requests of one gRPC call, in their order.
//!
//! ```text
//!   begin ─► is its place in the order kept? ─► here, or over the line to each leader ─► response
//!              ▲ waits, until the earlier requests are settled                            │ moved, lost
//!              └──────────────────────────────────── its turn: all earlier are settled ◄──┘
//! ```
//!
//! Requests follow each other without a wait as long as nothing happens: calls of one line take effect in their order.
//! When a leader moves or is lost, what was under way to it fails, and is sent again one request after the other; new
//! requests wait until then. So an idempotent producer's sequences reach the new leader in their order, and what the old
//! one had written already is recognised there. What has no sequence is sent again only if it certainly was not written.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use fjord_wire::{
    ErrorCode,
    messages::{
        produce_request::ProduceRequest,
        produce_response::{PartitionProduceResponse, ProduceResponse},
    },
};
use tokio::{
    sync::{oneshot, watch},
    time::{Instant, timeout_at},
};

use super::{
    outcome::{Failed, Outcome},
    partitions::ByPartition,
    peer::Line,
    route::{self, Place, TopicPartition},
    router::{Left, Router, decoded},
};
use crate::{
    api::{
        error::ApiError,
        local::{self, Begun},
    },
    net::CloseConnection,
};

/// Requests with sequences that are under way for one partition: as many as its leader recognises (KIP-98).
const IN_FLIGHT: usize = 5;

/// The produce requests of one gRPC call. Clones are one.
#[derive(Clone)]
pub struct Producing {
    router: Router,
    order: Arc<Order>,
}

/// The order of one call's requests.
#[derive(Default)]
struct Order {
    state: Mutex<State>,
    /// Told whenever a request is settled.
    settled: watch::Sender<u64>,
}

#[derive(Default)]
struct State {
    /// The lines to leaders.
    lines: HashMap<i32, Line>,
    /// Where requests for a partition are under way to, and how many.
    under_way: HashMap<TopicPartition, (Way, usize)>,
    /// The requests that are not settled yet, by number.
    open: BTreeSet<u64>,
    /// Those of them that are sent again.
    again: BTreeSet<u64>,
    next: u64,
}

/// The way to a leader.
#[derive(Clone)]
enum Way {
    Here,
    Over(Line),
    Nowhere,
}

impl Way {
    fn is(&self, other: &Way) -> bool {
        match (self, other) {
            (Way::Here, Way::Here) => true,
            (Way::Over(one), Way::Over(other)) => one.is(other) && one.is_alive(),
            _ => false,
        }
    }
}

/// A request that has its place in the order.
pub enum Sent {
    /// In a cluster of one broker.
    Alone(Begun<ProduceRequest>),
    /// In one of several.
    Routed(Box<Pending>),
}

/// A request whose parts are under way.
pub struct Pending {
    job: Job,
    parts: Vec<Part>,
}

/// A request with its place in the order.
struct Job {
    router: Router,
    version: i16,
    request: ProduceRequest,
    deadline: Instant,
    has_sequence: bool,
    place: InOrder,
}

/// The part of a request for one leader.
struct Part {
    place: Place,
    partitions: Vec<TopicPartition>,
    under_way: UnderWay,
}

enum UnderWay {
    Here(Result<Begun<ProduceRequest>, CloseConnection>),
    There(oneshot::Receiver<Outcome<Bytes>>),
    Nowhere,
}

/// A request's place in the order. It is settled when this is dropped.
struct InOrder {
    order: Arc<Order>,
    number: u64,
    partitions: Vec<TopicPartition>,
}

impl Producing {
    /// The requests of a call that takes this way.
    pub fn new(router: Router) -> Producing {
        Producing {
            router,
            order: Arc::default(),
        }
    }

    /// Sends a request behind all earlier ones.
    ///
    /// # Errors
    ///
    /// The request makes no sense.
    pub async fn begin(
        &self,
        version: i16,
        request: ProduceRequest,
    ) -> Result<Sent, CloseConnection> {
        let router = &self.router;
        if router.peers.is_none() {
            let begun = local::begin(router.broker(), router.caller(), version, request).await?;
            return Ok(Sent::Alone(begun));
        }
        let timeout = Duration::from_millis(u64::try_from(request.timeout_ms).unwrap_or(0));
        let deadline = Instant::now() + timeout;
        let has_sequence = has_sequence(&request);
        let (place, ways) = self.place(&request, has_sequence).await;
        let job = Job {
            router: router.clone(),
            version,
            request,
            deadline,
            has_sequence,
            place,
        };
        let parts = job.send(ways).await?;
        Ok(Sent::Routed(Box::new(Pending { job, parts })))
    }

    /// Waits until the request may follow the earlier ones.
    async fn place(&self, request: &ProduceRequest, has_sequence: bool) -> (InOrder, Ways) {
        let mut settled = self.order.settled.subscribe();
        loop {
            settled.borrow_and_update();
            let places = self.router.places(request.partitions());
            if let Some(placed) = self.order.place(&self.router, places, has_sequence) {
                return placed;
            }
            // The order lives as long as this does.
            let _ = settled.changed().await;
        }
    }
}

/// The ways of a request's parts.
type Ways = Vec<(Place, Way, Vec<TopicPartition>)>;

impl Router {
    fn places(
        &self,
        partitions: impl IntoIterator<Item = TopicPartition>,
    ) -> BTreeMap<Place, Vec<TopicPartition>> {
        route::by_leader(&self.image(), self.this(), partitions)
    }
}

impl Order {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The place behind the requests so far; nothing if they must be settled first.
    fn place(
        self: &Arc<Self>,
        router: &Router,
        places: BTreeMap<Place, Vec<TopicPartition>>,
        has_sequence: bool,
    ) -> Option<(InOrder, Ways)> {
        let mut state = self.lock();
        let ways = state.ways(router, places);
        if !state.may_follow(&ways, has_sequence) {
            return None;
        }
        let number = state.next;
        state.next += 1;
        state.open.insert(number);
        let mut partitions = Vec::new();
        for (_, way, of_way) in &ways {
            for partition in of_way {
                let under_way = state.under_way.entry(partition.clone());
                let (known, count) = under_way.or_insert_with(|| (way.clone(), 0));
                known.clone_from(way);
                *count += 1;
                partitions.push(partition.clone());
            }
        }
        if ways.iter().any(|(_, way, _)| matches!(way, Way::Nowhere)) {
            state.again.insert(number);
        }
        drop(state);
        let order = Arc::clone(self);
        let place = InOrder {
            order,
            number,
            partitions,
        };
        Some((place, ways))
    }
}

impl State {
    /// The way to each place, over the line that there is, or a new one.
    fn ways(&mut self, router: &Router, places: BTreeMap<Place, Vec<TopicPartition>>) -> Ways {
        let ways = places.into_iter().map(|(place, partitions)| {
            let way = match (place, &router.peers) {
                (Place::There(broker), Some(peers)) => {
                    let known = self.lines.get(&broker).filter(|line| line.is_alive());
                    let line = known.cloned().unwrap_or_else(|| peers.line(broker));
                    self.lines.insert(broker, line.clone());
                    Way::Over(line)
                }
                (Place::Nowhere, _) => Way::Nowhere,
                (Place::Here | Place::There(_), _) => Way::Here,
            };
            (place, way, partitions)
        });
        ways.collect()
    }

    /// Whether a request may be sent at once: none before it is sent again, and those that are under way for its
    /// partitions go the same way.
    fn may_follow(&self, ways: &Ways, has_sequence: bool) -> bool {
        let most = if has_sequence { IN_FLIGHT } else { usize::MAX };
        let follows = |(_, way, partitions): &(Place, Way, Vec<TopicPartition>)| {
            partitions.iter().all(|partition| {
                let under_way = self.under_way.get(partition);
                under_way.is_none_or(|(earlier, count)| earlier.is(way) && *count < most)
            })
        };
        self.again.is_empty() && ways.iter().all(follows)
    }

    /// Takes a request out.
    fn settle(&mut self, number: u64, partitions: &[TopicPartition]) {
        self.open.remove(&number);
        self.again.remove(&number);
        for partition in partitions {
            if let Some((_, count)) = self.under_way.get_mut(partition) {
                *count -= 1;
                if *count == 0 {
                    self.under_way.remove(partition);
                }
            }
        }
    }
}

impl InOrder {
    /// Whether all earlier requests are settled.
    fn is_first(&self) -> bool {
        self.order.lock().open.first() == Some(&self.number)
    }

    /// Says that this request is sent again, and waits until all earlier ones are settled.
    async fn turn(&self) {
        let mut settled = self.order.settled.subscribe();
        self.order.lock().again.insert(self.number);
        while !self.is_first() {
            if settled.changed().await.is_err() {
                return;
            }
        }
    }
}

impl Drop for InOrder {
    fn drop(&mut self) {
        self.order.lock().settle(self.number, &self.partitions);
        self.order.settled.send_modify(|count| *count += 1);
    }
}

impl Sent {
    /// The response; nothing if the request gets none.
    ///
    /// # Errors
    ///
    /// The request makes no sense.
    pub async fn response(self) -> Result<Option<ProduceResponse>, Failed> {
        match self {
            Sent::Alone(begun) => Ok(begun.response().await?),
            Sent::Routed(pending) => pending.response().await,
        }
    }
}

impl Pending {
    async fn response(self) -> Result<Option<ProduceResponse>, Failed> {
        let Pending { job, mut parts } = self;
        let mut answers = HashMap::new();
        // Whether the earlier requests were settled when this one was sent last.
        let mut had_turn = false;
        loop {
            let mut left = Left::nothing();
            for part in parts {
                job.take(part, had_turn, &mut left, &mut answers).await?;
            }
            if left.errors.is_empty() {
                break;
            }
            had_turn = timeout_at(job.deadline, job.place.turn()).await.is_ok();
            if !had_turn || !job.router.moved(left.position, job.deadline).await {
                for (partition, error) in left.errors {
                    let refused = ProduceRequest::refused(partition.1, &error);
                    answers.insert(partition, refused);
                }
                break;
            }
            let places = job.router.places(left.errors.into_keys());
            let ways = job.place.order.lock().ways(&job.router, places);
            parts = job.send(ways).await?;
        }
        if job.request.acks == 0 {
            return Ok(None);
        }
        Ok(Some(job.request.in_order(answers)))
    }
}

impl Job {
    /// Sends the parts, each over its way.
    async fn send(&self, ways: Ways) -> Result<Vec<Part>, CloseConnection> {
        let mut parts = Vec::with_capacity(ways.len());
        for (place, way, partitions) in ways {
            let wanted: HashSet<&TopicPartition> = partitions.iter().collect();
            let part = self.request.only(&wanted);
            let under_way = match (place, way) {
                (Place::There(broker), Way::Over(line)) => {
                    let call = self.router.message(broker, self.version, &part)?;
                    UnderWay::There(line.send(call).await)
                }
                (_, Way::Nowhere) => UnderWay::Nowhere,
                _ => {
                    let (broker, caller) = (self.router.broker(), self.router.caller());
                    UnderWay::Here(local::begin(broker, caller, self.version, part).await)
                }
            };
            parts.push(Part {
                place,
                partitions,
                under_way,
            });
        }
        Ok(parts)
    }

    /// Waits for one part, and takes in what became of it.
    async fn take(
        &self,
        part: Part,
        had_turn: bool,
        left: &mut Left,
        answers: &mut HashMap<TopicPartition, PartitionProduceResponse>,
    ) -> Result<(), Failed> {
        let Part {
            place,
            partitions,
            under_way,
        } = part;
        let outcome = self.outcome(under_way).await;
        // An old leader may have written them before it was replaced, or lost.
        let may_be_written = !matches!(outcome, Outcome::NotDone(_));
        let mut found = HashMap::new();
        let mut moved = Left::nothing();
        moved.take::<ProduceRequest>(place, partitions, outcome, &mut found)?;
        if may_be_written && !self.has_sequence {
            for (partition, error) in moved.errors.drain() {
                let refused = ProduceRequest::refused(partition.1, &may_be(&error));
                found.insert(partition, refused);
            }
        }
        if !had_turn && self.has_sequence {
            // An earlier request has failed, which is sent again.
            let code = ErrorCode::OutOfOrderSequenceNumber;
            for (partition, answer) in found.extract_if(|_, a| a.error_code == code.code()) {
                let message = answer.error_message;
                moved.errors.insert(partition, ApiError { code, message });
            }
        }
        answers.extend(found);
        left.errors.extend(moved.errors);
        left.position = left.position.max(moved.position);
        Ok(())
    }

    async fn outcome(&self, under_way: UnderWay) -> Outcome<ProduceResponse> {
        match under_way {
            UnderWay::Nowhere => Outcome::NotDone("it has no leader now".to_owned()),
            UnderWay::Here(Err(close)) => Outcome::Refused(close),
            UnderWay::Here(Ok(begun)) => match begun.response().await {
                Ok(response) => Outcome::Answered(response, 0),
                Err(close) => Outcome::Refused(close),
            },
            UnderWay::There(outcome) => match timeout_at(self.deadline, outcome).await {
                Ok(Ok(outcome)) => {
                    let version = self.version;
                    outcome.and_then(|response| decoded::<ProduceRequest>(response, version))
                }
                Ok(Err(_)) => Outcome::Unknown("the connection to it broke".to_owned()),
                Err(_) => Outcome::Unknown("it did not answer in time".to_owned()),
            },
        }
    }
}

/// The error of records that may have been written.
fn may_be(error: &ApiError) -> ApiError {
    let reason = match &error.message {
        Some(message) => message.clone(),
        None => error.code.message().to_owned(),
    };
    ApiError::new(
        error.code,
        format!(
            "{reason}; the records may be written, and are certainly written once only with a sequence"
        ),
    )
}

/// Whether an idempotent producer numbers the batches: the broker has made them, so one stands for all.
fn has_sequence(request: &ProduceRequest) -> bool {
    let mut partitions = request
        .topic_data
        .iter()
        .flat_map(|topic| &topic.partition_data);
    let records = partitions.find_map(|partition| partition.records.as_ref());
    let batch = records.and_then(|records| records.batches().next());
    batch.is_some_and(|batch| batch.is_ok_and(|batch| batch.header.producer_id >= 0))
}
