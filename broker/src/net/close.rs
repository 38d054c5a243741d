//! Why connections end: for the log and for metrics.

use std::io;

use thiserror::Error;

use super::{frame::FrameError, service::CloseConnection};

/// Why a connection ended.
#[derive(Debug, Error)]
pub enum CloseReason {
    /// The client closed it between two requests.
    #[error("closed by the client")]
    PeerClosed,
    /// The client reset it, or the network did.
    #[error("connection failed: {0}")]
    PeerReset(io::Error),
    /// The client closed it in the middle of a request.
    #[error("closed by the client in the middle of a frame")]
    TruncatedFrame,
    /// The length of a frame is not possible.
    #[error(transparent)]
    BadFrame(#[from] FrameError),
    /// A frame did not arrive in time.
    #[error("frame did not arrive in time")]
    FrameTimeout,
    /// Nothing was asked for `connections.max.idle.ms`.
    #[error("idle for longer than connections.max.idle.ms")]
    Idle,
    /// The client did not read its responses.
    #[error("responses are not read{}", if *hurried { ", and memory is short or the broker stops" } else { "" })]
    WriteTimeout {
        /// Whether its time was cut short.
        hurried: bool,
    },
    /// A handler decided so.
    #[error("{0}")]
    Handler(CloseConnection),
    /// A handler panicked.
    #[error("a handler panicked: {0}")]
    HandlerPanic(String),
    /// The broker stops, and everything in flight was answered.
    #[error("shutdown")]
    Shutdown,
    /// The broker stops, and its deadline passed before everything was answered.
    #[error("shutdown deadline passed with requests in flight")]
    ShutdownDeadline,
}

impl CloseReason {
    /// The value of the metrics' label `reason`.
    pub fn label(&self) -> &'static str {
        match self {
            Self::PeerClosed => "peer_closed",
            Self::PeerReset(_) => "peer_reset",
            Self::TruncatedFrame => "truncated_frame",
            Self::BadFrame(_) => "bad_frame",
            Self::FrameTimeout => "frame_timeout",
            Self::Idle => "idle",
            Self::WriteTimeout { .. } => "write_timeout",
            Self::Handler(_) => "handler",
            Self::HandlerPanic(_) => "handler_panic",
            Self::Shutdown => "shutdown",
            Self::ShutdownDeadline => "shutdown_deadline",
        }
    }

    /// Whether a well-behaved client and broker end connections like this all the time.
    pub fn is_ordinary(&self) -> bool {
        matches!(
            self,
            Self::PeerClosed | Self::PeerReset(_) | Self::Idle | Self::Shutdown
        )
    }
}
