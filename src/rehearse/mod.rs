//! A rehearsal: a balancer runs with its production configuration, unchanged, in a world where every address that it names is a backend of
//! ours. First it runs with nobody behind it, and who refuses is missing; then with backends at these addresses. All of this happens
//! within the world that `crates/world` makes.

mod certificate;
pub(crate) mod copy;
pub(crate) mod group;
mod listening;
mod naming;
mod order;
mod remedy;
mod responder;
mod scouting;
mod server;

use std::ffi::OsString;
use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use world::names::Names;
use world::scout::Scout;

use crate::balancer::expected::Expected;
use crate::check::{Started, start_fleet};
use crate::error::Problem;
use certificate::StandIn;
use group::Group;
use naming::Backend;
pub(crate) use order::{Certificates, Order, Place};
use responder::Responder;
use server::{Recipe, Remedied, Server};

/// A balancer that runs, with backends behind it.
pub(crate) struct Rehearsal {
    /// The process id of the supervisor.
    pub(crate) supervisor: u32,
    /// What the file says that the balancer does; None if that is not known, for the reason in `unknown`.
    pub(crate) expected: Option<Expected>,
    pub(crate) unknown: Vec<String>,
    /// Whom to trust with TLS, if a certificate of ours stands in.
    pub(crate) authority: Option<PathBuf>,
    /// What differs from production, each a line for people.
    pub(crate) notes: Vec<String>,
    _fleet: Started,
    _server: Server,
    _others: Vec<Responder>,
}

/// Of one run of the balancer, for the steps that share it.
struct Surroundings {
    places: Vec<Place>,
    names: Names,
    scout: Scout,
    recipe: Recipe,
    stand_in: Option<StandIn>,
    remedied: Remedied,
}

/// Runs it, finds out who is asked, and runs it again with backends there.
pub(crate) async fn prepare(order: &Order) -> Result<Rehearsal> {
    let mut around = surroundings(order)?;
    let mut server = around.start()?;
    let listening = around.reach()?;
    let mut scouted = scouting::Scouted::new(order, &around.names)?;
    let refused = loop {
        if !scouted.round(order, &around.places, &around.scout)? {
            break scouted.backends();
        }
        // What it has learnt of servers that refused is forgotten.
        server::stop_all();
        server = around.start()?;
    };
    scouted.refuse_what_is_not_spoken(order)?;
    let group = group::choose(order, &around.names, &refused, scouted.visits())?;
    server::stop_all();
    drop(server);
    let proxied = scouted.is_proxied();
    let others = scouted.keep_but(&group.addresses);
    let backends = group.backends(&around.names);
    if backends.is_empty() {
        let what = "none of those that it asked is a backend";
        return Err(Problem::new(what).on(order.balancer.title).hint("leave one of --answer out").into());
    }
    copy::make_way(&group.sockets)?;
    let (remote, fleet) = start_fleet(&options(&backends, proxied)).await.context("failed to start the backends")?;
    drop(remote);
    let server = around.start()?;
    let authority = around.authority()?;
    let notes = around.notes(&group, &backends, &others, &listening);
    let expected = group.expected(&around.names);
    Ok(Rehearsal {
        supervisor: fleet.pid().context("the fleet has ended")?,
        expected,
        unknown: group.unknown,
        authority,
        notes,
        _fleet: fleet,
        _server: server,
        _others: others,
    })
}

fn options(backends: &[Backend], proxied: bool) -> Vec<String> {
    let mut options = vec![
        format!("--backends={}", naming::option(backends)),
        format!("--network={}", world::BACKENDS_NETWORK),
        "--control=127.0.0.1:0".to_owned(),
    ];
    options.extend(proxied.then(|| "--proxy-protocol".to_owned()));
    options
}

fn surroundings(order: &Order) -> Result<Surroundings> {
    let places = order.urls.iter().map(|url| Place::of(url)).collect::<Result<Vec<_>, _>>()?;
    let names = Names::new(order.names.clone());
    names.serve(Path::new(world::BACKENDS_NETWORK)).context("failed to serve names")?;
    let scout = Scout::start().context("failed to watch the network")?;
    let hosts: Vec<String> = places.iter().map(|place| place.host.clone()).collect();
    let stand_in = (order.certificates != Certificates::TheFiles).then(|| StandIn::new(&hosts)).transpose()?;
    let folder = order.file.parent().unwrap_or(Path::new("/")).to_owned();
    let absolute = |path: &String| folder.join(path);
    let certificates = order.read.iter().flat_map(|read| &read.certificates);
    let pairs = certificates.map(|(certificate, key)| (absolute(certificate), absolute(key))).collect();
    let alone = order.balancer.alone.with_context(|| format!("{} does not run here", order.balancer.title))?;
    let program = OsString::from(order.balancer.name);
    let command = [program].into_iter().chain(alone(&order.file)).collect();
    let ports = places.iter().map(|place| place.port).collect();
    let recipe = Recipe { title: order.balancer.title, command, folder, ports, pairs };
    let mut around = Surroundings { places, names, scout, recipe, stand_in, remedied: Remedied::default() };
    if order.certificates == Certificates::Ours {
        around.lay_certificates()?;
    }
    Ok(around)
}

impl Surroundings {
    fn start(&mut self) -> Result<Server> {
        server::start(&self.recipe, self.stand_in.as_ref(), &mut self.remedied)
    }

    fn lay_certificates(&mut self) -> Result<()> {
        let Some(stand_in) = &self.stand_in else { return Ok(()) };
        for (certificate, key) in &self.recipe.pairs {
            world::lay(certificate, stand_in.pem.as_bytes())?;
            world::lay(key, stand_in.pem.as_bytes())?;
        }
        self.remedied.certificates = true;
        Ok(())
    }

    /// Sees to it that the URLs lead to the balancer: their names, and addresses that this machine lacks. Returns the latter.
    fn reach(&self) -> Result<Vec<IpAddr>> {
        let all = server::listening();
        let local = |ip: IpAddr| ip.is_loopback() || std::net::UdpSocket::bind((ip, 0)).is_ok() && world::is_own(ip);
        let mut lacking = Vec::new();
        for ip in all.iter().map(SocketAddr::ip).filter(|ip| !ip.is_unspecified() && !local(*ip)) {
            if !lacking.contains(&ip) {
                world::add_address(ip).with_context(|| format!("failed to add {ip} to this world"))?;
                lacking.push(ip);
            }
        }
        let mut hosts = fs::read_to_string("/etc/hosts").unwrap_or_default();
        for place in &self.places {
            let there =
                listening::choose(&all, place.port).with_context(|| format!("nothing listens on {}", place.port))?;
            match place.address() {
                Some(ip) if !local(ip) && !lacking.contains(&ip) => {
                    world::add_address(ip).with_context(|| format!("failed to add {ip} to this world"))?;
                    lacking.push(ip);
                }
                Some(_) => {}
                None if there.ip() != IpAddr::from([127, 0, 0, 1]) => {
                    hosts = hosts
                        .replace(&format!("127.0.0.1 {}\n", place.host), &format!("{} {}\n", there.ip(), place.host));
                }
                None => {}
            }
        }
        world::lay(Path::new("/etc/hosts"), hosts.as_bytes()).context("failed to name the balancer")?;
        Ok(lacking)
    }

    fn authority(&self) -> Result<Option<PathBuf>> {
        let Some(stand_in) = self.stand_in.as_ref().filter(|_| self.remedied.certificates) else { return Ok(None) };
        let file = Path::new(world::FOLDER).join("authority.pem");
        fs::write(&file, &stand_in.authority).context("failed to write our authority")?;
        Ok(Some(file))
    }

    fn notes(&self, group: &Group, backends: &[Backend], others: &[Responder], lacking: &[IpAddr]) -> Vec<String> {
        let names: Vec<&str> = backends.iter().map(|backend| backend.name.as_str()).collect();
        let of = group.name.as_ref().map_or_else(String::new, |(name, place)| format!(" of upstream {name} ({place})"));
        let mut notes = vec![format!("backends{of}: {}", names.join(", "))];
        for asked in self.names.asked() {
            let addresses: Vec<String> = asked.addresses.iter().map(ToString::to_string).collect();
            if !asked.addresses.iter().any(IpAddr::is_loopback) {
                notes.push(format!("name {}: invented address {}", asked.name, addresses.join(", ")));
            }
        }
        notes.extend(lacking.iter().map(|ip| format!("address {ip}: listened on, and this machine lacks it")));
        notes.extend(self.remedied.notes.iter().cloned());
        for other in others.iter().filter(|other| other.requests() > 0) {
            let name = self.names.name_of(other.address.ip());
            let name = name.map_or_else(String::new, |(name, _)| format!(" ({name}:{})", other.address.port()));
            notes.push(format!("{}{name}: asked too, and no backend; it responds {}", other.address, other.status));
        }
        notes
    }
}

/// The files that were written in these folders, which are the world's own.
pub(crate) fn written(folders: &[PathBuf]) -> Vec<String> {
    let mut found = Vec::new();
    let mut open: Vec<PathBuf> = folders.to_vec();
    while let Some(folder) = open.pop() {
        let Ok(device) = fs::metadata(&folder).map(|it| it.dev()) else { continue };
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            // What shines through from this machine is on another device.
            let Ok(metadata) =
                entry.metadata().map_err(drop).and_then(|it| if it.dev() == device { Ok(it) } else { Err(()) })
            else {
                continue;
            };
            if metadata.is_dir() && entry.path() != Path::new(world::FOLDER) {
                open.push(entry.path());
            } else if metadata.is_file() && metadata.len() > 0 {
                found.push(format!("{} ({} bytes)", entry.path().display(), metadata.len()));
            }
        }
    }
    found.sort();
    found
}

/// Why there is no world, and what to try.
pub(crate) fn explain(error: world::Error) -> anyhow::Error {
    let hint = match &error {
        world::Error::Forbidden(_) => {
            "run it with sudo; in a container, allow it namespaces, or rehearse on another machine"
        }
        world::Error::Proc(_) => "rehearse outside of the container, or in one that may mount /proc",
        world::Error::Writable(_) => {
            "this is a safety that has no exception: please report it with /proc/self/mountinfo"
        }
        world::Error::Step { .. } => "a rehearsal needs Linux 5.11 with user and network namespaces",
    };
    Problem::new(format!("no private copy of this machine: {error}")).hint(hint).into()
}
