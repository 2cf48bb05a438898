//! Replays the committed seeds and past crashes, and shows that the generator reaches everything.

use std::{collections::BTreeMap, fmt::Debug, fs, path::Path};

use lockcore_fuzz::{events::Events, interleavings, manager, wire};

/// The files of a directory of this package by name; none if there is no such directory.
fn files(directory: &str) -> BTreeMap<String, Vec<u8>> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join(directory);
    let Ok(entries) = fs::read_dir(directory) else { return BTreeMap::new() };
    let file = |entry: fs::DirEntry| {
        (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap())
    };
    entries.map(|entry| file(entry.unwrap())).collect()
}

/// Bytes that look random and are the same in every run: Knuth's MMIX generator.
fn noise(seed: u64) -> impl Iterator<Item = u8> {
    let mut state = seed;
    std::iter::repeat_with(move || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state.to_be_bytes()[0]
    })
}

/// Replays a directory and fails, with the name of the file, if the code and the model disagree.
fn replay(directory: &str, run: impl Fn(&[u8])) {
    for (name, bytes) in files(directory) {
        println!("{directory}/{name}");
        run(&bytes);
    }
}

/// Seeds are named after an event, and are the shortest that meet it; what `cargo fuzz` adds on a
/// machine has a hash as its name.
fn each_has_a_seed<E: Copy + Debug + Ord>(
    all: &[E],
    target: &str,
    run: impl Fn(&[u8]) -> Events<E>,
) {
    let corpus = files(&format!("corpus/{target}"));
    for event in all {
        let seed =
            corpus.get(&format!("{event:?}")).unwrap_or_else(|| panic!("no seed: {event:?}"));
        assert!(run(seed).has(*event), "its seed does not meet {event:?}");
    }
}

/// What the fuzzer is given at random reaches every operation and every kind of hand-off.
fn noise_meets_all<E: Copy + Debug + Ord>(all: &[E], run: impl Fn(&[u8]) -> Events<E>) {
    let mut met = Events::default();
    for seed in 0..1_000 {
        let bytes: Vec<u8> = noise(seed).take(512).collect();
        met.add(run(&bytes));
    }
    assert_eq!(met.missing(all), []);
}

#[test]
fn past_crashes_stay_away() {
    replay("regressions/interleavings", |bytes| drop(interleavings::run(bytes)));
    replay("regressions/manager", |bytes| drop(manager::run(bytes)));
    replay("regressions/wire", |bytes| drop(wire::run(bytes)));
}

#[test]
fn the_corpus_finds_nothing() {
    replay("corpus/interleavings", |bytes| drop(interleavings::run(bytes)));
    replay("corpus/manager", |bytes| drop(manager::run(bytes)));
    replay("corpus/wire", |bytes| drop(wire::run(bytes)));
}

#[test]
fn each_event_of_interleavings_has_a_seed() {
    each_has_a_seed(interleavings::Event::ALL, "interleavings", interleavings::run);
}

#[test]
fn each_event_of_the_manager_has_a_seed() {
    each_has_a_seed(manager::Met::ALL, "manager", manager::run);
}

#[test]
fn each_event_on_the_wire_has_a_seed() {
    each_has_a_seed(wire::Met::ALL, "wire", wire::run);
}

#[test]
fn noise_meets_every_event_on_the_wire() {
    noise_meets_all(wire::Met::ALL, wire::run);
}

#[test]
fn noise_meets_every_event_of_interleavings() {
    noise_meets_all(interleavings::Event::ALL, interleavings::run);
}

#[test]
fn noise_meets_every_event_of_the_manager() {
    noise_meets_all(manager::Met::ALL, manager::run);
}
