//! Some seeds of the simulation; `simulate` runs as many as are wanted.

use lockcore_fuzz::simulation;

#[test]
fn promises_are_kept_whatever_breaks() {
    for seed in 0..3_000 {
        println!("seed {seed}");
        simulation::run(seed, false);
    }
}
