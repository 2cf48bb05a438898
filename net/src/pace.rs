//! [`Pace`]: how fast one stream is read.

use std::{
    future::Future,
    num::NonZeroU32,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::time::{Instant, Sleep, sleep};

/// Messages are counted in windows of this length.
const WINDOW: Duration = Duration::from_millis(100);

/// Lets so many messages pass in a window, and those beyond in the next one. It looks at the clock once
/// for each window that is full.
#[derive(Debug)]
pub(crate) struct Pace {
    in_window: u32,
    left: u32,
    /// Ends the window.
    end: Pin<Box<Sleep>>,
}

impl Pace {
    pub(crate) fn new(per_second: NonZeroU32) -> Self {
        let windows = u32::try_from(Duration::from_secs(1).as_millis() / WINDOW.as_millis());
        let in_window = per_second.get().div_ceil(windows.expect("a second has a few windows"));
        Self { in_window, left: in_window, end: Box::pin(sleep(WINDOW)) }
    }

    /// Waits until a message may be read.
    pub(crate) fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.left == 0 {
            ready!(self.end.as_mut().poll(cx));
            self.end.as_mut().reset(Instant::now() + WINDOW);
            self.left = self.in_window;
        }
        Poll::Ready(())
    }

    /// A message was read.
    pub(crate) fn pass(&mut self) {
        self.left -= 1;
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    /// Lets so many messages pass, and returns how long that took.
    async fn pass(pace: &mut Pace, messages: u32) -> Duration {
        let begun = Instant::now();
        for _ in 0..messages {
            poll_fn(|cx| pace.poll_ready(cx)).await;
            pace.pass();
        }
        begun.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_too_fast_waits_and_what_is_slow_does_not() {
        let mut pace = Pace::new(NonZeroU32::new(100).expect("it is not zero"));
        assert_eq!(pass(&mut pace, 10).await, Duration::ZERO);
        let took = pass(&mut pace, 50).await;
        assert!((400..=510).contains(&took.as_millis()), "{took:?}");
        sleep(WINDOW).await;
        for _ in 0..20 {
            sleep(Duration::from_millis(11)).await;
            assert_eq!(pass(&mut pace, 1).await, Duration::ZERO);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_slowest_pace_is_one_message_in_a_window() {
        let mut pace = Pace::new(NonZeroU32::MIN);
        assert_eq!(pass(&mut pace, 1).await, Duration::ZERO);
        assert!(pass(&mut pace, 10).await >= 9 * WINDOW);
    }
}
