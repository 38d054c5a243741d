//! What belongs to one broker by its id: its configs, its disks, and the quorum to the one that leads it.

use std::{collections::BTreeMap, time::Duration};

use fjord_wire::{
    ErrorCode,
    messages::{
        describe_configs_request::DescribeConfigsRequest,
        describe_log_dirs_request::DescribeLogDirsRequest,
        describe_log_dirs_response::DescribeLogDirsResponse,
        describe_quorum_request::DescribeQuorumRequest,
        incremental_alter_configs_request::IncrementalAlterConfigsRequest,
    },
};
use futures::future::join_all;
use tokio::time::{Instant, timeout};

use super::{
    outcome::{Failed, Outcome, unreachable},
    route::{self, Place},
    router::{PATIENCE, Routed, Router},
};
use crate::{
    api::{Handler, error::ApiError, local::Served},
    metadata::Image,
};

/// Kafka's kind of resource for a broker's configs.
const BROKER: i8 = 4;
const DESCRIBE_LOG_DIRS: i16 = 4;
/// How long the disks of a broker are waited for, which are only told.
const DISKS: Duration = Duration::from_secs(2);

/// What the brokers have on their disks, as far as they answer.
pub type LogDirs = BTreeMap<i32, DescribeLogDirsResponse>;

impl Router {
    /// Asks the broker at a place, which never changes; again only while it is certain that nothing was done.
    async fn to_broker<M: Served + Clone>(
        &self,
        place: Place,
        version: i16,
        request: M,
    ) -> Result<M::Response, Failed> {
        let Place::There(broker) = place else {
            return self.here(version, request).await;
        };
        let reason = match self.ask(place, version, request).await {
            Outcome::Answered(Some(response), _) => return Ok(response),
            Outcome::Refused(close) => return Err(close.into()),
            Outcome::Answered(None, _) => "no response".to_owned(),
            Outcome::NotDone(reason) | Outcome::Unknown(reason) => reason,
        };
        Err(Failed::Lost(unreachable(broker, &reason)))
    }

    /// What the brokers that are alive have on their disks, by broker. Those that do not answer in time are left out.
    pub async fn log_dirs(&self, request: &DescribeLogDirsRequest) -> LogDirs {
        let asked = self.all_places().into_iter().map(|(id, place)| async move {
            let asked = self.ask(place, DESCRIBE_LOG_DIRS, request.clone());
            let outcome = timeout(DISKS, asked).await;
            match outcome {
                Ok(Outcome::Answered(Some(response), _)) => Some((id, response)),
                _ => None,
            }
        });
        join_all(asked).await.into_iter().flatten().collect()
    }

    fn all_places(&self) -> Vec<(i32, Place)> {
        let this = self.this();
        if self.peers.is_none() {
            return vec![(this, Place::Here)];
        }
        let places = route::of_all(&self.image(), this).into_iter();
        let with_id = |place| match place {
            Place::There(id) => (id, place),
            Place::Here | Place::Nowhere => (this, Place::Here),
        };
        places.map(with_id).collect()
    }
}

/// Where the configs of a resource are: a broker's at the broker itself, if it is alive.
fn of_resource(image: &Image, this: i32, resource: Option<(i8, &str)>) -> Result<Place, ApiError> {
    let named = match resource {
        Some((BROKER, name)) => name.parse::<i32>().ok(),
        _ => None,
    };
    let Some(id) = named else {
        return Ok(Place::Here);
    };
    match image.broker(id) {
        Some(broker) if broker.fenced && id != this => Err(unreachable(id, "it is not alive")),
        Some(_) => Ok(Place::of(id, this)),
        None => Err(ApiError::new(
            ErrorCode::BrokerIdNotRegistered,
            format!("there is no broker {id}; list them by DescribeCluster"),
        )),
    }
}

macro_rules! of_resource {
    ($($request:ty),*) => {
        $(impl Routed for $request {
            async fn route(
                router: &Router,
                version: i16,
                request: Self,
            ) -> Result<Self::Response, Failed> {
                // A gRPC call is about one resource.
                let resource = request.resources.first();
                let resource = resource.map(|asked| (asked.resource_type, &*asked.resource_name));
                let place = of_resource(&router.image(), router.this(), resource);
                router.to_broker(place.map_err(Failed::Lost)?, version, request).await
            }
        })*
    };
}

of_resource!(DescribeConfigsRequest, IncrementalAlterConfigsRequest);

impl Routed for DescribeQuorumRequest {
    /// Asks the leader, which alone knows how far the others are.
    async fn route(router: &Router, version: i16, request: Self) -> Result<Self::Response, Failed> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let leader = router.broker.cluster.controller();
            let place = leader.map_or(Place::Here, |leader| Place::of(leader, router.this()));
            let answer = router.to_broker(place, version, request.clone()).await;
            let is_led = match &answer {
                Ok(response) => <Self as Served>::Handler::first_error(response) == 0,
                Err(Failed::Refused(_)) => true,
                Err(Failed::Lost(_)) => false,
            };
            if is_led || !router.moved(0, deadline).await {
                return answer;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metadata::commands::testing::image_with_brokers;

    #[test]
    fn the_configs_of_a_broker_are_its_own_and_all_others_are_everywhere() {
        let image = image_with_brokers(3);
        let of = |kind, name| of_resource(&image, 1, Some((kind, name)));
        assert_eq!(of(BROKER, "2"), Ok(Place::There(2)));
        assert_eq!(of(BROKER, "1"), Ok(Place::Here));
        assert_eq!(of(BROKER, ""), Ok(Place::Here));
        assert_eq!(of(BROKER, "x"), Ok(Place::Here));
        assert_eq!(of(2, "2"), Ok(Place::Here));
        assert_eq!(of_resource(&image, 1, None), Ok(Place::Here));
        let unknown = of(BROKER, "7").map_err(|error| error.code);
        assert_eq!(unknown, Err(ErrorCode::BrokerIdNotRegistered));
    }
}
