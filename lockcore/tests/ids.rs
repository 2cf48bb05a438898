//! By which forms can an id be named, and what does that cost?

#![cfg(feature = "std")]

use std::{
    alloc::{GlobalAlloc, Layout, System},
    borrow::{Borrow, Cow},
    cell::Cell,
    ffi::{CStr, CString, OsStr, OsString},
    fmt::Debug,
    hash::Hash,
    path::{Path, PathBuf},
    rc::Rc,
    sync::Arc,
};

use lockcore::{FromBorrowed, KeyedMutex};

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

/// Counts the allocations of each thread.
struct Counting;

// SAFETY: it is the system's allocator; counting needs no memory.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller's promises are the system's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn allocations(work: impl FnOnce()) -> usize {
    let before = ALLOCATIONS.get();
    work();
    ALLOCATIONS.get() - before
}

/// Locks by the borrowed form, and finds the same id by it.
fn is_named_by<I, Q>(form: &Q)
where
    I: FromBorrowed<Q> + Hash + Clone + Eq + Debug,
    Q: Hash + Eq + Debug + ?Sized,
{
    let mutex = KeyedMutex::<I>::new();
    let guard = mutex.try_lock(form).unwrap();
    assert_eq!(<I as Borrow<Q>>::borrow(&guard.id()), form);
    assert!(mutex.is_locked(form));
    assert!(mutex.try_lock(form).is_none());
    drop(guard);
    assert!(mutex.is_empty());
}

#[test]
fn every_owner_of_a_string_is_named_by_str() {
    is_named_by::<String, str>("payment-123");
    is_named_by::<Box<str>, str>("payment-123");
    is_named_by::<Rc<str>, str>("payment-123");
    is_named_by::<Arc<str>, str>("payment-123");
    is_named_by::<Cow<'_, str>, str>("payment-123");
}

#[test]
fn every_owner_of_a_slice_is_named_by_it() {
    is_named_by::<Vec<u8>, [u8]>(b"payment-123");
    is_named_by::<Box<[u8]>, [u8]>(b"payment-123");
    is_named_by::<Rc<[u16]>, [u16]>(&[1, 2, 3]);
    is_named_by::<Arc<[u16]>, [u16]>(&[1, 2, 3]);
    is_named_by::<Cow<'_, [u8]>, [u8]>(b"payment-123");
}

#[test]
fn paths_and_foreign_strings_are_named_by_what_they_borrow_as() {
    is_named_by::<PathBuf, Path>(Path::new("/payment/123"));
    is_named_by::<Arc<Path>, Path>(Path::new("/payment/123"));
    is_named_by::<OsString, OsStr>(OsStr::new("payment-123"));
    is_named_by::<CString, CStr>(c"payment-123");
    is_named_by::<Box<CStr>, CStr>(c"payment-123");
}

#[test]
fn whatever_can_be_cloned_is_named_by_itself() {
    is_named_by::<u64, u64>(&123);
    is_named_by::<(u32, String), (u32, String)>(&(1, "a".into()));
    is_named_by::<Arc<str>, Arc<str>>(&"payment-123".into());
}

#[test]
fn an_id_is_made_when_it_enters_a_table_and_not_while_it_is_in_use() {
    let mutex = KeyedMutex::<String>::new();
    drop(mutex.try_lock("payment-123"));
    let first = allocations(|| std::mem::forget(mutex.try_lock("payment-123")));
    assert_eq!(first, 1);
    // It is in use: the first look moves it to its table, the others find it there.
    assert!(mutex.try_lock("payment-123").is_none());
    assert_eq!(allocations(|| assert!(mutex.try_lock("payment-123").is_none())), 0);
    assert_eq!(allocations(|| assert!(mutex.is_locked("payment-123"))), 0);
}

#[test]
fn an_id_that_shares_its_string_is_cloned_without_an_allocation() {
    let id: Arc<str> = "payment-123".into();
    let mutex = KeyedMutex::<Arc<str>>::new();
    drop(mutex.try_lock(&id));
    assert_eq!(allocations(|| drop(mutex.try_lock(&id))), 0);
}

#[cfg(feature = "compact_str")]
#[test]
fn a_short_string_in_place_allocates_nothing() {
    use compact_str::CompactString;

    is_named_by::<CompactString, str>("payment-123");
    is_named_by::<CompactString, str>("a payment whose name is far too long for twenty-four bytes");
    let mutex = KeyedMutex::<CompactString>::new();
    drop(mutex.try_lock("payment-123"));
    let turn = || drop(mutex.try_lock("a-payment-of-24-bytes-00"));
    assert_eq!(allocations(turn), 0);
    assert!(mutex.is_empty());
}
