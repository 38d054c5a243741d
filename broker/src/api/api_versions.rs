//! ApiVersions (key 18), versions 0 to 4: what this broker serves.
//!
//! - Any version that is not known is answered with version 0, error UNSUPPORTED_VERSION and all ranges
//!   (KIP-511), so that a newer client can step down.
//! - From version 3 the client names itself; a name or version of other characters than letters,
//!   digits, `-` and `.` (not at either end) is refused with INVALID_REQUEST.
//! - Clients switch features on by what they see here: only the APIs of the table are listed.
//! - From version 3 the features that this broker supports and those that the cluster has finalized are listed
//!   (KIP-584). None of them is one of Kafka's, which would switch transactions of version 2 on, for example.
//!   The epoch of what is finalized is an offset of the metadata, as in Kafka; -1 where nothing is.
//! - Produce and JoinGroup are listed from version 0, without which old librdkafka versions do not work
//!   (KAFKA-18659, KAFKA-19444).

use fjord_wire::{
    ErrorCode,
    messages::{
        api_versions_request::ApiVersionsRequest,
        api_versions_response::{
            ApiVersion, ApiVersionsResponse, FinalizedFeatureKey, SupportedFeatureKey,
        },
    },
};

use super::{
    Answer, Call, Handler,
    table::{Entry, TABLE},
};
use crate::{
    metadata::{Image, commands::supported_features},
    net::{ClientInformation, CloseConnection},
};

/// The first version in which a client names itself.
const FIRST_VERSION_WITH_CLIENT: i16 = 3;

/// The epoch of no features.
const NOTHING_FINALIZED: i64 = -1;

pub struct ApiVersions;

impl Handler for ApiVersions {
    type Request = ApiVersionsRequest;

    async fn handle(
        call: Call<ApiVersionsRequest>,
    ) -> Result<Answer<ApiVersionsResponse>, CloseConnection> {
        let ApiVersionsRequest {
            client_software_name,
            client_software_version,
        } = call.request;
        if call.version >= FIRST_VERSION_WITH_CLIENT {
            if !is_valid(&client_software_name) || !is_valid(&client_software_version) {
                let error_code = ErrorCode::InvalidRequest.code();
                return Ok(Answer::Now(ApiVersionsResponse {
                    error_code,
                    ..Default::default()
                }));
            }
            call.context
                .connection
                .set_client_information(ClientInformation {
                    software_name: client_software_name,
                    software_version: client_software_version,
                });
        }
        // Before the image: a client takes features of a higher epoch for newer ones.
        let applied_offset = call.broker.cluster.applied_offset();
        let image = call.broker.metadata.image();
        let finalized_features = finalized(&image);
        Ok(Answer::Now(ApiVersionsResponse {
            api_keys: ranges(),
            supported_features: supported(),
            finalized_features_epoch: match finalized_features.is_empty() {
                true => NOTHING_FINALIZED,
                false => i64::try_from(applied_offset).unwrap_or(i64::MAX),
            },
            finalized_features,
            ..Default::default()
        }))
    }

    fn first_error(response: &ApiVersionsResponse) -> i16 {
        response.error_code
    }
}

/// The response to a version that is not known.
pub(super) fn unsupported_version() -> ApiVersionsResponse {
    ApiVersionsResponse {
        error_code: ErrorCode::UnsupportedVersion.code(),
        api_keys: ranges(),
        ..Default::default()
    }
}

fn ranges() -> Vec<ApiVersion> {
    let range = |entry: &Entry| {
        let versions = entry.advertised_versions();
        ApiVersion {
            api_key: entry.api_key.code(),
            min_version: *versions.start(),
            max_version: *versions.end(),
        }
    };
    TABLE.iter().map(range).collect()
}

fn supported() -> Vec<SupportedFeatureKey> {
    let features = supported_features().into_iter();
    features
        .map(|(name, (min_version, max_version))| SupportedFeatureKey {
            name,
            min_version,
            max_version,
        })
        .collect()
}

/// A level is finalized alone: the lowest and the highest are one.
fn finalized(image: &Image) -> Vec<FinalizedFeatureKey> {
    let features = image.features().iter();
    features
        .map(|(name, level)| FinalizedFeatureKey {
            name: name.clone(),
            max_version_level: *level,
            min_version_level: *level,
        })
        .collect()
}

/// Kafka's pattern `[a-zA-Z0-9](?:[a-zA-Z0-9\-.]*[a-zA-Z0-9])?`.
fn is_valid(text: &str) -> bool {
    let bytes = text.as_bytes();
    let is_inner = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.');
    matches!((bytes.first(), bytes.last()), (Some(first), Some(last))
        if first.is_ascii_alphanumeric() && last.is_ascii_alphanumeric())
        && bytes.iter().all(is_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn client_names_are_checked_by_kafkas_pattern() {
        for name in ["a", "apache-kafka-java", "4.3.1", "a..b"] {
            assert!(is_valid(name), "{name}");
        }
        for name in ["", "-a", "a-", ".a", "a b", "a_b", "ä"] {
            assert!(!is_valid(name), "{name}");
        }
    }
}
