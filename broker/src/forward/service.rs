//! The other side: serves what other brokers forward, as if their clients had called this one.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use fjord_proto::peer::v1::{
    ForwardedAnswer, ForwardedCall,
    forward_service_server::{ForwardService, ForwardServiceServer},
    forwarded_answer::Outcome,
};
use futures::{Stream, StreamExt};
use tokio::time::timeout;
use tonic::{Request, Response, Status, Streaming};
use tracing::warn;

use super::MESSAGE_BYTES;
use crate::{
    api::local::{self, Caller, EncodedResponse},
    broker::Broker,
    net::{CloseConnection, ConnectionContext},
    security::Principal,
};

/// How long a call waits for the metadata that its sender went by.
const CATCH_UP: Duration = Duration::from_secs(5);
/// Calls of one line that wait for the disk at once.
const IN_FLIGHT: usize = 128;
/// Numbers of connections from here on are forwarded calls.
const FIRST_CALL_ID: u64 = 3 << 61;
/// What stands for an address that is none.
const NOWHERE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);

/// See the module's documentation.
#[derive(Clone)]
pub struct Service {
    broker: Arc<Broker>,
    calls: Arc<AtomicU64>,
}

/// A call whose first stage is done.
enum Begun {
    Answered(Outcome),
    Waiting(EncodedResponse),
}

impl Service {
    /// The service of this broker.
    pub fn new(broker: Arc<Broker>) -> Service {
        Service {
            broker,
            calls: Arc::new(AtomicU64::new(FIRST_CALL_ID)),
        }
    }

    /// The service, to be served.
    pub fn into_server(self) -> ForwardServiceServer<Service> {
        ForwardServiceServer::new(self)
            .max_decoding_message_size(MESSAGE_BYTES)
            .max_encoding_message_size(MESSAGE_BYTES)
    }

    /// Does the first stage.
    async fn begin(&self, call: ForwardedCall) -> Begun {
        if let Err(reason) = self.check(&call) {
            warn!(reason, "a forwarded call was not for this broker");
            return Begun::Answered(Outcome::NotDone(reason));
        }
        let reached = self.broker.cluster.reached(call.position);
        if timeout(CATCH_UP, reached).await.is_err() {
            let reason = "it lacks newer metadata".to_owned();
            return Begun::Answered(Outcome::NotDone(reason));
        }
        let caller = self.caller(&call);
        let api = (i16::try_from(call.api_key), i16::try_from(call.version));
        let (Ok(api_key), Ok(version)) = api else {
            return Begun::Answered(Outcome::Refused("there is no such API".to_owned()));
        };
        let api = (api_key, version);
        match local::begin_encoded(&self.broker, &caller, api, call.request).await {
            Ok(response) => Begun::Waiting(response),
            Err(CloseConnection { reason }) => Begun::Answered(Outcome::Refused(reason)),
        }
    }

    /// Refuses what was meant for another broker.
    fn check(&self, call: &ForwardedCall) -> Result<(), String> {
        let image = self.broker.metadata.image();
        if image.cluster_id() != Some(call.cluster_id.as_str()) {
            return Err(format!("it is not of cluster {}", call.cluster_id));
        }
        match call.broker_id == self.broker.id() {
            true => Ok(()),
            false => Err(format!("it is broker {}", self.broker.id())),
        }
    }

    /// The client that called the other broker.
    fn caller(&self, call: &ForwardedCall) -> Caller {
        let connection = ConnectionContext::new(
            self.calls.fetch_add(1, Relaxed),
            call.client_address.parse().unwrap_or(NOWHERE),
            NOWHERE,
            "".into(),
            Principal::new(&call.principal_kind, &call.principal_name),
        );
        Caller {
            connection: Arc::new(connection),
            client_id: call.client_id.clone(),
        }
    }

    async fn finish(&self, begun: Begun) -> ForwardedAnswer {
        let outcome = match begun {
            Begun::Answered(outcome) => Some(outcome),
            Begun::Waiting(response) => match response.await {
                Ok(response) => response.map(Outcome::Response),
                Err(CloseConnection { reason }) => Some(Outcome::Refused(reason)),
            },
        };
        ForwardedAnswer {
            position: self.broker.cluster.applied_offset(),
            outcome,
        }
    }
}

#[tonic::async_trait]
impl ForwardService for Service {
    async fn call(
        &self,
        request: Request<ForwardedCall>,
    ) -> Result<Response<ForwardedAnswer>, Status> {
        let begun = self.begin(request.into_inner()).await;
        Ok(Response::new(self.finish(begun).await))
    }

    type OrderedStream = Pin<Box<dyn Stream<Item = Result<ForwardedAnswer, Status>> + Send>>;

    async fn ordered(
        &self,
        request: Request<Streaming<ForwardedCall>>,
    ) -> Result<Response<Self::OrderedStream>, Status> {
        let (beginning, finishing) = (self.clone(), self.clone());
        let begun = request.into_inner().then(move |call| {
            let service = beginning.clone();
            async move { Ok::<_, Status>(service.begin(call?).await) }
        });
        let answers = begun
            .map(move |begun| {
                let service = finishing.clone();
                async move { Ok(service.finish(begun?).await) }
            })
            .buffered(IN_FLIGHT);
        Ok(Response::new(Box::pin(answers)))
    }
}
