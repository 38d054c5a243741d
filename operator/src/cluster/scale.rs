//! More brokers, or fewer, one step further: what the planner says is told in the status, and done. Steps that move
//! replicas are in [`moves`](super::moves).

use std::collections::BTreeMap;

use fjord_client::{
    Client, Error,
    proto::{
        AddVoterRequest, AlterConfigsRequest, ConfigResource, ListReassignmentsRequest,
        ListTopicsRequest, RemoveVoterRequest, UnregisterBrokerRequest, config_resource::Resource,
    },
};
use tracing::info;

use super::{
    names::Names,
    observed::{BrokersView, ObservedPod},
    scaling::{Broker, Seen, Step, next},
};
use crate::api::{
    Cluster,
    cluster::{Plan, PlanKind},
    conditions::Finding,
};

/// The config that keeps new replicas away from a broker (KIP-1066).
const CORDONED: &str = "cordoned.log.dirs";

/// What came of it.
#[derive(Debug, Default)]
pub struct Scaled {
    /// Whether the pods beyond those that are wanted have nothing any more.
    pub drained: bool,
    /// The plan, if replicas are to move.
    pub plan: Option<Plan>,
    /// What is under way.
    pub progress: Option<(&'static str, String)>,
    /// What was found.
    pub findings: Vec<Finding>,
}

/// What a step is about.
pub struct Scale<'a> {
    /// The resource.
    pub cluster: &'a Cluster,
    /// The names of its parts.
    pub names: &'a Names,
    /// How many pods the stateful set has.
    pub pods_now: i32,
    /// The pods.
    pub pods: &'a BTreeMap<i32, ObservedPod>,
    /// The way to the brokers.
    pub client: &'a Client,
    /// What they say.
    pub view: &'a BrokersView,
}

impl Scale<'_> {
    /// Takes the next step that can be taken. What the brokers refuse is waited for.
    pub async fn step(&self) -> Scaled {
        match self.try_step().await {
            Ok(scaled) => scaled,
            Err(error) => under_way(format!("the brokers refused a step: {error}")),
        }
    }

    async fn try_step(&self) -> Result<Scaled, Error> {
        let seen = self.seen().await?;
        let step = next(&seen);
        if self.cluster.spec.plan_only && !matches!(step, Step::Nothing | Step::Drain(_)) {
            return Ok(Scaled {
                plan: Some(self.plan(PlanKind::Drain, vec![format!("{step:?}")], None)),
                ..Scaled::default()
            });
        }
        let name = &self.names.cluster;
        match step {
            Step::Nothing => return self.balance(&seen).await,
            Step::Wait(reason) => return Ok(under_way(reason)),
            Step::Refuse(reason) => return Ok(refused(reason)),
            Step::RemovePods => {
                info!(
                    cluster = name,
                    replicas = seen.wanted,
                    "the other brokers are empty; removing them"
                );
                return Ok(Scaled {
                    drained: true,
                    ..under_way("brokers are removed".to_owned())
                });
            }
            Step::Drain(brokers) => return self.drain(brokers).await,
            Step::Cordon(broker) => self.cordon(broker, true).await?,
            Step::Uncordon(broker) => self.cordon(broker, false).await?,
            Step::AddVoter(broker) => {
                self.client.add_voter(AddVoterRequest { broker }).await?;
            }
            Step::RemoveVoter(broker) => {
                self.client
                    .remove_voter(RemoveVoterRequest { broker })
                    .await?;
            }
            Step::Unregister(broker) => {
                let request = UnregisterBrokerRequest { broker };
                self.client.unregister_broker(request).await?;
            }
        }
        info!(cluster = name, ?step, "a step of scaling is done");
        Ok(under_way(format!("{step:?}")))
    }

    async fn seen(&self) -> Result<Seen, Error> {
        let wanted = self.cluster.spec.replicas;
        let broker = |broker: &fjord_client::proto::Broker| Broker {
            in_its_pod: self.names.is_host_of(broker.broker, &broker.host),
            fenced: broker.fenced,
            cordoned: broker.cordoned,
            replicas: broker.replicas,
        };
        let brokers = self.view.cluster.brokers.iter();
        let ongoing = ListReassignmentsRequest::default();
        let ongoing = self.client.list_reassignments(ongoing).await?;
        let highest_replication = match wanted < self.pods_now {
            false => 0,
            true => self.highest_replication().await?,
        };
        Ok(Seen {
            wanted,
            pods: self.pods_now,
            there: self.pods.keys().copied().collect(),
            brokers: brokers.map(|known| (known.broker, broker(known))).collect(),
            voters: self.view.voters().into_iter().collect(),
            moving: ongoing.reassignments.len(),
            highest_replication,
        })
    }

    async fn highest_replication(&self) -> Result<i32, Error> {
        let request = ListTopicsRequest {
            include_internal: true,
        };
        let topics = self.client.list_topics(request).await?.topics.into_iter();
        let highest = topics.map(|topic| topic.replication_factor).max();
        Ok(highest.unwrap_or_default())
    }

    async fn cordon(&self, broker: i32, cordoned: bool) -> Result<(), Error> {
        let mut request = AlterConfigsRequest {
            resource: Some(ConfigResource {
                resource: Some(Resource::Broker(broker)),
            }),
            ..AlterConfigsRequest::default()
        };
        match cordoned {
            true => {
                request.set.insert(CORDONED.to_owned(), "*".to_owned());
            }
            false => request.reset.push(CORDONED.to_owned()),
        }
        self.client.alter_configs(request).await.map(|_| ())
    }
}

fn under_way(reason: String) -> Scaled {
    Scaled {
        progress: Some(("Scaling", reason)),
        ..Scaled::default()
    }
}

/// A step that cannot be taken.
pub(super) fn refused(reason: String) -> Scaled {
    Scaled {
        findings: vec![Finding {
            type_: "ScaleBlocked",
            holds: Some(true),
            reason: "Unsafe",
            message: reason,
        }],
        ..Scaled::default()
    }
}
