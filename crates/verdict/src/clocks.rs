//! Clocks of several hosts: how far each is from the client's, from joined requests alone. A request is sent before its backend
//! receives it, and has ended after: each joined request bounds the offset from both sides (Cristian 1989). What a backend notes as the
//! end of its response is no bound: the client may have the response before.

use std::collections::HashMap;
use std::time::Duration;

use uuid::Uuid;

use crate::Moment;
use crate::ledger::{Arrival, UNNUMBERED};
use crate::observation::{Backend, Observation};

/// Two clocks drift apart by less than a request's round trip within this time: the kernel slews at most 500 ppm, usually 50.
const WINDOW: u64 = 1_000_000_000;

/// How the clock of a host relates to the client's.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Clock {
    /// It may be the same clock, as on one machine: times are compared as they are.
    Same,
    /// It is another one. Times are converted, and are right to plus or minus the half-width.
    Converted {
        /// The largest of all seconds.
        half_width: Duration,
    },
    /// No request joins it to the client's: its times cannot be compared.
    Unknown,
}

/// The clock of one host, in seconds of its own time.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct HostClock {
    /// By the number of the second: what is added to the host's time lies between these.
    windows: Vec<(u64, Bounds)>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Bounds {
    low: i128,
    high: i128,
}

impl Bounds {
    fn middle(self) -> i128 {
        (self.low + self.high) / 2
    }

    fn half_width(self) -> Duration {
        // They cross where clocks drift by more than a round trip within the window: the error is of that size then.
        Duration::from_nanos(u64::try_from((self.high - self.low).unsigned_abs() / 2).unwrap_or(u64::MAX))
    }
}

impl HostClock {
    /// Notes a request whose response the client got from that host.
    pub fn see(&mut self, sent: Moment, received: Moment, ended: Moment) {
        let bounds = Bounds {
            low: i128::from(sent.0) - i128::from(received.0),
            high: i128::from(ended.0) - i128::from(received.0),
        };
        let window = received.0 / WINDOW;
        let place = self.windows.partition_point(|(known, _)| *known < window);
        match self.windows.get_mut(place).filter(|(known, _)| *known == window) {
            Some((_, known)) => {
                known.low = known.low.max(bounds.low);
                known.high = known.high.min(bounds.high);
            }
            None => self.windows.insert(place, (window, bounds)),
        }
    }

    /// What is known of it.
    pub fn clock(&self) -> Clock {
        let may_be_same = |(_, bounds): &(u64, Bounds)| bounds.low <= 0 && bounds.high >= 0;
        match self.windows.iter().map(|(_, bounds)| bounds.half_width()).max() {
            None => Clock::Unknown,
            Some(_) if self.windows.iter().all(may_be_same) => Clock::Same,
            Some(half_width) => Clock::Converted { half_width },
        }
    }

    /// A time of the host as the client's clock had it; that of the nearest second in which something is known.
    pub fn convert(&self, moment: Moment) -> Moment {
        match self.clock() {
            Clock::Same | Clock::Unknown => moment,
            Clock::Converted { .. } => {
                let window = moment.0 / WINDOW;
                let nearest = self.windows.iter().min_by_key(|(known, _)| known.abs_diff(window));
                let offset = nearest.map_or(0, |(_, bounds)| bounds.middle());
                Moment(u64::try_from(i128::from(moment.0) + offset).unwrap_or_default())
            }
        }
    }
}

/// Reads the clocks of all hosts. `host` says on which a backend is.
pub fn read(
    observations: &[Observation],
    arrivals: &[Arrival],
    hosts: usize,
    host: impl Fn(Backend) -> usize,
) -> Vec<HostClock> {
    let mut clocks = vec![HostClock::default(); hosts];
    let mut see = |arrival: &Arrival, observation: &Observation| {
        if let Some(clock) = clocks.get_mut(host(arrival.backend)) {
            clock.see(observation.sent(), arrival.received, observation.ended);
        }
    };
    // Requests whose ids the balancer strips are found by their responses.
    let mut by_answer: Option<HashMap<Uuid, usize>> = None;
    for arrival in arrivals.iter().filter(|arrival| !arrival.response.is_nil()) {
        let place = match arrival.sequence {
            UNNUMBERED => {
                let answers = || {
                    let known = observations.iter().enumerate().filter(|(_, it)| !it.response.is_nil());
                    known.map(|(place, it)| (it.response, place)).collect()
                };
                by_answer.get_or_insert_with(answers).get(&arrival.response).copied()
            }
            sequence => Some(sequence as usize),
        };
        if let Some(observation) =
            place.and_then(|place| observations.get(place)).filter(|it| it.response == arrival.response)
        {
            see(arrival, observation);
        }
    }
    clocks
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::AttemptEnd;
    use crate::observation::{ClientOutcome, Echo};
    use crate::request::Differences;
    use proptest::prelude::*;

    const SECOND: u64 = 1_000_000_000;

    fn clock_of(shift: i64, drift_ppm: i64, round_trip: u64, requests: u64) -> HostClock {
        let mut clock = HostClock::default();
        for number in 0..requests {
            let sent = 50_000 * SECOND + number * 10_000_000;
            // A backend receives at any time of the round trip.
            let true_time = sent + round_trip * (1 + number % 7) / 9;
            let drifted = true_time as i64 + drift_ppm * (number as i64 * 10) - shift;
            clock.see(Moment(sent), Moment(drifted as u64), Moment(sent + round_trip));
        }
        clock
    }

    #[test]
    fn one_machine_has_one_clock_and_its_times_stay_as_they_are() {
        let clock = clock_of(0, 0, 300_000, 500);
        assert_eq!((clock.clock(), clock.convert(Moment(7))), (Clock::Same, Moment(7)));
        assert_eq!(HostClock::default().clock(), Clock::Unknown);
    }

    #[test]
    fn clocks_a_hundred_thousand_seconds_apart_agree_within_a_round_trip() {
        for shift in [40_000, -100_000, 1] {
            let clock = clock_of(shift * SECOND as i64, 0, 300_000, 500);
            let Clock::Converted { half_width } = clock.clock() else { panic!("{shift}") };
            assert!(half_width <= Duration::from_micros(150), "{half_width:?}");
            let (true_time, own) = (50_001 * SECOND, 50_001 * SECOND as i64 - shift * SECOND as i64);
            let error = clock.convert(Moment(own as u64)).0.abs_diff(true_time);
            assert!(Duration::from_nanos(error) <= half_width, "{shift}: {error}");
        }
    }

    #[test]
    fn clocks_that_drift_are_converted_second_by_second() {
        // In a minute 50 ppm are 3 ms: ten times the round trip.
        let clock = clock_of(5 * SECOND as i64, 50, 300_000, 6000);
        let Clock::Converted { half_width } = clock.clock() else { panic!() };
        assert!(half_width <= Duration::from_micros(200), "{half_width:?}");
        let number = 5500;
        let true_time = 50_000 * SECOND + number * 10_000_000;
        let own = true_time as i64 + 50 * (number as i64 * 10) - 5 * SECOND as i64;
        let error = clock.convert(Moment(own as u64)).0.abs_diff(true_time);
        assert!(error <= 250_000, "{error}");
    }

    #[test]
    fn clocks_are_read_from_requests_that_are_joined_with_and_without_their_numbers() {
        let observation = |number: u64| Observation {
            due: Moment(number * SECOND),
            ended: Moment(number * SECOND + 1_000_000),
            response: Uuid::from_u128(u128::from(number) + 1),
            waited: 100,
            client: 0,
            backend: Backend(0),
            status: 200,
            outcome: ClientOutcome::Response,
            echo: Echo::Own,
            reused: false,
            flaw: None,
        };
        let observations: Vec<Observation> = (0..4).map(observation).collect();
        let arrival = |number: u64, sequence, backend| Arrival {
            received: Moment(number * SECOND + 500_000 + 1000 * SECOND),
            response: Uuid::from_u128(u128::from(number) + 1),
            sequence,
            took: 0,
            backend: Backend(backend),
            status: 200,
            end: AttemptEnd::Completed,
            differences: Differences::NONE,
        };
        // An attempt whose response nobody got is no bound.
        let other = Arrival { response: Uuid::from_u128(99), received: Moment(0), ..arrival(0, 0, 0) };
        let arrivals = [arrival(0, 0, 0), arrival(1, UNNUMBERED, 1), other];
        let clocks = read(&observations, &arrivals, 3, |backend| usize::from(backend.0));
        let expected = Clock::Converted { half_width: Duration::from_micros(450) };
        assert_eq!(clocks.iter().map(HostClock::clock).collect::<Vec<_>>(), [expected, expected, Clock::Unknown]);
        assert_eq!(clocks[0].convert(Moment(1000 * SECOND + 500_000)), Moment(550_000));
    }

    proptest! {
        #[test]
        fn the_true_time_is_within_the_half_width(shift in -1_000_000_000_000_i64..1_000_000_000_000, round_trip in 1000_u64..10_000_000) {
            let clock = clock_of(shift, 0, round_trip, 50);
            if let Clock::Converted { half_width } = clock.clock() {
                let true_time = 50_000 * SECOND + 5_000_000;
                let error = clock.convert(Moment((true_time as i64 - shift) as u64)).0.abs_diff(true_time);
                prop_assert!(u128::from(error) <= half_width.as_nanos() + 1);
            }
        }
    }
}
