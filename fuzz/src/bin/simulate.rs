//! Runs the simulation of many seeds, or one again with a trace.
//!
//! `cargo run --release -p lockcore-fuzz --bin simulate -- --seeds 1000000` runs a million;
//! `… -- --seed 123 --trace` tells what happened in one.

use std::{panic, process::ExitCode, time::Instant};

use clap::Parser;
use lockcore_fuzz::simulation;

/// Simulates a lock manager with clients, connections, clocks and restarts that go wrong.
#[derive(Parser)]
struct Args {
    /// How many seeds to run.
    #[arg(long, default_value_t = 100_000)]
    seeds: u64,
    /// The first of them.
    #[arg(long, default_value_t = 0)]
    first: u64,
    /// Runs this one alone.
    #[arg(long)]
    seed: Option<u64>,
    /// Says each step of the one.
    #[arg(long, requires = "seed")]
    trace: bool,
}

fn main() -> ExitCode {
    let Args { seeds, first, seed, trace } = Args::parse();
    if let Some(seed) = seed {
        simulation::run(seed, trace);
        println!("seed {seed} keeps all promises");
        return ExitCode::SUCCESS;
    }
    let started = Instant::now();
    for seed in first..first + seeds {
        if panic::catch_unwind(|| simulation::run(seed, false)).is_err() {
            println!("seed {seed} breaks a promise; see --seed {seed} --trace");
            return ExitCode::FAILURE;
        }
    }
    println!("{seeds} seeds from {first} keep all promises, in {:.1?}", started.elapsed());
    ExitCode::SUCCESS
}
