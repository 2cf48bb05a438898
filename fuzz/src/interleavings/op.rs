//! [`Op`]: what a pair of bytes asks for.

use lockcore::Mode;

/// How many ids there are.
pub(super) const IDS: usize = 4;
/// How many wakers there are.
pub(super) const WAKERS: usize = 6;

/// One operation. `nth` is taken modulo the number of futures or guards that are there, so that
/// hardly any operation is void.
#[derive(Clone, Copy, Debug)]
pub(super) enum Op {
    /// Makes a future; its first poll is an operation of its own.
    Start { id: usize, mode: Mode },
    /// Makes a future and polls it.
    StartAndPoll { id: usize, mode: Mode, waker: usize },
    /// Polls a future that was not polled yet.
    PollUnpolled { nth: usize, waker: usize },
    /// Polls a queued or handed-over future with the waker that it was polled with.
    PollAgain { nth: usize },
    /// Polls a queued or handed-over future with a waker of its own choice.
    PollWith { nth: usize, waker: usize },
    /// Drops a future.
    Drop { nth: usize },
    /// Drops a guard.
    Release { nth: usize },
    /// Tries to lock.
    TryLock { id: usize, mode: Mode },
    /// Makes a future that owns all it needs.
    StartOwned { id: usize, mode: Mode },
    /// Makes such a future and polls it.
    StartOwnedAndPoll { id: usize, mode: Mode, waker: usize },
    /// Makes a future for several ids and polls it.
    StartAllAndPoll { ids: &'static [usize], mode: Mode, waker: usize },
    /// Tries to lock several ids.
    TryLockAll { ids: &'static [usize], mode: Mode },
    /// Downgrades a guard, or those of several ids.
    Downgrade { nth: usize },
    /// Begins to watch an id.
    Watch { id: usize, waker: usize },
    /// Begins to watch all.
    WatchAll { waker: usize },
    /// Polls who watches.
    PollWatch { nth: usize, waker: usize },
    /// Drops who watches.
    DropWatch { nth: usize },
    /// Closes the lock.
    Close,
}

/// The sets of two and of three ids.
const SETS: [&[usize]; 10] = [
    &[0, 1],
    &[0, 2],
    &[0, 3],
    &[1, 2],
    &[1, 3],
    &[2, 3],
    &[0, 1, 2],
    &[0, 1, 3],
    &[0, 2, 3],
    &[1, 2, 3],
];

/// Kinds from here on ask for what is rarer.
const RARER: u8 = 192;

impl Op {
    /// Decodes any two bytes.
    pub(super) fn decode([kind, argument]: [u8; 2]) -> Self {
        let argument = usize::from(argument);
        let mode = if argument & 1 == 0 { Mode::Exclusive } else { Mode::Shared };
        let id = argument / 2 % IDS;
        if let Some(kind) = kind.checked_sub(RARER) {
            return Self::decode_rarer(kind.into(), argument, id, mode);
        }
        let waker = usize::from(kind / 8) % WAKERS;
        match kind % 8 {
            0 => Self::Start { id, mode },
            1 => Self::StartAndPoll { id, mode, waker },
            2 => Self::PollUnpolled { nth: argument, waker },
            3 => Self::PollAgain { nth: argument },
            4 => Self::PollWith { nth: argument, waker },
            5 => Self::Drop { nth: argument },
            6 => Self::Release { nth: argument },
            _ => Self::TryLock { id, mode },
        }
    }
    fn decode_rarer(kind: usize, argument: usize, id: usize, mode: Mode) -> Self {
        let ids = SETS[argument / 2 % SETS.len()];
        let waker = kind % WAKERS;
        match kind / WAKERS {
            0 => Self::StartOwned { id, mode },
            1 => Self::StartOwnedAndPoll { id, mode, waker },
            2 => Self::StartAllAndPoll { ids, mode, waker },
            3 => Self::TryLockAll { ids, mode },
            4 => Self::Downgrade { nth: argument },
            5 => Self::Watch { id, waker },
            6 => Self::WatchAll { waker },
            7 => Self::PollWatch { nth: argument, waker },
            8 => Self::DropWatch { nth: argument },
            // Rarest, so that most runs see the lock open for long.
            9 if waker == 0 && mode == Mode::Exclusive => Self::Close,
            _ => Self::Release { nth: argument },
        }
    }
}
