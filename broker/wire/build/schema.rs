//! The schema files as types: Kafka's message definition format, as far as it is used.

use crate::Failure;
use crate::versions::Versions;
use serde::Deserialize;
use std::{fs, path::Path};

/// What a message is; decides which traits its struct gets.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    Request,
    Response,
    Header,
    Data,
}

/// One schema file.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Spec {
    pub api_key: Option<i16>,
    #[serde(rename = "type")]
    pub kind: Kind,
    pub name: String,
    pub valid_versions: Versions,
    pub flexible_versions: Versions,
    pub fields: Vec<Field>,
    #[serde(default)]
    pub common_structs: Vec<CommonStruct>,
}

/// A struct that several fields of one message share.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CommonStruct {
    pub name: String,
    #[serde(rename = "versions")]
    pub _versions: Versions,
    pub fields: Vec<Field>,
}

/// One field of a message or of a struct within it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Field {
    pub name: String,
    #[serde(rename = "type")]
    pub type_name: String,
    pub versions: Versions,
    #[serde(default)]
    pub nullable_versions: Versions,
    #[serde(default)]
    pub tagged_versions: Versions,
    pub tag: Option<u32>,
    pub default: Option<String>,
    #[serde(default)]
    pub ignorable: bool,
    /// Overrides the message's flexible versions (the client id in request headers).
    pub flexible_versions: Option<Versions>,
    #[serde(default)]
    pub fields: Vec<Field>,
}

impl Spec {
    /// Every struct of the message but the message itself: name and fields, outermost first.
    pub fn structs(&self) -> Vec<(&str, &[Field])> {
        let mut found = Vec::new();
        collect(&self.fields, &mut found);
        for common in &self.common_structs {
            found.push((common.name.as_str(), common.fields.as_slice()));
            collect(&common.fields, &mut found);
        }
        found
    }

    /// The fields of one of the message's structs.
    pub fn struct_fields(&self, name: &str) -> Option<&[Field]> {
        self.structs()
            .into_iter()
            .find(|(found, _)| *found == name)
            .map(|(_, fields)| fields)
    }
}

fn collect<'a>(fields: &'a [Field], found: &mut Vec<(&'a str, &'a [Field])>) {
    for field in fields.iter().filter(|field| !field.fields.is_empty()) {
        let name = field
            .type_name
            .strip_prefix("[]")
            .unwrap_or(&field.type_name);
        found.push((name, &field.fields));
        collect(&field.fields, found);
    }
}

/// Reads every schema file of a folder, in the order of their names.
pub fn read_all(folder: &Path) -> Result<Vec<Spec>, Failure> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path
            .extension()
            .is_some_and(|extension| extension == "json")
        {
            paths.push(path);
        }
    }
    paths.sort();
    let mut specs = Vec::new();
    for path in paths {
        let text = fs::read_to_string(&path)?;
        let spec: Spec = serde_json::from_str(&text)
            .map_err(|error| format!("schema {}: {error}", path.display()))?;
        specs.push(spec);
    }
    Ok(specs)
}
