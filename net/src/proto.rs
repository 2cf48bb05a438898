//! The protocol, generated from `proto/`.

/// `syncer.v1`: sessions over a bidirectional stream.
#[allow(
    missing_docs,
    unused_qualifications,
    clippy::all,
    clippy::allow_attributes_without_reason,
    clippy::use_self,
    reason = "generated"
)]
pub mod v1 {
    tonic::include_proto!("syncer.v1");
}

/// `pb`: the protocol of go-syncer.
#[allow(
    missing_docs,
    unused_qualifications,
    clippy::all,
    clippy::allow_attributes_without_reason,
    clippy::use_self,
    reason = "generated"
)]
pub mod pb {
    tonic::include_proto!("pb");
}

/// How many bytes a message of a client has at most, beside those that ids may have by a server's limit.
pub(crate) const MESSAGE_BYTES: usize = 256 << 10;

/// The descriptors of both, encoded, for gRPC reflection.
pub const DESCRIPTORS: &[u8] = tonic::include_file_descriptor_set!("descriptors");
