//! `check`: which checks are meant, a balancer for them if one is asked for, and the verdict as exit status.

mod dry_run;
pub(super) mod expect;
pub(super) mod interrupt;
mod progress;
mod wait;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use tokio::time::timeout;

use expect::KnownFleet;
use progress::ProgressLine;
use wait::Wait;

use super::choice::choices;
use super::print::print;
use super::private::{DATA, Private};
use super::reports::{detail, outputs, status, with_reports, write};
use crate::args::check::CheckArgs;
use crate::balancer::path::on_path;
use crate::check::plan::{Backing, CheckPlan, Trust};
use crate::check::{self, CheckWatch};
use crate::config::check::CheckConfig;
use crate::config::fleet::checks_of_file;
use crate::config::output;
use crate::config::text::Count;
use crate::error::{Interrupted, Problem};
use crate::fleets::Fleets;
use crate::rehearse::copy::PrivateCopy;
use crate::remote::{FleetChoice, Which};
use crate::report::Detail;
use crate::stack::{Front, Setup, Stack};
use crate::topology::Address;
use crate::wire::{BackendState, BackendStatus, Time};
use verdict::report::Report;
use verdict::surroundings::Surrounding;

/// Of the API of a fleet that is started for a check.
const ANY_PORT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
/// For backends that are to be ready.
const USUAL_WAIT: Duration = Duration::from_secs(60);
/// The balancer and the fleet of a check that was interrupted have that long to end.
const GRACE: Duration = Duration::from_millis(700);

/// Enters a private copy of this machine if a file of the user's own is to be run: it collides with nothing that runs here.
/// Returns if it is not, or where that cannot be.
pub(super) fn enter(args: &CheckArgs) -> Result<()> {
    with_reports(&args.report, args.dry_run, enter_private(args))
}

fn enter_private(args: &CheckArgs) -> Result<()> {
    let (Some(with), Some(file)) = (&args.with, &args.balancer_config) else { return Ok(()) };
    if args.within || args.dry_run {
        return Ok(());
    }
    // What was typed wrongly is reported before anything starts.
    Front::of(with, Some(file))?;
    let checks = checks_of_balancer(args)?;
    plans_before_start(args, &checks)?;
    let outputs = outputs(&args.report)?;
    if !file.is_file() {
        return Ok(());
    }
    if let Some(why) = world::refusal() {
        eprintln!("{why}: {with} runs among what runs here");
        return Ok(());
    }
    let mut visible: Vec<PathBuf> = checks.iter().flat_map(CheckConfig::files).collect();
    visible
        .extend([Some(file.as_path()), args.from.as_deref(), args.location.file()].into_iter().flatten().map(folder));
    let urls = checks.iter().flat_map(|check| check.url.clone()).collect();
    let program = on_path(with);
    Err(Private { own: vec![Path::new(DATA).join(with)], program, visible, urls }.enter(outputs)?)
}

/// The folder of a file, from the root.
fn folder(file: &Path) -> PathBuf {
    let file = std::path::absolute(file).unwrap_or_else(|_| file.to_owned());
    file.parent().map_or_else(|| file.clone(), Path::to_owned)
}

/// What the backends and the file need in the private copy.
fn settle(args: &CheckArgs, file: &Path) -> Result<PrivateCopy> {
    let topology = args.location.config().merge()?.topology()?;
    let (mut addresses, mut sockets) = (Vec::new(), Vec::new());
    for address in topology.generators().flat_map(|generator| topology.listens_on(generator)) {
        match address {
            Address::Tcp(host, _) => addresses.extend(host.fixed_addresses().unwrap_or_default()),
            Address::Unix(path) => sockets.push(path.display().to_string()),
        }
    }
    PrivateCopy::settle(&folder(file), &addresses, &sockets)
}

/// Runs the checks, writes their reports, and gives the verdict.
pub(super) async fn run(args: CheckArgs) -> Result<ExitCode> {
    with_reports(&args.report, args.dry_run, run_checks(&args).await)
}

async fn run_checks(args: &CheckArgs) -> Result<ExitCode> {
    let watch = Arc::new(CheckWatch::default());
    interrupt::stop_on_signals(&watch)?;
    let outputs = outputs(&args.report)?;
    if args.dry_run {
        let plans = match &args.with {
            Some(with) => {
                Front::of(with, args.balancer_config.as_deref())?;
                plans_before_start(args, &checks_of_balancer(args)?)?
            }
            None => {
                wait(args)?;
                let mut plans = plans_of_running(args)?;
                expect_from_file(args, None, &mut plans).await?;
                plans
            }
        };
        return print(dry_run::describe(&plans, args.with.as_deref()).as_bytes());
    }
    // Within a private copy they are open already.
    if !args.within {
        output::try_files(&outputs)?;
    }
    let report = match &args.with {
        Some(with) => with_balancer(args, with, &watch).await?,
        None => of_running(args, &watch).await?,
    };
    write(&report, &outputs, detail(&args.report))?;
    Ok(status(&report))
}

/// Checks a balancer that is already running.
async fn of_running(args: &CheckArgs, watch: &Arc<CheckWatch>) -> Result<Report> {
    let plans = plans_of_running(args)?;
    if let Some(wait) = wait(args)? {
        wait.run(&plans, watch).await?;
    }
    let has_outage = plans.iter().any(|plan| !plan.scenario.steps.is_empty());
    let result = judge(args, None, plans, watch).await;
    // A fleet that was started for the check ends with it; one that goes on is as the outage left it.
    match result {
        Err(error) if has_outage && !args.start => match error.downcast::<Interrupted>() {
            Ok(stopped) => Err(Interrupted { left: left_by_outage(args).await, ..stopped })?,
            Err(error) => Err(error),
        },
        result => result,
    }
}

/// What backends are not as they were, and the commands that bring them back.
async fn left_by_outage(args: &CheckArgs) -> String {
    let Ok(choices) = choices(&args.fleet) else { return String::new() };
    let statuses = match Fleets::find(&choices).await {
        Ok(fleets) => fleets.statuses().await,
        Err(_) => Vec::new(),
    };
    statuses.iter().flatten().flat_map(|fleet| &fleet.backends).filter_map(undo).collect()
}

/// A line for a backend that an outage has changed.
fn undo(backend: &BackendStatus) -> Option<String> {
    let name = &backend.name;
    let (what, cure) = match backend.state {
        BackendState::Gone | BackendState::Draining => (backend.state.to_string(), format!("fleet start {name}")),
        BackendState::Paused => ("paused".to_owned(), format!("fleet resume {name}")),
        BackendState::Unready => ("unready".to_owned(), format!("fleet ready {name}")),
        BackendState::Starting | BackendState::Ready if backend.faults.is_empty() => return None,
        BackendState::Starting | BackendState::Ready => ("faulty".to_owned(), format!("fault {name} clear")),
    };
    Some(format!("\n  the outage left {name} {what}; back to normal: uuid-generator {cure}"))
}

/// What is waited for, if anything is.
fn wait(args: &CheckArgs) -> Result<Option<Wait>, Problem> {
    if args.ready.is_some() && !matches!(backing(args)?, Backing::Fleets(_)) {
        return Err(Problem::new("--ready counts the backends of fleets that are named").hint("name them with --fleet"));
    }
    let time = args.wait.map(|Time(time)| time).or(args.ready.map(|_| USUAL_WAIT));
    Ok(time.map(|time| Wait { time, ready: args.ready.map(|Count(count)| count) }))
}

fn plans_of_running(args: &CheckArgs) -> Result<Vec<CheckPlan>, Problem> {
    let given = args.location.given();
    if !given.is_empty() && !args.start {
        let are = if given.len() == 1 { "is" } else { "are" };
        let what = format!("{} {are} for a fleet that this command starts", given.join(" and "));
        return Err(Problem::new(what).hint("add --start or --with"));
    }
    if let Some(file) = args.location.file().filter(|_| !args.start && !args.check.url.is_empty()) {
        return Err(Problem::new("the checks of a file have their own URLs, and one was typed")
            .on(format!("--config {}", file.display()))
            .hint("leave out the URL to run the checks of the file, or the file to check the URL"));
    }
    if !args.balancing.is_empty() {
        return Err(Problem::new(
            "--algorithm, --retries and the other options of balancing are for a balancer that this command starts",
        )
        .hint("start one --with nginx, or say what the running one must do with --expect"));
    }
    let backing = backing(args)?;
    let examined = |plan: CheckPlan| {
        let in_check = |problem: Problem| match &plan.name {
            Some(name) => problem.within(format!("check {name}")),
            None => problem,
        };
        check::examine(&plan).map_err(in_check)?;
        Ok(plan)
    };
    // Without a URL the checks are those of a file.
    let source = file(args).filter(|_| args.check.url.is_empty());
    let of_file = |problem: Problem| match source {
        Some(file) => problem.within(file.display()),
        None => problem,
    };
    let plan = |check: CheckConfig| check.resolve(&backing).and_then(examined).map_err(of_file);
    checks(args)?.into_iter().map(plan).collect()
}

/// What is typed wrongly is reported before anything starts. The URL is not known yet.
fn plans_before_start(args: &CheckArgs, checks: &[CheckConfig]) -> Result<Vec<CheckPlan>> {
    refuse_contradictions(args)?;
    refuse_urls(args, checks)?;
    let url = if args.balancing.speaks_grpc() { "grpc://localhost/" } else { "http://localhost/" };
    let plans = checks.iter().map(|check| check.clone().at(url).resolve(&Backing::Any));
    let mut plans = plans.collect::<Result<Vec<_>, _>>()?;
    expect::from_file(args, KnownFleet::Nothing, &mut plans)?;
    Ok(plans)
}

/// A balancer on any free port is not where a file says that one listens.
fn refuse_urls(args: &CheckArgs, checks: &[CheckConfig]) -> Result<(), Problem> {
    let has_own_url = args.balancer_config.is_none() && args.listen.is_none();
    let Some(url) = checks.iter().find_map(|check| check.url.first()).filter(|_| has_own_url) else { return Ok(()) };
    Err(Problem::new(format!("the file has the URL {url}, and the balancer that is started has its own URL"))
        .hint("leave the url out, or start the balancer where it points, such as with --listen 8080"))
}

/// Starts a fleet and a balancer, checks it, and stops both.
async fn with_balancer(args: &CheckArgs, with: &str, watch: &Arc<CheckWatch>) -> Result<Report> {
    let front = Front::of(with, args.balancer_config.as_deref())?;
    let checks = checks_of_balancer(args)?;
    plans_before_start(args, &checks)?;
    let balancing = args.balancing.clone();
    let setup = Setup {
        location: args.location.clone(),
        keeps_names: true,
        balancing: if checks.iter().any(CheckConfig::speaks_http2) { balancing.for_http2() } else { balancing },
        port: args.listen,
        control: Some(ANY_PORT),
    };
    let copy = match &args.balancer_config {
        Some(file) if args.within => Some(settle(args, file)?),
        Some(_) | None => None,
    };
    let stack = tokio::select! {
        stack = Stack::start(&front, &setup) => stack?,
        () = watch.stopped() => return Err(Interrupted::new(watch.stopped_with(), 0))?,
    };
    let fleet: Vec<u16> = stack.topology.generators().map(|generator| generator.0).collect();
    let notes = copy.map(|copy| copy.notes()).unwrap_or_default();
    let result = match plans_on(args, checks, &stack, &notes) {
        Ok(plans) => tokio::select! {
            result = judge(args, Some(&fleet), plans, watch) => result,
            problem = stack.lost() => Err(problem.into()),
        },
        Err(problem) => Err(problem.into()),
    };
    let stopped = result.as_ref().is_err_and(|error| error.is::<Interrupted>());
    if stopped {
        // What does not end in time is killed with the process that holds it.
        drop(timeout(GRACE, stack.stop()).await);
    } else {
        stack.stop().await;
    }
    result
}

fn refuse_contradictions(args: &CheckArgs) -> Result<(), Problem> {
    let own = args.balancer_config.is_some();
    if !args.check.url.is_empty() && !own {
        return Err(Problem::new("a URL and --with: the balancer that is started has its own URL"));
    }
    if args.from.is_some() && !own {
        return Err(Problem::new(
            "--from and --with: the balancer that is started is expected to do what it is configured to do",
        )
        .hint("--balancer-config runs a file of your own"));
    }
    if own && !args.balancing.is_empty() {
        return Err(Problem::new(
            "--balancer-config and --algorithm, --retries or other options of balancing: the file configures that",
        )
        .hint("say what the balancer must do with --expect, or read it from the file with --from"));
    }
    Ok(())
}

fn plans_on(
    args: &CheckArgs,
    checks: Vec<CheckConfig>,
    stack: &Stack,
    notes: &[Surrounding],
) -> Result<Vec<CheckPlan>, Problem> {
    let backing = Backing::Ours(FleetChoice::supervisor(stack.supervisor));
    let plan = |check: CheckConfig| {
        let has_tolerance = check.tolerance.is_some();
        let mut plan = check.at(&stack.check_url()).resolve(&backing)?;
        if plan.target.trust == Trust::Machine {
            plan.target.trust = stack.trust();
        }
        plan.environment.balancer = Some(stack.front.balancer.title.to_owned());
        plan.environment.surroundings = notes.to_vec();
        plan.environment.keeps_away = stack.keeps_away();
        // What a file of the user's own configures is not known here.
        if args.balancer_config.is_none() {
            expect::from_stack(stack, &mut plan, has_tolerance);
        }
        if let Some((pid, directory)) = stack.balancer() {
            plan.scenario.place(&[("{pid}", &pid.to_string()), ("{directory}", &directory.to_string_lossy())]);
        }
        Ok(plan)
    };
    checks.into_iter().map(plan).collect()
}

/// Checks, shows progress, and stops when a signal comes: then nothing is judged.
async fn judge(
    args: &CheckArgs,
    fleet: Option<&[u16]>,
    mut plans: Vec<CheckPlan>,
    watch: &Arc<CheckWatch>,
) -> Result<Report> {
    expect_from_file(args, fleet, &mut plans).await?;
    drive(&plans, detail(&args.report), watch, args.ledger.as_deref()).await
}

/// Expects what the file of `--from` says of the fleet: the one that was started, or the one that runs.
async fn expect_from_file(args: &CheckArgs, fleet: Option<&[u16]>, plans: &mut [CheckPlan]) -> Result<()> {
    // Where nothing is found the check itself says so.
    let running = match (fleet, &args.from) {
        (None, Some(_)) if !args.start => Fleets::find(&choices(&args.fleet)?).await.ok(),
        _ => None,
    };
    let known = match (fleet, &running) {
        (Some(ports), _) => KnownFleet::Started(ports),
        (None, Some(fleets)) => KnownFleet::Running(fleets),
        (None, None) => KnownFleet::Nothing,
    };
    for remark in expect::from_file(args, known, plans)? {
        eprintln!("not understood, and not judged: {remark}");
    }
    Ok(())
}

/// The checks themselves, with their progress.
pub(super) async fn drive(
    plans: &[CheckPlan],
    detail: Detail,
    watch: &Arc<CheckWatch>,
    ledger: Option<&Path>,
) -> Result<Report> {
    let progress = ProgressLine::show(watch.clone(), detail);
    let run = check::run(plans, watch, ledger).await;
    drop(progress);
    match run? {
        check::RunEnd::Judged(report) => Ok(report),
        check::RunEnd::Stopped { requests } => Err(Interrupted::new(watch.stopped_with(), requests))?,
    }
}

fn backing(args: &CheckArgs) -> Result<Backing, Problem> {
    if args.start {
        let arguments = [format!("--control={ANY_PORT}")].into_iter().chain(args.location.arguments());
        return Ok(Backing::Started(arguments.collect()));
    }
    let choices = choices(&args.fleet)?;
    let is_named = choices.iter().any(|choice| choice.which != Which::Any);
    Ok(if is_named { Backing::Fleets(choices) } else { Backing::Any })
}

/// The file with checks, if there is one.
fn file(args: &CheckArgs) -> Option<&Path> {
    let usual = Path::new(crate::config::FILE);
    args.location.file().or(usual.exists().then_some(usual))
}

/// Those of the file, each beneath the command line.
fn merge(args: &CheckArgs, file: &Path) -> Result<Vec<CheckConfig>, Problem> {
    Ok(checks_of_file(file)?.into_iter().map(|check| args.check.clone().over(check)).collect())
}

/// Of the balancer that is started: those of the file, or the one of the command line.
fn checks_of_balancer(args: &CheckArgs) -> Result<Vec<CheckConfig>, Problem> {
    let checks = match file(args) {
        Some(file) if args.check.url.is_empty() => merge(args, file)?,
        _ => Vec::new(),
    };
    Ok(if checks.is_empty() { vec![args.check.clone()] } else { checks })
}

/// The one of the command line, or those of the file.
fn checks(args: &CheckArgs) -> Result<Vec<CheckConfig>, Problem> {
    if !args.check.url.is_empty() {
        return Ok(vec![args.check.clone()]);
    }
    let no_url = || {
        Problem::new("no URL").hint(format!(
            "give the URL of the balancer, such as http://localhost:8080/uuid, or tables [[check]] in {}",
            crate::config::FILE
        ))
    };
    let file = file(args).ok_or_else(no_url)?;
    let checks = merge(args, file)?;
    if checks.is_empty() {
        return Err(Problem::new("has no table [[check]]")
            .on(file.display())
            .hint("add one with a url, or give the URL of the balancer"));
    }
    Ok(checks)
}
