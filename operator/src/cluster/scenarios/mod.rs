//! Reconciliations against an API server in memory, with caches that are told what the scenario wants them to know, and
//! brokers that do not answer. What brokers answer is tested with real ones.

mod conditions;
mod identity;
mod invariants;
mod kubernetes;
mod operator;
mod random_orders;
mod stale_caches;

use invariants::Invariants;
use kubernetes::Health;
use operator::Operator;

use crate::{
    api::{Cluster, ClusterStatus},
    testing::{api_server::ApiServer, cluster},
};

/// The Cluster that all scenarios are about.
fn main() -> Cluster {
    cluster("kafka", "main")
}

/// A write of its status.
const PUT_STATUS: &str = "PUT /apis/fjord.dev/v1alpha1/namespaces/kafka/clusters/main/status";

/// A Kubernetes with one Cluster, and an operator.
struct World {
    server: ApiServer,
    operator: Operator,
    invariants: Invariants,
}

impl World {
    /// A world in which a Cluster has just been made, and the operator has heard of it.
    fn new(cluster: &Cluster) -> Self {
        let server = ApiServer::default();
        server.put(cluster);
        let operator = Operator::start(&server);
        let invariants = Invariants::new(&server);
        Self {
            server,
            operator,
            invariants,
        }
    }

    /// A world in which all is well: brokers have founded the cluster, and serve clients.
    async fn founded() -> Self {
        let mut world = Self::new(&main());
        world.settle().await;
        world.found();
        for broker in 0..3 {
            kubernetes::set_health(&world.server, broker, Health::Ready);
        }
        world.settle().await;
        world
    }

    /// Notes that brokers have founded the cluster, as an operator does that they answer.
    fn found(&self) {
        self.server.edit(&main(), |cluster| {
            let status = cluster.status.get_or_insert_default();
            status.formed = status.cluster_id.is_some();
        });
    }

    /// Changes the resource, as its user would.
    fn edit(&self, change: impl FnOnce(&mut Cluster)) {
        self.server.edit(&main(), change);
    }

    /// A look, which fails only as it may. What must never be is checked. Returns how many changes it made.
    async fn look(&mut self) -> usize {
        self.server.take_requests();
        let outcome = self.operator.look().await;
        let known = self.operator.known.as_ref();
        if known.is_some_and(|known| known.spec.paused) {
            let requests = self.server.take_requests();
            assert!(
                requests.iter().all(|request| request == PUT_STATUS),
                "{requests:?}"
            );
        }
        if let Err(error) = outcome {
            let told = error.to_string();
            assert!(
                told.contains("InternalError") || told.contains("Timeout"),
                "{told}"
            );
        }
        self.invariants.check()
    }

    /// All caches hear of all that has happened.
    fn catch_up(&mut self) {
        self.operator.catch_up_but("");
    }

    /// Lets everybody act and know of everything until nothing changes, which has to be soon.
    async fn settle(&mut self) {
        for _ in 0..20 {
            kubernetes::act(&self.server);
            let acted = self.invariants.check();
            self.catch_up();
            if acted + self.look().await == 0 {
                return;
            }
        }
        panic!("there is always something to be changed");
    }

    fn status(&self) -> ClusterStatus {
        let cluster = self.server.get(&main()).expect("the Cluster");
        cluster.status.unwrap_or_default()
    }
}
