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
}

impl Op {
    /// Decodes any two bytes.
    pub(super) fn decode([kind, argument]: [u8; 2]) -> Self {
        let argument = usize::from(argument);
        let mode = if argument & 1 == 0 { Mode::Exclusive } else { Mode::Shared };
        let id = argument / 2 % IDS;
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
}
