//! [`FromBorrowed`]: how an id is made from the form it is locked by.

use alloc::{
    borrow::{Cow, ToOwned},
    boxed::Box,
    ffi::CString,
    rc::Rc,
    string::String,
    sync::Arc,
    vec::Vec,
};
use core::{borrow::Borrow, ffi::CStr};
#[cfg(feature = "std")]
use std::{
    ffi::{OsStr, OsString},
    path::{Path, PathBuf},
};

/// An id that can be named by `Q`, such as `String` by `str`. It is made from that form when it
/// enters a table: when nobody holds it or waits for it.
///
/// Every id that is `Clone` can be named by itself. For an id type of your own that is to be named
/// by something else:
///
/// ```
/// use lockcore::{FromBorrowed, KeyedMutex};
///
/// #[derive(PartialEq, Eq, Hash)]
/// struct Iban(Box<str>);
///
/// impl std::borrow::Borrow<str> for Iban {
///     fn borrow(&self) -> &str {
///         &self.0
///     }
/// }
///
/// impl FromBorrowed<str> for Iban {
///     fn from_borrowed(form: &str) -> Self {
///         Self(form.into())
///     }
/// }
///
/// let accounts = KeyedMutex::<Iban>::new();
/// assert!(accounts.try_lock("DE02120300000000202051").is_some());
/// ```
///
/// As [`Borrow`] demands, `Hash` and `Eq` of both forms must agree.
pub trait FromBorrowed<Q: ?Sized>: Borrow<Q> {
    /// Makes the id.
    fn from_borrowed(form: &Q) -> Self;
}

impl<I: Clone> FromBorrowed<I> for I {
    #[inline]
    fn from_borrowed(form: &I) -> I {
        form.clone()
    }
}

impl<'a, Q: ToOwned + ?Sized> FromBorrowed<Q> for Cow<'a, Q> {
    #[inline]
    fn from_borrowed(form: &Q) -> Self {
        Cow::Owned(form.to_owned())
    }
}

macro_rules! by_from {
    ($form:ty => $($id:ty),+) => {$(
        impl FromBorrowed<$form> for $id {
            #[inline]
            fn from_borrowed(form: &$form) -> Self {
                form.into()
            }
        }
    )+};
}

by_from!(str => String, Box<str>, Rc<str>, Arc<str>);
// A string of up to 24 bytes is stored in place: locking such an id allocates nothing.
#[cfg(feature = "compact_str")]
by_from!(str => compact_str::CompactString);
by_from!(CStr => CString, Box<CStr>, Rc<CStr>, Arc<CStr>);
#[cfg(feature = "std")]
by_from!(OsStr => OsString, Box<OsStr>, Rc<OsStr>, Arc<OsStr>);
#[cfg(feature = "std")]
by_from!(Path => PathBuf, Box<Path>, Rc<Path>, Arc<Path>);

macro_rules! by_slice {
    ($($id:ty),+) => {$(
        impl<T: Clone> FromBorrowed<[T]> for $id {
            #[inline]
            fn from_borrowed(form: &[T]) -> Self {
                form.into()
            }
        }
    )+};
}

by_slice!(Vec<T>, Box<[T]>, Rc<[T]>, Arc<[T]>);
