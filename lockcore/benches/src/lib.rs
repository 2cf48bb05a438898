//! `lockcore` beside its peers.
//!
//! `table` prints times, memory and their ratios, measured in turns in one run; `instructions`
//! counts instructions under callgrind and fails when one of ours exceeds its limit:
//!
//! ```text
//! cargo run --release --manifest-path lockcore/benches/Cargo.toml
//! cargo run --release --manifest-path lockcore/benches/Cargo.toml -- hand-off
//! cargo run --release --manifest-path lockcore/benches/Cargo.toml --bin instructions
//! ```

pub mod drive;
pub mod heap;
pub mod peers;
pub mod report;
pub mod rows;
