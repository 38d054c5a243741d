//! What AlterConfigs and IncrementalAlterConfigs share: both sort out what is wrong with the request
//! itself, carry the rest out as one command, and answer per resource.

use std::collections::BTreeSet;

use super::{
    Call,
    config_resources::{ResourceType, alterable, authorize},
    error::ApiError,
};
use crate::{
    metadata::commands::{self, Alteration, ResourceAlteration},
    security::Operation,
};

/// A resource as the request gives it, and what it wants of it.
pub(super) struct RequestedAlteration {
    /// Type, by its number.
    pub resource_type: i8,
    /// Name; empty for the default of all brokers.
    pub resource_name: String,
    /// The alteration, or what is wrong with it in itself.
    pub alteration: Result<Alteration, ApiError>,
}

/// What became of a resource.
pub(super) struct Altered {
    pub resource_type: i8,
    pub resource_name: String,
    pub outcome: Result<(), ApiError>,
}

/// Alters what can be altered; with `validate_only` nothing, but says what could be. Outcomes are in
/// the order of the request.
pub(super) async fn alter<M>(
    call: &Call<M>,
    requested: Vec<RequestedAlteration>,
    validate_only: bool,
) -> Vec<Altered> {
    let repeated = repeated_resources(&requested);
    let mut accepted = Vec::new();
    let mut results = Vec::new();
    for RequestedAlteration {
        resource_type,
        resource_name,
        alteration,
    } in requested
    {
        let checked = if repeated.contains(&(resource_type, resource_name.clone())) {
            Err(ApiError::invalid_request(
                "Each resource must appear at most once.",
            ))
        } else {
            check(call, resource_type, &resource_name, alteration)
        };
        let outcome = checked.map(|alteration| accepted.push(alteration));
        results.push(Altered {
            resource_type,
            resource_name,
            outcome,
        });
    }
    let mut outcomes = execute(call, accepted, validate_only).await.into_iter();
    for result in &mut results {
        if result.outcome.is_ok() {
            result.outcome = outcomes
                .next()
                .expect("each accepted resource has an outcome");
        }
    }
    results
}

fn repeated_resources(requested: &[RequestedAlteration]) -> BTreeSet<(i8, String)> {
    let mut seen = BTreeSet::new();
    let key = |r: &RequestedAlteration| (r.resource_type, r.resource_name.clone());
    requested
        .iter()
        .map(key)
        .filter(|resource| !seen.insert(resource.clone()))
        .collect()
}

fn check<M>(
    call: &Call<M>,
    resource_type: i8,
    resource_name: &str,
    alteration: Result<Alteration, ApiError>,
) -> Result<ResourceAlteration, ApiError> {
    if let Some(kind) = ResourceType::from_wire(resource_type) {
        authorize(call, Operation::AlterConfigs, kind, resource_name)?;
    }
    let resource = alterable(&call.broker, resource_type, resource_name)?;
    Ok(ResourceAlteration {
        resource,
        alteration: alteration?,
    })
}

async fn execute<M>(
    call: &Call<M>,
    accepted: Vec<ResourceAlteration>,
    validate_only: bool,
) -> Vec<Result<(), ApiError>> {
    let count = accepted.len();
    if count == 0 {
        return Vec::new();
    }
    let request = commands::AlterConfigs {
        alterations: accepted,
        validate_only,
    };
    match call.broker.metadata.submit(request).await {
        Ok(outcomes) => outcomes
            .into_iter()
            .map(|outcome| outcome.map_err(Into::into))
            .collect(),
        Err(error) => std::iter::repeat_n(Err(error.into()), count).collect(),
    }
}

/// Refuses configs that are named twice, or named without a value that they need.
pub(super) fn check_names<'a>(
    names: impl Iterator<Item = &'a str>,
    without_value: &[&str],
) -> Result<(), ApiError> {
    let mut seen = BTreeSet::new();
    for name in names {
        if !seen.insert(name) {
            return Err(ApiError::invalid_request(
                "Error due to duplicate config keys",
            ));
        }
    }
    if !without_value.is_empty() {
        let names = without_value.join(",");
        return Err(ApiError::invalid_request(format!(
            "Null value not supported for : {names}"
        )));
    }
    Ok(())
}
