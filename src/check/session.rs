//! One check from its first request to its last: wait until all is stable, experiment, take the sample.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tokio::task::spawn_blocking;

use crate::check::collector::Collector;
use crate::check::figures::duration_of;
use crate::check::load::{
    Backends, Identity, Load, Notes, OwnRequest, Pacing, Prober, Progress, Reuse, Seen, Target, TlsFailure, Traffic,
    Vary, drive,
};
use crate::check::plan::Plan;
use crate::check::scenario::{self, StepResult};
use crate::check::subject::{Live, is_local};
use crate::io::tls;
use crate::remote::Remote;
use verdict::algorithm::experiments::{self, Request, Setting};
use verdict::algorithm::order::counts;
use verdict::algorithm::{Algorithm, Evidence, Inference, Key};
use verdict::observation::{Backend, ClientOutcome, Observation};
use verdict::rules::{Drill, FALSE_ALARM};
use verdict::statistics::needs;

/// What a person who waits sees of it.
#[derive(Default)]
pub struct Watch {
    /// Of the sample.
    pub progress: Arc<Progress>,
    /// Requests that the sample will have; 0 if that is not known.
    pub total: AtomicU64,
    /// What is done now.
    pub phase: Mutex<&'static str>,
}

impl Watch {
    fn enter(&self, phase: &'static str) {
        if let Ok(mut now) = self.phase.lock() {
            *now = phase;
        }
    }
}

/// Until the backends that answer are the same for a while.
const STABLE: Duration = Duration::from_secs(10);
/// What the experiments may take.
const EXPERIMENTS: Duration = Duration::from_secs(6);
/// A sample whose length nobody gave ends then at the latest.
const LONGEST: Duration = Duration::from_secs(60);
/// A port that speaks TLS shows it within that time.
const HANDSHAKE: Duration = Duration::from_secs(1);
const BODY_LIMIT: u64 = 16 * 1024 * 1024;
const CLOSED_CONNECTIONS: usize = 32;
const OPEN_CONNECTIONS: usize = 512;
/// Requests a second of a sample during which something is broken, if nobody gave a rate: in a closed loop an outage hides itself.
const DRILL_RATE: f64 = 500.0;
/// Clients of a sample in which they differ.
const CLIENTS: u32 = 1024;
/// Each of them holds a connection of its own.
const SOURCES: u32 = 256;

/// What the requests are sent with, from phase to phase.
pub struct Session<'a> {
    plan: &'a Plan,
    target: Target,
    run: u64,
    identity: Identity,
    /// Backends that are ready, if that is known.
    members: Option<usize>,
    watch: &'a Watch,
    prober: Option<Prober>,
    backends: Option<Backends>,
    /// Whether the port does, where a request without TLS made that likely.
    speaks_tls: Option<bool>,
}

/// All that was sent, and what was learnt on the way.
pub struct SessionData {
    /// In the order of their numbers.
    pub observations: Vec<Observation>,
    /// From this number on requests count.
    pub judged: u32,
    /// From this number on they are the sample.
    pub sampled: u32,
    /// Names of backends.
    pub backends: Backends,
    /// Evidence for the algorithm.
    pub evidence: Evidence,
    /// What was done meanwhile.
    pub done: Vec<StepResult>,
    /// The sample as it was sent.
    pub load: Load,
    /// When the sample began and ended.
    pub started: crate::wire::Moment,
    /// When the sample ended.
    pub ended: crate::wire::Moment,
    /// Notes of the sample.
    pub notes: Notes,
    /// Whether somebody stopped it.
    pub stopped: bool,
}

impl<'a> Session<'a> {
    /// Before the first request.
    pub fn new(
        plan: &'a Plan,
        target: Target,
        run: u64,
        identity: Identity,
        names: Vec<String>,
        members: Option<usize>,
        watch: &'a Watch,
    ) -> Session<'a> {
        let own = OwnRequest {
            method: plan.method.clone(),
            headers: plan.headers.clone(),
            body: plan.bodies.first().map_or(Vec::new(), |body| body.to_vec()),
        };
        let prober = Prober::new(target.clone(), run, 0, plan.timeout, identity.clone()).with_request(own);
        Session {
            plan,
            target,
            run,
            identity,
            members,
            watch,
            prober: Some(prober),
            backends: Some(Backends::new(names)),
            speaks_tls: None,
        }
    }

    /// Does all of it. `collector` reads the records meanwhile.
    pub async fn run(mut self, mut collector: Option<&mut Collector>) -> Result<SessionData> {
        self.watch.enter("waiting until the backends that answer are stable");
        self.meet(&mut collector).await?;
        let members = self.takers();
        self.with_live(move |live| settle(live, members)).await?;
        let judged = self.prober().next_sequence();
        self.watch.enter("finding out how the balancer picks");
        let setting = Setting {
            members,
            can_hold: self.identity.is_fleet(),
            headers: self.plan.key_headers.clone(),
            cookies: self.plan.key_cookies.clone(),
            is_followed: self.plan.scenario.drill() == Drill::None,
            budget: EXPERIMENTS,
        };
        let experiments = self.with_live(move |live| experiments::run(live, &setting));
        let evidence = watching(&mut collector, experiments).await?;
        let inference = evidence.infer(self.backends().names());
        let sampled = self.prober().next_sequence();
        let load = self.load(&inference, sampled)?;
        self.watch.enter("taking the sample");
        self.watch.total.store(load.requests.unwrap_or(0), Ordering::Relaxed);
        let remote = collector.as_ref().map(|collector| collector.remote().clone());
        let steps = self.plan.scenario.steps.clone();
        let (traffic, done) = watching(&mut collector, self.sample(load.clone(), steps, remote)).await?;
        let mut observations = self.prober.take().map(|prober| prober.into_observations().0).unwrap_or_default();
        observations.extend(traffic.observations);
        Ok(SessionData {
            observations,
            judged: judged as u32,
            sampled: sampled as u32,
            backends: self.backends.take().unwrap_or_else(|| Backends::new(Vec::new())),
            evidence,
            done,
            load,
            started: traffic.started,
            ended: traffic.ended,
            notes: traffic.notes,
            stopped: self.watch.progress.is_stopping(),
        })
    }

    fn prober(&mut self) -> &mut Prober {
        self.prober.as_mut().expect("it is given back when a phase ends")
    }

    fn backends(&self) -> &Backends {
        self.backends.as_ref().expect("they are given back when a phase ends")
    }

    /// Lets a phase that waits for its answers run on a thread of its own.
    async fn with_live<T: Send + 'static>(&mut self, phase: impl FnOnce(&mut Live) -> T + Send + 'static) -> Result<T> {
        let (mut prober, mut backends) = match (self.prober.take(), self.backends.take()) {
            (Some(prober), Some(backends)) => (prober, backends),
            _ => bail!("a phase of the check broke off"),
        };
        let (path, local) = (self.target.path.clone(), is_local(self.target.address.ip()));
        let phase = spawn_blocking(move || {
            let mut live = Live::new(&mut prober, &mut backends, &path, local);
            let result = phase(&mut live);
            let failure = live.into_failure();
            (result, failure, prober, backends)
        });
        let (result, failure, prober, backends) = phase.await?;
        (self.prober, self.backends) = (Some(prober), Some(backends));
        failure.map_or(Ok(result), |failure| Err(failure.into()))
    }

    async fn probe(&mut self) -> Result<Seen> {
        let seen = self.with_live(|live| live.probe(&Request::default())).await?;
        seen.context("no request could be sent")
    }

    /// The first answer of a backend, and that it is one of the fleet's.
    async fn meet(&mut self, collector: &mut Option<&mut Collector>) -> Result<()> {
        let deadline = Instant::now() + STABLE;
        let seen = loop {
            let seen = self.probe().await?;
            let whole = matches!(seen.observation.sight, ClientOutcome::Answer | ClientOutcome::Altered);
            if whole && seen.observation.backend.is_known() {
                break seen;
            }
            let hopeless = self.should_have_tls(&seen).await?
                || matches!(
                    seen.observation.sight,
                    ClientOutcome::TimedOut | ClientOutcome::TooLarge | ClientOutcome::Malformed
                )
                || seen.tls_failure.as_ref().is_some_and(TlsFailure::is_lasting);
            if hopeless || Instant::now() > deadline || self.watch.progress.is_stopping() {
                bail!("{}", self.no_backend(&seen));
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        };
        let Some(collector) = collector else { return Ok(()) };
        let Some(answer) = seen.observation.answer() else {
            collector.expect_unnumbered();
            return Ok(());
        };
        // Its record may need a moment; without our header on it, it counts all the same.
        for unnumbered in [false, true] {
            if unnumbered {
                collector.expect_unnumbered();
                self.probe().await?;
            }
            let answer = match unnumbered {
                false => answer,
                true => {
                    let seen = self.probe().await?;
                    seen.observation.answer().unwrap_or(answer)
                }
            };
            for _ in 0..10 {
                if collector.has(answer.0).await {
                    return Ok(());
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
        let name = self.backends().name(seen.observation.backend).unwrap_or("?").to_owned();
        let control = collector.remote().control();
        bail!(
            "{}: backend {name} answers, and the fleet at {control} has no record of it: another fleet's backends stand behind the \
             balancer, or a cache does\n  hint: choose the fleet with --fleet (uuid-generator fleet status), turn the cache off, or say \
             where else the backend's name stands with --identity",
            self.plan.url
        )
    }

    /// Whether what came of a request without TLS comes of that: asks the port, once, where that is likely.
    async fn should_have_tls(&mut self, seen: &Seen) -> Result<bool> {
        let odd = match seen.observation.sight {
            ClientOutcome::Malformed | ClientOutcome::Closed | ClientOutcome::Reset => true,
            // As nginx and others say it.
            ClientOutcome::Answer | ClientOutcome::Altered => seen.observation.status == 400,
            ClientOutcome::Truncated | ClientOutcome::TooLarge | ClientOutcome::TimedOut => false,
            ClientOutcome::Refused | ClientOutcome::Unreachable | ClientOutcome::TlsFailed => false,
        };
        if self.target.tls.is_some() || !odd {
            return Ok(false);
        }
        if self.speaks_tls.is_none() {
            let (address, patience) = (self.target.address, self.plan.timeout.min(HANDSHAKE));
            self.speaks_tls = Some(spawn_blocking(move || tls::is_spoken(address, patience)).await?);
        }
        Ok(self.speaks_tls == Some(true))
    }

    /// Why there is nothing to check.
    fn no_backend(&self, seen: &Seen) -> String {
        let url = &self.plan.url;
        let observation = &seen.observation;
        let waited = format!("{:?}", self.plan.timeout);
        if let Some(failure) = &seen.tls_failure {
            return format!("{url}: {failure}\n  hint: {}", failure.hint());
        }
        if self.speaks_tls == Some(true) {
            let rest = url.strip_prefix("http://").unwrap_or(url);
            return format!("{url}: that port speaks TLS\n  hint: write https://{rest}");
        }
        let (what, hint) = match observation.sight {
            ClientOutcome::TimedOut => (
                format!("no answer within {waited}"),
                "is it the balancer, and do its backends answer? --timeout waits longer",
            ),
            ClientOutcome::TooLarge => (
                format!("its answer is larger than {} MiB", BODY_LIMIT / 1024 / 1024),
                "is it the right path? The check wants the small page of a backend",
            ),
            ClientOutcome::Malformed => {
                ("what it answers is no HTTP/1.1".to_owned(), "does that port speak HTTP/2 only, or no HTTP?")
            }
            ClientOutcome::Closed | ClientOutcome::Reset => {
                ("it takes the connection and ends it without an answer".to_owned(), "does that port speak HTTP/1.1?")
            }
            ClientOutcome::Refused | ClientOutcome::Unreachable => {
                ("no connection".to_owned(), "does the balancer run, and listen on that port?")
            }
            ClientOutcome::TlsFailed => ("the TLS handshake fails".to_owned(), "does that port speak TLS?"),
            ClientOutcome::Truncated => ("its answer breaks off".to_owned(), "see the balancer's error log"),
            ClientOutcome::Answer | ClientOutcome::Altered => (
                format!("it answers {} itself, and no backend does", seen.head.lines().next().unwrap_or_default()),
                match (observation.status, self.identity.is_fleet()) {
                    (300..=399, _) => "it redirects: check the URL that it points to",
                    (404, _) => "is it the path that the balancer passes on (location /uuid)?",
                    (500..=599, _) => "does the fleet run where the balancer looks for it? Its error log says why",
                    (_, true) => {
                        "is it the path that the balancer passes on? For backends that are not ours say --identity"
                    }
                    (_, false) => {
                        "--identity says where the name of the backend stands in its answer, such as header:X-Served-By"
                    }
                },
            ),
        };
        format!("{url}: {what}\n  hint: {hint}")
    }

    /// The backends that are ready; all that are known, if nobody says which are.
    fn ready(&self) -> &[String] {
        let names = self.backends().names();
        &names[..self.members.unwrap_or(names.len()).min(names.len())]
    }

    /// How many backends get requests while all is well, if that is known.
    fn takers(&self) -> Option<usize> {
        let takes_part = |name: &&String| self.plan.expectations.takes_part(name);
        self.members.map(|_| self.ready().iter().filter(takes_part).count())
    }

    /// The sample.
    fn load(&self, inference: &Inference, first: u64) -> Result<Load> {
        let plan = self.plan;
        let drilled = !plan.scenario.steps.is_empty();
        let rate = plan.rate.or(drilled.then_some(DRILL_RATE));
        let shares = plan.expectations.shares(self.ready()).unwrap_or_default();
        let needed = match shares.len() {
            0 | 1 => 10_000,
            _ => needs(plan.expectations.tolerance - plan.expectations.margin, &shares, FALSE_ALARM),
        };
        let (requests, duration) = match (plan.requests, plan.duration, drilled) {
            (None, None, true) => (None, Some(duration_of(&plan.scenario))),
            (None, None, false) => (Some(needed), Some(LONGEST)),
            (requests, duration, _) => (requests, duration),
        };
        let connections =
            plan.connections.unwrap_or(if rate.is_some() { OPEN_CONNECTIONS } else { CLOSED_CONNECTIONS });
        Ok(Load {
            target: self.target.clone(),
            run: self.run,
            first,
            method: plan.method.clone(),
            headers: plan.headers.clone(),
            body: plan.bodies.first().map_or_else(Vec::new, |body| body.to_vec()),
            connections,
            reuse: if plan.new_connections || inference.per_connection { Reuse::New } else { Reuse::Kept },
            pacing: rate.map_or(Pacing::Closed, |rate| Pacing::Open { rate }),
            requests,
            duration,
            timeout: plan.timeout,
            body_limit: BODY_LIMIT,
            vary: self.vary(
                inference,
                requests.or(duration.zip(rate).map(|(time, rate)| (time.as_secs_f64() * rate) as u64)),
            ),
            identity: self.identity.clone(),
        })
    }

    /// What the balancer keys on is varied, so that all backends get something.
    fn vary(&self, inference: &Inference, requests: Option<u64>) -> Vary {
        // Each must come back a few times.
        let clients = requests.map_or(CLIENTS, |requests| (requests / 16).clamp(16, u64::from(CLIENTS)) as u32);
        match (inference.kind, &inference.key) {
            (Some(Algorithm::Sticky), _) => Vary::Jar { clients },
            (_, Some(Key::Network | Key::Host)) => Vary::Source { clients: clients.min(SOURCES) },
            (_, Some(Key::Path)) => {
                Vary::Path { clients, template: crate::check::subject::template(&self.target.path) }
            }
            (_, Some(Key::Header(name))) => Vary::Header { name: name.clone(), clients },
            (_, Some(Key::Cookie(name))) => Vary::Cookie { name: name.clone(), clients },
            (_, None) => Vary::Nothing,
        }
    }

    /// Drives the load on a thread of its own, while the plan is carried out.
    async fn sample(
        &mut self,
        load: Load,
        steps: Vec<scenario::Step>,
        remote: Option<Remote>,
    ) -> Result<(Traffic, Vec<StepResult>)> {
        let Some(mut backends) = self.backends.take() else { bail!("a phase of the check broke off") };
        let progress = self.watch.progress.clone();
        let start = tokio::time::Instant::now();
        let driving = spawn_blocking(move || {
            let result = drive(&load, &mut backends, &progress);
            (result, backends)
        });
        let (driven, done) = tokio::join!(driving, scenario::run::run(steps, remote, start));
        let (traffic, backends) = driven?;
        self.backends = Some(backends);
        Ok((traffic?, done))
    }
}

/// Collects records while something else goes on.
async fn watching<T>(collector: &mut Option<&mut Collector>, what: impl Future<Output = T>) -> T {
    match collector {
        Some(collector) => collector.collect_until(what).await,
        None => what.await,
    }
}

/// Sends requests until the set of backends that answer stays the same, or for so long as is sensible.
fn settle(live: &mut Live, members: Option<usize>) {
    let deadline = Instant::now() + STABLE;
    let round = 12 * members.unwrap_or(4).clamp(2, 200);
    let mut before: Vec<Backend> = Vec::new();
    while Instant::now() < deadline {
        let mut seen: Vec<Backend> = Vec::new();
        let mut unanswered = 0;
        for _ in 0..round {
            let Some(probe) = live.probe(&Request::default()) else { return };
            let whole = matches!(probe.observation.sight, ClientOutcome::Answer | ClientOutcome::Altered);
            match whole && probe.observation.backend.is_known() {
                true => seen.push(probe.observation.backend),
                false => unanswered += 1,
            }
            if Instant::now() > deadline {
                return;
            }
        }
        let set: Vec<Backend> = counts(&seen).into_iter().map(|(backend, _)| backend).collect();
        let all = members.is_some_and(|members| set.len() >= members);
        if unanswered == 0 && (all || set == before) {
            return;
        }
        before = set;
    }
}
