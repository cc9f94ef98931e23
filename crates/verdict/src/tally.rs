//! The ledger counted: one walk over its entries gives all figures that rules and reports need.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::time::Duration;

use crate::Moment;
use crate::ledger::{Entry, Ledger};
use crate::observation::{Backend, Echo, Observation};
use crate::outcome::Outcome;
use crate::timeline::OutageWindow;

/// Which requests of a run are judged.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Judged<'a> {
    /// Those from this number on: the ones before it were sent until all was stable.
    pub from: u32,
    /// Numbers of requests that are not the user's own, in order: experiments gave them another path, or asked for a delay. Where such a
    /// request fails, nobody's request did.
    pub invented: &'a [u32],
    /// When backends were broken on purpose.
    pub outages: &'a [OutageWindow],
    /// Numbers of requests, in order, whose client had lost a cookie since its last one, for the cookie's time was over: it comes as somebody new.
    pub lapsed: &'a [u32],
    /// How long sessions last, as the balancer is configured.
    pub sessions: Option<&'a SessionLife>,
}

/// How long a session lasts.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SessionLife {
    /// From its first response on.
    pub whole: Option<Duration>,
    /// Without a request.
    pub idle: Option<Duration>,
    /// What says so, with its place.
    pub line: String,
}

impl SessionLife {
    /// Whether the balancer may have taken one for ended when a request came: it dates one between request and response.
    fn may_have_ended(&self, pinned: &Pinned, observation: &Observation) -> bool {
        let over =
            |life: Option<Duration>, since: Moment| life.is_some_and(|life| observation.ended.since(since) >= life);
        over(self.whole, pinned.begun) || over(self.idle, pinned.latest)
    }
}

impl Judged<'_> {
    /// Whether that one is.
    pub fn includes(&self, entry: &Entry) -> bool {
        entry.sequence >= self.from && !self.leaves_out(entry)
    }

    /// Whether it counts for nothing, because it is not the user's own and failed.
    pub fn leaves_out(&self, entry: &Entry) -> bool {
        // Few fail: the others of ten million are not looked for.
        entry.is_client_error() && self.invented.binary_search(&entry.sequence).is_ok()
    }
}

impl From<u32> for Judged<'_> {
    fn from(from: u32) -> Self {
        Judged { from, ..Judged::default() }
    }
}

/// The figures of a ledger that rules judge.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Tally {
    /// By outcome, in the order of [`Outcome::ALL`].
    pub outcomes: [u64; Outcome::ALL.len()],
    /// The first requests of each outcome.
    pub examples: BTreeMap<Outcome, Vec<u32>>,
    /// Requests that the client sent.
    pub sent: u64,
    /// Attempts that arrived at backends.
    pub attempts: u64,
    /// Requests that a client would call failed.
    pub client_errors: u64,
    /// Answers with a status of 400 or more that a backend gave.
    pub backend_errors: u64,
    /// NotReached because an idle connection was closed as it was used again.
    pub idle_closes: u64,
    /// Answered by the balancer itself although a backend had executed it.
    pub executed_unseen: u64,
    /// Requests with more than one attempt.
    pub repeated: u64,
    /// Of the sample, those with attempts at several hosts closer than their clocks agree: where they were sent first is not known.
    pub unordered: u64,
    /// Statuses of the balancer's own responses.
    pub own_statuses: BTreeMap<u16, u64>,
    /// Whole answers of backends that did not say whose request they answer.
    pub without_echo: u64,
    /// Requests of the sample by the backend to which they were sent first, by place.
    pub firsts: Vec<u64>,
    /// Attempts of the whole run by backend, by place.
    pub by_backend: Vec<u64>,
    /// Where requests of the sample went, in the order in which they were sent; the first million. The order in which backends read them
    /// says more of how the machine shares out its time.
    pub picks: Vec<Backend>,
    /// Each client's backend, and how often it was left.
    pub pins: Pins,
}

/// Whether clients of the sample stay with a backend.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Pins {
    /// Clients that got a response.
    pub clients: u64,
    /// Clients by their first backend, by place.
    pub by_backend: Vec<u64>,
    /// Requests that were sent after their client had got its first response.
    pub later: u64,
    /// The most later requests of one client.
    pub longest: u64,
    /// The longest time from a client's first response to a later request of its.
    pub lasted: Duration,
    /// Later requests that went to another backend than the one that gave the client its first response.
    pub left: u64,
    /// Requests of clients whose cookie had expired.
    pub lapsed: u64,
    /// Those of them that went to another backend than their client's.
    pub lapsed_left: u64,
    /// Requests that left a backend which went on getting requests at that time: it was there, and was left all the same.
    pub left_alive: u64,
    /// Requests that left a backend which got nothing any more: it was gone. What was left at the very end is in neither.
    pub left_gone: u64,
    /// What is told apart at the end.
    moves: Vec<Move>,
    /// Clients that a backend of theirs failed, and who took over: that is their backend, too, from then on.
    refuges: BTreeSet<(u32, Backend)>,
    /// Clients that left their backend at least once, by the backend that they left, by place: while it was there, and only when it was
    /// gone.
    pub movers: Vec<Movers>,
    /// The first of each client that left, of those whose backend was there before those of the others.
    pub examples: Vec<MoveExample>,
}

/// A request that did not go to its client's backend.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Move {
    client: u32,
    /// Its client's backend, which gave the response to this request.
    left: Backend,
    to: Backend,
    first: u32,
    at: Moment,
    sequence: u32,
}

/// How many clients left a backend.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Movers {
    /// While it went on getting requests.
    pub alive: u64,
    /// Only when it got none any more.
    pub gone: u64,
}

/// The smallest proof that a client left its backend: requests by number.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MoveExample {
    /// Number of the client.
    pub client: u32,
    /// Its first response came from its backend.
    pub first: u32,
    /// Its request that went to another backend.
    pub moved: u32,
    /// Another client's, which that backend got afterwards; None if it was gone.
    pub proof: Option<u32>,
}

/// What is known of a client from its first response.
#[derive(Clone, Copy)]
struct Pinned {
    backend: Backend,
    since: Moment,
    /// Until when it is open which of several backends it belongs to: its first requests were under way at the same time and reached
    /// different ones, and the balancer may have remembered any of them.
    open_until: Option<Moment>,
    /// When the first request was sent, and the latest.
    begun: Moment,
    latest: Moment,
    sequence: u32,
    later: u64,
}

/// Requests of an outcome that are shown.
const EXAMPLES: usize = 3;
/// Clients that left their backend, of whom that is shown.
const MOVES_SHOWN: usize = 2;
const PICKS: usize = 1_000_000;
/// Moves of clients that are looked at.
const MOVES: usize = 100_000;
/// Arrivals that are looked at for whether a backend was there.
const LOOKED_AT: usize = 2_000_000;
/// A backend that left its balancer gets nothing more from then on, but for what was under way.
const SETTLED: Duration = Duration::from_millis(100);
/// One that is there gets something within that time, or it does not say.
const SOON: Duration = Duration::from_millis(600);

impl Tally {
    /// Counts the requests that are judged. `sample` are the numbers of those that are judged for shares.
    pub fn of<'j>(ledger: &Ledger, judged: impl Into<Judged<'j>>, sample: Range<u32>) -> Tally {
        let judged = judged.into();
        let mut tally = Tally::default();
        let mut clients: Vec<Option<Pinned>> = Vec::new();
        for entry in ledger.entries().filter(|entry| judged.includes(entry)) {
            tally.count(&entry);
            if !sample.contains(&entry.sequence) {
                continue;
            }
            let Some(backend) = directed(&entry) else {
                tally.unordered += u64::from(!entry.is_ordered);
                // It counts all the same for whether its client stays.
                if !entry.is_ordered {
                    tally.pins.count(&entry, &mut clients, judged);
                }
                continue;
            };
            add(&mut tally.firsts, backend);
            if tally.picks.len() < PICKS {
                tally.picks.push(backend);
            }
            tally.pins.count(&entry, &mut clients, judged);
        }
        tally.pins.tell_apart(ledger, judged.outages);
        tally
    }

    /// How many had an outcome.
    pub fn of_outcome(&self, outcome: Outcome) -> u64 {
        self.outcomes[outcome as usize]
    }

    fn count(&mut self, entry: &Entry) {
        self.sent += 1;
        self.attempts += entry.attempts.len() as u64;
        self.outcomes[entry.outcome as usize] += 1;
        self.repeated += u64::from(entry.attempts.len() > 1);
        for attempt in entry.attempts {
            add(&mut self.by_backend, attempt.backend);
        }
        if entry.attempts.is_empty() && entry.observation.backend.is_known() {
            add(&mut self.by_backend, entry.observation.backend);
        }
        let error = entry.is_client_error();
        self.client_errors += u64::from(error);
        if entry.outcome == Outcome::Delivered && entry.observation.echo == Echo::None {
            self.without_echo += 1;
        }
        if entry.outcome == Outcome::Delivered && !error {
            return;
        }
        self.backend_errors += u64::from(entry.observation.backend.is_known() && entry.observation.status >= 400);
        self.idle_closes += u64::from(entry.is_idle_close());
        if entry.outcome == Outcome::Balancer {
            self.executed_unseen += u64::from(!entry.attempts.is_empty());
            *self.own_statuses.entry(entry.observation.status).or_default() += 1;
        }
        if entry.outcome != Outcome::Delivered {
            let examples = self.examples.entry(entry.outcome).or_default();
            if examples.len() < EXAMPLES && !entry.is_idle_close() {
                examples.push(entry.sequence);
            }
        }
    }
}

impl Pins {
    /// Who left a backend that was there: it got another request soon afterwards, as it had before.
    fn tell_apart(&mut self, ledger: &Ledger, outages: &[OutageWindow]) {
        let moves = std::mem::take(&mut self.moves);
        if moves.is_empty() {
            return;
        }
        // Of ten million every fifth says when a backend was there, and takes less than 50 MB.
        let step = ledger.arrivals().len() / LOOKED_AT + 1;
        let mut received: Vec<(Backend, Moment, u32)> =
            ledger.arrivals().iter().step_by(step).map(|it| (it.backend, it.received, it.sequence)).collect();
        received.sort_unstable();
        // It got something shortly before, too: one that comes back soon afterwards was gone.
        let until =
            |backend: Backend, until: Moment| received.partition_point(|(it, at, _)| (*it, *at) <= (backend, until));
        let proof = |left: &Move| {
            let (backend, at, _) = received[until(left.left, left.at).checked_sub(1)?];
            let before = backend == left.left && at.after(SOON) >= left.at;
            let (backend, at, sequence) = *received.get(until(left.left, left.at.after(SETTLED)))?;
            (before && backend == left.left && at <= left.at.after(SOON)).then_some(sequence)
        };
        let last = received.iter().map(|(_, when, _)| *when).max().unwrap_or(Moment(0));
        // Some time passes until the balancer knows that it is back.
        let is_broken = |outage: &OutageWindow, left: &Move| {
            let mended = outage.mended.is_none_or(|mended| left.at < mended.after(SOON));
            outage.backend == left.left && left.at >= outage.broken && mended
        };
        // Who found a refuge while its backend was gone may stay there, and so may who cannot be shown to have left one that was there.
        let mut refuges = std::mem::take(&mut self.refuges);
        let mut prove = |it: Move| {
            let is_excused =
                refuges.contains(&(it.client, it.to)) || outages.iter().any(|outage| is_broken(outage, &it));
            let proof = proof(&it).filter(|_| !is_excused);
            if proof.is_none() {
                refuges.insert((it.client, it.to));
            }
            (it, proof)
        };
        let proven: Vec<(Move, Option<u32>)> = moves.into_iter().map(&mut prove).collect();
        let gone = |(it, proof): &&(Move, Option<u32>)| proof.is_none() && it.at.after(SOON) < last;
        self.left_alive = proven.iter().filter(|(_, proof)| proof.is_some()).count() as u64;
        self.left_gone = proven.iter().filter(gone).count() as u64;
        let mut by_client: BTreeMap<u32, (Move, Option<u32>)> = BTreeMap::new();
        for (it, proof) in proven {
            let known = by_client.entry(it.client).or_insert((it, proof));
            if known.1.is_none() && proof.is_some() {
                *known = (it, proof);
            }
        }
        let mut firsts: Vec<&(Move, Option<u32>)> = by_client.values().collect();
        firsts.sort_by_key(|(it, proof)| (proof.is_none(), it.sequence));
        for (it, proof) in &firsts {
            let place = usize::from(it.left.0);
            if self.movers.len() <= place {
                self.movers.resize(place + 1, Movers::default());
            }
            let movers = &mut self.movers[place];
            let count = if proof.is_some() { &mut movers.alive } else { &mut movers.gone };
            *count += 1;
        }
        let example = |(it, proof): &&(Move, Option<u32>)| MoveExample {
            client: it.client,
            first: it.first,
            moved: it.sequence,
            proof: *proof,
        };
        self.examples = firsts.iter().take(MOVES_SHOWN).map(example).collect();
    }

    fn count(&mut self, entry: &Entry, clients: &mut Vec<Option<Pinned>>, judged: Judged) {
        let observation = entry.observation;
        if !observation.backend.is_known() || matches!(entry.outcome, Outcome::Stale | Outcome::Swapped) {
            return;
        }
        let place = observation.client as usize;
        if clients.len() <= place {
            clients.resize(place + 1, None);
        }
        let (backend, since) = (observation.backend, observation.ended);
        let sent = observation.sent();
        let (begun, sequence) = (sent, entry.sequence);
        let new = Pinned { backend, since, open_until: None, begun, latest: sent, sequence, later: 0 };
        match &mut clients[place] {
            None => {
                self.clients += 1;
                add(&mut self.by_backend, observation.backend);
                clients[place] = Some(new);
            }
            Some(known) if judged.lapsed.binary_search(&entry.sequence).is_ok() => {
                self.lapsed += 1;
                self.lapsed_left += u64::from(known.backend != backend);
                *known = new;
            }
            // One that was under way when the first response came could not know of it.
            Some(known) if sent < known.since => {
                if backend != known.backend {
                    known.open_until = known.open_until.max(Some(known.since.max(observation.ended)));
                }
            }
            Some(Pinned { open_until: Some(until), .. }) if sent < *until => {}
            Some(known) if known.open_until.is_some() => *known = Pinned { since: sent, ..new },
            Some(known) => {
                let (pinned, first) = (known.backend, known.sequence);
                // One that its backend failed was selected for it all the same.
                let tried = if entry.is_ordered {
                    entry.attempts.first().is_some_and(|first| first.backend == pinned)
                } else {
                    entry.attempts.iter().any(|attempt| attempt.backend == pinned)
                };
                if pinned != backend && tried && self.refuges.len() < MOVES {
                    self.refuges.insert((observation.client, backend));
                }
                let has_moved = pinned != backend && !tried;
                if has_moved && judged.sessions.is_some_and(|life| life.may_have_ended(known, observation)) {
                    (self.lapsed, self.lapsed_left) = (self.lapsed + 1, self.lapsed_left + 1);
                    *known = new;
                    return;
                }
                self.later += 1;
                known.later += 1;
                known.latest = known.latest.max(sent);
                self.longest = self.longest.max(known.later);
                self.lasted = self.lasted.max(sent.since(known.since));
                if has_moved {
                    self.left += 1;
                    if self.moves.len() < MOVES {
                        let (client, to, at) = (observation.client, backend, sent);
                        self.moves.push(Move { client, left: pinned, to, first, at, sequence: entry.sequence });
                    }
                }
            }
        }
    }
}

/// Where the balancer sent it first; none where that is not known.
pub(crate) fn directed(entry: &Entry) -> Option<Backend> {
    match entry.selected_attempt() {
        Some(selected) => Some(selected.backend),
        // A stale answer was not sent anywhere.
        None if entry.outcome == Outcome::Stale => None,
        None => entry.first_backend(),
    }
}

fn add(counts: &mut Vec<u64>, backend: Backend) {
    let place = usize::from(backend.0);
    if counts.len() <= place {
        counts.resize(place + 1, 0);
    }
    counts[place] += 1;
}
