//! Run with `cargo fuzz run wire`. Built without a fuzzer, it replays the files it is given.

#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    lockcore_fuzz::wire::run(bytes);
});

#[cfg(not(fuzzing))]
fn main() -> std::io::Result<()> {
    lockcore_fuzz::replay("wire", |bytes| {
        lockcore_fuzz::wire::run(bytes);
    })
}
