//! How many connections the balancer serves at once: one that is not served beside the others, and is as soon as one of these ends, waits
//! for its turn (HAProxy's `maxconn`) or is refused until then (Traefik's `inFlightConn`). The check then uses no more.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::check::load::{BackendNames, DriveError, Held, Probe, ProbeConnection, Prober};
use crate::check::session::CheckSession;
use verdict::facts::connections::ConnectionLimit;
use verdict::observation::ClientOutcome;

/// More connections are not tried.
const MOST: usize = 64;
/// Of slower services it is not looked for: each connection waits for its response.
const SLOWEST: Duration = Duration::from_millis(50);
/// What has no response in this time is not served.
const PATIENCE: Duration = Duration::from_secs(1);
/// What waits is served so soon when another connection ends.
const SOON: Duration = Duration::from_millis(400);
/// A balancer needs a moment to notice that a connection has ended.
const A_MOMENT: Duration = Duration::from_millis(50);
/// So often one ends, and the next is served for that.
const TIMES: usize = 3;

/// Looks for a limit below what the check is to use.
pub(super) async fn look(session: &mut CheckSession<'_>) -> Result<()> {
    let plan = session.plan;
    let wanted = plan.connections_at_once();
    let is_bounded = plan.load.budget.is_some() || plan.load.rate.is_some();
    let usual = session.client.with(|prober, _| prober.usual_time()).unwrap_or_default();
    if is_bounded || usual > SLOWEST || wanted < 2 {
        return Ok(());
    }
    let most = wanted.min(MOST);
    let found = session.on_client(move |live| {
        let found = find(live.prober, live.backends, most);
        live.prober.hang_up_all();
        found
    });
    let Some(at_once) = found.await?? else { return Ok(()) };
    session.watch.announce(&format!(
        "the balancer serves {at_once} connections at once, and no more until one of them ends: the check uses no more"
    ));
    session.client.limit_connections(at_once);
    let is_asked = plan.load.connections.is_some();
    session.connection_limit = Some(ConnectionLimit { at_once: at_once as u64, wanted: wanted as u64, is_asked });
    Ok(())
}

/// A connection that was opened.
enum Opened {
    Served,
    Waits(VecDeque<Held>),
    Refused,
    /// The balancer itself responded, or the response was broken: what it refuses so is limited by something else.
    ByItself,
}

/// The number of connections that are served at once, if it is fewer than that.
fn find(prober: &mut Prober, backends: &mut BackendNames, most: usize) -> Result<Option<usize>, DriveError> {
    let mut slot = 0;
    let mut last = loop {
        if slot == most {
            return Ok(None);
        }
        match open(prober, backends, slot, PATIENCE)? {
            Opened::Served => slot += 1,
            Opened::ByItself => return Ok(None),
            unserved => break unserved,
        }
    };
    let at_once = slot;
    for ended in 0..TIMES.min(at_once) {
        prober.hang_up(ended);
        let is_served = match last {
            Opened::Served | Opened::ByItself => false,
            Opened::Waits(held) => matches!(wait(prober, backends, held, SOON), Opened::Served),
            Opened::Refused => {
                std::thread::sleep(A_MOMENT);
                matches!(open(prober, backends, slot, SOON)?, Opened::Served)
            }
        };
        slot += 1;
        if !is_served {
            return Ok(None);
        }
        last = open(prober, backends, slot, SOON)?;
        if matches!(last, Opened::Served | Opened::ByItself) {
            return Ok(None);
        }
    }
    Ok((at_once > 0).then_some(at_once))
}

/// Sends a request on a connection of its own, which is kept.
fn open(
    prober: &mut Prober,
    backends: &mut BackendNames,
    slot: usize,
    patience: Duration,
) -> Result<Opened, DriveError> {
    // One that waits goes on waiting while others are tried.
    let all = PATIENCE + SOON * 2 * TIMES as u32;
    let probe = Probe { connection: ProbeConnection::Kept(slot), patience: Some(all), ..Probe::default() };
    let held = prober.begin(&probe, backends)?;
    Ok(wait(prober, backends, VecDeque::from([held]), patience))
}

fn wait(prober: &mut Prober, backends: &mut BackendNames, mut held: VecDeque<Held>, patience: Duration) -> Opened {
    let until = Instant::now() + patience;
    loop {
        let left = until.saturating_duration_since(Instant::now());
        if let Some(ended) = prober.take_ended(left, &mut held, backends).pop() {
            let is_known = ended.observation.backend.is_known();
            return match ended.observation.outcome {
                ClientOutcome::Response | ClientOutcome::Altered if is_known => Opened::Served,
                ClientOutcome::Response
                | ClientOutcome::Altered
                | ClientOutcome::Truncated
                | ClientOutcome::TooLarge
                | ClientOutcome::Malformed => Opened::ByItself,
                ClientOutcome::Closed
                | ClientOutcome::Reset
                | ClientOutcome::StreamReset
                | ClientOutcome::TimedOut
                | ClientOutcome::Refused
                | ClientOutcome::Unreachable
                | ClientOutcome::TlsFailed
                | ClientOutcome::Unsent => Opened::Refused,
            };
        }
        if left.is_zero() {
            return Opened::Waits(held);
        }
    }
}
