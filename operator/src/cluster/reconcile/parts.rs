//! The parts of a look that bring something to what it should be: configs, addresses, objects, volumes.

use std::collections::BTreeMap;

use fjord_client::Client as BrokerClient;
use k8s_openapi::api::{apps::v1::StatefulSet, core::v1::Service};
use kube::{Api, core::Status, runtime::reflector::ObjectRef};

use super::{Look, ReconcileError, Sight};
use crate::{
    api::ClusterStatus,
    cluster::{
        apply::apply,
        configs, lost,
        observed::BrokersView,
        replace::{Repair, Replaced},
        resources::{
            Blueprint, config_map, disruption_budget, network_policy, service_account, services,
            stateful_set,
        },
        volumes,
    },
};

impl Look<'_> {
    /// Takes other configs over, if they are good.
    pub(super) async fn settle_configs(
        &mut self,
        brokers: Option<(&BrokerClient, &BrokersView)>,
        any_ready: bool,
    ) -> Result<(), ReconcileError> {
        let status = self.status();
        let wanted = self.cluster.spec.config.clone();
        let accepted = status.config.clone().unwrap_or_default();
        if accepted == wanted {
            return Ok(());
        }
        if status.formed && any_ready {
            let Some((client, view)) = brokers else {
                let why = "waits for brokers that answer, to ask whether the configs are good";
                self.found("ConfigInvalid", None, "BrokersUnreachable", why);
                return Ok(());
            };
            match self.check_configs(client, view, &accepted).await {
                Ok(problems) if problems.is_empty() => {}
                Ok(problems) => {
                    let why = problems.join("; ");
                    self.found("ConfigInvalid", Some(true), "Refused", &why);
                    return Ok(());
                }
                Err(error) => {
                    let (holds, reason) = match error.is_retriable() {
                        true => (None, "BrokersUnreachable"),
                        false => (Some(true), "Refused"),
                    };
                    self.found("ConfigInvalid", holds, reason, &error.to_string());
                    return Ok(());
                }
            }
        }
        let config = Some(wanted);
        self.write(ClusterStatus { config, ..status }).await
    }

    /// Has the brokers check the configs, and take what they can take while they run. Returns what is wrong.
    async fn check_configs(
        &self,
        client: &BrokerClient,
        view: &BrokersView,
        accepted: &BTreeMap<String, String>,
    ) -> fjord_client::Result<Vec<String>> {
        let wanted = &self.cluster.spec.config;
        let blueprint = Blueprint {
            cluster: &self.cluster,
            names: self.names.clone(),
            cluster_id: &view.cluster.cluster_id,
            formed: true,
            image: "",
            config: wanted,
            replicas: self.pods_now(),
            external: BTreeMap::default(),
        };
        let broker = view.cluster.broker;
        let problems = configs::problems(client, &config_map::configs(&blueprint, broker)).await?;
        if problems.is_empty() {
            let names = configs::differing(accepted, wanted);
            let dynamic = configs::dynamic(client, broker, &names).await?;
            configs::alter(client, configs::change(accepted, wanted, &dynamic)).await?;
        }
        Ok(problems)
    }

    /// Where clients outside reach the brokers; nothing while a broker has no address.
    pub(super) async fn external_addresses(
        &self,
        pods: i32,
    ) -> Result<Option<BTreeMap<i32, String>>, ReconcileError> {
        let Some(listener) = &self.cluster.spec.listeners.external else {
            return Ok(Some(BTreeMap::default()));
        };
        let status = self.status();
        let blueprint = Blueprint {
            cluster: &self.cluster,
            names: self.names.clone(),
            cluster_id: status.cluster_id.as_deref().unwrap_or_default(),
            formed: status.formed,
            image: "",
            config: &self.cluster.spec.config,
            replicas: pods,
            external: BTreeMap::default(),
        };
        for service in services::build(&blueprint) {
            apply(
                &self.shell.context.client,
                &self.shell.stores.services,
                service,
            )
            .await?;
        }
        let address = |broker| {
            let name = self.names.external(broker);
            let key = ObjectRef::<Service>::new(&name).within(&self.names.namespace);
            let service = self.shell.stores.services.get(&key)?;
            Some((
                broker,
                services::external_address(listener, broker, &service)?,
            ))
        };
        Ok((0..pods).map(address).collect())
    }

    pub(super) async fn apply(&self, blueprint: &Blueprint<'_>) -> kube::Result<()> {
        let (client, stores) = (&self.shell.context.client, &self.shell.stores);
        apply(
            client,
            &stores.service_accounts,
            service_account::build(blueprint),
        )
        .await?;
        for service in services::build(blueprint) {
            apply(client, &stores.services, service).await?;
        }
        apply(client, &stores.config_maps, config_map::build(blueprint)).await?;
        apply(
            client,
            &stores.network_policies,
            network_policy::build(blueprint),
        )
        .await?;
        apply(
            client,
            &stores.disruption_budgets,
            disruption_budget::build(blueprint),
        )
        .await?;
        let there = self.stateful_set();
        if there.is_none() {
            self.make_sure_of_no_stateful_set().await?;
        }
        let wanted = stateful_set::build(blueprint, there.as_deref());
        apply(client, &stores.stateful_sets, wanted).await
    }

    /// Fails with a conflict if there is a stateful set after all: it may have more pods than would be applied.
    async fn make_sure_of_no_stateful_set(&self) -> kube::Result<()> {
        let (client, namespace) = (self.shell.context.client.clone(), &self.names.namespace);
        let api: Api<StatefulSet> = Api::namespaced(client, namespace);
        match api.get_metadata_opt(&self.names.cluster).await? {
            None => Ok(()),
            Some(_) => {
                let why = "the watches have not told of the stateful set yet";
                let conflict = Status::failure(why, "Conflict").with_code(409);
                Err(kube::Error::Api(conflict.boxed()))
            }
        }
    }

    pub(super) async fn settle_volumes(&mut self, blueprint: &Blueprint<'_>) {
        let storage = self.cluster.spec.storage.clone().unwrap_or_default();
        let claims = volumes::claims(&self.shell.stores, &self.names);
        let refused = volumes::settle(
            &self.shell.context.client,
            &claims,
            blueprint.cluster_id,
            blueprint.formed,
            &storage.size,
        );
        let refused = refused.await;
        if !refused.is_empty() {
            self.found(
                "VolumesRefused",
                Some(true),
                "ClaimNotChanged",
                &refused.join("; "),
            );
        }
    }

    /// Replaces a broker whose volume is lost, if there is one and that is safe.
    pub(super) async fn repair(&self, sight: &Sight, pods_now: i32) -> kube::Result<Replaced> {
        let repair = Repair {
            context: &self.shell.context,
            cluster: &self.cluster,
            names: &self.names,
            pods_now,
            pods: &sight.pods,
            volumes: &lost::volumes(&self.shell.stores, &self.names),
            brokers: sight.answering().filter(|_| self.status().formed),
        };
        repair.step().await
    }
}
