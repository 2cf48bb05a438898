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
    include!(concat!(env!("OUT_DIR"), "/syncer.v1.rs"));
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
    include!(concat!(env!("OUT_DIR"), "/pb.rs"));
}

/// How many bytes a message of a client has at most, beside those that ids may have by a server's limit.
pub(crate) const MESSAGE_BYTES: usize = 256 << 10;

/// The descriptors of both, encoded, for gRPC reflection.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
