//! Asks the controller for other in-sync replicas, on behalf of all partitions that this broker leads.
//!
//! While no leader of the quorum is heard, nobody can be asked, and this broker may be one that was cut off: producers
//! that wait for followers are told to look for another leader, rather than wait until their own patience ends.

use std::{sync::Arc, time::Duration};

use tokio_util::sync::CancellationToken;
use tracing::{debug, info};

use crate::{
    broker::Broker,
    clock::monotonic_ms,
    metadata::{
        Image,
        commands::{AlterPartitions, PartitionAlteration},
        records::LeaderRecoveryState,
    },
    partition::{Proposal, Refusal, Replica},
};

/// How often the partitions are looked at: about how long a replica that has caught up waits to be in sync.
const TICK: Duration = Duration::from_millis(50);
/// How long producers wait for followers while no leader of the quorum is heard. Followers that can be reached answer
/// much sooner.
const PATIENCE: Duration = Duration::from_millis(500);
/// Most partitions of one request.
const AT_ONCE: usize = 2000;

/// See the module's documentation.
pub struct InSyncTask {
    broker: Arc<Broker>,
}

impl InSyncTask {
    /// For what `broker` leads.
    pub fn new(broker: Arc<Broker>) -> Self {
        Self { broker }
    }

    /// Works until `stop` is cancelled.
    pub async fn run(self, stop: CancellationToken) {
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = ticks.tick() => self.look().await,
            }
        }
    }

    /// Sends what all partitions want now.
    async fn look(&self) {
        let image = self.broker.metadata.image();
        let max_lag = self.broker.config().replication.lag_time_max;
        let active = |id: i32| {
            let broker = image.broker(id).filter(|broker| broker.is_active());
            broker.map(|broker| broker.epoch)
        };
        let now_ms = monotonic_ms();
        if !self.broker.cluster.is_in_contact() {
            let patience_ms = u64::try_from(PATIENCE.as_millis()).unwrap_or(u64::MAX);
            let since_ms = now_ms.saturating_sub(patience_ms);
            let partitions = &self.broker.partitions;
            partitions.for_each(|replica| replica.give_up_waiting(since_ms));
        }
        let mut proposals: Vec<(Arc<Replica>, Proposal)> = Vec::new();
        self.broker.partitions.for_each(|replica| {
            if proposals.len() < AT_ONCE
                && let Some(proposal) = replica.propose(now_ms, max_lag, active)
            {
                proposals.push((Arc::clone(replica), proposal));
            }
        });
        if !proposals.is_empty() {
            self.send(&image, proposals).await;
        }
    }

    async fn send(&self, image: &Image, proposals: Vec<(Arc<Replica>, Proposal)>) {
        let sender = self.broker.id();
        let Some(sender_epoch) = image.broker(sender).map(|broker| broker.epoch) else {
            return;
        };
        let alteration = |(replica, proposal): &(Arc<Replica>, Proposal)| PartitionAlteration {
            topic_id: replica.topic_id(),
            index: replica.index(),
            leader_epoch: proposal.leader_epoch,
            partition_epoch: proposal.partition_epoch,
            in_sync_replicas: proposal.in_sync.clone(),
            leader_recovery_state: LeaderRecoveryState::Recovered,
        };
        let request = AlterPartitions {
            sender,
            sender_epoch,
            alterations: proposals.iter().map(alteration).collect(),
        };
        let outcome = self.broker.metadata.submit(request).await;
        let now_ms = monotonic_ms();
        match outcome {
            Ok(Ok(results)) => {
                for ((replica, proposal), result) in proposals.iter().zip(results) {
                    match result {
                        Ok(state) => info!(
                            partition = ?replica,
                            in_sync_replicas = ?state.in_sync_replicas,
                            "in-sync replicas changed"
                        ),
                        Err(error) => {
                            debug!(partition = ?replica, %error, "in-sync replicas were not changed");
                            replica.refused(proposal, Refusal::Refused, now_ms);
                        }
                    }
                }
            }
            Ok(Err(error)) => {
                debug!(%error, "in-sync replicas were not changed");
                for (replica, proposal) in &proposals {
                    replica.refused(proposal, Refusal::Refused, now_ms);
                }
            }
            Err(error) => {
                debug!(%error, "whether in-sync replicas were changed is not known");
                for (replica, proposal) in &proposals {
                    replica.refused(proposal, Refusal::Unknown, now_ms);
                }
            }
        }
    }
}
