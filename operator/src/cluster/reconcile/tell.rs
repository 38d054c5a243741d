//! The parts of a look that say what was found: status, conditions, events.

use k8s_openapi::jiff::Timestamp;
use kube::{Api, api::PostParams, runtime::events::EventType};

use super::{Look, ReconcileError, Sight, wanted_image};
use crate::{
    FIELD_MANAGER,
    api::{
        Cluster, ClusterStatus,
        cluster::Plan,
        conditions::{Finding, merged},
    },
    cluster::{restart::publish, status::Seen},
};

impl Look<'_> {
    pub(super) fn found(
        &mut self,
        type_: &'static str,
        holds: Option<bool>,
        reason: &'static str,
        why: &str,
    ) {
        self.findings.push(Finding {
            type_,
            holds,
            reason,
            message: why.to_owned(),
        });
    }

    pub(super) async fn pause(&mut self) -> Result<(), ReconcileError> {
        let mut status = self.status();
        let paused = Finding {
            type_: "ReconciliationPaused",
            holds: Some(true),
            reason: "Paused",
            message: "spec.paused says so".to_owned(),
        };
        let generation = self.cluster.metadata.generation;
        let findings = [paused];
        let now = Timestamp::now();
        let condition = merged(&status.conditions, &findings, generation, now);
        status
            .conditions
            .retain(|known| known.type_ != "ReconciliationPaused");
        status.conditions.extend(condition);
        status.observed_generation = generation;
        self.write(status).await
    }

    /// Says why nothing at all can be done.
    pub(super) async fn refuse(
        &mut self,
        reason: &'static str,
        why: String,
    ) -> Result<(), ReconcileError> {
        let status = self.status();
        let findings = [Finding {
            type_: "Ready",
            holds: Some(false),
            reason,
            message: why,
        }];
        let generation = self.cluster.metadata.generation;
        let now = Timestamp::now();
        let conditions = merged(&status.conditions, &findings, generation, now);
        let status = ClusterStatus {
            observed_generation: generation,
            conditions,
            ..status
        };
        self.write(status).await
    }

    pub(super) async fn tell(
        &mut self,
        sight: &Sight,
        plan: Option<Plan>,
        progress: Option<(&'static str, String)>,
    ) -> Result<(), ReconcileError> {
        let seen = Seen {
            cluster: &self.cluster,
            names: &self.names,
            pods: &sight.pods,
            brokers: sight.view.as_ref(),
            plan,
            progress,
            findings: std::mem::take(&mut self.findings),
        };
        let status = ClusterStatus {
            image: Some(wanted_image(
                &self.cluster,
                &self.shell.context.settings.image,
            )),
            ..seen.status(Timestamp::now())
        };
        self.warn_of(&status).await;
        self.write(status).await
    }

    /// Events of what goes wrong, once for each sentence.
    async fn warn_of(&self, status: &ClusterStatus) {
        const WARNED_OF: [&str; 6] = [
            "RollBlocked",
            "ScaleBlocked",
            "RepairNeeded",
            "RepairBlocked",
            "ConfigInvalid",
            "VolumesRefused",
        ];
        let old = self.status().conditions;
        let bad = status.conditions.iter().filter(|condition| {
            WARNED_OF.contains(&condition.type_.as_str()) && condition.status == "True"
        });
        let new = bad.filter(|condition| {
            let same = old.iter().find(|old| old.type_ == condition.type_);
            same.is_none_or(|old| old.message != condition.message)
        });
        for condition in new {
            let (context, message) = (&self.shell.context, &condition.message);
            let (warning, type_) = (EventType::Warning, &condition.type_);
            publish(context, &self.cluster, warning, type_, message, None).await;
        }
    }

    /// Writes the status, if it is another one, and only over the one that this look began with.
    pub(super) async fn write(&mut self, status: ClusterStatus) -> Result<(), ReconcileError> {
        if self.cluster.status.as_ref() == Some(&status) {
            return Ok(());
        }
        let api: Api<Cluster> =
            Api::namespaced(self.shell.context.client.clone(), &self.names.namespace);
        let mut changed = self.cluster.clone();
        changed.status = Some(status);
        let parameters = PostParams {
            field_manager: Some(FIELD_MANAGER.to_owned()),
            ..PostParams::default()
        };
        let name = &self.names.cluster;
        self.cluster = api.replace_status(name, &parameters, &changed).await?;
        Ok(())
    }
}
