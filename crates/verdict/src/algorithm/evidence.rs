//! What experiments saw, and what their records add to it.

use std::ops::Range;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::Moment;
use crate::ledger::{Arrival, BackendRecords, Entry, Ledger};
use crate::observation::{Backend, Echo};
use crate::outcome::Outcome;
use crate::statistics::{binomial_at_most, ln_multinomial, lower_bound};

use super::Algorithm;
use super::missing::Missing;
use super::order::{OrderPattern, counts, is_clumped};

/// A request of an experiment, and the backend that the balancer selected for it: at first the one that responded, and once the records
/// are there the one that received it first. [`Backend::UNKNOWN`] is nobody: it reached none.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Pick {
    /// Its number in the run.
    pub sequence: u32,
    /// The backend that was selected.
    pub backend: Backend,
}

/// What was varied to find out what a balancer keys on.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Key {
    /// The client's address, in the third of its four numbers.
    Network,
    /// The client's address, in the last of its four numbers.
    Host,
    /// The end of the path and of the query.
    Path,
    /// The beginning of the path.
    PathFront,
    /// The values of the query's parameters.
    Query,
    /// The request's body.
    Body,
    /// A header of that name.
    Header(String),
    /// A cookie of that name.
    Cookie(String),
}

/// For each value of something: who was selected, each time that it was sent.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct KeyTrial {
    /// A row a value.
    pub rows: Vec<Vec<Pick>>,
}

/// What requests with equal values say of them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Keeping {
    /// Each value has its backend.
    Kept,
    NotKept,
    /// Too few of them were sent, or nearly all would reach one backend anyway.
    Open,
}

impl KeyTrial {
    /// How many backends were selected.
    pub fn spread(&self) -> usize {
        counts(&backends(&self.rows.concat())).iter().filter(|(backend, _)| backend.is_known()).count()
    }

    /// How many values did not always have the same backend.
    pub fn moved(&self) -> usize {
        let moved = |row: &&Vec<Pick>| row.windows(2).any(|pair| pair[0].backend != pair[1].backend);
        self.rows.iter().filter(moved).count()
    }

    /// How many requests went elsewhere than the first of their value, and how many did not.
    fn strayed(&self) -> (u64, u64) {
        let later = self.rows.iter().flat_map(|row| row.iter().skip(1).map(|it| it.backend != row[0].backend));
        later.fold((0, 0), |(strayed, stayed), strays| (strayed + u64::from(strays), stayed + u64::from(!strays)))
    }

    /// Whether each value keeps its backend, but for a few requests that stray, as a fault makes them.
    pub(super) fn keeps(&self) -> Keeping {
        let (strayed, stayed) = self.strayed();
        let (requests, strayed_share) = (strayed + stayed, strayed as f64 / (strayed + stayed).max(1) as f64);
        // What it would be if these picks were dealt out by chance: two of them are seldom unlike where one backend gets nearly all.
        let all = counts(&backends(&self.rows.concat()));
        let sum: u32 = all.iter().map(|(_, count)| count).sum();
        let alike: f64 = all.iter().map(|(_, count)| (f64::from(*count) / f64::from(sum.max(1))).powi(2)).sum();
        let by_chance = 1.0 - alike;
        let is_rare = strayed_share < (0.3 * by_chance).min(0.15);
        if is_rare && requests >= 32 && binomial_at_most(strayed, requests, by_chance) < 1e-6 {
            Keeping::Kept
        } else if strayed >= 3 && strayed_share >= (0.5 * by_chance).min(0.15) {
            Keeping::NotKept
        } else {
            Keeping::Open
        }
    }

    /// Whether each value has its backend, and not all the same one; chance would hardly ever make it look so.
    pub fn decides(&self) -> bool {
        self.spread() > 1 && self.moved() == 0 && self.by_chance() < 1e-7
    }

    /// How likely the same picks, dealt out at random, keep each value at one backend: of all ways to deal them out, those that do.
    pub(super) fn by_chance(&self) -> f64 {
        let firsts: Vec<Backend> = self.rows.iter().filter_map(|row| row.first()).map(|pick| pick.backend).collect();
        (ln_ways(&firsts) - ln_ways(&backends(&self.rows.concat()))).exp()
    }

    /// Adds another trial of the same values.
    pub(super) fn with(mut self, more: KeyTrial) -> KeyTrial {
        for (row, more) in self.rows.iter_mut().zip(more.rows) {
            row.extend(more);
        }
        self
    }
}

/// What clients are given with a response and bring back.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Given {
    /// The names of cookies.
    pub cookies: Vec<String>,
    /// The header of a session that a backend opened.
    pub session: Option<String>,
}

impl Given {
    /// Whether there is nothing.
    pub fn is_nothing(&self) -> bool {
        self.cookies.is_empty() && self.session.is_none()
    }

    /// As reports list it: `cookie a, b`, `session in X-Session`.
    pub(super) fn list(&self) -> Vec<String> {
        let cookies = (!self.cookies.is_empty()).then(|| format!("cookie {}", self.cookies.join(", ")));
        cookies.into_iter().chain(self.session.iter().map(|name| format!("session in {name}"))).collect()
    }
}

/// A request that was held, and those that were sent one after the other since the one before it was over.
#[derive(Clone, PartialEq, Debug)]
pub struct HeldTurn {
    /// The one that was held.
    pub held: Pick,
    /// The others, in the order in which they were sent.
    pub others: Vec<Pick>,
    /// Of the others, those that were selected for while the one was surely at its backend.
    pub beside: Range<usize>,
}

/// Requests held in flight, and where others went meanwhile.
#[derive(Clone, PartialEq, Debug)]
pub struct Hold {
    /// Where those in flight are.
    pub busy: Vec<Backend>,
    /// Where the others went, one after the other.
    pub others: Vec<Pick>,
}

impl Hold {
    /// How many others went to where one was held.
    pub fn to_busy(&self) -> usize {
        self.others.iter().filter(|other| self.busy.contains(&other.backend)).count()
    }

    /// Whether those in flight are each at another backend.
    pub(super) fn is_spread(&self) -> bool {
        counts(&self.busy).len() == self.busy.len()
    }
}

/// Requests in sequence on one connection, which belongs to one worker.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct WorkerRow {
    /// With nothing in flight.
    pub before: Vec<Pick>,
    /// While many others are in flight: a request, another after one more is held, and then several. Empty if these did not stay in flight.
    pub beside: Vec<Pick>,
    /// With nothing in flight any more.
    pub after: Vec<Pick>,
}

/// With one request in flight at each backend: how many others were sent, and how many of these had to wait until one was over, or were
/// refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Full {
    /// How many were sent.
    pub sent: u32,
    /// How many had no response while all were busy.
    pub waited: u32,
}

impl Full {
    /// Whether each backend takes one request at a time.
    pub(super) fn is_limit(self) -> bool {
        self.sent > 0 && self.waited == self.sent
    }
}

/// A request among many side by side, and from when until when it was where.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Flight {
    /// The backend that it went to, and on which connection.
    pub pick: Pick,
    /// When the client sent it.
    pub sent: Moment,
    /// Received by its backend.
    pub from: Moment,
    /// Answered by its backend.
    pub to: Moment,
    /// Its client had the response.
    pub got: Moment,
    /// How long its backend was asked to wait.
    pub delay: Duration,
}

/// What the experiments saw; what a name of the algorithm is inferred from.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Evidence {
    /// Backends that are ready and take part, if that is known.
    pub backends: Option<usize>,
    /// New connections in sequence, a request each.
    pub fresh: Vec<Pick>,
    /// Whether each of these was sent after the response to the one before.
    pub in_turn: bool,
    /// Requests in sequence on one connection.
    pub kept: Vec<Pick>,
    /// Of these, the ones that opened the connection anew.
    pub opened: Vec<u32>,
    /// Several requests on each of several connections, a row a connection.
    pub connections: KeyTrial,
    /// Connections that were tried against each other, and the rotations that they showed.
    pub rotations: Option<(usize, usize)>,
    /// Clients that bring back what they were given, a row each; and what that was.
    pub jar: Option<(Given, KeyTrial)>,
    /// Who responded when each of these clients was given them, in the order of the rows.
    pub givers: Vec<Option<Pick>>,
    /// One thing varied, all else alike.
    pub keys: Vec<(Key, KeyTrial)>,
    /// Where turns are strict: one request in flight after the other, and what was sent meanwhile.
    pub held_turns: Vec<HeldTurn>,
    /// With one request in flight, in rounds.
    pub held_one: Vec<Hold>,
    /// In sequence for longer than one request is held, where all went to one backend: what changes by itself has no memory of slow responses.
    pub steady: Vec<Pick>,
    /// With nothing in flight any more, after one request took its time; again while where it was is avoided.
    pub after: Vec<Hold>,
    /// What a request took before backends were kept busy, or while they were, whichever is longer.
    pub usual: Duration,
    /// With one request in flight at all backends but one, in rounds.
    pub held_most: Vec<Hold>,
    /// With one request in flight at each backend.
    pub full: Full,
    /// Of a hash: several requests of one value at once. Where they go one by one stands as busy.
    pub crowded: Vec<Hold>,
    /// Connections that were tried before, beside and after many requests in flight.
    pub beside: Vec<WorkerRow>,
    /// Side by side, some taking much longer than others.
    pub mixed: Vec<Flight>,
    /// In place of a sample: further requests in sequence.
    pub more: Vec<Pick>,
    /// Where the requests of the sample went, in the order in which they were sent, if nothing was varied or broken in it.
    pub sample: Vec<Backend>,
    /// The beginning of the sample as it was in flight, where backends were kept busy side by side, or could not be and keep no records.
    pub sample_flights: Vec<Flight>,
    /// Requests of the experiments that reached no backend, and are left out of the evidence.
    pub lost: u64,
    /// Requests of the experiments of which a backend got a copy: that may take a turn too.
    pub copied: u64,
    /// What was not tried.
    pub missing: Vec<Missing>,
    /// What goes by a header or a cookie of which the user gave no name: the usual names alone were tried.
    pub unnamed: Vec<Algorithm>,
    /// Requests of others during the experiments.
    pub others: u64,
    /// Backends that failed a request of the experiments: what avoids them may do so for that.
    pub failing: Vec<Backend>,
}

/// How often it is tried whether a slow response is remembered, while it seems so.
pub(super) const MEMORIES: usize = 3;

impl Evidence {
    /// Puts in place of who responded who was selected, as the records have it: retries and failures do not change the order in which a
    /// balancer selects.
    pub fn complete(&mut self, ledger: &Ledger) {
        if ledger.records() == BackendRecords::None {
            return;
        }
        let mut failing: Vec<Backend> = Vec::new();
        let mut copied = 0;
        let mut correct = |pick: &mut Pick| match ledger.entry(pick.sequence) {
            None => true,
            Some(entry) => {
                failing.extend(failed_backends(&entry));
                copied += u64::from(matches!(entry.outcome, Outcome::Mirrored | Outcome::Duplicated));
                // A response out of a cache says nothing.
                let is_stale = entry.outcome == Outcome::Stale || entry.observation.echo == Echo::Other;
                if !is_stale {
                    pick.backend = selected_backend(&entry);
                }
                !is_stale
            }
        };
        let rows = self.beside.iter_mut().flat_map(|row| [&mut row.before, &mut row.beside, &mut row.after]);
        for picks in [&mut self.fresh, &mut self.kept, &mut self.steady, &mut self.more].into_iter().chain(rows) {
            picks.retain_mut(&mut correct);
        }
        let trials = self.keys.iter_mut().map(|(_, trial)| trial).chain(self.jar.iter_mut().map(|(_, trial)| trial));
        for trial in trials.chain([&mut self.connections]) {
            trial.rows.iter_mut().for_each(|row| row.retain_mut(&mut correct));
        }
        for giver in &mut self.givers {
            if giver.as_mut().is_some_and(|pick| !correct(pick)) {
                *giver = None;
            }
        }
        for round in &mut self.held_turns {
            correct(&mut round.held);
            round.others.iter_mut().for_each(|other| {
                correct(other);
            });
        }
        for hold in self.held_one.iter_mut().chain(&mut self.after).chain(&mut self.held_most).chain(&mut self.crowded)
        {
            hold.others.retain_mut(&mut correct);
        }
        self.mixed.retain_mut(|flight| {
            if let Some(first) = ledger.entry(flight.pick.sequence).and_then(|entry| entry.selected_attempt().copied())
            {
                (flight.from, flight.to) = span(ledger, flight, &first);
            }
            correct(&mut flight.pick)
        });
        // In the order in which they met backends, which is nearer to the order of selection than that in which they were sent.
        let received = |pick: &Pick| match ledger.entry(pick.sequence) {
            Some(entry) => entry.selected_attempt().map_or(entry.observation.sent(), |first| first.received),
            None => Moment(0),
        };
        self.fresh.sort_by_cached_key(received);
        self.more.sort_by_cached_key(received);
        self.mixed.sort_by_key(|flight| flight.from);
        self.copied = copied;
        self.failing = counts(&failing).into_iter().map(|(backend, _)| backend).collect();
    }

    /// What new connections in sequence look like, without the few that reached nobody.
    pub(super) fn order_so_far(&self) -> OrderPattern {
        let mut picks = backends(&self.fresh);
        if are_few_lost(&picks) {
            picks.retain(|backend| backend.is_known());
        }
        OrderPattern::of(&picks)
    }

    /// The same without the requests that reached nobody, where they are too few to be the turns of a backend that is dead.
    pub(super) fn without_losses(&self) -> Evidence {
        let mut evidence = self.clone();
        for picks in [&mut evidence.fresh, &mut evidence.kept, &mut evidence.more] {
            if are_few_lost(&backends(picks)) {
                let before = picks.len();
                picks.retain(|pick| pick.backend.is_known());
                evidence.lost += (before - picks.len()) as u64;
            }
        }
        let mixed: Vec<Backend> = evidence.mixed.iter().map(|flight| flight.pick.backend).collect();
        if are_few_lost(&mixed) {
            evidence.mixed.retain(|flight| flight.pick.backend.is_known());
        }
        if are_few_lost(&evidence.sample) {
            evidence.sample.retain(|backend| backend.is_known());
        }
        let trials = evidence.keys.iter_mut().map(|(_, trial)| trial);
        for trial in trials.chain(evidence.jar.iter_mut().map(|(_, trial)| trial)).chain([&mut evidence.connections]) {
            if are_few_lost(&backends(&trial.rows.concat())) {
                trial.rows.iter_mut().for_each(|row| row.retain(|pick| pick.backend.is_known()));
            }
        }
        evidence
    }

    /// Whether cookies lead their clients to other backends than those that responded when they were given: what is given by the balancer
    /// to keep a client there does not, and a hash of the cookie does by chance, for half of the clients at the least.
    pub(super) fn leads_elsewhere(&self) -> bool {
        let Some((_, trial)) = &self.jar else { return false };
        // Where most went: one that strays is a fault of another kind.
        let home = |row: &Vec<Pick>| Some(counts(&backends(row)).into_iter().max_by_key(|(_, count)| *count)?.0);
        let homes: Vec<Option<Backend>> = trial.rows.iter().map(home).collect();
        // A backend that holds nobody is down: whoever was sent there got the cookie from another one.
        let giver = |giver: &Option<Pick>| giver.as_ref().map(|it| it.backend).filter(|it| homes.contains(&Some(*it)));
        let pairs = homes.iter().zip(&self.givers);
        let pairs: Vec<bool> = pairs.filter_map(|(home, pick)| Some((*home)? != giver(pick)?)).collect();
        let elsewhere = pairs.iter().filter(|elsewhere| **elsewhere).count();
        pairs.len() >= 8 && elsewhere * 8 >= pairs.len() && self.failing.is_empty()
    }

    /// Whether a backend got less after a slow response of its own than it usually gets.
    pub(super) fn is_avoided(&self, round: usize) -> bool {
        self.memory(round).is_some()
    }

    /// A slow response that is remembered: whose it was, how many of how many later requests went there, and its usual share.
    pub(super) fn memory(&self, round: usize) -> Option<(Backend, u64, u64, f64)> {
        let hold = self.after.get(round)?;
        let slow = *hold.busy.first()?;
        if self.failing.contains(&slow) {
            return None;
        }
        let usual = match round.checked_sub(1) {
            None => backends(&self.fresh),
            Some(before) => backends(&self.after[before].others),
        };
        let usually = usual.iter().filter(|backend| **backend == slow).count() as u64;
        // What is usual was seen in a sample too.
        let is_rotation = OrderPattern::of(&usual).is_of_one_rotation();
        // What a rotation gives is no estimate.
        let low = if is_rotation {
            usually as f64 / usual.len().max(1) as f64 * 0.97
        } else {
            lower_bound(usually, usual.len() as u64)
        };
        let (there, others) = (hold.to_busy() as u64, hold.others.len() as u64);
        let avoided = binomial_at_most(there, others, low) < 1e-8 && (there as f64) < others as f64 * low * 0.7;
        // What comes in bursts leaves a backend alone for as long without any slow response.
        let to_slow = |some: &[Pick]| some.iter().filter(|pick| pick.backend == slow).count() as u64;
        let is_usual = || {
            let mut spans = self.fresh.windows(others.max(1) as usize);
            is_clumped(&backends(&self.fresh)) && spans.any(|usual| to_slow(usual) <= there)
        };
        let avoided = avoided && !is_usual();
        avoided.then_some((slow, there, others, usually as f64 / usual.len().max(1) as f64))
    }

    /// Whether slow responses are remembered: a backend gets nothing at all afterwards, or less than usual, again and again.
    pub(super) fn remembers(&self) -> bool {
        let seen: Vec<_> = (0..self.after.len()).filter_map(|round| self.memory(round)).collect();
        let fresh = backends(&self.fresh);
        // What stays with a backend for a while may leave it just then, but not after each slow response.
        if is_clumped(&fresh) || counts(&fresh).len() == 1 {
            let is_steady = counts(&backends(&self.steady)).len() <= 1;
            return is_steady && seen.len() >= self.backends.map_or(MEMORIES, |backends| MEMORIES.min(backends));
        }
        let is_left_alone = |round: usize| {
            let Some((slow, 0, others, usual)) = self.memory(round) else { return false };
            others as f64 * usual >= 30.0 && self.returns(slow, round)
        };
        seen.len() >= 2 || (0..self.after.len()).any(is_left_alone)
    }

    /// Whether a backend got something after that round: one that gets nothing any more is gone, and not remembered as slow.
    fn returns(&self, backend: Backend, round: usize) -> bool {
        let later = self.after.iter().skip(round + 1).flat_map(|hold| &hold.others).map(|pick| pick.backend);
        later.chain(self.sample.iter().copied()).any(|later| later == backend)
    }
}

impl Evidence {
    /// Algorithms of which the experiments that would have shown them are missing.
    pub(super) fn untried(&self) -> Vec<Algorithm> {
        let open = |missing: &Missing| match missing {
            Missing::Source(_) => vec![Algorithm::Source],
            Missing::Path(_) => vec![Algorithm::Uri],
            Missing::Body(_) => vec![Algorithm::Body],
            Missing::Header(_) => vec![Algorithm::Header],
            Missing::Cookie(_) => vec![Algorithm::Cookie],
            Missing::Jar(_) => vec![Algorithm::Sticky],
            Missing::Load(_) => vec![Algorithm::LeastConnections],
            Missing::Order { .. } | Missing::Connections(_) => Vec::new(),
        };
        let mut untried: Vec<Algorithm> = self.missing.iter().flat_map(open).collect();
        // Clients that all met one backend show nothing where one without cookies would have met it, too.
        let is_jar_open = self.jar.as_ref().is_some_and(|(_, trial)| trial.keeps() == Keeping::Open);
        if is_jar_open && counts(&backends(&self.fresh)).len() > 1 {
            untried.extend([Algorithm::Sticky, Algorithm::Cookie]);
        }
        // While they were made, requests seemed to be spread: then these cannot decide, and were left out.
        untried.extend((!self.has_tried(&[Key::Network, Key::Host])).then_some(Algorithm::Source));
        untried.extend((!self.has_tried(&[Key::Path])).then_some(Algorithm::Uri));
        untried
    }

    /// Whether one of these keys was varied, and backends got those requests: another path may lead to none.
    pub(super) fn has_tried(&self, keys: &[Key]) -> bool {
        self.keys.iter().any(|(key, trial)| keys.contains(key) && trial.spread() > 0)
    }

    /// Whether a slow response does not matter: its backend got requests afterwards, one after the other, about as usual, and at once.
    pub(super) fn forgets(&self) -> bool {
        let usual = backends(&self.fresh);
        let all = counts(&usual).len();
        self.after.iter().any(|hold| {
            let Some(slow) = hold.busy.first() else { return false };
            let share = usual.iter().filter(|backend| *backend == slow).count() as f64 / usual.len().max(1) as f64;
            let gets = |others: &[Pick], least: f64| {
                let there = others.iter().filter(|pick| pick.backend == *slow).count() as f64;
                there >= share * others.len() as f64 * least
            };
            let first = &hold.others[..hold.others.len().min(20 * all)];
            // Where times vary, what is remembered fades among them.
            let is_enough = hold.others.len() >= 20 && share * first.len() as f64 >= 4.0;
            is_enough && gets(first, 0.3) && gets(&hold.others, 0.5)
        })
    }
}

/// From when until when it certainly was at its backend, by any clock: it was selected before, and in flight until then.
pub(super) fn span(ledger: &Ledger, flight: &Flight, first: &Arrival) -> (Moment, Moment) {
    // By a clock that is not the client's nothing can be said of when.
    if first.received < flight.sent || flight.got < first.received {
        return (flight.got, flight.got);
    }
    let width = ledger.half_width(first.backend);
    let from = first.received.after(width).min(flight.got);
    // A backend may note the end of a response later than its client has it.
    (from, first.responded().before(width).min(flight.got).max(from))
}

/// Whether some reached nobody, and so few that no backend would have its turn so seldom.
fn are_few_lost(picks: &[Backend]) -> bool {
    let lost = picks.iter().filter(|backend| !backend.is_known()).count() as u32;
    let seen = counts(picks);
    let rarest = seen.iter().filter(|(backend, _)| backend.is_known()).map(|(_, count)| *count).min();
    lost > 0 && rarest.is_some_and(|rarest| lost * 2 < rarest)
}

/// The backends of these picks, in order.
pub(super) fn backends(picks: &[Pick]) -> Vec<Backend> {
    picks.iter().map(|pick| pick.backend).collect()
}

/// ln of the number of orders in which these can stand.
fn ln_ways(picks: &[Backend]) -> f64 {
    let shares = counts(picks);
    let times: Vec<u64> = shares.iter().map(|(_, count)| u64::from(*count)).collect();
    // Each way has the same probability, which is left out.
    ln_multinomial(&times, &vec![1.0; times.len()])
}

/// Where the balancer sent it first.
fn selected_backend(entry: &Entry) -> Backend {
    let selected = entry.selected_attempt().map(|attempt| attempt.backend);
    selected.or_else(|| entry.first_backend()).unwrap_or(Backend::UNKNOWN)
}

fn failed_backends(entry: &Entry) -> Vec<Backend> {
    let failed = entry.attempts.iter().filter(|attempt| !attempt.executed());
    failed.map(|attempt| attempt.backend).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One row a client, of the backends that it met.
    fn keeps(rows: impl IntoIterator<Item = Vec<u16>>) -> Keeping {
        let pick = |backend| Pick { sequence: 0, backend: Backend(backend) };
        let rows = rows.into_iter().map(|row| row.into_iter().map(pick).collect()).collect();
        KeyTrial { rows }.keeps()
    }

    #[test]
    fn clients_keep_their_backend_where_chance_would_move_them() {
        // Each client has another one, also where one strays now and then.
        assert_eq!(keeps((0..16).map(|client| vec![client % 3; 6])), Keeping::Kept);
        let strays = |client: u16| (0..6).map(|turn| if turn == 5 && client < 6 { 1 } else { client % 3 }).collect();
        assert_eq!(keeps((0..16).map(strays)), Keeping::Kept);
        // Two of sixteen have the other one: by chance they would not come back to it.
        assert_eq!(keeps((0..16).map(|client| vec![u16::from(client > 13); 6])), Keeping::Kept);
    }

    #[test]
    fn where_one_backend_gets_nearly_all_clients_show_nothing_or_that_they_move() {
        assert_eq!(keeps((0..16).map(|_| vec![0; 6])), Keeping::Open);
        // One in 101, and one in 26, of a rotation that looks at no cookie.
        let turns = |of: u16| {
            (0..16).map(move |client| (0..6).map(|turn| u16::from((client * 6 + turn) % of == of - 1)).collect())
        };
        assert_eq!(keeps(turns(50)), Keeping::Open);
        assert_eq!(keeps(turns(26)), Keeping::NotKept);
        assert_eq!(keeps(turns(3)), Keeping::NotKept);
    }
}
