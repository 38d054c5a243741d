//! UpdateFeatures (key 57), versions 0 to 2: raises or lowers what all brokers have agreed on (KIP-584).
//!
//! - All or nothing: the first feature that is refused refuses the request as a whole, in every version.
//! - Versions 0 and 1 name each feature once more where all went well; version 2 does not.
//! - Version 0 says whether a level may become lower, later ones by which kind of upgrade. Both kinds of
//!   downgrade are one here: no level loses metadata.

use fjord_wire::{
    ErrorCode,
    messages::{
        update_features_request::{FeatureUpdateKey, UpdateFeaturesRequest},
        update_features_response::{UpdatableFeatureResult, UpdateFeaturesResponse},
    },
};

use super::{
    Answer, Call, Handler,
    error::{ApiError, code_and_message},
};
use crate::{
    metadata::commands::{self, FeatureUpdate},
    net::CloseConnection,
    security::{Operation, Resource},
};

const UPGRADE: i8 = 1;
const SAFE_DOWNGRADE: i8 = 2;
const UNSAFE_DOWNGRADE: i8 = 3;

/// The last version whose response names each feature.
const LAST_VERSION_WITH_RESULTS: i16 = 1;

pub struct UpdateFeatures;

impl Handler for UpdateFeatures {
    type Request = UpdateFeaturesRequest;

    async fn handle(
        call: Call<UpdateFeaturesRequest>,
    ) -> Result<Answer<UpdateFeaturesResponse>, CloseConnection> {
        let outcome = update(&call).await;
        let results = match &outcome {
            Ok(()) if call.version <= LAST_VERSION_WITH_RESULTS => results(&call.request),
            _ => Vec::new(),
        };
        let (error_code, error_message) = code_and_message(outcome);
        Ok(Answer::Now(UpdateFeaturesResponse {
            throttle_time_ms: 0,
            error_code,
            error_message,
            results,
        }))
    }

    fn first_error(response: &UpdateFeaturesResponse) -> i16 {
        response.error_code
    }
}

async fn update(call: &Call<UpdateFeaturesRequest>) -> Result<(), ApiError> {
    if !call.is_authorized(Operation::Alter, Resource::cluster()) {
        return Err(ErrorCode::ClusterAuthorizationFailed.into());
    }
    let updates = call.request.feature_updates.iter().map(to_update);
    let request = commands::UpdateFeatures {
        updates: updates.collect::<Result<_, _>>()?,
        validate_only: call.request.validate_only,
    };
    let outcomes = call.broker.metadata.submit(request).await?;
    let refused = outcomes.into_iter().find_map(Result::err);
    refused.map_or(Ok(()), |error| Err(of_all(&ApiError::from(error))))
}

/// The error of one feature as that of the request, in Kafka's words.
fn of_all(error: &ApiError) -> ApiError {
    let reason = error.message.as_deref().unwrap_or(error.code.message());
    ApiError::new(
        error.code,
        format!(
            "The update failed for all features since the following feature had an error: {reason}"
        ),
    )
}

fn to_update(update: &FeatureUpdateKey) -> Result<FeatureUpdate, ApiError> {
    let may_downgrade = match update.upgrade_type {
        UPGRADE => update.allow_downgrade,
        SAFE_DOWNGRADE | UNSAFE_DOWNGRADE => true,
        _ => {
            return Err(of_all(&ApiError::new(
                ErrorCode::InvalidUpdateVersion,
                format!(
                    "Invalid update version {} for feature {}. The controller does not support the \
                     given upgrade type.",
                    update.max_version_level, update.feature
                ),
            )));
        }
    };
    Ok(FeatureUpdate {
        name: update.feature.clone(),
        // What is below 1 switches a feature off.
        level: update.max_version_level.max(0),
        may_downgrade,
    })
}

fn results(request: &UpdateFeaturesRequest) -> Vec<UpdatableFeatureResult> {
    let updates = request.feature_updates.iter();
    updates
        .map(|update| UpdatableFeatureResult {
            feature: update.feature.clone(),
            error_code: ErrorCode::None.code(),
            error_message: None,
        })
        .collect()
}
