//! [`Epoch`]: the part of a number that counts restarts.

/// How many bits of a number count within one run.
const RUN_BITS: u32 = 43;

/// Which run of a server this is: counted up by each start, so that no number is given twice.
///
/// Tokens, places and session ids of a run are greater than those of all earlier runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epoch(u32);

impl Epoch {
    /// The first run.
    pub const FIRST: Self = Self(0);

    /// The last that there can be.
    pub const LAST: Self = Self((1 << 20) - 1);

    /// The run of this number; `None` beyond [`LAST`](Self::LAST).
    pub const fn new(number: u32) -> Option<Self> {
        if number <= Self::LAST.0 { Some(Self(number)) } else { None }
    }

    /// Returns the number.
    pub const fn get(self) -> u32 {
        self.0
    }

    /// The run after this one; `None` after [`LAST`](Self::LAST).
    pub const fn next(self) -> Option<Self> {
        Self::new(self.0 + 1)
    }

    /// The number `count` of this run. The first of a run is 1, so all of earlier runs are below
    /// `number(0)`.
    pub(super) fn number(self, count: u64) -> u64 {
        assert!(count < 1 << RUN_BITS, "a run that gives 2^43 numbers is out of reach");
        u64::from(self.0) << RUN_BITS | count
    }

    /// Returns whether a number was given by an earlier run.
    pub(super) fn is_after(self, number: u64) -> bool {
        number < self.number(0)
    }
}
