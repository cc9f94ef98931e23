//! `uuid-generator check …`: what is to be checked, from the command line and from the file; the verdict as exit status.

use std::io::{IsTerminal, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::Args;
use regex_lite::Regex;
use serde::Deserialize;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::spawn_local;

use crate::balancer::expected::{self, Expected};
use crate::balancer::nginx_files;
use crate::check::load::Identity;
use crate::check::plan::{Backing, Plan, Trust};
use crate::check::scenario::Scenario;
use crate::check::{self, Watch};
use crate::cli::balancing::Balancing;
use crate::cli::demo;
use crate::cli::settings::FleetFlags;
use crate::cli::stage::{self, Stage, Wish};
use crate::report::{Format, Style, junit, render};
use crate::wire::Time;
use verdict::algorithm::UnknownAlgorithm;
use verdict::numbers::count_of;
use verdict::outcome::Outcome;
use verdict::report::Verdict;
use verdict::rules::{Expectations, Weights};

/// Exit status of a check that fails.
const FAILED: u8 = 1;
/// Exit status of a check that cannot say.
const INCONCLUSIVE: u8 = 3;

/// Send requests through a balancer, account for every one of them, and give a verdict.
#[derive(Args)]
#[command(after_help = AFTER_HELP)]
pub struct Typed {
    #[command(flatten)]
    wanted: Wanted,

    /// The fleet behind the balancer: the process id of its supervisor, or the URL of its API [default: the one that runs]
    #[arg(long = "fleet", value_name = "PID|URL", conflicts_with = "start")]
    running: Option<String>,

    /// Start a fleet for the length of the run
    #[arg(long)]
    start: bool,

    #[command(flatten)]
    fleet: FleetFlags,

    /// Start a fleet and this balancer for the length of the run: nginx, haproxy, envoy, traefik, caddy or builtin
    #[arg(long, value_name = "BALANCER", conflicts_with_all = ["running", "start", "identity"], help_heading = "With a balancer of its own")]
    with: Option<String>,

    /// With this configuration instead of the one that we write; it listens on 127.0.0.1:PORT of --listen
    #[arg(long, value_name = "FILE", requires_all = ["with", "listen"], help_heading = "With a balancer of its own")]
    balancer_config: Option<PathBuf>,

    /// The port of the balancer [default: a free one]
    #[arg(long, value_name = "PORT", requires = "with", help_heading = "With a balancer of its own")]
    listen: Option<u16>,

    #[command(flatten)]
    balancing: Balancing,

    /// Expect what an upstream block of this nginx.conf, or of a file that it includes, says: servers, weights, method
    #[arg(long, value_name = "FILE", help_heading = "Expectations")]
    from: Option<PathBuf>,

    /// The name of that block, if there are several
    #[arg(long, value_name = "NAME", requires = "from", help_heading = "Expectations")]
    upstream: Option<String>,

    /// How the report is written to standard output
    #[arg(long, value_enum, default_value_t = Form::Text, help_heading = "Report")]
    format: Form,

    /// Also write a report for a CI system: JUnit's XML
    #[arg(long, value_name = "FILE", help_heading = "Report")]
    junit: Option<PathBuf>,

    /// Also write a report to look at: one HTML file, with plots
    #[arg(long, value_name = "FILE", help_heading = "Report")]
    html: Option<PathBuf>,
}

/// Of the API of a fleet that is started for a run.
const ANY_PORT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

const AFTER_HELP: &str = "\
Without a URL all checks of the file run, each a table [[check]] with the names of these options as keys, and `name`.

Examples:
  uuid-generator check http://localhost:8080/uuid                    is it balanced, is anything lost?
  uuid-generator check localhost:8080/uuid --expect round-robin      and in turns
  uuid-generator check localhost:8080/uuid --expect 5:1:1            with these weights
  uuid-generator check localhost:8080/uuid --outage kill:9002@2s,start@6s
  uuid-generator check localhost:8080/uuid --during 'nginx -s reload' nothing may be lost
  uuid-generator check https://localhost:8443/uuid --insecure        with TLS, whoever signed its certificate
  uuid-generator check localhost:8080/ --identity header:X-Served-By backends that are not ours

Exit status: 0 pass, 1 fail, 2 could not run, 3 inconclusive.";

/// One check, as it is typed and as it stands in a file.
#[derive(Args, Deserialize, Default, Clone, Debug)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Wanted {
    #[arg(skip)]
    name: Option<String>,

    /// Of the balancer, such as http://localhost:8080/uuid
    url: Option<String>,

    /// With https://: also trust the certificates of this file (PEM), authorities' or the balancer's own
    #[arg(long, value_name = "FILE", conflicts_with = "insecure", help_heading = "TLS")]
    ca: Option<PathBuf>,

    /// With https://: trust any certificate
    #[arg(long, help_heading = "TLS")]
    insecure: bool,

    /// What is required, once for each: `even`, weights such as 5:1:1 or 9001=5,9002=1; an algorithm such as round-robin,
    /// least-connections, sticky; `backup:9003`: gets nothing while others can; `lossless`: no client sees an error [default: even shares, where the algorithm promises them]
    #[arg(long, value_name = "WHAT", help_heading = "Expectations")]
    expect: Vec<String>,

    /// The deviation of a share that must be found, in percentage points: half of it is granted, and as many requests are sent as
    /// finding it needs [default: 2%, and nothing is granted]
    #[arg(long, value_name = "PERCENT", help_heading = "Expectations")]
    tolerance: Option<String>,

    /// A fate that is not held against the balancer, such as stale or duplicated
    #[arg(long, value_name = "FATE", help_heading = "Expectations")]
    allow: Vec<String>,

    /// Requests of the sample [default: as many as --tolerance needs]
    #[arg(short = 'n', long, value_name = "COUNT", help_heading = "Traffic")]
    requests: Option<u64>,

    /// The sample ends after that time [default: 60s, or 5s after the last step of an outage]
    #[arg(long, value_name = "TIME", help_heading = "Traffic")]
    duration: Option<String>,

    /// Connections at once, at most [default: 32; 512 with --rate]
    #[arg(short = 'c', long, value_name = "COUNT", help_heading = "Traffic")]
    connections: Option<usize>,

    /// Requests a second, sent when they are due whatever the answers do [default: each connection sends when it has its answer]
    #[arg(long, value_name = "RATE", help_heading = "Traffic")]
    rate: Option<f64>,

    /// A new connection for each request
    #[arg(long, help_heading = "Traffic")]
    new_connections: bool,

    /// How long an answer is waited for [default: 10s]
    #[arg(long, value_name = "TIME", help_heading = "Traffic")]
    timeout: Option<String>,

    /// The method [default: GET]
    #[arg(long, value_name = "METHOD", help_heading = "Traffic")]
    method: Option<String>,

    /// A header of every request: `Name: value`
    #[arg(long, value_name = "HEADER", help_heading = "Traffic")]
    header: Vec<String>,

    /// Bytes of each request's body
    #[arg(long, value_name = "BYTES", help_heading = "Traffic")]
    body_bytes: Option<usize>,

    /// A header on which the balancer may key, besides the usual ones
    #[arg(long, value_name = "NAME", help_heading = "Traffic")]
    key_header: Vec<String>,

    /// A cookie on which the balancer may key, besides the usual ones
    #[arg(long, value_name = "NAME", help_heading = "Traffic")]
    key_cookie: Vec<String>,

    /// What is done to backends meanwhile, such as kill:9002@2s,start@6s; also pause, resume, drain, unready, ready, clear and
    /// faults: status:503:10%:9002@2s, latency:200ms±50ms:9002@2s, reset, hang, close, close-midway, fail-first, unhealthy
    #[arg(long, value_name = "STEPS", help_heading = "Resilience")]
    outage: Option<String>,

    /// A command for the shell that runs meanwhile, after 1 s or when it says: 'nginx -s reload@2s'. Nothing may be lost. With
    /// --with, {pid} and {directory} in it are the balancer's: 'kill -HUP {pid}'
    #[arg(long, value_name = "COMMAND", help_heading = "Resilience")]
    during: Option<String>,

    /// Backends are not ours; their name stands in header:NAME, json:/pointer or regex:EXPRESSION of an answer
    #[arg(long, value_name = "WHERE")]
    identity: Option<String>,
}

/// CTRL+C, SIGTERM and a closed terminal end the check; the second time at once.
fn stop_on_signals(watch: Arc<Watch>) -> Result<()> {
    for kind in [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()] {
        let (mut signals, watch) = (signal(kind)?, watch.clone());
        spawn_local(async move {
            signals.recv().await;
            let status = 128 + kind.as_raw_value();
            watch.stop(status as u8);
            signals.recv().await;
            std::process::exit(status);
        });
    }
    Ok(())
}

/// Says it in one line, whoever still reads.
fn stopped(watch: &Watch, requests: u64) -> ExitCode {
    let _ = writeln!(std::io::stderr(), "stopped after {}; nothing is judged", count_of(requests, "request"));
    ExitCode::from(watch.stopped_with())
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Form {
    Text,
    Json,
    Markdown,
    Html,
}

impl Typed {
    /// Runs the checks and tells the verdict.
    pub async fn run(self) -> Result<ExitCode> {
        let watch = Arc::new(Watch::default());
        stop_on_signals(watch.clone())?;
        if self.with.is_some() {
            return self.run_with(&watch).await;
        }
        if self.fleet.are_given() && !self.start {
            bail!(
                "--ports and the like say where the backends of a fleet are that is started: use them with --start or --with"
            );
        }
        if !self.balancing.is_empty() {
            bail!(
                "what a balancer is told (--algorithm, --retries and the like) is for one that is started\n  hint: start it with --with; what one that runs must do is said with --expect"
            );
        }
        let backing = self.backing()?;
        let mut plans: Vec<Plan> =
            self.wanted()?.into_iter().map(|wanted| wanted.plan(&backing)).collect::<Result<_>>()?;
        self.expect_from(None, &mut plans)?;
        self.judge(&plans, &watch).await
    }

    /// Expects what the file of --from says, and tells what of it is not understood.
    fn expect_from(&self, fleet: Option<&[u16]>, plans: &mut [Plan]) -> Result<()> {
        let Some(file) = &self.from else { return Ok(()) };
        let remarks = plans.iter_mut().map(|plan| expect_from(file, self.upstream.as_deref(), fleet, plan));
        let mut remarks = remarks.collect::<Result<Vec<_>>>()?.concat();
        remarks.dedup();
        for remark in remarks {
            eprintln!("not understood, and not judged: {remark}");
        }
        Ok(())
    }

    /// Sets the stage, checks, strikes it.
    async fn run_with(&self, watch: &Arc<Watch>) -> Result<ExitCode> {
        let wish = Wish {
            fleet: self.fleet.clone(),
            balancing: self.balancing.clone(),
            port: self.listen,
            control: Some(ANY_PORT),
        };
        let front = stage::front(self.with.as_deref().unwrap_or_default(), self.balancer_config.as_deref())?;
        if self.wanted.url.is_some() && self.balancer_config.is_none() {
            bail!("a URL and --with: the balancer that is started has its own URL");
        }
        if self.from.is_some() && self.balancer_config.is_none() {
            bail!(
                "--from and --with: the balancer that is started is expected to do what it is told\n  hint: --balancer-config runs a file of your own"
            );
        }
        if self.balancer_config.is_some() && !self.balancing.is_empty() {
            bail!(
                "--balancer-config and what a balancer is told (--algorithm, --retries and the like): that file says it\n  hint: what it must do is said with --expect, or read from it with --from"
            );
        }
        // What was typed wrongly is told before anything starts.
        let wanted = self.wanted_of_stage()?;
        for wanted in &wanted {
            let mut plan = wanted.clone().at("http://localhost/").plan(&Backing::Any)?;
            if let Some(file) = &self.from {
                expect_from(file, self.upstream.as_deref(), None, &mut plan)?;
            }
        }
        let stage = tokio::select! {
            stage = Stage::set(&front, &wish) => stage?,
            () = watch.stopped() => return Ok(stopped(watch, 0)),
        };
        let result = self.on(&stage, wanted, watch).await;
        stage.strike().await;
        result
    }

    async fn on(&self, stage: &Stage, wanted: Vec<Wanted>, watch: &Arc<Watch>) -> Result<ExitCode> {
        let backing = Backing::Fleet(Some(stage.supervisor));
        let mut plans: Vec<Plan> = Vec::new();
        for wanted in wanted {
            let tolerance = wanted.tolerance.is_none();
            let mut plan = wanted.at(&stage.url).plan(&backing)?;
            // What a file of the user's own says is not known here.
            if self.balancer_config.is_none() {
                expect_of(stage, &mut plan, tolerance);
            }
            if let Some((pid, directory)) = stage.balancer() {
                plan.scenario.place(&[("{pid}", &pid.to_string()), ("{directory}", &directory.to_string_lossy())]);
            }
            plans.push(plan);
        }
        let fleet: Vec<u16> = stage.topology.generators().map(|generator| generator.0).collect();
        self.expect_from(Some(&fleet), &mut plans)?;
        self.judge(&plans, watch).await
    }

    async fn judge(&self, plans: &[Plan], watch: &Arc<Watch>) -> Result<ExitCode> {
        let shown = Shown::begin(watch.clone());
        let run = check::run(plans, watch).await;
        drop(shown);
        let report = match run? {
            check::Run::Judged(report) => report,
            check::Run::Stopped { requests } => return Ok(stopped(watch, requests)),
        };
        self.write(&report)?;
        Ok(ExitCode::from(match report.verdict {
            Verdict::Pass => 0,
            Verdict::Fail => FAILED,
            Verdict::Inconclusive => INCONCLUSIVE,
        }))
    }

    fn backing(&self) -> Result<Backing> {
        if self.start {
            let options = [format!("--control={ANY_PORT}")].into_iter().chain(self.fleet.words());
            return Ok(Backing::Started(options.collect()));
        }
        Ok(match self.running.as_deref() {
            None => Backing::Any,
            Some(url) if url.contains(':') => Backing::FleetAt(url.to_owned()),
            Some(pid) => {
                let pid = pid.parse().ok().with_context(|| {
                    format!("--fleet {pid}: expected a process id, or a URL such as http://127.0.0.1:9000")
                })?;
                Backing::Fleet(Some(pid))
            }
        })
    }

    /// The file with checks, if there is one.
    fn file(&self) -> Option<&Path> {
        let default = Path::new(super::settings::FILE);
        self.fleet.file().or(default.exists().then_some(default))
    }

    /// Those of the file, each beneath what the command line says.
    fn checks_of(&self, file: &Path) -> Result<Vec<Wanted>> {
        let checks = super::settings::checks_of_file(file)?;
        Ok(checks.into_iter().map(|check| self.wanted.clone().over(check)).collect())
    }

    /// Of the balancer that is started: those of the file, or what the command line says.
    fn wanted_of_stage(&self) -> Result<Vec<Wanted>> {
        let checks = match self.file() {
            Some(file) if self.wanted.url.is_none() => self.checks_of(file)?,
            _ => Vec::new(),
        };
        Ok(if checks.is_empty() { vec![self.wanted.clone()] } else { checks })
    }

    /// That of the command line, or those of the file.
    fn wanted(&self) -> Result<Vec<Wanted>> {
        if self.wanted.url.is_some() {
            return Ok(vec![self.wanted.clone()]);
        }
        let file = self.file().with_context(|| {
            format!(
                "no URL\n  hint: give the URL of the balancer, such as http://localhost:8080/uuid, or tables [[check]] in {}",
                super::settings::FILE
            )
        })?;
        let checks = self.checks_of(file)?;
        if checks.is_empty() {
            bail!(
                "{}: has no table [[check]]\n  hint: add one with a url, or give the URL of the balancer",
                file.display()
            );
        }
        Ok(checks)
    }

    fn write(&self, report: &verdict::report::Report) -> Result<()> {
        let style = Style::of_terminal(std::io::stdout().is_terminal());
        let format = match self.format {
            Form::Text => Format::Text,
            Form::Json => Format::Json,
            Form::Markdown => Format::Markdown,
            Form::Html => Format::Html,
        };
        for (path, text) in [
            (&self.junit, self.junit.is_some().then(|| junit(report))),
            (&self.html, self.html.is_some().then(|| render(report, Format::Html, &style))),
        ] {
            if let (Some(path), Some(text)) = (path, text) {
                std::fs::write(path, text).with_context(|| format!("failed to write {}", path.display()))?;
            }
        }
        let text = render(report, format, &style);
        let mut out = std::io::stdout().lock();
        match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
            // Whoever reads it has read enough.
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
            result => result.context("failed to write the report"),
        }
    }
}

impl Wanted {
    /// At this URL, unless another is said.
    fn at(self, url: &str) -> Wanted {
        Wanted { url: self.url.or_else(|| Some(url.to_owned())), ..self }
    }

    /// What is not said here is said by `next`.
    fn over(self, next: Wanted) -> Wanted {
        let list = |own: Vec<String>, next: Vec<String>| if own.is_empty() { next } else { own };
        Wanted {
            name: next.name,
            url: self.url.or(next.url),
            ca: self.ca.or(next.ca),
            insecure: self.insecure || next.insecure,
            expect: list(self.expect, next.expect),
            tolerance: self.tolerance.or(next.tolerance),
            allow: list(self.allow, next.allow),
            requests: self.requests.or(next.requests),
            duration: self.duration.or(next.duration),
            connections: self.connections.or(next.connections),
            rate: self.rate.or(next.rate),
            new_connections: self.new_connections || next.new_connections,
            timeout: self.timeout.or(next.timeout),
            method: self.method.or(next.method),
            header: list(self.header, next.header),
            body_bytes: self.body_bytes.or(next.body_bytes),
            key_header: list(self.key_header, next.key_header),
            key_cookie: list(self.key_cookie, next.key_cookie),
            outage: self.outage.or(next.outage),
            during: self.during.or(next.during),
            identity: self.identity.or(next.identity),
        }
    }

    /// What it means.
    fn plan(self, backing: &Backing) -> Result<Plan> {
        let name = self.name.clone();
        let about = |error: anyhow::Error| match &name {
            Some(name) => error.context(format!("check {name}")),
            None => error,
        };
        self.understood(backing).map_err(about)
    }

    fn understood(self, backing: &Backing) -> Result<Plan> {
        let time = |option: &str, text: &Option<String>| {
            let parse = |text: &String| {
                let Time(time) = text.parse().map_err(|why| anyhow::anyhow!("--{option} {text}: {why}"))?;
                Ok::<Duration, anyhow::Error>(time)
            };
            text.as_ref().map(parse).transpose()
        };
        let mut scenario = match &self.outage {
            Some(outage) => outage.parse::<Scenario>().map_err(|why| anyhow::anyhow!("--outage {why}"))?,
            None => Scenario::default(),
        };
        if let Some(during) = &self.during {
            let (command, at) = timed(during);
            scenario.add_command(command, at);
        }
        let backends = match (&self.identity, backing) {
            (Some(identity), Backing::Any) => Backing::Others(identity_of(identity)?),
            (Some(_), _) => bail!("--identity: with a fleet of ours the answers say who gave them"),
            (None, backing) => backing.clone(),
        };
        if self.requests == Some(0) || self.connections == Some(0) {
            bail!("-n and -c: expected at least 1");
        }
        if self.requests.is_some_and(|requests| requests > 1_000_000_000)
            || self.connections.is_some_and(|it| it > 60_000)
        {
            bail!("-n and -c: expected at most 1,000,000,000 requests and 60,000 connections");
        }
        if let Some(rate) = self.rate
            && !(rate > 0.0 && rate <= 1e7)
        {
            bail!("--rate {rate}: expected requests a second, above 0 and at most 10,000,000");
        }
        let method = self.method.unwrap_or_else(|| "GET".to_owned());
        if method.is_empty() || !method.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'-') {
            bail!("--method {method}: expected capital letters, such as GET or POST");
        }
        let header = |text: &String| {
            let wrong = || format!("--header {text:?}: expected `Name: value`");
            let (name, value) = text.split_once(':').with_context(wrong)?;
            let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
            let visible = value.bytes().all(|byte| byte == b'\t' || (b' '..0x7f).contains(&byte));
            if name.is_empty() || !name.bytes().all(token) || !visible {
                bail!(wrong());
            }
            Ok((name.to_owned(), value.trim().to_owned()))
        };
        let trust = match (self.ca, self.insecure) {
            (None, false) => Trust::Machine,
            (Some(file), false) => Trust::Also(file),
            (None, true) => Trust::Anyone,
            (Some(_), true) => {
                bail!("--ca and --insecure: either trusts some certificates, or any\n  hint: leave one out")
            }
        };
        let body = self.body_bytes.map(|bytes| vec![b'x'; bytes.min(64 * 1024 * 1024)].into());
        Ok(Plan {
            name: self.name,
            trust,
            method,
            headers: self.header.iter().map(header).collect::<Result<_>>()?,
            bodies: body.into_iter().collect(),
            connections: self.connections,
            new_connections: self.new_connections,
            rate: self.rate,
            requests: self.requests,
            duration: time("duration", &self.duration)?,
            timeout: time("timeout", &self.timeout)?.unwrap_or(Duration::from_secs(10)),
            expectations: expectations(&self.expect, self.tolerance.as_deref(), &self.allow)?,
            key_headers: self.key_header,
            key_cookies: self.key_cookie,
            scenario,
            ..Plan::new(self.url.context("url: is missing")?, backends)
        })
    }
}

/// Expects what the balancer on the stage was told, where nothing else was said.
fn expect_of(stage: &Stage, plan: &mut Plan, tolerance: bool) {
    let demo = demo::plan_of(stage, None);
    let (told, said) = (demo.expectations, &mut plan.expectations);
    if said.shares.is_none() {
        (said.shares, said.shares_by) = (told.shares, told.shares_by);
    }
    said.algorithm = said.algorithm.or(told.algorithm);
    said.backups.extend(told.backups);
    if tolerance {
        (said.tolerance, said.margin) = (told.tolerance, told.margin);
    }
    plan.key_headers.extend(demo.key_headers);
    plan.key_cookies.extend(demo.key_cookies);
}

/// Expects what the `upstream` block says of a fleet with these backends, where nothing else was said. What was not understood is returned.
fn expect_from(file: &Path, name: Option<&str>, fleet: Option<&[u16]>, plan: &mut Plan) -> Result<Vec<String>> {
    let configuration = nginx_files::read(file)?;
    let upstream = expected::choose(&configuration, &file.display().to_string(), name)
        .map_err(|(what, hint)| anyhow::anyhow!("{what}\n  hint: {hint}"))?;
    let mut expected = Expected::of(upstream, fleet);
    let expectations = &mut plan.expectations;
    expectations.algorithm = expectations.algorithm.or(expected.algorithm);
    if expectations.shares.is_none() {
        (expectations.shares, expectations.shares_by) = (expected.shares, file.display().to_string());
        expectations.not_understood.append(&mut expected.unknown.clone());
    }
    expectations.backups.append(&mut expected.backups);
    plan.key_headers.extend(expected.key_header);
    plan.key_cookies.extend(expected.key_cookie);
    Ok([configuration.not_read, expected.unknown, expected.remarks].concat())
}

/// `nginx -s reload@2s`: what, and when.
fn timed(text: &str) -> (String, Duration) {
    let at = text.rsplit_once('@').and_then(|(command, at)| Some((command, at.parse::<Time>().ok()?)));
    match at {
        Some((command, Time(at))) => (command.to_owned(), at),
        None => (text.to_owned(), Duration::from_secs(1)),
    }
}

fn identity_of(text: &str) -> Result<Identity> {
    match text.split_once(':') {
        Some(("header", name)) if !name.is_empty() => Ok(Identity::Header(name.to_owned())),
        Some(("json", pointer)) if pointer.is_empty() || pointer.starts_with('/') => {
            Ok(Identity::Json(pointer.to_owned()))
        }
        Some(("regex", expression)) => {
            Ok(Identity::Regex(Regex::new(expression).with_context(|| format!("--identity {text}"))?))
        }
        _ => bail!("--identity {text}: expected header:NAME, json:/pointer or regex:EXPRESSION"),
    }
}

fn expectations(expect: &[String], tolerance: Option<&str>, allow: &[String]) -> Result<Expectations> {
    let mut expectations = Expectations::default();
    for text in expect {
        if text == "lossless" {
            expectations.lossless = Some(true);
        } else if let Some(name) = text.strip_prefix("backup:") {
            expectations.backups.push(name.to_owned());
        } else if text == "even" || text.contains([':', '=']) {
            let weights: Weights = text.parse().map_err(|why| anyhow::anyhow!("--expect {why}"))?;
            (expectations.shares, expectations.shares_by) = (Some(weights), "--expect".to_owned());
        } else {
            let kind = text.parse().map_err(|why: UnknownAlgorithm| {
                anyhow::anyhow!(
                    "--expect {why}\n  hint: or lossless, backup:9003, even, weights such as 5:1:1 or 9001=5,9002=1"
                )
            })?;
            expectations.algorithm = Some(kind);
        }
    }
    if let Some(text) = tolerance {
        let number = text.trim_end_matches('%').trim().parse::<f64>().ok();
        let percent = number.filter(|percent| (0.01..=50.0).contains(percent));
        let percent = percent
            .with_context(|| format!("--tolerance {text}: expected percentage points from 0.01% to 50%, such as 2%"))?;
        (expectations.tolerance, expectations.margin) = (percent / 100.0, percent / 200.0);
    }
    for text in allow {
        let known = Outcome::ALL.into_iter().find(|fate| fate.name() == text);
        let names = Outcome::ALL.map(Outcome::name).join(", ");
        expectations.allowed.push(known.with_context(|| format!("--allow {text}: expected one of {names}"))?);
    }
    Ok(expectations)
}

/// How the check goes, on a terminal; nothing elsewhere.
struct Shown {
    over: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Shown {
    fn begin(watch: Arc<Watch>) -> Shown {
        let over = Arc::new(AtomicBool::new(false));
        let ended = over.clone();
        let thread = std::io::stderr().is_terminal().then(|| {
            std::thread::spawn(move || {
                while !ended.load(Ordering::Relaxed) {
                    eprint!("\r\x1b[K{}", line(&watch));
                    std::thread::park_timeout(Duration::from_millis(100));
                }
                eprint!("\r\x1b[K");
            })
        });
        Shown { over, thread }
    }
}

impl Drop for Shown {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            let _ = thread.join();
        }
    }
}

fn line(watch: &Watch) -> String {
    const WIDTH: u64 = 30;
    let phase = watch.phase.lock().map_or("", |phase| *phase);
    let (sent, total) = (watch.progress.sent(), watch.total.load(Ordering::Relaxed));
    let errors = watch.progress.errors();
    let errors = if errors > 0 { format!(" · {errors} errors") } else { String::new() };
    match (sent, total) {
        (0, _) => phase.to_owned(),
        (_, 0) => format!("{phase} · {sent} requests{errors}"),
        _ => {
            let done = (sent * WIDTH / total).min(WIDTH) as usize;
            let bar = format!("{}{}", "█".repeat(done), "░".repeat(WIDTH as usize - done));
            format!("{phase} {bar} {sent} of {total}{errors}")
        }
    }
}
