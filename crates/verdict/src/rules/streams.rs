//! The rules of units with a life: each stream has one end, each event comes once, in time, and the ends are whose they should be.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::facts::streams::{Alive, CloseCodes, Cuts, Delay, Delays, Messages, Summary, Truncations, Upgrades};
use crate::finding::{Facts, Finding, Level};
use crate::ledger::Entry;
use crate::life::{LifeEnd, StreamKind};
use crate::observation::Backend;
use crate::rules::case::{Case, Drill};
use crate::rules::requirement::Requirement;
use crate::rules::share_test::is_certain;
use crate::statistics::ln_e_value;
use crate::streams::{ClientEnd, HOPS, LATE, Lived, Side, StreamObservation, StreamOutcome, Streams, lateness_of};
use crate::{AttemptEnd, Moment};

const SHOWN: usize = 3;
/// What a step ends has ended within this time.
const AFTER_STEP: Duration = Duration::from_secs(2);
/// Who writes events nearer to each other than that writes them as fast as they are taken.
const UNPACED: Duration = Duration::from_millis(5);
/// Delays from here on are worth a note.
const NOTABLE: f64 = 0.05;

/// With which a balancer that does not speak WebSocket refuses a handshake. What has a meaning of its own is not among them: credentials, no
/// route, a limit.
const REFUSALS: [u16; 5] = [400, 403, 405, 426, 501];

/// A stream from all sides.
struct StreamSides<'a> {
    seen: &'a StreamObservation,
    entry: Entry<'a>,
    lived: Option<&'a Lived>,
    outcome: StreamOutcome,
    is_excused: bool,
}

impl StreamSides<'_> {
    fn is_open(&self) -> bool {
        self.outcome != StreamOutcome::NotOpened
    }

    /// When it was cut: who cuts may tell the backend before the client.
    fn cut_at(&self, is_one_clock: bool) -> Moment {
        let told =
            self.lived.filter(|lived| is_one_clock && lived.life.end != LifeEnd::Open && lived.ended > lived.began);
        told.map_or(self.seen.ended, |lived| lived.ended.min(self.seen.ended))
    }

    /// When it began to live: a balancer that holds back what a backend writes opens it for the client much later, or with its end.
    fn began(&self, is_one_clock: bool) -> Option<Moment> {
        let opened = self.seen.opened?;
        Some(self.lived.filter(|_| is_one_clock).map_or(opened, |lived| lived.began.min(opened)))
    }

    fn is_alive(&self, at: Moment, is_one_clock: bool) -> bool {
        self.began(is_one_clock).is_some_and(|began| began <= at && at < self.seen.ended)
    }

    fn age(&self, is_one_clock: bool) -> f64 {
        let ended = self.cut_at(is_one_clock);
        self.began(is_one_clock).map_or(0.0, |began| ended.since(began).as_secs_f64())
    }

    fn idle(&self, is_one_clock: bool) -> f64 {
        self.cut_at(is_one_clock).since(self.last_moved(is_one_clock)).as_secs_f64()
    }

    /// When something went over it at last. Where all that was written has come, that is when it was written, however long it was held
    /// back.
    fn last_moved(&self, is_one_clock: bool) -> Moment {
        let StreamSides { seen, lived, .. } = self;
        let is_one_way = seen.kind != StreamKind::Websocket;
        let all_came = lived.is_some_and(|lived| lived.life.last_written() == Some(seen.events.last));
        let written = seen.times.iter().map(|(written, _)| *written).max();
        match written
            .filter(|_| is_one_clock && is_one_way && all_came && seen.times.len() == seen.events.distinct as usize)
        {
            Some(written) => written.min(seen.last_came),
            None => seen.last_came,
        }
    }

    /// Both sides have sent their close frames, the client first: all that was written before has come, if it ever does.
    fn is_settled(&self) -> bool {
        let both = self.seen.close_received.is_some() && self.seen.close_sent.is_some();
        both && self.seen.end == ClientEnd::Left && self.lived.is_some_and(|it| it.life.close_received.is_some())
    }
}

pub(crate) fn judge<'s>(case: &'s Case) -> Vec<Finding> {
    let Some(streams) = case.streams else { return Vec::new() };
    let unit = |seen: &'s StreamObservation| {
        let entry = case.ledger.entry(seen.sequence)?;
        let lived = streams.lived(entry.observation.response);
        let is_excused = case.is_excused(&entry);
        Some(StreamSides { seen, entry, lived, outcome: seen.outcome(lived), is_excused })
    };
    let units: Vec<StreamSides> = streams.observations().iter().filter_map(unit).collect();
    let lateness = lateness(&units, streams);
    let delay = delay(&units, streams, lateness);
    let mut findings: Vec<Finding> = Vec::new();
    findings.extend(upgrades(case, &units));
    findings.extend(messages(case, &units));
    findings.extend(delays(case, &units, delay, lateness));
    findings.extend(cuts(case, &units));
    findings.extend(truncations(case, &units));
    findings.extend(close_codes(case, &units));
    findings.extend(alive(case, &units));
    findings.extend(summary(&units, delay));
    findings
}

fn open(units: &[StreamSides]) -> u64 {
    units.iter().filter(|unit| unit.is_open()).count() as u64
}

fn pick_witnesses(case: &Case, hit: &[&StreamSides]) -> Vec<crate::finding::Witness> {
    let sequences: Vec<u32> = hit.iter().take(SHOWN).map(|unit| unit.entry.sequence).collect();
    case.witnesses(&sequences)
}

fn summary(units: &[StreamSides], delay: Option<Delay>) -> Option<Finding> {
    let of = units.len() as u64;
    let streams = open(units);
    if streams == 0 {
        return None;
    }
    let sum = |each: fn(&StreamSides) -> u64| units.iter().map(each).sum::<u64>();
    let facts = Summary {
        kind: units[0].seen.kind,
        streams,
        of,
        ended: sum(|unit| u64::from(matches!(unit.outcome, StreamOutcome::Whole | StreamOutcome::Left))),
        written: sum(|unit| unit.lived.map_or(0, |lived| u64::from(lived.life.written))),
        came: sum(|unit| u64::from(unit.seen.events.distinct)),
        sent: sum(|unit| u64::from(unit.seen.sent)),
        echoed: sum(|unit| u64::from(unit.seen.echoes.distinct)),
        delay,
        resumed: sum(|unit| u64::from(was_resumed(unit))),
    };
    // Always told, never judged: what is wrong has a rule of its own.
    Some(Finding::new(Level::Note, Facts::Streams(facts)))
}

/// It went on where the one before had ended.
fn was_resumed(unit: &StreamSides) -> bool {
    let after = unit.seen.resumed_after;
    after.is_some_and(|after| unit.lived.is_some_and(|lived| lived.life.first == after + 1))
        && unit.seen.events.lost() == 0
}

// The handshake.

fn upgrades(case: &Case, units: &[StreamSides]) -> Option<Finding> {
    const UPGRADE_REQUIRED: u16 = 426;
    let is_stripped = |unit: &&StreamSides| {
        let observation = unit.entry.observation;
        unit.seen.kind == StreamKind::Websocket
            && unit.outcome == StreamOutcome::NotOpened
            && observation.status == UPGRADE_REQUIRED
            && observation.backend.is_known()
    };
    let is_refused = |unit: &&StreamSides| {
        let observation = unit.entry.observation;
        unit.seen.kind == StreamKind::Websocket
            && unit.outcome == StreamOutcome::NotOpened
            && REFUSALS.contains(&observation.status)
            && !observation.backend.is_known()
    };
    let stripped: Vec<&StreamSides> = units.iter().filter(is_stripped).collect();
    let refused: Vec<&StreamSides> = units.iter().filter(is_refused).collect();
    let example = stripped.first().or(refused.first())?;
    let status = refused.first().map(|unit| unit.entry.observation.status);
    let facts =
        Upgrades { stripped: stripped.len() as u64, refused: refused.len() as u64, status, of: units.len() as u64 };
    Some(Finding::new(Level::Fail, Facts::Upgrade(facts)).shown_by(pick_witnesses(case, &[example])))
}

// What comes.

fn messages(case: &Case, units: &[StreamSides]) -> Option<Finding> {
    let is_one_clock = case.streams.is_some_and(|streams| !streams.other_clocks);
    let mut all = Messages { of: open(units), ..Messages::default() };
    let mut hit = Vec::new();
    for unit in units.iter().filter(|unit| unit.is_open() && !unit.is_excused) {
        let of = messages_of(unit, is_one_clock);
        let sums = [of.lost, of.doubled, of.misordered, of.foreign, of.unreceived, of.misplaced];
        if sums.iter().sum::<u64>() == 0 {
            continue;
        }
        all.streams += 1;
        all.lost += of.lost;
        all.doubled += of.doubled;
        all.misordered += of.misordered;
        all.foreign += of.foreign;
        all.unreceived += of.unreceived;
        all.misplaced += of.misplaced;
        hit.push(unit);
    }
    (all.streams > 0)
        .then(|| Finding::new(Level::Fail, Facts::StreamMessages(all)).shown_by(pick_witnesses(case, &hit)))
}

fn messages_of(unit: &StreamSides, is_one_clock: bool) -> Messages {
    let StreamSides { seen, lived, .. } = unit;
    let mut of = Messages {
        lost: seen.events.lost() + seen.echoes.lost(),
        doubled: u64::from(seen.events.doubled) + u64::from(seen.echoes.doubled),
        misordered: u64::from(seen.events.misordered) + u64::from(seen.echoes.misordered),
        foreign: u64::from(seen.foreign),
        ..Messages::default()
    };
    let Some(life) = lived.map(|lived| lived.life) else { return of };
    of.misplaced = u64::from(life.misplaced);
    of.lost += never_came(unit, is_one_clock);
    if unit.is_settled() {
        // Frames keep their order: what came before a close frame was sent before it.
        of.lost += u64::from(life.last_written().unwrap_or(0).saturating_sub(seen.events.last));
        of.unreceived = u64::from(seen.sent.saturating_sub(life.received));
        let echoed = life.last_received.min(seen.sent);
        of.lost += u64::from(echoed.saturating_sub(seen.echoes.last));
    }
    // What is skipped on the way there is skipped on the way back too, and is no other fault.
    of.lost = of.lost.saturating_sub(of.unreceived.min(seen.echoes.lost()));
    of
}

fn difference((written, came): &(Moment, Moment)) -> i128 {
    i128::from(came.0) - i128::from(written.0)
}

/// Where clocks differ, what the fastest event of each backend seems to have needed.
fn least_by_backend(units: &[StreamSides], streams: &Streams) -> BTreeMap<Backend, i128> {
    let mut least: BTreeMap<Backend, i128> = BTreeMap::new();
    for unit in units.iter().filter(|_| streams.other_clocks) {
        if let Some(min) = unit.seen.times.iter().map(difference).min() {
            let known = least.entry(unit.entry.observation.backend).or_insert(min);
            *known = min.min(*known);
        }
    }
    least
}

/// How long each event of a stream was under way.
fn nanoseconds(unit: &StreamSides, least: &BTreeMap<Backend, i128>) -> impl Iterator<Item = u64> {
    let least = least.get(&unit.entry.observation.backend).copied().unwrap_or(0);
    unit.seen.times.iter().map(move |times| (difference(times) - least).max(0) as u64)
}

/// A stream that was late for half of this time was not late by a hiccup of the machine or of the network.
const LASTING: f64 = 3.0;
/// A stream with fewer events has no half that says something.
const MANY: u64 = 10;

/// Streams of which more than half of the events came later than that many seconds: a tenth of all streams may be held back where nine of
/// ten events are not.
fn held_back<'u, 's>(
    case: &Case,
    units: &'u [StreamSides<'s>],
    late: f64,
    lateness: Duration,
) -> Vec<&'u StreamSides<'s>> {
    let Some(streams) = case.streams else { return Vec::new() };
    let least = least_by_backend(units, streams);
    let is_held = |unit: &&StreamSides| {
        let withheld = withheld(unit, lateness).unwrap_or(0);
        let came_late = nanoseconds(unit, &least).filter(|time| *time as f64 / 1e9 > late).count() as u64;
        let all = unit.seen.times.len() as u64 + withheld;
        let place = usize::from(unit.entry.observation.backend.0);
        let is_lasting = all >= MANY && unit.age(!streams.other_clocks) >= LASTING;
        is_lasting && (came_late + withheld) * 2 > all && !case.is_changed(place)
    };
    units.iter().filter(is_held).collect()
}

/// Of all events, from when they were written until they came.
fn delay(units: &[StreamSides], streams: &Streams, lateness: Duration) -> Option<Delay> {
    let least = least_by_backend(units, streams);
    let mut all: Vec<u64> = units.iter().flat_map(|unit| nanoseconds(unit, &least)).collect();
    all.sort_unstable();
    let at = |part: usize| all.get(all.len() * part / 100).or(all.last()).map(|nanoseconds| *nanoseconds as f64 / 1e9);
    Some(Delay {
        events: all.len() as u64,
        p50: at(50)?,
        p90: at(90)?,
        max: at(100)?,
        lateness: lateness.as_secs_f64(),
    })
}

/// How late those were whom nobody holds back: the client where it meant to act at a time, and backends with what they pace; whoever was
/// later.
fn lateness(units: &[StreamSides], streams: &Streams) -> Duration {
    let of_backends = units.iter().flat_map(|unit| unit.seen.backend_lateness()).collect();
    lateness_of(of_backends).max(streams.lateness)
}

/// If nothing of a response comes in this time after its backend ended it, nobody who passes it on waits for anything any more.
const STALLED: Duration = Duration::from_secs(3);

/// Events of a stream that its backend had ended: the client waited, and nothing more came.
fn never_came(unit: &StreamSides, is_one_clock: bool) -> u64 {
    let StreamSides { seen, outcome, .. } = unit;
    let is_of_response = *outcome == StreamOutcome::Left && seen.kind != StreamKind::Websocket;
    let has_ended = |it: &&Lived| it.life.end == LifeEnd::Backend && it.end == AttemptEnd::Completed;
    match unit.lived.filter(|it| is_one_clock && is_of_response && has_ended(it)) {
        Some(lived) if seen.ended.since(seen.last_came.max(lived.ended)) >= STALLED => {
            u64::from(lived.life.last_written().unwrap_or(0).saturating_sub(seen.events.last))
        }
        _ => 0,
    }
}

/// Events that were written, and had not come when the client left; over a WebSocket, echoes too. A machine that is late holds back the
/// latest of them.
fn withheld(unit: &StreamSides, lateness: Duration) -> Option<u64> {
    // The client waited for them, and left without them.
    let waited = unit.outcome == StreamOutcome::Left && !unit.is_settled() && !unit.is_excused;
    let (lived, seen) = (unit.lived.filter(|_| waited)?, unit.seen);
    let pushed = lived.life.last_written().unwrap_or(0).saturating_sub(seen.events.last);
    let missing = pushed + seen.sent.saturating_sub(seen.echoes.last);
    let paced = lived.life.written.max(seen.sent).max(1);
    let every = lived.ended.since(lived.began).as_secs_f64() / f64::from(paced);
    // One may be on its way anyhow.
    let on_their_way = 1.0 + (HOPS as f64 * lateness.as_secs_f64() / every.max(1e-9)).floor();
    Some(u64::from(missing).saturating_sub(on_their_way as u64))
}

fn delays(case: &Case, units: &[StreamSides], delay: Option<Delay>, lateness: Duration) -> Option<Finding> {
    let limit = case.expectations.required.iter().find_map(|it| match it {
        Requirement::Unbuffered(limit) => Some(limit.as_secs_f64()),
        _ => None,
    });
    let withheld: u64 = units.iter().filter_map(|unit| withheld(unit, lateness)).sum();
    let Some(delay) = delay else {
        let nothing = Delay { events: 0, p50: 0.0, p90: 0.0, max: 0.0, lateness: lateness.as_secs_f64() };
        let websockets = are_websockets(units);
        let facts =
            Delays { websockets, delay: nothing, withheld, limit, beyond: withheld, streams: 0, is_backlog: false };
        let level = if withheld > 0 && limit.is_some() { Level::Fail } else { Level::Inconclusive };
        return (limit.is_some() || withheld > 0).then(|| Finding::new(level, Facts::StreamDelay(facts)));
    };
    let share = |limit: f64| {
        let late = |unit: &StreamSides| {
            unit.seen.times.iter().filter(|(written, came)| came.since(*written).as_secs_f64() > limit).count() as u64
        };
        units.iter().map(late).sum::<u64>() + withheld
    };
    let beyond = share(limit.unwrap_or(NOTABLE));
    let total = delay.events + withheld;
    // What a machine that is late by so much explains is nobody's.
    let explained = HOPS as f64 * lateness.as_secs_f64();
    let held = limit.map_or_else(Vec::new, |limit| held_back(case, units, limit + explained, lateness));
    let are_withheld = withheld * LATE as u64 > total;
    let level = match limit {
        // Where clocks differ the distribution alone is known.
        Some(limit) if are_withheld || delay.p90 - explained > limit || !held.is_empty() => Level::Fail,
        Some(limit) if delay.p90 > limit => Level::Inconclusive,
        Some(_) => Level::Pass,
        // Nobody holds messages of a WebSocket back: they are late, or they are lost, and a client that waited longer would know.
        None if are_withheld && are_websockets(units) => Level::Inconclusive,
        None if withheld > 0 || delay.p50 - explained >= NOTABLE => Level::Note,
        None => return None,
    };
    let (websockets, streams) = (are_websockets(units), held.len() as u64);
    let facts = Delays { websockets, delay, withheld, limit, beyond, streams, is_backlog: is_backlog(units) };
    Some(Finding::new(level, Facts::StreamDelay(facts)).shown_by(pick_witnesses(case, &held)))
}

/// Whether events wait for those before them in most streams that say so: they are written as fast as they are taken, or came more slowly
/// than they were written.
fn is_backlog(units: &[StreamSides]) -> bool {
    let mut counts = [0_usize; 2];
    for times in units.iter().map(|unit| &unit.seen.times).filter(|times| times.len() as u64 >= MANY) {
        let span = |each: fn(&(Moment, Moment)) -> Moment| -> Option<Duration> {
            Some(times.iter().map(each).max()?.since(times.iter().map(each).min()?))
        };
        let (written, came) = (span(|it| it.0).unwrap_or_default(), span(|it| it.1).unwrap_or_default());
        let is_unpaced = written < UNPACED * times.len() as u32;
        counts[usize::from(is_unpaced || came > written * 11 / 10 + Duration::from_secs_f64(NOTABLE))] += 1;
    }
    counts[1] > counts[0]
}

// How they end.

fn are_websockets(units: &[StreamSides]) -> bool {
    units.first().is_some_and(|unit| unit.seen.kind == StreamKind::Websocket)
}

fn is_uncut_expected(case: &Case) -> bool {
    case.expectations.required.contains(&Requirement::Uncut)
}

fn range(hit: &[&StreamSides], each: impl Fn(&StreamSides) -> f64) -> (f64, f64) {
    hit.iter().map(|unit| each(unit)).fold((f64::MAX, 0.0), |(least, most), it| (least.min(it), most.max(it)))
}

/// The backend ended it with a frame, and the connection ended without one: that is a matter of the frame.
fn is_frame_lost(unit: &StreamSides) -> bool {
    let sent = |lived: &&Lived| lived.life.end == LifeEnd::Backend && lived.life.close_sent.is_some();
    matches!(unit.outcome, StreamOutcome::Cut(_)) && unit.lived.as_ref().is_some_and(sent)
}

fn cuts(case: &Case, units: &[StreamSides]) -> Option<Finding> {
    let is_cut = |unit: &&StreamSides| {
        matches!(unit.outcome, StreamOutcome::Cut(_) | StreamOutcome::Closed) && !is_frame_lost(unit)
    };
    let (excused, hit): (Vec<&StreamSides>, Vec<&StreamSides>) =
        units.iter().filter(is_cut).partition(|unit| unit.is_excused);
    let is_expected = is_uncut_expected(case);
    let is_one_clock = case.streams.is_some_and(|streams| !streams.other_clocks);
    let mut facts = Cuts {
        websockets: are_websockets(units),
        streams: hit.len() as u64,
        excused: excused.len() as u64,
        of: open(units),
        is_expected,
        resumed: units.iter().filter(|unit| was_resumed(unit)).count() as u64,
        ..Cuts::default()
    };
    if facts.of == 0 || hit.is_empty() && excused.is_empty() {
        let passes = is_expected && facts.of > 0;
        return passes.then(|| Finding::new(Level::Pass, Facts::StreamCut(facts)));
    }
    for unit in &hit {
        match unit.outcome {
            StreamOutcome::Cut(Side::Balancer) => facts.by_balancer += 1,
            StreamOutcome::Cut(Side::Backend) => facts.by_backend += 1,
            StreamOutcome::Closed => {
                let code = unit.seen.close_received.unwrap_or(crate::life::NO_CODE);
                *facts.closed.entry(code).or_default() += 1;
            }
            _ => {}
        }
    }
    let mut events: Vec<u32> = hit.iter().map(|unit| unit.seen.events.last.max(unit.seen.echoes.last)).collect();
    events.sort_unstable();
    facts.event = events.get(events.len() / 2).copied().unwrap_or(0);
    if !hit.is_empty() {
        (facts.age, facts.idle) = (range(&hit, |it| it.age(is_one_clock)), range(&hit, |it| it.idle(is_one_clock)));
    }
    let follows = |unit: &&&StreamSides| {
        let ended = unit.seen.ended;
        case.steps.iter().any(|step| step.is_done && ended >= step.begun && ended <= step.ended.after(AFTER_STEP))
    };
    facts.at_step = hit.iter().filter(follows).count() as u64;
    let unknown = facts.streams - facts.by_balancer - facts.by_backend - facts.closed_properly();
    // A close frame tells the client that it has to come back.
    let forbidden = is_expected || case.drill == Drill::None;
    let level = match facts.closed_properly() {
        // No client may see an end, whoever makes it.
        _ if facts.streams > 0 && case.expectations.lossless == Some(true) => Level::Fail,
        _ if facts.by_balancer > 0 => Level::Fail,
        closed if closed > 0 && forbidden => Level::Fail,
        // Its backend may have ended without a word.
        _ if unknown > 0 => Level::Inconclusive,
        _ => Level::Note,
    };
    Some(Finding::new(level, Facts::StreamCut(facts)).shown_by(pick_witnesses(case, &hit)))
}

fn truncations(case: &Case, units: &[StreamSides]) -> Option<Finding> {
    let is_one_clock = case.streams.is_some_and(|streams| !streams.other_clocks);
    let is_truncated = |unit: &&StreamSides| matches!(unit.outcome, StreamOutcome::Truncated(_));
    let (excused, hit): (Vec<&StreamSides>, Vec<&StreamSides>) =
        units.iter().filter(is_truncated).partition(|unit| unit.is_excused);
    if hit.is_empty() && excused.is_empty() {
        return None;
    }
    let any = if hit.is_empty() { &excused } else { &hit };
    let facts = Truncations {
        streams: hit.len() as u64,
        excused: excused.len() as u64,
        of: open(units),
        age: range(any, |it| it.age(is_one_clock)),
        idle: range(any, |it| it.idle(is_one_clock)),
    };
    let level = if hit.is_empty() { Level::Note } else { Level::Fail };
    Some(Finding::new(level, Facts::StreamTruncated(facts)).shown_by(pick_witnesses(case, any)))
}

fn close_codes(case: &Case, units: &[StreamSides]) -> Option<Finding> {
    let mut changed: [BTreeMap<(u16, Option<u16>), u64>; 2] = Default::default();
    let (mut hit, mut of, mut level) = (Vec::new(), 0, Level::Inconclusive);
    for unit in units.iter().filter(|unit| !unit.is_excused) {
        let Some(life) = unit.lived.map(|lived| lived.life) else { continue };
        let down = life.close_sent.map(|sent| (sent, unit.seen.close_received));
        let up = unit.seen.close_sent.map(|sent| (sent, life.close_received));
        let frames = match (life.end, unit.seen.end) {
            // What the client did not wait for says nothing.
            (LifeEnd::CloseFrame | LifeEnd::Closed | LifeEnd::Reset, ClientEnd::Left) if up.is_some() => [down, up],
            (LifeEnd::Backend, end) if end != ClientEnd::Left => [down, None],
            _ => continue,
        };
        of += u64::from(frames.iter().any(Option::is_some));
        let mut is_hit = false;
        for (changed, frame) in changed.iter_mut().zip(frames) {
            let Some((sent, came)) = frame.filter(|(sent, came)| *came != Some(*sent)) else { continue };
            // Of the client's own end none may have arrived, or no reply: something else may have cut the stream at that moment.
            let is_certain = came.is_some() || life.end == LifeEnd::Backend;
            if is_certain || case.drill == Drill::None {
                *changed.entry((sent, came)).or_default() += 1;
                (is_hit, level) = (true, if is_certain { Level::Fail } else { level });
            }
        }
        hit.extend(is_hit.then_some(unit));
    }
    if hit.is_empty() {
        return None;
    }
    let [changed, changed_upwards] =
        changed.map(|codes| codes.into_iter().map(|((sent, came), count)| (sent, came, count)).collect());
    let facts = CloseCodes { streams: hit.len() as u64, of, changed, changed_upwards };
    Some(Finding::new(level, Facts::CloseCode(facts)).shown_by(pick_witnesses(case, &hit)))
}

// Where they live.

fn alive(case: &Case, units: &[StreamSides]) -> Option<Finding> {
    let is_expected = case.expectations.required.contains(&Requirement::AliveEven);
    let backends = case.names.len().min(case.backends.max(1));
    let is_one_clock = case.streams.is_some_and(|streams| !streams.other_clocks);
    // The first of each client.
    let mut clients = std::collections::BTreeSet::new();
    let firsts = units.iter().filter(|unit| clients.insert(unit.entry.observation.client));
    let opened = firsts.filter_map(|unit| unit.began(is_one_clock)).max()?;
    let count = |at: Moment| -> Vec<u64> {
        let mut counts = vec![0; case.names.len()];
        for unit in units.iter().filter(|unit| unit.is_alive(at, is_one_clock)) {
            if let Some(count) = counts.get_mut(usize::from(unit.entry.observation.backend.0)) {
                *count += 1;
            }
        }
        counts
    };
    let first = count(opened);
    let planned = |unit: &&StreamSides| matches!(unit.outcome, StreamOutcome::Whole | StreamOutcome::Left);
    let end = units.iter().filter(planned).map(|unit| Moment(unit.seen.ended.0.saturating_sub(1))).min();
    let drilled = case.steps.iter().filter(|step| step.is_done).map(|step| step.ended).max();
    let last = drilled.and_then(|drilled| end.filter(|end| *end > drilled)).map(count);
    let named = |counts: &[u64]| case.names.iter().cloned().zip(counts.iter().copied()).collect();
    let facts = Alive { first: named(&first), last: last.as_deref().map(named), is_expected };
    let judged = last.as_ref().unwrap_or(&first);
    let level = if is_expected { evenness(&judged[..backends.min(judged.len())]) } else { Level::Note };
    (is_expected || case.names.len() > 1).then(|| Finding::new(level, Facts::StreamAlive(facts)))
}

fn evenness(counts: &[u64]) -> Level {
    let sum: u64 = counts.iter().sum();
    let (most, least) = (counts.iter().max().copied().unwrap_or(0), counts.iter().min().copied().unwrap_or(0));
    let tenth = sum.div_ceil(10 * counts.len().max(1) as u64);
    if sum >= counts.len() as u64 && most - least <= tenth.max(2) {
        return Level::Pass;
    }
    let even = vec![1.0 / counts.len().max(1) as f64; counts.len()];
    if is_certain(ln_e_value(counts, &even)) { Level::Fail } else { Level::Inconclusive }
}

#[cfg(test)]
mod tests;
