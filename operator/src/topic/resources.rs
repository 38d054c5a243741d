//! Calls to the API server about Topics, a bounded number at the same time.

use k8s_openapi::jiff::Timestamp;
use kube::{
    Api, Client, Resource, ResourceExt,
    api::{Patch, PatchParams},
    runtime::events::{Event, EventType, Recorder},
};
use serde_json::json;
use tokio::sync::{Semaphore, SemaphorePermit};
use tracing::debug;

use super::status;
use crate::{
    FIELD_MANAGER,
    api::{Topic, TopicStatus},
};

/// How many calls are under way at the same time.
const SEATS: usize = 32;

/// The Topics, as the API server has them.
pub struct Resources {
    client: Client,
    recorder: Recorder,
    seats: Semaphore,
}

impl Resources {
    /// Nothing is called yet.
    pub fn new(client: Client, recorder: Recorder) -> Self {
        Self {
            client,
            recorder,
            seats: Semaphore::new(SEATS),
        }
    }

    /// The resource as it is now, whatever a cache says; nothing if it is gone.
    ///
    /// # Errors
    ///
    /// The API server refuses, or is not reached.
    pub async fn newest(&self, topic: &Topic) -> kube::Result<Option<Topic>> {
        let _seat = self.seat().await;
        let newest = self.api(topic).get_opt(&topic.name_any()).await?;
        Ok(newest.filter(|newest| newest.uid() == topic.uid()))
    }

    /// Makes the status this one, if it is another, and tells people what has become worse. Returns whether it was.
    ///
    /// # Errors
    ///
    /// The API server refuses, because the resource has changed or for another reason, or is not reached.
    pub async fn set_status(&self, topic: &Topic, status: &TopicStatus) -> kube::Result<bool> {
        if topic.status.as_ref() == Some(status) {
            return Ok(false);
        }
        let applied = json!({
            "apiVersion": Topic::api_version(&()),
            "kind": Topic::kind(&()),
            "metadata": {"name": topic.name_any(), "resourceVersion": topic.resource_version()},
            "status": status,
        });
        {
            let _seat = self.seat().await;
            let how = PatchParams::apply(FIELD_MANAGER).force();
            let api = self.api(topic);
            api.patch_status(&topic.name_any(), &how, &Patch::Apply(applied))
                .await?;
        }
        for (reason, message) in status::warnings(topic.status.as_ref(), status) {
            self.tell(topic, EventType::Warning, reason, message.to_owned())
                .await;
        }
        Ok(true)
    }

    /// Gives the resource these finalizers. Returns it as it is then.
    ///
    /// # Errors
    ///
    /// The API server refuses, because the resource has changed or for another reason, or is not reached.
    pub async fn set_finalizers(
        &self,
        topic: &Topic,
        finalizers: &[String],
    ) -> kube::Result<Topic> {
        let merged = json!({
            "metadata": {"resourceVersion": topic.resource_version(), "finalizers": finalizers},
        });
        let _seat = self.seat().await;
        let how = PatchParams {
            field_manager: Some(FIELD_MANAGER.to_owned()),
            ..PatchParams::default()
        };
        let api = self.api(topic);
        api.patch(&topic.name_any(), &how, &Patch::Merge(merged))
            .await
    }

    /// Records an event. One that cannot be recorded is only logged.
    pub async fn tell(&self, topic: &Topic, type_: EventType, reason: &str, note: String) {
        let event = Event {
            type_,
            reason: reason.to_owned(),
            note: Some(note),
            action: "Reconcile".to_owned(),
            secondary: None,
        };
        let _seat = self.seat().await;
        let recorded = self.recorder.publish(&event, &topic.object_ref(&())).await;
        if let Err(error) = recorded {
            debug!(topic = topic.name_any(), %error, reason, "an event was not recorded");
        }
    }

    /// The time that conditions get.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        // Kubernetes keeps seconds, and a status is compared with what it has kept.
        let now = Timestamp::now();
        Timestamp::from_second(now.as_second()).unwrap_or(now)
    }

    fn api(&self, topic: &Topic) -> Api<Topic> {
        let namespace = topic.namespace().unwrap_or_default();
        Api::namespaced(self.client.clone(), &namespace)
    }

    async fn seat(&self) -> Option<SemaphorePermit<'_>> {
        // It is never closed.
        self.seats.acquire().await.ok()
    }
}
