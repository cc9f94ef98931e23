//! The rule of the unit: what one selection of a backend is made for, a request or a connection with all requests on it.

use std::collections::BTreeMap;

use crate::Moment;
use crate::facts::unit::{BalancingUnit, UnitFacts, UnknownUnit};
use crate::finding::{self, Finding, Level, Witness};
use crate::ledger::{BackendRecords, Entry};
use crate::observation::{Backend, NO_CONNECTION};
use crate::outcome::Outcome;
use crate::rules::case::Case;
use crate::rules::requirement::{RequiredUnit, Requirement};
use crate::statistics::ln_multinomial;
use crate::tally::directed;

/// Requests of the run that are looked at.
const LOOKED_AT: usize = 1_000_000;
/// Requests that are balanced one by one leave all connections at one backend each at most that often.
const LEVEL: f64 = 1e-8;

/// None where nothing is required and nothing is known.
pub(crate) fn judge(case: &Case) -> Option<Finding> {
    let required = case.expectations.required.iter().find_map(|it| match it {
        Requirement::Per(unit) => Some(*unit),
        _ => None,
    });
    let seen = ConnectionsSeen::of(case);
    let (unit, unknown, chance) = seen.conclude(case);
    if unit.is_none() && required.is_none() {
        return None;
    }
    let level = match (unit, required.map(RequiredUnit::unit)) {
        (None, _) => Level::Inconclusive,
        (Some(BalancingUnit::Request), None) => Level::Pass,
        (Some(BalancingUnit::Connection), None) => Level::Note,
        (Some(unit), Some(required)) if unit == required => Level::Pass,
        (Some(_), Some(_)) => Level::Fail,
    };
    let busiest = seen.kept().map(|(_, it)| it).max_by_key(|it| it.requests);
    let facts = UnitFacts {
        unit,
        required: required.map(|required| Requirement::Per(required).to_string()),
        connections: seen.kept().count() as u64,
        requests: seen.kept().map(|(_, it)| it.requests).sum(),
        several: seen.kept().filter(|(_, it)| it.has_several()).count() as u64,
        busiest: busiest.map_or(0, |it| it.requests),
        busiest_met: busiest.map_or(0, |it| it.met.len() as u64),
        backends: seen.backends() as u64,
        chance,
        unknown,
    };
    let witness = match unit {
        Some(BalancingUnit::Request) => seen.returned().into_iter().collect(),
        Some(BalancingUnit::Connection) => seen.two_connections(),
        None => Vec::new(),
    };
    let shown = witness.iter().map(|(number, requests)| connection(case, *number, requests)).collect();
    Some(Finding::new(level, finding::Facts::Unit(facts)).shown_by(shown))
}

fn connection(case: &Case, number: u32, sequences: &[u32]) -> Witness {
    let entries = sequences.iter().filter_map(|sequence| case.ledger.entry(*sequence));
    Witness::Connection { number, requests: entries.map(|entry| case.witness(&entry)).collect() }
}

/// The connections of the client, by number.
struct ConnectionsSeen {
    by_number: BTreeMap<u32, ConnectionSeen>,
    /// Connections carried several requests, whatever came of these.
    any_kept: bool,
}

/// What one connection carried, as far as it counts.
#[derive(Clone, Debug, Default)]
struct ConnectionSeen {
    requests: u64,
    /// Those before the sample, which went one after the other.
    tried: u64,
    /// Backends in the order in which it met them.
    met: Vec<Backend>,
    /// Its first two requests.
    first: Vec<u32>,
    /// Its first request, and when the response had come.
    began: Option<(u32, Moment)>,
    /// The first one afterwards that met another backend, and when its response had come.
    left: Option<(u32, Moment)>,
    /// The first one after that which met the first backend again.
    back: Option<u32>,
}

impl ConnectionSeen {
    fn has_several(&self) -> bool {
        self.met.len() > 1
    }

    fn see(&mut self, entry: &Entry, backend: Backend, is_tried: bool) {
        let observation = entry.observation;
        self.requests += 1;
        self.tried += u64::from(is_tried);
        if self.first.len() < 2 {
            self.first.push(entry.sequence);
        }
        if !self.met.contains(&backend) {
            self.met.push(backend);
        }
        let is_first = self.met[0] == backend;
        match (self.began, self.left) {
            (None, _) => self.began = Some((entry.sequence, observation.ended)),
            // Requests at once have no order.
            (Some((_, ended)), None) if !is_first && observation.sent() >= ended => {
                self.left = Some((entry.sequence, observation.ended));
            }
            (Some(_), Some((_, ended))) if is_first && self.back.is_none() && observation.sent() >= ended => {
                self.back = Some(entry.sequence);
            }
            (Some(_), None | Some(_)) => {}
        }
    }
}

impl ConnectionsSeen {
    fn of(case: &Case) -> ConnectionsSeen {
        let broken = case.first_step();
        let failed = case.failed_before(broken);
        let has_failed = |backend: Backend| failed.get(usize::from(backend.0)).copied().unwrap_or(false);
        let number = |sequence: u32| case.connections.get(sequence as usize).copied().unwrap_or(NO_CONNECTION);
        // Of connections that carried one request, which may be a million, nothing is kept.
        let mut kept: Vec<bool> = Vec::new();
        for (sequence, _) in (0u32..).zip(case.ledger.observations()).filter(|(_, it)| it.reused).take(LOOKED_AT) {
            let connection = number(sequence) as usize;
            if connection != NO_CONNECTION as usize && kept.len() <= connection {
                kept.resize(connection + 1, false);
            }
            kept.get_mut(connection).into_iter().for_each(|it| *it = true);
        }
        let mut seen: BTreeMap<u32, ConnectionSeen> = BTreeMap::new();
        let from = case.judged.from as usize;
        for entry in case.ledger.entries().skip(from).take(LOOKED_AT) {
            let connection = number(entry.sequence);
            let is_before = broken.is_none_or(|broken| entry.observation.ended < broken);
            // Another URL may lead elsewhere.
            let is_kept = kept.get(connection as usize).copied().unwrap_or(false);
            if !is_kept || !is_before || case.urls.of(entry.sequence) > 0 || !is_plain(&entry, case) {
                continue;
            }
            let Some(backend) = directed(&entry).filter(|backend| !has_failed(*backend)) else { continue };
            let is_tried = entry.sequence < case.sample.start;
            seen.entry(connection).or_default().see(&entry, backend, is_tried);
        }
        ConnectionsSeen { by_number: seen, any_kept: kept.contains(&true) }
    }

    /// Connections that carried several requests, with their numbers.
    fn kept(&self) -> impl Iterator<Item = (u32, &ConnectionSeen)> {
        self.by_number.iter().filter(|(_, it)| it.requests > 1).map(|(number, it)| (*number, it))
    }

    fn backends(&self) -> usize {
        let mut met: Vec<Backend> = self.kept().flat_map(|(_, it)| it.met.iter().copied()).collect();
        met.sort_unstable();
        met.dedup();
        met.len()
    }

    /// Three requests on one connection: a backend, another one, and the first again.
    fn returned(&self) -> Option<(u32, Vec<u32>)> {
        self.kept().find_map(|(number, it)| Some((number, vec![it.began?.0, it.left?.0, it.back?])))
    }

    /// Two requests on each of two connections, which met different backends.
    fn two_connections(&self) -> Vec<(u32, Vec<u32>)> {
        let Some(one) = self.kept().next() else { return Vec::new() };
        let other = self.kept().find(|(_, it)| it.met != one.1.met);
        std::iter::once(one).chain(other).map(|(number, it)| (number, it.first.clone())).collect()
    }

    fn conclude(&self, case: &Case) -> (Option<BalancingUnit>, Option<UnknownUnit>, Option<f64>) {
        let unknown = |why| (None, Some(why), None);
        if self.returned().is_some() {
            return (Some(BalancingUnit::Request), None, None);
        }
        if self.kept().next().is_none() {
            return unknown(if self.any_kept { UnknownUnit::NoneCounts } else { UnknownUnit::NotKept });
        }
        if self.kept().any(|(_, it)| it.has_several()) {
            return unknown(UnknownUnit::Moved);
        }
        if self.backends() < 2 {
            return unknown(UnknownUnit::OneBackend);
        }
        // In a sample each connection goes on when its response has come, and to least connections the backend that has just become
        // free is the best: then connections look bound though they are not. Experiments send in random order.
        if !case.inference.per_connection {
            return unknown(UnknownUnit::Untried);
        }
        let chance = self.chance();
        if chance >= LEVEL {
            return unknown(UnknownUnit::TooFew);
        }
        (Some(BalancingUnit::Connection), None, Some(chance))
    }

    /// Of all ways to deal the backends of the experiments out to their requests, at most that share leaves each connection at one.
    fn chance(&self) -> f64 {
        let tried = self.by_number.values().filter(|it| it.tried > 1);
        let rows: Vec<(Backend, u64)> = tried.filter_map(|it| Some((*it.met.first()?, it.tried))).collect();
        let mut counts: BTreeMap<Backend, u64> = BTreeMap::new();
        rows.iter().for_each(|(backend, requests)| *counts.entry(*backend).or_default() += requests);
        let counts: Vec<u64> = counts.into_values().collect();
        let ln_ways = ln_multinomial(&counts, &vec![1.0; counts.len()]);
        (rows.len() as f64 * (counts.len() as f64).ln() - ln_ways).exp().min(1.0)
    }
}

/// Whether the first backend that it was sent to responded. Where its record says so, what the balancer made of the response does not
/// matter: a call that lost its trailers was balanced all the same.
fn is_plain(entry: &Entry, case: &Case) -> bool {
    let is_responded = match case.ledger.records() {
        BackendRecords::Kept => {
            entry.attempts.len() == 1 && matches!(entry.outcome, Outcome::Delivered | Outcome::Altered)
        }
        BackendRecords::None => entry.outcome == Outcome::Delivered,
    };
    is_responded && entry.observation.status < 500
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::algorithm::Algorithm;
    use crate::observation::ClientOutcome;
    use crate::rules::expectations::Expectations;
    use crate::rules::trial::RuleTrial;

    /// Requests in order: connection, backend, and when they are sent, in milliseconds. Each takes a moment.
    fn trial(requests: impl IntoIterator<Item = (u32, u16)>) -> RuleTrial {
        let mut trial = RuleTrial::of(3, Some(Algorithm::RoundRobin));
        for (at, (connection, backend)) in requests.into_iter().enumerate() {
            trial.send(0, backend, at as u64 * 1000);
            trial.span.connections.push(connection);
        }
        trial
    }

    /// Sixteen connections that took turns in an order that has nothing to do with their backends, and then none: all experiments.
    fn shuffled(backend: impl Fn(u32, u32) -> u16) -> RuleTrial {
        let order = |round: u32, place: u32| (place * 5 + round * 7) % 16;
        let places = (0..6).flat_map(|round| (0..16).map(move |place| (round, place)));
        let mut trial = trial(places.map(|(round, place)| (order(round, place), backend(order(round, place), round))));
        trial.span.sample_from = trial.observations.len() as u32;
        trial
    }

    fn judged(trial: &RuleTrial) -> Option<(Level, UnitFacts)> {
        trial.judge_by(judge).map(|finding| match finding.facts {
            finding::Facts::Unit(facts) => (finding.level, facts),
            other => panic!("{other:?}"),
        })
    }

    fn unit(trial: &RuleTrial) -> Result<BalancingUnit, UnknownUnit> {
        let required = Expectations { required: vec![Requirement::Per(RequiredUnit::Call)], ..Expectations::default() };
        let found = trial.judge_by(|case| {
            judge(&Case { expectations: &required, sample: case.sample.clone(), ..*case }).expect("it is required")
        });
        let finding::Facts::Unit(facts) = found.facts else { panic!("another rule") };
        facts.unit.ok_or_else(|| facts.unknown.expect("a reason"))
    }

    #[test]
    fn a_connection_that_meets_a_backend_again_after_another_is_balanced_by_request() {
        let rotation = trial((0..9).map(|turn| (0, turn % 3)));
        assert_eq!(unit(&rotation), Ok(BalancingUnit::Request));
        let found = rotation.judge_by(judge).unwrap();
        let [Witness::Connection { number: 0, requests }] = found.witness.as_slice() else { panic!("{found:?}") };
        let numbers: Vec<u32> = requests.iter().map(|request| request.number).collect();
        assert_eq!((found.level, numbers), (Level::Pass, vec![0, 1, 3]));
    }

    #[test]
    fn a_connection_that_moves_once_may_be_bound_all_the_same() {
        assert_eq!(unit(&trial([(0, 0), (0, 0), (0, 1), (0, 1), (1, 2), (1, 2)])), Err(UnknownUnit::Moved));
        // The first backend failed something: that it is met again later is no choice.
        let mut failing = trial([(0, 0), (0, 1), (0, 0), (1, 2), (1, 2)]);
        failing.send(0, 2, 9_000).after_failure_at(0);
        failing.span.connections.push(9);
        assert_ne!(unit(&failing), Ok(BalancingUnit::Request));
    }

    #[test]
    fn requests_at_once_on_one_connection_have_no_order() {
        let mut at_once = trial([(0, 0), (0, 1), (0, 0)]);
        at_once.observations.iter_mut().for_each(|it| it.due = Moment(1_000_000));
        at_once.observations.iter_mut().for_each(|it| it.ended = Moment(2_000_000));
        assert_ne!(unit(&at_once), Ok(BalancingUnit::Request));
    }

    #[test]
    fn connections_that_keep_their_backend_in_random_order_are_the_unit() {
        let mut layer4 = shuffled(|connection, _| (connection % 3) as u16);
        assert_eq!(unit(&layer4), Err(UnknownUnit::Untried), "no experiment has decided");
        layer4.inference.per_connection = true;
        assert_eq!(unit(&layer4), Ok(BalancingUnit::Connection));
        let (level, facts) = judged(&layer4).unwrap();
        assert_eq!((level, facts.connections, facts.requests, facts.backends), (Level::Note, 16, 96, 3));
        layer4.expectations.required = vec![Requirement::Per(RequiredUnit::Call)];
        assert_eq!(judged(&layer4).unwrap().0, Level::Fail);
        layer4.expectations.required = vec![Requirement::Per(RequiredUnit::Connection)];
        assert_eq!(judged(&layer4).unwrap().0, Level::Pass);
    }

    #[test]
    fn least_connections_and_a_rotation_in_step_are_not_taken_for_connections() {
        // In a sample each connection goes on where it was, for that backend has just become free.
        let bound = || (0..300).map(|request| (request % 3, (request % 3) as u16));
        let mut in_step = trial(bound());
        assert_eq!(unit(&in_step), Err(UnknownUnit::Untried));
        // Even where an experiment says so, the sample is not evidence of it.
        in_step.inference.per_connection = true;
        assert_eq!(unit(&in_step), Err(UnknownUnit::TooFew));
    }

    #[test]
    fn one_backend_for_all_says_nothing_of_the_unit() {
        let mut hash = shuffled(|_, _| 1);
        assert_eq!(unit(&hash), Err(UnknownUnit::OneBackend));
        assert!(judged(&hash).is_none(), "nothing is required");
        hash.observations.iter_mut().for_each(|it| it.reused = false);
        assert_eq!(unit(&hash), Err(UnknownUnit::NotKept));
    }

    #[test]
    fn calls_that_lose_their_trailers_show_the_unit_by_their_records() {
        let mut spoilt = trial((0..9).map(|turn| (0, turn % 3)));
        spoilt.observations.iter_mut().for_each(|it| it.outcome = ClientOutcome::Altered);
        assert_eq!(unit(&spoilt), Ok(BalancingUnit::Request));
        spoilt.observations.iter_mut().for_each(|it| it.status = 503);
        assert_eq!(unit(&spoilt), Err(UnknownUnit::NoneCounts));
    }

    #[test]
    fn a_pair_of_connections_is_too_few() {
        let mut few = trial([(0, 0), (1, 1), (1, 1), (0, 0), (0, 0), (1, 1)]);
        few.span.sample_from = 6;
        few.inference.per_connection = true;
        assert_eq!(unit(&few), Err(UnknownUnit::TooFew));
    }

    #[test]
    fn a_backend_that_is_killed_later_counts_until_then() {
        let kill_after = |mut trial: RuleTrial| {
            let end = Moment(96_000_000);
            trial.inference.per_connection = true;
            trial.drill.kind = crate::rules::case::Drill::Rough;
            let window =
                crate::timeline::OutageWindow { backend: Backend(0), broken: end, mended: None, is_restarted: false };
            trial.drill.windows = vec![window];
            let backend = Some(Backend(0));
            let step = crate::timeline::StepSpan { backend, begun: end, ended: end, is_done: true, is_rough: true };
            trial.drill.steps = vec![step];
            trial.fleet.fleets.unsteady = vec!["9001".to_owned()];
            trial.send(0, 1, 100_000).after_failure_at(0);
            trial.span.connections.push(99);
            trial
        };
        let layer4 = || shuffled(|connection, _| (connection % 3) as u16);
        assert_eq!(unit(&kill_after(layer4())), Ok(BalancingUnit::Connection));
        let (_, facts) = judged(&kill_after(layer4())).unwrap();
        assert_eq!(facts.backends, 3);
        // It failed before, so that what others got may be what it did not.
        let mut before = kill_after(layer4());
        before.fleet.fleets.unwell = vec!["9001".to_owned()];
        assert_eq!(judged(&before).unwrap().1.backends, 2);
    }

    #[test]
    fn what_happens_after_something_was_broken_is_not_looked_at() {
        let mut broken = trial([(0, 0), (0, 0), (0, 1), (0, 0)]);
        broken.drill.steps = vec![crate::timeline::StepSpan {
            backend: Some(Backend(0)),
            begun: Moment(1_500_000),
            ended: Moment(1_500_000),
            is_done: true,
            is_rough: true,
        }];
        assert_eq!(unit(&broken), Err(UnknownUnit::OneBackend));
    }
}
