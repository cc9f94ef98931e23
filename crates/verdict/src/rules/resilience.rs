//! The rule of resilience: clients see no errors while something is broken, where nothing may be lost.

use std::collections::HashSet;
use std::time::Duration;

use crate::Moment;
use crate::facts::resilience::{Blocked, ResilienceFacts};
use crate::finding::{self, Facts, Finding, Level};
use crate::ledger::Entry;
use crate::observation::Backend;
use crate::outcome::Outcome;
use crate::report::Outage;
use crate::rules::case::{Case, Drill};
use crate::timeline::OutageWindow;

/// What was under way when a backend broke may wait for it.
const SETTLED: Duration = Duration::from_millis(500);
/// Others were served until shortly before: not all that is sent now is meant for one backend, as on one connection it may be.
const BEFORE: Duration = Duration::from_secs(1);
const LEAST_SERVED: u64 = 10;
/// Fewer requests that reached nobody may be those that were meant for the broken backend.
const LEAST_BLOCKED: u64 = 30;
/// How many times more they are than those that reached others.
const TIMES: u64 = 50;
/// What is refused for a shorter time may be so until the balancer has noticed.
const LEAST_REFUSED: Duration = Duration::from_secs(1);
/// A false conclusion from chance alone is less likely than that.
const LEVEL: f64 = 1e-9;

pub(crate) fn judge(case: &Case, outage: Option<&Outage>) -> Option<Finding> {
    let outage = outage?;
    let facts = facts_of(case, outage);
    // What is held against the balancer; the rest nobody could have served.
    let excused = facts.nobody + facts.of_backends + facts.limited;
    let level = match (outage.client_errors.saturating_sub(excused), case.lossless()) {
        _ if facts.blocked.is_some() => Level::Fail,
        (0, _) if excused > 0 => Level::Note,
        (0, true) if !facts.idle().is_empty() => Level::Inconclusive,
        (0, false) if !facts.idle().is_empty() => Level::Note,
        (0, _) => Level::Pass,
        (_, true) => Level::Fail,
        (_, false) => Level::Note,
    };
    // Nothing follows from what was not tried, nor from what the balancer need not have noticed.
    let is_open = !was_carried_out(outage) || facts.late > 0;
    let level = if is_open { level.max(Level::Inconclusive) } else { level };
    Some(Finding::new(level, finding::Facts::Resilience(facts)))
}

/// One cause is one finding: what got no response from the first step on is said here alone. An error before that has another cause, and
/// what a broken backend had received is a matter of retries.
pub(crate) fn absorb_losses(case: &Case, findings: &mut Vec<Finding>) {
    let is_failure = |finding: &Finding| finding.level == Level::Fail && matches!(finding.facts, Facts::Resilience(_));
    let first = case.first_step();
    let (true, Some(first)) = (findings.iter().any(is_failure), first) else { return };
    let mut judged = case.ledger.entries().filter(|entry| case.judged.includes(entry));
    if judged.any(|entry| case.done().is_error(&entry) && entry.observation.ended < first) {
        return;
    }
    let is_blocked = |finding: &Finding| matches!(&finding.facts, Facts::Resilience(facts) if facts.blocked.is_some());
    let blocked = findings.iter().any(is_blocked);
    // Those that reached nobody, too, though an outage would have explained some.
    let is_absorbed = |finding: &mut Finding| match outcome_of(finding) {
        Some((Outcome::NotReached, _)) if blocked => true,
        Some((outcome, _)) if finding.level == Level::Fail => case.drill == Drill::Graceful || outcome != Outcome::Lost,
        _ => false,
    };
    // What it refuses after the outage has the same cause.
    if findings
        .iter()
        .any(|it| matches!(&it.facts, Facts::Resilience(it) if it.blocked.as_ref().is_some_and(Blocked::is_refused)))
    {
        let own = findings.iter_mut().filter(|finding| matches!(finding.facts, Facts::Balancer(_)));
        own.for_each(|finding| finding.level = finding.level.min(Level::Note));
    }
    let losses: Vec<Finding> = findings.extract_if(.., is_absorbed).collect();
    for finding in findings.iter_mut().filter(|finding| is_failure(finding)) {
        if let Facts::Resilience(facts) = &mut finding.facts {
            facts.without_response = losses.iter().filter_map(outcome_of).collect();
            finding.witness = losses.first().map_or_else(Vec::new, |loss| loss.witness.clone());
        }
    }
}

/// What became of requests without a response, and how many they are.
fn outcome_of(finding: &Finding) -> Option<(Outcome, u64)> {
    match &finding.facts {
        Facts::NotReached(losses) => Some((Outcome::NotReached, losses.requests)),
        Facts::Lost(losses) => Some((Outcome::Lost, losses.requests)),
        Facts::NoResponse(losses) => Some((Outcome::NoResponse, losses.requests)),
        _ => None,
    }
}

/// Whether requests reached nobody while one backend was broken, though others were up: those that are meant for it alone are as many as
/// its share, or come from clients that others had served before.
fn blocked(case: &Case) -> Option<Blocked> {
    let sample = || case.ledger.entries().filter(|entry| case.sample.contains(&entry.sequence));
    let find = |window: &OutageWindow| {
        let until = window.mended.unwrap_or(case.sampled.1);
        // A command may take the balancer itself away.
        if case.steps.iter().any(|step| step.backend.is_none() && step.ended >= window.broken && step.begun < until) {
            return None;
        }
        let is_out = |place: usize| {
            let is_its = |it: &&OutageWindow| it.backend == Backend(place as u16);
            case.outages
                .iter()
                .filter(is_its)
                .any(|it| it.broken < until && it.mended.is_none_or(|at| at > window.broken))
        };
        let others: Vec<usize> = (0..case.backends).filter(|place| !is_out(*place)).collect();
        let is_there = |backend: Backend| others.contains(&usize::from(backend.0));
        let reached = |entry: &Entry| entry.attempts.iter().any(|attempt| is_there(attempt.backend));
        let before = window.broken.before(BEFORE);
        let sent_before = || sample().filter(|it| (before..window.broken).contains(&it.observation.sent()));
        let (all, theirs) = (sent_before().count() as u64, sent_before().filter(&reached).count() as u64);
        let meanwhile = || sample().filter(|it| (window.broken.after(SETTLED)..until).contains(&it.observation.sent()));
        let served = meanwhile().filter(&reached).count() as u64;
        let requests = meanwhile().filter(|entry| entry.outcome == Outcome::NotReached).count() as u64;
        if theirs < LEAST_SERVED || theirs * 5 < all {
            return None;
        }
        let name = |place: usize| case.names.get(place).cloned().unwrap_or_default();
        let (backend, others) =
            (name(usize::from(window.backend.0)), others.iter().map(|place| name(*place)).collect::<Vec<String>>());
        if requests >= LEAST_BLOCKED && requests >= served * TIMES {
            return Some(Blocked { backend, others, requests, served, refused_for: None });
        }
        // Whoever failed before may have been left out for that.
        let are_well = others.iter().all(|other| !case.fleets.unwell.contains(other));
        let is_free = free_to_go(case, sample().filter(|it| it.observation.ended < window.broken && reached(it)));
        let Refusals { requests, drawn, lasted } = refused(meanwhile(), reached, is_free).filter(|_| are_well)?;
        // Those that a balancer sends to others as ever are not all missing by chance.
        let by_chance = drawn as f64 * (1.0 - theirs as f64 / all as f64).ln() + (sample().count() as f64).ln();
        let is_blocked = drawn >= LEAST_BLOCKED && lasted >= LEAST_REFUSED && by_chance < LEVEL.ln();
        let refused_for = Some(lasted.as_secs_f64());
        is_blocked.then_some(Blocked { backend, others, requests, served: 0, refused_for })
    };
    case.outages.iter().filter(|_| case.has_records()).find_map(find)
}

/// Whether a request may go to the others, whatever kept those before it where they went: where a connection or a client belongs to the broken
/// backend all of its requests are refused, and who is refused at once is soon the next one again.
fn free_to_go<'l>(case: &Case, served_before: impl Iterator<Item = Entry<'l>>) -> impl Fn(&Entry) -> bool {
    let connection_of = |sequence: u32| case.connections.get(sequence as usize).copied();
    let (mut connections, mut clients) = (HashSet::new(), HashSet::new());
    for entry in served_before {
        connections.extend(connection_of(entry.sequence));
        clients.insert(entry.observation.client);
    }
    move |entry| {
        let is_new = !entry.observation.reused;
        let has_met_others = || connection_of(entry.sequence).is_some_and(|it| connections.contains(&it));
        clients.contains(&entry.observation.client) && (is_new || has_met_others())
    }
}

/// A time in which the balancer refused all requests itself while nobody else served any.
struct Refusals {
    requests: u64,
    /// Those among them that may have gone elsewhere.
    drawn: u64,
    lasted: Duration,
}

/// The longest of them.
fn refused<'l>(
    meanwhile: impl Iterator<Item = Entry<'l>>,
    reached: impl Fn(&Entry) -> bool,
    is_free: impl Fn(&Entry) -> bool,
) -> Option<Refusals> {
    let mut spans: Vec<(Refusals, Moment)> = Vec::new();
    // What others are busy with is served.
    let mut served_until = Moment(0);
    let mut goes_on = false;
    for entry in meanwhile {
        let (sent, ended) = (entry.observation.sent(), entry.observation.ended);
        if reached(&entry) {
            (served_until, goes_on) = (served_until.max(ended), false);
        } else if sent >= served_until && entry.outcome == Outcome::Balancer && entry.observation.status >= 500 {
            if !goes_on {
                spans.push((Refusals { requests: 0, drawn: 0, lasted: Duration::ZERO }, sent));
            }
            goes_on = true;
            if let Some((refusals, first)) = spans.last_mut() {
                refusals.requests += 1;
                refusals.drawn += u64::from(is_free(&entry));
                refusals.lasted = sent.since(*first);
            }
        }
    }
    spans.into_iter().map(|(refusals, _)| refusals).max_by_key(|it| it.lasted)
}

/// For streams, whose ends have rules of their own: what was to be tried was not.
pub(crate) fn judge_steps(case: &Case, outage: Option<&Outage>) -> Option<Finding> {
    let outage = outage.filter(|outage| !was_carried_out(outage))?;
    Some(Finding::new(Level::Inconclusive, finding::Facts::Resilience(facts_of(case, outage))))
}

fn was_carried_out(outage: &Outage) -> bool {
    outage.steps.iter().all(|step| step.done)
}

fn facts_of(case: &Case, outage: &Outage) -> ResilienceFacts {
    let entries = || case.ledger.entries().filter(|entry| case.judged.includes(entry));
    ResilienceFacts {
        client_errors: outage.client_errors,
        nobody: entries().filter(|entry| case.met_nobody(entry)).count() as u64,
        of_backends: errors_since_first_step(case, |entry| case.is_failed_by_backends(entry)),
        limited: errors_since_first_step(case, |entry| case.is_limited(entry) && !case.met_nobody(entry)),
        late: entries().filter(|entry| case.met_nobody_late(entry)).count() as u64,
        lossless: case.lossless(),
        graceful: case.drill == Drill::Graceful,
        backends: outage.backends.clone(),
        blocked: blocked(case),
        without_response: Vec::new(),
        remarks: outage.steps.iter().filter(|step| !step.done || step.result.is_some()).cloned().collect(),
    }
}

/// Errors from the first step on that have a cause of their own.
fn errors_since_first_step(case: &Case, has_cause: impl Fn(&Entry) -> bool) -> u64 {
    let Some(first) = case.first_step() else { return 0 };
    let since = case.ledger.entries().filter(|it| case.sample.contains(&it.sequence) && it.observation.ended >= first);
    since.filter(|entry| case.done().is_error(entry) && has_cause(entry)).count() as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limit::{NoTrial, RateLimit};
    use crate::observation::ClientOutcome;
    use crate::rules::trial::RuleTrial;
    use crate::timeline::StepSpan;

    /// A reload after 100 requests; the requests at those places get no response.
    fn reload(lost: &[u16]) -> RuleTrial {
        let mut trial = RuleTrial::new();
        let at = RuleTrial::due(100);
        trial.drill.kind = Drill::Graceful;
        trial.drill.steps = vec![StepSpan { backend: None, begun: at, ended: at, is_done: true, is_rough: false }];
        for turn in 0..300 {
            if lost.contains(&turn) {
                trial.failed(ClientOutcome::Reset, false);
            } else {
                trial.delivered(turn % 3, 200);
            }
        }
        let client_errors = lost.iter().filter(|place| **place >= 100).count() as u64;
        trial.drill.outage =
            Some(Outage { steps: Vec::new(), client_errors, retries: 0, double_executions: 0, backends: Vec::new() });
        trial
    }

    /// All three are taken out for 50 requests, one after the other, from the hundredth request on; those get 503, and some later ones.
    fn unready(also_failed: u16) -> RuleTrial {
        let mut trial = RuleTrial::new();
        trial.drill.kind = Drill::Graceful;
        trial.drill.windows = (0..3)
            .map(|place| OutageWindow {
                backend: Backend(place),
                broken: RuleTrial::due(80 + 10 * usize::from(place)),
                mended: Some(RuleTrial::due(150)),
                is_restarted: false,
            })
            .collect();
        for turn in 0..300 {
            if (100..150).contains(&turn) || turn == also_failed {
                trial.balancer(503);
            } else {
                trial.delivered(turn % 3, 200);
            }
        }
        let client_errors = 50 + u64::from(also_failed < 300);
        trial.drill.outage =
            Some(Outage { steps: Vec::new(), client_errors, retries: 0, double_executions: 0, backends: Vec::new() });
        trial
    }

    #[test]
    fn nobody_serves_what_comes_while_all_backends_are_out_and_every_other_request_is_served() {
        let trial = unready(u16::MAX);
        assert_eq!((trial.level("resilience"), trial.failures()), (Some(Level::Note), vec![]));
        // One that came when others were up.
        let lost_one = unready(85);
        assert_eq!((lost_one.level("resilience"), lost_one.level("balancer")), (Some(Level::Fail), Some(Level::Fail)));
        let mut required = unready(u16::MAX);
        required.expectations.lossless = Some(true);
        assert_eq!(required.level("resilience"), Some(Level::Fail));
    }

    #[test]
    fn one_broken_backend_is_no_reason_to_serve_nobody() {
        // From the hundredth to the 1,200th request, a hundred a second.
        let hang = |served: &dyn Fn(u16) -> Option<u16>| {
            let mut trial = RuleTrial::new();
            trial.drill.kind = Drill::Rough;
            let (broken, mended) = (RuleTrial::due(100), Some(RuleTrial::due(1200)));
            trial.drill.windows = vec![OutageWindow { backend: Backend(1), broken, mended, is_restarted: false }];
            for turn in 0..1500 {
                let by = if (100..1200).contains(&turn) { served(turn) } else { Some(turn % 3) };
                if let Some(backend) = by {
                    trial.delivered(backend, 200);
                } else {
                    trial.failed(ClientOutcome::TimedOut, false);
                }
            }
            let (steps, backends) = (Vec::new(), Vec::new());
            trial.drill.outage = Some(Outage { steps, client_errors: 900, retries: 0, double_executions: 0, backends });
            trial
        };
        let all = hang(&|_| None);
        assert_eq!(all.failures(), ["resilience"]);
        // Its share of requests waits for it, whatever else.
        assert_eq!(hang(&|turn| (turn % 3 != 1).then_some(turn % 3)).failures(), [""; 0]);
        // Who sent everything to that one has nobody else.
        let mut only = hang(&|_| None);
        only.arrivals.iter_mut().for_each(|arrival| arrival.backend = Backend(1));
        assert_ne!(only.level("resilience"), Some(Level::Fail));
        let mut by_command = all.clone();
        let at = RuleTrial::due(300);
        by_command.drill.steps = vec![StepSpan { backend: None, begun: at, ended: at, is_done: true, is_rough: false }];
        assert_ne!(by_command.level("resilience"), Some(Level::Fail));
    }

    #[test]
    fn failures_of_one_backend_are_no_reason_to_refuse_all() {
        // From the hundredth request to the 4,000th, a thousand a second; who serves a request, and how long that takes.
        let breaks = |served: &dyn Fn(u16) -> Option<(u16, u64)>| {
            let mut trial = RuleTrial::new();
            trial.drill.kind = Drill::Rough;
            let (broken, mended) = (RuleTrial::due(1000), Some(RuleTrial::due(4000)));
            trial.drill.windows = vec![OutageWindow { backend: Backend(1), broken, mended, is_restarted: false }];
            for turn in 0..5000 {
                let by = if turn >= 1000 { served(turn) } else { Some((turn % 3, 0)) };
                if let Some((backend, milliseconds)) = by {
                    trial.delivered(backend, 200);
                    let observation = trial.observations.last_mut().unwrap();
                    observation.ended = observation.ended.after(Duration::from_millis(milliseconds));
                } else {
                    trial.balancer(503);
                }
            }
            let (steps, backends) = (Vec::new(), Vec::new());
            trial.drill.outage = Some(Outage { steps, client_errors: 900, retries: 0, double_executions: 0, backends });
            trial
        };
        // It counts failures first, and refuses all then.
        let by_turn = |turn: u16| (turn >= 4000 || turn % 3 != 1).then_some((turn % 3, 0));
        let opens = breaks(&|turn| by_turn(turn).filter(|_| !(2000..4000).contains(&turn)));
        assert_eq!(opens.failures(), ["resilience"]);
        let closes_late = breaks(&|turn| by_turn(turn).filter(|_| !(2000..4500).contains(&turn)));
        assert_eq!((closes_late.failures(), closes_late.level("balancer")), (vec!["resilience"], Some(Level::Note)));
        let Facts::Resilience(facts) = opens.facts("resilience") else { panic!() };
        let blocked = facts.blocked.unwrap();
        assert_eq!((blocked.requests, blocked.others.join(" ").as_str()), (2001, "9001 9003"));
        assert!(blocked.refused_for.is_some_and(|seconds| (1.9..2.1).contains(&seconds)));
        let mut may_have_failed = opens.clone();
        may_have_failed.fleet.fleets.unwell = vec!["9003".to_owned()];
        assert_ne!(may_have_failed.level("resilience"), Some(Level::Fail));
        // The same on three kept connections: each was served by all before, or each by one, and then the fastest comes again and again.
        let on_connections = |of: &dyn Fn(u32) -> u32| {
            let mut trial = opens.clone();
            trial.observations.iter_mut().for_each(|it| it.reused = true);
            trial.span.connections = (0..5000).map(of).collect();
            trial.level("resilience")
        };
        let is_refused = |turn: u32| (2000..4000).contains(&turn);
        assert_eq!(on_connections(&|turn| turn % 7 % 3), Some(Level::Fail));
        assert_ne!(on_connections(&|turn| if is_refused(turn) { 1 } else { turn % 3 }), Some(Level::Fail));
        for right in [
            breaks(&by_turn),
            // All are busy, and the clients that wait for them send nothing more meanwhile.
            breaks(&|turn| if turn < 4000 { (turn % 1000 == 0).then_some((0, 999)) } else { by_turn(turn) }),
            // Not for long.
            breaks(&|turn| by_turn(turn).filter(|_| !(1600..2500).contains(&turn))),
        ] {
            assert_eq!(right.failures(), [""; 0]);
        }
    }

    #[test]
    fn a_balancer_may_need_its_time_to_notice_that_backends_are_there_again() {
        let noticed = |after: usize, keeps_away: Option<u64>, kind: Drill| {
            let mut trial = unready(u16::MAX);
            (trial.drill.kind, trial.drill.keeps_away) = (kind, keeps_away.map(Duration::from_secs));
            (trial.observations, trial.arrivals) = (Vec::new(), Vec::new());
            for turn in 0..80_000 {
                if (100..150 + after).contains(&turn) {
                    trial.balancer(503);
                } else {
                    trial.delivered((turn % 3) as u16, 200);
                }
            }
            trial.drill.outage.as_mut().unwrap().client_errors = 50 + after as u64;
            (trial.level("resilience"), trial.level("balancer"))
        };
        let (open, note, fails) = (Some(Level::Inconclusive), Some(Level::Note), Some(Level::Fail));
        for kind in [Drill::Graceful, Drill::Rough] {
            assert_eq!(noticed(9_000, None, kind), (note, note));
            assert_eq!(noticed(20_000, None, kind), (open, note));
            assert_eq!(noticed(20_000, Some(30), kind), (note, note));
            assert_eq!(noticed(20_000, Some(10), kind).1, fails);
            assert_eq!(noticed(65_000, None, kind).1, fails);
        }
    }

    #[test]
    fn a_connection_that_a_kill_closes_is_an_error_of_who_must_not_repeat_the_request() {
        let kill = |method| {
            let mut trial = RuleTrial::new();
            trial.sent.method = method;
            trial.drill.kind = Drill::Rough;
            let broken = RuleTrial::due(100);
            trial.drill.windows = vec![OutageWindow { backend: Backend(1), broken, mended: None, is_restarted: false }];
            for turn in 0..300 {
                if turn == 100 {
                    trial.failed(ClientOutcome::Closed, true);
                } else {
                    trial.delivered(if turn < 100 { turn % 3 } else { 2 * (turn % 2) }, 200);
                }
            }
            (trial.level("not-reached"), trial.level("idle-close"))
        };
        assert_eq!(kill("POST"), (Some(Level::Note), None));
        assert_eq!(kill("GET"), (None, Some(Level::Note)));
    }

    #[test]
    fn a_connection_that_the_balancer_refuses_is_not_explained_by_a_kill_beside_it() {
        let level = |per_connection: bool| {
            let mut trial = RuleTrial::new();
            trial.drill.kind = Drill::Rough;
            trial.inference.per_connection = per_connection;
            let broken = RuleTrial::due(100);
            trial.drill.windows = vec![OutageWindow { backend: Backend(1), broken, mended: None, is_restarted: false }];
            for turn in 0..300 {
                if (150..160).contains(&turn) {
                    trial.failed(ClientOutcome::Refused, false);
                } else {
                    trial.delivered(if turn < 100 { turn % 3 } else { 2 * (turn % 2) }, 200);
                }
            }
            trial.level("not-reached")
        };
        assert_eq!(level(false), Some(Level::Fail));
        // A packet filter leads the connection to the backend, which refuses it.
        assert_eq!(level(true), Some(Level::Note));
    }

    #[test]
    fn what_a_limit_refuses_all_the_time_is_not_the_fault_of_a_reload() {
        let limited = |status: u16, lost: bool| {
            let mut trial = reload(if lost { &[250] } else { &[] });
            for _ in 0..60 {
                trial.balancer(503);
            }
            trial.drill.outage.as_mut().unwrap().client_errors = 60 + u64::from(lost);
            let limit = RateLimit { status, refused: 90, untried: Some(NoTrial::Drill), ..RateLimit::default() };
            trial.limit = Some(limit);
            trial
        };
        let right = limited(503, false);
        assert_eq!(
            (right.level("resilience"), right.level("rate-limit")),
            (Some(Level::Note), Some(Level::Inconclusive))
        );
        assert!(right.failures().is_empty());
        assert_eq!(limited(503, true).level("resilience"), Some(Level::Fail));
        assert_eq!(limited(429, false).level("resilience"), Some(Level::Fail), "another status");
        let mut required = limited(503, false);
        required.expectations.lossless = Some(true);
        assert_eq!(required.level("resilience"), Some(Level::Fail));
    }

    #[test]
    fn what_backends_fail_themselves_is_not_the_fault_of_a_reload() {
        // The statuses that a backend gives, before and after; and whether the reload loses one.
        let failing = |status: u16, lost: bool| {
            let mut trial = reload(if lost { &[250] } else { &[] });
            for turn in 0..60 {
                trial.delivered(turn % 3, if turn % 9 == 0 { status } else { 200 });
            }
            trial.drill.outage.as_mut().unwrap().client_errors = 7 + u64::from(lost);
            trial
        };
        let right = failing(503, false);
        assert_eq!((right.level("resilience"), right.failures()), (Some(Level::Note), vec!["statuses"]));
        assert_eq!(failing(503, true).level("resilience"), Some(Level::Fail));
        let mut required = failing(503, false);
        required.expectations.lossless = Some(true);
        assert_eq!(required.level("resilience"), Some(Level::Fail));
        // What a drained backend says is what a balancer must not let clients see.
        let mut drained = failing(503, false);
        let window = |place| OutageWindow {
            backend: Backend(place),
            broken: RuleTrial::due(100),
            mended: None,
            is_restarted: false,
        };
        drained.drill.windows = vec![window(0)];
        assert_eq!(drained.level("resilience"), Some(Level::Fail));
        drained.drill.windows = vec![window(1)];
        assert_eq!(drained.level("resilience"), Some(Level::Note));
    }

    #[test]
    fn what_a_reload_loses_is_one_finding_and_what_was_lost_before_it_is_another() {
        assert!(reload(&[]).failures().is_empty());
        let trial = reload(&[120, 121, 122]);
        assert_eq!(trial.failures(), ["resilience"]);
        let Facts::Resilience(facts) = trial.facts("resilience") else { panic!() };
        assert_eq!(facts.without_response, [(Outcome::NotReached, 3)]);
        let finding = trial.judge().into_iter().find(|finding| finding.level == Level::Fail).unwrap();
        assert_eq!(finding.witness.len(), 3);
        assert_eq!(reload(&[50, 120, 121]).failures().len(), 2);
    }
}
