//! Slots: exclusive locks that nobody contends for, held without a table.
//!
//! They need atomics of 64 bits, and `--cfg lockcore_no_slots` shows what is left without them.

#[cfg(any(not(target_has_atomic = "64"), lockcore_no_slots))]
mod none;
#[cfg(all(target_has_atomic = "64", not(lockcore_no_slots)))]
mod sync;
#[cfg(all(target_has_atomic = "64", not(lockcore_no_slots)))]
mod words;

#[cfg(any(not(target_has_atomic = "64"), lockcore_no_slots))]
pub(crate) use none::{Slot, Slots};
#[cfg(all(target_has_atomic = "64", not(lockcore_no_slots)))]
pub(crate) use words::{Slot, Slots};

/// Where a hold is to be found.
#[cfg_attr(
    any(not(target_has_atomic = "64"), lockcore_no_slots),
    expect(dead_code, reason = "without slots all holds are in tables")
)]
pub(crate) enum Whereabouts<'a, I> {
    /// In the slot, with this id.
    Slot(&'a I),
    /// In the table, where it was moved to; it holds by this queue.
    Queue(usize),
    /// In the table, as it says itself.
    Table,
}
