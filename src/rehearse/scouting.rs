//! Finds out who is asked behind a balancer: requests go through it, whoever refuses is missing, and gets a responder; until nobody is
//! missing any more.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rustls::ServerConfig;
use verdict::numbers::count_of;
use world::names::WorldNames;
use world::scout::{Scout, Sightings};

use crate::balancer::Balancer;
use crate::balancer::read::nginx::servers::{Because, responding};
use crate::balancer::read::{Configuration, Endpoint, Upstream};
use crate::check::plan::{CheckPlan, LoadPlan, TargetPlan, Trust};
use crate::check::{CookieUse, Visited, Visitor};
use crate::error::Problem;
use crate::rehearse::copy;
use crate::rehearse::group::{self, Visits};
use crate::rehearse::naming::{Listens, RehearsedBackend};
use crate::rehearse::order::{RehearsalPlan, UrlTarget, addresses_of, is_here};
use crate::rehearse::responder::{RESPONDER, Responder};
use crate::report::phrases::what_came;

/// A balancer asks some by itself, and tries others after its response.
const AFTER_VISITS: Duration = Duration::from_millis(5);
/// Requests that bring nothing new before a round ends.
const QUIET: usize = 20;
/// Requests that bring nothing new where other groups of the file may get a part of them: 1 in 60 is found with 99 % certainty.
const SPREAD: usize = 300;
const SPREAD_TIME: Duration = Duration::from_secs(2);
/// After somebody new was found, it is soon time to put somebody there.
const SOON: usize = 6;
/// A balancer that looks after its backends, or asks for their names, needs this long until it uses them.
const PATIENCE: Duration = Duration::from_secs(8);
/// One that listens before it has read all of its files has done so within this time.
const READ: Duration = Duration::from_secs(4);
/// The longest time that a request may take.
const TIMEOUT: Duration = Duration::from_secs(10);
/// A round that reaches nobody ends after this time, however few requests that was: each may have waited for its timeout.
const FRUITLESS: Duration = Duration::from_secs(20);
/// What gets an empty response unless the user wants another one.
const STATUS: u16 = 204;
/// The time after which a request seems to wait for a server that is missing.
const SLOW: Duration = Duration::from_millis(700);
/// A server behind a server behind a server.
const ROUNDS: usize = 16;

/// Servers that the balancer has asked so far.
pub(super) struct Scouted {
    tls: Arc<ServerConfig>,
    responders: Vec<Responder>,
    /// Those that the user named: no backends.
    answered: BTreeSet<Listens>,
    /// In the order in which they were found.
    found: Vec<Listens>,
    /// Those that an earlier check found: requests go there, if seldom.
    late: BTreeSet<Listens>,
    visits: Visits,
    rounds: usize,
    names: WorldNames,
    /// Where a name server was missing.
    resolvers: BTreeSet<SocketAddr>,
}

impl Scouted {
    pub(super) fn new(
        order: &RehearsalPlan,
        names: &WorldNames,
        tls: Arc<ServerConfig>,
        missed: &BTreeSet<Listens>,
        late: &BTreeSet<Listens>,
    ) -> Result<Scouted> {
        let mut scouted = Scouted {
            tls,
            responders: Vec::new(),
            answered: BTreeSet::new(),
            found: Vec::new(),
            late: BTreeSet::new(),
            visits: Visits::default(),
            rounds: 0,
            names: names.clone(),
            resolvers: BTreeSet::new(),
        };
        for (host, port, status) in &order.answers {
            for address in places_of(host, *port, names) {
                scouted.answered.insert(Listens::Port(address));
                scouted.put(Listens::Port(address), *status)?;
            }
        }
        // What refuses at a socket is not seen on the wire: the file alone has them.
        let sockets = sockets(order);
        copy::make_way(&sockets)?;
        for socket in sockets {
            scouted.found.push(Listens::Socket(socket.clone()));
            scouted.put(Listens::Socket(socket), STATUS)?;
        }
        if !late.is_empty() {
            scouted.late = group::all_of(order, names).intersection(late).cloned().collect();
        }
        for listens in missed {
            if !scouted.found.contains(listens) && !scouted.answered.contains(listens) {
                scouted.found.push(listens.clone());
                scouted.put(listens.clone(), STATUS)?;
            }
        }
        Ok(scouted)
    }

    fn put(&mut self, listens: Listens, status: u16) -> Result<()> {
        let is_here = listens.address().is_none_or(|address| is_here(address.ip()));
        let network = (!is_here).then_some(Path::new(world::BACKENDS_NETWORK));
        let responder = Responder::start(listens.clone(), network, status, &self.tls);
        self.responders.push(responder.with_context(|| format!("failed to listen on {listens}"))?);
        Ok(())
    }

    /// Sends requests until they bring nothing new. Whether somebody was missing: then the balancer is to be restarted.
    pub(super) fn round(&mut self, order: &RehearsalPlan, places: &[UrlTarget], scout: &Scout) -> Result<bool> {
        self.rounds += 1;
        self.visits = Visits::default();
        let mut new: Vec<Listens> = Vec::new();
        let (begun, mut quiet, mut latest, mut sent) = (Instant::now(), 0, None, 0);
        while quiet < SOON || new.is_empty() && (quiet < QUIET || self.may_be_spread(order, quiet, begun)) {
            let visited = Instant::now();
            for (url, place) in order.urls.iter().zip(places) {
                let before = self.requests();
                let visited = visit(order, url, anyone(place))?;
                let now = self.responders.iter().zip(&before).filter(|(it, before)| it.requests() > **before);
                let asked = now.map(|(it, _)| it.listens.clone()).collect();
                self.visits.add(asked, responder_of(&visited.head), &self.answered);
                latest = Some((url.clone(), visited));
                sent += 1;
            }
            sleep(AFTER_VISITS);
            let seen = scout.seen();
            if self.resolve(&seen)? {
                return Ok(true);
            }
            let refused = seen.refused;
            let own =
                |address: &SocketAddr| places.iter().any(|place| place.port == address.port() && is_here(address.ip()));
            let fresh: Vec<Listens> = refused
                .into_keys()
                .filter(|address| address.port() != 53 && !own(address) && !self.resolvers.contains(address))
                .map(Listens::Port)
                .filter(|it| !self.found.contains(it) && !new.contains(it) && !self.answered.contains(it))
                .collect();
            quiet = if fresh.is_empty() { quiet + 1 } else { 0 };
            new.extend(fresh);
            // A balancer that tries those who refuse again and again is shown somebody soon. Backups are in the file.
            if !new.is_empty() && visited.elapsed() > SLOW && order.read.is_some() {
                break;
            }
            let fruitless = new.is_empty() && self.visits.asked.is_empty();
            if fruitless && begun.elapsed() > FRUITLESS {
                break;
            }
            let patience = latest.as_ref().map_or(Duration::ZERO, |(_, it)| patience(it.status));
            if fruitless && quiet >= SOON && begun.elapsed() < patience {
                (quiet, ()) = (SOON, sleep(Duration::from_millis(100)));
            }
        }
        if new.is_empty() && self.visits.asked.is_empty() {
            self.refuse_what_is_not_spoken(order, &self.of_file(order))?;
            return Err(nobody(order, latest, sent, &self.asked_beside()));
        }
        if self.rounds > ROUNDS || self.found.len() + new.len() > 1000 {
            let hint = "a rehearsal has a process for each: give a file with fewer servers, or --upstream NAME and its block alone";
            return Err(Problem::new("it asks more than 1,000 servers, or new ones each time")
                .on(order.balancer.title)
                .hint(hint)
                .into());
        }
        for listens in &new {
            // Envoy's external authorization lets a request pass for 200 alone, and no companion wants another status.
            let is_companion = group::companions(order, &self.names).contains(listens);
            self.put(listens.clone(), if is_companion { 200 } else { STATUS })?;
        }
        let go_on = !new.is_empty();
        self.found.extend(new);
        self.visits.later.clone_from(&self.late);
        Ok(go_on)
    }

    /// Has names answered where the balancer asks for them and nobody is. Whether there was such a place.
    fn resolve(&mut self, seen: &Sightings) -> Result<bool> {
        let is_new = |it: &&SocketAddr| !WorldNames::is_served(**it) && !self.resolvers.contains(it);
        let new: Vec<SocketAddr> = seen.questions.iter().filter(is_new).copied().collect();
        for address in &new {
            let network = (!is_here(address.ip())).then_some(Path::new(world::BACKENDS_NETWORK));
            match self.names.serve_at(*address, network) {
                Ok(()) => {}
                // The balancer may be a resolver itself.
                Err(why) if why.kind() == ErrorKind::AddrInUse => {}
                Err(why) => return Err(why).with_context(|| format!("failed to answer for names at {address}")),
            }
        }
        self.resolvers.extend(&new);
        Ok(!new.is_empty())
    }

    /// Whether a part of the requests may go to a group that none has reached yet, as canaries have it.
    fn may_be_spread(&self, order: &RehearsalPlan, quiet: usize, begun: Instant) -> bool {
        let is_unseen = |group: &Upstream| !group.servers.iter().any(|it| self.is_asked(&it.endpoint));
        let mut groups = order.read.iter().flat_map(Configuration::groups);
        order.upstream.is_none() && quiet < SPREAD && begun.elapsed() < SPREAD_TIME && groups.any(is_unseen)
    }

    fn is_asked(&self, endpoint: &Endpoint) -> bool {
        let all = || self.visits.asked.iter();
        match endpoint {
            Endpoint::Tcp(host, port) => {
                addresses_of(host, *port).into_iter().any(|address| all().any(|it| it.address() == Some(address)))
            }
            Endpoint::Unix(path) => all().any(|it| *it == Listens::Socket(path.clone())),
            Endpoint::Pods(_) | Endpoint::Other => true,
        }
    }

    /// Those that may be backends: an authority of certificates is asked too, and is none.
    fn of_file(&self, order: &RehearsalPlan) -> Vec<Listens> {
        let known = group::all_of(order, &self.names);
        self.found.iter().filter(|it| order.read.is_none() || known.contains(it)).cloned().collect()
    }

    /// Those that were asked though no response of theirs came, each with what it responded.
    fn asked_beside(&self) -> Vec<String> {
        let asked = self.responders.iter().filter(|it| it.requests() > 0);
        let name = |it: &Responder| {
            let address = it.listens.address()?;
            Some(format!("{}:{}", self.names.name_of(address.ip())?.0, address.port()))
        };
        let called = |it: &Responder| name(it).unwrap_or_else(|| it.listens.to_string());
        asked.map(|it| format!("{}, which responds {}", called(it), it.status)).collect()
    }

    fn requests(&self) -> Vec<u64> {
        self.responders.iter().map(Responder::requests).collect()
    }

    /// Everybody who may be a backend.
    pub(super) fn backends(&self) -> Vec<Listens> {
        self.found.clone()
    }

    /// The visits of the last round, in which nobody was missing.
    pub(super) fn visits(&self) -> &Visits {
        &self.visits
    }

    /// Who was asked for requests to which another one responded.
    pub(super) fn beside(&self) -> BTreeSet<Listens> {
        self.visits.beside.union(&self.answered).cloned().collect()
    }

    /// Whether connections to backends begin with a header of the PROXY protocol.
    pub(super) fn is_proxied(&self) -> bool {
        self.responders.iter().any(Responder::is_proxied)
    }

    /// Of those, one that is asked in a protocol that a rehearsal has no backend for.
    pub(super) fn refuse_what_is_not_spoken(&self, order: &RehearsalPlan, among: &[Listens]) -> Result<()> {
        let among = |it: &&Responder| among.contains(&it.listens);
        let foreign = |it: &Responder| Some((it.listens.clone(), it.foreign()?));
        let Some((listens, why)) = self.responders.iter().filter(among).find_map(foreign) else { return Ok(()) };
        let hint = if why.is_about_tls() {
            "TLS is rehearsed where the configuration names a file of authorities, or verifies nothing; \
                 else check it with the backends that it has: check URL --identity header:NAME"
        } else {
            "backends of a rehearsal speak HTTP/1.1, HTTP/2, TLS and the PROXY protocol; \
                 else check it with the backends that it has: check URL --identity header:NAME"
        };
        Err(Problem::new(format!("{listens} is asked in another protocol: {why}"))
            .on(order.balancer.title)
            .hint(hint)
            .into())
    }

    /// Whether those at these addresses are asked over TLS.
    pub(super) fn is_secure(&self, order: &RehearsalPlan, among: &[Listens]) -> Result<bool> {
        let backends = || self.responders.iter().filter(|it| among.contains(&it.listens));
        let plain = backends().find(|it| !it.is_secure() && it.requests() > 0);
        match (backends().find(|it| it.is_secure()), plain) {
            (None, _) => Ok(false),
            (Some(_), None) => Ok(true),
            (Some(secure), Some(plain)) => Err(Problem::new(format!(
                "it asks {} over TLS and {} without, and all backends of a rehearsal speak the same",
                secure.listens, plain.listens
            ))
            .on(order.balancer.title)
            .hint("choose one block with --upstream")
            .into()),
        }
    }

    /// Where the health of one of these backends is checked, on a port of its own: an address of its host that no request came to, and
    /// that is asked as backends are.
    pub(super) fn health_of(&self, backend: &RehearsedBackend, all: &[Listens], secure: bool) -> Vec<Listens> {
        let of = |listens: &Listens| listens.address().map(|it| it.ip());
        let is_alone = |host: &IpAddr| all.iter().filter(|it| of(it) == Some(*host)).count() == 1;
        let hosts: BTreeSet<IpAddr> = backend.addresses().filter_map(of).filter(is_alone).collect();
        let is_health = |it: &&Responder| {
            of(&it.listens).is_some_and(|host| hosts.contains(&host))
                && backend.addresses().all(|own| *own != it.listens)
                && !self.answered.contains(&it.listens)
                && it.requests() == 0
                && it.foreign().is_none()
                && it.is_secure() == secure
                && it.is_proxied() == self.is_proxied()
        };
        self.responders.iter().filter(is_health).map(|it| it.listens.clone()).collect()
    }

    /// Ends those at these addresses, which backends take over.
    pub(super) fn keep_but(self, those: &[Listens]) -> Vec<Responder> {
        self.responders.into_iter().filter(|responder| !those.contains(&responder.listens)).collect()
    }
}

/// With a balancer that responds itself, with this status, or ends connections (0): one that listens may still read its files.
fn patience(status: u16) -> Duration {
    match status {
        0 | 404 => READ,
        500.. => PATIENCE,
        _ => Duration::ZERO,
    }
}

/// Waits until a balancer that was restarted has read all of its files: those with its certificates too, where they are of that
/// authority; and until it has looked after the health of its backends, if it wants more of them than they need give.
pub(super) fn settle(
    order: &RehearsalPlan,
    places: &[UrlTarget],
    authority: Option<&Path>,
    health: Option<&String>,
) -> Result<()> {
    let begun = Instant::now();
    for (url, place) in order.urls.iter().zip(places) {
        let trust = match authority {
            Some(authority) if place.secure => Trust::Also(authority.to_owned()),
            Some(_) | None => anyone(place),
        };
        while begun.elapsed() < READ && matches!(visit(order, url, trust.clone())?.status, 0 | 404) {
            sleep(Duration::from_millis(20));
        }
        // One after the other is taken for ill, which is no choice of the balancer's.
        while let Some(line) = health.filter(|_| begun.elapsed() < PATIENCE) {
            if visit(order, url, trust.clone())?.status == 503 {
                let what = format!("{} takes all backends for ill and responds 503", order.balancer.title);
                return Err(Problem::new(what).on(url).hint(unhealthy(line)).into());
            }
            sleep(Duration::from_millis(100));
        }
    }
    Ok(())
}

fn anyone(place: &UrlTarget) -> Trust {
    if place.secure { Trust::Anyone } else { Trust::Machine }
}

/// Sends a request as the check does it.
fn visit(order: &RehearsalPlan, url: &str, trust: Trust) -> Result<Visited> {
    let check = &order.check;
    let target = TargetPlan { url: url.to_owned(), trust, clients: order.clients, ..check.target.clone() };
    let load = LoadPlan { timeout: TIMEOUT, ..check.load };
    let plan = CheckPlan { target, load, ..check.clone() };
    Visitor::of(&plan, CookieUse::Ignored)?.visit()
}

/// Who responded, as far as responders have it.
fn responder_of(head: &str) -> Option<&str> {
    let fields = head.lines().filter_map(|line| line.split_once(':'));
    fields.filter(|(name, _)| name.eq_ignore_ascii_case(RESPONDER)).map(|(_, value)| value.trim()).next_back()
}

/// The paths of all sockets that the file's servers have.
fn sockets(order: &RehearsalPlan) -> Vec<String> {
    let read = order.read.iter().chain(&order.then_read);
    let servers = read.flat_map(Configuration::groups).flat_map(|upstream| &upstream.servers);
    let paths = servers.filter_map(|server| match &server.endpoint {
        Endpoint::Unix(path) => Some(path.clone()),
        Endpoint::Tcp(..) | Endpoint::Pods(_) | Endpoint::Other => None,
    });
    paths.collect::<BTreeSet<String>>().into_iter().collect()
}

/// Which block of an nginx.conf it is that responds to that URL, if the file says it.
fn server_block(order: &RehearsalPlan, url: &str) -> String {
    let (Some(read), Ok(target)) = (&order.read, UrlTarget::of(url)) else { return String::new() };
    match responding(&read.server_blocks, &target.host, target.port) {
        Some((block, Because::Named)) => format!(", by the server block at {}", block.place),
        Some((block, Because::Default)) => {
            format!(", by the default server at {}: no server_name is {}", block.place, target.host)
        }
        None => String::new(),
    }
}

/// What of the file may give that status: a line that does, or health checks that our servers need not pass.
fn line_of(order: &RehearsalPlan, status: u16) -> Option<String> {
    let read = order.read.as_ref()?;
    let health = read.health().next().filter(|_| status == 503);
    if let Some(line) = health {
        return Some(unhealthy(line));
    }
    let lines = read.responses.statuses.get(&status)?;
    Some(format!("give a URL that it passes on; the file itself responds {status}: {}", lines.join("; ")))
}

/// Why there may be no response.
fn unanswered(order: &RehearsalPlan) -> String {
    let foreign: Vec<&str> = order.read.iter().flat_map(|read| &read.foreign).map(String::as_str).collect();
    match foreign.as_slice() {
        [] => "it passes this URL on and gets no response: see what it logs".to_owned(),
        some => format!(
            "backends of a rehearsal speak HTTP/1.1, HTTP/2, TLS and the PROXY protocol, and the file has {}; give a URL that \
             it passes on otherwise",
            some.join("; ")
        ),
    }
}

/// Where the port that Host has is part of the name for that balancer: names that have none do not match.
fn port_in_host(balancer: Balancer, url: &str) -> String {
    let Ok(UrlTarget { secure, host, port }) = UrlTarget::of(url) else { return String::new() };
    if !balancer.matches_port_of_host || port == if secure { 443 } else { 80 } {
        return String::new();
    }
    format!(
        ". Host is {host}:{port}, and {} compares it with the port: a domain {host}:{port}, or strip_any_host_port",
        balancer.title
    )
}

/// With the first of what the file says of where requests go.
fn elsewhere(order: &RehearsalPlan, decides: &str) -> String {
    const SHOWN: usize = 3;
    let routes = order.read.as_ref().map_or(&[][..], |read| &read.routes);
    let more = if routes.len() > SHOWN { "; …" } else { "" };
    let routes: Vec<&str> = routes.iter().take(SHOWN).map(String::as_str).collect();
    let file = if routes.is_empty() { String::new() } else { format!("; the file has {}{more}", routes.join("; ")) };
    format!("give a URL that it passes on: {decides}{file}")
}

/// Where a server is that the user names by its host.
pub(super) fn places_of(host: &str, port: u16, names: &WorldNames) -> Vec<SocketAddr> {
    match host.parse::<IpAddr>() {
        Ok(ip) => vec![SocketAddr::new(ip, port)],
        Err(_) => names.addresses(host).into_iter().map(|ip| SocketAddr::new(ip, port)).collect(),
    }
}

fn unhealthy(line: &str) -> String {
    format!("a backend of a rehearsal need not pass its health checks: {line}; rehearse a copy without this line")
}

fn nobody(order: &RehearsalPlan, latest: Option<(String, Visited)>, sent: u64, beside: &[String]) -> anyhow::Error {
    let Some((url, visited)) = latest else { return Problem::new("no URL").into() };
    let location = visited.location.map(|to| format!(", which leads to {to}")).unwrap_or_default();
    let what = format!(
        "{} asked no backend for {}: {}{location}{}",
        order.balancer.title,
        count_of(sent, "request"),
        what_came(&visited.client),
        server_block(order, &url)
    );
    // Such as services that a registry has.
    let not_read: Vec<&str> = order.read.iter().flat_map(|read| &read.not_read).map(String::as_str).collect();
    let hint = match not_read.as_slice() {
        [] if !beside.is_empty() => format!(
            "it asked {}: does that one let requests pass? --answer HOST:PORT=STATUS has it respond otherwise",
            beside.join("; ")
        ),
        [] => match (visited.status, line_of(order, visited.status)) {
            (401 | 403, Some(line)) => {
                format!("{line}; or send what it asks for (--header), or clients that it lets in (--client)")
            }
            (_, Some(line)) => line,
            (0 | 400, None) => {
                "give a URL that it passes on; does it expect a client certificate (--cert) or the PROXY \
                                protocol (--haproxy-protocol)?"
                    .to_owned()
            }
            (401 | 403, None) => {
                "give a URL that it passes on, or what it asks for (--header), or clients that it lets \
                                  in (--client)"
                    .to_owned()
            }
            (502 | 504, None) => unanswered(order),
            (404, None) => {
                elsewhere(order, "scheme, host and path decide, and files that it looks for (try_files)")
                    + &port_in_host(order.balancer, &url)
            }
            (_, None) => elsewhere(order, "scheme, host and path decide"),
        },
        some => format!(
            "what may lead this URL to a backend is not available here: {}; else give a URL that the file passes on",
            some.join("; ")
        ),
    };
    Problem::new(what).on(url).hint(hint).into()
}
