//! Counts heap bytes while asked to.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    sync::atomic::{AtomicBool, AtomicIsize, Ordering::Relaxed},
};

/// The system's allocator; [`during`] says how much more of it is in use.
#[derive(Debug)]
struct Counting;

#[global_allocator]
static COUNTING: Counting = Counting;
static ACTIVE: AtomicBool = AtomicBool::new(false);
static BYTES: AtomicIsize = AtomicIsize::new(0);

/// Returns what `f` returns, and how many more bytes are in use after it than before.
///
/// Outside of it an allocation costs one more load; threads other than this are counted, too.
pub fn during<T>(f: impl FnOnce() -> T) -> (T, isize) {
    BYTES.store(0, Relaxed);
    ACTIVE.store(true, Relaxed);
    let output = f();
    ACTIVE.store(false, Relaxed);
    (output, BYTES.load(Relaxed))
}

fn count(bytes: usize, sign: isize) {
    if ACTIVE.load(Relaxed) {
        BYTES.fetch_add(sign * bytes as isize, Relaxed);
    }
}

// SAFETY: every call goes to `System` as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size(), 1);
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        count(layout.size(), -1);
        // SAFETY: the caller keeps the contract of `dealloc`, and `block` is from `System`.
        unsafe { System.dealloc(block, layout) }
    }
}
