//! What a handler gets, what it gives back, and the typed way between it and the frames.

use std::{future::Future, pin::Pin, sync::Arc};

use fjord_wire::{ApiMessage, ErrorCode, Reader, Request, messages::request_header::RequestHeader};

use super::{decode, encode};
use crate::{
    broker::Broker,
    metadata::Image,
    net::{CloseConnection, Reply, RequestContext},
    security::{Operation, QuotaKind, Resource},
};

/// One Kafka API. The type is a name for the table; it has no values.
pub trait Handler: Sized + 'static {
    /// The request, from which the key, the versions and the response follow.
    type Request: Request<Response: Send + 'static> + Send + 'static;

    /// The first stage; see the [module's documentation](super) for what belongs into it.
    ///
    /// # Errors
    ///
    /// [`CloseConnection`] if the request cannot be answered in Kafka's terms.
    fn handle(
        call: Call<Self::Request>,
    ) -> impl Future<Output = Result<Answer<ResponseOf<Self>>, CloseConnection>> + Send;

    /// The error code under which the request is counted in the metrics: the first that is not 0.
    fn first_error(response: &ResponseOf<Self>) -> i16;
}

/// The response that a handler answers with.
pub type ResponseOf<H> = <<H as Handler>::Request as Request>::Response;

/// The future of a response; `None` means that the request gets none.
pub type LaterAnswer<R> = Pin<Box<dyn Future<Output = Result<Option<R>, CloseConnection>> + Send>>;

/// What the first stage yields.
pub enum Answer<R> {
    /// The request gets no response (a produce with acks=0).
    None,
    /// The response is there.
    Now(R),
    /// The response will be there when the future is done.
    Later(LaterAnswer<R>),
    /// The same, and the future begins when all earlier requests of the connection are answered: what it tells is as
    /// new as it can be.
    InTurn(LaterAnswer<R>),
}

impl<R> Answer<R> {
    /// A response that is there when `future` is done.
    pub fn later(future: impl Future<Output = R> + Send + 'static) -> Answer<R> {
        Answer::Later(Box::pin(async move { Ok(Some(future.await)) }))
    }

    /// A response that `future` makes when its turn comes.
    pub fn in_turn(future: impl Future<Output = R> + Send + 'static) -> Answer<R> {
        Answer::InTurn(Box::pin(async move { Ok(Some(future.await)) }))
    }
}

/// A request with all that is known about it.
pub struct Call<M> {
    /// The broker that serves it.
    pub broker: Arc<Broker>,
    /// Where it came from.
    pub context: RequestContext,
    /// The version of the request, and of its response.
    pub version: i16,
    /// `client.id`; empty if the client has none.
    pub client_id: String,
    /// The request.
    pub request: M,
}

impl<M> Call<M> {
    /// The metadata as it now is.
    pub fn image(&self) -> Arc<Image> {
        self.broker.metadata.image()
    }

    /// Whether the client may do `operation` on `resource`.
    pub fn is_authorized(&self, operation: Operation, resource: Resource<'_>) -> bool {
        let principal = &self.context.connection.principal;
        self.broker
            .authorizer
            .authorize(principal, operation, resource)
            .is_allowed()
    }

    /// Records `amount` of what `kind` counts, and returns the wait to report, in milliseconds.
    pub fn throttle_time_ms(&self, kind: QuotaKind, amount: usize) -> i32 {
        let principal = &self.context.connection.principal;
        let amount = u64::try_from(amount).unwrap_or(u64::MAX);
        let wait = self
            .broker
            .quotas
            .record(kind, principal, &self.client_id, amount);
        i32::try_from(wait.as_millis()).unwrap_or(i32::MAX)
    }
}

/// The future of a first stage, as the table's functions return it.
pub(super) type Dispatched = Pin<Box<dyn Future<Output = Result<Reply, CloseConnection>> + Send>>;

/// Decodes, handles and encodes one request.
pub(super) fn dispatch<H: Handler>(
    broker: Arc<Broker>,
    context: RequestContext,
    header: RequestHeader,
    mut reader: Reader,
) -> Dispatched {
    Box::pin(async move {
        let version = header.request_api_version;
        let request = decode::<H::Request>(&mut reader, version)?;
        let client_id = header.client_id.unwrap_or_default();
        let metrics = broker.metrics.requests.clone();
        let received_at = context.received_at;
        let answer = H::handle(Call {
            broker,
            context,
            version,
            client_id,
            request,
        })
        .await?;
        let correlation_id = header.correlation_id;
        let api_key = <H::Request as ApiMessage>::API_KEY;
        let finish = move |response: Option<ResponseOf<H>>| {
            let error = response.as_ref().map_or(0, H::first_error);
            let encode = |response| encode(correlation_id, api_key, version, &response);
            let encoded = response.map(encode).transpose()?;
            metrics.observe(api_key.name(), error_class(error), received_at.elapsed());
            Ok(encoded)
        };
        match answer {
            Answer::None => finish(None).map(|_| Reply::None),
            Answer::Now(response) => {
                let encoded = finish(Some(response))?;
                Ok(encoded.map_or(Reply::None, Reply::Now))
            }
            Answer::Later(future) => Ok(Reply::later(async move { finish(future.await?) })),
            Answer::InTurn(future) => {
                let reply = async move { finish(future.await?) };
                Ok(Reply::InTurn(Box::pin(reply)))
            }
        }
    })
}

/// The value of the metrics' label for an error code.
fn error_class(code: i16) -> &'static str {
    match ErrorCode::from_code(code) {
        Some(ErrorCode::None) => "none",
        Some(code) => code.name(),
        None => ErrorCode::UnknownServerError.name(),
    }
}

/// The first of some error codes that is not 0, or 0.
pub fn first_of(codes: impl IntoIterator<Item = i16>) -> i16 {
    codes.into_iter().find(|code| *code != 0).unwrap_or(0)
}
