//! [`Op`]: what the bytes ask for.

use std::time::Duration;

/// How many streams there may be at once.
pub(super) const LINES: usize = 3;

/// Too many, an empty one, and one that is too long.
pub(super) const IDS: [&str; 6] = ["a", "b", "c", "d", "", "too long an id"];

/// How many requests a session may be asked for by number.
const REQUESTS: u64 = 6;

/// One operation.
#[derive(Debug)]
pub(super) enum Op<'a> {
    /// Somebody says something on a stream, which is begun if there is none.
    Say {
        line: usize,
        say: Say,
    },
    /// Bytes arrive on a stream as a message.
    Bytes {
        line: usize,
        bytes: &'a [u8],
    },
    /// A peer reads what it was told.
    Read {
        line: usize,
    },
    /// A stream breaks.
    Break {
        line: usize,
    },
    RevokeId {
        id: &'static str,
    },
    Expel {
        session: u8,
    },
    Restart,
    Pass {
        time: Duration,
    },
}

/// A message; a bit of it may be garbled on the way.
#[derive(Debug)]
pub(super) struct Say {
    pub(super) kind: Kind,
    pub(super) request: u64,
    pub(super) id: &'static str,
    /// Says which of the numbers that were told.
    pub(super) number: u8,
    pub(super) more: u8,
    pub(super) garbled: Option<u8>,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    Open,
    /// Resumes a session that was told, with so many claims.
    Resume {
        claims: u8,
    },
    Claims {
        claims: u8,
    },
    /// As many claims as fill the room of a stream by and by.
    ManyClaims,
    KeepAlive,
    Lock,
    Cancel,
    Release,
    Close,
    Nothing,
}

impl<'a> Op<'a> {
    /// Takes one off the bytes, if there are enough.
    pub(super) fn take(bytes: &mut &'a [u8]) -> Option<Self> {
        let (&[kind, line, request, number, more], rest) = bytes.split_first_chunk()?;
        *bytes = rest;
        let line = usize::from(line) % LINES;
        Some(match kind % 32 {
            0 => Self::Break { line },
            1 => Self::RevokeId { id: IDS[usize::from(number) % 3] },
            2 => Self::Expel { session: number },
            3 if number % 4 == 0 => Self::Restart,
            3..6 => Self::Pass { time: Duration::from_millis(u64::from(more) * 100) },
            6 => {
                let (message, rest) = rest.split_at(usize::from(more).min(rest.len()));
                *bytes = rest;
                Self::Bytes { line, bytes: message }
            }
            7..9 => Self::Read { line },
            said => {
                let id = IDS[[0, 0, 0, 1, 1, 2, 3, 4, 5][usize::from(more) % 9]];
                let garbled = (kind / 32 == 7 && request / 64 == 3).then_some(number);
                let request = u64::from(request) % REQUESTS;
                let kind = Kind::decode(said, more);
                Self::Say { line, say: Say { kind, request, id, number, more, garbled } }
            }
        })
    }
}

impl Kind {
    /// Whether it comes before a stream is the connection of a session.
    pub(super) fn opens(self) -> bool {
        matches!(self, Self::Open | Self::Resume { .. } | Self::Claims { .. } | Self::ManyClaims)
    }

    fn decode(said: u8, more: u8) -> Self {
        match said {
            9 | 10 => Self::Open,
            11 | 12 => Self::Resume { claims: more % 5 },
            13 => Self::Claims { claims: more % 3 },
            14 if more > 250 => Self::ManyClaims,
            14 if more > 240 => Self::Nothing,
            14 if more > 200 => Self::Close,
            14 => Self::KeepAlive,
            15..18 => Self::Cancel,
            18..24 => Self::Release,
            _ => Self::Lock,
        }
    }
}
