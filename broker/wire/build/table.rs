//! Emits the enum of API keys, the table behind its methods, and `for_each_api!`.

use crate::Failure;
use crate::schema::{Kind, Spec};
use crate::types::snake_case;
use std::fmt::Write;

/// The generated part of `api_key.rs`.
pub fn emit(specs: &[Spec]) -> Result<String, Failure> {
    let mut requests: Vec<(i16, &str, &Spec)> = Vec::new();
    for spec in specs.iter().filter(|spec| spec.kind == Kind::Request) {
        let key = spec
            .api_key
            .ok_or_else(|| format!("{}: no api key", spec.name))?;
        let api = spec.name.trim_end_matches("Request");
        let response = format!("{api}Response");
        let paired = specs.iter().any(|other| {
            other.name == response
                && other.api_key == Some(key)
                && other.valid_versions == spec.valid_versions
                && other.flexible_versions == spec.flexible_versions
        });
        if !paired {
            return Err(format!("{}: no response of the same key and versions", spec.name).into());
        }
        requests.push((key, api, spec));
    }
    requests.sort_by_key(|(key, _, _)| *key);
    let mut out = String::new();
    writeln!(
        out,
        "/// The APIs whose messages this crate knows, by their keys on the wire."
    )?;
    writeln!(
        out,
        "#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]"
    )?;
    writeln!(out, "#[repr(i16)]\npub enum ApiKey {{")?;
    for (key, api, spec) in &requests {
        let versions = spec.valid_versions.describe();
        writeln!(out, "/// Key {key}, versions {versions}.\n{api} = {key},")?;
    }
    writeln!(out, "}}")?;
    writeln!(out, "static APIS: [Api; {}] = [", requests.len())?;
    for (_, api, spec) in &requests {
        let (valid, flexible) = (spec.valid_versions, spec.flexible_versions);
        let first_flexible = if flexible.is_empty() {
            i16::MAX
        } else {
            flexible.low
        };
        writeln!(
            out,
            "Api {{ key: ApiKey::{api}, name: \"{api}\", min_version: {}, max_version: {}, \
             first_flexible_version: {first_flexible} }},",
            valid.low, valid.high
        )?;
    }
    writeln!(out, "];")?;
    writeln!(out, "static ALL: [ApiKey; {}] = [", requests.len())?;
    for (_, api, _) in &requests {
        writeln!(out, "ApiKey::{api},")?;
    }
    writeln!(out, "];")?;
    for_each_api(&mut out, &requests)?;
    Ok(out)
}

fn for_each_api(out: &mut String, requests: &[(i16, &str, &Spec)]) -> Result<(), Failure> {
    writeln!(
        out,
        "/// Calls the given macro with every API: `(Name, RequestType, ResponseType),` each."
    )?;
    writeln!(
        out,
        "#[macro_export]\nmacro_rules! for_each_api {{ ($callback:ident) => {{ $callback! {{"
    )?;
    for (_, api, _) in requests {
        let (request, response) = (format!("{api}Request"), format!("{api}Response"));
        writeln!(
            out,
            "({api}, $crate::messages::{}::{request}, $crate::messages::{}::{response}),",
            snake_case(&request),
            snake_case(&response)
        )?;
    }
    writeln!(out, "}} }} }}")?;
    Ok(())
}
