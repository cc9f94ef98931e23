//! Whether the balancer verifies the certificates of its backends: one serves a bad certificate, requests are sent, and its records and
//! handshakes say what came of it. These requests are a run of their own, which no other rule judges.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::{Instant, sleep};

use crate::check::collector::Collected;
use crate::check::load::{BackendNames, DriveError, Held, Probe, Prober, Vary, source};
use crate::check::session::CheckSession;
use crate::fleets::Fleets;
use crate::remote::Remote;
use crate::wire::{BackendStatus, BadCertificate, Fault};
use verdict::HandshakeFailure;
use verdict::facts::tls::{ArrivedConnections, CertificateTrial, KnownTls, Refused, Trial, Untried, Verification};
use verdict::observation::Observation;
use verdict::rules::{Requirement, TlsRequirement};

/// A request that gets no response meanwhile is not waited for longer.
const PATIENCE: Duration = Duration::from_secs(2);
/// The backend closes kept connections that have another certificate, and its handshakes are known, after that time.
const SETTLE: Duration = Duration::from_millis(200);
/// How often it is looked what has come of requests that are on their way: a balancer may try for seconds what it refuses.
const LOOK: Duration = Duration::from_millis(50);
/// Requests a backend, none of which arrives: by chance that happens to no backend that gets its share.
const AVOIDED: u64 = 16;
/// What one certificate may take until it is open what the balancer makes of it; twice that where it is soon known.
const LONGEST: Duration = Duration::from_secs(5);
/// Connections that are tried at the same time.
const AT_ONCE: usize = 8;
/// A balancer may keep away from a backend that failed for this time: NGINX's fail_timeout, and a little.
const RETURN: Duration = Duration::from_secs(12);

/// What backends know of TLS, and what is tried with bad certificates, if somebody asks for that.
pub(crate) async fn of_session(
    session: &CheckSession<'_>,
    fleets: Option<&Fleets>,
    records: Option<&Collected>,
    vary: &Vary,
) -> KnownTls {
    let required = session.plan.expectations.required.iter().filter_map(Requirement::tls).collect::<Vec<_>>();
    let mut connections = ArrivedConnections::default();
    let mut verification = Verification::default();
    match fleets {
        None => verification.untried = Some(Untried::NoFleet),
        Some(fleets) => {
            let arrived = records.map(|records| records.tls.clone()).unwrap_or_default();
            if arrived.secured > 0 || !required.is_empty() {
                connections = ArrivedConnections { arrived, ..connections_of(session, fleets).await };
            }
            if required.iter().any(|required| required.is_about_certificates()) {
                verification = examine(session, fleets, &required, vary).await;
            }
        }
    }
    KnownTls { verification, connections }
}

/// Tries each certificate that is to be refused.
async fn examine(
    session: &CheckSession<'_>,
    fleets: &Fleets,
    required: &[TlsRequirement],
    vary: &Vary,
) -> Verification {
    let untried = |untried| Verification { untried: Some(untried), ..Verification::default() };
    let first = match fleets.backends.first() {
        Some(backend) => fleets.status_of(&backend.name).await,
        None => return untried(Untried::NoFleet),
    };
    match first.map(|status| status.tls) {
        Ok(Some(tls)) if tls.bad_certificates.is_empty() => return untried(Untried::NoAuthority),
        Ok(Some(_)) => {}
        Ok(None) => return untried(Untried::NoTls),
        Err(_) => return untried(Untried::Unreachable),
    }
    let Ok(mut examiner) = Examiner::new(session, fleets, vary) else { return untried(Untried::Unreachable) };
    session.watch.enter("backends serve bad certificates, one kind after the other");
    // What could not be done is not known, which the rule says.
    let _ = examiner.examine_all(required).await;
    let trials = examiner.trials;
    let is_none = trials.is_empty();
    Verification { trials, untried: is_none.then_some(Untried::Unreachable), ..Verification::default() }
}

/// What backends know of their clients' handshakes.
async fn connections_of(session: &CheckSession<'_>, fleets: &Fleets) -> ArrivedConnections {
    let mut known = ArrivedConnections::default();
    for backend in &fleets.backends {
        let Ok(status) = fleets.status_of(&backend.name).await else { continue };
        let Some(tls) = &status.tls else { continue };
        known.asks_clients = Some(known.asks_clients.unwrap_or(true) && tls.asks_clients);
        let failed = session.handshakes_before.since(&status);
        let of_clients = failed.iter().filter(|(reason, _)| reason.is_of_client_certificate());
        known.clients_refused += of_clients.map(|(_, count)| count).sum::<u64>();
        for (reason, count) in &failed {
            match known.failed.iter_mut().find(|it| it.reason == *reason) {
                Some(alike) => alike.count += count,
                None => known.failed.push(Refused { reason: *reason, count: *count }),
            }
        }
        // NGINX verifies after the handshake and closes, as a health check may: then it must be known that the certificate is bad.
        let bad = status.faults.iter().find_map(|fault| match fault {
            Fault::Certificate(bad) => *bad,
            _ => None,
        });
        let is_refusal =
            |why: HandshakeFailure| why.refuses_certificate() || bad.is_some() && why == HandshakeFailure::ClosedAfter;
        let refusals = failed.iter().filter(|(reason, _)| is_refusal(**reason));
        let most = refusals.max_by_key(|(_, count)| **count);
        let Some((reason, _)) = most else { continue };
        known.not_accepted.insert(backend.name.clone(), *reason);
        known.bad_certificates.extend(bad.map(|bad| (backend.name.clone(), bad)));
    }
    known.failed.sort_by_key(|it| std::cmp::Reverse(it.count));
    known
}

struct Examiner<'a> {
    fleets: &'a Fleets,
    run: u64,
    /// None while it is on a thread of its own.
    client: Option<(Prober, BackendNames)>,
    /// What the balancer keys on.
    vary: Vary,
    /// In the order in which they were made.
    trials: Vec<Trial>,
    /// Backends that ever got a request.
    seen: BTreeSet<String>,
    /// How many requests find out who gets any.
    round: usize,
}

/// A trial that goes on, and what its backend had before.
struct OpenTrial {
    trial: Trial,
    before: BackendStatus,
    /// The record of the fleet from which on nothing was looked at.
    next: u64,
}

impl OpenTrial {
    /// Nothing that is still on its way can change what it shows.
    fn is_settled(&self) -> bool {
        matches!(self.trial.shows(), CertificateTrial::Accepted | CertificateTrial::Alert)
    }
}

impl<'a> Examiner<'a> {
    fn new(session: &CheckSession<'_>, fleets: &'a Fleets, vary: &Vary) -> Result<Examiner<'a>> {
        let run = crate::check::run_number::new();
        let mut backends = BackendNames::new(session.client.names());
        backends.know(fleets.instances(), fleets.shared_names());
        let prober = session.new_prober_of(run, 0)?;
        let round = 4 * fleets.backends.len().max(2);
        let (client, vary) = (Some((prober, backends)), vary.clone());
        Ok(Examiner { fleets, run, client, vary, trials: Vec::new(), seen: BTreeSet::new(), round })
    }

    /// Each kind at one backend. Then at every other backend those that tell whether it is verified as it should be: a balancer may be
    /// configured for each backend alone, as HAProxy's server lines are.
    async fn examine_all(&mut self, required: &[TlsRequirement]) -> Result<()> {
        let is_required = |bad: &BadCertificate| required.contains(&TlsRequirement::of(*bad));
        for bad in BadCertificate::ALL.into_iter().filter(is_required) {
            if let Some(backend) = self.find_reached(|_| true).await?.first() {
                self.examine(bad, std::slice::from_ref(backend)).await?;
            }
        }
        for bad in BadCertificate::AT_EACH_BACKEND.into_iter().filter(is_required) {
            self.examine_others(bad).await?;
        }
        Ok(())
    }

    /// Half of the backends at once, so that others are there for who sends requests meanwhile. One that is accepted decides.
    async fn examine_others(&mut self, bad: BadCertificate) -> Result<()> {
        while self.accepting().is_none() {
            let had = |trial: &&Trial| trial.certificate == bad;
            let had: Vec<String> = self.trials.iter().filter(had).map(|trial| trial.backend.clone()).collect();
            let left = |name: &str| !had.iter().any(|it| it == name);
            if !self.seen.iter().any(|name| left(name)) {
                break;
            }
            let mut reached = self.find_reached(left).await?;
            reached.truncate((self.fleets.backends.len() / 2).max(1));
            if reached.is_empty() {
                break;
            }
            self.examine(bad, &reached).await?;
            // Is it the name alone, or is nothing verified there?
            if let (BadCertificate::OtherName, Some(backend)) = (bad, self.accepting()) {
                self.examine(BadCertificate::UnknownCa, &[backend]).await?;
            }
        }
        Ok(())
    }

    /// A backend that got requests despite its certificate.
    fn accepting(&self) -> Option<String> {
        self.trials.iter().find(|trial| trial.arrived > 0).map(|trial| trial.backend.clone())
    }

    /// What becomes of that certificate at these backends.
    async fn examine(&mut self, bad: BadCertificate, backends: &[String]) -> Result<()> {
        let mut open = Vec::new();
        for backend in backends {
            let before = self.fleets.status_of(backend).await?;
            open.push(OpenTrial { trial: Trial::new(bad, backend), before, next: 0 });
        }
        for it in &open {
            self.fleets.fault(Fault::Certificate(Some(bad)), Some(&it.trial.backend)).await?;
        }
        let result = self.send_and_look(&mut open).await;
        // Whatever came of it, the backends are as they were.
        for it in &open {
            let earlier = it.before.faults.iter().copied().find(|fault| matches!(fault, Fault::Certificate(Some(_))));
            self.fleets.fault(earlier.unwrap_or(Fault::Certificate(None)), Some(&it.trial.backend)).await?;
        }
        sleep(SETTLE).await;
        self.trials.extend(open.into_iter().map(|it| it.trial));
        result
    }

    /// The backends that get requests, of those that are wanted; first whoever was tried least recently.
    async fn find_reached(&mut self, is_wanted: impl Fn(&str) -> bool) -> Result<Vec<String>> {
        let deadline = Instant::now() + RETURN;
        loop {
            let SentProbes { ended, client, .. } = self.send(self.round, Arc::default())?.await??;
            self.client = Some(client);
            let names = self.client.as_ref().map(|(_, backends)| backends.names().to_vec()).unwrap_or_default();
            let known = ended.iter().filter(|it| it.backend.is_known() && it.status < 500);
            let mut reached = BTreeSet::new();
            for name in known.filter_map(|it| names.get(usize::from(it.backend.0))) {
                if self.fleets.backends.iter().any(|backend| backend.name == *name) {
                    self.seen.insert(name.clone());
                    reached.insert(name.clone());
                }
            }
            let mut reached: Vec<String> = reached.into_iter().filter(|name| is_wanted(name)).collect();
            if !reached.is_empty() || Instant::now() > deadline {
                let tried = |name: &String| self.trials.iter().rposition(|trial| trial.backend == *name);
                reached.sort_by_key(tried);
                return Ok(reached);
            }
            sleep(SETTLE).await;
        }
    }

    async fn send_and_look(&mut self, open: &mut [OpenTrial]) -> Result<()> {
        for it in open.iter_mut() {
            it.next = self.remote_of(&it.trial)?.records(u64::MAX, |_, _| {}).await?.head.next;
        }
        let deadline = Instant::now() + LONGEST;
        let most = AVOIDED * self.fleets.backends.len() as u64;
        sleep(SETTLE).await;
        loop {
            let is_known = Arc::new(AtomicBool::new(false));
            let mut sending = self.send(most as usize, is_known.clone())?;
            let mut looked = Ok(());
            let SentProbes { begun, ended, client } = loop {
                tokio::select! {
                    sent = &mut sending => break sent??,
                    () = sleep(LOOK) => {
                        looked = self.look(open).await;
                        is_known.fetch_or(open.iter().all(OpenTrial::is_settled) || looked.is_err(), Ordering::Relaxed);
                    }
                }
            };
            self.client = Some(client);
            looked?;
            for OpenTrial { trial, .. } in open.iter_mut() {
                trial.sent += begun;
                trial.failed += ended.iter().filter(|it| !it.backend.is_known()).count() as u64;
            }
            if !open.iter().all(OpenTrial::is_settled) {
                sleep(SETTLE).await;
                self.look(open).await?;
            }
            let is_enough = |it: &OpenTrial| match it.trial.shows() {
                CertificateTrial::Accepted | CertificateTrial::Alert => true,
                CertificateTrial::Left => it.trial.sent >= most,
                CertificateTrial::Nothing => Instant::now() > deadline,
            };
            if open.iter().all(is_enough) || Instant::now() > deadline + LONGEST {
                return Ok(());
            }
        }
    }

    /// What has arrived and what has failed at those backends since.
    async fn look(&self, open: &mut [OpenTrial]) -> Result<()> {
        for OpenTrial { trial, before, next } in open {
            let remote = self.remote_of(trial)?;
            loop {
                let (run, bad, arrived) = (self.run, trial.certificate, &mut trial.arrived);
                let head = remote.records(*next, |record, has_ended| {
                    let is_ours = record.request.is_some_and(|request| request.run == run);
                    let is_its = record.generator == before.id && record.tls.is_some_and(|tls| tls.bad == Some(bad));
                    *arrived += u64::from(has_ended && is_ours && is_its);
                });
                let head = head.await?.head;
                if head.next == *next {
                    break;
                }
                *next = head.next;
            }
            trial.handshakes = handshakes(trial.certificate, before, &self.fleets.status_of(&trial.backend).await?);
        }
        Ok(())
    }

    fn remote_of(&self, trial: &Trial) -> Result<&Remote> {
        self.fleets.remote_of(&trial.backend).context("the backend has left")
    }

    /// Sends that many requests, each on a connection of its own, some at once, until they have ended or it is known what they were
    /// to find out.
    fn send(&mut self, count: usize, is_known: Arc<AtomicBool>) -> Result<JoinHandle<Result<SentProbes, DriveError>>> {
        let (mut prober, mut backends) = self.client.take().context("the client is gone")?;
        let vary = self.vary.clone();
        Ok(spawn_blocking(move || {
            let (mut begun, mut ended) = (0, Vec::new());
            let mut held = VecDeque::new();
            while !is_known.load(Ordering::Relaxed) && (begun < count || !held.is_empty()) {
                while begun < count && held.len() < AT_ONCE {
                    held.push_back(begin_as(begun as u32, &vary, &mut prober, &mut backends)?);
                    begun += 1;
                }
                ended.extend(prober.take_ended(LOOK, &mut held, &mut backends).iter().map(|it| it.observation));
            }
            Ok(SentProbes { begun: begun as u64, ended, client: (prober, backends) })
        }))
    }
}

/// Sends the request as that client of the sample does.
fn begin_as(client: u32, vary: &Vary, prober: &mut Prober, backends: &mut BackendNames) -> Result<Held, DriveError> {
    let (mut from, mut path, mut header) = (None, None, None);
    match vary {
        Vary::Source { .. } => from = Some(source(client)),
        Vary::Path { template, .. } => path = Some(template.replace("{}", &client.to_string())),
        Vary::Header { name, .. } => header = Some((name.as_str(), format!("client-{client}"))),
        Vary::Cookie { name, .. } => header = Some(("Cookie", format!("{name}=client-{client}"))),
        // Each request is that of a new client.
        Vary::Nothing | Vary::Jar { .. } | Vary::Session { .. } => {}
    }
    let header = header.as_ref().map(|(name, value)| (*name, value.as_str()));
    let (path, headers) = (path.as_deref(), header.as_slice());
    prober.begin(&Probe { source: from, path, headers, patience: Some(PATIENCE), ..Probe::default() }, backends)
}

/// Requests that were sent, and what became of those that have ended.
struct SentProbes {
    begun: u64,
    ended: Vec<Observation>,
    client: (Prober, BackendNames),
}

/// Those that have failed since, while that was wrong with the certificate.
fn handshakes(bad: BadCertificate, before: &BackendStatus, now: &BackendStatus) -> Vec<Refused> {
    let failed = |status: &BackendStatus| status.tls.clone().unwrap_or_default().failed;
    let earlier = failed(before);
    let its = failed(now).into_iter().filter(|it| it.bad_certificate == Some(bad));
    let new = its.map(|it| {
        let same = earlier.iter().find(|old| (old.bad_certificate, old.reason) == (it.bad_certificate, it.reason));
        Refused { count: it.count - same.map_or(0, |old| old.count.min(it.count)), reason: it.reason }
    });
    new.filter(|it| it.count > 0).collect()
}
