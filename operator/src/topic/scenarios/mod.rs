//! Reconciliations against an API server in memory, with caches that are told what the scenario wants them to know, and
//! brokers that do not answer. What brokers answer is tested with real ones.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use kube::{
    ResourceExt,
    runtime::{
        controller::Action,
        events::Recorder,
        reflector::{self, ObjectRef, store::Writer},
        watcher::Event,
    },
};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::{
    Context, Pace,
    reconcile::{Error, on_error, reconcile},
    resources::Resources,
    view::View,
    watched::Watched,
};
use crate::{
    api::{Cluster, Topic},
    brokers::Brokers,
    metrics::Metrics,
    testing::{self, NOWHERE, api_server::ApiServer},
};

mod conflicts;
mod deletions;
mod random_orders;

/// The controller's view of the world, and the world.
struct World {
    address: String,
    server: ApiServer,
    context: Arc<Context>,
    topics: Writer<Topic>,
    clusters: Writer<Cluster>,
}

impl World {
    /// A world with these Clusters, whose brokers do not answer.
    fn new(clusters: &[Cluster]) -> Self {
        Self::at(NOWHERE, clusters)
    }

    /// A world with these Clusters, whose brokers should be at this address.
    fn at(address: &str, clusters: &[Cluster]) -> Self {
        let server = ApiServer::default();
        let client = server.client();
        let recorder = Recorder::new(client.clone(), "fjord-operator".into());
        let (topics, mut topic_writer) = reflector::store();
        let (known_clusters, mut cluster_writer) = reflector::store();
        topic_writer.apply_watcher_event(&Event::Init);
        topic_writer.apply_watcher_event(&Event::InitDone);
        cluster_writer.apply_watcher_event(&Event::Init);
        cluster_writer.apply_watcher_event(&Event::InitDone);
        let context = Context {
            resources: Resources::new(client, recorder),
            brokers: Arc::new(Brokers::default()),
            watched: Watched {
                topics: vec![topics],
                clusters: vec![known_clusters],
            },
            views: Mutex::default(),
            pace: Pace::default(),
            metrics: Metrics::default(),
            shutdown: CancellationToken::new(),
        };
        let mut world = Self {
            address: address.to_owned(),
            server,
            context: Arc::new(context),
            topics: topic_writer,
            clusters: cluster_writer,
        };
        for cluster in clusters {
            world.tell_cluster(cluster);
        }
        world
    }

    fn tell_cluster(&mut self, cluster: &Cluster) {
        let event = Event::Apply(cluster.clone());
        self.clusters.apply_watcher_event(&event);
        let reference = ObjectRef::from_obj(cluster);
        let brokers = Arc::clone(&self.context.brokers);
        let pace = self.context.pace;
        let view = View::new(reference.clone(), self.address.clone(), brokers, pace);
        let mut views = self.context.views.lock().expect("a lock");
        views.entry(reference).or_insert_with(|| Arc::new(view));
    }

    fn forget_cluster(&mut self, cluster: &Cluster) {
        let event = Event::Delete(cluster.clone());
        self.clusters.apply_watcher_event(&event);
    }

    /// Stores a resource, and lets the cache know.
    fn put(&mut self, topic: &Topic) {
        self.server.put(topic);
        self.sync(topic);
    }

    /// Lets the cache know how a resource is now.
    fn sync(&mut self, topic: &Topic) {
        let event = match self.server.get(topic) {
            Some(newest) => Event::Apply(newest),
            None => Event::Delete(topic.clone()),
        };
        self.topics.apply_watcher_event(&event);
    }

    /// Sees to a resource as the cache knows it, if it does, without telling the cache what came of it.
    async fn see_to_cached(&self, topic: &Topic) -> Result<Action, Error> {
        let known = self.context.watched.topics[0].get(&ObjectRef::from_obj(topic));
        let Some(known) = known else {
            return Ok(Action::await_change());
        };
        let outcome = reconcile(Arc::clone(&known), Arc::clone(&self.context)).await;
        outcome.or_else(|error| match on_error(&known, &error) {
            action if action == Action::requeue(Duration::from_secs(1)) => Ok(action),
            action if action == Action::await_change() => Ok(action),
            _ => Err(error),
        })
    }

    /// Sees to a resource until nothing changes, which has to be soon.
    async fn settle(&mut self, topic: &Topic) {
        for _ in 0..5 {
            self.sync(topic);
            let before = self.version(topic);
            let seen_to = self.see_to_cached(topic).await;
            seen_to.expect("the API server answers");
            if self.version(topic) == before {
                return;
            }
        }
        panic!("{} is changed again and again", topic.name_any());
    }

    fn version(&self, topic: &Topic) -> Option<String> {
        self.server.get(topic)?.resource_version()
    }

    /// The condition `Ready` of a resource, such as `False NameConflict`.
    fn ready(&self, topic: &Topic) -> String {
        let topic = self.server.get(topic);
        testing::condition(&topic.expect("it is there"), "Ready")
    }
}

/// A Topic of the cluster `main` in the namespace `kafka`, made at this second.
fn topic(name: &str, second: i64) -> Topic {
    use k8s_openapi::{apimachinery::pkg::apis::meta::v1::Time, jiff::Timestamp};

    let mut topic = testing::topic("kafka", name);
    let made = Timestamp::from_second(second).expect("a time");
    topic.metadata.creation_timestamp = Some(Time(made));
    topic
}

#[tokio::test]
async fn a_topic_whose_cluster_is_missing_says_so_once() {
    let mut world = World::new(&[]);
    let orders = topic("orders", 1);
    world.put(&orders);
    world.settle(&orders).await;
    assert_eq!(world.ready(&orders), "False ClusterNotFound");
    assert_eq!(world.server.take_events(), ["ClusterNotFound"]);
    world.server.take_requests();
    for _ in 0..10 {
        let action = world.see_to_cached(&orders).await.expect("seen to");
        assert_ne!(action, Action::await_change());
    }
    assert_eq!(world.server.take_requests(), Vec::<String>::new());
}

#[tokio::test]
async fn brokers_that_do_not_answer_are_left_alone_for_a_while() {
    // Somebody who takes connections and hangs up.
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    let tried = Arc::new(AtomicUsize::new(0));
    let tries = Arc::clone(&tried);
    tokio::spawn(async move {
        while listener.accept().await.is_ok() {
            tries.fetch_add(1, Ordering::Relaxed);
        }
    });
    let mut world = World::at(&address, &[testing::cluster("kafka", "main")]);
    let topics: Vec<Topic> = (0..50).map(|n| topic(&format!("t{n}"), 1)).collect();
    for topic in &topics {
        world.put(topic);
        world.settle(topic).await;
        assert_eq!(world.ready(topic), "Unknown ClusterUnreachable");
    }
    world.server.take_requests();
    for topic in &topics {
        world.see_to_cached(topic).await.expect("seen to");
    }
    assert_eq!(world.server.take_requests(), Vec::<String>::new());
    // One Topic tries to connect, perhaps more than once, and the others do not.
    let tried = tried.load(Ordering::Relaxed);
    assert!((1..10).contains(&tried), "{tried} connections");
}

#[tokio::test]
async fn a_namespace_has_to_be_allowed() {
    let mut main = testing::cluster("kafka", "main");
    let mut world = World::new(std::slice::from_ref(&main));
    let mut orders = testing::topic("shop", "orders");
    orders.spec.cluster.namespace = Some("kafka".to_owned());
    world.put(&orders);
    world.settle(&orders).await;
    assert_eq!(world.ready(&orders), "False NotAllowed");
    main.spec.topic_namespaces.push("shop".to_owned());
    world.tell_cluster(&main);
    world.settle(&orders).await;
    assert_eq!(world.ready(&orders), "Unknown ClusterUnreachable");
}

#[tokio::test]
async fn an_old_cache_overwrites_nothing() {
    let mut world = World::new(&[]);
    let orders = topic("orders", 1);
    world.put(&orders);
    world.server.edit(&orders, |orders| {
        orders.status = Some(crate::api::TopicStatus {
            topic_id: Some("newer".to_owned()),
            ..crate::api::TopicStatus::default()
        });
    });
    let action = world.see_to_cached(&orders).await.expect("a conflict");
    assert_eq!(action, Action::requeue(Duration::from_secs(1)));
    let status = world.server.get(&orders).and_then(|orders| orders.status);
    let topic_id = status.and_then(|status| status.topic_id);
    assert_eq!(topic_id.as_deref(), Some("newer"));
    assert_eq!(orders.name_any(), "orders");
}
