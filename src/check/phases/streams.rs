//! A check of streams: they are opened at once and held, while the scenario is carried out. No experiments, for each is a selection
//! of its own and lives on.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use anyhow::Result;
use tokio::task::spawn_blocking;

use crate::check::load::stream_load::StreamLoad;
use crate::check::load::streams::{StreamTraffic, hold};
use crate::check::load::{Load, Pacing, Reuse, Vary};
use crate::check::phases::{certificates, meet};
use crate::check::plan::StreamPlan;
use crate::check::scenario;
use crate::check::session::{CheckSession, SessionData};
use verdict::algorithm::Evidence;
use verdict::observation::{ClientOutcome, Observation};

pub(crate) async fn run(mut session: CheckSession<'_>, streams: &StreamPlan) -> Result<SessionData> {
    let plan = session.plan;
    let backends = session.takers();
    let evidence = Evidence { backends, ..Evidence::default() };
    let mut load = stream_load(&session, streams)?;
    session.watch.enter("waiting for a backend's response");
    let mut before = open_one(&mut session, &load).await?;
    load.first += before.len() as u64;
    session.begin_sample(load.first as u32);
    session.watch.enter("holding streams open");
    session.watch.total.store(load.streams as u64, Ordering::Relaxed);
    let fleets = session.fleets().cloned();
    let (steps, hosts) = (plan.scenario.steps.clone(), plan.environment.hosts.clone());
    let progress = session.watch.progress.clone();
    let client = session.client.clone();
    let start = tokio::time::Instant::now();
    let held = load.clone();
    let holding = spawn_blocking(move || client.with(|_, backends| hold(&held, backends, &progress)));
    let (holding, end) = scenario::run::ending(holding);
    let both = async { tokio::join!(holding, scenario::run::run(steps, fleets, hosts, (start, end))) };
    let (traffic, steps) = session.collecting(both).await;
    let StreamTraffic { observations, streams: seen, samples, started, ended, lateness } = traffic??;
    let received = session.client.with(|prober, _| samples.received(prober.samples()));
    let identity = session.named_by();
    session.watch.enter("reading the backends' records");
    let fleets = session.fleets().cloned();
    let records = session.take_records(Duration::ZERO).await;
    let tls = certificates::of_session(&session, fleets.as_ref(), records.as_ref(), &Vary::Nothing).await;
    let sample = load.first as u32..(load.first as usize + observations.len()) as u32;
    before.extend(observations);
    Ok(SessionData {
        connections: Vec::new(),
        tls,
        observations: before,
        judged: load.first as u32,
        invented: Vec::new(),
        sample,
        urls: Vec::new(),
        received,
        slow_trial: None,
        names: session.client.names(),
        backends: session.backends,
        evidence,
        steps,
        load: Load {
            connections: load.streams,
            reuse: Reuse::New,
            pacing: Pacing::Closed,
            vary: Vary::Nothing,
            duration: Some(load.duration),
            ..Load::new(load.target.clone(), load.run)
        },
        started,
        ended,
        identity,
        records,
        streams: Some((seen, lateness)),
    })
}

fn stream_load(session: &CheckSession, streams: &StreamPlan) -> Result<StreamLoad> {
    let plan = session.plan;
    Ok(StreamLoad {
        target: session.client.target().clone(),
        run: session.run,
        first: session.client.next_sequence(),
        request: Arc::new(plan.request.spec()),
        identity: session.identity.clone(),
        kind: streams.kind,
        streams: streams.count,
        every: streams.every,
        duration: streams.duration,
        patience: plan.load.timeout,
        reopens: !plan.scenario.steps.is_empty(),
        only_opens: false,
    })
}

/// A balancer that has only just started may know no route and no backend yet.
const PATIENCE: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(200);

/// Opens one stream after the other until a backend responds; what lasts is seen in the sample.
async fn open_one(session: &mut CheckSession<'_>, load: &StreamLoad) -> Result<Vec<Observation>> {
    let mut met: Vec<Observation> = Vec::new();
    let begun = Instant::now();
    loop {
        let first = load.first + met.len() as u64;
        let one = StreamLoad { first, streams: 1, only_opens: true, reopens: false, ..load.clone() };
        let (client, progress) = (session.client.clone(), session.watch.progress.clone());
        let holding = spawn_blocking(move || client.with(|_, backends| hold(&one, backends, &progress)));
        let observations = session.collecting(holding).await??.observations;
        let Some(last) = observations.last().copied() else { return Ok(met) };
        met.extend(observations);
        let may_change = matches!(last.status, 0 | 404 | 502..=504) && !last.backend.is_known();
        let patience = if last.outcome == ClientOutcome::TlsFailed { meet::ROUTES } else { PATIENCE };
        if !may_change || begun.elapsed() >= patience {
            if last.status == 0 {
                meet::refuse_unmet(session).await?;
            }
            return Ok(met);
        }
        tokio::time::sleep(PAUSE).await;
    }
}
