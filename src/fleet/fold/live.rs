//! PURE. Events to frames: what the live view shows, folded from the same events as the log.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::time::Duration;

use hdrhistogram::Histogram;
use verdict::request::Note;

use crate::fleet::fold::redact;
use crate::wire::{
    AttemptEnd, BackendChange, BackendFigures, BackendState, BackendStatus, BalancerInfo, Calendar, CheckNews,
    ClientTimes, Figures, FleetEvent, FleetNames, FleetStatus, Frame, Generator, History, LatencyPercentiles, MarkKind,
    Moment, ReceivedRequest, Record, RequestId, Second, SeenRequest, Snapshot, TimelineMark,
};

/// What those see who begin to look, and keep.
const KEPT: History = History { seconds: 300, strip: 360, marks: 300, requests: 50 };
/// Requests whose attempts are compared.
const COMPARED: usize = 65_536;
/// Percentiles are of that many slots of time.
const SLOTS: usize = 5;
const SLOT: Duration = Duration::from_secs(2);
/// Shares and errors are of this time, rates of the last part of it.
const WINDOW: Duration = Duration::from_secs(10);
const RATE: Duration = Duration::from_secs(1);
/// A mark is merged with one of its kind among the latest.
const MERGED: usize = 8;

/// What the live view shows of one fleet.
pub(crate) struct LiveView {
    calendar: Calendar,
    names: FleetNames,
    places: HashMap<Generator, usize>,
    /// What has happened since the last frame.
    frame: Frame,
    /// Marks that are new or have grown since the last frame.
    touched: BTreeSet<u64>,
    next_mark: u64,
    /// When requests since the last frame were received, and the places of those who got them.
    arrived: Vec<(Moment, u16)>,
    strip_end: u64,
    /// Requests that have ended, one count a backend.
    requests_of: Vec<u64>,
    window: RecentWindow,
    /// The second since 1970 that has not ended.
    second: u64,
    counted: Vec<u32>,
    had_check: bool,
    seconds: VecDeque<Second>,
    strip: VecDeque<u16>,
    marks: VecDeque<TimelineMark>,
    requests: VecDeque<SeenRequest>,
    /// All backends together, then one a backend.
    times: Vec<RecentTimes>,
    /// As clients felt it that say so.
    client_times: RecentTimes,
    attempts: RecentAttempts,
    front: Option<BalancerInfo>,
    check: Option<CheckNews>,
}

impl LiveView {
    /// The view of a fleet that has just begun.
    pub(crate) fn new(
        backends: impl ExactSizeIterator<Item = Generator>,
        names: FleetNames,
        calendar: Calendar,
    ) -> LiveView {
        let count = backends.len();
        LiveView {
            calendar,
            names,
            places: backends.enumerate().map(|(place, generator)| (generator, place)).collect(),
            frame: Frame::default(),
            touched: BTreeSet::new(),
            next_mark: 0,
            arrived: Vec::new(),
            strip_end: 0,
            requests_of: vec![0; count],
            window: RecentWindow::new(count),
            second: calendar.unix / 1_000_000_000,
            counted: vec![0; count],
            had_check: false,
            seconds: VecDeque::new(),
            strip: VecDeque::new(),
            marks: VecDeque::new(),
            requests: VecDeque::new(),
            times: std::iter::once(RecentTimes::new(2)).chain((0..count).map(|_| RecentTimes::new(1))).collect(),
            client_times: RecentTimes::new(2),
            attempts: RecentAttempts::default(),
            front: None,
            check: None,
        }
    }

    /// Shows more backends: these, and those before them under the names that they have.
    pub(crate) fn extend(&mut self, backends: impl ExactSizeIterator<Item = Generator>, names: FleetNames) {
        let (first, count) = (self.requests_of.len(), self.requests_of.len() + backends.len());
        self.places.extend(backends.enumerate().map(|(place, generator)| (generator, first + place)));
        self.names = names;
        self.requests_of.resize(count, 0);
        self.counted.resize(count, 0);
        self.window.extend(count);
        self.times.resize_with(count + 1, || RecentTimes::new(1));
        // Of a time before they were there.
        let seconds = self.seconds.iter_mut().chain(&mut self.frame.seconds);
        seconds.filter(|second| !second.counts.is_empty()).for_each(|second| second.counts.resize(count, 0));
    }

    /// Takes note of an event.
    pub(crate) fn event(&mut self, event: &FleetEvent) {
        match event {
            FleetEvent::Attempt(record) => self.attempt(record),
            FleetEvent::Backend { at, generator, change } => {
                if let Some((kind, text)) = describe(change) {
                    self.mark(*at, kind, Some(*generator), 1, || text);
                }
            }
            FleetEvent::Lost { at, generator, count } => {
                let count = u32::try_from(*count).unwrap_or(u32::MAX);
                self.mark(*at, MarkKind::Lost, Some(*generator), count, || {
                    "records overwritten before they were read".to_owned()
                });
            }
            FleetEvent::Seen { generator, seen } => self.see(*generator, seen),
        }
    }

    /// What happened in one of several fleets, as that fleet says it.
    pub(crate) fn show_mark(&mut self, mark: TimelineMark, generator: Option<Generator>) {
        let at = self.calendar.moment(mark.at * 1_000_000);
        self.mark(at, mark.kind, generator, mark.count, || mark.text);
    }

    /// A request that a backend of one of several fleets received.
    pub(crate) fn show_request(&mut self, request: SeenRequest, generator: Generator) {
        self.frame.requests.push(SeenRequest { backend: self.names.of(generator).to_owned(), ..request });
    }

    /// Something stands in front of the fleet, or balances in another way.
    pub(crate) fn set_front(&mut self, front: BalancerInfo, now: Moment) {
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
    pub(crate) fn set_check(&mut self, news: CheckNews, now: Moment) {
        if !self.is_checking() && !is_over(&news) {
            self.mark(now, MarkKind::Check, None, 1, || format!("a check of {} begins", redact::target(&news.url)));
        }
        if let Some(result) = &news.result {
            self.mark(now, MarkKind::Check, None, 1, || format!("the check ends: {}", result.verdict));
        }
        self.frame.check = Some(news.clone());
        self.check = Some(news);
        self.had_check |= self.is_checking();
    }

    /// How long responses took for a client.
    pub(crate) fn add_client_times(&mut self, times: &ClientTimes, now: Moment) {
        for took in &times.microseconds {
            self.client_times.add(now, Duration::from_micros(u64::from(*took)));
        }
    }

    /// What stands in front of the fleet, if that is known.
    pub(crate) fn front(&self) -> Option<&BalancerInfo> {
        self.front.as_ref()
    }

    /// What has happened since the last frame, while somebody looks. `changed` says that more about the backends has changed than
    /// their figures.
    pub(crate) fn frame(&mut self, now: Moment, backends: &[BackendStatus], changed: bool) -> Frame {
        let frame = self.pass(now);
        Frame { figures: self.figures(now, backends), backends: changed.then(|| backends.to_vec()), ..frame }
    }

    /// The same while nobody looks: it is kept for those who will, as far as they will see it.
    pub(crate) fn pass(&mut self, now: Moment) -> Frame {
        self.turn_to(self.calendar.unix(now) / 1_000_000_000);
        self.window.end_part(now);
        let mut frame = std::mem::take(&mut self.frame);
        frame.at = self.milliseconds(now);
        // Journals were read one after the other.
        self.arrived.sort_by_key(|(received, _)| *received);
        let latest = self.arrived.len().saturating_sub(KEPT.strip);
        frame.strip = self.arrived.drain(..).skip(latest).map(|(_, place)| place).collect();
        frame.strip_end = self.strip_end;
        keep(&mut self.strip, frame.strip.iter().copied(), KEPT.strip);
        keep(&mut self.requests, frame.requests.iter().cloned(), KEPT.requests);
        let touched = std::mem::take(&mut self.touched);
        frame.marks = self.marks.iter().filter(|mark| touched.contains(&mark.id)).cloned().collect();
        frame
    }

    /// All that is known. Frames follow from here on if one was taken just before.
    pub(crate) fn snapshot(&mut self, now: Moment, fleet: FleetStatus) -> Snapshot {
        Snapshot {
            version: 2,
            owner: true,
            at: self.milliseconds(now),
            kept: KEPT,
            figures: self.figures(now, &fleet.backends),
            fleet,
            seconds: self.seconds.iter().cloned().collect(),
            strip: self.strip.iter().copied().collect(),
            strip_end: self.strip_end,
            marks: self.marks.iter().cloned().collect(),
            requests: self.requests.iter().cloned().collect(),
            front: self.front.clone(),
            check: self.check.clone(),
        }
    }

    fn figures(&mut self, now: Moment, backends: &[BackendStatus]) -> Figures {
        let takes_requests: Vec<(&str, bool)> =
            backends.iter().map(|backend| (backend.name.as_str(), backend.state == BackendState::Ready)).collect();
        let expected = self.front.as_ref().and_then(|front| front.expected(&takes_requests));
        let rates = self.window.rates(now);
        let all: f64 = self.window.sums.iter().map(|counts| f64::from(counts.all)).sum();
        let mut figures = Figures {
            rate: rates.iter().map(|rate| u64::from(*rate)).sum(),
            latency: self.times[0].percentiles(now),
            client: self.client_times.percentiles(now),
            backends: Vec::new(),
        };
        let count = |units: usize| u32::try_from(units).unwrap_or(u32::MAX);
        for (place, backend) in backends.iter().enumerate() {
            let recent = self.window.sums[place];
            let of_recent = |count: u32, all: f64| (all > 0.0).then(|| f64::from(count) / all);
            figures.backends.push(BackendFigures {
                requests: self.requests_of[place],
                share: of_recent(recent.all, all),
                expected: expected.as_ref().map(|expected| expected[place]),
                rate: rates[place],
                errors: recent.failed,
                connections: count(backend.connections),
                http_2: of_recent(recent.http_2, f64::from(recent.all)),
                in_flight: count(backend.in_flight),
                streams: count(backend.streams),
                websockets: count(backend.websockets),
                latency: self.times[1 + place].percentiles(now),
            });
        }
        figures
    }

    fn is_checking(&self) -> bool {
        self.check.as_ref().is_some_and(|check| !is_over(check))
    }

    fn attempt(&mut self, record: &Record) {
        // Health probes are no traffic.
        let Some(place) = self.places.get(&record.generator).copied().filter(|_| record.response.is_some()) else {
            return;
        };
        self.turn_to(self.calendar.unix(record.responded.max(record.received)) / 1_000_000_000);
        self.counted[place] += 1;
        self.requests_of[place] += 1;
        self.strip_end += 1;
        self.arrived.push((record.received, place as u16));
        let whole = record.outcome == AttemptEnd::Completed;
        if whole {
            let took = record.responded.since(record.received);
            self.times[0].add(record.responded, took);
            self.times[1 + place].add(record.responded, took);
        }
        let status = record.call.and_then(|call| call.status).filter(|status| status.is_failure_of_server());
        let failed = !whole || record.status >= 500 || status.is_some();
        let http_2 = record.arrived.notes.contains(Note::Http2);
        self.window.add(place, RecentCounts { all: 1, failed: failed.into(), http_2: http_2.into() });
        let (at, generator) = (record.responded.max(record.received), Some(record.generator));
        if failed {
            self.mark(at, MarkKind::Error, generator, 1, || match record.outcome {
                AttemptEnd::Completed => match status {
                    Some(status) => format!("answered {status}"),
                    None => format!("answered {}", record.status),
                },
                AttemptEnd::Refused => "refused the stream".to_owned(),
                AttemptEnd::CutOff | AttemptEnd::Received => "did not answer to the end".to_owned(),
            });
        }
        if let Some(earlier) = record.request.and_then(|id| self.attempts.add(id, record.generator, failed)) {
            let from = self.names.of(earlier.generator).to_owned();
            if earlier.failed || failed {
                self.mark(at, MarkKind::Retry, generator, 1, || {
                    format!("a request that failed at {from} was tried again")
                });
            } else {
                self.mark(at, MarkKind::Double, generator, 1, || {
                    format!("a request that {from} had answered was executed again")
                });
            }
        }
    }

    fn see(&mut self, generator: Generator, seen: &ReceivedRequest) {
        let at = self.milliseconds(seen.received);
        self.frame.requests.push(SeenRequest { backend: self.names.of(generator).to_owned(), at, seen: seen.clone() });
    }

    fn mark(
        &mut self,
        at: Moment,
        kind: MarkKind,
        generator: Option<Generator>,
        count: u32,
        text: impl FnOnce() -> String,
    ) {
        let at = self.milliseconds(at);
        let backend = generator.map(|generator| self.names.of(generator));
        let like = self.marks.iter_mut().rev().take(MERGED).find(|earlier| {
            let second = (earlier.kind, earlier.backend.as_deref(), earlier.at / 1000);
            kind.adds_up() && second == (kind, backend, at / 1000)
        });
        let id = match like {
            Some(earlier) => {
                earlier.count = earlier.count.saturating_add(count);
                earlier.id
            }
            None => {
                let id = self.next_mark;
                self.next_mark += 1;
                keep(
                    &mut self.marks,
                    std::iter::once(TimelineMark {
                        id,
                        at,
                        kind,
                        backend: backend.map(str::to_owned),
                        count,
                        text: text(),
                    }),
                    KEPT.marks,
                );
                id
            }
        };
        self.touched.insert(id);
    }

    /// Ends the seconds before this one.
    fn turn_to(&mut self, second: u64) {
        if second <= self.second {
            return;
        }
        let count = self.counted.len();
        let first = self.second.max(second.saturating_sub(KEPT.seconds as u64));
        for at in first..second {
            // Only the first of them can have had requests: the others were silent.
            let counts = if at == self.second { std::mem::take(&mut self.counted) } else { Vec::new() };
            let counts = if counts.is_empty() { vec![0; count] } else { counts };
            let latency = self.times[0].percentiles(self.calendar.moment((at + 1) * 1_000_000_000));
            let is_check = self.is_checking() || (at == self.second && self.had_check);
            let ended = Second { at, counts, latency, is_check };
            keep(&mut self.seconds, std::iter::once(ended.clone()), KEPT.seconds);
            self.frame.seconds.push(ended);
        }
        self.frame.seconds.drain(..self.frame.seconds.len().saturating_sub(KEPT.seconds));
        self.counted = vec![0; count];
        self.had_check = self.is_checking();
        self.second = second;
    }

    fn milliseconds(&self, moment: Moment) -> u64 {
        self.calendar.unix(moment) / 1_000_000
    }
}

fn is_over(check: &CheckNews) -> bool {
    check.result.is_some() || check.error.is_some()
}

/// What happened in the last ten seconds, frame by frame, and its sums: each with one count a backend.
struct RecentWindow {
    parts: VecDeque<(Moment, Vec<RecentCounts>)>,
    running: Vec<RecentCounts>,
    sums: Vec<RecentCounts>,
}

#[derive(Clone, Copy, Default)]
struct RecentCounts {
    all: u32,
    failed: u32,
    http_2: u32,
}

impl RecentCounts {
    fn each(&mut self, other: RecentCounts, change: fn(u32, u32) -> u32) {
        self.all = change(self.all, other.all);
        self.failed = change(self.failed, other.failed);
        self.http_2 = change(self.http_2, other.http_2);
    }
}

impl RecentWindow {
    fn new(backends: usize) -> RecentWindow {
        let none = vec![RecentCounts::default(); backends];
        RecentWindow { parts: VecDeque::new(), running: none.clone(), sums: none }
    }

    fn extend(&mut self, backends: usize) {
        self.running.resize(backends, RecentCounts::default());
        self.sums.resize(backends, RecentCounts::default());
    }

    fn add(&mut self, place: usize, attempt: RecentCounts) {
        self.running[place].each(attempt, u32::saturating_add);
    }

    /// What came until now belongs together; what is too old is forgotten.
    fn end_part(&mut self, now: Moment) {
        let none = vec![RecentCounts::default(); self.sums.len()];
        let part = std::mem::replace(&mut self.running, none);
        self.sums.iter_mut().zip(&part).for_each(|(sum, part)| sum.each(*part, u32::saturating_add));
        self.parts.push_back((now, part));
        while let Some((_, part)) = self.parts.pop_front_if(|(end, _)| now.since(*end) > WINDOW) {
            self.sums.iter_mut().zip(&part).for_each(|(sum, part)| sum.each(*part, u32::saturating_sub));
        }
    }

    fn rates(&self, now: Moment) -> Vec<u32> {
        let mut rates = vec![0; self.sums.len()];
        for (_, part) in self.parts.iter().rev().take_while(|(end, _)| now.since(*end) < RATE) {
            rates.iter_mut().zip(part).for_each(|(rate, counts)| *rate += counts.all);
        }
        rates
    }
}

/// Appends, and forgets the oldest beyond `most`.
fn keep<T>(kept: &mut VecDeque<T>, more: impl Iterator<Item = T>, most: usize) {
    kept.extend(more);
    kept.drain(..kept.len().saturating_sub(most));
}

fn weights(weights: &[u32]) -> String {
    if weights.windows(2).any(|pair| pair[0] != pair[1]) {
        format!(" {}", weights.iter().map(u32::to_string).collect::<Vec<_>>().join(":"))
    } else {
        String::new()
    }
}

fn describe(change: &BackendChange) -> Option<(MarkKind, String)> {
    let backend = |text: &str| Some((MarkKind::Backend, text.to_owned()));
    match change {
        BackendChange::Starting(_) | BackendChange::Recovered => None,
        BackendChange::Accepting => backend("accepts connections"),
        BackendChange::Paused => backend("paused: connections are taken, nobody answers"),
        BackendChange::Resumed => backend("resumed"),
        BackendChange::Draining => backend("drains: it answers what is in flight, then ends"),
        BackendChange::Readiness(true) => backend("readiness answers 200 again"),
        BackendChange::Readiness(false) => backend("readiness answers 503"),
        BackendChange::HandshakeFailed(failed) => {
            Some((MarkKind::Backend, format!("a TLS handshake failed: {}", failed.reason.name())))
        }
        BackendChange::Starved(_) => backend("takes no new connection for now"),
        BackendChange::Gone(departure) if departure.asked => backend("stopped"),
        BackendChange::Gone(departure) => Some((MarkKind::Backend, format!("gone: {}", departure.cause))),
        BackendChange::RestartIn(delay) => Some((MarkKind::Backend, format!("restarts in {} ms", delay.as_millis()))),
        BackendChange::StartFailed(why) => Some((MarkKind::Backend, format!("failed to start: {why}"))),
        BackendChange::Faults(faults) if faults.is_empty() => {
            Some((MarkKind::Fault, "behaves: no faults any more".to_owned()))
        }
        BackendChange::Faults(faults) => {
            let faults: Vec<String> = faults.iter().map(ToString::to_string).collect();
            Some((MarkKind::Fault, format!("misbehaves: {}", faults.join(", "))))
        }
    }
}

/// The attempts of the latest requests that have an id of ours.
#[derive(Default)]
struct RecentAttempts {
    latest: HashMap<RequestId, Earlier>,
    order: VecDeque<RequestId>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Earlier {
    generator: Generator,
    failed: bool,
}

impl RecentAttempts {
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
struct RecentTimes {
    slots: [Histogram<u32>; SLOTS],
    slot: u64,
}

impl RecentTimes {
    fn new(digits: u8) -> RecentTimes {
        let slot = || Histogram::new(digits).expect("one or two digits are allowed");
        RecentTimes { slots: std::array::from_fn(|_| slot()), slot: 0 }
    }

    fn add(&mut self, at: Moment, took: Duration) {
        self.turn_to(at);
        let microseconds = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        // Fails for no time that there is: a histogram grows as it must.
        let _ = self.slots[(self.slot % SLOTS as u64) as usize].record(microseconds.max(1));
    }

    fn percentiles(&mut self, now: Moment) -> Option<LatencyPercentiles> {
        self.turn_to(now);
        let mut all = self.slots[0].clone();
        self.slots[1..].iter().for_each(|slot| all += slot);
        let at = |quantile| all.value_at_quantile(quantile);
        (!all.is_empty()).then(|| LatencyPercentiles { p50: at(0.5), p90: at(0.9), p99: at(0.99), p99_9: at(0.999) })
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
    use crate::wire::{Cause, Clipped, Departure, ResponseId, sample};
    use http::grpc::GrpcStatus;
    use verdict::Call;

    const NOON: u64 = 1_795_435_200;

    fn live() -> LiveView {
        let calendar = Calendar { moment: Moment(0), unix: NOON * 1_000_000_000 };
        let names = [9001, 9002].map(|port| (Generator(port), port.to_string())).into_iter().collect();
        LiveView::new([Generator(9001), Generator(9002)].into_iter(), names, calendar)
    }

    fn at(milliseconds: u64) -> Moment {
        Moment(milliseconds * 1_000_000)
    }

    fn record(generator: u16, milliseconds: u64, request: u64) -> Record {
        Record {
            number: 1,
            received: at(milliseconds),
            responded: Moment(at(milliseconds).0 + 40_000),
            generator: Generator(generator),
            response: Some(ResponseId(uuid::Uuid::from_u128(7))),
            request: (request > 0).then_some(RequestId { run: 1, sequence: request }),
            connection: 1,
            request_number: 1,
            method: Clipped::new(b"GET"),
            path: Clipped::new(b"/uuid"),
            status: 200,
            bytes: 512,
            outcome: AttemptEnd::Completed,
            ..Record::default()
        }
    }

    #[test]
    fn backends_that_join_are_counted_from_then_on() {
        let mut live = live();
        live.event(&FleetEvent::Attempt(record(9001, 10, 0)));
        live.pass(at(1_500));
        let names = [9001, 9002, 9003].map(|port| (Generator(port), port.to_string())).into_iter().collect();
        live.extend([Generator(9003)].into_iter(), names);
        live.event(&FleetEvent::Attempt(record(9003, 1_600, 0)));
        live.event(&FleetEvent::Attempt(record(9001, 1_700, 0)));
        let frame = live.pass(at(2_500));
        let counts: Vec<Vec<u32>> = live.seconds.iter().map(|second| second.counts.clone()).collect();
        assert_eq!(counts, [[1, 0, 0], [1, 0, 1]]);
        assert_eq!(frame.seconds.last().map(|second| second.counts.clone()), Some(vec![1, 0, 1]));
        assert_eq!(live.window.rates(at(2_500)), [1, 0, 1]);
    }

    fn kinds(frame: &Frame) -> Vec<(MarkKind, Option<u16>, u32)> {
        frame
            .marks
            .iter()
            .map(|mark| (mark.kind, mark.backend.as_ref().map(|it| it.parse().unwrap()), mark.count))
            .collect()
    }

    fn backends() -> Vec<BackendStatus> {
        [9001, 9002].map(|generator| status(generator, BackendState::Ready)).to_vec()
    }

    fn status(port: u16, state: BackendState) -> BackendStatus {
        BackendStatus { state, in_flight: 3, websockets: 2, connections: 5, ..sample::backend(port) }
    }

    fn shares(figures: &Figures) -> Vec<Option<f64>> {
        figures.backends.iter().map(|backend| backend.share).collect()
    }

    #[test]
    fn what_clients_feel_is_shown_for_ten_seconds_beside_what_backends_took() {
        let mut live = live();
        let times = ClientTimes { microseconds: (1..=100).map(|number| number * 100).collect() };
        live.add_client_times(&times, Moment(1_000_000_000));
        let felt = live.figures(Moment(2_000_000_000), &[]).client.unwrap();
        assert!((4_900..=5_100).contains(&felt.p50) && (9_800..=10_200).contains(&felt.p99), "{felt:?}");
        assert_eq!(live.figures(Moment(2_000_000_000), &[]).latency, None);
        assert_eq!(live.figures(Moment(12_000_000_000), &[]).client, None);
    }

    #[test]
    fn a_frame_shows_what_ended_in_the_order_of_arrival_and_the_figures_of_now() {
        let mut live = live();
        for (generator, milliseconds) in [(9001, 10), (9001, 30), (9002, 20), (9001, 40)] {
            live.event(&FleetEvent::Attempt(record(generator, milliseconds, 0)));
        }
        live.event(&FleetEvent::Attempt(Record { response: None, ..record(9001, 50, 0) }));
        let mut over_http2 = record(9001, 60, 0);
        over_http2.arrived.notes.add(Note::Http2);
        live.event(&FleetEvent::Attempt(Record { status: 503, ..over_http2 }));
        let frame = live.frame(at(100), &backends(), false);
        assert_eq!((frame.strip, frame.strip_end, frame.backends), (vec![0, 1, 0, 0, 0], 5, None));
        assert_eq!((frame.at, frame.figures.rate), (NOON * 1000 + 100, 5));
        assert_eq!(shares(&frame.figures), [Some(0.8), Some(0.2)]);
        let first = &frame.figures.backends[0];
        assert_eq!((first.requests, first.rate, first.errors, first.in_flight), (4, 4, 1, 3));
        assert_eq!((first.streams, first.websockets, first.connections), (0, 2, 5));
        assert_eq!((first.http_2, frame.figures.backends[1].http_2), (Some(0.25), Some(0.0)));
        assert_eq!((frame.figures.latency.unwrap().p50, first.latency.unwrap().p99), (40, 41));
        let frame = live.frame(at(200), &backends(), true);
        assert_eq!(
            (frame.strip.len(), frame.strip_end, frame.marks.len(), frame.backends),
            (0, 5, 0, Some(backends()))
        );
        let figures = live.frame(at(1200), &backends(), false).figures;
        assert_eq!((figures.rate, shares(&figures)[0]), (0, Some(0.8)), "a second of silence");
        let figures = live.frame(at(20_000), &backends(), false).figures;
        assert_eq!((shares(&figures), figures.latency, figures.backends[0].errors), (vec![None; 2], None, 0));
        assert_eq!(figures.backends[0].requests, 4);
    }

    #[test]
    fn shares_are_expected_of_the_backends_that_are_ready_and_of_a_backup_only_without_them() {
        let mut live = live();
        let mut expected = |states: [BackendState; 2]| {
            let backends = [status(9001, states[0]), status(9002, states[1])];
            let figures = live.frame(at(100), &backends, false).figures;
            figures.backends.iter().map(|backend| backend.expected).collect::<Vec<_>>()
        };
        assert_eq!(expected([BackendState::Ready; 2]), [None; 2], "nobody said how it balances");
        let backups = vec!["9002".to_owned()];
        let front = BalancerInfo { algorithm: Some(api::Policy::RoundRobin), backups, ..BalancerInfo::default() };
        live.set_front(front, at(1));
        let mut expected = |states: [BackendState; 2]| {
            let backends = [status(9001, states[0]), status(9002, states[1])];
            let figures = live.frame(at(100), &backends, false).figures;
            figures.backends.iter().map(|backend| backend.expected).collect::<Vec<_>>()
        };
        assert_eq!(expected([BackendState::Ready; 2]), [Some(1.0), Some(0.0)]);
        assert_eq!(expected([BackendState::Gone, BackendState::Ready]), [Some(0.0), Some(1.0)]);
    }

    #[test]
    fn percentiles_are_of_the_last_ten_seconds_and_of_any_length() {
        let mut live = live();
        let slow = Record { responded: Moment(at(3010).0), ..record(9002, 10, 0) };
        for record in [record(9001, 2500, 0), record(9001, 2600, 0), slow] {
            live.event(&FleetEvent::Attempt(record));
        }
        let figures = live.frame(at(3100), &backends(), false).figures;
        let [all, first, second] =
            [figures.latency, figures.backends[0].latency, figures.backends[1].latency].map(Option::unwrap);
        assert_eq!((all.p50, first.p99), (40, 41));
        assert!((2_990_000..3_300_000).contains(&all.p99) && second.p50 > 2_900_000, "{figures:?}");
    }

    #[test]
    fn seconds_are_kept_also_the_silent_ones_and_say_whether_a_check_ran() {
        let mut live = live();
        live.event(&FleetEvent::Attempt(record(9001, 900, 0)));
        live.event(&FleetEvent::Attempt(record(9002, 3100, 0)));
        let frame = live.frame(at(4050), &backends(), false);
        let counts = |seconds: &[Second]| seconds.iter().map(|second| second.counts.clone()).collect::<Vec<_>>();
        assert_eq!(counts(&frame.seconds), [[1, 0], [0, 0], [0, 0], [0, 1]]);
        assert_eq!(frame.seconds.iter().map(|second| second.at - NOON).collect::<Vec<_>>(), [0, 1, 2, 3]);
        assert!(frame.seconds.iter().all(|second| second.latency.is_some_and(|it| it.p50 == 40) && !second.is_check));
        let snapshot = live.snapshot(at(4050), sample::fleet(backends()));
        assert_eq!((snapshot.seconds, snapshot.strip), (frame.seconds, vec![0, 1]));
        live.set_check(CheckNews { url: "http://x/".to_owned(), ..CheckNews::default() }, at(4100));
        live.frame(at(6100), &backends(), false);
        live.set_check(CheckNews { error: Some("no".to_owned()), ..CheckNews::default() }, at(6200));
        let frame = live.frame(at(8100), &backends(), false);
        assert_eq!(frame.seconds.iter().map(|second| second.is_check).collect::<Vec<_>>(), [true, false]);
        let snapshot = live.snapshot(at(8100), sample::fleet(backends()));
        let checked: Vec<u64> =
            snapshot.seconds.iter().filter(|second| second.is_check).map(|second| second.at - NOON).collect();
        assert_eq!(checked, [4, 5, 6]);
        let frame = live.frame(at(3_600_000), &backends(), false);
        assert_eq!(frame.seconds.len(), KEPT.seconds);
        assert_eq!(frame.seconds.last().unwrap().at, NOON + 3599);
        assert!(frame.seconds.iter().all(|second| second.counts == [0, 0] && second.latency.is_none()));
    }

    #[test]
    fn a_second_attempt_is_a_retry_if_one_of_both_failed_and_a_double_execution_if_none_did() {
        let mut live = live();
        let unavailable = Call { status: Some(GrpcStatus::UNAVAILABLE), ..Call::default() };
        live.event(&FleetEvent::Attempt(Record { call: Some(unavailable), ..record(9001, 1, 5) }));
        live.event(&FleetEvent::Attempt(record(9002, 2, 5)));
        live.event(&FleetEvent::Attempt(record(9001, 3, 6)));
        live.event(&FleetEvent::Attempt(record(9002, 4, 6)));
        // One that hung in a paused backend ends after the attempt that was delivered.
        live.event(&FleetEvent::Attempt(record(9002, 6, 7)));
        live.event(&FleetEvent::Attempt(Record { outcome: AttemptEnd::CutOff, ..record(9001, 5, 7) }));
        let frame = live.frame(at(100), &backends(), false);
        let expected = [
            (MarkKind::Error, Some(9001), 2),
            (MarkKind::Retry, Some(9002), 1),
            (MarkKind::Double, Some(9002), 1),
            (MarkKind::Retry, Some(9001), 1),
        ];
        assert_eq!(kinds(&frame), expected);
        // One that grows is told again, under its id; in another second it is another one.
        live.event(&FleetEvent::Attempt(Record { status: 500, ..record(9001, 300, 0) }));
        let grown = live.frame(at(400), &backends(), false);
        assert_eq!((kinds(&grown), grown.marks[0].id), (vec![(MarkKind::Error, Some(9001), 3)], frame.marks[0].id));
        live.event(&FleetEvent::Attempt(Record { status: 500, ..record(9001, 1300, 0) }));
        let other = live.frame(at(1400), &backends(), false);
        assert_eq!((kinds(&other), other.marks[0].id), (vec![(MarkKind::Error, Some(9001), 1)], 4));
    }

    #[test]
    fn what_happens_to_backends_and_in_front_of_them_is_marked() {
        let mut live = live();
        let departure = Departure { cause: Cause::Signal(9), asked: false, unanswered: 0 };
        let gone = BackendChange::Gone(departure);
        live.event(&FleetEvent::Backend { at: at(5), generator: Generator(9002), change: gone });
        let front = BalancerInfo {
            url: "http://localhost:8080/uuid".to_owned(),
            balancer: Some("NGINX".to_owned()),
            algorithm: Some(api::Policy::RoundRobin),
            weights: vec![5, 1],
            ..BalancerInfo::default()
        };
        live.set_front(front.clone(), at(6));
        live.set_front(BalancerInfo { problem: Some("no".to_owned()), ..front }, at(7));
        live.set_check(CheckNews { url: "http://x/?k=secret".to_owned(), ..CheckNews::default() }, at(8));
        live.set_check(CheckNews { sent: 9, ..CheckNews::default() }, at(9));
        let frame = live.frame(at(100), &backends(), false);
        let texts: Vec<&str> = frame.marks.iter().map(|mark| mark.text.as_str()).collect();
        assert_eq!(
            texts,
            ["gone: signal 9, SIGKILL", "NGINX balances: round-robin 5:1", "a check of http://x/?k=<6 bytes> begins"]
        );
        assert_eq!(frame.front.unwrap().problem.as_deref(), Some("no"));
        assert_eq!(frame.check.unwrap().sent, 9);
    }
}
