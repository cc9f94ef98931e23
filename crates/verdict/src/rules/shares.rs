//! The rule of the shares: each backend gets what was expected, tested as its algorithm allows. It fails only where the user requires
//! shares, or where the algorithm promises them for certain.

use crate::algorithm::{Algorithm, Selection};
use crate::facts::shares::{Conclusion, Share, ShareFacts, SharesSource, Test, Unit, Unproven};
use crate::finding::{self, Finding, Level};
use crate::ledger::BackendRecords;
use crate::observation::Backend;
use crate::outcome::Outcome;
use crate::promise::Promise;
use crate::report::Shares;
use crate::rules::account::given_up;
use crate::rules::around;
use crate::rules::case::{Case, Drill};
use crate::rules::expectations::ExpectedWeights;
use crate::rules::reach;
use crate::rules::share_test::{ROTATIONS, among, needed, rotates, test};
use crate::statistics::confidence_sequence;
use crate::tally::directed;

/// The error probability of the confidence intervals of shares.
const INTERVAL: f64 = 1e-3;

/// On what a judgement of the shares rests.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Basis {
    /// The user requires them.
    Required,
    /// The algorithm promises them, for certain.
    Promised,
    /// Nobody does for certain: even ones pass, others prove nothing, for that reason.
    Open(Unproven),
    /// They are not promised.
    Nothing,
}

/// The shares, and whether they are as expected.
pub(crate) fn judge(case: &Case) -> (Option<Shares>, Option<Finding>) {
    let selections = Selections::of(case);
    if selections.total == 0 && !case.expectations.requires_shares() {
        return (None, None);
    }
    let basis = basis(case);
    let expected = case.expectations.shares(&case.names[..case.backends]).map(|mut shares| {
        // Backends beyond the fleet are expected to get nothing.
        shares.resize(selections.counts.len(), 0.0);
        shares
    });
    let mut shares = selections.describe(expected.as_deref().ok(), basis);
    let finding = match expected {
        Err(why) => Some(selections.find(Level::Inconclusive, Conclusion::Misfit(why))),
        Ok(expected) if case.drill != Drill::None => selections.judge_around_steps(&expected),
        Ok(_) if basis == Basis::Nothing => {
            "nothing".clone_into(&mut shares.expected);
            let conclusion = match case.expectations.not_understood.as_slice() {
                [] => Conclusion::NotPromised,
                unknown => Conclusion::NotUnderstood(unknown.to_vec()),
            };
            Some(selections.find_unlisted().unwrap_or_else(|| selections.find(Level::Note, conclusion)))
        }
        Ok(expected) => Comparison::of(&selections, &expected).judge(basis, &mut shares),
    };
    (Some(shares), finding)
}

/// How often each backend was selected.
pub(super) struct Selections<'a> {
    pub(super) case: &'a Case<'a>,
    pub(super) unit: Unit,
    pub(super) counts: Vec<u64>,
    pub(super) total: u64,
}

impl<'a> Selections<'a> {
    pub(super) fn of(case: &'a Case<'a>) -> Self {
        let has_pins = case.varied && case.inference.kind.is_some_and(Algorithm::pins);
        let (counts, unit) =
            if has_pins { (&case.tally.pins.by_backend, Unit::Clients) } else { (&case.tally.firsts, Unit::Requests) };
        let mut counts = counts.clone();
        let total = counts.iter().sum();
        counts.resize(case.names.len().max(counts.len()), 0);
        Selections { case, unit, counts, total }
    }

    /// How often one of them was selected.
    pub(super) fn of_all(&self, names: &[String]) -> u64 {
        let all = self.case.names.iter().zip(&self.counts);
        all.filter(|(name, _)| names.contains(name)).map(|(_, count)| count).sum()
    }

    /// The shares as a report has them, not compared yet.
    fn describe(&self, expected: Option<&[f64]>, basis: Basis) -> Shares {
        let case = self.case;
        let expected = expected.filter(|_| basis != Basis::Nothing && basis != Basis::Open(Unproven::Weights));
        let row = |(place, count): (usize, &u64)| Share {
            backend: case.names.get(place).cloned().unwrap_or_else(|| "?".to_owned()),
            count: *count,
            share: *count as f64 / self.total.max(1) as f64,
            expected: expected.map(|expected| expected[place]),
            interval: (!rotates(case, self.unit)).then(|| confidence_sequence(*count, self.total, INTERVAL)),
        };
        Shares {
            rows: self.counts.iter().enumerate().map(row).collect(),
            expected: expected_in_words(case),
            expected_by: case.expectations.shares_by.clone(),
            unit: self.unit,
            test: None,
        }
    }

    /// The facts of a conclusion without a test.
    fn facts(&self, conclusion: Conclusion) -> ShareFacts {
        let wanted = self.case.expectations.algorithm;
        let promises_none = |algorithm: &Algorithm| Promise::of(*algorithm) == Promise::Nothing;
        let fitting = match conclusion {
            Conclusion::Unproven(Unproven::Algorithm) => self.case.inference.candidates(),
            _ => Vec::new(),
        };
        let given_up = if conclusion == Conclusion::Disturbed { given_up(self.case) } else { 0 };
        ShareFacts {
            unit: self.unit,
            total: self.total,
            expected: expected_in_words(self.case),
            conclusion,
            widest: None,
            test: None,
            selection: wanted
                .filter(promises_none)
                .map_or_else(|| self.case.inference.selection.clone(), Selection::from),
            seen_weights: None,
            without_promise: fitting.into_iter().filter(promises_none).collect(),
            needed: None,
            part: None,
            given_up,
            stopped: None,
        }
    }

    fn find(&self, level: Level, conclusion: Conclusion) -> Finding {
        Finding::new(level, finding::Facts::Shares(self.facts(conclusion)))
    }

    /// Where the configuration promises no shares it lists its servers all the same: others that get requests. None where it is not known
    /// who is listed.
    fn find_unlisted(&self) -> Option<Finding> {
        let Selections { case, counts, .. } = self;
        let (listed, is_split) = (&case.expectations.listed, !case.expectations.groups.is_empty());
        // A list without any backend of ours names others, or places of which something else makes servers.
        if is_split || !case.names.iter().any(|name| listed.contains(name)) {
            return None;
        }
        let got = case.names.iter().zip(counts).filter(|(_, count)| **count > 0).map(|(name, _)| name);
        let others = got.filter(|name| !listed.contains(name) && case.expectations.takes_part(name));
        let unlisted: Vec<String> = others.cloned().collect();
        if unlisted.is_empty() {
            return None;
        }
        // A method that is not understood may have servers of its own; what fails may be sent to a place outside of the list; of
        // copies it is not known which was first; and what the file says may be about the first URL alone.
        let is_open = !case.expectations.not_understood.is_empty()
            || failing(case, counts).contains(&true)
            || [Outcome::Duplicated, Outcome::Balancer].iter().any(|it| case.tally.of_outcome(*it) > 0)
            || case.tally.unordered > 0
            || case.urls.are_several();
        let level = if is_open { Level::Inconclusive } else { Level::Fail };
        Some(self.find(level, Conclusion::Unlisted(unlisted)).shown_by(case.order()))
    }

    /// Where something was done to backends: what a file or the topology says may be changed by it, so only what the user requires is judged.
    fn judge_around_steps(&self, expected: &[f64]) -> Option<Finding> {
        let expectations = &self.case.expectations;
        if expectations.shares.is_none() || expectations.shares_by != SharesSource::User {
            return match self.unit {
                Unit::Clients => None,
                Unit::Requests => around::find_left_out(self.case, &|conclusion| self.facts(conclusion)),
            };
        }
        let (level, facts) = match self.unit {
            // Each client counts once, whenever it came.
            Unit::Clients => (Level::Inconclusive, self.facts(Conclusion::OutageThroughout)),
            Unit::Requests => around::judge(self.case, expected, &|conclusion| self.facts(conclusion)),
        };
        Some(Finding::new(level, finding::Facts::Shares(facts)))
    }
}

/// What takes selections from a backend by right.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Disturbance {
    Failures,
    /// Nothing failed in this run, and it was put right shortly before.
    Avoidance,
}

/// Selections beside those that were expected, and the test of both.
struct Comparison<'a> {
    selections: &'a Selections<'a>,
    expected: &'a [f64],
    test: Test,
    level: Level,
    /// Whether all backends have their shares, those that fail too.
    holds_for_all: bool,
    /// Whether backends failed meanwhile, or may be avoided because they did before.
    disturbance: Option<Disturbance>,
    /// Whether all but one failed or got nothing: then no others are left to be compared.
    is_alone: bool,
}

impl<'a> Comparison<'a> {
    fn of(selections: &'a Selections, expected: &'a [f64]) -> Self {
        let Selections { case, unit, total, counts, .. } = selections;
        // A backend that fails gets less, as it should: the others are compared with each other.
        let failing = failing(case, counts);
        let sound: Vec<usize> = (0..counts.len()).filter(|place| !failing[*place]).collect();
        let (seen, wanted) = among(&sound, counts, expected);
        // Where none lacks a selection, no failure took any.
        let wanted_of = |place: usize| expected.get(place).copied().unwrap_or(0.0) * *total as f64;
        let are_whole = counts.iter().enumerate().all(|(place, count)| (*count as f64 - wanted_of(place)).abs() < 1.0);
        // Who is to get nothing, a mirror that lacks the path, takes nothing from others by failing.
        let is_due = |place: &usize| failing[*place] && wanted_of(*place) > 0.0;
        let due: Vec<usize> = (0..failing.len()).filter(is_due).collect();
        let failed = case.with_failed_attempts(None);
        let has_failed = |place: &usize| failed.get(*place).is_some_and(|failed| *failed);
        let is_only_avoided = |place: &usize| !has_failed(place) && case.may_be_avoided(*place) && counts[*place] > 0;
        let are_only_avoided = !due.is_empty() && due.iter().all(is_only_avoided);
        let of_all = test(case, counts, expected, *unit);
        let holds_for_all = of_all.1 == Level::Pass;
        // Where nothing failed, and the deviation may be chance, no other reason is needed.
        let may_be_chance = are_only_avoided && of_all.1 == Level::Inconclusive;
        let disturbance = match (are_only_avoided, due.is_empty()) {
            _ if are_whole || may_be_chance => None,
            (true, _) => Some(Disturbance::Avoidance),
            (false, false) => Some(Disturbance::Failures),
            (false, true) => None,
        };
        // What fails was selected as often as it should be.
        let is_explained = holds_for_all || are_whole || may_be_chance;
        // All that is left is one: shares of it say nothing.
        let is_alone = !is_explained && disturbance.is_some() && seen.iter().filter(|count| **count > 0).count() < 2;
        let (test, level) = if is_explained {
            of_all
        } else if is_alone {
            (of_all.0, Level::Inconclusive)
        } else {
            test(case, &seen, &wanted, *unit)
        };
        Comparison { selections, expected, test, level, holds_for_all, disturbance, is_alone }
    }

    fn conclude(&self, basis: Basis) -> (Level, Conclusion) {
        let Selections { case, total, counts, .. } = self.selections;
        let tolerated = case.expectations.tolerance_of(self.expected) * *total as f64;
        match self.level {
            Level::Fail => match self.find_excuse(basis) {
                Some(why) => (Level::Inconclusive, Conclusion::Unproven(why)),
                None => (Level::Fail, Conclusion::Deviates),
            },
            // What is not known must not be more than what is tolerated.
            Level::Pass if case.tally.unordered as f64 > tolerated => {
                (Level::Inconclusive, Conclusion::Unproven(Unproven::Order))
            }
            Level::Pass if self.holds_for_all => (Level::Pass, Conclusion::AsExpected),
            // They may have become ready meanwhile: nobody fails for that.
            _ if counts[case.backends..].iter().any(|count| *count > 0) => {
                (Level::Inconclusive, Conclusion::Unproven(Unproven::Unready))
            }
            // Nothing can be said of any backend, whatever failed meanwhile.
            _ if *total < case.backends as u64 => (Level::Inconclusive, Conclusion::TooFew),
            _ if self.disturbance == Some(Disturbance::Avoidance) => (Level::Inconclusive, Conclusion::Avoided),
            _ if self.disturbance.is_some() => (Level::Inconclusive, Conclusion::Disturbed),
            Level::Inconclusive => (Level::Inconclusive, Conclusion::TooFew),
            Level::Pass | Level::Note => (self.level, Conclusion::AsExpected),
        }
    }

    /// Why shares that are not as expected prove nothing.
    fn find_excuse(&self, basis: Basis) -> Option<Unproven> {
        let Selections { case, unit, counts, .. } = self.selections;
        if counts[case.backends..].iter().any(|count| *count > 0) {
            return Some(Unproven::Unready);
        }
        if let Basis::Open(why) = basis {
            let rotates = why == Unproven::Algorithm && case.inference.kind == Some(Algorithm::RoundRobin);
            return Some(if rotates && is_by_load(self.selections, self.expected) { Unproven::Load } else { why });
        }
        if !case.inference.is_unit_known && *unit == Unit::Requests {
            return Some(Unproven::Unit);
        }
        // The algorithm was found with the first URL: others may lead to other backends.
        if case.urls.are_several() && (!case.expectations.requires_shares() || case.expectations.are_by_file()) {
            return Some(Unproven::Urls);
        }
        if may_be_by_order(self.selections, self.expected) {
            return Some(Unproven::Order);
        }
        if may_be_by_copies(self.selections, self.expected) {
            return Some(Unproven::Copies);
        }
        if may_be_by_others(self.selections, self.expected) {
            return Some(Unproven::Others);
        }
        (basis == Basis::Promised && is_by_load(self.selections, self.expected)).then_some(Unproven::Load)
    }

    /// None where all that is wrong is that a backend gets nothing, for which the rule of reach fails.
    fn judge(self, basis: Basis, shares: &mut Shares) -> Option<Finding> {
        let (level, conclusion) = self.conclude(basis);
        let case = self.selections.case;
        if self.level == Level::Fail && self.is_all_for_want_of(&reach::left_out(case)) {
            shares.test = Some(self.test);
            return None;
        }
        let mut rows = shares.rows.clone();
        if conclusion == Conclusion::AsExpected {
            // They were compared with these, whoever expects them.
            rows.iter_mut().zip(self.expected).for_each(|(row, expected)| row.expected = Some(*expected));
        }
        let deviation = |row: &Share| row.expected.map_or(0.0, |expected| (row.share - expected).abs());
        let widest = (0..rows.len()).max_by(|a, b| deviation(&rows[*a]).total_cmp(&deviation(&rows[*b])));
        let is_of_requests = self.selections.unit == Unit::Requests;
        let stopped = widest.filter(|_| conclusion == Conclusion::Deviates && is_of_requests);
        let is_weighted =
            case.inference.kind == Some(Algorithm::WeightedRoundRobin) && case.expectations.shares.is_none();
        let is_short = conclusion == Conclusion::TooFew;
        let facts = ShareFacts {
            stopped: stopped.and_then(|place| stopped_since(case, Backend(place as u16), self.expected[place])),
            widest: widest.map(|place| rows.swap_remove(place)),
            test: (!self.is_alone).then(|| self.test.clone()),
            seen_weights: seen_weights(case).filter(|_| is_weighted),
            needed: is_short.then(|| needed(case, &self.test, self.expected)).flatten(),
            ..self.selections.facts(conclusion)
        };
        shares.test = Some(self.test);
        let order = if level == Level::Fail { case.order() } else { Vec::new() };
        Some(Finding::new(level, finding::Facts::Shares(facts)).shown_by(order))
    }

    /// Whether these backends get nothing, and the shares of all others are right among themselves.
    fn is_all_for_want_of(&self, left_out: &[usize]) -> bool {
        if left_out.is_empty() {
            return false;
        }
        let Selections { case, unit, counts, .. } = self.selections;
        let others: Vec<usize> = (0..counts.len()).filter(|place| !left_out.contains(place)).collect();
        let (seen, wanted) = among(&others, counts, self.expected);
        others.len() < 2 || test(case, &seen, &wanted, *unit).1 != Level::Fail
    }
}

/// Since when a backend got nothing that had its share until then: it was taken out of the rotation.
fn stopped_since(case: &Case, backend: Backend, expected: f64) -> Option<f64> {
    /// Requests that it would have got since; chance gives none of them with a probability of e to minus this number.
    const MISSED: f64 = 40.0;
    let (mut here, mut total, mut until) = (0u64, 0u64, None);
    for entry in case.ledger.entries().filter(|entry| case.sample.contains(&entry.sequence)) {
        let Some(picked) = directed(&entry) else { continue };
        total += 1;
        if picked == backend {
            here += 1;
            until = Some((total, entry.observation.sent()));
        }
    }
    let (before, at) = until?;
    let had_its_share = here as f64 >= 0.8 * expected * before as f64 && here >= 10;
    let missed = expected * (total - before) as f64;
    (had_its_share && missed >= MISSED).then(|| case.seconds(at))
}

fn basis(case: &Case) -> Basis {
    if case.expectations.requires_shares() {
        return Basis::Required;
    }
    if !case.expectations.not_understood.is_empty() || case.expectations.algorithm == Some(Algorithm::One) {
        return Basis::Nothing;
    }
    if let Some(wanted) = case.expectations.algorithm
        && Promise::of(wanted) == Promise::Nothing
    {
        return Basis::Nothing;
    }
    let candidates = case.inference.candidates();
    let promises = |algorithm: &Algorithm| Promise::of(*algorithm) != Promise::Nothing;
    match case.inference.certain() {
        Some(Algorithm::RoundRobin) => Basis::Promised,
        Some(Algorithm::WeightedRoundRobin) => Basis::Open(Unproven::Weights),
        Some(Algorithm::Random) => Basis::Open(Unproven::Ring),
        Some(_) => Basis::Nothing,
        None if !candidates.is_empty() && !candidates.iter().any(promises) => Basis::Nothing,
        None => Basis::Open(Unproven::Algorithm),
    }
}

/// Whether as many requests were executed more than once as are missing somewhere: which of their attempts is the copy is not known for
/// certain.
fn may_be_by_copies(selections: &Selections, expected: &[f64]) -> bool {
    let Selections { case, unit, counts, total } = selections;
    let copied = case.tally.of_outcome(Outcome::Duplicated);
    let lacks = counts.iter().zip(expected).map(|(count, p)| (p * *total as f64 - *count as f64).max(0.0));
    copied > 0 && *unit == Unit::Requests && copied as f64 >= lacks.sum()
}

/// Whether shares would pass if requests whose first attempt is not known had been sent first where most is missing.
fn may_be_by_order(selections: &Selections, expected: &[f64]) -> bool {
    let Selections { case, unit, counts, total } = selections;
    let more = case.tally.unordered;
    if more == 0 || *unit == Unit::Clients {
        return false;
    }
    let total = (total + more) as f64;
    let lacks = |place: usize, level: f64| (expected[place] * total - counts[place] as f64 - level).max(0.0);
    let lack = |level: f64| (0..counts.len()).map(|place| lacks(place, level)).sum::<f64>();
    // The level to which all that lack more can be filled up: found by halving.
    let (mut low, mut high) = (0.0, total);
    for _ in 0..64 {
        let middle = (low + high) / 2.0;
        if lack(middle) > more as f64 { low = middle } else { high = middle }
    }
    let filled: Vec<u64> = (0..counts.len()).map(|place| counts[place] + lacks(place, high).round() as u64).collect();
    is_granted(selections, &filled, expected)
}

/// Whether these counts would not fail.
fn is_granted(selections: &Selections, filled: &[u64], expected: &[f64]) -> bool {
    let Selections { case, unit, counts, .. } = selections;
    let sound: Vec<usize> = (0..counts.len()).filter(|place| !failing(case, counts)[*place]).collect();
    let (seen, wanted) = among(&sound, filled, expected);
    test(case, filled, expected, *unit).1 != Level::Fail || test(case, &seen, &wanted, *unit).1 != Level::Fail
}

/// Whether requests of others, which a rotation counts too, may have taken what is missing: at no backend more than arrived there while the
/// sample was taken. Where one backend is slow, our requests and theirs come to the same places of the rotation again and again.
fn may_be_by_others(selections: &Selections, expected: &[f64]) -> bool {
    let Selections { case, unit, counts, .. } = selections;
    if *unit == Unit::Clients {
        return false;
    }
    let mut others = vec![0u64; counts.len()];
    let (started, ended) = case.sampled;
    let meanwhile = case.ledger.others().iter().filter(|it| it.received >= started && it.received <= ended);
    for arrival in meanwhile {
        if let Some(count) = others.get_mut(usize::from(arrival.backend.0)) {
            *count += 1;
        }
    }
    let places = || (0..counts.len()).filter(|place| expected[*place] > 0.0);
    let whole = places().map(|place| counts[place] as f64 / expected[place]).fold(0.0, f64::max);
    let filled: Vec<u64> = (0..counts.len())
        .map(|place| {
            counts[place] + ((expected[place] * whole - counts[place] as f64).max(0.0) as u64).min(others[place])
        })
        .collect();
    filled != *counts && is_granted(selections, &filled, expected)
}

/// Whether backends get less under load alone: one request after the other, the only rotation was perfect, and those that get too few get
/// some all the time. NGINX's `max_conns` does so, and a fault that needs load; nothing tells them apart.
fn is_by_load(selections: &Selections, expected: &[f64]) -> bool {
    const PARTS: usize = 10;
    let Selections { case, counts, total, .. } = selections;
    let inference = case.inference;
    let Some(turns) = &inference.turns else { return false };
    if inference.exceptions > 0 || inference.rotations != Some(1) || !case.has_records() {
        return false;
    }
    let lacks = |place: usize| (counts[place] as f64) < expected[place] * *total as f64 - ROTATIONS;
    let picks = &case.tally.picks;
    let parts: Vec<&[Backend]> = picks.chunks((picks.len() / PARTS).max(1)).take(PARTS).collect();
    let keeps_coming = |place: usize| {
        let of = |part: &[Backend]| part.iter().filter(|backend| usize::from(backend.0) == place).count();
        let whole: usize = parts.iter().map(|part| of(part)).sum();
        // On a starved machine one that is full may get nothing for a part or two; one that was left for good gets nothing any more.
        let with_some = parts.iter().filter(|part| of(part) > 0).count();
        let to_the_end = parts.iter().rev().take(2).any(|part| of(part) > 0);
        whole >= PARTS * 10 && with_some >= PARTS - 3 && to_the_end
    };
    let mut lacking = (0..counts.len()).filter(|place| lacks(*place)).peekable();
    lacking.peek().is_some() && lacking.all(|place| turns.contains(&Backend(place as u16)) && keeps_coming(place))
}

/// Backends at which an attempt of the run failed, that of a warm-up too: a balancer may avoid them for a while. And those that were
/// never reached though requests reached nobody.
pub(super) fn failing(case: &Case, counts: &[u64]) -> Vec<bool> {
    let mut failing = case.failed_somewhere();
    failing.resize(counts.len(), false);
    let refused = [Outcome::Balancer, Outcome::NotReached];
    let nobody = refused.iter().any(|outcome| case.tally.of_outcome(*outcome) > 0)
        && case.ledger.entries().any(|entry| refused.contains(&entry.outcome) && entry.attempts.is_empty());
    for (failing, count) in failing.iter_mut().zip(counts) {
        *failing |= nobody && *count == 0;
    }
    failing
}

/// Backends that are named one by one.
const LISTED: usize = 12;

fn expected_in_words(case: &Case) -> String {
    let weights = case.expectations.shares.as_ref().unwrap_or(&ExpectedWeights::Even).to_string();
    // Of those that were not ready nothing is expected.
    let not_ready = case.names.iter().skip(case.backends).filter(|name| !case.expectations.backups.contains(name));
    let without: Vec<&str> = case.expectations.backups.iter().chain(not_ready).map(String::as_str).collect();
    match without.as_slice() {
        [] => weights,
        [first, .., last] if without.len() > LISTED => {
            format!("{weights}, without {} backends, {first} to {last}", without.len())
        }
        few => format!("{weights}, without {}", few.join(", ")),
    }
}

/// As the user would write them, where weights were seen: backends that are not ours have names, and no order.
fn seen_weights(case: &Case) -> Option<String> {
    let weight = |place: usize| {
        let seen = case.inference.weights.iter().find(|(backend, _)| usize::from(backend.0) == place);
        seen.map_or(0, |(_, weight)| *weight)
    };
    let weights: Vec<u32> = (0..case.backends).map(weight).collect();
    let seen = match case.ledger.records() {
        BackendRecords::None => {
            ExpectedWeights::ByName(case.names.iter().cloned().zip(weights.iter().copied()).collect())
        }
        BackendRecords::Kept => ExpectedWeights::ByPlace(weights.clone()),
    };
    weights.iter().any(|weight| *weight > 0).then(|| seen.to_string())
}

#[cfg(test)]
mod tests;
