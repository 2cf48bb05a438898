//! [`LeaseClock`]: until when a client may believe that its session lives.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use tokio::time::Instant;

/// One in so many parts of a lease is kept back, for a client's clock that is slower than the server's.
const DRIFT: u32 = 50;

/// The end of the lease by the client's own monotonic clock, readable without a lock.
///
/// The server counts a lease from when it heard the client, and the client from before it sent what was
/// heard: so the client's ends first, as long as its clock is not slower by more than one in [`DRIFT`].
#[derive(Debug)]
pub(super) struct LeaseClock {
    origin: Instant,
    /// In nanoseconds after `origin`; 0 if there is no session.
    end: AtomicU64,
}

impl LeaseClock {
    pub(super) fn new() -> Self {
        Self { origin: Instant::now(), end: AtomicU64::new(0) }
    }

    /// Begins the lease of a session.
    pub(super) fn start(&self, sent: Instant, lease: Duration) {
        let end = sent + (lease - lease / DRIFT);
        let nanos = end.saturating_duration_since(self.origin).as_nanos();
        self.end.store(u64::try_from(nanos).unwrap_or(u64::MAX), Ordering::Release);
    }

    /// Goes on with the lease after the server answered what was sent then, and says whether it may:
    /// a lease that has run out stays so, for somebody may have been told.
    pub(super) fn renew(&self, sent: Instant, lease: Duration) -> bool {
        let running = self.is_running();
        if running {
            self.start(sent, lease);
        }
        running
    }

    /// Ends the lease.
    pub(super) fn stop(&self) {
        self.end.store(0, Ordering::Release);
    }

    pub(super) fn is_running(&self) -> bool {
        Instant::now() < self.end()
    }

    /// When the lease ends; in the past if there is none.
    pub(super) fn end(&self) -> Instant {
        self.origin + Duration::from_nanos(self.end.load(Ordering::Acquire))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEASE: Duration = Duration::from_secs(10);

    #[tokio::test(start_paused = true)]
    async fn a_lease_counts_from_what_was_sent_less_the_drift() {
        let clock = LeaseClock::new();
        assert!(!clock.is_running());
        let sent = Instant::now();
        tokio::time::advance(LEASE / 2).await;
        clock.start(sent, LEASE);
        tokio::time::advance(Duration::from_millis(4799)).await;
        assert!(clock.is_running());
        tokio::time::advance(Duration::from_millis(1)).await;
        assert!(!clock.is_running());
    }

    #[tokio::test(start_paused = true)]
    async fn a_lease_that_ran_out_is_not_renewed() {
        let clock = LeaseClock::new();
        clock.start(Instant::now(), LEASE);
        tokio::time::advance(LEASE / 2).await;
        let sent = Instant::now();
        assert!(clock.renew(sent, LEASE));
        assert_eq!(clock.end(), sent + LEASE * 49 / 50);
        tokio::time::advance(LEASE).await;
        assert!(!clock.renew(Instant::now(), LEASE));
        assert!(!clock.is_running());
        clock.start(Instant::now(), LEASE);
        assert!(clock.is_running());
        clock.stop();
        assert!(!clock.is_running());
    }
}
