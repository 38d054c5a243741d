//! Connections to the brokers of clusters: one for each cluster, kept while the cluster is there.
//!
//! Any broker answers for the cluster, so the way in is the headless service: a client tries its pods one after the other.

use std::{collections::HashMap, sync::Mutex, time::Duration};

use fjord_client::{Client, ClientOptions};
use kube::runtime::reflector::ObjectRef;

use crate::api::Cluster;

/// How long the operator waits for a connection, and for an answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// The brokers of all clusters.
#[derive(Debug, Default)]
pub struct Brokers {
    clients: Mutex<HashMap<ObjectRef<Cluster>, Client>>,
}

impl Brokers {
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
