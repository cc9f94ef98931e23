//! Events to frames: what the live view shows, folded from the same events as the log.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::time::Duration;

use hdrhistogram::Histogram;
use verdict::notes::Note;

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

    /// What happened to a backend of one of several fleets, as whoever reads them finds it.
    pub(crate) fn note(&mut self, at: Moment, generator: Generator, text: &str) {
        self.mark(at, MarkKind::Backend, Some(generator), 1, || text.to_owned());
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

    pub(crate) fn set_check(&mut self, news: CheckNews, now: Moment) {
        if !self.is_checking() && !news.is_over() {
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

    /// Ends the frame while nobody looks: what those will see who look later is kept.
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
        self.check.as_ref().is_some_and(|check| !check.is_over())
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
mod tests;
