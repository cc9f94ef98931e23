//! Finds out who is asked behind a balancer: requests go through it, whoever refuses is missing, and gets a responder; until nobody is
//! missing any more.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rustls::ServerConfig;
use world::names::WorldNames;
use world::scout::Scout;

use crate::check::plan::{Backing, CheckPlan, Trust};
use crate::check::{Visited, Visitor};
use crate::error::Problem;
use crate::rehearse::group::Visits;
use crate::rehearse::order::{RehearsalPlan, UrlTarget, addresses_of, is_here};
use crate::rehearse::responder::Responder;
use crate::report::phrases::what_came;

/// Requests that bring nothing new before a round ends.
const QUIET: usize = 20;
/// After somebody new was found, it is soon time to put somebody there.
const SOON: usize = 6;
/// A balancer that looks after its backends, or asks for their names, needs this long until it uses them.
const PATIENCE: Duration = Duration::from_secs(8);
/// One that listens before it has read all of its files has done so within this time.
const READ: Duration = Duration::from_secs(4);
/// Of one request.
const TIMEOUT: Duration = Duration::from_secs(10);
/// What gets an empty response unless the user wants another one.
const STATUS: u16 = 204;
/// A server behind a server behind a server.
const ROUNDS: usize = 8;

/// Who was found so far.
pub(super) struct Scouted {
    tls: Arc<ServerConfig>,
    responders: Vec<Responder>,
    /// Those that the user named: no backends.
    answered: BTreeSet<SocketAddr>,
    /// In the order in which they were found.
    found: Vec<SocketAddr>,
    visits: Visits,
    rounds: usize,
}

impl Scouted {
    pub(super) fn new(order: &RehearsalPlan, names: &WorldNames, tls: Arc<ServerConfig>) -> Result<Scouted> {
        let mut scouted = Scouted {
            tls,
            responders: Vec::new(),
            answered: BTreeSet::new(),
            found: Vec::new(),
            visits: Visits::default(),
            rounds: 0,
        };
        for (host, port, status) in &order.answers {
            let named = names.addresses(host).into_iter().map(|ip| SocketAddr::new(ip, *port)).collect();
            let all = if host.parse::<std::net::IpAddr>().is_ok() { addresses_of(host, *port) } else { named };
            for address in all {
                scouted.answered.insert(address);
                scouted.put(address, *status)?;
            }
        }
        Ok(scouted)
    }

    fn put(&mut self, address: SocketAddr, status: u16) -> Result<()> {
        let network = (!is_here(address.ip())).then_some(Path::new(world::BACKENDS_NETWORK));
        let responder = Responder::start(address, network, status, &self.tls);
        self.responders.push(responder.with_context(|| format!("failed to listen on {address}"))?);
        Ok(())
    }

    /// Sends requests until they bring nothing new. Whether somebody was missing: then the balancer is to be started anew.
    pub(super) fn round(&mut self, order: &RehearsalPlan, places: &[UrlTarget], scout: &Scout) -> Result<bool> {
        self.rounds += 1;
        self.visits = Visits::default();
        let mut new: Vec<SocketAddr> = Vec::new();
        let (begun, mut quiet, mut latest) = (Instant::now(), 0, None);
        while quiet < SOON || new.is_empty() && quiet < QUIET {
            for (url, place) in order.urls.iter().zip(places) {
                let before = self.requests();
                latest = Some((url.clone(), visit(order, url, anyone(place))?));
                self.visits.add(&self.responders, &before, &self.answered);
            }
            let refused = scout.seen().refused;
            let fresh: Vec<SocketAddr> = refused
                .into_keys()
                .filter(|address| {
                    address.port() != 53
                        && !places.iter().any(|place| place.port == address.port() && is_here(address.ip()))
                })
                .filter(|address| {
                    !self.found.contains(address) && !new.contains(address) && !self.answered.contains(address)
                })
                .collect();
            quiet = if fresh.is_empty() { quiet + 1 } else { 0 };
            new.extend(fresh);
            let fruitless = new.is_empty() && self.visits.asked.is_empty();
            let patience = latest.as_ref().map_or(Duration::ZERO, |(_, it)| patience(it.status));
            if fruitless && quiet >= SOON && begun.elapsed() < patience {
                (quiet, _) = (SOON, sleep(Duration::from_millis(100)));
            }
        }
        if new.is_empty() && self.visits.asked.is_empty() && !has_sockets(order) {
            return Err(nobody(order, latest));
        }
        if self.rounds > ROUNDS || self.found.len() + new.len() > 1000 {
            return Err(Problem::new("it asks more than 1,000 servers, or new ones each time")
                .on(order.balancer.title)
                .into());
        }
        for address in &new {
            self.put(*address, STATUS)?;
        }
        let go_on = !new.is_empty();
        self.found.extend(new);
        Ok(go_on)
    }

    fn requests(&self) -> Vec<u64> {
        self.responders.iter().map(Responder::requests).collect()
    }

    /// Everybody who may be a backend.
    pub(super) fn backends(&self) -> Vec<SocketAddr> {
        self.found.clone()
    }

    /// Of the last round, in which nobody was missing.
    pub(super) fn visits(&self) -> &Visits {
        &self.visits
    }

    /// Whether connections to backends begin with a header of the PROXY protocol.
    pub(super) fn is_proxied(&self) -> bool {
        self.responders.iter().any(Responder::is_proxied)
    }

    pub(super) fn refuse_what_is_not_spoken(&self, order: &RehearsalPlan) -> Result<()> {
        let foreign = |responder: &Responder| Some((responder.address, responder.foreign()?));
        let Some((address, why)) = self.responders.iter().find_map(foreign) else { return Ok(()) };
        Err(Problem::new(format!("{address}: {why}"))
            .on(order.balancer.title)
            .hint(
                "TLS is rehearsed where the configuration names a file of authorities, or verifies nothing; \
                 else check it with the backends that it has: check URL --identity header:NAME",
            )
            .into())
    }

    /// Whether those at these addresses are asked over TLS.
    pub(super) fn is_secure(&self, order: &RehearsalPlan, addresses: &[SocketAddr]) -> Result<bool> {
        let backends = || self.responders.iter().filter(|it| addresses.contains(&it.address));
        let plain = backends().find(|it| !it.is_secure() && it.requests() > 0);
        match (backends().find(|it| it.is_secure()), plain) {
            (None, _) => Ok(false),
            (Some(_), None) => Ok(true),
            (Some(secure), Some(plain)) => Err(Problem::new(format!(
                "it asks {} over TLS and {} without, and all backends of a rehearsal speak the same",
                secure.address, plain.address
            ))
            .on(order.balancer.title)
            .hint("choose one block with --upstream")
            .into()),
        }
    }

    /// Ends those at these addresses, which backends take over.
    pub(super) fn keep_but(self, addresses: &[SocketAddr]) -> Vec<Responder> {
        self.responders.into_iter().filter(|responder| !addresses.contains(&responder.address)).collect()
    }
}

/// With a balancer that responds itself, with this status.
fn patience(status: u16) -> Duration {
    match status {
        404 => READ,
        500.. => PATIENCE,
        _ => Duration::ZERO,
    }
}

/// Waits until a balancer that was started anew has read all of its files: those with its certificates too, where they are of that
/// authority.
pub(super) fn settle(order: &RehearsalPlan, places: &[UrlTarget], authority: Option<&Path>) -> Result<()> {
    let begun = Instant::now();
    for (url, place) in order.urls.iter().zip(places) {
        let trust = match authority {
            Some(authority) if place.secure => Trust::Also(authority.to_owned()),
            Some(_) | None => anyone(place),
        };
        while begun.elapsed() < READ && matches!(visit(order, url, trust.clone())?.status, 0 | 404) {
            sleep(Duration::from_millis(20));
        }
    }
    Ok(())
}

fn anyone(place: &UrlTarget) -> Trust {
    if place.secure { Trust::Anyone } else { Trust::Machine }
}

fn visit(order: &RehearsalPlan, url: &str, trust: Trust) -> Result<Visited> {
    let plan =
        CheckPlan { trust, timeout: TIMEOUT, clients: order.clients, ..CheckPlan::new(url.to_owned(), Backing::Any) };
    Visitor::of(&plan, false)?.visit()
}

/// Unix sockets are not seen on the wire.
fn has_sockets(order: &RehearsalPlan) -> bool {
    use crate::balancer::read::Endpoint;
    let servers = order.read.iter().flat_map(|read| &read.upstreams).flat_map(|upstream| &upstream.servers);
    servers.into_iter().any(|server| matches!(server.endpoint, Endpoint::Unix(_)))
}

fn nobody(order: &RehearsalPlan, latest: Option<(String, Visited)>) -> anyhow::Error {
    let Some((url, visited)) = latest else { return Problem::new("no URL").into() };
    let location = visited.location.map(|to| format!(", which leads to {to}")).unwrap_or_default();
    let what = format!(
        "{} asked no backend for {QUIET} requests; it responds itself: {}{location}",
        order.balancer.title,
        what_came(&visited.client)
    );
    // Such as services that a registry has.
    let not_read: Vec<&str> = order.read.iter().flat_map(|read| &read.not_read).map(String::as_str).collect();
    let hint = match not_read.as_slice() {
        [] => "give a URL that it passes on: scheme, host and path decide".to_owned(),
        some => format!("give a URL that it passes on; not read: {}", some.join("; ")),
    };
    Problem::new(what).on(url).hint(hint).into()
}
