//! What slots are built of: `core`'s atomics, and loom's in its models.

#[cfg(not(lockcore_loom))]
pub(crate) use core::sync::atomic::{AtomicU64, Ordering};
#[cfg(lockcore_loom)]
pub(crate) use loom::{
    cell::UnsafeCell,
    sync::atomic::{AtomicU64, Ordering},
};

/// `core`'s cell with the face of loom's, which sees each access.
#[cfg(not(lockcore_loom))]
pub(crate) struct UnsafeCell<T>(core::cell::UnsafeCell<T>);

#[cfg(not(lockcore_loom))]
impl<T> UnsafeCell<T> {
    pub(crate) const fn new(value: T) -> Self {
        Self(core::cell::UnsafeCell::new(value))
    }

    #[inline]
    pub(crate) fn with<O>(&self, access: impl FnOnce(*const T) -> O) -> O {
        access(self.0.get())
    }

    #[inline]
    pub(crate) fn with_mut<O>(&self, access: impl FnOnce(*mut T) -> O) -> O {
        access(self.0.get())
    }
}

/// Waits a moment for another thread that is a few instructions from done, or was preempted there.
#[derive(Default)]
pub(crate) struct Backoff(u32);

impl Backoff {
    pub(crate) fn snooze(&mut self) {
        #[cfg(lockcore_loom)]
        loom::thread::yield_now();
        #[cfg(all(feature = "std", not(lockcore_loom)))]
        if self.0 >= 100 {
            return std::thread::yield_now();
        }
        self.0 += 1;
        core::hint::spin_loop();
    }
}
