//! The report of one check, from all that is known of it.

use std::ops::Range;
use std::time::Duration;

use crate::check::figures;
use crate::check::load::{Load, Pacing, Reuse, Vary};
use crate::check::plan::{CheckPlan, TargetPlan, split_url};
use crate::check::session::SessionData;
use crate::report::hints;
use verdict::Moment;
use verdict::algorithm::{AlgorithmRemark, Pick, Selection};
use verdict::arrived::{OtherKind, OtherRequests, RequestChanges};
use verdict::facts::records::RecordGap;
use verdict::facts::responses::ReceivedResponses;
use verdict::finding::Witness;
use verdict::ledger::{Entry, Ledger};
use verdict::limit::{NoTrial, RateLimit, SlowTrial};
use verdict::observation::Backend;
use verdict::outcome::Outcome;
use verdict::report::{
    Account, AlgorithmReport, Check, FleetReport, NotCounted, OutcomeCount, Plots, TrafficSummary, UrlOutcomes,
    Variation, VariedPart,
};
use verdict::rules::{Case, Drill, Urls, describe_forwarding, judge};
use verdict::streams::{Lived, Streams};
use verdict::surroundings::SurroundingLine;
use verdict::tally::{Judged, Tally};
use verdict::timeline::StepSpan;

/// What is known beside the session itself.
pub(crate) struct CheckContext<'a> {
    pub(crate) plan: &'a CheckPlan,
    /// Number of this run, which its request ids carry.
    pub(crate) run: u64,
    /// The API of the fleet, and its backends' names; none without one.
    pub(crate) fleet: Option<FleetReport>,
    /// Whether the check started it.
    pub(crate) own_fleet: bool,
    /// Whether the client reaches the balancer over loopback.
    pub(crate) over_loopback: bool,
    /// Records that belong to no request of this run.
    pub(crate) not_counted: NotCounted,
    /// What the balancer changed in requests, as they arrived.
    pub(crate) changes: RequestChanges,
    /// Requests of other clients that arrived.
    pub(crate) others: OtherRequests,
    /// Why records may be missing.
    pub(crate) gaps: Vec<RecordGap>,
    /// Who is behind the balancer, and whether that stayed so.
    pub(crate) fleets: verdict::facts::fleets::FleetFacts,
    /// What backends noted of units with a life.
    pub(crate) lived: Vec<Lived>,
    /// Whether some backend's clock is not the client's.
    pub(crate) other_clocks: bool,
}

/// Cells of the order strip.
const STRIP: usize = 300;

/// Requests in sequence that make a strip of their own.
const LEAST_IN_SEQUENCE: usize = 60;

/// Requests of others while the experiments lasted, as far as their times are known.
fn others_meanwhile(ledger: &Ledger, first: u32, end: u32, known: &CheckContext) -> u64 {
    let experiments = ledger.observations().get(first as usize..end as usize).unwrap_or_default();
    let (Some(begin), Some(end)) = (experiments.first(), experiments.last()) else { return 0 };
    let (begin, end) = (begin.due, end.ended);
    let during = |kind: &OtherKind| {
        let (from, to) = (kind.first.max(begin), kind.last.min(end));
        // As if they came at an even rate.
        let whole = kind.last.since(kind.first).as_secs_f64().max(1e-3);
        if from > to { 0 } else { (kind.count as f64 * to.since(from).as_secs_f64() / whole).ceil() as u64 }
    };
    let timed: u64 = known.others.kinds.iter().map(during).sum();
    // Those of ours among them whose id did not arrive are no requests of others.
    timed.min(ledger.unassigned) + known.not_counted.others
}

/// Judges the ledger and puts together what the report shows.
pub(crate) fn assemble(ledger: &Ledger, mut session: SessionData, mut known: CheckContext) -> Check {
    let plan = known.plan;
    let names = session.names.as_slice();
    let (windows, spans) = (figures::windows(&session.steps, names), figures::spans(&session.steps, names));
    let lapsed = session.received.lapsed.as_slice();
    let sessions = plan.expectations.session_life.as_ref();
    let judges = Judged { from: session.judged, invented: &session.invented, outages: &windows, lapsed, sessions };
    let tally = Tally::of(ledger, judges, session.sample.clone());
    let targets: Vec<String> = plan.target.urls().map(|url| split_url(url).1.to_owned()).collect();
    let bodies: Vec<u64> = plan.request.bodies.iter().map(|body| body.len() as u64).collect();
    let varied = session.load.vary != Vary::Nothing;
    let drill = plan.scenario.drill();
    known.changes.leave_out(ledger.subrequests());
    let evidence = &mut session.evidence;
    evidence.complete(ledger);
    evidence.others = others_meanwhile(ledger, session.judged, session.sample.start, &known);
    let limit = limit_of(ledger, judges, plan, (session.sample.clone(), session.slow_trial), &spans);
    // Other URLs may lead to other backends: the experiments know the first. What a limit refused may have been anybody's turn.
    if drill == Drill::None && !varied && targets.len() == 1 && limit.is_none() {
        evidence.add_sample(ledger, session.sample.clone(), &tally.picks);
    }
    let inference = evidence.infer(names);
    let is_open = limit.is_some_and(|limit| limit.refuses_any(ledger, session.judged..session.sample.start));
    let inference = if is_open { inference.behind_a_limit() } else { inference };
    let streams = session.streams.take().map(|(seen, lateness)| {
        let mut joined = Streams::join(seen, std::mem::take(&mut known.lived));
        (joined.other_clocks, joined.lateness) = (known.other_clocks, lateness);
        joined
    });
    let case = Case {
        ledger,
        tally: &tally,
        names,
        backends: session.backends.unwrap_or(names.len()).min(names.len()),
        expectations: &plan.expectations,
        inference: &inference,
        gaps: &known.gaps,
        fleets: &known.fleets,
        identity: session.identity.as_ref(),
        limit,
        changes: &known.changes,
        others: &known.others,
        received: &session.received,
        sent: plan.sent(),
        over_http2: plan.target.is_over_http2(),
        judged: judges,
        connections: &session.connections,
        urls: Urls { targets: &targets, of: &session.urls, first: session.sample.start },
        bodies: &bodies,
        keeps_away: plan.environment.keeps_away.map(|it| it.after(&windows)),
        sample: session.sample.clone(),
        health_checks: known.not_counted.health_checks,
        own_fleet: known.own_fleet,
        over_loopback: known.over_loopback,
        drill,
        steps: &spans,
        outages: &windows,
        sampled: (session.started, session.ended),
        tls: &session.tls,
        varied,
        run: known.run,
        began: ledger.observations().first().map_or(session.started, |first| first.due),
        streams: streams.as_ref(),
    };
    report(&case, &session, &known)
}

/// The limit that the sample met, if any.
fn limit_of(
    ledger: &Ledger,
    judges: Judged,
    plan: &CheckPlan,
    (sample, slow_trial): (Range<u32>, Option<SlowTrial>),
    spans: &[StepSpan],
) -> Option<RateLimit> {
    let of_budget = plan.load.budget.map(|_| NoTrial::Budget);
    let why = if plan.scenario.steps.is_empty() { of_budget } else { Some(NoTrial::Drill) };
    let first_step = spans.iter().map(|step| step.begun).min();
    let no_trial = why.map(|why| (why, first_step.unwrap_or(Moment(u64::MAX))));
    RateLimit::of(ledger, judges, sample, slow_trial, no_trial)
}

/// What the report shows of a case, and the verdict.
fn report(case: &Case, session: &SessionData, known: &CheckContext) -> Check {
    let (ledger, plan, load) = (case.ledger, known.plan, &session.load);
    let sample = || case.sample.clone();
    let (started, ended) = case.sampled;
    let mut outage = figures::outage(ledger, sample(), case.sampled, &session.steps, &case.done(), case.names);
    if let (Some(outage), true) = (&mut outage, case.streams.is_some()) {
        // A backend without new streams is not out of rotation.
        outage.backends.clear();
    }
    let (findings, shares, verdict) = judge(case, outage.as_ref());
    let (latency, plot) = match case.streams {
        // The life of a stream is no latency.
        Some(_) => (None, Vec::new()),
        None => figures::latency(ledger, sample(), matches!(load.pacing, Pacing::Open { .. }), case.names),
    };
    let (slices, slice_seconds) = figures::slices(ledger, sample(), started, ended, case.names.len());
    let (strip, strip_in_sequence) = strip(&session.evidence.fresh, &case.tally.picks);
    let mut check = Check {
        name: plan.name.clone(),
        url: plan.target.url.clone(),
        balancer: plan.environment.balancer.clone().or_else(|| by_responses(case.received)),
        fleet: known.fleet.clone(),
        surroundings: plan.environment.surroundings.iter().cloned().map(SurroundingLine::of).collect(),
        not_understood: plan.environment.not_understood.clone(),
        seconds: 0.0,
        traffic: describe_traffic(plan, load, sample().len() as u64, ended.since(started)),
        account: account(case, known, session.judged),
        forwarding: describe_forwarding(case),
        shares,
        algorithm: case.streams.is_none().then(|| algorithm(case, plan)),
        latency,
        outage,
        findings,
        verdict,
        plots: Plots { strip, strip_in_sequence, slices, slice_seconds, latency: plot },
    };
    list_as_the_fleet(&mut check);
    check
}

/// Puts backends into the order in which their fleet lists them: until here those that were ready come first.
fn list_as_the_fleet(check: &mut Check) {
    let (Some(fleet), Some(shares)) = (&check.fleet, &mut check.shares) else { return };
    let listed = |name: &str| fleet.backends.iter().position(|it| it == name).unwrap_or(usize::MAX);
    let mut order: Vec<usize> = (0..shares.rows.len()).collect();
    order.sort_by_key(|place| listed(&shares.rows[*place].backend));
    shares.rows = order.iter().map(|place| shares.rows[*place].clone()).collect();
    let place_of = |old: u16| order.iter().position(|place| *place == usize::from(old)).map(|place| place as u16);
    check.plots.strip.iter_mut().for_each(|cell| *cell = cell.and_then(place_of));
    for slice in &mut check.plots.slices {
        let responses = order.iter().map(|place| slice.responses.get(*place).copied().unwrap_or_default());
        slice.responses = responses.collect();
    }
}

fn describe_traffic(plan: &CheckPlan, load: &Load, requests: u64, took: Duration) -> TrafficSummary {
    let seconds = took.as_secs_f64();
    TrafficSummary {
        method: plan.request.method.clone(),
        connections: load.connections as u32,
        kept: load.reuse == Reuse::Kept,
        multiplex: load.streams as u32,
        grpc: plan.request.grpc,
        rate: match load.pacing {
            Pacing::Open { rate } => Some(rate),
            Pacing::Closed => None,
        },
        requests,
        // Whoever has a calendar writes it.
        started: String::new(),
        seconds,
        requests_per_second: if seconds > 0.0 { requests as f64 / seconds } else { 0.0 },
        streams: plan.streams.map(|streams| streams.kind),
        varied: variation(&load.vary),
    }
}

/// The order strip. Under load the order in which requests are sent, selected for and read differs by how the machine shares out its time;
/// requests that were sent one after another have one order.
fn strip(in_sequence: &[Pick], sampled: &[Backend]) -> (Vec<Option<u16>>, bool) {
    let place = |backend: Backend| backend.is_known().then_some(backend.0);
    if in_sequence.len() >= LEAST_IN_SEQUENCE {
        return (in_sequence.iter().take(STRIP).map(|pick| place(pick.backend)).collect(), true);
    }
    (sampled.iter().take(STRIP).map(|backend| place(*backend)).collect(), false)
}

/// The sample's requests by URL; none if there is one.
fn by_url(case: &Case, target: &TargetPlan) -> Vec<UrlOutcomes> {
    if !case.urls.are_several() {
        return Vec::new();
    }
    let mut counts = vec![[0u64; Outcome::ALL.len()]; case.urls.targets.len()];
    for entry in case.ledger.entries().filter(|entry| case.sample.contains(&entry.sequence)) {
        counts[case.urls.of(entry.sequence)][entry.outcome as usize] += 1;
    }
    let outcomes = |counts: [u64; Outcome::ALL.len()]| {
        Outcome::ALL.into_iter().zip(counts).filter(|(_, count)| *count > 0).collect()
    };
    target
        .urls()
        .zip(counts)
        .map(|(url, counts)| UrlOutcomes { url: url.to_owned(), outcomes: outcomes(counts) })
        .collect()
}

fn account(case: &Case, known: &CheckContext, judged: u32) -> Account {
    let (ledger, tally) = (case.ledger, case.tally);
    let invented = case.judged.invented.iter().filter_map(|sequence| ledger.entry(*sequence));
    let left_out = invented.filter(|entry| entry.sequence >= judged && case.judged.leaves_out(entry)).count() as u64;
    let warm_up = ledger.entries().take_while(|entry| entry.sequence < judged);
    let warm_up_errors = warm_up.filter(Entry::is_client_error).count() as u64;
    let count = |outcome: Outcome| {
        let count = tally.of_outcome(outcome);
        let examples: Vec<Witness> = case.witnesses(tally.examples.get(&outcome).map_or(&[], Vec::as_slice));
        (count > 0).then_some(OutcomeCount { outcome, count, examples })
    };
    Account {
        sent: tally.sent,
        outcomes: Outcome::ALL.into_iter().filter_map(count).collect(),
        backend_errors: tally.backend_errors,
        client_errors: tally.client_errors,
        attempts: tally.attempts,
        not_counted: NotCounted {
            warm_up: u64::from(judged),
            warm_up_errors,
            unexplained: ledger.unexplained,
            others: known.not_counted.others + ledger.unassigned,
            experiments: left_out,
            ..known.not_counted.clone()
        },
        urls: by_url(case, &known.plan.target),
    }
}

fn algorithm(case: &Case, plan: &CheckPlan) -> AlgorithmReport {
    let inference = case.inference;
    // Whoever was avoided while experiments were made looks like one with a rule of its own, and need not have one.
    let is_avoided = |name: &String| case.fleets.unsteady.contains(name);
    let is_left =
        matches!(&inference.selection, Selection::RotationBesides { others, .. } if others.iter().any(is_avoided));
    let has_keys = !plan.affinity.headers.is_empty() || !plan.affinity.cookies.is_empty();
    AlgorithmReport {
        name: inference.kind.map(|kind| kind.name().to_owned()),
        selection: inference.selection.clone(),
        label: String::new(),
        or: inference.or.iter().map(|kind| kind.name().to_owned()).collect(),
        rotations: inference.rotations,
        experiments: inference.evidence.clone(),
        remark: inference.remark.filter(|_| !is_left).map(|remark| match remark {
            AlgorithmRemark::Ring if has_keys => AlgorithmRemark::RingOfAnotherKey,
            other => other,
        }),
        evidence: Vec::new(),
        hint: None,
    }
}

/// What stands in between, as it says in responses, or as its own pages are known; none if it does not.
fn by_responses(received: &ReceivedResponses) -> Option<String> {
    let names: Vec<&str> = received.servers.iter().chain(&received.vias).map(String::as_str).collect();
    if names.is_empty() {
        return received.words.iter().find_map(|it| hints::balancer_of_page(&it.text)).map(str::to_owned);
    }
    Some(names.join(", "))
}

fn variation(vary: &Vary) -> Option<Variation> {
    let (clients, by) = match vary {
        Vary::Nothing => return None,
        Vary::Source { clients } => (*clients, VariedPart::Source),
        Vary::Path { clients, .. } => (*clients, VariedPart::Path),
        Vary::Header { name, clients } => (*clients, VariedPart::Header(name.clone())),
        Vary::Cookie { name, clients } => (*clients, VariedPart::Cookie(name.clone())),
        Vary::Session { clients, .. } => (*clients, VariedPart::Session),
        Vary::Jar { clients } => (*clients, VariedPart::Cookies),
    };
    Some(Variation { clients, by })
}
