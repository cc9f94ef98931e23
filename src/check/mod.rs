//! `check`: drive requests through a balancer, join both ends of each, judge, report.

mod announce;
mod assemble;
mod backing;
mod client;
pub(crate) mod collecting;
mod collector;
mod condition;
mod counters;
mod figures;
pub(crate) mod grpc;
mod handshakes;
mod identities;
mod joined;
mod ledger_file;
pub(crate) mod load;
mod phases;
pub(crate) mod plan;
mod run_number;
pub(crate) mod scenario;
mod session;
mod subject;
mod target;
mod visitor;
mod watch;

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::error::{Problem, describe_for_report};
use crate::io::clock;
use crate::remote::Remote;
use crate::report::phrases;
use assemble::{CheckContext, assemble};
use backing::{FoundBackends, FoundFleet};
pub(crate) use backing::{Started, start as start_fleet};
use condition::Condition;
pub(crate) use figures::duration_of;
use joined::JoinedHosts;
use ledger_file::{LedgerFiles, LedgerOrigin};
use load::LoadTarget;
use plan::{Backing, CheckPlan};
use session::{CheckSession, SessionData};
use subject::is_local;
pub(crate) use target::{examine, is_secure};
use verdict::ledger::{BackendRecords, Ledger};
use verdict::report::{Check, FleetReport, Report};
use verdict::rules::ExpectedWeights;
pub(crate) use visitor::{CookieUse, Visited, Visitor};
pub(crate) use watch::CheckWatch;

pub(crate) enum RunEnd {
    Judged(Report),
    /// Somebody stopped it after that many requests: nothing is judged.
    Stopped {
        requests: u64,
    },
}

/// What makes reports.
const TOOL: &str = concat!("uuid-generator ", env!("CARGO_PKG_VERSION"));

/// Whoever stops a check does not wait for what is in flight in a fleet that was started for it.
const STOPPED: Duration = Duration::from_secs(1);

/// Runs checks one after the other. One that cannot be run holds up no other: it is an error of the report, or of the whole run if it is
/// the only check.
pub(crate) async fn run(plans: &[CheckPlan], watch: &CheckWatch, ledger: Option<&Path>) -> Result<RunEnd> {
    let started = clock::calendar();
    // What cannot be written is reported before anything is sent.
    let mut ledger = ledger.map(|path| LedgerFiles::create(path, started)).transpose()?;
    let (mut checks, mut errors) = (Vec::new(), Vec::new());
    let mut requests = 0;
    for plan in plans {
        watch.restart();
        match run_one(plan, watch, ledger.as_mut()).await {
            Ok(Some(check)) => checks.push(check),
            Ok(None) => return Ok(RunEnd::Stopped { requests: requests + watch.sent() }),
            Err(error) if plans.len() == 1 => return Err(error),
            Err(error) => {
                let name = plan.name.as_ref().unwrap_or(&plan.target.url);
                errors.push(describe_for_report(&error, Some(name.clone())));
            }
        }
        requests += watch.sent();
    }
    if let Some(ledger) = ledger {
        ledger.finish()?;
    }
    Ok(RunEnd::Judged(Report::new(TOOL, calendar_time(started.unix), checks, errors)))
}

/// The report of a command that could not run any check, or was stopped.
pub(crate) fn report_of_error(error: &anyhow::Error) -> Report {
    let errors = vec![describe_for_report(error, None)];
    Report::new(TOOL, calendar_time(clock::calendar().unix), Vec::new(), errors)
}

fn calendar_time(unix: u64) -> String {
    jiff::Timestamp::from_nanosecond(unix.into()).map(|time| format!("{time:.3}")).unwrap_or_default()
}

/// None if somebody stopped it.
async fn run_one(plan: &CheckPlan, watch: &CheckWatch, files: Option<&mut LedgerFiles>) -> Result<Option<Check>> {
    let begin = Instant::now();
    let mut found = tokio::select! {
        biased;
        () = watch.stopped() => return Ok(None),
        found = backing::find(&plan.backends) => found?,
    };
    let started = found.started.take();
    let check = tokio::select! {
        biased;
        () = watch.stopped() => Ok(None),
        check = check_found(plan, found, watch, files) => {
            check.map(|check| Some(Check { seconds: begin.elapsed().as_secs_f64(), ..check }))
        }
    };
    if let Some(started) = started {
        match check {
            Ok(None) => started.end_within(STOPPED).await,
            Ok(Some(_)) | Err(_) => started.end().await,
        }
    }
    check
}

async fn check_found(
    plan: &CheckPlan,
    found: FoundBackends,
    watch: &CheckWatch,
    files: Option<&mut LedgerFiles>,
) -> Result<Check> {
    let target = target::resolve(&plan.target.url, plan)?;
    refuse_hosts(plan)?;
    refuse_what_does_not_fit(plan, &target, found.fleet.as_ref())?;
    // A fleet of this user shows in its live view how its check goes.
    let remote =
        found.fleet.as_ref().map(|fleet| fleet.fleets.hosts[0].remote.clone()).filter(|remote| remote.is_own());
    let over_loopback = is_local(target.address.ip()) && target.clients.is_none() && !target.haproxy_protocol;
    let not_ready = found.fleet.as_ref().map(FoundFleet::not_ready).unwrap_or_default();
    let lasting = found.fleet.as_ref().filter(|_| !plan.backends.is_own()).map(|fleet| &fleet.fleets);
    let before = match lasting {
        Some(fleets) => Condition::of(fleets).await,
        None => Condition::default(),
    };
    before.faults().for_each(|line| watch.announce(&line));
    let session = CheckSession::begin(plan, target, found.fleet.as_ref(), found.identity, watch).await?;
    let run = session.run;
    let mut data = run_phases(session, remote.as_ref()).await?;
    if let Some(fleets) = lasting.filter(|_| !plan.scenario.steps.is_empty()) {
        Condition::of(fleets).await.since(&before).for_each(|line| watch.announce(&line));
    }
    let records = if data.records.is_some() { BackendRecords::Kept } else { BackendRecords::None };
    let mut collected = data.records.take().unwrap_or_default();
    let mut observed = std::mem::take(&mut data.observations);
    if let Some(deadline) = plan.sent().deadline() {
        verdict::grpc::give_up(&mut observed, deadline);
    }
    let JoinedHosts { facts: fleets, clocks, unrecorded } =
        joined::join(&mut collected, &mut observed, &data, plan.environment.keeps_away);
    let ledger = Ledger::join(observed, collected.arrivals, records).without_records_of(unrecorded).with_clocks(clocks);
    if let Some(files) = files {
        let (names, sample) = (data.names.as_slice(), data.sample.clone());
        let check = plan.name.as_deref().unwrap_or(&plan.target.url);
        files.write(&ledger, &LedgerOrigin { check, names, judged: data.judged, sample })?;
    }
    let fleet = collected.fleets.as_ref().map(|fleets| FleetReport {
        control: fleets.controls(),
        backends: fleets.listed(),
        not_ready,
    });
    let known = CheckContext {
        plan,
        run,
        fleet,
        own_fleet: plan.backends.is_own(),
        over_loopback,
        not_counted: collected.not_counted,
        gaps: collected.gaps,
        fleets,
        changes: collected.changes,
        others: collected.others,
        lived: collected.lived,
        other_clocks: collected.other_clocks,
    };
    let started = clock::rfc3339(data.started);
    let mut check = assemble(&ledger, data, known);
    check.traffic.started = started;
    phrases::spell(&mut check);
    if let Some(remote) = &remote {
        announce::result(remote, &check).await;
    }
    Ok(check)
}

/// Runs the phases of a check, and shows in the fleet's live view how they go.
async fn run_phases(session: CheckSession<'_>, remote: Option<&Remote>) -> Result<SessionData> {
    let (url, watch) = (&session.plan.target.url, session.watch);
    let data = tokio::select! {
        data = phases::run(session) => data,
        () = announce::progress(remote, url, watch) => unreachable!("it announces without end"),
    };
    if let (Err(error), Some(remote)) = (&data, remote) {
        announce::error(remote, url, error).await;
    }
    data
}

/// What can be known to be wrong before a request is sent.
fn refuse_what_does_not_fit(plan: &CheckPlan, target: &LoadTarget, fleet: Option<&FoundFleet>) -> Result<()> {
    let Some(fleet) = fleet else { return refuse_what_needs_a_fleet(plan) };
    target::refuse_a_backend(&plan.target.url, target, &fleet.names())?;
    refuse_misfits(plan, &fleet.names(), fleet.ready)
}

/// Weights must fit the fleet, and the plan must name its backends.
fn refuse_misfits(plan: &CheckPlan, names: &[String], ready: usize) -> Result<()> {
    if let Err(why) = plan.expectations.shares(&names[..ready]) {
        let (ready, others) = names.split_at(ready);
        if plan.expectations.shares(names).is_err() {
            let expected = plan.expectations.shares.as_ref().unwrap_or(&ExpectedWeights::Even);
            bail!("--expect {}", phrases::misfit(expected, &why));
        }
        let (are, them) = if others.len() == 1 { ("is", "it") } else { ("are", "them") };
        return Err(Problem::new(format!(
            "{} {are} not ready, and these shares are of all backends",
            others.join(", ")
        ))
        .on("--expect")
        .hint(format!("start {them} (uuid-generator fleet start), or expect shares of {} alone", ready.join(", ")))
        .into());
    }
    if let Some(unknown) = plan.expectations.backups.iter().find(|backup| !names.contains(backup)) {
        bail!("--expect backup:{unknown}: the fleet has no backend {unknown}, only {}", names.join(", "));
    }
    let unknown = plan.scenario.steps.iter().filter_map(|step| step.backend.as_ref()).find(|it| !names.contains(it));
    if let Some(unknown) = unknown {
        bail!("--outage: the fleet has no backend {unknown}, only {}", names.join(", "));
    }
    Ok(())
}

/// Of this machine's network a check changes nothing.
fn refuse_hosts(plan: &CheckPlan) -> Result<()> {
    match (plan.scenario.of_hosts().next(), &plan.environment.hosts) {
        (None, _) | (Some(_), Some(_)) => Ok(()),
        (Some(step), None) => Err(Problem::new("only a rehearsal can change how a host is reached")
            .on(format!("--outage {step}"))
            .hint("rehearse the balancer's file, or take pause: the process responds no more")
            .into()),
    }
}

fn refuse_what_needs_a_fleet(plan: &CheckPlan) -> Result<()> {
    if plan.streams.is_some() {
        let what = "streams are judged from both ends, and no fleet of this user runs";
        return Err(Problem::new(what)
            .on(&plan.target.url)
            .hint("start one (uuid-generator) behind the balancer")
            .into());
    }
    let needs_fleet = plan.scenario.steps.iter().find(|step| !matches!(step.action, scenario::StepAction::Command(_)));
    if let Some(step) = needs_fleet {
        return Err(Problem::new("only backends of a fleet can be broken, and none was found")
            .on(format!("--outage {step}"))
            .hint("start one (uuid-generator), or use --during with a command of yours")
            .into());
    }
    if let Some(ExpectedWeights::ByPlace(weights)) = &plan.expectations.shares {
        let named: Vec<String> =
            weights.iter().zip('a'..='z').map(|(weight, letter)| format!("NAME-{letter}={weight}")).collect();
        let what = match &plan.backends {
            Backing::Others(_) => "backends that are not ours have names, and no order",
            Backing::Any | Backing::Fleets(_) | Backing::Started(_) | Backing::Ours(_) => {
                "no fleet of this user runs, and other backends have names, but no order"
            }
        };
        return Err(Problem::new(what)
            .on(format!("--expect {}", ExpectedWeights::ByPlace(weights.clone())))
            .hint(format!("name them: --expect {}", named.join(",")))
            .into());
    }
    Ok(())
}
