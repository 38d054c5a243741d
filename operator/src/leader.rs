//! One of several operators leads: the one that holds a lease. The others wait.

use anyhow::Context as _;
use k8s_openapi::api::coordination::v1;
use kube::{Api, Client, api::DeleteParams};
use kube_lease_manager::LeaseManagerBuilder;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// How long a lease lasts that is not renewed.
const DURATION_SECONDS: u64 = 15;
/// How long before its end it is renewed.
const GRACE_SECONDS: u64 = 10;

/// Which lease.
#[derive(Debug, Clone)]
pub struct Lease {
    /// Its name.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
    /// Who wants it: the pod's name.
    pub identity: String,
}

/// Does `work` while this process holds the lease. `work` is told to stop when the lease is lost, or `stop` says so;
/// the lease is given back afterwards, so that the next one need not wait.
///
/// # Errors
///
/// The lease cannot be had or was lost, or the work failed. The process should end then: whoever holds the lease now
/// must not meet what this one still has under way.
pub async fn lead<Work: Future<Output = anyhow::Result<()>>>(
    client: Client,
    lease: Lease,
    stop: CancellationToken,
    work: impl FnOnce(CancellationToken) -> Work,
) -> anyhow::Result<()> {
    let manager = LeaseManagerBuilder::new(client, lease.name.as_str())
        .with_namespace(lease.namespace.as_str())
        .with_identity(lease.identity.as_str())
        .with_duration(DURATION_SECONDS)
        .with_grace(GRACE_SECONDS)
        .build()
        .await
        .context("the lease cannot be read")?;
    let (mut holds, task) = manager.watch().await;
    info!(lease = lease.name, "waiting for the lease");
    tokio::select! {
        held = holds.wait_for(|holds| *holds) => {
            held.context("the lease cannot be had")?;
        }
        () = stop.cancelled() => return Ok(()),
    }
    info!(lease = lease.name, identity = lease.identity, "leading");
    let work_stop = stop.child_token();
    let mut working = std::pin::pin!(work(work_stop.clone()));
    let outcome = tokio::select! {
        outcome = &mut working => outcome,
        _ = holds.wait_for(|holds| !*holds) => {
            warn!(lease = lease.name, "the lease was lost");
            Err(anyhow::anyhow!("the lease {} was lost", lease.name))
        }
    };
    work_stop.cancel();
    drop(holds);
    if outcome.is_ok() {
        task.await.context("the lease's task ended")??;
    }
    outcome
}

/// Takes a lease away that nobody will want any more.
///
/// # Errors
///
/// The API server refuses, or is not reached.
pub async fn remove(client: Client, lease: &Lease) -> anyhow::Result<()> {
    let leases: Api<v1::Lease> = Api::namespaced(client, &lease.namespace);
    match leases.delete(&lease.name, &DeleteParams::default()).await {
        Err(kube::Error::Api(status)) if status.is_not_found() => Ok(()),
        Err(error) => Err(error).context("the lease cannot be removed"),
        Ok(_) => Ok(()),
    }
}
