//! What becomes of a request that was sent to where it belongs.

use fjord_wire::ErrorCode;

use crate::{api::error::ApiError, net::CloseConnection};

/// Why a call gets no response.
#[derive(Debug)]
pub enum Failed {
    /// The request makes no sense to its API.
    Refused(CloseConnection),
    /// The broker where it belongs was not reached, or not in time.
    Lost(ApiError),
}

impl From<CloseConnection> for Failed {
    fn from(close: CloseConnection) -> Failed {
        Failed::Refused(close)
    }
}

/// What came back.
#[derive(Debug)]
pub enum Outcome<R> {
    /// The response, if the request gets one, and how many changes of the metadata the broker had acted on.
    Answered(Option<R>, u64),
    /// The request makes no sense.
    Refused(CloseConnection),
    /// Nothing was done.
    NotDone(String),
    /// Whether anything was done is not known.
    Unknown(String),
}

impl<R> Outcome<R> {
    /// The same with the response in another form; what has none is as good as lost.
    pub fn and_then<T>(self, form: impl FnOnce(R) -> Result<T, String>) -> Outcome<T> {
        match self {
            Outcome::Answered(response, position) => match response.map(form).transpose() {
                Ok(response) => Outcome::Answered(response, position),
                Err(reason) => Outcome::Unknown(reason),
            },
            Outcome::Refused(close) => Outcome::Refused(close),
            Outcome::NotDone(reason) => Outcome::NotDone(reason),
            Outcome::Unknown(reason) => Outcome::Unknown(reason),
        }
    }
}

/// The error for a broker that was not reached, or was lost before it answered. Clients may call again.
pub fn unreachable(broker: i32, reason: &str) -> ApiError {
    ApiError::new(
        ErrorCode::NetworkException,
        format!("broker {broker}, where this belongs, did not answer ({reason}); call again"),
    )
}

/// Whether a code says that the partition is led elsewhere, or that its new leader needs a moment.
pub fn is_moved(code: i16) -> bool {
    let code = ErrorCode::from_code(code);
    matches!(
        code,
        Some(
            ErrorCode::NotLeaderOrFollower
                | ErrorCode::LeaderNotAvailable
                | ErrorCode::FencedLeaderEpoch
                | ErrorCode::UnknownLeaderEpoch
                | ErrorCode::OffsetNotAvailable
        )
    )
}

/// Whether a code says that the group is coordinated elsewhere, or that its new coordinator needs a moment.
pub fn is_coordinated_elsewhere(code: i16) -> bool {
    let code = ErrorCode::from_code(code);
    matches!(
        code,
        Some(
            ErrorCode::NotCoordinator
                | ErrorCode::CoordinatorNotAvailable
                | ErrorCode::CoordinatorLoadInProgress
        )
    )
}
