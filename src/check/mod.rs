//! `check`: drive requests through a balancer, join both ends of each, judge, report.

mod announce;
mod assemble;
mod backing;
mod collector;
mod describe;
mod figures;
pub mod load;
pub(crate) mod plan;
pub(crate) mod scenario;
mod session;
mod subject;
mod target;
mod visitor;

use std::time::Duration;

use anyhow::{Result, bail};
use uuid::Uuid;

use crate::io::clock;
use assemble::{Known, assemble};
use backing::Found;
pub(crate) use backing::{Started, start as start_fleet};
use collector::{Collected, Collector};
use load::{Identity, Target};
use plan::Plan;
use session::Session;
pub(crate) use session::Watch;
use verdict::ledger::{Ledger, Records};
use verdict::report::{Check, Fleet, Report, VERSION};
pub(crate) use visitor::{Visited, Visitor};

/// Attempts that are in flight when the sample has ended may take so long to end: those at a backend that was paused, say.
const SETTLE: Duration = Duration::from_secs(2);

/// Runs checks one after the other. An error means that one of them could not be run.
pub(crate) async fn run(plans: &[Plan], watch: &Watch) -> Result<Report> {
    let started = clock::calendar();
    let mut checks = Vec::new();
    for plan in plans {
        checks.push(run_one(plan, watch).await?);
        if watch.progress.is_stopping() {
            break;
        }
    }
    let time = jiff::Timestamp::from_nanosecond(i128::from(started.unix))?;
    Ok(Report {
        version: VERSION,
        tool: concat!("uuid-generator ", env!("CARGO_PKG_VERSION")).to_owned(),
        started: format!("{time:.3}"),
        verdict: checks.iter().map(|check| check.verdict).max().unwrap_or(verdict::report::Verdict::Inconclusive),
        checks,
    })
}

async fn run_one(plan: &Plan, watch: &Watch) -> Result<Check> {
    let found = backing::find(&plan.backends).await?;
    let target = target::resolve(&plan.url, &plan.trust, plan.timeout)?;
    let (check, started) = match found {
        Found::Fleet { remote, generators, ready, started } => {
            let names: Vec<String> = generators.iter().map(ToString::to_string).collect();
            refuse_a_backend(plan, &target, &names)?;
            refuse_misfits(plan, &names, ready)?;
            let run = new_run();
            let mut collector = Collector::begin(remote.clone(), run, generators).await?;
            let session = Session::new(plan, target, run, Identity::Fleet, names.clone(), Some(ready), watch);
            let ran = tokio::select! {
                ran = session.run(Some(&mut collector)) => ran,
                () = announce::tell(&remote, &plan.url, watch), if remote.is_own() => unreachable!("it tells without end"),
            };
            let mut outcome = match ran {
                Ok(outcome) => outcome,
                Err(error) => {
                    if remote.is_own() {
                        announce::tell_error(&remote, &plan.url, &error).await;
                    }
                    return Err(error);
                }
            };
            collector.settle(SETTLE).await;
            let fleet = Some(Fleet { control: collector.remote().control().to_owned(), backends: names });
            let Collected { arrivals, beside, gaps } = collector.finish();
            let ledger = Ledger::join(std::mem::take(&mut outcome.observations), arrivals, Records::Kept);
            let known = Known { plan, run, fleet, members: Some(ready), beside, gaps };
            let check = assemble(&ledger, outcome, known);
            if remote.is_own() {
                announce::tell_result(&remote, &check).await;
            }
            (check, started)
        }
        Found::Others(identity) => {
            refuse_drills(plan)?;
            let run = new_run();
            let session = Session::new(plan, target, run, identity, Vec::new(), None, watch);
            let mut outcome = session.run(None).await?;
            let ledger = Ledger::join(std::mem::take(&mut outcome.observations), Vec::new(), Records::None);
            let known = Known { plan, run, fleet: None, members: None, beside: Default::default(), gaps: Vec::new() };
            (assemble(&ledger, outcome, known), None)
        }
    };
    if let Some(fleet) = started {
        Started::end(fleet).await;
    }
    Ok(check)
}

fn new_run() -> u64 {
    Uuid::new_v4().as_u64_pair().0 | 1
}

/// A URL that is a backend's own is no balancer's.
fn refuse_a_backend(plan: &Plan, target: &Target, names: &[String]) -> Result<()> {
    let port = target.address.port().to_string();
    if target.address.ip().is_loopback() && names.contains(&port) {
        bail!(
            "{}: that is backend {port} itself, there is no balancer between\n  hint: give the URL at which the balancer listens, \
             such as http://localhost:8080/uuid",
            plan.url
        );
    }
    Ok(())
}

/// Weights must fit the fleet, and the plan must name its backends.
fn refuse_misfits(plan: &Plan, names: &[String], ready: usize) -> Result<()> {
    if let Err(why) = plan.expectations.shares(&names[..ready]) {
        bail!("--expect {why}");
    }
    if let Some(unknown) = plan.expectations.backups.iter().find(|backup| !names.contains(backup)) {
        bail!("--expect backup:{unknown}: the fleet has no backend {unknown}, only {}", names.join(", "));
    }
    let unknown =
        plan.scenario.steps.iter().filter_map(|step| step.backend).find(|it| !names.contains(&it.to_string()));
    if let Some(unknown) = unknown {
        bail!("--outage: the fleet has no backend {unknown}, only {}", names.join(", "));
    }
    Ok(())
}

fn refuse_drills(plan: &Plan) -> Result<()> {
    let needs_fleet = plan.scenario.steps.iter().find(|step| !matches!(step.action, scenario::StepAction::Command(_)));
    match needs_fleet {
        Some(step) => bail!(
            "--outage {step}: only backends of a fleet can be broken, and none was found\n  hint: start one (uuid-generator), or use \
             --during with a command of yours"
        ),
        None => Ok(()),
    }
}
