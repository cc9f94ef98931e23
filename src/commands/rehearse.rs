//! `rehearse`: enters a world, has the rehearsal prepared there, and checks it.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use world::names::Size;

use super::check::{self as checking, expect, interrupt};
use super::print::print;
use super::private::{DATA, Private};
use super::reports;
use crate::args::rehearse::{CertificateChoice, RehearseArgs};
use crate::balancer::Balancer;
use crate::balancer::expected::Expected;
use crate::balancer::path::quoted;
use crate::balancer::read::{Configuration, Endpoint, Takes, Upstream, UpstreamMethod, UpstreamServer};
use crate::balancer::run::installed;
use crate::check::plan::{Backing, CheckPlan, Trust};
use crate::check::scenario::{HostControl, Reach, Scenario};
use crate::check::{CheckWatch, examine, is_secure};
use crate::error::{Interrupted, Problem};
use crate::rehearse::{self, RehearsalPlan, RehearsalState, UrlTarget};
use crate::remote::FleetChoice;
use crate::report::phrases::describe_surrounding;
use verdict::finding::{Finding, Level, Rule};
use verdict::report::{Report, Verdict};
use verdict::surroundings::Surrounding;

/// When another file takes the place of the first, since the sample began.
const RENEWED: Duration = Duration::from_secs(2);
/// Of one command: each but the first because the one before it met servers that nobody stood in for, or that had requests of the check.
const MOST_CHECKS: usize = 4;

/// Becomes the outermost process of a world, in which the same command does the work.
pub(super) fn run(args: RehearseArgs) -> Result<ExitCode> {
    let (report, is_dry) = (args.report.clone(), args.dry_run);
    reports::with_reports(&report, is_dry, enter(args))
}

fn enter(args: RehearseArgs) -> Result<ExitCode> {
    let order = order(&args)?;
    let outputs = reports::outputs(&args.report)?;
    // A copy has its files where production has them in a world alone.
    if args.dry_run && args.at.is_none() {
        return print(describe(&args, &order).as_bytes());
    }
    let mut visible = args.check.files();
    // What was typed may be a link to the file.
    let typed = std::path::absolute(&args.file).ok();
    visible.extend(typed.as_deref().and_then(Path::parent).map(Path::to_owned));
    visible.extend(order.file.parent().map(Path::to_owned));
    visible.push(order.file.clone());
    visible.extend(order.further.clone());
    visible.extend(order.then.clone());
    let private = Private {
        own: vec![data_of(&order)],
        program: installed::find(&order.balancer),
        visible,
        urls: order.urls.clone(),
    };
    Err(private.enter(outputs)?)
}

/// Where what was named is, from the root.
fn absolute(path: &Path) -> Result<PathBuf, Problem> {
    let refused = |what: String| {
        let problem = Problem::new(what).on(format!("failed to read {}", path.display()));
        problem.hint("name the file of the balancer that is to be rehearsed, such as /etc/nginx/nginx.conf")
    };
    let found = std::fs::canonicalize(path).map_err(|why| refused(why.to_string()))?;
    match std::fs::File::open(&found) {
        Err(why) if why.kind() == std::io::ErrorKind::PermissionDenied => Err(refused(why.to_string())
            .hint("use sudo, or a copy that this user may read, with --at where production has it")),
        Err(why) => Err(refused(why.to_string())),
        Ok(_) => Ok(found),
    }
}

/// The file of that name, or those of a folder which the balancer reads as one.
fn files_at(balancer: Balancer, path: &Path) -> Result<Vec<PathBuf>, Problem> {
    match balancer.several {
        Some(several) if path.is_dir() => (several.of_folder)(path).map_err(|why| Problem::new(format!("{why:#}"))),
        None if path.is_dir() => Err(Problem::new("it is a directory")
            .on(format!("failed to read {}", path.display()))
            .hint(format!("{} reads one file, which names the others: name that one", balancer.title))),
        Some(_) | None => Ok(vec![path.to_owned()]),
    }
}

/// Where the balancer's files are to be found, in the order in which it reads them.
fn files_of(args: &RehearseArgs) -> Result<(PathBuf, Vec<PathBuf>), Problem> {
    let own = absolute(&args.file)?;
    let place = match &args.at {
        Some(at) if !at.is_absolute() || at.file_name() != own.file_name() => {
            return Err(Problem::new("expected a whole path with the same file name")
                .on(format!("--at {}", at.display()))
                .hint("such as /etc/nginx/nginx.conf"));
        }
        // Before that, the folder is where it is.
        Some(at) if args.within => at.clone(),
        Some(_) | None => own,
    };
    if let (None, Some(also)) = (args.balancer.several, args.also.first()) {
        return Err(Problem::new("it reads one file, which names the others")
            .on(format!("{} and --also {}", args.balancer.title, also.display()))
            .hint("name the one that it is started with"));
    }
    let mut files = files_at(args.balancer, &place)?;
    for also in &args.also {
        files.extend(files_at(args.balancer, &absolute(also)?)?);
    }
    Ok((files.remove(0), files))
}

fn order(args: &RehearseArgs) -> Result<RehearsalPlan, Problem> {
    let (file, further) = files_of(args)?;
    if args.balancer.alone.is_none() {
        return Err(Problem::new("it does not run on this machine").on(args.balancer.title));
    }
    if !args.dry_run && installed::find(&args.balancer).is_none() {
        return Err(Problem::new("it is not installed").on(args.balancer.title).hint(args.balancer.install));
    }
    if args.check.url.is_empty() && !args.dry_run {
        return Err(
            Problem::new("no URL").hint("give what a client of production asks for, such as https://shop.example/cart")
        );
    }
    for url in &args.check.url {
        UrlTarget::of(url)?;
    }
    // What the balancer itself refuses it says best; where it says nothing, its own tool may.
    let (understood, refused) = read(args.balancer, &file, &further);
    let then = match &args.then {
        Some(then) if then.is_dir() => {
            let problem = Problem::new("it is a directory").on(format!("--then {}", then.display()));
            return Err(problem.hint(format!("name the file that takes the place of {}", file.display())));
        }
        Some(then) => Some(absolute(then)?),
        None => None,
    };
    if then.is_some() && args.balancer.renew.is_none() {
        let what = format!("{} does not read this file anew while it runs", args.balancer.title);
        return Err(Problem::new(what).on("--then").hint("change what it watches with --during"));
    }
    let (then_read, then_refused) = then.as_ref().map_or((None, None), |then| read(args.balancer, then, &further));
    if let (Some(name), Some(read)) = (&args.upstream, &understood) {
        refuse_unknown_upstream(name, read, &file)?;
    }
    let check = plan(args, &Backing::Any)?;
    if then.is_some() && check.load.duration.is_some_and(|duration| duration <= RENEWED) {
        let problem = Problem::new("the sample is over before the new file takes the place of the first").on("--then");
        return Err(problem.hint(format!("a --duration of more than {} s", RENEWED.as_secs())));
    }
    refuse_repeated(args)?;
    Ok(RehearsalPlan {
        balancer: args.balancer,
        read: understood,
        refused,
        file,
        further,
        urls: check.target.urls().map(str::to_owned).collect(),
        check,
        names: args
            .name
            .iter()
            .map(|it| Size { name: it.name.clone(), addresses: it.addresses, port: it.port })
            .collect(),
        answers: args.answer.iter().map(|it| (it.host.clone(), it.port, it.status)).collect(),
        certificates: match args.certificate {
            CertificateChoice::Missing => rehearse::Certificates::Missing,
            CertificateChoice::StandIn => rehearse::Certificates::Ours,
            CertificateChoice::Real => rehearse::Certificates::TheFiles,
        },
        then,
        then_read,
        then_refused,
        clients: args.client,
        upstream: args.upstream.clone(),
    })
}

/// Only what is read from the file can be chosen.
fn refuse_unknown_upstream(name: &str, read: &Configuration, file: &Path) -> Result<(), Problem> {
    let names: Vec<&str> = read.groups().map(|upstream| upstream.name.as_str()).collect();
    if names.is_empty() || names.contains(&name) {
        return Ok(());
    }
    let problem = Problem::new(format!("has no upstream {name}, only {}", names.join(", "))).on(file.display());
    Err(problem.hint("give one of these names, or leave --upstream out"))
}

/// Of one server, or one name, there is one thing to say.
fn refuse_repeated(args: &RehearseArgs) -> Result<(), Problem> {
    let answers = args.answer.iter().map(|it| format!("--answer {}:{}", it.host, it.port));
    let names = args.name.iter().map(|it| format!("--name {}", it.name));
    let mut seen = BTreeSet::new();
    match answers.chain(names).find(|option| !seen.insert(option.clone())) {
        None => Ok(()),
        Some(option) => Err(Problem::new("given twice").on(option).hint("leave one of them out")),
    }
}

/// What our reader makes of files, or why it makes nothing of them.
fn read(balancer: Balancer, file: &Path, further: &[PathBuf]) -> (Option<Configuration>, Option<String>) {
    let read = match balancer.several {
        Some(several) => Some((several.read)(&[&[file.to_owned()], further].concat(), installed::version(&balancer))),
        None => balancer.read.map(|read| read(file)),
    };
    match read {
        None => (None, None),
        Some(Ok(read)) => (Some(read), None),
        Some(Err(why)) => (None, Some(format!("{why:#}"))),
    }
}

fn plan(args: &RehearseArgs, backing: &Backing) -> Result<CheckPlan, Problem> {
    let mut check = args.check.clone();
    // Nothing is sent there.
    if args.dry_run && check.url.is_empty() {
        check.url.push("http://localhost/".to_owned());
    }
    let plan = check.resolve(backing)?;
    if !args.check.url.is_empty() {
        examine(&plan)?;
    }
    Ok(plan)
}

/// The work itself, in the world that this process is in.
pub(super) async fn within(args: RehearseArgs) -> Result<ExitCode> {
    reports::with_reports(&args.report, false, check_within(&args).await)
}

async fn check_within(args: &RehearseArgs) -> Result<ExitCode> {
    let watch = Arc::new(CheckWatch::default());
    interrupt::stop_on_signals(&watch)?;
    if let Some(place) = &args.at {
        let own = std::fs::canonicalize(&args.file).with_context(|| args.file.display().to_string())?;
        let [from, to] = [&own, place].map(|file| file.parent().unwrap_or(Path::new("/")));
        world::lay_folder(from, to)
            .with_context(|| format!("failed to lay {} over {}", from.display(), to.display()))?;
    }
    let order = order(args)?;
    if args.dry_run {
        return print(describe(args, &order).as_bytes());
    }
    let mut state = RehearsalState::settle(&order)?;
    let with_complaint = |why: anyhow::Error| {
        if let Some(lines) = rehearse::complaint().filter(|_| !why.is::<Interrupted>()) {
            eprintln!("the log of {}:{lines}", order.balancer.title);
        }
        why
    };
    for _ in 0..MOST_CHECKS {
        let rehearsal = tokio::select! {
            rehearsal = rehearse::prepare(&order, &mut state) => rehearsal.map_err(with_complaint)?,
            () = watch.stopped() => return Err(Interrupted::new(watch.stopped_with(), 0))?,
        };
        if args.shell {
            rehearsal.notes.iter().for_each(|note| eprintln!("{}", describe_surrounding(note)));
            return shell();
        }
        let plan = plan_of(args, &order, &rehearsal)?;
        let is_disturbed = !plan.scenario.steps.is_empty();
        let complaint_before = rehearse::complaint();
        let report = checking::drive(&[plan], reports::detail(&args.report), &watch, None).await;
        let report = report.map_err(with_complaint)?;
        let missed = match report.verdict {
            // An outage may cost requests and pass: a server that takes over in production is missing here all the same.
            Verdict::Pass if !is_disturbed => Vec::new(),
            Verdict::Pass | Verdict::Fail | Verdict::Inconclusive => state.missed(&order, &rehearsal),
        };
        if missed.is_empty() {
            show_complaint(&order, &report, complaint_before.as_ref());
            show_written(&order);
            reports::write(&report, &reports::outputs(&args.report)?, reports::detail(&args.report))?;
            return Ok(reports::status(&report));
        }
        eprintln!(
            "{} asked {} during the check, and no request before it had shown that: checking again, with these servers there",
            order.balancer.title,
            missed.join(", ")
        );
        rehearsal.end().await;
    }
    let what = format!("it asked servers during each of {MOST_CHECKS} checks that it had not asked before");
    Err(Problem::new(what).on(order.balancer.title).hint("choose the block behind the URL with --upstream").into())
}

/// The check of a rehearsal that is prepared.
fn plan_of(args: &RehearseArgs, order: &RehearsalPlan, rehearsal: &rehearse::Rehearsal) -> Result<CheckPlan> {
    let mut plan = plan(args, &Backing::Ours(FleetChoice::supervisor(rehearsal.supervisor)))?;
    // The file may have certificates for other URLs than these.
    let is_secure = order.urls.iter().any(|url| is_secure(url));
    if let (Trust::Machine, Some(authority), true) = (&plan.target.trust, &rehearsal.authority, is_secure) {
        plan.target.trust = Trust::Also(authority.clone());
    }
    plan.environment.surroundings.clone_from(&rehearsal.notes);
    if let Some(place) = &args.at {
        let [file, at] = [&args.file, place].map(|path| path.display().to_string());
        plan.environment.surroundings.push(Surrounding::Placed { file, at });
    }
    plan.target.clients = order.clients;
    if let (Some(then), Some(renew)) = (&order.then, order.balancer.renew) {
        let folder = order.file.parent().unwrap_or(Path::new("/"));
        let take_place = format!("cd {} && cat {} > {}", quoted(folder), quoted(then), quoted(&order.file));
        let command = format!("{take_place} && {}", renew(&order.file, &order.further));
        plan.scenario.add_command(command, RENEWED);
    }
    plan.environment.hosts = Some(hosts(&plan.scenario, rehearsal.hosts.clone())?);
    plan.environment.balancer.get_or_insert_with(|| order.balancer.title.to_owned());
    plan.environment.patience = order.read.iter().chain(&order.then_read).filter_map(|read| read.patience).min();
    for read in order.read.iter().chain(&order.then_read) {
        plan.expectations.configured.extend(&read.responses);
        // Without a healthy server a balancer responds 503.
        for line in read.health().map(rehearse::group::in_doubt) {
            plan.expectations.configured.statuses.entry(503).or_default().push(line);
        }
    }
    let file = order.file.display().to_string();
    let mut expected = rehearsal.expected.clone().unwrap_or_default().under(plan.requests_at_once());
    for read in order.read.iter().chain(&order.then_read) {
        expected = expected.with_headers(read, plan.request.names());
    }
    let unknown = [rehearsal.unknown.clone(), expected.unknown.clone()].concat();
    plan.environment.not_understood = [unknown.as_slice(), &expected.remarks].concat();
    for remark in &plan.environment.not_understood {
        eprintln!("not understood, and not judged: {remark}");
    }
    expect::expect(&Expected { unknown, ..expected }, &file, &mut plan);
    Ok(plan)
}

/// What changes how hosts are reached. A step that cannot be done is reported before anything is sent.
fn hosts(scenario: &Scenario, hosts: rehearse::Hosts) -> Result<HostControl, Problem> {
    for step in scenario.of_hosts() {
        let Some(backend) = &step.backend else {
            return Err(Problem::new("no backend is named").on(format!("--outage {step}")));
        };
        hosts.of(backend).map_err(|why| Problem::new(why).on(format!("--outage {step}")))?;
    }
    Ok(HostControl::new(move |backend, reach| match reach {
        Reach::Gone => hosts.silence(backend),
        Reach::Unreachable => hosts.bar(backend),
        Reach::Back => hosts.reopen(backend),
    }))
}

/// What the balancer has logged since then, where it responded by itself: its log has the reason.
fn show_complaint(order: &RehearsalPlan, report: &Report, before: Option<&String>) {
    let is_own = |finding: &Finding| finding.level > Level::Note && finding.rule() == Rule::Balancer;
    if !report.checks.iter().flat_map(|check| &check.findings).any(is_own) {
        return;
    }
    if let Some(lines) = rehearse::complaint().filter(|lines| Some(lines) != before) {
        eprintln!("the log of {}, its last error:{lines}", order.balancer.title);
    }
}

/// What production would have on its disk now.
fn show_written(order: &RehearsalPlan) {
    const SHOWN: usize = 6;
    let folders: Vec<PathBuf> = world::USUAL.iter().map(PathBuf::from).chain([data_of(order)]).collect();
    let all = rehearse::written(&folders);
    let more = all.len().saturating_sub(SHOWN);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    if !all.is_empty() {
        eprintln!("written in the private copy alone: {}{more}", all[..all.len().min(SHOWN)].join(", "));
    }
}

/// The balancer's own folder.
fn data_of(order: &RehearsalPlan) -> PathBuf {
    Path::new(DATA).join(order.balancer.name)
}

fn shell() -> Result<ExitCode> {
    let shell = std::env::var_os("SHELL").unwrap_or_else(|| "/bin/sh".into());
    eprintln!("a shell in the private copy; `exit` ends it and everything in it");
    let status =
        Command::new(&shell).status().with_context(|| format!("failed to start {}", shell.to_string_lossy()))?;
    Ok(ExitCode::from(status.code().unwrap_or(1) as u8))
}

/// What is read from the file.
fn describe(args: &RehearseArgs, order: &RehearsalPlan) -> String {
    let arguments = order.arguments().unwrap_or_default();
    let words: Vec<_> = arguments.iter().map(|word| word.to_string_lossy()).collect();
    let mut text = format!("would run: {} {}\n", order.balancer.name, words.join(" "));
    let Some(read) = &order.read else {
        let what = order.refused.clone().unwrap_or_else(|| format!("files of {}", order.balancer.title));
        text += &format!("not read: {what}; a rehearsal finds backends by the connections that it refuses\n");
        return text;
    };
    if read.groups().next().is_none() {
        text += "no group of servers is in it; a rehearsal finds backends by the connections that it refuses\n";
    }
    let chosen = |upstream: &&Upstream| args.upstream.as_ref().is_none_or(|name| *name == upstream.name);
    read.groups().filter(chosen).for_each(|upstream| text += &describe_upstream(upstream));
    read.foreign.iter().for_each(|what| text += &format!("not rehearsed: {what}\n"));
    read.not_read.iter().for_each(|what| text += &format!("not read: {what}\n"));
    for file in certificates(read, &order.file).into_iter().filter(|file| std::fs::File::open(file).is_err()) {
        text += &format!("cannot be read here: {}\n", file.display());
    }
    text
}

fn certificates(read: &Configuration, file: &Path) -> Vec<PathBuf> {
    let folder = file.parent().unwrap_or(Path::new("/"));
    let mut all: Vec<PathBuf> =
        read.certificates.iter().flat_map(|(certificate, key)| [folder.join(certificate), folder.join(key)]).collect();
    all.dedup();
    all
}

/// Whether a server is as many as its name has addresses.
fn may_be_several(server: &UpstreamServer) -> bool {
    let is_name = match &server.endpoint {
        Endpoint::Tcp(host, _) => host.trim_matches(['[', ']']).parse::<IpAddr>().is_err(),
        Endpoint::Unix(_) | Endpoint::Pods(_) | Endpoint::Other => false,
    };
    is_name && server.takes != Takes::One && !server.backup && !server.down
}

fn describe_upstream(upstream: &Upstream) -> String {
    let expected = Expected::of_named(upstream, &|server| vec![server.address.clone()]);
    let algorithm = match (&upstream.method, expected.algorithm) {
        (UpstreamMethod::Split(parts), _) => {
            let parts: Vec<String> = parts.iter().map(|part| format!("{}={}", part.name, part.weight)).collect();
            format!("requests divided by weight: {}", parts.join(", "))
        }
        (_, Some(algorithm)) => algorithm.to_string(),
        (UpstreamMethod::Known(policy), None) if upstream.servers.iter().any(may_be_several) => {
            format!("{policy}, over the addresses that the name has (--name)")
        }
        (UpstreamMethod::Known(_) | UpstreamMethod::Unknown(_), None) if expected.shares.is_some() => {
            "all to the only active server".to_owned()
        }
        (UpstreamMethod::Known(_) | UpstreamMethod::Unknown(_), None) => "algorithm not judged".to_owned(),
    };
    let mut text = format!("upstream {}: {algorithm}\n", upstream.name);
    for server in &upstream.servers {
        let state = match (server.backup, server.down) {
            (_, true) => ", down".to_owned(),
            (true, false) => ", backup".to_owned(),
            (false, false) => format!(", weight {}", server.weight),
        };
        text += &format!("  {}{state}\n", server.address);
    }
    for what in expected.unknown.iter().chain(&expected.remarks) {
        text += &format!("  not understood, and not judged: {what}\n");
    }
    for limit in &expected.limits {
        text += &format!("  not judged where more are in flight: {}: {}\n", limit.server, limit.at_once.written);
    }
    text
}
