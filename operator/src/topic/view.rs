//! What is known of the topics of one cluster, so that hundreds of Topics cost its brokers a few calls.
//!
//! ```text
//!   Survey (all topics)        once per tick        ┐
//!   Details (configs, health)  by topic, per round  ├─► Existing, Health
//!   Recent (own changes)       until surveyed       ┘
//! ```
//!
//! Details are asked for when there are none, when the resource has changed, once per round, and of partitions only
//! while a broker is down or a replica behind.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use fjord_client::{
    Client,
    proto::{
        Config, ConfigResource, ConfigSource, DescribeConfigsRequest, DescribeTopicRequest,
        ListedTopic, config_resource::Resource,
    },
};
use kube::runtime::reflector::ObjectRef;
use tokio::{sync::Semaphore, time::Instant};
use tracing::{info, warn};

use super::{
    Pace,
    health::Health,
    plan::{Configs, Existing},
    spread,
    survey::{Seen, Survey},
};
use crate::{api::Cluster, brokers::Brokers};

/// How many Topics of a cluster are seen to at the same time.
const SEATS: usize = 16;
/// How long after a change another broker may still tell what was before.
const SETTLE: Duration = Duration::from_secs(5);
/// How long brokers that do not answer are left alone at first; it doubles up to twice a tick.
const FIRST_BACKOFF: Duration = Duration::from_secs(5);

/// Why nothing is known of a topic.
#[derive(Debug, thiserror::Error)]
pub enum Trouble {
    /// The brokers do not answer. They are left alone until it is worth trying again.
    #[error("the brokers do not answer")]
    Unreachable {
        /// After this time.
        retry_after: Duration,
    },
    /// What was known is not so any more.
    #[error("the topics have changed")]
    Stale,
    /// The brokers do not tell.
    #[error(transparent)]
    Refused(fjord_client::ApiError),
}

/// The topics of one cluster.
#[derive(Debug)]
pub struct View {
    cluster: ObjectRef<Cluster>,
    address: String,
    brokers: Arc<Brokers>,
    pace: Pace,
    /// Held by a Topic while it is seen to.
    pub seats: Semaphore,
    surveying: tokio::sync::Mutex<()>,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    survey: Option<Arc<Survey>>,
    failed: Option<Failure>,
    recent: HashMap<String, Recent>,
    details: HashMap<String, Details>,
}

#[derive(Debug, Clone, Copy)]
struct Failure {
    retry_at: Instant,
    backoff: Duration,
}

/// What a topic is since it was changed from here.
#[derive(Debug)]
struct Recent {
    at: Instant,
    seen: Option<Seen>,
}

#[derive(Debug, Clone)]
struct Details {
    id: String,
    configs: Configs,
    configs_due: Instant,
    health: Health,
    health_due: Instant,
}

impl View {
    /// Nothing is known yet.
    pub fn new(
        cluster: ObjectRef<Cluster>,
        address: String,
        brokers: Arc<Brokers>,
        pace: Pace,
    ) -> Self {
        Self {
            cluster,
            address,
            brokers,
            pace,
            seats: Semaphore::new(SEATS),
            surveying: tokio::sync::Mutex::new(()),
            known: Mutex::default(),
        }
    }

    /// Where the brokers are.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// A client of the brokers.
    ///
    /// # Errors
    ///
    /// They are not reached.
    pub async fn client(&self) -> fjord_client::Result<Client> {
        self.brokers.client(&self.cluster, &self.address).await
    }

    /// All topics, as they were at most a tick ago. One Topic asks, and the others wait for it only if nothing is
    /// known yet.
    ///
    /// # Errors
    ///
    /// The brokers do not answer.
    pub async fn survey(&self) -> Result<Arc<Survey>, Trouble> {
        let mut asking = self.surveying.try_lock();
        if asking.is_err() {
            if let Some(known) = self.newest() {
                return known;
            }
            asking = Ok(self.surveying.lock().await);
        }
        if let Some(known) = self.newest().filter(|known| self.is_current(known)) {
            return known;
        }
        let taken = match self.client().await {
            Ok(client) => Survey::take(&client).await,
            Err(error) => Err(error),
        };
        let noted = match taken {
            Ok(survey) => Ok(self.note_survey(survey)),
            Err(error) => Err(self.note_failure(&error)),
        };
        drop(asking);
        noted
    }

    /// The topic of this name, and how well it is. `fresh` asks for its configs in any case.
    ///
    /// # Errors
    ///
    /// The brokers do not answer, or the topic is not there any more.
    pub async fn topic(
        &self,
        survey: &Survey,
        name: &str,
        fresh: bool,
    ) -> Result<Option<(Existing, Health)>, Trouble> {
        let (seen, details) = {
            let known = self.known();
            (known.seen(survey, name), known.details.get(name).cloned())
        };
        let Some(seen) = seen else {
            return Ok(None);
        };
        let now = Instant::now();
        let is_due = |details: &Details| {
            details.configs_due <= now || (!survey.all_in_sync && details.health_due <= now)
        };
        let asked = match details.filter(|details| details.id == seen.topic.topic_id) {
            Some(details) if !fresh && !is_due(&details) => Ok(details),
            _ if seen.topic.internal => Ok(Details::new(&seen, self.pace)),
            _ if survey.all_in_sync => self.describe_configs(&seen).await,
            _ => self.describe_topic(&seen).await,
        };
        let details = asked.map_err(|error| self.trouble(error))?;
        let health = match survey.all_in_sync {
            true => Health::default(),
            false => details.health.clone(),
        };
        let existing = existing(&seen, details.configs.clone());
        self.known().details.insert(name.to_owned(), details);
        Ok(Some((existing, health)))
    }

    /// Remembers what a topic is after it was changed from here; nothing if it was deleted.
    pub fn note_change(&self, name: &str, topic: Option<&Existing>) {
        let now = Instant::now();
        let seen = topic.map(|topic| Seen {
            topic: Arc::new(ListedTopic {
                topic: name.to_owned(),
                topic_id: topic.id.clone(),
                partitions: topic.partitions,
                replication_factor: topic.replication_factor,
                internal: topic.internal,
            }),
            moving: topic.moving,
        });
        let mut known = self.known();
        match (&seen, topic) {
            (Some(seen), Some(topic)) => {
                let before = known.details.remove(name);
                let before = before.filter(|details| details.id == topic.id);
                let mut details = before.unwrap_or_else(|| Details::new(seen, self.pace));
                details.configs.clone_from(&topic.configs);
                known.details.insert(name.to_owned(), details);
            }
            _ => {
                known.details.remove(name);
            }
        }
        known
            .recent
            .insert(name.to_owned(), Recent { at: now, seen });
    }

    /// Forgets what may be wrong: all topics are asked for anew.
    pub fn doubt(&self, name: &str) {
        let mut known = self.known();
        known.survey = None;
        known.recent.remove(name);
        known.details.remove(name);
    }

    /// Tries again at once, should the brokers have been left alone: something may be better now.
    pub fn encourage(&self) {
        self.known().failed = None;
    }

    async fn describe_topic(&self, seen: &Seen) -> fjord_client::Result<Details> {
        let topic = seen.topic.topic.clone();
        let client = self.client().await?;
        let described = client
            .describe_topic(DescribeTopicRequest { topic })
            .await?;
        let mut details = Details::new(seen, self.pace);
        details.health = Health::of(&described.partitions);
        details.health_due = Instant::now() + spread(self.pace.tick * 2, &details.id);
        details.configs = set_for_topic(described.configs);
        Ok(details)
    }

    async fn describe_configs(&self, seen: &Seen) -> fjord_client::Result<Details> {
        let resource = Resource::Topic(seen.topic.topic.clone());
        let request = DescribeConfigsRequest {
            resource: Some(ConfigResource {
                resource: Some(resource),
            }),
            names: Vec::new(),
        };
        let described = self.client().await?.describe_configs(request).await?;
        let mut details = Details::new(seen, self.pace);
        details.configs = set_for_topic(described.configs);
        Ok(details)
    }

    /// What an error of a question about one topic comes to.
    fn trouble(&self, error: fjord_client::Error) -> Trouble {
        match error {
            error if is_unknown(&error) => Trouble::Stale,
            fjord_client::Error::Api(error) => Trouble::Refused(error),
            error => self.note_failure(&error),
        }
    }

    fn newest(&self) -> Option<Result<Arc<Survey>, Trouble>> {
        let known = self.known();
        let retry_at = known.failed.map(|failure| failure.retry_at);
        retry_at
            .map(|at| Err(unreachable_until(at)))
            .or_else(|| known.survey.clone().map(Ok))
    }

    fn is_current(&self, newest: &Result<Arc<Survey>, Trouble>) -> bool {
        match newest {
            Ok(survey) => survey.began.elapsed() < self.known().valid_for(survey, self.pace),
            Err(Trouble::Unreachable { retry_after }) => !retry_after.is_zero(),
            Err(_) => false,
        }
    }

    fn note_survey(&self, survey: Survey) -> Arc<Survey> {
        let survey = Arc::new(survey);
        let mut known = self.known();
        if known.failed.take().is_some() {
            info!(cluster = %self.cluster, "the brokers answer again");
        }
        known
            .recent
            .retain(|_, recent| recent.at + SETTLE > survey.began);
        known.details.retain(|name, _| survey.topic(name).is_some());
        known.survey = Some(Arc::clone(&survey));
        survey
    }

    fn note_failure(&self, error: &fjord_client::Error) -> Trouble {
        let mut known = self.known();
        let backoff = match known.failed {
            Some(before) if before.retry_at > Instant::now() => before.backoff,
            Some(before) => (before.backoff * 2).min(self.pace.tick * 2),
            None => {
                warn!(cluster = %self.cluster, address = self.address, %error, "the brokers do not answer");
                FIRST_BACKOFF.min(self.pace.tick)
            }
        };
        let retry_at = Instant::now() + backoff;
        known.failed = Some(Failure { retry_at, backoff });
        unreachable_until(retry_at)
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    /// How old a survey may be.
    fn valid_for(&self, survey: &Survey, pace: Pace) -> Duration {
        let mut changed = self
            .recent
            .values()
            .filter_map(|recent| recent.seen.as_ref());
        match survey.is_moving() || changed.any(|seen| seen.moving > 0) {
            true => pace.closely(),
            false => pace.tick,
        }
    }

    fn seen(&self, survey: &Survey, name: &str) -> Option<Seen> {
        match self.recent.get(name) {
            Some(recent) => recent.seen.clone(),
            None => survey.topic(name).cloned(),
        }
    }
}

impl Details {
    /// Of a topic that has no configs of its own, and whose partitions nobody has looked at.
    fn new(seen: &Seen, pace: Pace) -> Self {
        let now = Instant::now();
        Self {
            id: seen.topic.topic_id.clone(),
            configs: Configs::new(),
            configs_due: now + spread(pace.round, &seen.topic.topic_id),
            health: Health::default(),
            health_due: now,
        }
    }
}

fn existing(seen: &Seen, configs: Configs) -> Existing {
    Existing {
        id: seen.topic.topic_id.clone(),
        partitions: seen.topic.partitions,
        replication_factor: seen.topic.replication_factor,
        internal: seen.topic.internal,
        moving: seen.moving,
        configs,
    }
}

/// The configs that are set for the topic itself.
fn set_for_topic(configs: Vec<Config>) -> Configs {
    let own = configs
        .into_iter()
        .filter(|config| config.source() == ConfigSource::Topic);
    own.filter_map(|config| Some((config.name, config.value?)))
        .collect()
}

fn unreachable_until(at: Instant) -> Trouble {
    Trouble::Unreachable {
        retry_after: at.saturating_duration_since(Instant::now()),
    }
}

/// Whether brokers say that there is no such topic.
#[must_use]
pub fn is_unknown(error: &fjord_client::Error) -> bool {
    matches!(
        error.reason(),
        "UNKNOWN_TOPIC_OR_PARTITION" | "UNKNOWN_TOPIC_ID"
    )
}
