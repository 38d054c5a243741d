//! Emits `Encode` implementations.

use crate::Failure;
use crate::decode::positional;
use crate::schema::{Field, Spec};
use crate::types::Type;
use std::fmt::Write;

pub fn emit(
    out: &mut String,
    spec: &Spec,
    name: &str,
    fields: &[Field],
    is_message: bool,
) -> Result<(), Failure> {
    writeln!(out, "impl Encode for {name} {{")?;
    writeln!(
        out,
        "fn encode(&self, writer: &mut Writer, version: i16) -> Result<(), EncodeError> {{"
    )?;
    if is_message {
        writeln!(out, "check_encode_version::<Self>(version)?;")?;
    }
    for field in fields {
        unsupported(out, spec, name, field)?;
        let write = write_field(spec, name, field);
        match positional(field, spec).as_str() {
            "true" => writeln!(out, "{write}")?,
            "false" => {}
            condition => writeln!(out, "if {condition} {{ {write} }}")?,
        }
    }
    tagged_fields(out, spec, name, fields)?;
    writeln!(out, "Ok(())\n}}\n}}")?;
    Ok(())
}

/// A value that a version cannot carry is an error, unless the schema lets it be left out.
fn unsupported(out: &mut String, spec: &Spec, owner: &str, field: &Field) -> Result<(), Failure> {
    let supported = field.versions.condition(spec.valid_versions);
    if field.ignorable || supported == "true" {
        return Ok(());
    }
    writeln!(
        out,
        "if !({supported}) && self.{} != {} {{ return Err(EncodeError::FieldUnsupported {{ \
         field: \"{owner}.{}\", version }}); }}",
        field.rust_name(),
        field.default_value()?,
        field.name
    )?;
    Ok(())
}

fn tagged_fields(
    out: &mut String,
    spec: &Spec,
    owner: &str,
    fields: &[Field],
) -> Result<(), Failure> {
    let valid = spec.valid_versions;
    let flexible = spec.flexible_versions.condition(valid);
    if flexible == "false" {
        return Ok(());
    }
    let mut tagged: Vec<&Field> = fields.iter().filter(|field| field.tag.is_some()).collect();
    tagged.sort_by_key(|field| field.tag);
    let mut present = Vec::new();
    for field in &tagged {
        let condition = field.tagged_versions.condition(valid);
        let (name, default) = (field.rust_name(), field.default_value()?);
        present.push(format!("{condition} && self.{name} != {default}"));
    }
    writeln!(out, "if {flexible} {{")?;
    let counts: Vec<String> = present
        .iter()
        .map(|flag| format!("u32::from({flag})"))
        .collect();
    let count = if counts.is_empty() {
        "0".to_owned()
    } else {
        counts.join(" + ")
    };
    writeln!(out, "writer.unsigned_varint({count});")?;
    for (field, flag) in tagged.iter().zip(&present) {
        let tag = field.tag.unwrap_or_default();
        writeln!(out, "if {flag} {{ writer.tagged_field({tag}, |writer| {{")?;
        writeln!(out, "{}", write_field(spec, owner, field))?;
        writeln!(out, "Ok(()) }})?; }}")?;
    }
    writeln!(out, "}}")?;
    Ok(())
}

fn write_field(spec: &Spec, owner: &str, field: &Field) -> String {
    let flexible = field
        .flexible_versions
        .unwrap_or(spec.flexible_versions)
        .condition(spec.valid_versions);
    let kind = field.parsed_type();
    let place = format!("self.{}", field.rust_name());
    let write = if field.is_nullable() {
        let nullable = field.nullable_versions.condition(spec.valid_versions);
        write_nullable(&kind, &place, &flexible, &nullable)
    } else {
        match kind {
            Type::Bool | Type::Number(_) => write_plain(&kind, &place, &flexible),
            _ => write_plain(&kind, &format!("&{place}"), &flexible),
        }
    };
    if matches!(kind, Type::Bool | Type::Number(_) | Type::Uuid) && !field.is_nullable() {
        return format!("{write};");
    }
    let path = format!("{owner}.{}", field.name);
    format!("{write}.map_err(|error| error.in_field({path:?}))?;")
}

/// Writes `place`, a reference unless the type is a number.
fn write_plain(kind: &Type, place: &str, flexible: &str) -> String {
    match kind {
        Type::Bool => format!("writer.bool({place})"),
        Type::Number(name) => format!("writer.{name}({place})"),
        Type::Uuid => format!("writer.uuid({place})"),
        Type::String => format!("writer.string({place}, {flexible})"),
        Type::Bytes => format!("writer.bytes({place}, {flexible})"),
        Type::Records => format!("writer.records({place}, {flexible})"),
        Type::Struct(_) => format!("({place}).encode(writer, version)"),
        Type::Array(element) => {
            format!(
                "writer.array({place}, {flexible}, |writer, item| {})",
                element_body(element, flexible)
            )
        }
    }
}

fn element_body(element: &Type, flexible: &str) -> String {
    match element {
        Type::Bool | Type::Number(_) => {
            format!("{{ {}; Ok(()) }}", write_plain(element, "*item", flexible))
        }
        Type::Uuid => format!("{{ {}; Ok(()) }}", write_plain(element, "item", flexible)),
        _ => write_plain(element, "item", flexible),
    }
}

fn write_nullable(kind: &Type, place: &str, flexible: &str, nullable: &str) -> String {
    match kind {
        Type::String => {
            format!("writer.nullable_string({place}.as_deref(), {flexible}, {nullable})")
        }
        Type::Bytes => format!("writer.nullable_bytes({place}.as_ref(), {flexible}, {nullable})"),
        Type::Records => {
            format!("writer.nullable_records({place}.as_ref(), {flexible}, {nullable})")
        }
        Type::Array(element) => format!(
            "writer.nullable_array({place}.as_deref(), {flexible}, {nullable}, |writer, item| {})",
            element_body(element, flexible)
        ),
        other => format!(
            "writer.nullable_struct({place}.as_ref(), {nullable}, |writer, item| {})",
            element_body(other, flexible)
        ),
    }
}
