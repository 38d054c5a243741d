//! Connections to the brokers of clusters: one for each cluster, kept while the cluster is there.
//!
//! Any broker answers for the cluster, so the way in is the cluster's Service for gRPC.

use std::{collections::HashMap, sync::Mutex, time::Duration};

use fjord_client::{Client, ClientOptions};
use kube::{ResourceExt, runtime::reflector::ObjectRef};

use crate::api::Cluster;

/// How long the operator waits for a connection, and for an answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// The port of the brokers' gRPC listeners, in pods and Services.
pub const GRPC_PORT: u16 = 9192;

/// Where the brokers of a cluster are reached, `HOST:PORT`: its Service for gRPC.
fn grpc_address(cluster: &Cluster) -> String {
    let (name, namespace) = (cluster.name_any(), cluster.namespace().unwrap_or_default());
    format!("{name}-grpc.{namespace}.svc:{GRPC_PORT}")
}

/// The brokers of all clusters.
#[derive(Debug)]
pub struct Brokers {
    address: fn(&Cluster) -> String,
    clients: Mutex<HashMap<ObjectRef<Cluster>, Client>>,
}

impl Default for Brokers {
    /// The brokers behind the clusters' Services.
    fn default() -> Self {
        Self::at(grpc_address)
    }
}

impl Brokers {
    /// Brokers that are reached elsewhere.
    #[must_use]
    pub fn at(address: fn(&Cluster) -> String) -> Self {
        Self {
            address,
            clients: Mutex::default(),
        }
    }

    /// Where the brokers of a cluster are reached, `HOST:PORT`.
    #[must_use]
    pub fn address(&self, cluster: &Cluster) -> String {
        (self.address)(cluster)
    }

    /// A client of a cluster, whose brokers' gRPC listeners are at `addresses` (`HOST:PORT`, separated by commas).
    ///
    /// # Errors
    ///
    /// No broker was reached.
    pub async fn client(
        &self,
        cluster: &ObjectRef<Cluster>,
        addresses: &str,
    ) -> fjord_client::Result<Client> {
        let known = self.clients().get(cluster).cloned();
        if let Some(client) = known {
            return Ok(client);
        }
        let options = ClientOptions {
            connect_timeout: PATIENCE,
            request_timeout: PATIENCE,
            ..ClientOptions::default()
        };
        let client = Client::connect(addresses, options).await?;
        self.clients().insert(cluster.clone(), client.clone());
        Ok(client)
    }

    /// Forgets the connection to a cluster that is gone, or whose addresses are others now.
    pub fn forget(&self, cluster: &ObjectRef<Cluster>) {
        self.clients().remove(cluster);
    }

    fn clients(&self) -> std::sync::MutexGuard<'_, HashMap<ObjectRef<Cluster>, Client>> {
        self.clients
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}
