//! Streams and WebSockets, seen from both ends: what the client saw of each, what its backend noted of it, and the one end that it had.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use uuid::Uuid;

use crate::life::{Life, LifeEnd, StreamKind};
use crate::observation::Backend;
use crate::{AttemptEnd, Moment};

/// What came of numbered events or messages.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Sequence {
    /// Different numbers that came.
    pub distinct: u32,
    /// The highest of them; the one before the first that is expected, if none came.
    pub last: u32,
    /// Came more than once.
    pub doubled: u32,
    /// Came after a later one.
    pub misordered: u32,
    /// Skipped, and not come since.
    missing: BTreeSet<u32>,
    /// Skipped beyond those that are remembered.
    more_missing: u64,
}

/// Numbers that were skipped and are remembered.
const REMEMBERED: usize = 10_000;

impl Sequence {
    /// Numbers after that one are expected.
    pub fn after(last: u32) -> Sequence {
        Sequence { distinct: 0, last, doubled: 0, misordered: 0, missing: BTreeSet::new(), more_missing: 0 }
    }

    /// Counts a message that came with this number.
    pub fn see(&mut self, number: u32) {
        if number > self.last {
            let room = REMEMBERED.saturating_sub(self.missing.len());
            let skipped = number - self.last - 1;
            self.missing.extend((self.last + 1..number).take(room));
            self.more_missing += u64::from(skipped).saturating_sub(room as u64);
            self.last = number;
            self.distinct += 1;
        } else if self.missing.remove(&number) {
            self.misordered += 1;
            self.distinct += 1;
        } else {
            self.doubled += 1;
        }
    }

    /// Skipped by later ones, and never came.
    pub fn lost(&self) -> u64 {
        self.missing.len() as u64 + self.more_missing
    }
}

/// How a stream ended for the client.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum ClientEnd {
    /// It was never open: the observation of its request says why.
    NotOpened,
    /// As its framing says; of a WebSocket, with a close frame of the other side.
    Whole,
    /// The client itself ended it: its time was up.
    Left,
    /// The connection ended before.
    Closed,
    /// The connection was reset.
    Reset,
    /// What came could not be read.
    Malformed,
}

/// A stream as the client saw it, beside the observation of the request that opened it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StreamObservation {
    /// Number of that request in the run.
    pub sequence: u32,
    /// What goes over it.
    pub kind: StreamKind,
    /// When the head of its response had come, which opened it; none if none did.
    pub opened: Option<Moment>,
    /// When it had ended.
    pub ended: Moment,
    /// When the last of its content had come.
    pub last_came: Moment,
    /// Events that the backend numbered.
    pub events: Sequence,
    /// When each of the first of them was written and came.
    pub times: Vec<(Moment, Moment)>,
    /// Events that belong to another response, or that no backend writes.
    pub foreign: u32,
    /// Messages that the client sent over a WebSocket.
    pub sent: u32,
    /// Messages of the client that came back.
    pub echoes: Sequence,
    /// How the stream ended for the client.
    pub end: ClientEnd,
    /// The code of the client's close frame.
    pub close_sent: Option<u16>,
    /// Of the close frame that came; 1005 for one without a code.
    pub close_received: Option<u16>,
    /// It resumed a stream whose last event was this one.
    pub resumed_after: Option<u32>,
}

/// What a backend noted of a unit with a life, and of which attempt.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Lived {
    /// The id of its response.
    pub answer: Uuid,
    /// The backend that served it.
    pub backend: Backend,
    /// When the backend began it.
    pub began: Moment,
    /// When its attempt had ended; the time means nothing for one that had not.
    pub ended: Moment,
    /// How its attempt ended.
    pub end: AttemptEnd,
    /// What the backend noted of it.
    pub life: Life,
}

/// The side that ended a stream.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Side {
    /// The backend, or its end.
    Backend,
    /// What stands between: it ended the connection to the backend too, or that one goes on.
    Balancer,
    /// No record says which side ended it.
    Unknown,
}

/// The one end that a stream had, seen from both sides.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum StreamOutcome {
    /// It was never open.
    NotOpened,
    /// The backend ended it, and all that it wrote came.
    Whole,
    /// The client ended it.
    Left,
    /// It ended as if it were whole, and the backend had not ended it, or had written more.
    Truncated(Side),
    /// It ended without an end.
    Cut(Side),
    /// It was closed with a close frame that is not the backend's.
    Closed,
    /// What came could not be read.
    Malformed,
}

impl StreamObservation {
    /// What it is, together with what its backend noted.
    pub fn outcome(&self, lived: Option<&Lived>) -> StreamOutcome {
        let side = || lived.map_or(Side::Unknown, |lived| ended_by(lived, self.ended));
        match self.end {
            ClientEnd::NotOpened => StreamOutcome::NotOpened,
            ClientEnd::Left => StreamOutcome::Left,
            ClientEnd::Closed | ClientEnd::Reset => StreamOutcome::Cut(side()),
            ClientEnd::Malformed => StreamOutcome::Malformed,
            ClientEnd::Whole => match lived.map(|lived| lived.life) {
                None => StreamOutcome::Whole,
                Some(life) if self.kind == StreamKind::Websocket => match life.close_sent {
                    // It may be altered: that is for a rule of its own.
                    Some(_) if life.end != LifeEnd::CloseFrame => StreamOutcome::Whole,
                    _ => StreamOutcome::Closed,
                },
                Some(life) if life.end == LifeEnd::Backend && self.has_all(&life) => StreamOutcome::Whole,
                Some(_) => StreamOutcome::Truncated(side()),
            },
        }
    }

    /// Whether the last event that was written came. One that is missing before it is not a matter of the end.
    fn has_all(&self, life: &Life) -> bool {
        life.last_written().is_none_or(|last| self.events.last >= last)
    }

    /// By how much its backend itself was late with each event but the first. It paces them: what it does not write in time, while
    /// others are not late either, is a matter of the machine.
    pub fn backend_lateness(&self) -> Vec<Duration> {
        let mut written: Vec<u64> = self.times.iter().map(|(written, _)| written.0).collect();
        written.sort_unstable();
        let mut gaps: Vec<u64> = written.windows(2).map(|pair| pair[1] - pair[0]).collect();
        gaps.sort_unstable();
        let Some(&every) = gaps.get(gaps.len() / 2) else { return Vec::new() };
        // Paces are typed in milliseconds: else the error of the median would add up.
        let every = if every > ROUNDED { (every + MILLISECOND / 2) / MILLISECOND * MILLISECOND } else { every };
        let mut due = written[0];
        let lateness = |&at: &u64| {
            due += every;
            let late = at.saturating_sub(due);
            // It was late before, or too late to make up for it.
            if at < due || late >= every {
                due = at;
            }
            Duration::from_nanos(late)
        };
        written[1..].iter().map(lateness).collect()
    }
}

const MILLISECOND: u64 = 1_000_000;
/// Shorter paces are not rounded.
const ROUNDED: u64 = 5 * MILLISECOND;

/// A backend notes its own end after the client did, by the time that the news takes.
const NEWS: Duration = Duration::from_secs(2);

fn ended_by(lived: &Lived, seen: Moment) -> Side {
    match (lived.life.end, lived.end) {
        // The process ended before it could note an end, or the stream went on when the client had lost it.
        (LifeEnd::Open, AttemptEnd::Received) => Side::Unknown,
        (LifeEnd::Open, _) => Side::Unknown,
        (LifeEnd::Backend, AttemptEnd::Completed) if lived.ended > seen.after(NEWS) => Side::Balancer,
        (LifeEnd::Backend, AttemptEnd::CutOff | AttemptEnd::Refused) | (LifeEnd::Stalled, _) => Side::Backend,
        // It was written to its end, and did not come to its end.
        (LifeEnd::Backend, _) => Side::Balancer,
        (LifeEnd::Closed | LifeEnd::Reset | LifeEnd::CloseFrame | LifeEnd::Malformed, _) => Side::Balancer,
    }
}

/// All streams of a run, each with what its backend noted of it.
#[derive(Clone, Debug, Default)]
pub struct Streams {
    observations: Vec<StreamObservation>,
    lived: HashMap<Uuid, Lived>,
    /// Backends whose clock is not the client's: only differences between their times mean something.
    pub other_clocks: bool,
    /// How late the client itself was where it meant to act at a time: its [`lateness_of`].
    pub lateness: Duration,
}

/// How often an event waits for a processor on its way: at the backend, at the balancer twice, at the client.
pub const HOPS: usize = 4;
/// One event in this number may be late, for reasons that are not the balancer's.
pub const LATE: usize = 10;

/// How late whoever waits for a processor is at most, but for one time in forty: of the events on their way one in ten waits longer than that
/// somewhere, and so no more than one in ten longer than four times that altogether.
pub fn lateness_of(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times.get(times.len() - times.len().div_ceil(HOPS * LATE)).copied().unwrap_or_default()
}

impl Streams {
    /// Joins what the client observed with what backends noted, by stream id.
    pub fn join(observations: Vec<StreamObservation>, lived: Vec<Lived>) -> Streams {
        let lived = lived.into_iter().map(|it| (it.answer, it)).collect();
        Streams { observations, lived, other_clocks: false, lateness: Duration::ZERO }
    }

    /// Each stream, in the order in which they were opened, with what the backend noted that gave this response.
    pub fn observations(&self) -> &[StreamObservation] {
        &self.observations
    }

    /// What the backend noted that gave this response.
    pub fn lived(&self, answer: Uuid) -> Option<&Lived> {
        self.lived.get(&answer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn each_number_is_counted_once_and_what_is_wrong_has_a_name() {
        let mut sequence = Sequence::after(4);
        [5, 6, 9, 8, 9, 6, 12].into_iter().for_each(|number| sequence.see(number));
        assert_eq!((sequence.distinct, sequence.last), (5, 12));
        assert_eq!((sequence.doubled, sequence.misordered, sequence.lost()), (2, 1, 3));
        let mut far = Sequence::after(0);
        far.see(2_000_000);
        assert_eq!(far.lost(), 1_999_999);
    }

    proptest! {
        #[test]
        fn what_came_and_what_is_lost_add_up(numbers in proptest::collection::vec(1..200u32, 0..300)) {
            let mut sequence = Sequence::after(0);
            numbers.iter().for_each(|number| sequence.see(*number));
            let different: BTreeSet<u32> = numbers.iter().copied().collect();
            prop_assert_eq!(sequence.distinct as usize, different.len());
            prop_assert_eq!(u64::from(sequence.distinct) + sequence.lost(), u64::from(sequence.last));
            prop_assert_eq!(sequence.distinct + sequence.doubled, numbers.len() as u32);
        }
    }

    #[test]
    fn one_time_in_forty_is_later_than_the_lateness() {
        let of =
            |times: std::ops::Range<u64>| lateness_of(times.map(Duration::from_millis).rev().collect()).as_millis();
        assert_eq!((of(0..400), of(0..40), of(0..9), of(0..0)), (390, 39, 8, 0));
    }

    fn observation(kind: StreamKind, end: ClientEnd, last: u32) -> StreamObservation {
        StreamObservation {
            sequence: 0,
            kind,
            opened: Some(Moment(1)),
            ended: Moment(2_000_000_000),
            last_came: Moment(1_000_000_000),
            events: Sequence { distinct: last, ..Sequence::after(last) },
            times: Vec::new(),
            foreign: 0,
            sent: 0,
            echoes: Sequence::after(0),
            end,
            close_sent: None,
            close_received: None,
            resumed_after: None,
        }
    }

    fn lived(kind: StreamKind, end: LifeEnd, attempt: AttemptEnd, written: u32) -> Lived {
        let life = Life { written, end, ..Life::new(kind, 1) };
        let (answer, backend) = (Uuid::nil(), Backend(0));
        Lived { answer, backend, began: Moment(0), ended: Moment(2_000_000_000), end: attempt, life }
    }

    #[test]
    fn the_end_of_a_stream_is_told_from_both_sides() {
        use AttemptEnd::{Completed, CutOff, Received};
        let events = StreamKind::Events;
        for (end, last, life, attempt, written, outcome) in [
            (ClientEnd::Whole, 9, LifeEnd::Backend, Completed, 9, StreamOutcome::Whole),
            // The last chunk came, and the backend was not done.
            (ClientEnd::Whole, 5, LifeEnd::Closed, CutOff, 5, StreamOutcome::Truncated(Side::Balancer)),
            (ClientEnd::Whole, 5, LifeEnd::Backend, Completed, 9, StreamOutcome::Truncated(Side::Balancer)),
            (ClientEnd::Closed, 5, LifeEnd::Reset, CutOff, 6, StreamOutcome::Cut(Side::Balancer)),
            (ClientEnd::Reset, 5, LifeEnd::Backend, CutOff, 5, StreamOutcome::Cut(Side::Backend)),
            (ClientEnd::Closed, 5, LifeEnd::Open, Received, 5, StreamOutcome::Cut(Side::Unknown)),
            (ClientEnd::Left, 5, LifeEnd::Closed, CutOff, 5, StreamOutcome::Left),
            (ClientEnd::NotOpened, 0, LifeEnd::Closed, CutOff, 0, StreamOutcome::NotOpened),
        ] {
            let seen = observation(events, end, last).outcome(Some(&lived(events, life, attempt, written)));
            assert_eq!(seen, outcome, "{end:?} {life:?}");
        }
        assert_eq!(observation(events, ClientEnd::Whole, 5).outcome(None), StreamOutcome::Whole);
        assert_eq!(observation(events, ClientEnd::Closed, 5).outcome(None), StreamOutcome::Cut(Side::Unknown));
    }

    #[test]
    fn a_backend_that_writes_late_is_known_by_its_own_times() {
        let late = |milliseconds: &[u64]| {
            let times = milliseconds.iter().map(|at| (Moment(at * MILLISECOND), Moment(0))).collect();
            let seen = StreamObservation { times, ..observation(StreamKind::Events, ClientEnd::Whole, 9) };
            seen.backend_lateness().iter().map(Duration::as_millis).collect::<Vec<_>>()
        };
        assert_eq!(late(&[7, 107, 207, 307]), [0, 0, 0]);
        assert_eq!(late(&[7, 107, 267, 307, 407]), [0, 60, 0, 0]);
        // The first one was late.
        assert_eq!(late(&[47, 107, 207, 307, 407]), [0, 0, 0, 0]);
        // By more than its pace, from which it goes on.
        assert_eq!(late(&[0, 100, 350, 450, 550]), [0, 150, 0, 0]);
        assert_eq!(late(&[0, 0, 0, 1]), [0, 0, 1], "nothing paces it");
        assert!(late(&[5]).is_empty() && late(&[]).is_empty());
    }

    #[test]
    fn a_close_frame_is_the_backends_or_somebody_elses() {
        let socket = StreamKind::Websocket;
        let seen = observation(socket, ClientEnd::Whole, 0);
        let by_backend = lived(socket, LifeEnd::Backend, AttemptEnd::Completed, 0);
        let closed = Life { close_sent: Some(1001), ..by_backend.life };
        assert_eq!(seen.outcome(Some(&Lived { life: closed, ..by_backend })), StreamOutcome::Whole);
        let gone = lived(socket, LifeEnd::Closed, AttemptEnd::CutOff, 0);
        assert_eq!(seen.outcome(Some(&gone)), StreamOutcome::Closed);
        // The balancer closed both sides with a frame of its own.
        let frame = Life { close_sent: Some(1001), end: LifeEnd::CloseFrame, ..gone.life };
        assert_eq!(seen.outcome(Some(&Lived { life: frame, ..gone })), StreamOutcome::Closed);
    }
}
