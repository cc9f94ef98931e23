//! When requests are sent: at a rate, evenly, or as soon as a response has come.

use std::time::Duration;

use crate::wire::Moment;

/// When requests are sent.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) enum Pacing {
    /// On each connection the next one when its response has come. After a connection that could not be opened, its slot rests
    /// for 10 ms.
    Closed,
    /// At this rate, evenly, whatever becomes of them; those for which there is no connection wait.
    Open {
        /// In requests a second.
        rate: f64,
    },
}

impl Pacing {
    /// When the request with that number is due, of a load that began then; at any time in a closed loop.
    pub(super) fn due(self, started: Moment, number: u64) -> Option<Moment> {
        match self {
            Pacing::Closed => None,
            Pacing::Open { rate } => Some(started.after(Duration::from_nanos((number as f64 * 1e9 / rate) as u64))),
        }
    }
}

/// Holds requests that are sent one by one to a rate: each is at least that long after the one before. What is missed is not
/// made up for.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub(super) struct Limiter {
    gap: Duration,
    next: Moment,
}

impl Limiter {
    /// `rate` in requests a second; None for no limit.
    pub(super) fn new(rate: Option<f64>) -> Limiter {
        let gap = rate.map_or(Duration::ZERO, |rate| Duration::from_secs_f64(1.0 / rate));
        Limiter { gap, next: Moment(0) }
    }

    /// How long the next request has to wait, which counts as sent then.
    pub(super) fn take(&mut self, now: Moment) -> Duration {
        let at = self.next.max(now);
        self.next = at.after(self.gap);
        at.since(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limiter_spaces_requests_and_makes_up_for_nothing() {
        let mut limiter = Limiter::new(Some(100.0));
        let at = |millis: u64| Moment(1_000_000_000).after(Duration::from_millis(millis));
        assert_eq!(limiter.take(at(0)), Duration::ZERO);
        assert_eq!(limiter.take(at(0)), Duration::from_millis(10));
        assert_eq!(limiter.take(at(15)), Duration::from_millis(5));
        assert_eq!(limiter.take(at(500)), Duration::ZERO);
        assert_eq!(limiter.take(at(501)), Duration::from_millis(9));
        assert_eq!(Limiter::new(None).take(at(0)), Duration::ZERO);
    }
}
