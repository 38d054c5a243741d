//! Emits `Decode` implementations.

use crate::Failure;
use crate::schema::{Field, Spec};
use crate::types::Type;
use crate::versions::Versions;
use std::fmt::Write;

pub fn emit(
    out: &mut String,
    spec: &Spec,
    name: &str,
    fields: &[Field],
    is_message: bool,
) -> Result<(), Failure> {
    let valid = spec.valid_versions;
    writeln!(out, "impl Decode for {name} {{")?;
    writeln!(
        out,
        "fn decode(reader: &mut Reader, version: i16) -> Result<Self, DecodeError> {{"
    )?;
    if is_message {
        writeln!(out, "check_decode_version::<Self>(version)?;")?;
    }
    writeln!(out, "let mut value = Self::default();")?;
    for field in fields {
        let place = format!(
            "value.{} = {}",
            field.rust_name(),
            read_field(spec, name, field)
        );
        match positional(field, spec).as_str() {
            "true" => writeln!(out, "{place};")?,
            "false" => {}
            condition => writeln!(out, "if {condition} {{ {place}; }}")?,
        }
    }
    let flexible = spec.flexible_versions.condition(valid);
    if flexible != "false" {
        writeln!(
            out,
            "if {flexible} {{ reader.tagged_fields(|reader, tag| {{ match tag {{"
        )?;
        for field in fields {
            let Some(tag) = field.tag else { continue };
            let condition = field.tagged_versions.condition(valid);
            writeln!(out, "{tag} if {condition} => {{")?;
            writeln!(
                out,
                "value.{} = {};",
                field.rust_name(),
                read_field(spec, name, field)
            )?;
            writeln!(out, "Ok(true) }}")?;
        }
        writeln!(out, "_ => Ok(false) }} }})?; }}")?;
    }
    writeln!(out, "Ok(value)\n}}\n}}")?;
    Ok(())
}

/// The condition under which a field stands in its own place, rather than behind a tag.
pub fn positional(field: &Field, spec: &Spec) -> String {
    let valid = spec.valid_versions;
    let within = field.versions.intersect(valid);
    let tagged = field.tagged_versions.intersect(valid);
    let mut own = within;
    if !tagged.is_empty() {
        // Versions with a tag are always the later ones.
        own.high = own.high.min(tagged.low - 1);
    }
    own.condition(valid)
}

fn read_field(spec: &Spec, owner: &str, field: &Field) -> String {
    let flexible = field
        .flexible_versions
        .unwrap_or(spec.flexible_versions)
        .condition(spec.valid_versions);
    let path = format!("{owner}.{}", field.name);
    let read = if field.is_nullable() {
        let nullable = field.nullable_versions.condition(spec.valid_versions);
        read_nullable(spec, field, &flexible, &nullable)
    } else {
        read_plain(spec, &field.parsed_type(), field.versions, &flexible)
    };
    format!("{read}.map_err(|error| error.in_field({path:?}))?")
}

fn read_plain(spec: &Spec, kind: &Type, versions: Versions, flexible: &str) -> String {
    match kind {
        Type::Bool => "reader.bool()".to_owned(),
        Type::Number(name) => format!("reader.{name}()"),
        Type::Uuid => "reader.uuid()".to_owned(),
        Type::String => format!("reader.string({flexible})"),
        Type::Bytes => format!("reader.bytes({flexible})"),
        Type::Records => format!("reader.records({flexible})"),
        Type::Struct(name) => format!("{name}::decode(reader, version)"),
        Type::Array(element) => {
            let least = element.least_size(spec, versions);
            let read = read_plain(spec, element, versions, flexible);
            format!("reader.array({flexible}, {least}, |reader| {read})")
        }
    }
}

fn read_nullable(spec: &Spec, field: &Field, flexible: &str, nullable: &str) -> String {
    let versions = field.versions;
    match &field.parsed_type() {
        Type::String => format!("reader.nullable_string({flexible}, {nullable})"),
        Type::Bytes => format!("reader.nullable_bytes({flexible}, {nullable})"),
        Type::Records => format!("reader.nullable_records({flexible}, {nullable})"),
        Type::Array(element) => {
            let least = element.least_size(spec, versions);
            let read = read_plain(spec, element, versions, flexible);
            format!("reader.nullable_array({flexible}, {nullable}, {least}, |reader| {read})")
        }
        other => {
            let read = read_plain(spec, other, versions, flexible);
            format!("reader.nullable_struct({nullable}, |reader| {read})")
        }
    }
}
