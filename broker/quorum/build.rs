//! Compiles the peer protocol, without protoc.

use std::error::Error;

const ROOT: &str = "../../proto";
const FILE: &str = "fjord/peer/v1/quorum.proto";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed={ROOT}/{FILE}");
    let descriptors = protox::compile([FILE], [ROOT])?;
    tonic_prost_build::configure()
        .bytes(".")
        .compile_fds(descriptors)?;
    Ok(())
}
