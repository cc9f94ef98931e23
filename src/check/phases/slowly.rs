//! A few requests, slowly, after a sample in which the balancer refused many, and some as fast as before: what ends and begins again so is
//! a limit. Whether it limits the rate or requests at once shows where backends can be asked to take their time: the same pace, with and
//! without many in flight.

use std::time::{Duration, Instant};

use anyhow::Result;
use tokio::task::spawn_blocking;

use crate::check::load::{BackendNames, DriveError, Probe, Prober};
use crate::check::session::CheckSession;
use crate::check::subject::LiveSubject;
use verdict::algorithm::experiments::{Pace, ProbeReply, ProbeRequest, Subject};
use verdict::limit::{self, LimitKind, SlowTrial};
use verdict::observation::Observation;

/// What a limit allows again after as long.
const REST: Duration = Duration::from_millis(1100);
/// Where nothing of the sample passed: a limit over seconds that counts what it refuses, too, allows requests again after as long.
const LONGER: [Duration; 3] = [Duration::from_millis(2200), Duration::from_secs(11), Duration::from_secs(21)];
const REQUESTS: u32 = 8;
const GAP: Duration = Duration::from_millis(250);
const PATIENCE: Duration = Duration::from_secs(2);
/// As fast as the sample again, which a limit refuses again: the size of a batch, at least and at most; batches follow until one request is refused or time is over.
const AGAIN: usize = 64;
const MOST_AGAIN: usize = 256;
const LONGEST_AGAIN: Duration = Duration::from_secs(2);
/// A quick balancer may have few in flight here where it had many in the sample: that many times what chance would not let pass.
const ROUNDS: usize = 64;
const LONGEST: Duration = Duration::from_secs(6);
/// With many in flight, and without: no more requests, and no longer.
const MOST: usize = 64;
const LEAST: usize = 8;
const PACED: Duration = Duration::from_millis(2000);
/// A busy machine may send some of them late and all at once: then it is tried again, half as fast.
const TRIALS: u32 = 3;
/// Of the rate that passed. What the sample shows of it may be too much by a burst.
const SLOWER: f64 = 4.0;
const LEAST_GAP: Duration = Duration::from_millis(4);
/// Where a sample was over so soon that nothing passed in its latter half.
const FIRST_GAP: Duration = Duration::from_millis(30);

/// Their observations, and what they show. `first` is the number of the next request of the run; `sample` what passed and what was refused with
/// that status.
pub(crate) async fn probe(
    session: &mut CheckSession<'_>,
    first: u64,
    sample: &[Observation],
    status: u16,
) -> Result<(Vec<Observation>, SlowTrial)> {
    tokio::time::sleep(REST).await;
    let (mut seen, mut trial) = try_slowly(session, first, sample, status).await?;
    let is_denied = (400..500).contains(&status) && status != 429 && own(sample).count() == sample.len();
    for rest in LONGER {
        if trial.passed || !is_denied {
            break;
        }
        tokio::time::sleep(rest).await;
        let (more, later) = try_slowly(session, first + seen.len() as u64, sample, status).await?;
        seen.extend(more);
        trial = later;
    }
    Ok((seen, trial))
}

async fn try_slowly(
    session: &mut CheckSession<'_>,
    first: u64,
    sample: &[Observation],
    status: u16,
) -> Result<(Vec<Observation>, SlowTrial)> {
    let mut prober = session.new_prober(first)?;
    let mut backends = BackendNames::new(session.client.names());
    let pace = passed_rate(sample).map(|rate| LEAST_GAP.max(Duration::from_secs_f64(SLOWER / rate)));
    let can_delay = session.identity.is_fleet() && !session.plan.request.grpc;
    let (path, connections) = (session.client.target().path.clone(), session.connections_at_once());
    let share = own(sample).filter(|own| *own == status).count() as f64 / sample.len() as f64;
    let needed = limit::trials(share).max(REQUESTS);
    let probing = spawn_blocking(move || {
        let passed = all_pass_slowly(&mut prober, &mut backends, needed, pace.filter(|_| can_delay).unwrap_or(GAP))?;
        let mut kind = None;
        if passed && can_delay {
            let mut live = LiveSubject::new(&mut prober, &mut backends, &path, false, connections);
            let gap = pace.unwrap_or(FIRST_GAP);
            let mut gaps = (0..TRIALS).map(|trial| gap * 2u32.pow(trial));
            kind = gaps.find_map(|gap| what_is_limited(&mut live, gap, connections).ok()).flatten();
            live.end()?;
        }
        let slow = prober.observations().len();
        if passed {
            send_again(&mut prober, &mut backends, &path, connections, needed as usize, status)?;
        }
        let observations = prober.into_observations().0;
        // What is refused with another status meets another limit, and that of the sample may be either.
        let kind = kind.filter(|_| own(&observations).all(|own| own == status || !limit::is_refusal(own)));
        let requests = observations[..slow].iter().take_while(|seen| seen.backend.is_known()).count() as u32;
        let is_refused_again = own(&observations[slow..]).any(|own| own == status);
        Ok::<_, DriveError>((observations, SlowTrial { passed, requests, is_refused_again, kind }))
    });
    session.collecting(probing).await?.map_err(Into::into)
}

/// Sends requests one by one, the first of them at leisure, and says whether all passed: one that did not decides.
fn all_pass_slowly(
    prober: &mut Prober,
    backends: &mut BackendNames,
    needed: u32,
    gap: Duration,
) -> std::result::Result<bool, DriveError> {
    let deadline = Instant::now() + LONGEST;
    for request in 0..needed {
        if Instant::now() > deadline {
            break;
        }
        let seen = prober.probe(&Probe { patience: Some(PATIENCE), ..Probe::default() }, backends)?;
        if !seen.observation.backend.is_known() {
            return Ok(false);
        }
        std::thread::sleep(if request < REQUESTS { GAP } else { gap });
    }
    Ok(true)
}

/// Sends as fast as the sample again, until the balancer refuses one.
fn send_again(
    prober: &mut Prober,
    backends: &mut BackendNames,
    path: &str,
    connections: usize,
    needed: usize,
    status: u16,
) -> std::result::Result<(), DriveError> {
    let deadline = Instant::now() + LONGEST_AGAIN;
    let before = prober.observations().len();
    let batch = vec![ProbeRequest::default(); AGAIN.max(2 * connections).min(MOST_AGAIN)];
    let pace = Pace { width: connections, gap: Duration::ZERO, until: Duration::MAX };
    loop {
        let mut live = LiveSubject::new(prober, backends, path, false, connections);
        live.send_all(&batch, &pace);
        live.end()?;
        let sent = &prober.observations()[before..];
        let is_enough = sent.len() >= needed * ROUNDS || Instant::now() > deadline;
        if is_enough || own(sent).any(|own| own == status) {
            return Ok(());
        }
    }
}

/// The statuses that the balancer itself gave.
fn own(seen: &[Observation]) -> impl Iterator<Item = u16> {
    seen.iter().filter(|it| !it.backend.is_known()).map(|it| it.status)
}

/// The status with which the sample was refused, if it was so often: that may be a limit.
pub(crate) fn refusal(sample: &[Observation]) -> Option<u16> {
    limit::refusal(own(sample), sample.len())
}

/// Requests per second that passed in the latter half of the sample: a limit may allow a burst at first.
fn passed_rate(sample: &[Observation]) -> Option<f64> {
    let later = &sample[sample.len() / 2..];
    let (begin, end) = (later.iter().map(Observation::sent).min()?, later.iter().map(|it| it.ended).max()?);
    let passed = later.iter().filter(|observation| observation.backend.is_known()).count();
    (passed > 0).then(|| passed as f64 / end.since(begin).as_secs_f64().max(1e-3))
}

/// The trial says nothing: what should have passed was refused, or did not come.
struct Disturbed;

/// At a pace that a limit of the rate lets pass, as it then does, many in flight at once are refused by a limit of these alone.
fn what_is_limited(
    live: &mut LiveSubject,
    gap: Duration,
    connections: usize,
) -> std::result::Result<Option<LimitKind>, Disturbed> {
    let count = ((PACED.as_secs_f64() / gap.as_secs_f64()) as usize).min(MOST);
    if count < LEAST {
        return Ok(None);
    }
    let pace = Pace { width: count, gap, until: Duration::MAX };
    let passes = |reply: &ProbeReply| reply.pick.is_some_and(|pick| pick.backend.is_known());
    let control = live.send_all(&vec![ProbeRequest::default(); count], &pace);
    if control.len() < count || !control.iter().all(passes) {
        return Err(Disturbed);
    }
    let delay = gap * count as u32 + GAP;
    let held = live.send_all(&vec![ProbeRequest { delay: Some(delay), ..ProbeRequest::default() }; count], &pace);
    let refused = held.iter().filter(|reply| !passes(reply) && reply.took < delay).count();
    let passed = held.iter().filter(|reply| passes(reply)).count();
    match refused {
        _ if refused + passed < count => Err(Disturbed),
        // The sample had no more at once than that, and was refused.
        0 => Ok((count > connections).then_some(LimitKind::Rate)),
        refused if passed > 0 && refused > 1 => Ok(Some(LimitKind::AtOnce(passed as u64))),
        _ => Err(Disturbed),
    }
}
