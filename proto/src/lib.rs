//! The gRPC contracts of Fjord: the types of `fjord/v1/*.proto`, and clients and servers for its services.
//!
//! `bytes` fields are [`bytes::Bytes`], slices of the message that they came in.

pub mod partitioner;

/// Package `fjord.v1`: what users of a cluster call.
#[expect(
    clippy::all,
    unused_qualifications,
    reason = "generated code, whose style is its generator's"
)]
pub mod v1 {
    tonic::include_proto!("fjord.v1");
}

/// What brokers say to each other.
pub mod peer {
    /// Package `fjord.peer.v1`.
    #[expect(
        unused_qualifications,
        missing_docs,
        reason = "generated code, whose style is its generator's"
    )]
    pub mod v1 {
        tonic::include_proto!("fjord.peer.v1");
    }
}

/// The protos for users as an encoded `google.protobuf.FileDescriptorSet`, with their comments: for reflection.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

/// The domain of the reasons in error details (`google.rpc.ErrorInfo`).
pub const ERROR_DOMAIN: &str = "fjord.dev";
