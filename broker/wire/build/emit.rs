//! Emits one module per message: its structs, their defaults, and their traits.

use crate::schema::{Field, Kind, Spec};
use crate::types::{Type, snake_case};
use crate::{Failure, decode, encode};
use std::fmt::Write;

/// The module of one message.
pub fn module(spec: &Spec) -> Result<String, Failure> {
    let mut out = String::new();
    let name = &spec.name;
    writeln!(out, "/// Kafka's `{name}` and the structs within it.")?;
    writeln!(out, "pub mod {} {{", snake_case(name))?;
    writeln!(out, "use super::prelude::*;")?;
    item(&mut out, spec, name, &spec.fields, true)?;
    for (struct_name, fields) in spec.structs() {
        item(&mut out, spec, struct_name, fields, false)?;
    }
    let structs = spec.structs().into_iter().map(|(_, fields)| fields);
    for fields in structs.chain([spec.fields.as_slice()]) {
        check_array_elements(&mut out, spec, fields)?;
    }
    message_traits(&mut out, spec)?;
    writeln!(out, "}}")?;
    Ok(out)
}

fn item(
    out: &mut String,
    spec: &Spec,
    name: &str,
    fields: &[Field],
    is_message: bool,
) -> Result<(), Failure> {
    if is_message {
        let versions = spec.valid_versions.describe();
        writeln!(out, "/// Kafka's `{name}`, versions {versions}.")?;
    } else {
        writeln!(out, "/// `{name}` within a [`{}`].", spec.name)?;
    }
    writeln!(
        out,
        "#[derive(Debug, Clone, PartialEq)]\npub struct {name} {{"
    )?;
    for field in fields {
        writeln!(out, "/// {}", describe(field))?;
        writeln!(out, "pub {}: {},", field.rust_name(), field.rust_type())?;
    }
    writeln!(out, "}}")?;
    writeln!(
        out,
        "impl Default for {name} {{ fn default() -> Self {{ Self {{"
    )?;
    for field in fields {
        writeln!(out, "{}: {},", field.rust_name(), field.default_value()?)?;
    }
    writeln!(out, "}} }} }}")?;
    decode::emit(out, spec, name, fields, is_message)?;
    encode::emit(out, spec, name, fields, is_message)
}

fn describe(field: &Field) -> String {
    let mut text = format!(
        "`{}`, {}; versions {}",
        field.name,
        field.type_name,
        field.versions.describe()
    );
    if field.is_nullable() {
        text.push_str(&format!(
            "; may be null in {}",
            field.nullable_versions.describe()
        ));
    }
    if let Some(tag) = field.tag {
        text.push_str(&format!(
            "; tag {tag} in {}",
            field.tagged_versions.describe()
        ));
    }
    if field.ignorable {
        text.push_str("; left out silently where a version lacks it");
    }
    text.push('.');
    // Brackets would be read as a link.
    text.replace("[]", "array of ")
}

/// An array whose elements may take no bytes would have no bound on its length, and one whose
/// elements take much more memory than bytes would be refused by the reader's budget.
fn check_array_elements(out: &mut String, spec: &Spec, fields: &[Field]) -> Result<(), Failure> {
    for field in fields {
        let Type::Array(element) = field.parsed_type() else {
            continue;
        };
        let least = element.least_size(spec, field.versions);
        if least == 0 {
            return Err(format!("{}.{}: elements of no size", spec.name, field.name).into());
        }
        let element = element.rust();
        writeln!(
            out,
            "const _: () = assert!(size_of::<{element}>() <= MAX_AMPLIFICATION * {least});"
        )?;
    }
    Ok(())
}

fn message_traits(out: &mut String, spec: &Spec) -> Result<(), Failure> {
    let name = &spec.name;
    writeln!(
        out,
        "impl Message for {name} {{ const NAME: &'static str = \"{name}\"; \
         const MIN_VERSION: i16 = {}; const MAX_VERSION: i16 = {}; }}",
        spec.valid_versions.low, spec.valid_versions.high
    )?;
    let api = match spec.kind {
        Kind::Request => name.strip_suffix("Request"),
        Kind::Response => name.strip_suffix("Response"),
        Kind::Header | Kind::Data => return Ok(()),
    };
    let api = api.ok_or_else(|| format!("{name}: its name does not say what it is"))?;
    writeln!(
        out,
        "impl ApiMessage for {name} {{ const API_KEY: ApiKey = ApiKey::{api}; }}"
    )?;
    if spec.kind == Kind::Request {
        let response = format!("{api}Response");
        writeln!(
            out,
            "impl Request for {name} {{ type Response = super::{}::{response}; }}",
            snake_case(&response)
        )?;
    }
    Ok(())
}
