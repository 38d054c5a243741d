//! The shell around the pure parts: one command at a time is decided, made durable, applied, shown to
//! the observer, and published.
//!
//! ```text
//!   execute ─► [one at a time] decide(image) ─► append + sync ─► apply ─► observer ─► publish ─► answer
//! ```

use std::{future::Future, pin::Pin, sync::Arc};

use tokio::sync::{Mutex, watch};
use tracing::{error, info};

use super::{
    Delta, Image,
    commands::{self, Answer, Command, Conditions, Request},
    delta::Touched,
    records::{DecodeError, EncodedRecord, Record},
};
use crate::clock::now_ms;

/// What a command decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision<T> {
    /// What has to become durable, in order; nothing if nothing changes.
    pub records: Vec<Record>,
    /// What the caller is told once that has happened.
    pub outcome: T,
}

/// Why the metadata log did not take records.
#[derive(Debug, Clone, thiserror::Error)]
#[error("the metadata log refused records: {0}")]
pub struct MetadataLogError(pub String);

/// A future that a trait object can return.
pub type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// The log that metadata records are kept in.
pub trait MetadataLog: Send + Sync {
    /// Appends the records in their order; the future is ready when all of them are durable. They may
    /// be split into several batches: every prefix of them leaves valid metadata.
    fn append(
        &self,
        records: Vec<EncodedRecord>,
        timestamp_ms: i64,
    ) -> BoxFuture<Result<(), MetadataLogError>>;
}

/// Someone who must have acted on a change before anyone else sees it.
pub trait ImageObserver: Send + Sync {
    /// Called for each change, in order, between its durability and its publication. It must not block
    /// for long, since no other command goes on meanwhile.
    fn before_publish(&self, old: &Image, new: &Image, delta: &Delta);
}

impl ImageObserver for Vec<Box<dyn ImageObserver>> {
    fn before_publish(&self, old: &Image, new: &Image, delta: &Delta) {
        for observer in self {
            observer.before_publish(old, new, delta);
        }
    }
}

/// Why a command was not carried out.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ExecuteError {
    /// The log did not take the records, and the metadata is as before. Where the failure came after a
    /// write, the records may still appear at the next start.
    #[error(transparent)]
    Log(#[from] MetadataLogError),
    /// The broker is stopping, or this or an earlier command panicked.
    #[error("the metadata store stopped before the command was carried out")]
    Stopped,
    /// Nothing was changed. It may work in a moment, when the brokers have elected a leader of the quorum.
    #[error("the metadata's quorum has no leader that can be reached; nothing was changed")]
    NoController,
    /// The leader of the quorum was lost underway.
    #[error("whether the metadata was changed is not known: its quorum's leader was lost underway")]
    OutcomeUnknown,
    /// The command was carried out, but this broker is behind.
    #[error("the metadata was changed, but this broker has not seen that in time")]
    NotSeen,
    /// The leader of the quorum, or this broker, is of a release that does not understand the other's.
    #[error("the brokers do not understand each other: {0}")]
    Misunderstood(String),
}

/// Decides commands somewhere else: at the leader of the metadata's quorum.
pub trait Decider: Send + Sync {
    /// Has a command carried out. The future is ready when this broker shows the metadata with it.
    fn submit(&self, command: Command) -> BoxFuture<Result<Answer, ExecuteError>>;
}

/// Why the metadata could not be read at start.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// A record that this program does not understand.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// The records contradict each other.
    #[error("the metadata log replays to invalid metadata: {0}")]
    Invalid(String),
}

/// A cheap handle to the metadata: reads it, and changes it by commands. Of the only broker of a cluster it is the
/// whole store; of one of several it is the way to the quorum.
#[derive(Clone)]
pub struct MetadataStore {
    published: Arc<watch::Sender<Arc<Image>>>,
    place: Place,
}

/// Where commands are decided.
#[derive(Clone)]
enum Place {
    Here(Arc<Inner>),
    Elsewhere(Arc<dyn Decider>),
}

struct Inner {
    log: Box<dyn MetadataLog>,
    observer: Box<dyn ImageObserver>,
    conditions: Conditions,
    published: Arc<watch::Sender<Arc<Image>>>,
    /// Held by the command that is being carried out.
    turn: Mutex<Turn>,
}

/// What one command leaves to the next.
#[derive(Default)]
struct Turn {
    /// A command is between its first record and its publication. If the next command finds this set,
    /// that one panicked, and the image may lack what the log has: no command may go on from it.
    is_under_way: bool,
}

/// The image that stored records make, in the order in which they were read.
pub fn replay(records: impl IntoIterator<Item = EncodedRecord>) -> Result<Image, ReplayError> {
    let mut image = Image::default();
    for EncodedRecord { key, value } in records {
        image = image.apply(Record::decode(&key, value.as_deref())?);
    }
    image.validate().map_err(ReplayError::Invalid)?;
    Ok(image)
}

impl MetadataStore {
    /// Starts from a replayed image, which the observer is shown before this returns. `conditions` are
    /// what commands are decided by besides the image.
    pub fn open(
        image: Image,
        log: impl MetadataLog + 'static,
        observer: impl ImageObserver + 'static,
        conditions: Conditions,
    ) -> MetadataStore {
        observer.before_publish(&Image::default(), &image, &Delta::from_nothing(&image));
        info!(
            topics = image.topic_count(),
            partitions = image.partition_count(),
            brokers = image.broker_count(),
            "metadata replayed"
        );
        let published = Arc::new(watch::Sender::new(Arc::new(image)));
        let inner = Inner {
            log: Box::new(log),
            observer: Box::new(observer),
            conditions,
            published: Arc::clone(&published),
            turn: Mutex::default(),
        };
        MetadataStore {
            published,
            place: Place::Here(Arc::new(inner)),
        }
    }

    /// The metadata of a broker of several: images as they are published, commands as `decider` carries them out.
    pub fn of_quorum(
        published: Arc<watch::Sender<Arc<Image>>>,
        decider: Arc<dyn Decider>,
    ) -> MetadataStore {
        MetadataStore {
            published,
            place: Place::Elsewhere(decider),
        }
    }

    /// The metadata as it now is.
    pub fn image(&self) -> Arc<Image> {
        Arc::clone(&self.published.borrow())
    }

    /// Tells of every later image; intermediate ones may be skipped.
    pub fn subscribe(&self) -> watch::Receiver<Arc<Image>> {
        self.published.subscribe()
    }

    /// Carries a request out. Its outcome is returned once its records are durable and published. Dropping the future
    /// does not stop a command that has begun.
    ///
    /// # Errors
    ///
    /// [`ExecuteError`]. Of several brokers, only the last three say that something may have been changed.
    pub async fn submit<R: Request>(&self, request: R) -> Result<R::Outcome, ExecuteError> {
        match &self.place {
            Place::Here(inner) => {
                let deciding = Arc::clone(inner);
                inner
                    .execute(move |image| request.decide(image, &deciding.conditions))
                    .await
            }
            Place::Elsewhere(decider) => {
                let answer = decider.submit(request.into()).await?;
                let kind = answer.kind();
                let other = || ExecuteError::Misunderstood(format!("the answer is to {kind}"));
                R::outcome(answer).ok_or_else(other)
            }
        }
    }

    /// Carries out a command that another broker has handed on.
    pub async fn submit_command(&self, command: Command) -> Result<Answer, ExecuteError> {
        match &self.place {
            Place::Here(inner) => {
                let deciding = Arc::clone(inner);
                inner
                    .execute(move |image| commands::execute(image, &command, &deciding.conditions))
                    .await
            }
            Place::Elsewhere(decider) => decider.submit(command).await,
        }
    }
}

impl Inner {
    /// Carries one command out: `decide` sees the image that all earlier commands made, and its outcome
    /// is returned once its records are durable and published. Dropping the future does not stop a
    /// command that has begun.
    async fn execute<T, F>(self: &Arc<Self>, decide: F) -> Result<T, ExecuteError>
    where
        F: FnOnce(&Image) -> Decision<T> + Send + 'static,
        T: Send + 'static,
    {
        let inner = Arc::clone(self);
        // A task of its own, since a client that goes away must not leave a change durable but unseen.
        let task = tokio::spawn(async move {
            let mut turn = inner.turn.lock().await;
            if turn.is_under_way {
                return Err(ExecuteError::Stopped);
            }
            let old = Arc::clone(&inner.published.borrow());
            let Decision { records, outcome } = decide(&old);
            if !records.is_empty() {
                turn.is_under_way = true;
                let carried_out = inner.carry_out(&old, records).await;
                turn.is_under_way = false;
                carried_out?;
            }
            Ok(outcome)
        });
        task.await.unwrap_or_else(|join_error| {
            if join_error.is_panic() {
                error!(%join_error, "a metadata command panicked");
            }
            Err(ExecuteError::Stopped)
        })
    }

    async fn carry_out(&self, old: &Image, records: Vec<Record>) -> Result<(), MetadataLogError> {
        let encoded = records.iter().map(Record::encode).collect();
        if let Err(log_error) = self.log.append(encoded, now_ms()).await {
            error!(%log_error, records = records.len(), "metadata change failed");
            self.give_up_numbers(old, records);
            return Err(log_error);
        }
        let mut touched = Touched::default();
        let mut new = old.clone();
        for record in records {
            touched.note(&record);
            new = new.apply(record);
        }
        self.observer
            .before_publish(old, &new, &Delta::between(old, &new, &touched));
        self.published.send_replace(Arc::new(new));
        Ok(())
    }

    /// Takes the numbers that failed records would have used out of use. Some of those records may have
    /// reached the disk after all, and whatever they name must never be named by anything else.
    fn give_up_numbers(&self, old: &Image, records: Vec<Record>) {
        let numbers = records.into_iter().filter(hands_out_numbers);
        self.published
            .send_replace(Arc::new(numbers.fold(old.clone(), Image::apply)));
    }
}

fn hands_out_numbers(record: &Record) -> bool {
    matches!(
        record,
        Record::Incarnations(_) | Record::ProducerIds(_) | Record::BrokerEpochs(_)
    )
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex as SyncMutex;

    use super::*;
    use crate::metadata::{
        commands::{
            CreateTopics, CreatedTopic, FenceBroker,
            testing::{CONDITIONS, DEFAULTS, image_with_brokers, new_topic},
        },
        testing::MemoryLog,
    };

    type Seen = Arc<SyncMutex<Vec<Delta>>>;

    struct Recorder(Seen);

    impl ImageObserver for Recorder {
        fn before_publish(&self, _: &Image, _: &Image, delta: &Delta) {
            self.0.lock().unwrap().push(delta.clone());
        }
    }

    fn open(log: &MemoryLog) -> (MetadataStore, Seen) {
        let seen = Seen::default();
        for broker in image_with_brokers(1).brokers() {
            log.push(Record::from(broker.as_ref().clone()).encode());
        }
        let image = replay(log.records()).unwrap();
        (
            MetadataStore::open(image, log.clone(), Recorder(Arc::clone(&seen)), CONDITIONS),
            seen,
        )
    }

    async fn create(store: &MetadataStore, name: &str) -> Result<CreatedTopic, ExecuteError> {
        let request = CreateTopics {
            topics: vec![new_topic(name)],
            defaults: DEFAULTS,
            validate_only: false,
        };
        let created = store.submit(request).await?.unwrap();
        Ok(created.into_iter().next().unwrap().unwrap())
    }

    #[tokio::test]
    async fn what_was_answered_is_replayed() {
        let log = MemoryLog::default();
        let (store, seen) = open(&log);
        create(&store, "a").await.unwrap();
        create(&store, "b").await.unwrap();
        let replayed = replay(log.records()).unwrap();
        assert_eq!(replayed, *store.image());
        let seen = seen.lock().unwrap();
        let created = |delta: &Delta| delta.topics_created.len();
        assert_eq!(seen.iter().map(created).collect::<Vec<_>>(), [0, 1, 1]);
    }

    #[tokio::test]
    async fn a_command_that_was_handed_on_is_carried_out_and_answered_in_bytes() {
        let (store, _) = open(&MemoryLog::default());
        create(&store, "a").await.unwrap();
        let request = FenceBroker {
            broker_id: 0,
            broker_epoch: 0,
            is_silent: false,
        };
        let sent = Command::from(request).encode();
        let command = Command::decode(&sent).unwrap();
        let answer = store.submit_command(command).await.unwrap().encode();
        let outcome = FenceBroker::outcome(Answer::decode(&answer).unwrap());
        assert_eq!(outcome, Some(Ok(3)));
        assert!(store.image().broker(0).unwrap().fenced);
    }

    #[tokio::test]
    async fn concurrent_commands_see_each_other() {
        let (store, _) = open(&MemoryLog::default());
        let tasks: Vec<_> = (0..50)
            .map(|number| {
                let store = store.clone();
                tokio::spawn(async move { create(&store, &format!("t{number}")).await })
            })
            .collect();
        for task in tasks {
            task.await.unwrap().unwrap();
        }
        let image = store.image();
        assert_eq!(image.topic_count(), 50);
        assert_eq!(image.validate(), Ok(()));
    }

    #[tokio::test]
    async fn a_refused_append_changes_nothing() {
        let log = MemoryLog::default();
        let (store, seen) = open(&log);
        log.set_refusing(true);
        assert!(matches!(
            create(&store, "a").await,
            Err(ExecuteError::Log(_))
        ));
        assert_eq!(store.image().topic_count(), 0);
        assert_eq!(seen.lock().unwrap().len(), 1);
        log.set_refusing(false);
        create(&store, "a").await.unwrap();
        assert_eq!(store.image().topic_count(), 1);
    }

    #[tokio::test]
    async fn records_that_were_refused_but_written_do_no_harm() {
        let log = MemoryLog::default();
        let (store, _) = open(&log);
        log.set_refusing_after_write(true);
        assert!(create(&store, "a").await.is_err());
        log.set_refusing_after_write(false);
        create(&store, "b").await.unwrap();
        let after_a = replay(log.records()).unwrap();
        assert_eq!(after_a.topic_count(), 2);
        assert_eq!(after_a.topic("b"), store.image().topic("b"));
        create(&store, "a").await.unwrap();
        assert_eq!(replay(log.records()).unwrap(), *store.image());
    }

    #[tokio::test]
    async fn after_a_panic_between_log_and_image_no_command_goes_on() {
        struct Panics;
        impl ImageObserver for Panics {
            fn before_publish(&self, _: &Image, _: &Image, delta: &Delta) {
                assert!(delta.topics_created.is_empty(), "the panic of this test");
            }
        }
        let image = image_with_brokers(1);
        let store = MetadataStore::open(image, MemoryLog::default(), Panics, CONDITIONS);
        assert!(matches!(
            create(&store, "a").await,
            Err(ExecuteError::Stopped)
        ));
        assert!(matches!(
            create(&store, "a").await,
            Err(ExecuteError::Stopped)
        ));
        assert_eq!(store.image().topic_count(), 0);
    }

    #[tokio::test]
    async fn a_caller_that_goes_away_does_not_stop_its_command() {
        let (store, _) = open(&MemoryLog::default());
        let mut images = store.subscribe();
        let command = create(&store, "a");
        let mut command = Box::pin(command);
        // The first poll starts the command; then the caller is gone.
        std::future::poll_fn(|context| {
            assert!(command.as_mut().poll(context).is_pending());
            std::task::Poll::Ready(())
        })
        .await;
        drop(command);
        images
            .wait_for(|image| image.topic_count() == 1)
            .await
            .unwrap();
    }

    #[test]
    fn ten_thousand_topics_one_by_one_are_quick() {
        let mut image = image_with_brokers(1);
        let start = std::time::Instant::now();
        for number in 0..10_000 {
            let topic = new_topic(&format!("topic.{number}"));
            let decision = commands::create_topics(&image, &[topic], DEFAULTS).unwrap();
            image = decision.records.into_iter().fold(image, Image::apply);
        }
        assert_eq!(image.partition_count(), 30_000);
        assert_eq!(image.validate(), Ok(()));
        // Two hundred times what it takes; quadratic copying would be far beyond it.
        assert!(start.elapsed().as_secs() < 60, "{:?}", start.elapsed());
    }
}
