//! Generates the message structs of `fjord_wire::messages` from `schema/*.json`.
//!
//! Adding an API is adding its two schema files; nothing else names it.

#[path = "build/decode.rs"]
mod decode;
#[path = "build/emit.rs"]
mod emit;
#[path = "build/encode.rs"]
mod encode;
#[path = "build/schema.rs"]
mod schema;
#[path = "build/table.rs"]
mod table;
#[path = "build/types.rs"]
mod types;
#[path = "build/versions.rs"]
mod versions;

use std::{env, fs, path::Path};

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    println!("cargo::rerun-if-changed=schema");
    println!("cargo::rerun-if-changed=build");
    println!("cargo::rerun-if-changed=build.rs");
    let specs = schema::read_all(Path::new("schema"))?;
    let mut messages = String::new();
    for spec in &specs {
        messages.push_str(&emit::module(spec)?);
    }
    let out_dir = env::var("OUT_DIR")?;
    fs::write(Path::new(&out_dir).join("messages.rs"), messages)?;
    fs::write(
        Path::new(&out_dir).join("api_keys.rs"),
        table::emit(&specs)?,
    )?;
    Ok(())
}
