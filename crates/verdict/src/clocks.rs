//! Clocks of several hosts: how far each is from the client's. A request is sent before its backend receives it, and has ended after:
//! each joined request bounds the offset from both sides (Cristian 1989), and so does each page of records, which says what time it is
//! there. What a backend notes as the end of its response is no bound: the client may have the response before.

use std::collections::HashMap;
use std::time::Duration;

use uuid::Uuid;

use crate::Moment;
use crate::ledger::{Arrival, is_numbered};
use crate::observation::{Backend, Observation};

/// Nanoseconds of which two clocks drift apart by one at most: the kernel slews each by 500 ppm at most (`adjtimex(2)`).
const DRIFT: u64 = 1000;
/// Of each such time the best bounds are kept.
const WINDOW: u64 = 10_000_000;

/// How the clock of a host relates to the client's.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Clock {
    /// The same clock, as on one machine: times are compared as they are.
    Same,
    /// It is another one. Times are converted, each with its own half-width.
    Other,
    /// Nothing joins it to the client's, or it jumped: its times cannot be compared.
    Unknown,
}

/// The clock of one host, in windows of its own time.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct HostClock {
    windows: Vec<(u64, Bounds)>,
    /// Its host says that it is the client's: of the same boot of the same machine.
    says_same: bool,
}

/// A time on the client's clock: it lies within `half_width` of `moment`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Converted {
    /// The middle of the interval in which it lies.
    pub moment: Moment,
    /// None if nothing is known of it.
    pub half_width: Option<Duration>,
}

/// What is added to the host's time lies between these.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Bounds {
    low: OffsetBound,
    high: OffsetBound,
}

/// A bound of the offset at one moment of the host's time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct OffsetBound {
    at: u64,
    offset: i64,
}

impl OffsetBound {
    /// How far the offset may have gone meanwhile.
    fn slack(self, at: u64) -> i64 {
        i64::try_from(self.at.abs_diff(at) / DRIFT).unwrap_or(i64::MAX)
    }

    fn low(self, at: u64) -> i64 {
        self.offset.saturating_sub(self.slack(at))
    }

    fn high(self, at: u64) -> i64 {
        self.offset.saturating_add(self.slack(at))
    }
}

impl HostClock {
    /// One of which nothing is known yet. Whether its host says that it is the client's does not suffice: machines that were resumed
    /// from one snapshot say so as well.
    pub fn new(says_same: bool) -> HostClock {
        HostClock { windows: Vec::new(), says_same }
    }

    /// Notes an exchange with that host: what the client sent, the host read the clock, the client had the response.
    pub fn see(&mut self, sent: Moment, received: Moment, ended: Moment) {
        // Monotonic clocks begin near 0: 2^63 nanoseconds are 292 years.
        let bound = |client: Moment| OffsetBound { at: received.0, offset: client.0.wrapping_sub(received.0) as i64 };
        let (low, high) = (bound(sent), bound(ended));
        let number = received.0 / WINDOW;
        let place = match self.windows.last() {
            Some((last, _)) if *last == number => self.windows.len() - 1,
            _ => self.windows.partition_point(|(known, _)| *known < number),
        };
        match self.windows.get_mut(place).filter(|(known, _)| *known == number) {
            Some((_, known)) => {
                if low.offset > known.low.offset {
                    known.low = low;
                }
                if high.offset < known.high.offset {
                    known.high = high;
                }
            }
            None => self.windows.insert(place, (number, Bounds { low, high })),
        }
    }

    /// Lets each window know what the others say of it.
    fn settle(&mut self) {
        let (count, windows) = (self.windows.len(), &mut self.windows);
        let mut tighten = |place: usize, other: usize| {
            let (_, other) = windows[other];
            let Bounds { low, high } = &mut windows[place].1;
            low.offset = low.offset.max(other.low.low(low.at));
            high.offset = high.offset.min(other.high.high(high.at));
        };
        (1..count).for_each(|place| tighten(place, place - 1));
        (1..count).rev().for_each(|place| tighten(place - 1, place));
    }

    /// The lowest and the highest that is to be added to that time.
    fn bounds(&self, at: u64) -> Option<(i64, i64)> {
        let place = self.windows.partition_point(|(number, _)| *number < at / WINDOW);
        let near = self.windows.get(place.saturating_sub(1)..(place + 2).min(self.windows.len()))?;
        let low = near.iter().map(|(_, bounds)| bounds.low.low(at)).max()?;
        let high = near.iter().map(|(_, bounds)| bounds.high.high(at)).min()?;
        Some((low, high))
    }

    /// What is known of it.
    pub fn clock(&self) -> Clock {
        let all = |holds: fn(i64, i64) -> bool| {
            let mut moments = self.windows.iter().flat_map(|(_, bounds)| [bounds.low.at, bounds.high.at]);
            moments.all(|at| self.bounds(at).is_some_and(|(low, high)| holds(low, high)))
        };
        match self.windows.is_empty() {
            true if self.says_same => Clock::Same,
            true => Clock::Unknown,
            false if self.says_same && all(|low, high| low <= 0 && high >= 0) => Clock::Same,
            false if all(|low, high| low <= high) => Clock::Other,
            false => Clock::Unknown,
        }
    }

    /// A time of the host as the client's clock had it.
    pub fn convert(&self, clock: Clock, moment: Moment) -> Converted {
        match (clock, self.bounds(moment.0)) {
            (Clock::Same, _) => Converted { moment, half_width: Some(Duration::ZERO) },
            (Clock::Other, Some((low, high))) => {
                let width = high.abs_diff(low);
                let middle = i128::from(low) + i128::from(width / 2);
                let moment = Moment(u64::try_from(i128::from(moment.0) + middle).unwrap_or_default());
                Converted { moment, half_width: Some(Duration::from_nanos(width.div_ceil(2))) }
            }
            (Clock::Other | Clock::Unknown, _) => Converted { moment, half_width: None },
        }
    }
}

/// Adds to what is known of the clocks of all hosts what requests say. `host` says on which a backend is, if that is known.
pub fn read(
    observations: &[Observation],
    arrivals: &[Arrival],
    clocks: &mut [HostClock],
    host: impl Fn(Backend) -> Option<usize>,
) {
    let by_response = Responses::of(observations, arrivals);
    for arrival in arrivals {
        if let Some(observation) = by_response.find(arrival)
            && let Some(host) = host(arrival.backend)
            && let Some(clock) = clocks.get_mut(host)
        {
            clock.see(observation.sent(), arrival.received, observation.ended);
        }
    }
    clocks.iter_mut().for_each(HostClock::settle);
}

/// Finds the request whose client got the response of an attempt.
pub struct Responses<'a> {
    observations: &'a [Observation],
    /// Requests whose ids the balancer strips are found by their responses.
    stripped: HashMap<Uuid, usize>,
}

impl<'a> Responses<'a> {
    /// Finds observations by the id of their response where an attempt has no number.
    pub fn of(observations: &'a [Observation], arrivals: &[Arrival]) -> Responses<'a> {
        let is_needed = arrivals.iter().any(|arrival| !is_numbered(arrival.sequence) && !arrival.response.is_nil());
        let known = observations.iter().enumerate().filter(|(_, it)| is_needed && !it.response.is_nil());
        Responses { observations, stripped: known.map(|(place, it)| (it.response, place)).collect() }
    }

    /// None if nobody got it.
    pub fn find(&self, arrival: &Arrival) -> Option<&'a Observation> {
        self.observations.get(self.place(arrival)?)
    }

    /// Place of the observation to which this attempt's response belongs.
    pub fn place(&self, arrival: &Arrival) -> Option<usize> {
        let place = match arrival.sequence {
            sequence if !is_numbered(sequence) => self.stripped.get(&arrival.response).copied()?,
            sequence => sequence as usize,
        };
        let observation = self.observations.get(place)?;
        (!arrival.response.is_nil() && observation.response == arrival.response).then_some(place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::AttemptEnd;
    use crate::attempt::WayNumber;
    use crate::observation::{ClientOutcome, Echo};
    use crate::request::Differences;
    use proptest::prelude::*;

    const SECOND: u64 = 1_000_000_000;

    /// The time of a host `ppm` fast, which was `shift` behind at 50,000 s.
    fn on_host(true_time: u64, shift: i64, ppm: i64) -> Moment {
        let since = true_time as i64 - (50_000 * SECOND) as i64;
        Moment((true_time as i64 + since / 1_000_000 * ppm - shift) as u64)
    }

    fn clock_of(shift: i64, ppm: i64, round_trip: u64, requests: u64) -> HostClock {
        let mut clock = HostClock::default();
        for number in 0..requests {
            let sent = 50_000 * SECOND + number * 10_000_000;
            // A backend receives at any time of the round trip.
            let received = on_host(sent + round_trip * (1 + number % 7) / 9, shift, ppm);
            clock.see(Moment(sent), received, Moment(sent + round_trip));
        }
        clock.settle();
        clock
    }

    /// How far off a time is, and by how much it may be.
    fn error_of(clock: &HostClock, true_time: u64, own: Moment) -> (Duration, Duration) {
        let converted = clock.convert(clock.clock(), own);
        let error = Duration::from_nanos(converted.moment.0.abs_diff(true_time));
        (error, converted.half_width.expect("the clock is known"))
    }

    #[test]
    fn one_machine_has_one_clock_and_its_times_stay_as_they_are() {
        let clock = HostClock { says_same: true, ..clock_of(0, 0, 300_000, 500) };
        let seven = Converted { moment: Moment(7), half_width: Some(Duration::ZERO) };
        assert_eq!((clock.clock(), clock.convert(Clock::Same, Moment(7))), (Clock::Same, seven));
        assert_eq!((HostClock::new(true).clock(), HostClock::new(false).clock()), (Clock::Same, Clock::Unknown));
    }

    #[test]
    fn a_clock_that_happens_to_agree_is_another_one() {
        assert_eq!(clock_of(0, 0, 300_000, 500).clock(), Clock::Other);
        // Two machines that were resumed from one snapshot.
        let resumed = HostClock { says_same: true, ..clock_of(SECOND as i64, 0, 300_000, 500) };
        assert_eq!(resumed.clock(), Clock::Other);
    }

    #[test]
    fn clocks_a_hundred_thousand_seconds_apart_agree_within_a_round_trip() {
        for shift in [40_000, -100_000, 1] {
            let shift = shift * SECOND as i64;
            let clock = clock_of(shift, 0, 300_000, 500);
            let (error, half_width) = error_of(&clock, 50_001 * SECOND, on_host(50_001 * SECOND, shift, 0));
            assert!(
                error <= half_width && half_width <= Duration::from_micros(150),
                "{shift}: {error:?} {half_width:?}"
            );
        }
    }

    #[test]
    fn a_clock_that_jumps_is_not_converted() {
        let mut clock = clock_of(0, 0, 300_000, 100);
        let later = 50_002 * SECOND;
        clock.see(Moment(later), Moment(later + 3 * SECOND), Moment(later + 300_000));
        clock.settle();
        assert_eq!(clock.clock(), Clock::Unknown);
        assert_eq!(clock.convert(Clock::Unknown, Moment(5)), Converted { moment: Moment(5), half_width: None });
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
            way: WayNumber::default(),
        };
        // An attempt whose response nobody got is no bound.
        let other = Arrival { response: Uuid::from_u128(99), received: Moment(0), ..arrival(0, 0, 0) };
        let arrivals = [arrival(0, 0, 0), arrival(1, crate::ledger::UNNUMBERED, 1), other];
        let mut clocks = vec![HostClock::default(); 3];
        read(&observations, &arrivals, &mut clocks, |backend| Some(usize::from(backend.0)));
        assert_eq!(
            clocks.iter().map(HostClock::clock).collect::<Vec<_>>(),
            [Clock::Other, Clock::Other, Clock::Unknown]
        );
        let half_width = Some(Duration::from_micros(450));
        let expected = Converted { moment: Moment(550_000), half_width };
        assert_eq!(clocks[0].convert(Clock::Other, Moment(1000 * SECOND + 500_000)), expected);
    }

    proptest! {
        #[test]
        fn the_true_time_is_within_the_half_width(
            shift in -100_000_000_000_000_i64..40_000_000_000_000,
            ppm in -900_i64..900,
            round_trip in 1000_u64..10_000_000,
            requests in 2_u64..400,
            at in 0_u64..5_000_000_000,
        ) {
            let clock = clock_of(shift, ppm, round_trip, requests);
            prop_assert_eq!(clock.clock(), Clock::Other);
            let true_time = 50_000 * SECOND + at;
            let (error, half_width) = error_of(&clock, true_time, on_host(true_time, shift, ppm));
            prop_assert!(error <= half_width + Duration::from_nanos(2000), "{:?} {:?}", error, half_width);
        }
    }
}
