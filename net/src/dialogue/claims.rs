//! [`Claims`]: what a stream says before its session is known.

use std::{mem, sync::Arc};

use super::{Fault, budget::Budget};
use crate::{convert, proto::v1};

/// How many bytes the claims of all streams take together while their sessions are not known, beside
/// those that each stream has to itself.
pub(super) const CLAIMS_IN_ALL: usize = 256 << 20;

/// How many bytes of claims a stream has to itself: who has little to claim finds room always.
const OWN: usize = 64 << 10;

/// How many bytes a claim takes beside its id.
const CLAIM: usize = size_of::<v1::Claim>();

/// How many bytes a further id of a claim takes beside its own, with its token.
const MORE_ID: usize = size_of::<String>() + size_of::<u64>();

/// The claims of one stream. Nobody has shown a secret for them yet, so they are counted as they are in
/// memory: in a message, a claim can be a twentieth of that.
#[derive(Debug)]
pub(super) struct Claims {
    list: Vec<v1::Claim>,
    bytes: usize,
    /// How many there may be: those of a full session with ids of full length.
    room: usize,
    shared: Arc<Budget>,
}

impl Claims {
    /// None yet, of a session that may have so many requests, with ids of so many bytes.
    pub(super) fn new(shared: Arc<Budget>, requests: usize, id_bytes: usize) -> Self {
        // A client that was cut off does not know yet which of its requests are refused: so there is
        // room for more than a small limit admits.
        let room = requests.max(4096).saturating_mul(id_bytes.saturating_add(CLAIM));
        Self { list: Vec::new(), bytes: 0, room, shared }
    }

    /// Takes more in.
    ///
    /// # Errors
    ///
    /// For claims that make no sense, as each takes memory, and for too many of them.
    pub(super) fn take_in(&mut self, more: Vec<v1::Claim>) -> Result<(), Fault> {
        let mut bytes = self.bytes;
        for claim in &more {
            let more_ids = convert::more_ids_of_claim(claim);
            let of_more = more_ids.iter().map(|id| MORE_ID + id.len()).sum::<usize>();
            bytes += CLAIM + convert::claim(claim, &more_ids)?.ask.id.len() + of_more;
        }
        if bytes > self.room {
            let limit = self.room;
            return Err(too_many(format!(
                "{bytes} bytes of claims; a session has {limit} at most"
            )));
        }
        if !self.shared.take(beyond_own(bytes) - beyond_own(self.bytes)) {
            let limit = self.shared.limit();
            return Err(too_many(format!("{limit} bytes of claims, over all streams; try again")));
        }
        self.bytes = bytes;
        self.list.extend(more);
        Ok(())
    }

    /// Takes all of them out.
    pub(super) fn take(&mut self) -> Vec<v1::Claim> {
        self.shared.give_back(beyond_own(mem::take(&mut self.bytes)));
        mem::take(&mut self.list)
    }
}

impl Drop for Claims {
    fn drop(&mut self) {
        self.take();
    }
}

fn beyond_own(bytes: usize) -> usize {
    bytes.saturating_sub(OWN)
}

fn too_many(what: String) -> Fault {
    Fault::TooMuch(format!("there are too many claims: {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claims(count: usize) -> Vec<v1::Claim> {
        let lock = v1::Lock { id: "123".to_owned(), ..v1::Lock::default() };
        let state = Some(v1::claim::State::Place(0));
        vec![v1::Claim { lock: Some(lock), state, more_tokens: Vec::new() }; count]
    }

    /// As many claims as fill so many bytes.
    fn filling(bytes: usize) -> Vec<v1::Claim> {
        claims(bytes / (CLAIM + 3))
    }

    #[test]
    fn streams_share_what_their_claims_take_and_have_a_little_to_themselves() {
        let budget = Budget::new(2 * OWN);
        let stream = || Claims::new(budget.clone(), 100_000, 1024);
        let (mut first, mut second) = (stream(), stream());
        first.take_in(filling(OWN)).unwrap();
        first.take_in(filling(OWN)).unwrap();
        second.take_in(filling(OWN)).unwrap();
        second.take_in(filling(OWN)).unwrap();
        let refused = second.take_in(filling(OWN)).unwrap_err();
        assert!(matches!(refused, Fault::TooMuch(_)), "{refused:?}");
        assert!(refused.to_string().ends_with("over all streams; try again"), "{refused}");
        let mut small = stream();
        small.take_in(filling(OWN)).unwrap();

        let taken = first.take();
        assert_eq!(taken.len(), 2 * filling(OWN).len());
        second.take_in(filling(OWN)).unwrap();
        drop((first, second, small));
        assert!(budget.take(2 * OWN), "all is given back");
    }

    #[test]
    fn claims_count_as_they_are_in_memory() {
        let mut full = Claims::new(Budget::new(CLAIMS_IN_ALL), 5000, 3);
        full.take_in(claims(5000)).unwrap();
        let refused = full.take_in(claims(1)).unwrap_err();
        assert!(matches!(refused, Fault::TooMuch(_)), "{refused:?}");
        let limit = 5000 * (CLAIM + 3);
        assert!(refused.to_string().ends_with(&format!("{limit} at most")), "{refused}");
    }

    #[test]
    fn a_claim_that_makes_no_sense_is_refused_at_once() {
        let mut stream = Claims::new(Budget::new(CLAIMS_IN_ALL), 5000, 3);
        let refused = stream.take_in(vec![v1::Claim::default()]).unwrap_err();
        assert!(matches!(refused, Fault::Senseless(_)), "{refused:?}");
        assert_eq!(stream.take(), []);
    }
}
