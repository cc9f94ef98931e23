//! One check from its first request to its last: meet a backend, warm up, experiment, take the sample. What all of it means is
//! judged afterwards.

mod avoided;
mod certificates;
mod crowding;
mod diagnosis;
mod meet;
mod sample;
mod slowly;
mod streams;
mod warm_up;

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use anyhow::Result;
use tokio::task::spawn_blocking;

use crate::check::grpc;
use crate::check::load::{Load, Traffic, drive};
use crate::check::phases::meet::Met;
use crate::check::plan::{CheckPlan, Experiments};
use crate::check::scenario::{self, StepResult};
use crate::check::session::{CheckSession, SessionData};
use crate::report::hints;
use verdict::algorithm::experiments::{self, Setting};
use verdict::algorithm::{Evidence, Missing, SkipReason};
use verdict::limit::SlowTrial;
use verdict::observation::Observation;

/// What the experiments may take, if nobody says it.
const EXPERIMENTS: Duration = Duration::from_secs(20);
/// All that comes before the sample, as `--help` says it; the experiments have what is left of it, and a little where nothing is.
const BEFORE_SAMPLE: Duration = Duration::from_secs(30);
/// Fewer requests show nothing of the algorithm: the sample needs them more.
const LEAST_REQUESTS: u64 = 16;
const LEAST_EXPERIMENTS: Duration = Duration::from_secs(4);
/// A balancer that sends requests twice may do so two seconds later: what is judged goes on for that long, or its end is waited for.
const LATE_COPY: Duration = Duration::from_millis(2200);

pub(crate) async fn run(mut session: CheckSession<'_>) -> Result<SessionData> {
    if let Some(streams) = session.plan.streams {
        return streams::run(session, &streams).await;
    }
    let begun = Instant::now();
    session.watch.enter("waiting for a backend's response");
    let met = meet::meet(&mut session).await?;
    let backends = session.takers();
    if met == Met::Backend {
        crowding::look(&mut session).await?;
    }
    warm_up(&mut session, met, backends).await?;
    let judged = session.client.next_sequence();
    let judged_since = Instant::now();
    session.watch.enter("identifying how the balancer selects backends");
    let evidence = experiment(&mut session, backends, met, begun.elapsed()).await?;
    let avoided = avoided::wait(&mut session, backends, BEFORE_SAMPLE.saturating_sub(begun.elapsed())).await?;
    let inference = evidence.infer(&session.client.names());
    let sampled = session.client.next_sequence();
    let load = sample::load(&session, &inference, sampled)?;
    // Those of the experiments would take the places of the sample's.
    session.client.with(|prober, _| prober.hang_up_all());
    session.begin_sample(sampled as u32);
    session.watch.enter("taking the sample");
    session.watch.total.store(load.requests.unwrap_or(0), Ordering::Relaxed);
    let (traffic, steps) = take_sample(&mut session, load.clone()).await?;
    let sample = sampled as u32..(sampled as usize + traffic.observations.len()) as u32;
    let mut observations = traffic.observations;
    let mut connections = session.client.with(|prober, _| prober.connections().to_vec());
    connections.extend(traffic.connections);
    let (urls, mut invented) = (traffic.targets, session.client.invented());
    // Of the experiments too: those that they caused to fail.
    invented.extend(avoided);
    invented.sort_unstable();
    let mut received = session.client.with(|prober, _| traffic.samples.received(prober.samples()));
    received.connection_limit = session.connection_limit;
    // Ten million of them are not copied.
    session.client.with(|prober, _| observations.splice(0..0, prober.observations().iter().copied()).for_each(drop));
    let slow_trial = try_slowly(&mut session, sampled, &mut observations, &mut invented).await?;
    let identity = session.named_by();
    session.watch.enter("reading the backends' records");
    let fleets = session.fleets().cloned();
    let quiet = (LATE_COPY * 2).saturating_sub(judged_since.elapsed()).min(LATE_COPY);
    let records = session.take_records(quiet).await;
    let tls = certificates::of_session(&session, fleets.as_ref(), records.as_ref(), &load.vary).await;
    Ok(SessionData {
        tls,
        observations,
        connections,
        judged: judged as u32,
        invented,
        sample,
        urls,
        received,
        slow_trial,
        names: session.client.names(),
        backends: session.backends,
        evidence,
        steps,
        load,
        started: traffic.started,
        ended: traffic.ended,
        identity,
        records,
        streams: None,
    })
}

async fn warm_up(session: &mut CheckSession<'_>, met: Met, backends: Option<usize>) -> Result<()> {
    session.watch.enter("warming up until the same backends answer");
    let mended = session.young.iter().map(|(_, ago)| *ago).min();
    let environment = &session.plan.environment;
    let avoids = environment.keeps_away.map(|it| it.time.as_secs_f64());
    let how_long = hints::of_avoidance_by(avoids, environment.balancer.as_deref());
    for (backend, age) in &session.young {
        session.watch.announce(&format!(
            "{backend} was broken until {:.1} s ago: a balancer may still avoid it for that, {how_long}",
            age.as_secs_f64()
        ));
    }
    if met == Met::Backend {
        let most = session.warm_up_budget();
        session.on_client(move |live| warm_up::warm_up(live, backends, mended, most)).await?;
    }
    Ok(())
}

/// A few requests more, slowly, where the sample may have met a rate limit: what that shows.
async fn try_slowly(
    session: &mut CheckSession<'_>,
    sampled: u64,
    observations: &mut Vec<Observation>,
    invented: &mut Vec<u32>,
) -> Result<Option<SlowTrial>> {
    let sample = &observations[sampled as usize..];
    let is_wanted = session.plan.scenario.steps.is_empty() && session.plan.load.budget.is_none();
    let Some(status) = slowly::refusal(sample).filter(|_| is_wanted) else {
        return Ok(None);
    };
    session.watch.enter("sending a few requests slowly: is it a rate limit?");
    let first = observations.len() as u64;
    let (slow, trial) = slowly::probe(session, first, sample, status).await?;
    // They are given less time than the user's own, and tell what a limit is: nobody's request fails here.
    invented.extend(observations.len() as u32..(observations.len() + slow.len()) as u32);
    observations.extend(slow);
    Ok(Some(trial))
}

/// `gone`: the time since the check began.
async fn experiment(
    session: &mut CheckSession<'_>,
    backends: Option<usize>,
    met: Met,
    gone: Duration,
) -> Result<Evidence> {
    if met == Met::NothingWhole {
        return Ok(Evidence { backends, missing: Missing::all(SkipReason::NothingWhole), ..Evidence::default() });
    }
    let CheckPlan { load, request, affinity, scenario, .. } = session.plan;
    let budget = match load.experiments {
        Experiments::Usual => EXPERIMENTS.min(BEFORE_SAMPLE.saturating_sub(gone)).max(LEAST_EXPERIMENTS),
        Experiments::For(budget) => budget,
        Experiments::Off => Duration::ZERO,
    };
    let requests = session.budget_left().map(|left| left / 2);
    if requests.is_some_and(|requests| requests < LEAST_REQUESTS) {
        return Ok(Evidence { backends, missing: Missing::all(SkipReason::NoRequests), ..Evidence::default() });
    }
    let ours = session.identity.is_fleet();
    let is_call = request.grpc;
    if !ours && !budget.is_zero() {
        session.watch.announce(&format!(
            "experiments: up to {} s of your own requests, with headers and cookies that differ; --no-experiments leaves them out",
            budget.as_secs()
        ));
    }
    let own_headers = || request.headers.iter().map(|(name, _)| name.clone());
    let setting = Setting {
        backends,
        // Another path is another method, of which nobody knows whether it exists.
        keeps_path: match (ours, is_call) {
            (false, _) => Some(SkipReason::NotOurs),
            (true, true) => Some(SkipReason::Call),
            (true, false) => None,
        },
        can_hold: ours && (!is_call || session.client.target().path == grpc::METHOD),
        patience: session.plan.environment.patience,
        headers: affinity.headers.clone(),
        cookies: affinity.cookies.clone(),
        own_headers: own_headers().filter(|it| is_varied(it)).collect(),
        kept_headers: own_headers().filter(|it| decides_who_asks(it)).collect(),
        has_query: session.client.target().path.contains('?'),
        has_body: ours && !is_call && request.bodies.iter().any(|body| body.len() > 1),
        rate: load.rate,
        requests,
        connections: session.connection_limit.map(|limit| limit.at_once as usize),
        is_followed: scenario.steps.is_empty(),
        budget,
    };
    session.on_client(move |live| experiments::run(live, &setting)).await
}

/// Headers that say who asks and whom: another value would be refused, or locks somebody out.
fn decides_who_asks(name: &str) -> bool {
    ["Host", "Cookie", "Authorization", "Proxy-Authorization"].iter().any(|it| it.eq_ignore_ascii_case(name))
}

/// Whether its value may be another one without making the request another one.
fn is_varied(name: &str) -> bool {
    const FRAMING: [&str; 6] = ["TE", "Range", "Expect", "Upgrade", "Connection", "Accept-Encoding"];
    let is_of = |names: &[&str]| names.iter().any(|it| it.eq_ignore_ascii_case(name));
    let lower = name.to_ascii_lowercase();
    !decides_who_asks(name) && !is_of(&FRAMING) && !lower.starts_with("content-") && !lower.starts_with("if-")
}

/// Drives the load on a thread of its own, while the scenario is carried out.
async fn take_sample(session: &mut CheckSession<'_>, load: Load) -> Result<(Traffic, Vec<StepResult>)> {
    let fleets = session.fleets().cloned();
    let (steps, hosts) = (session.plan.scenario.steps.clone(), session.plan.environment.hosts.clone());
    let progress = session.watch.progress.clone();
    let client = session.client.clone();
    let start = tokio::time::Instant::now();
    let driving = spawn_blocking(move || client.with(|_, backends| drive(&load, backends, &progress)));
    let (driving, end) = scenario::run::ending(driving);
    let both = async { tokio::join!(driving, scenario::run::run(steps, fleets, hosts, (start, end))) };
    let (traffic, steps) = session.collecting(both).await;
    Ok((traffic??, steps))
}
