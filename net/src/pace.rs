//! [`Pace`]: how fast one stream is read.

use std::{
    future::Future,
    num::NonZeroU32,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::time::{Instant, Sleep, sleep_until};

/// A stream that rested may be read so far ahead of its pace, and one message makes it wait for no
/// longer, however much is in it.
const BURST: Duration = Duration::from_millis(100);

/// A bucket of messages: it is filled at a steady rate, holds those of [`BURST`], and at least one.
///
/// It has one number, the moment at which it is full again. What is read moves it on.
#[derive(Debug)]
pub(crate) struct Pace {
    /// How long it takes to fill in one message.
    interval: Duration,
    /// How far `full` may be ahead when another message is read.
    ahead: Duration,
    full: Instant,
    /// Ends the wait, while one is under way.
    wait: Option<Pin<Box<Sleep>>>,
}

impl Pace {
    pub(crate) fn new(per_second: NonZeroU32) -> Self {
        let interval = Duration::from_secs(1) / per_second.get();
        let ahead = BURST.saturating_sub(interval);
        Self { interval, ahead, full: Instant::now(), wait: None }
    }

    /// Waits until a message may be read.
    pub(crate) fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.wait.is_none() {
            let late = self.full.saturating_duration_since(Instant::now());
            if late <= self.ahead {
                return Poll::Ready(());
            }
            self.wait = Some(Box::pin(sleep_until(self.full - self.ahead)));
        }
        if let Some(wait) = &mut self.wait {
            ready!(wait.as_mut().poll(cx));
        }
        self.wait = None;
        Poll::Ready(())
    }

    /// A message was read that counts as so many.
    pub(crate) fn pass(&mut self, count: usize) {
        let count = u32::try_from(count).unwrap_or(u32::MAX).max(1);
        let most = self.interval.max(BURST);
        let cost = self.interval.saturating_mul(count).min(most);
        self.full = self.full.max(Instant::now()) + cost;
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::time::{advance, sleep};

    use super::*;

    fn pace(per_second: u32) -> Pace {
        Pace::new(NonZeroU32::new(per_second).expect("it is not zero"))
    }

    /// Lets messages pass that count as so many each, and returns how long that took.
    async fn pass(pace: &mut Pace, messages: u32, count: usize) -> Duration {
        let begun = Instant::now();
        for _ in 0..messages {
            poll_fn(|cx| pace.poll_ready(cx)).await;
            pace.pass(count);
        }
        begun.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_too_fast_waits_and_what_is_slow_does_not() {
        let mut pace = pace(100);
        assert_eq!(pass(&mut pace, 10, 1).await, Duration::ZERO);
        assert_eq!(pass(&mut pace, 50, 1).await, Duration::from_millis(500));
        advance(BURST).await;
        for _ in 0..20 {
            sleep(Duration::from_millis(10)).await;
            assert_eq!(pass(&mut pace, 1, 1).await, Duration::ZERO);
        }
    }

    /// Windows would let two bursts pass around the end of one.
    #[tokio::test(start_paused = true)]
    async fn no_stretch_of_time_has_more_than_one_burst() {
        let mut pace = pace(100);
        advance(10 * BURST).await;
        let mut passed = Vec::new();
        for pause in [95, 5, 0, 0, 30, 0, 0, 95, 5, 0] {
            advance(Duration::from_millis(pause)).await;
            for _ in 0..10 {
                pass(&mut pace, 1, 1).await;
                passed.push(Instant::now());
            }
        }
        for (at, begun) in passed.iter().enumerate() {
            for (stretch, most) in [(BURST / 10, 11), (BURST, 20), (10 * BURST, 110)] {
                let count = passed[at..].iter().filter(|end| **end - *begun < stretch).count();
                assert!(count <= most, "{count} in {stretch:?}");
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_slowest_pace_is_one_message_a_second() {
        let mut pace = pace(1);
        assert_eq!(pass(&mut pace, 1, 1).await, Duration::ZERO);
        assert_eq!(pass(&mut pace, 10, 1).await, Duration::from_secs(10));
    }

    #[tokio::test(start_paused = true)]
    async fn a_message_that_counts_as_many_waits_as_they_would() {
        let mut pace = pace(100);
        assert_eq!(pass(&mut pace, 2, 5).await, Duration::ZERO);
        let took = pass(&mut pace, 10, 5).await.as_millis();
        assert!((450..=500).contains(&took), "{took} ms");
    }

    /// Keep-alives behind it are to be read in time.
    #[tokio::test(start_paused = true)]
    async fn no_message_makes_the_next_one_wait_for_long() {
        let mut pace = pace(100);
        assert_eq!(pass(&mut pace, 1, usize::MAX).await, Duration::ZERO);
        assert!(pass(&mut pace, 1, 1).await <= BURST);
    }
}
