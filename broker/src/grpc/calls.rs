//! What every call goes through on its way in and out: it is counted and timed, and an error that comes from below the
//! services gets what all errors have.
//!
//! ```text
//!   request ─► Calls ─► tonic: decodes, finds the service ─► the service
//!                │
//!   response ◄───┴── headers, messages, trailers (the status) ◄──────┘
//! ```

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Instant,
};

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body::{Frame, SizeHint};
use tonic::{Code, Status, body::Body};
use tower::{Layer, Service};

use super::{
    error,
    methods::{Method, method},
};
use crate::observability::metrics::GrpcMetrics;

/// Puts [`Calls`] before a service.
#[derive(Clone)]
pub struct CallsLayer {
    metrics: GrpcMetrics,
}

impl CallsLayer {
    /// A layer that counts into `metrics`.
    pub fn new(metrics: GrpcMetrics) -> Self {
        Self { metrics }
    }
}

impl<S> Layer<S> for CallsLayer {
    type Service = Calls<S>;

    fn layer(&self, inner: S) -> Calls<S> {
        Calls {
            inner,
            metrics: self.metrics.clone(),
        }
    }
}

/// See the module's documentation.
#[derive(Clone)]
pub struct Calls<S> {
    inner: S,
    metrics: GrpcMetrics,
}

impl<S> Service<Request<Body>> for Calls<S>
where
    S: Service<Request<Body>, Response = Response<Body>>,
    S::Future: Send + 'static,
{
    type Response = Response<CallBody>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let mut call = Call::begin(self.metrics.clone(), method(request.uri().path()));
        let response = self.inner.call(request);
        Box::pin(async move {
            let mut response = response.await?;
            // An error without a message has its status here.
            call.note(response.headers_mut());
            Ok(response.map(|body| CallBody { body, call }))
        })
    }
}

/// A response on its way.
pub struct CallBody {
    body: Body,
    call: Call,
}

impl http_body::Body for CallBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let mut frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        if let Some(Ok(frame)) = &mut frame
            && let Some(trailers) = frame.trailers_mut()
        {
            self.call.note(trailers);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A call under way; counted as ended when it is dropped.
struct Call {
    metrics: GrpcMetrics,
    method: &'static Method,
    began: Instant,
    code: Code,
}

impl Call {
    fn begin(metrics: GrpcMetrics, method: &'static Method) -> Self {
        metrics.begin(&method.service, &method.method);
        Self {
            metrics,
            method,
            began: Instant::now(),
            // Unless it gets a status, its client has left it.
            code: Code::Cancelled,
        }
    }

    /// Takes the status in, if it is here.
    fn note(&mut self, headers: &mut HeaderMap) {
        if let Some(status) = Status::from_header_map(headers) {
            let status = error::explained(status, headers);
            self.code = status.code();
        }
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        let Method { service, method } = self.method;
        self.metrics
            .end(service, method, name(self.code), self.began.elapsed());
    }
}

/// The name of a code, as gRPC's own documents write it.
fn name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}
