//! Whether the balancer verifies the certificates of its backends: one serves a bad certificate, requests are sent, and its records and
//! handshakes say what came of it. These requests are a run of their own, which no other rule judges.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::{Instant, sleep};

use crate::check::collector::Collected;
use crate::check::load::{BackendNames, DriveError, Probe, Prober};
use crate::check::session::CheckSession;
use crate::fleets::Fleets;
use crate::remote::Remote;
use crate::wire::{BackendStatus, BadCertificate, Fault};
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
                verification = examine(session, fleets, &required).await;
            }
        }
    }
    KnownTls { verification, connections }
}

/// Tries each certificate that is to be refused.
async fn examine(session: &CheckSession<'_>, fleets: &Fleets, required: &[TlsRequirement]) -> Verification {
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
    let Ok(mut examiner) = Examiner::new(session, fleets) else { return untried(Untried::Unreachable) };
    let mut trials = Vec::new();
    session.watch.enter("a backend serves bad certificates, one after the other");
    for bad in BadCertificate::ALL.into_iter().filter(|bad| required.contains(&TlsRequirement::of(*bad))) {
        // What could not be done is not known, which the rule says.
        if let Ok(Some(trial)) = examiner.examine(bad).await {
            trials.push(trial);
        }
    }
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
        let failed = session.handshakes_before.since(&status).into_iter();
        known.clients_refused +=
            failed.filter(|(reason, _)| reason.is_of_client_certificate()).map(|(_, count)| count).sum::<u64>();
    }
    known
}

struct Examiner<'a> {
    fleets: &'a Fleets,
    run: u64,
    /// None while it is on a thread of its own.
    client: Option<(Prober, BackendNames)>,
    /// When each backend was last tried, in trials since the first.
    tried: HashMap<String, usize>,
    /// How many requests find out who gets any.
    round: usize,
}

impl<'a> Examiner<'a> {
    fn new(session: &CheckSession<'_>, fleets: &'a Fleets) -> Result<Examiner<'a>> {
        let run = crate::check::run_number::new();
        let mut backends = BackendNames::new(session.client.names());
        backends.know(fleets.instances(), fleets.shared_names());
        let prober = session.new_prober_of(run, 0)?;
        let round = 4 * fleets.backends.len().max(2);
        Ok(Examiner { fleets, run, client: Some((prober, backends)), tried: HashMap::new(), round })
    }

    /// What becomes of that certificate at a backend that gets requests; none if there is no such backend.
    async fn examine(&mut self, bad: BadCertificate) -> Result<Option<Trial>> {
        let Some(backend) = self.find_reached().await? else { return Ok(None) };
        self.tried.insert(backend.clone(), self.tried.len());
        let before = self.fleets.status_of(&backend).await?;
        let earlier = before.faults.iter().copied().find(|fault| matches!(fault, Fault::Certificate(_)));
        self.fleets.fault(Fault::Certificate(Some(bad)), Some(&backend)).await?;
        let result = self.send_and_look(bad, &backend, &before).await;
        // Whatever came of it, the backend is as it was.
        self.fleets.fault(earlier.unwrap_or(Fault::Certificate(None)), Some(&backend)).await?;
        sleep(SETTLE).await;
        result.map(Some)
    }

    /// The backend among those that get requests that was tried least recently.
    async fn find_reached(&mut self) -> Result<Option<String>> {
        let deadline = Instant::now() + RETURN;
        loop {
            let SentProbes { ended, client, .. } = self.send(self.round, Arc::default())?.await??;
            self.client = Some(client);
            let names = self.client.as_ref().map(|(_, backends)| backends.names().to_vec()).unwrap_or_default();
            let known = ended.iter().filter(|it| it.backend.is_known() && it.status < 500);
            let mut reached: Vec<&String> = known.filter_map(|it| names.get(usize::from(it.backend.0))).collect();
            reached.retain(|name| self.fleets.backends.iter().any(|backend| backend.name == **name));
            match reached.into_iter().min_by_key(|name| self.tried.get(*name).copied().map_or(0, |place| place + 1)) {
                Some(name) => return Ok(Some(name.clone())),
                None if Instant::now() > deadline => return Ok(None),
                None => sleep(SETTLE).await,
            }
        }
    }

    async fn send_and_look(&mut self, bad: BadCertificate, backend: &str, before: &BackendStatus) -> Result<Trial> {
        let remote = self.fleets.remote_of(backend).context("the backend has left")?;
        let mut next = remote.records(u64::MAX, |_, _| {}).await?.head.next;
        let mut trial = Trial {
            certificate: bad,
            backend: backend.to_owned(),
            sent: 0,
            arrived: 0,
            failed: 0,
            share: 0.0,
            refused: None,
            handshakes: Vec::new(),
        };
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
                        looked = self.look(&mut trial, remote, &mut next, before).await;
                        is_known.fetch_or(is_settled(&trial) || looked.is_err(), Ordering::Relaxed);
                    }
                }
            };
            self.client = Some(client);
            looked?;
            trial.sent += begun;
            trial.failed += ended.iter().filter(|it| !it.backend.is_known()).count() as u64;
            if !is_settled(&trial) {
                sleep(SETTLE).await;
                self.look(&mut trial, remote, &mut next, before).await?;
            }
            let enough = match trial.shows() {
                CertificateTrial::Accepted | CertificateTrial::Alert => true,
                CertificateTrial::Left => trial.sent >= most,
                CertificateTrial::Nothing => Instant::now() > deadline,
            };
            if enough || Instant::now() > deadline + LONGEST {
                break;
            }
        }
        Ok(trial)
    }

    /// What has arrived and what has failed at that backend since.
    async fn look(&self, trial: &mut Trial, remote: &Remote, next: &mut u64, before: &BackendStatus) -> Result<()> {
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
        Ok(())
    }

    /// Sends that many requests, each on a connection of its own, some at once, until they have ended or it is known what they were
    /// to find out.
    fn send(&mut self, count: usize, is_known: Arc<AtomicBool>) -> Result<JoinHandle<Result<SentProbes, DriveError>>> {
        let (mut prober, mut backends) = self.client.take().context("the client is gone")?;
        Ok(spawn_blocking(move || {
            let (mut begun, mut ended) = (0, Vec::new());
            let mut held = VecDeque::new();
            while !is_known.load(Ordering::Relaxed) && (begun < count || !held.is_empty()) {
                while begun < count && held.len() < AT_ONCE {
                    let probe = Probe { patience: Some(PATIENCE), ..Probe::default() };
                    held.push_back(prober.begin(&probe, &mut backends)?);
                    begun += 1;
                }
                ended.extend(prober.take_ended(LOOK, &mut held, &mut backends).iter().map(|it| it.observation));
            }
            Ok(SentProbes { begun: begun as u64, ended, client: (prober, backends) })
        }))
    }
}

/// Nothing that is still on its way can change what it shows.
fn is_settled(trial: &Trial) -> bool {
    matches!(trial.shows(), CertificateTrial::Accepted | CertificateTrial::Alert)
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
