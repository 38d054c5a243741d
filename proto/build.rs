//! Compiles the protos, without protoc.

use std::{env, error::Error, fs, path::Path};

use prost::Message;

const FILES: [&str; 8] = [
    "fjord/v1/cluster.proto",
    "fjord/v1/config.proto",
    "fjord/v1/consumer.proto",
    "fjord/v1/fetch.proto",
    "fjord/v1/group.proto",
    "fjord/v1/producer.proto",
    "fjord/v1/record.proto",
    "fjord/v1/topic.proto",
];

/// What brokers say to each other; not shown to clients.
const PEER_FILES: [&str; 3] = [
    "fjord/peer/v1/controller.proto",
    "fjord/peer/v1/forward.proto",
    "fjord/peer/v1/replication.proto",
];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=fjord");
    // With their comments, which become the documentation of the Rust types and `docs/grpc.md`.
    let descriptors = protox::compile(FILES, ["."])?;
    let out = env::var("OUT_DIR")?;
    fs::write(
        Path::new(&out).join("descriptors.bin"),
        descriptors.encode_to_vec(),
    )?;
    tonic_prost_build::configure()
        // Keys and values stay slices of the message that they came in.
        .bytes(".")
        .compile_fds(descriptors)?;
    tonic_prost_build::configure()
        .bytes(".")
        .compile_fds(protox::compile(PEER_FILES, ["."])?)?;
    Ok(())
}
