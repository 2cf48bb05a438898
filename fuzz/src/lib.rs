//! Fuzzing of lockcore: bytes become operations, and the outcome of each is compared with a model.
//!
//! | module | what |
//! |---|---|
//! | [`interleavings`] | futures and guards of a `KeyedRwLock`, polled and dropped in any order |
//! | [`manager`] | sessions of a `LockManager`, and the passing of time |
//! | [`wire`] | streams of a server on which anything is said, bytes that are no message included |
//! | [`simulation`] | a `LockManager` with clients, connections, clocks and restarts that go wrong |
//! | [`events`] | what a run has met, so that a test can say what was never met |
//!
//! The first three have an `op` (what bytes ask for) and a `model` (what ought to be, without cleverness)
//! or `contract` (what may be told). `cargo fuzz run interleavings`, `manager` or `wire` looks for more;
//! `cargo test -p lockcore-fuzz` replays what is in `fuzz/corpus` and `fuzz/regressions`, runs some seeds
//! of the simulation, and lets a model checker explore a manager. `fuzz/bugs/run` seeds bugs.

pub mod events;
pub mod interleavings;
pub mod manager;
pub mod simulation;
pub mod wire;

/// What a target does where no fuzzer is built in: runs the files given as arguments.
///
/// # Errors
///
/// If a file cannot be read.
pub fn replay(target: &str, run: impl Fn(&[u8])) -> std::io::Result<()> {
    let files: Vec<_> = std::env::args_os().skip(1).collect();
    if files.is_empty() {
        println!("`cargo fuzz run {target}` fuzzes; here, give files to replay");
    }
    for file in files {
        println!("{}", file.display());
        run(&std::fs::read(&file)?);
    }
    Ok(())
}
