//! The rules of the account: every request has one outcome, and outcomes are what a balancer owes.

use std::collections::{BTreeMap, BTreeSet};

use crate::facts::account::{
    AccountFacts, BackendStatuses, IdleCloses, Losses, Mirrored, OwnResponses, Repeated, Requests, RetriedRequests,
    StaleResponses, TruncatedResponses, UnrecordedResponses,
};
use crate::facts::tls::Refused;
use crate::finding::{Facts, Finding, Level};
use crate::ledger::{Arrival, Entry};
use crate::observation::{Backend, ClientOutcome};
use crate::outcome::Outcome;
use crate::request::RequestPart;
use crate::rules::case::{Case, Drill};
use crate::rules::queue::Queue;
use crate::rules::requirement::Requirement;
use crate::rules::responses;
use crate::{AttemptEnd, HandshakeFailure};

pub(crate) fn judge(case: &Case) -> Vec<Finding> {
    let seen = EntryCounts::of(case);
    let mut findings: Vec<Finding> = Vec::new();
    findings.extend(repeated(case));
    findings.extend(retried(case, &seen));
    findings.extend(mirrored(case, &seen));
    for outcome in Outcome::ALL {
        findings.extend(of_outcome(case, &seen, outcome));
    }
    findings.extend(idle_closes(case));
    findings.extend(statuses(case, &seen));
    let is_explained = seen.limited == 0 && case.gaps.is_empty();
    if is_explained && !findings.iter().any(|finding| finding.level > Level::Note) {
        let account = AccountFacts {
            requests: case.tally.sent,
            delivered: case.tally.of_outcome(Outcome::Delivered),
            excused: seen.excused.values().map(|(_, excused)| excused).sum(),
            has_records: case.has_records(),
        };
        findings.push(Finding::new(Level::Pass, Facts::Account(account)));
    }
    findings
}

/// What one walk over the entries finds.
#[derive(Default)]
struct EntryCounts {
    /// Requests of each outcome: all, and those that an outage excuses.
    excused: BTreeMap<Outcome, (u64, u64)>,
    /// Requests that an outage may excuse, beside those.
    in_doubt: BTreeMap<Outcome, u64>,
    /// The first of each outcome that nothing excuses.
    examples: BTreeMap<Outcome, Vec<u32>>,
    own: BTreeMap<u16, u64>,
    own_received: u64,
    /// At which backends these arrived, without those that an outage excuses.
    own_backends: BTreeMap<String, u64>,
    /// Requests of each outcome that backends refused, all of them, before they did anything.
    unprocessed: BTreeMap<Outcome, u64>,
    /// Requests of each outcome that no backend finished, though some had begun.
    unfinished: BTreeMap<Outcome, u64>,
    /// Requests of each outcome for which the client waited until its own timeout.
    timed_out: BTreeMap<Outcome, u64>,
    /// Those among them on which a backend was still at work, without those that an outage excuses.
    at_work: BTreeMap<Outcome, u64>,
    /// What those waited for that reached nobody, where there are any.
    queue: Option<Queue>,
    /// Those of each outcome that were kept in a queue, without those that an outage excuses.
    queued: BTreeMap<Outcome, u64>,
    statuses: BTreeMap<u16, u64>,
    statuses_excused: u64,
    /// Requests that a limit refused, of which its own rule speaks.
    limited: u64,
    by_backend: BTreeMap<String, u64>,
    status_examples: Vec<u32>,
    outside: BTreeMap<u16, u64>,
    /// How many of these the balancer itself gave.
    outside_of_balancer: u64,
    retries: RetriedRequests,
    same_examples: Vec<u32>,
    copies_elsewhere: u64,
    /// Copies that mirrors did not refuse.
    copies_taken: u64,
    /// Double executions that no outage explains.
    doubled: Vec<u32>,
    doubled_unexplained: u64,
    /// Responses that ended too early at their backend already.
    cut_off: BTreeMap<String, u64>,
    mirror_seconds: Vec<f64>,
    extra_seconds: Vec<f64>,
}

const EXAMPLES: usize = 3;

fn keep(examples: &mut Vec<u32>, sequence: u32) {
    if examples.len() < EXAMPLES {
        examples.push(sequence);
    }
}

impl EntryCounts {
    fn of(case: &Case) -> EntryCounts {
        let is_given_up = case.ledger.observations().iter().any(|it| it.outcome == ClientOutcome::TimedOut);
        let queue = is_given_up.then(|| Queue::of(case));
        let mut seen = EntryCounts { queue, ..EntryCounts::default() };
        for entry in case.ledger.entries().filter(|entry| case.judged.includes(entry)) {
            seen.see(case, &entry);
        }
        seen
    }

    fn see(&mut self, case: &Case, entry: &Entry) {
        let status = entry.observation.status;
        let is_excused = case.is_excused(entry);
        if case.is_limited(entry) {
            self.limited += 1;
            self.see_required_status(case, entry, is_excused);
            return;
        }
        // Closes at the moment of use have a rule of their own.
        let is_idle_close = case.done().is_idle_close(entry);
        if !is_idle_close {
            let counts = self.excused.entry(entry.outcome).or_default();
            *counts = (counts.0 + 1, counts.1 + u64::from(is_excused && entry.is_client_error()));
            let was_at_work = !is_excused && case.was_at_work(entry);
            *self.at_work.entry(entry.outcome).or_default() += u64::from(was_at_work);
            let was_queued = !is_excused && self.queue.as_ref().is_some_and(|queue| queue.kept(entry));
            *self.queued.entry(entry.outcome).or_default() += u64::from(was_queued);
            let is_forbidden = case.expectations.lossless == Some(true);
            if !is_excused && (case.may_be_excused(entry) || (was_at_work || was_queued) && !is_forbidden) {
                *self.in_doubt.entry(entry.outcome).or_default() += 1;
            }
        }
        if entry.outcome != Outcome::Delivered && !is_excused && !is_idle_close {
            keep(self.examples.entry(entry.outcome).or_default(), entry.sequence);
        }
        self.see_required_status(case, entry, is_excused);
        if !entry.attempts.is_empty() && entry.attempts.iter().all(Arrival::is_unprocessed) {
            *self.unprocessed.entry(entry.outcome).or_default() += 1;
        } else if entry.attempts.iter().all(|attempt| attempt.end != AttemptEnd::Completed) {
            *self.unfinished.entry(entry.outcome).or_default() += 1;
        }
        if entry.observation.outcome == ClientOutcome::TimedOut {
            *self.timed_out.entry(entry.outcome).or_default() += 1;
        }
        self.see_outcome(case, entry);
        let by_backend = matches!(entry.outcome, Outcome::Delivered | Outcome::Retried | Outcome::Duplicated);
        if by_backend && status >= 400 {
            if is_excused {
                self.statuses_excused += 1;
            } else {
                *self.statuses.entry(status).or_default() += 1;
                if let Some(name) = case.names.get(usize::from(entry.observation.backend.0)) {
                    *self.by_backend.entry(name.clone()).or_default() += 1;
                }
                keep(&mut self.status_examples, entry.sequence);
            }
        }
        self.see_attempts(case, entry);
    }

    /// What an outage excuses is described, and not judged.
    fn unless_excused(&self, outcome: Outcome) -> Level {
        let (requests, excused) = self.excused.get(&outcome).copied().unwrap_or_default();
        let in_doubt = self.in_doubt.get(&outcome).copied().unwrap_or_default();
        match requests - excused {
            0 => Level::Note,
            rest if rest == in_doubt => Level::Inconclusive,
            _ => Level::Fail,
        }
    }

    /// Whether its status is one that the user requires, whoever gave it.
    fn see_required_status(&mut self, case: &Case, entry: &Entry, is_excused: bool) {
        let status = entry.observation.status;
        if let (Some((low, high)), true) = (case.required_statuses(), status > 0)
            && !(low..=high).contains(&status)
            && !is_excused
        {
            *self.outside.entry(status).or_default() += 1;
            self.outside_of_balancer += u64::from(entry.outcome == Outcome::Balancer);
        }
    }

    /// What is counted of its outcome alone.
    fn see_outcome(&mut self, case: &Case, entry: &Entry) {
        let status = entry.observation.status;
        match entry.outcome {
            Outcome::Balancer => {
                *self.own.entry(status).or_default() += 1;
                let received: Vec<&Arrival> = entry.attempts.iter().filter(|it| !it.is_unprocessed()).collect();
                self.own_received += u64::from(!received.is_empty());
                let backends: BTreeSet<Backend> = received.iter().map(|attempt| attempt.backend).collect();
                let known = backends.iter().filter_map(|backend| case.names.get(usize::from(backend.0)));
                for name in known.filter(|_| !case.is_excused(entry)) {
                    *self.own_backends.entry(name.clone()).or_default() += 1;
                }
            }
            Outcome::Mirrored => self.see_mirrored(case, entry),
            Outcome::Duplicated => {
                if !case.meets_outage(entry) {
                    self.doubled_unexplained += 1;
                    keep(&mut self.doubled, entry.sequence);
                }
            }
            Outcome::Delivered
            | Outcome::Refused
            | Outcome::Retried
            | Outcome::Lost
            | Outcome::NotReached
            | Outcome::Stale
            | Outcome::Swapped
            | Outcome::Altered
            | Outcome::Unrecorded
            | Outcome::NoResponse
            | Outcome::Unsent => {}
            Outcome::Truncated => {
                let cut = entry.delivered().filter(|own| own.end != AttemptEnd::Completed);
                if let Some(name) = cut.and_then(|own| case.names.get(usize::from(own.backend.0))) {
                    *self.cut_off.entry(name.clone()).or_default() += 1;
                }
            }
        }
    }

    /// Retries, whatever became of the request.
    fn see_attempts(&mut self, case: &Case, entry: &Entry) {
        let attempts: Vec<&Arrival> =
            entry.attempts.iter().filter(|attempt| !case.ledger.is_mirror(attempt.backend)).collect();
        if attempts.len() < 2 {
            return;
        }
        let failed = |attempt: &Arrival| attempt.end != AttemptEnd::Completed || attempt.status >= 500;
        // Of attempts in an unknown order, the one that failed may have been the first.
        let begins = if entry.is_ordered { failed(attempts[0]) } else { attempts.iter().any(|it| failed(it)) };
        // Of two that were under way at once, the later one may have been given up: the account has that as retried.
        if !begins && entry.outcome != Outcome::Retried {
            return;
        }
        self.retries.requests += 1;
        self.retries.failed += u64::from(entry.is_client_error());
        self.retries.begun += u64::from(matches!(attempts[0].end, AttemptEnd::Received | AttemptEnd::CutOff));
        if entry.is_ordered && attempts.windows(2).any(|pair| failed(pair[0]) && pair[0].backend == pair[1].backend) {
            self.retries.same_backend += 1;
            keep(&mut self.same_examples, entry.sequence);
        }
    }

    fn see_mirrored(&mut self, case: &Case, entry: &Entry) {
        let Some(own) = entry.delivered() else { return };
        let mut copies = entry.attempts.iter().filter(|attempt| case.ledger.is_mirror(attempt.backend));
        // A copy of what the client sent is faithful, though the request itself was rewritten (NGINX's `$request_uri`).
        let is_another = |copy: &Arrival| {
            [RequestPart::Method, RequestPart::Path, RequestPart::Query]
                .into_iter()
                .any(|part| copy.differences.contains(part) && !own.differences.contains(part))
        };
        if let Some(copy) = copies.next() {
            self.copies_elsewhere += u64::from(is_another(copy));
            self.copies_taken += u64::from(copy.status < 400);
            // Whoever opens a connection for each request does not wait for the copy of the one before.
            if !case.sample.contains(&entry.sequence) {
                return;
            }
            self.mirror_seconds.push(f64::from(copy.took) / 1e7);
            let whole = entry.observation.took().as_secs_f64();
            self.extra_seconds.push((whole - f64::from(own.took) / 1e7).max(0.0));
        }
    }
}

fn allowed(case: &Case, outcome: Outcome, level: Level) -> Level {
    if case.expectations.allowed.contains(&outcome) { level.min(Level::Note) } else { level }
}

/// The balancer waits for no response that short.
const SHORT: u32 = 500_000;

/// Why handshakes with backends failed, where requests reached none and the balancer itself responded.
fn failed_handshakes(case: &Case, unreached: u64) -> Option<Refused> {
    let most = case.tls.connections.failed.first().filter(|_| unreached > 0)?;
    // Who connects and leaves may be a health check that asks nothing.
    let is_certain = most.reason != HandshakeFailure::ClosedAfter || 2 * most.count >= unreached;
    is_certain.then(|| most.clone())
}

/// The turns of a server that is none of the backends, and all of a round: requests in sequence go round the backends in a fixed order, which has
/// a place at which they reach nobody. Where a backend is missing from the round, that one is who does not respond.
fn dead_turns(case: &Case) -> Option<(u32, u32)> {
    let weights = case.inference.turns.as_ref().map(|_| case.inference.weights.as_slice())?;
    let has_turns = |place: usize| weights.iter().any(|(backend, _)| usize::from(backend.0) == place);
    let dead = weights.iter().filter(|(backend, _)| !backend.is_known()).map(|(_, turns)| turns).sum();
    let all = weights.iter().map(|(_, turns)| turns).sum();
    (dead > 0 && case.drill == Drill::None && (0..case.names.len()).all(has_turns)).then_some((dead, all))
}

/// Requests for which a backend was too slow for the balancer: it left while their client still waited. Those that the check itself had answered
/// late say nothing.
pub(super) fn given_up(case: &Case) -> u64 {
    let is_left = |entry: &Entry, attempt: &Arrival| {
        attempt.end == AttemptEnd::CutOff && attempt.took >= SHORT && attempt.responded() < entry.observation.ended
    };
    let is_own = |entry: &Entry| case.judged.invented.binary_search(&entry.sequence).is_err();
    let left = |entry: &Entry| entry.attempts.iter().any(|attempt| is_left(entry, attempt)) && is_own(entry);
    case.ledger.entries().filter(left).count() as u64
}

fn of_outcome(case: &Case, seen: &EntryCounts, outcome: Outcome) -> Option<Finding> {
    let (requests, excused) = seen.excused.get(&outcome).copied().unwrap_or_default();
    if requests == 0 {
        return None;
    }
    let of = case.tally.sent;
    let unless_excused = seen.unless_excused(outcome);
    let unprocessed = seen.unprocessed.get(&outcome).copied().unwrap_or_default();
    let unfinished = seen.unfinished.get(&outcome).copied().unwrap_or_default();
    let timed_out = seen.timed_out.get(&outcome).copied().unwrap_or_default();
    let at_work = seen.at_work.get(&outcome).copied().unwrap_or_default();
    let queued = seen.queued.get(&outcome).copied().unwrap_or_default();
    let losses = Losses { requests, excused, of, unprocessed, unfinished, timed_out, at_work, queued };
    let plain = Requests { requests, of };
    let (level, facts) = match outcome {
        Outcome::Delivered | Outcome::Retried | Outcome::Mirrored => return None,
        Outcome::Duplicated => {
            // A balancer that tries another backend while one is broken cannot know what that one does.
            let explained = case.drill == Drill::Rough && seen.doubled_unexplained == 0;
            (if explained { Level::Note } else { Level::Fail }, Facts::Duplicated(plain))
        }
        Outcome::Lost => (unless_excused, Facts::Lost(losses)),
        Outcome::NotReached => (unless_excused, Facts::NotReached(losses)),
        Outcome::Balancer => {
            let own = own_responses(case, seen, &losses);
            // What is no error and has no mark of a backend may be that of one which is none of the fleet's.
            let level = if own.may_be_foreign() { unless_excused.min(Level::Inconclusive) } else { unless_excused };
            (level, Facts::Balancer(own))
        }
        Outcome::Stale => (Level::Fail, Facts::Stale(StaleResponses { requests, of, configured: Vec::new() })),
        Outcome::Swapped => (Level::Fail, Facts::Swapped(plain)),
        // How a stream ends has rules of its own.
        Outcome::Truncated if case.streams.is_some() => return None,
        Outcome::Truncated => {
            let at_backend = seen.cut_off.clone();
            (unless_excused, Facts::Truncated(TruncatedResponses { requests, excused, of, at_backend }))
        }
        Outcome::Altered => {
            let altered = responses::altered(case, requests);
            // HTTP has no limits: another client may read them.
            let is_unread = altered.beyond_limits == requests;
            (if is_unread { Level::Inconclusive } else { Level::Fail }, Facts::Altered(altered))
        }
        Outcome::Refused => {
            let refused = refused(case, requests);
            (if refused.own_head.is_some() { Level::Inconclusive } else { Level::Fail }, Facts::Refused(refused))
        }
        Outcome::Unrecorded => {
            let place = case.identity.filter(|_| !case.has_records()).map(|identity| identity.place.clone());
            (Level::Inconclusive, Facts::Unrecorded(UnrecordedResponses { requests, of, place }))
        }
        Outcome::NoResponse => (unless_excused, Facts::NoResponse(losses)),
        Outcome::Unsent => (Level::Inconclusive, Facts::Unsent(plain)),
    };
    let unexplained = (outcome == Outcome::Duplicated && !seen.doubled.is_empty()).then_some(&seen.doubled);
    let examples = unexplained.or(seen.examples.get(&outcome)).or_else(|| case.tally.examples.get(&outcome));
    let examples = examples.map_or(&[][..], Vec::as_slice);
    Some(Finding::new(allowed(case, outcome, level), facts).shown_by(case.witnesses(examples)))
}

fn own_responses(case: &Case, seen: &EntryCounts, losses: &Losses) -> OwnResponses {
    let Losses { requests, excused, of, unprocessed, .. } = *losses;
    OwnResponses {
        requests,
        excused,
        of,
        statuses: seen.own.clone(),
        received: seen.own_received,
        unprocessed,
        backends: seen.own_backends.clone(),
        dead_turns: dead_turns(case),
        given_up: given_up(case),
        handshakes: failed_handshakes(case, requests.saturating_sub(seen.own_received + unprocessed)),
        kept: case.changes.upstream.are_kept(),
        configured: Vec::new(),
    }
}

fn refused(case: &Case, requests: u64) -> BackendStatuses {
    let refused =
        case.ledger.entries().filter(|entry| case.judged.includes(entry) && entry.outcome == Outcome::Refused);
    let mut statuses = BTreeMap::new();
    let mut backends = BTreeMap::new();
    for entry in refused {
        // What reset a stream was not sent, and is known from its record.
        let (status, backend) = match entry.attempts.last() {
            Some(attempt) if !entry.observation.backend.is_known() => (attempt.status, attempt.backend),
            _ => (entry.observation.status, entry.observation.backend),
        };
        *statuses.entry(status).or_default() += 1;
        if let Some(name) = case.names.get(usize::from(backend.0)) {
            *backends.entry(name.clone()).or_default() += 1;
        }
    }
    // What is too large as the user wants it is so without the balancer, too.
    let are_too_large = statuses.keys().all(|status| *status == HEAD_TOO_LARGE);
    let own_head = Some(case.sent.head_bytes()).filter(|bytes| are_too_large && *bytes > READ_BY_BACKENDS);
    BackendStatuses {
        requests,
        excused: 0,
        of: case.tally.sent,
        statuses,
        by_balancer: 0,
        backends,
        reasons: case.changes.refused.counts.clone(),
        with_spaces: case.changes.with_spaces,
        own_head,
        expected: None,
    }
}

/// Request Header Fields Too Large (RFC 6585 section 5).
const HEAD_TOO_LARGE: u16 = 431;
/// So large a head every backend of a fleet reads by default.
const READ_BY_BACKENDS: u64 = 16 * 1024;

/// A request that is not idempotent and reached backends more than once, whatever they made of it: in the warm-up too, for a repeated
/// request is one at any time. What a mirror got is a copy, and what a backend refused unprocessed may be sent again.
fn repeated(case: &Case) -> Option<Finding> {
    if case.is_idempotent() || !case.has_records() {
        return None;
    }
    let is_own = |attempt: &&Arrival| !case.ledger.is_mirror(attempt.backend) && !attempt.is_unprocessed();
    // Whether a call that ended so may be repeated depends on its method (https://grpc.io/docs/guides/retry/), which does not say.
    let is_unavailable = |attempt: &Arrival| attempt.end == AttemptEnd::Completed && attempt.status == 503;
    let is_retry = |entry: &Entry| {
        let own = entry.delivered().map(|own| own.response);
        entry.attempts.iter().all(|attempt| Some(attempt.response) == own || is_unavailable(attempt))
    };
    let are_calls = case.are_calls();
    let (mut repeated, mut unavailable) = (Vec::new(), are_calls);
    for entry in case.ledger.entries().filter(|entry| entry.attempts.iter().filter(is_own).count() > 1) {
        unavailable &= is_retry(&entry);
        repeated.push(entry.sequence);
    }
    if repeated.is_empty() {
        return None;
    }
    let level = if unavailable { allowed(case, Outcome::Retried, Level::Inconclusive) } else { Level::Fail };
    let method = if are_calls { "call" } else { case.sent.method }.to_owned();
    let facts = Repeated { requests: repeated.len() as u64, method, unavailable };
    let shown = &repeated[..repeated.len().min(EXAMPLES)];
    Some(Finding::new(level, Facts::Repeated(facts)).shown_by(case.witnesses(shown)))
}

fn retried(case: &Case, seen: &EntryCounts) -> Option<Finding> {
    if seen.retries.requests == 0 || !case.has_records() {
        return None;
    }
    let facts = RetriedRequests { of: case.tally.sent, ..seen.retries.clone() };
    let examples = match seen.same_examples.as_slice() {
        [] => case.tally.examples.get(&Outcome::Retried).map_or(&[][..], Vec::as_slice),
        same => same,
    };
    Some(Finding::new(Level::Note, Facts::Retried(facts)).shown_by(case.witnesses(examples)))
}

/// Copies that nobody waits for may be wanted, if they are the same request and may be repeated. A copy that arrives as another request
/// executes something that no client sent.
fn mirrored(case: &Case, seen: &EntryCounts) -> Option<Finding> {
    let requests = case.tally.of_outcome(Outcome::Mirrored);
    let expected = case.expectations.required.iter().find_map(|it| match it {
        Requirement::Mirrored(share) => Some(*share),
        _ => None,
    });
    if requests == 0 && expected.is_none() {
        return None;
    }
    let of = case.tally.sent;
    let duplicated = case.tally.of_outcome(Outcome::Duplicated);
    let share = |requests: u64| requests as f64 / of.max(1) as f64;
    let mirrors =
        (0..case.names.len()).filter(|place| case.ledger.is_mirror(crate::observation::Backend(*place as u16)));
    let facts = Mirrored {
        requests,
        of,
        mirrors: mirrors.map(|place| case.names[place].clone()).collect(),
        duplicated,
        refused: requests > 0 && seen.copies_taken == 0,
        other_requests: seen.copies_elsewhere,
        expected,
        held: held(&seen.mirror_seconds, &seen.extra_seconds),
    };
    let level = match expected {
        Some(_) if !case.has_records() => Level::Inconclusive,
        // Five standard deviations, and what the experiments before the sample may add.
        Some(expected) => {
            let spread = 5.0 * (expected * (1.0 - expected) / of.max(1) as f64).sqrt();
            let is_share = |requests: u64| (share(requests) - expected).abs() <= spread.max(0.005);
            match (is_share(requests), duplicated) {
                (true, _) => Level::Pass,
                (false, 0) => Level::Fail,
                // The mirror may be one of those that deliver.
                (false, more) if is_share(requests + more) => Level::Inconclusive,
                (false, _) => Level::Fail,
            }
        }
        None if seen.copies_elsewhere > 0 || !case.is_idempotent() => Level::Fail,
        None => Level::Note,
    };
    let examples = case.tally.examples.get(&Outcome::Mirrored).map_or(&[][..], Vec::as_slice);
    let level = allowed(case, Outcome::Mirrored, level);
    Some(Finding::new(level, Facts::Mirrored(facts)).shown_by(case.witnesses(&examples[..examples.len().min(1)])))
}

/// Whether requests took as much longer than their backends as their copies took: (seconds of a copy, seconds more).
fn held(mirror: &[f64], extra: &[f64]) -> Option<(f64, f64)> {
    let median = |values: &[f64]| {
        let mut values = values.to_vec();
        values.sort_by(f64::total_cmp);
        values.get(values.len() / 2).copied()
    };
    let (mirror, extra) = (median(mirror)?, median(extra)?);
    (mirror >= 0.01 && extra >= 0.5 * mirror).then_some((mirror, extra))
}

/// What a step closes is closed within that time.
const AFTER_STEP: std::time::Duration = std::time::Duration::from_secs(2);

/// A few look like the well-known race with an idle timeout; many do not.
fn idle_closes(case: &Case) -> Option<Finding> {
    let closes =
        || case.ledger.entries().filter(|entry| case.judged.includes(entry) && case.done().is_idle_close(entry));
    let all = if case.tally.idle_closes == 0 { 0 } else { closes().count() as u64 };
    if all == 0 {
        return None;
    }
    // A reload closes all idle connections at once, and only then.
    let at_a_step = |entry: &Entry| {
        let at = entry.observation.ended;
        case.steps.iter().any(|step| at >= step.begun && at <= step.ended.after(AFTER_STEP))
    };
    let others =
        if case.drill == Drill::None { all } else { closes().filter(|entry| !at_a_step(entry)).count() as u64 };
    let usual = (case.tally.sent / 1000).max(3);
    let (requests, usual) =
        if others > usual || case.drill == Drill::None { (others, usual) } else { (all, case.tally.sent / 100 + 64) };
    let late = closes().filter(Entry::is_late_close).count() as u64;
    let facts = IdleCloses { requests, of: case.tally.sent, usual, late, may_be_repeated: case.is_idempotent() };
    let level = match (requests <= usual, case.is_idempotent()) {
        (true, true) if late == 0 => Level::Note,
        (true, _) | (false, true) => Level::Inconclusive,
        (false, false) => Level::Fail,
    };
    let shown: Vec<u32> = closes().map(|entry| entry.sequence).take(EXAMPLES).collect();
    let level = allowed(case, Outcome::NotReached, level);
    Some(Finding::new(level, Facts::IdleClose(facts)).shown_by(case.witnesses(&shown)))
}

/// A status that a backend gave is what clients get: without another expectation it has to be below 400.
fn statuses(case: &Case, seen: &EntryCounts) -> Option<Finding> {
    let required = case.expectations.required.iter().find(|it| matches!(it, Requirement::Status { .. }));
    let statuses: BTreeMap<u16, u64> = match required {
        Some(_) => seen.outside.clone(),
        None => seen.statuses.clone(),
    };
    let wrong: u64 = statuses.values().sum();
    if wrong == 0 && required.is_none() && seen.statuses_excused == 0 {
        return None;
    }
    let level = match (wrong, required) {
        (0, Some(_)) => Level::Pass,
        (0, None) => Level::Note,
        (_, _) => Level::Fail,
    };
    let facts = BackendStatuses {
        requests: wrong + seen.statuses_excused,
        excused: seen.statuses_excused,
        of: case.tally.sent,
        statuses,
        by_balancer: seen.outside_of_balancer,
        backends: seen.by_backend.clone(),
        reasons: Vec::new(),
        with_spaces: 0,
        own_head: None,
        expected: required.map(ToString::to_string),
    };
    Some(Finding::new(level, Facts::Statuses(facts)).shown_by(case.witnesses(&seen.status_examples)))
}

#[cfg(test)]
mod tests;
