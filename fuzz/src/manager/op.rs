//! [`Op`]: what four bytes ask for.

use std::time::Duration;

use lockcore::{Mode, manager::Ask};

/// How many ids there are that may be locked.
pub(super) const IDS: usize = 3;
/// The longest id that may be locked, in bytes.
pub(super) const ID_BYTES: usize = 4;
/// How many ids a request may name.
pub(super) const IDS_OF_REQUEST: usize = 4;
/// How many requests a session may have, each as often as it has an id.
pub(super) const REQUESTS: usize = 6;
/// How many requests may wait, over all sessions, each as often as it waits for an id.
pub(super) const WAITERS: usize = 6;
/// The lease of those sessions that have one.
pub(super) const LEASE: Duration = Duration::from_secs(9);

/// One operation.
#[derive(Clone, Copy, Debug)]
pub(super) enum Op {
    Open {
        leased: bool,
        /// Whether its client understands runs.
        runs: bool,
    },
    /// The session is that number of all that were opened, closed ones too, modulo their number.
    Call {
        session: usize,
        call: Call,
    },
    /// A session comes back, with claims that are as wrong as `lies` says.
    Resume {
        session: usize,
        /// Whether it has passed a lock on.
        passes: bool,
        lies: u8,
    },
    /// Something arrives by the connection that a session had before it came back.
    Late {
        session: usize,
    },
    Detach {
        session: usize,
    },
    Revoke {
        session: usize,
        request: u64,
    },
    RevokeId {
        id: &'static str,
    },
    Expel {
        session: usize,
    },
    Restart,
    Pass {
        time: Duration,
    },
    HandleTimeout,
}

/// What a session calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Call {
    Close,
    KeepAlive,
    Lock { request: u64, ask: Ask<'static> },
    Cancel { request: u64 },
    Release { request: u64, wrong: u64 },
    ReleaseId { id: &'static str },
}

impl Op {
    /// Decodes any four bytes.
    pub(super) fn decode([kind, session, request, more]: [u8; 4]) -> Self {
        let (request, more_ids) = (u64::from(request % 6), more_ids(request / 6));
        let call = match kind % 16 {
            0 => return Self::rare(kind / 16, session.into(), request, more),
            1 if kind < 128 => return Self::HandleTimeout,
            1 => {
                return Self::Resume {
                    session: session.into(),
                    passes: request % 2 == 1,
                    lies: more,
                };
            }
            2 | 3 => return Self::Pass { time: Duration::from_secs(u64::from(more % 8)) },
            4 if more.is_multiple_of(8) => Call::Close,
            5 => Call::Cancel { request },
            6 | 7 => Call::Release { request, wrong: u64::from(more % 8 == 7) },
            8 => Call::ReleaseId { id: id(usize::from(more) % (IDS + 1)) },
            // So many are plain that runs form.
            4 | 14.. => Call::Lock { request, ask: Ask::exclusive(id(usize::from(kind / 16))) },
            _ => Call::Lock { request, ask: Ask { more_ids, ..ask(kind / 16, more) } },
        };
        Self::Call { session: session.into(), call }
    }

    fn rare(kind: u8, session: usize, request: u64, more: u8) -> Self {
        match kind {
            0..3 => Self::Open { leased: false, runs: false },
            3..7 => Self::Open { leased: true, runs: kind > 4 },
            7 => Self::Call { session, call: Call::KeepAlive },
            8 if more & 1 == 1 => Self::Late { session },
            8 => Self::Detach { session },
            9..12 => Self::Resume { session, passes: request % 2 == 1, lies: more },
            12 => Self::Revoke { session, request },
            13 if more & 4 == 0 => Self::RevokeId { id: id(usize::from(more) % IDS) },
            13 => Self::Expel { session },
            _ => Self::Restart,
        }
    }
}

fn ask(id_bits: u8, bits: u8) -> Ask<'static> {
    Ask {
        id: id(usize::from(id_bits)),
        more_ids: &[],
        mode: if bits & 1 == 0 { Mode::Exclusive } else { Mode::Shared },
        wait_limit: limit(bits >> 1 & 7),
        hold_limit: limit(bits >> 4 & 7),
        owner: (bits >> 7 == 1).then_some(u64::from(id_bits / 8)),
    }
}

/// Those that may be locked, the longest first; then, now and then, one that is bad.
pub(super) fn id(number: usize) -> &'static str {
    match number {
        14 => "",
        15 => "abcde",
        number => ["abcd", "b", "c"][number % IDS],
    }
}

/// What a request is for beside its first id: nothing, for half of all bytes.
fn more_ids(bits: u8) -> &'static [&'static str] {
    match bits {
        22..26 => &["b"],
        26..30 => &["c"],
        30..33 => &["abcd"],
        33..36 => &["b", "c"],
        36..38 => &["c", "abcd"],
        38 => &["abcd", "b", "abcd"],
        39 => &["c", "c"],
        40 => &["b", ""],
        41 => &["abcde"],
        42 => &["b", "c", "b", "c"],
        _ => &[],
    }
}

/// None, or 0 to 4 seconds.
fn limit(bits: u8) -> Option<Duration> {
    Some(Duration::from_secs(u64::from(bits.checked_sub(3)?)))
}
