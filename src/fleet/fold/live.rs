//! PURE. Events to frames: what the live view shows, folded from the same events as the log.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use hdrhistogram::Histogram;

use crate::fleet::fold::redact;
use crate::wire::{
    AttemptEnd, Calendar, Change, CheckNews, Event, FleetStatus, Frame, Front, Generator, HISTORY, Latency, Mark,
    MarkKind, MemberStatus, Moment, Record, RequestId, STRIP, Seen, SeenRequest, Snapshot,
};

/// Marks and requests that those see who begin to look.
const MARKS: usize = 300;
const REQUESTS: usize = 50;
/// Requests whose attempts are compared.
const COMPARED: usize = 65_536;
/// Percentiles are of so many slots of time.
const SLOTS: usize = 5;
const SLOT: Duration = Duration::from_secs(2);

/// What the live view shows of one fleet.
pub struct Live {
    calendar: Calendar,
    places: HashMap<Generator, usize>,
    /// What has happened since the last frame.
    frame: Frame,
    /// When requests since the last frame were received, and the places of those who got them.
    arrived: Vec<(Moment, u16)>,
    /// Of the second, since 1970, that has not ended.
    second: u64,
    counted: Vec<u32>,
    seconds: VecDeque<Vec<u32>>,
    /// At the end of each of them, of all members together.
    latency: VecDeque<Option<Latency>>,
    strip: VecDeque<u16>,
    marks: VecDeque<Mark>,
    requests: VecDeque<SeenRequest>,
    /// All members together, then one a member.
    times: Vec<Times>,
    attempts: Attempts,
    front: Option<Front>,
    check: Option<CheckNews>,
}

impl Live {
    /// Of a fleet that has just begun.
    pub fn new(members: impl ExactSizeIterator<Item = Generator>, calendar: Calendar) -> Live {
        let count = members.len();
        Live {
            calendar,
            places: members.enumerate().map(|(place, generator)| (generator, place)).collect(),
            frame: empty(count),
            arrived: Vec::new(),
            second: calendar.unix / 1_000_000_000,
            counted: vec![0; count],
            seconds: VecDeque::new(),
            latency: VecDeque::new(),
            strip: VecDeque::new(),
            marks: VecDeque::new(),
            requests: VecDeque::new(),
            times: std::iter::once(Times::new(2)).chain((0..count).map(|_| Times::new(1))).collect(),
            attempts: Attempts::default(),
            front: None,
            check: None,
        }
    }

    /// Takes note of an event.
    pub fn event(&mut self, event: &Event) {
        match event {
            Event::Attempt(record) => self.attempt(record),
            Event::Member { at, generator, change } => {
                if let Some((kind, text)) = told(change) {
                    self.mark(*at, kind, Some(*generator), 1, || text);
                }
            }
            Event::Lost { at, generator, count } => {
                let count = u32::try_from(*count).unwrap_or(u32::MAX);
                self.mark(*at, MarkKind::Lost, Some(*generator), count, || {
                    "records overwritten before they were read".to_owned()
                });
            }
            Event::Seen { generator, seen } => self.seen(*generator, seen),
        }
    }

    /// Something stands before the fleet, or balances in another way.
    pub fn set_front(&mut self, front: Front, now: Moment) {
        let is_news = self.front.as_ref().is_none_or(|before| {
            (&before.url, &before.algorithm, &before.weights) != (&front.url, &front.algorithm, &front.weights)
        });
        if is_news {
            let text = || match (&front.balancer, &front.algorithm) {
                (Some(balancer), Some(algorithm)) => {
                    format!("{balancer} balances: {algorithm}{}", weights(&front.weights))
                }
                _ => format!("a balancer at {}", redact::target(&front.url)),
            };
            self.mark(now, MarkKind::Front, None, 1, text);
        }
        self.frame.front = Some(front.clone());
        self.front = Some(front);
    }

    /// A check has news.
    pub fn checks(&mut self, news: CheckNews, now: Moment) {
        let over = |news: &CheckNews| news.result.is_some() || news.error.is_some();
        if self.check.as_ref().is_none_or(over) && !over(&news) {
            self.mark(now, MarkKind::Check, None, 1, || format!("a check of {} begins", redact::target(&news.url)));
        }
        if let Some(result) = &news.result {
            self.mark(now, MarkKind::Check, None, 1, || format!("the check ends: {}", result.verdict));
        }
        self.frame.check = Some(news.clone());
        self.check = Some(news);
    }

    /// What stands before the fleet, if that is known.
    pub fn front(&self) -> Option<&Front> {
        self.front.as_ref()
    }

    /// What has happened since the last frame. `members` are given if something about them has changed.
    pub fn frame(&mut self, now: Moment, in_flight: Vec<u32>, members: Option<Vec<MemberStatus>>) -> Frame {
        let mut frame = self.pass(now);
        frame.latency = self.times.iter_mut().map(|times| times.percentiles(now)).collect();
        Frame { at: self.milliseconds(now), in_flight, members, ..frame }
    }

    /// The same while nobody looks: it is kept for those who will, as far as they will see it.
    pub fn pass(&mut self, now: Moment) -> Frame {
        self.turn_to(self.calendar.unix(now) / 1_000_000_000);
        let mut frame = std::mem::replace(&mut self.frame, empty(self.counted.len()));
        // Journals were read one after the other.
        self.arrived.sort_by_key(|(received, _)| *received);
        let latest = self.arrived.len().saturating_sub(STRIP);
        frame.strip = self.arrived.drain(..).skip(latest).map(|(_, place)| place).collect();
        keep(&mut self.strip, frame.strip.iter().copied(), STRIP);
        keep(&mut self.requests, frame.requests.iter().cloned(), REQUESTS);
        for mark in &frame.marks {
            match self.marks.iter_mut().rev().take(8).find(|earlier| earlier.is_like(mark)) {
                Some(earlier) => earlier.count = earlier.count.saturating_add(mark.count),
                None => keep(&mut self.marks, std::iter::once(mark.clone()), MARKS),
            }
        }
        frame
    }

    /// All that is known.
    pub fn snapshot(&self, now: Moment, fleet: FleetStatus) -> Snapshot {
        Snapshot {
            version: 1,
            owner: true,
            at: self.milliseconds(now),
            fleet,
            seconds: self.seconds.iter().cloned().collect(),
            running: self.counted.iter().zip(&self.frame.counts).map(|(all, next)| all.saturating_sub(*next)).collect(),
            latency: self.latency.iter().copied().collect(),
            strip: self.strip.iter().copied().collect(),
            marks: self.marks.iter().cloned().collect(),
            requests: self.requests.iter().cloned().collect(),
            front: self.front.clone(),
            check: self.check.clone(),
        }
    }

    fn attempt(&mut self, record: &Record) {
        // Health probes are no traffic.
        let Some(place) = self.places.get(&record.generator).copied().filter(|_| record.answer.is_some()) else {
            return;
        };
        self.turn_to(self.calendar.unix(record.answered.max(record.received)) / 1_000_000_000);
        self.frame.counts[place] += 1;
        self.counted[place] += 1;
        self.arrived.push((record.received, place as u16));
        let whole = record.outcome == AttemptEnd::Completed;
        if whole {
            let took = record.answered.since(record.received);
            self.times[0].add(record.answered, took);
            self.times[1 + place].add(record.answered, took);
        }
        let failed = !whole || record.status >= 500;
        let (at, generator) = (record.answered.max(record.received), Some(record.generator));
        if failed {
            self.frame.errors[place] += 1;
            self.mark(at, MarkKind::Error, generator, 1, || match record.outcome {
                AttemptEnd::Completed => format!("answered {}", record.status),
                AttemptEnd::CutOff | AttemptEnd::Received => "did not answer to the end".to_owned(),
            });
        }
        if let Some(earlier) = record.request.and_then(|id| self.attempts.add(id, record.generator, failed)) {
            let from = earlier.generator;
            match earlier.failed || failed {
                true => self.mark(at, MarkKind::Retry, generator, 1, || {
                    format!("a request that failed at {from} was tried again")
                }),
                false => self.mark(at, MarkKind::Double, generator, 1, || {
                    format!("a request that {from} had answered was executed again")
                }),
            }
        }
    }

    fn seen(&mut self, generator: Generator, seen: &Seen) {
        let at = self.milliseconds(seen.received);
        self.frame.requests.push(SeenRequest { generator, at, seen: seen.clone() });
    }

    fn mark(
        &mut self,
        at: Moment,
        kind: MarkKind,
        generator: Option<Generator>,
        count: u32,
        text: impl FnOnce() -> String,
    ) {
        let like =
            self.frame.marks.iter_mut().find(|mark| (mark.kind, mark.generator) == (kind, generator) && kind.adds_up());
        match like {
            Some(mark) => mark.count = mark.count.saturating_add(count),
            None => {
                let at = self.milliseconds(at);
                self.frame.marks.push(Mark { at, kind, generator, count, text: text() });
            }
        }
    }

    /// Ends the seconds before this one.
    fn turn_to(&mut self, second: u64) {
        if second <= self.second {
            return;
        }
        let silent = usize::try_from(second - self.second - 1).unwrap_or(HISTORY).min(HISTORY);
        let count = self.counted.len();
        let ended = std::mem::replace(&mut self.counted, vec![0; count]);
        let ended = std::iter::once(ended).chain(std::iter::repeat_n(vec![0; count], silent));
        keep(&mut self.seconds, ended, HISTORY);
        let ends = (second - silent as u64..=second).map(|end| self.calendar.moment(end * 1_000_000_000));
        let times = &mut self.times[0];
        keep(&mut self.latency, ends.map(|end| times.percentiles(end)), HISTORY);
        self.second = second;
    }

    fn milliseconds(&self, moment: Moment) -> u64 {
        self.calendar.unix(moment) / 1_000_000
    }
}

fn empty(members: usize) -> Frame {
    Frame { counts: vec![0; members], errors: vec![0; members], ..Frame::default() }
}

/// Appends, and forgets the oldest beyond `most`.
fn keep<T>(kept: &mut VecDeque<T>, more: impl Iterator<Item = T>, most: usize) {
    kept.extend(more);
    kept.drain(..kept.len().saturating_sub(most));
}

fn weights(weights: &[u32]) -> String {
    match weights.windows(2).any(|pair| pair[0] != pair[1]) {
        true => format!(" {}", weights.iter().map(u32::to_string).collect::<Vec<_>>().join(":")),
        false => String::new(),
    }
}

fn told(change: &Change) -> Option<(MarkKind, String)> {
    let member = |text: &str| Some((MarkKind::Member, text.to_owned()));
    match change {
        Change::Starting(_) | Change::Recovered => None,
        Change::Accepting => member("accepts connections"),
        Change::Paused => member("paused: connections are taken, nobody answers"),
        Change::Resumed => member("resumed"),
        Change::Draining => member("drains: it answers what is in flight, then ends"),
        Change::Readiness(true) => member("readiness answers 200 again"),
        Change::Readiness(false) => member("readiness answers 503"),
        Change::Starved(_) => member("takes no new connection for now"),
        Change::Gone(departure) if departure.asked => member("stopped"),
        Change::Gone(departure) => Some((MarkKind::Member, format!("gone: {}", departure.cause))),
        Change::RestartIn(delay) => Some((MarkKind::Member, format!("restarts in {} ms", delay.as_millis()))),
        Change::StartFailed(why) => Some((MarkKind::Member, format!("failed to start: {why}"))),
        Change::Faults(faults) if faults.is_empty() => {
            Some((MarkKind::Fault, "behaves: no faults any more".to_owned()))
        }
        Change::Faults(faults) => {
            let faults: Vec<String> = faults.iter().map(ToString::to_string).collect();
            Some((MarkKind::Fault, format!("misbehaves: {}", faults.join(", "))))
        }
    }
}

/// The attempts of the latest requests that have an id of ours.
#[derive(Default)]
struct Attempts {
    latest: HashMap<RequestId, Earlier>,
    order: VecDeque<RequestId>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Earlier {
    generator: Generator,
    failed: bool,
}

impl Attempts {
    /// Notes an attempt, and returns the one of the same request that ended before it.
    fn add(&mut self, id: RequestId, generator: Generator, failed: bool) -> Option<Earlier> {
        let earlier = self.latest.insert(id, Earlier { generator, failed });
        if earlier.is_none() {
            self.order.push_back(id);
            if self.order.len() > COMPARED
                && let Some(oldest) = self.order.pop_front()
            {
                self.latest.remove(&oldest);
            }
        }
        earlier
    }
}

/// The times of the last ten seconds, in slots of two.
struct Times {
    slots: [Histogram<u32>; SLOTS],
    slot: u64,
}

impl Times {
    fn new(digits: u8) -> Times {
        let slot = || Histogram::new(digits).expect("one or two digits are allowed");
        Times { slots: std::array::from_fn(|_| slot()), slot: 0 }
    }

    fn add(&mut self, at: Moment, took: Duration) {
        self.turn_to(at);
        let microseconds = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        // Fails for no time that there is: a histogram grows as it must.
        let _ = self.slots[(self.slot % SLOTS as u64) as usize].record(microseconds.max(1));
    }

    fn percentiles(&mut self, now: Moment) -> Option<Latency> {
        self.turn_to(now);
        let mut all = self.slots[0].clone();
        self.slots[1..].iter().for_each(|slot| all += slot);
        let at = |quantile| all.value_at_quantile(quantile);
        (!all.is_empty()).then(|| Latency { p50: at(0.5), p90: at(0.9), p99: at(0.99), p99_9: at(0.999) })
    }

    fn turn_to(&mut self, at: Moment) {
        let slot = at.0 / SLOT.as_nanos() as u64;
        let passed = slot.saturating_sub(self.slot).min(SLOTS as u64);
        (0..passed).for_each(|back| self.slots[((slot - back) % SLOTS as u64) as usize].reset());
        self.slot = self.slot.max(slot);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Cause, Clipped, Departure, End, ResponseId};

    const NOON: u64 = 1_795_435_200;

    fn live() -> Live {
        let calendar = Calendar { moment: Moment(0), unix: NOON * 1_000_000_000 };
        Live::new([Generator(9001), Generator(9002)].into_iter(), calendar)
    }

    fn at(milliseconds: u64) -> Moment {
        Moment(milliseconds * 1_000_000)
    }

    fn record(generator: u16, milliseconds: u64, request: u64) -> Record {
        Record {
            number: 1,
            received: at(milliseconds),
            answered: Moment(at(milliseconds).0 + 40_000),
            generator: Generator(generator),
            answer: Some(ResponseId(uuid::Uuid::from_u128(7))),
            request: (request > 0).then_some(RequestId { run: 1, sequence: request }),
            connection: 1,
            request_number: 1,
            peer: End::Unix,
            method: Clipped::new(b"GET"),
            path: Clipped::new(b"/uuid"),
            status: 200,
            bytes: 512,
            outcome: AttemptEnd::Completed,
            arrived: Default::default(),
            refusal: None,
        }
    }

    fn kinds(frame: &Frame) -> Vec<(MarkKind, Option<u16>, u32)> {
        frame.marks.iter().map(|mark| (mark.kind, mark.generator.map(|it| it.0), mark.count)).collect()
    }

    #[test]
    fn a_frame_counts_what_ended_and_shows_it_in_the_order_of_arrival() {
        let mut live = live();
        for (generator, milliseconds) in [(9001, 10), (9001, 30), (9002, 20), (9002, 40)] {
            live.event(&Event::Attempt(record(generator, milliseconds, 0)));
        }
        let probe = Record { answer: None, ..record(9001, 50, 0) };
        live.event(&Event::Attempt(probe));
        let frame = live.frame(at(100), vec![0, 3], None);
        assert_eq!((frame.counts, frame.errors, frame.in_flight), (vec![2, 2], vec![0, 0], vec![0, 3]));
        assert_eq!(frame.strip, [0, 1, 0, 1]);
        assert_eq!(frame.at, NOON * 1000 + 100);
        assert_eq!(frame.latency[0].unwrap().p50, 40);
        let frame = live.frame(at(200), vec![0, 0], None);
        assert_eq!((frame.counts, frame.strip, frame.marks), (vec![0, 0], vec![], vec![]));
        assert_eq!(frame.latency.len(), 3);
        assert_eq!(live.frame(at(20_000), vec![0, 0], None).latency, [None; 3]);
    }

    #[test]
    fn percentiles_are_of_the_last_ten_seconds_and_of_any_length() {
        let mut live = live();
        let slow = Record { answered: Moment(at(3010).0), ..record(9002, 10, 0) };
        for record in [record(9001, 2500, 0), record(9001, 2600, 0), slow] {
            live.event(&Event::Attempt(record));
        }
        let latency = live.frame(at(3100), vec![], None).latency;
        let latency: Vec<Latency> = latency.into_iter().flatten().collect();
        assert_eq!((latency[0].p50, latency[1].p99), (40, 41));
        assert!((2_990_000..3_300_000).contains(&latency[0].p99) && latency[2].p50 > 2_900_000, "{latency:?}");
    }

    #[test]
    fn seconds_are_kept_also_the_silent_ones() {
        let mut live = live();
        live.event(&Event::Attempt(record(9001, 900, 0)));
        live.event(&Event::Attempt(record(9002, 3100, 0)));
        live.frame(at(4050), vec![], None);
        let status =
            FleetStatus { version: 1, pid: 1, control: String::new(), started: String::new(), members: Vec::new() };
        let snapshot = live.snapshot(at(4050), status.clone());
        assert_eq!(snapshot.seconds, [[1, 0], [0, 0], [0, 0], [0, 1]]);
        assert!(snapshot.latency.iter().all(|latency| latency.is_some_and(|it| it.p50 == 40)), "{snapshot:?}");
        assert_eq!((snapshot.latency.len(), snapshot.running), (4, vec![0, 0]));
        assert_eq!(snapshot.strip, [0, 1]);
        live.event(&Event::Attempt(record(9001, 4100, 0)));
        live.event(&Event::Attempt(record(9001, 4110, 0)));
        live.frame(at(4200), vec![], None);
        live.event(&Event::Attempt(record(9001, 4300, 0)));
        // The third one is in the next frame.
        assert_eq!(live.snapshot(at(4300), status.clone()).running, [2, 0]);
        live.frame(at(3_600_000), vec![], None);
        let snapshot = live.snapshot(at(3_600_000), status);
        assert_eq!((snapshot.seconds.len(), snapshot.latency), (HISTORY, vec![None; HISTORY]));
    }

    #[test]
    fn a_second_attempt_is_a_retry_if_one_of_both_failed_and_a_double_execution_if_none_did() {
        let mut live = live();
        live.event(&Event::Attempt(Record { status: 503, ..record(9001, 1, 5) }));
        live.event(&Event::Attempt(record(9002, 2, 5)));
        live.event(&Event::Attempt(record(9001, 3, 6)));
        live.event(&Event::Attempt(record(9002, 4, 6)));
        // One that hung in a paused backend ends after the attempt that was delivered.
        live.event(&Event::Attempt(record(9002, 6, 7)));
        live.event(&Event::Attempt(Record { outcome: AttemptEnd::CutOff, ..record(9001, 5, 7) }));
        let frame = live.frame(at(100), vec![], None);
        let expected = [
            (MarkKind::Error, Some(9001), 2),
            (MarkKind::Retry, Some(9002), 1),
            (MarkKind::Double, Some(9002), 1),
            (MarkKind::Retry, Some(9001), 1),
        ];
        assert_eq!(kinds(&frame), expected);
        assert_eq!(frame.errors, [2, 0]);
    }

    #[test]
    fn what_happens_to_members_and_before_them_is_marked() {
        let mut live = live();
        let departure = Departure { cause: Cause::Signal(9), asked: false, unanswered: 0 };
        let gone = Change::Gone(departure);
        live.event(&Event::Member { at: at(5), generator: Generator(9002), change: gone });
        let front = Front {
            url: "http://localhost:8080/uuid".to_owned(),
            balancer: Some("NGINX".to_owned()),
            algorithm: Some("round-robin".to_owned()),
            weights: vec![5, 1],
            ..Front::default()
        };
        live.set_front(front.clone(), at(6));
        live.set_front(Front { problem: Some("no".to_owned()), ..front }, at(7));
        live.checks(CheckNews { url: "http://x/".to_owned(), ..CheckNews::default() }, at(8));
        live.checks(CheckNews { sent: 9, ..CheckNews::default() }, at(9));
        let frame = live.frame(at(100), vec![], None);
        let texts: Vec<&str> = frame.marks.iter().map(|mark| mark.text.as_str()).collect();
        assert_eq!(
            texts,
            ["gone: signal 9, SIGKILL", "NGINX balances: round-robin 5:1", "a check of http://x/ begins"]
        );
        assert_eq!(frame.front.unwrap().problem.as_deref(), Some("no"));
        assert_eq!(frame.check.unwrap().sent, 9);
    }
}
