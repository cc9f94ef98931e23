//! A rehearsal: a balancer runs with its production configuration, unchanged, in a world where every address that it names is a backend of
//! ours. First it runs with nobody behind it, and who refuses is missing; then with backends at these addresses. All of this happens
//! within the world that `crates/world` makes.

mod certificate;
pub(crate) mod copy;
pub(crate) mod group;
mod hosts;
mod listening;
mod naming;
mod notes;
mod order;
mod own_words;
mod remedy;
mod responder;
mod scouting;
mod secure;
mod server;

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs;
use std::net::{IpAddr, Ipv6Addr, SocketAddr, TcpStream};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use verdict::surroundings::{FileChange, Surrounding};
use world::names::WorldNames;
use world::scout::Scout;

use crate::balancer::expected::Expected;
use crate::balancer::read::{Configuration, Endpoint, Upstream, UpstreamMethod};
use crate::check::{Started, start_fleet};
use crate::error::Problem;
use crate::platform::limits::raise_files_beyond;
use crate::topology::Policy;
use certificate::StandIn;
use group::Group;
pub(crate) use hosts::Hosts;
use naming::{Listens, RehearsedBackend};
pub(crate) use order::{Certificates, RehearsalPlan, UrlTarget};
use responder::Responder;
use scouting::Scouted;
use secure::StandInTls;
use server::{RehearsalRecipe, Remedied, RunningBalancer};

/// A balancer that runs, with backends behind it.
pub(crate) struct Rehearsal {
    /// The process id of the supervisor.
    pub(crate) supervisor: u32,
    pub(crate) hosts: Hosts,
    /// What the file says that the balancer does; None if that is not known, for the reason in `unknown`.
    pub(crate) expected: Option<Expected>,
    pub(crate) unknown: Vec<String>,
    /// Whom to trust with TLS, if a certificate of ours stands in.
    pub(crate) authority: Option<PathBuf>,
    /// What differs from production.
    pub(crate) notes: Vec<Surrounding>,
    /// Addresses of the rehearsal's backends.
    places: BTreeSet<Listens>,
    /// Who is asked too and is no backend; with the requests that each has had before the check.
    others: Vec<(Responder, u64)>,
    /// Servers that are asked in addition to the one that responds to the client: a mirror, an authentication service.
    beside: BTreeSet<Listens>,
    fleet: Started,
    server: RunningBalancer,
}

impl Rehearsal {
    /// Ends the balancer and its backends: others may then listen at their addresses.
    pub(crate) async fn end(self) {
        drop(self.server);
        self.fleet.end().await;
    }
}

/// What stays from one rehearsal of a file to the next in the same world.
pub(crate) struct RehearsalState {
    around: Surroundings,
    tls: StandInTls,
    /// The file as it was: a check may change it.
    content: Vec<u8>,
    /// Servers that the balancer asked during a check and that no scouting had found.
    missed: BTreeSet<Listens>,
    /// Those of them to which it passed requests of a check: the others it may have asked for their health alone.
    late: BTreeSet<Listens>,
}

/// Of one run of the balancer, for the steps that share it.
struct Surroundings {
    places: Vec<UrlTarget>,
    names: WorldNames,
    scout: Scout,
    recipe: RehearsalRecipe,
    stand_in: Option<StandIn>,
    remedied: Remedied,
    /// The balancer's own authority, if it makes itself one.
    root: Option<PathBuf>,
    /// The authority of backends over TLS, where the balancer passes TLS on.
    passed_on: Option<String>,
}

impl RehearsalState {
    pub(crate) fn settle(order: &RehearsalPlan) -> Result<RehearsalState> {
        let mut around = surroundings(order)?;
        around.bring_clients(order)?;
        let tls = around.trust_backends(order)?;
        let content = fs::read(&order.file).with_context(|| order.file.display().to_string())?;
        Ok(RehearsalState { around, tls, content, missed: BTreeSet::new(), late: BTreeSet::new() })
    }

    /// Takes note of servers that were asked during a check and that were missing then, as a rare canary is. If there are any, the check
    /// is to be made again, with somebody there.
    pub(crate) fn missed(&mut self, order: &RehearsalPlan, rehearsal: &Rehearsal) -> Vec<String> {
        let seen = self.around.scout.seen().refused.into_keys();
        let of_file = group::all_of(order, &self.around.names);
        // The check itself asks on loopback too.
        let own = |it: &SocketAddr| order::is_here(it.ip()) && !of_file.contains(&Listens::Port(*it));
        let refused = seen.filter(|it| it.port() != 53 && !own(it)).map(Listens::Port);
        let is_known = |it: &Listens| {
            rehearsal.places.contains(it) || rehearsal.others.iter().any(|(other, _)| other.listens == *it)
        };
        let mut missed: BTreeSet<Listens> = refused.filter(|it| !is_known(it) && !self.missed.contains(it)).collect();
        if order.upstream.is_none() {
            // One at which somebody stood in was taken for no backend.
            let is_late = |(other, before): &&(Responder, u64)| {
                other.requests() > *before
                    && of_file.contains(&other.listens)
                    && !rehearsal.beside.contains(&other.listens)
            };
            self.late.extend(rehearsal.others.iter().filter(is_late).map(|(other, _)| other.listens.clone()));
            missed.extend(rehearsal.others.iter().filter(is_late).map(|(other, _)| other.listens.clone()));
        }
        let names = missed.iter().map(ToString::to_string).collect();
        self.missed.append(&mut missed);
        names
    }
}

/// Runs it, finds out who is asked, and runs it again with backends there.
pub(crate) async fn prepare(order: &RehearsalPlan, state: &mut RehearsalState) -> Result<Rehearsal> {
    let RehearsalState { around, tls, content, missed, late } = state;
    // What is still running belongs to an earlier check.
    if !missed.is_empty() {
        server::stop_all();
    }
    if fs::read(&order.file).is_ok_and(|now| now != *content) {
        lay(&order.file, content)?;
    }
    let mut scouted = scouting::Scouted::new(order, &around.names, tls.config()?, missed, late)?;
    let after = around.look_ahead(order, content, &mut scouted)?;
    let (group, listening) = around.look_behind(order, &mut scouted)?;
    let groups: Vec<&Group> = [&group].into_iter().chain(&after).collect();
    let all: Vec<Listens> = groups.iter().flat_map(|group| group.listens.clone()).collect();
    let addresses: Vec<SocketAddr> = all.iter().filter_map(Listens::address).collect();
    refuse_clients_among(order, &addresses)?;
    refuse_answers_among(order, &addresses, &around.names)?;
    let secure = scouted.is_secure(order, &all)?;
    let secured = if secure { tls.options()? } else { Vec::new() };
    // A balancer that passes TLS on shows the certificate of its backends.
    around.passed_on = (secure && around.places.iter().any(|it| it.secure)).then(|| tls.pem());
    let beside = scouted.beside();
    let mut backends = naming::merge(groups.iter().map(|group| group.backends(&around.names)));
    if backends.is_empty() {
        let what = "none of the servers that it connected to is a backend";
        return Err(Problem::new(what).on(order.balancer.title).hint("leave one of --answer out").into());
    }
    backends.iter_mut().for_each(|it| it.health = scouted.health_of(it, &all, secure));
    let places: Vec<Listens> = all.iter().chain(backends.iter().flat_map(|backend| &backend.health)).cloned().collect();
    let options = options(&backends, scouted.is_proxied(), secured);
    let others = scouted.keep_but(&places);
    for group in &groups {
        copy::make_way(&group.sockets())?;
    }
    let (_, fleet) = start_fleet(&options).await.context("failed to start the backends")?;
    // That nobody was there before is no complaint of what follows.
    logs().iter().try_for_each(|log| fs::write(log, "")).context("failed to empty the logs")?;
    let server = around.start()?;
    scouting::settle(order, &around.places, around.authority()?.as_deref(), group.health())?;
    // It may have made itself one meanwhile.
    let authority = around.authority()?;
    let mut notes = around.notes(order, &groups, &backends, &others, &listening);
    notes.extend(order.read.iter().chain(&order.then_read).flat_map(naming::mistyped));
    notes.extend(not_asked(order, &around.names, &others));
    let contradiction = match group.understood(&around.names) {
        Some((name, servers)) => {
            let places = group.places(&around.names);
            own_words::contradiction(order, name, &servers, &server::listening(), &places).await
        }
        None => None,
    };
    let expected = expected(&group, after.as_ref(), &around.names).filter(|_| contradiction.is_none());
    Ok(Rehearsal {
        supervisor: fleet.pid().context("the fleet has ended")?,
        hosts: Hosts::new(backends.iter().map(|backend| (backend.name.clone(), backend.host())).collect()),
        expected,
        unknown: group.unknown.iter().cloned().chain(contradiction).collect(),
        authority,
        notes,
        places: places.into_iter().collect(),
        others: others.into_iter().map(with_requests).collect(),
        beside,
        fleet,
        server,
    })
}

fn lay(file: &Path, content: &[u8]) -> Result<()> {
    world::lay(file, content).with_context(|| format!("failed to lay {}", file.display()))
}

/// What the file says of the group, until the one that takes its place says otherwise.
fn expected(group: &Group, after: Option<&Group>, names: &WorldNames) -> Option<Expected> {
    let expected = group.expected(names)?;
    Some(match after {
        None => expected,
        Some(after) => expected.until(after.expected(names)),
    })
}

/// With how many requests it has had until now.
fn with_requests(other: Responder) -> (Responder, u64) {
    let before = other.requests();
    (other, before)
}

/// What options name and the balancer has not asked for.
fn not_asked(order: &RehearsalPlan, names: &WorldNames, others: &[Responder]) -> Vec<Surrounding> {
    let asked = names.asked();
    let is_asked = |name: &str| asked.iter().any(|it| it.name == name);
    let is_silent = |host: &str, port| {
        let places = scouting::places_of(host, port, names);
        let mut of = others.iter().filter(|it| it.listens.address().is_some_and(|at| places.contains(&at)));
        of.all(|it| it.requests() == 0 && it.foreign().is_none())
    };
    let unknown = order.names.iter().filter(|it| !is_asked(&it.name)).map(|it| format!("--name {}", it.name));
    let silent = order.answers.iter().filter(|(host, port, _)| is_silent(host, *port));
    let silent = silent.map(|(host, port, _)| format!("--answer {host}:{port}"));
    unknown.chain(silent).map(|option| Surrounding::NotAsked { option }).collect()
}

/// A backend responds as a backend does.
fn refuse_answers_among(order: &RehearsalPlan, addresses: &[SocketAddr], names: &WorldNames) -> Result<()> {
    let is_backend = |host: &str, port| scouting::places_of(host, port, names).iter().any(|it| addresses.contains(it));
    match order.answers.iter().find(|(host, port, _)| is_backend(host, *port)) {
        None => Ok(()),
        Some((host, port, status)) => Err(Problem::new("this server is one of the backends behind the URL")
            .on(format!("--answer {host}:{port}={status}"))
            .hint("leave it out; it is for servers that are asked too, such as one of auth_request")
            .into()),
    }
}

fn refuse_clients_among(order: &RehearsalPlan, addresses: &[SocketAddr]) -> Result<()> {
    let Some(clients) = order.clients else { return Ok(()) };
    match addresses.iter().find(|address| clients.contains(address.ip())) {
        None => Ok(()),
        Some(backend) => Err(Problem::new(format!("it has the address of a backend, {backend}"))
            .on(format!("--client {clients}"))
            .hint("choose a network without backends, such as 203.0.113.0/24")
            .into()),
    }
}

fn options(backends: &[RehearsedBackend], proxied: bool, secured: Vec<String>) -> Vec<String> {
    let mut options = vec![
        format!("--backends={}", naming::option(backends)),
        format!("--network={}", world::BACKENDS_NETWORK),
        "--control=127.0.0.1:0".to_owned(),
    ];
    options.extend(proxied.then(|| "--proxy-protocol".to_owned()));
    options.extend(secured);
    options
}

fn surroundings(order: &RehearsalPlan) -> Result<Surroundings> {
    raise_files_beyond();
    let places = order.urls.iter().map(|url| UrlTarget::of(url)).collect::<Result<Vec<_>, _>>()?;
    let names = WorldNames::new(order.names.clone());
    names.serve(Path::new(world::BACKENDS_NETWORK)).context("failed to serve names")?;
    let scout = Scout::start().context("failed to watch the network")?;
    let hosts: Vec<String> = places.iter().map(|place| place.host.clone()).collect();
    let stand_in = (order.certificates != Certificates::TheFiles).then(|| StandIn::new(&hosts)).transpose()?;
    let folder = order.file.parent().unwrap_or(Path::new("/")).to_owned();
    let absolute = |path: &String| folder.join(path);
    let certificates = order.read.iter().flat_map(|read| &read.certificates);
    // Files that a variable names are found when a client comes, by what the balancer logs.
    let is_written = |(certificate, key): &&(String, String)| ![certificate, key].iter().any(|it| it.contains('$'));
    let pairs = certificates.filter(is_written);
    let pairs = pairs.map(|(certificate, key)| (absolute(certificate), absolute(key))).collect();
    let arguments = order.arguments().with_context(|| format!("{} does not run here", order.balancer.title))?;
    let program = OsString::from(order.balancer.name);
    let command = [program].into_iter().chain(arguments).collect();
    let ports = places.iter().map(|place| place.port).collect();
    let elsewhere = order.read.iter().flat_map(|read| read.not_read.clone()).collect();
    let refused = order.refused.clone();
    let is_part = order.read.as_ref().is_some_and(|read| read.is_part);
    let title = order.balancer.title;
    let recipe = RehearsalRecipe { title, command, folder, ports, pairs, is_part, refused, elsewhere };
    let remedied = Remedied::default();
    let mut around = Surroundings { places, names, scout, recipe, stand_in, remedied, root: None, passed_on: None };
    match order.certificates {
        Certificates::Ours => around.lay_certificates()?,
        // Not each balancer refuses to start without one.
        Certificates::Missing => around.lay_missing_certificates()?,
        Certificates::TheFiles => around.refuse_unusable_certificates()?,
    }
    around.store_certificates(order)?;
    if let (Some(store), Some(stand_in)) = (order.balancer.store, &around.stand_in) {
        let names = around.places.iter().filter(|place| place.secure && place.address().is_none());
        for place in names {
            certificate::store(store, &place.host, stand_in).context("failed to keep a certificate")?;
            around.remedied.note(Surrounding::Certificate { names: vec![place.host.clone()], resolver: None });
            around.remedied.certificates = true;
        }
    }
    around.root = order.balancer.store.map(certificate::root);
    Ok(around)
}

impl Surroundings {
    fn start(&mut self) -> Result<RunningBalancer> {
        server::start(&self.recipe, self.stand_in.as_ref(), &mut self.remedied)
    }

    fn lay_certificates(&mut self) -> Result<()> {
        let Some(stand_in) = &self.stand_in else { return Ok(()) };
        for file in self.recipe.pairs.iter().flat_map(|(certificate, key)| [certificate, key]) {
            world::lay(file, stand_in.pem.as_bytes())?;
            self.remedied.note_file(file, FileChange::WantedCertificate);
        }
        self.remedied.certificates = true;
        Ok(())
    }

    /// Not each balancer refuses to start with one.
    fn refuse_unusable_certificates(&self) -> Result<()> {
        let found = self.recipe.pairs.iter().find_map(|(certificate, key)| certificate::unusable(certificate, key));
        found.map_or(Ok(()), |found| Err(server::no_stand_in(found)))
    }

    /// Over those of which the certificate or the key cannot be read.
    fn lay_missing_certificates(&mut self) -> Result<()> {
        let Some(stand_in) = &self.stand_in else { return Ok(()) };
        for (certificate, key) in &self.recipe.pairs {
            if [certificate, key].iter().any(|file| fs::File::open(file).is_err()) {
                for file in [certificate, key] {
                    let laid = self.remedied.lay(file, stand_in);
                    laid.with_context(|| format!("failed to lay a certificate over {}", file.display()))?;
                }
            }
        }
        Ok(())
    }

    /// Where a balancer keeps certificates that a public authority gave it.
    fn store_certificates(&mut self, order: &RehearsalPlan) -> Result<()> {
        let Some(stand_in) = &self.stand_in else { return Ok(()) };
        let names: Vec<String> =
            self.places.iter().filter(|it| it.secure && it.address().is_none()).map(|it| it.host.clone()).collect();
        for (resolver, storage) in order.read.iter().flat_map(|read| &read.storages) {
            let file = self.recipe.folder.join(storage);
            let is_used =
                order.certificates == Certificates::Missing && fs::metadata(&file).is_ok_and(|it| it.len() > 2);
            if names.is_empty() || is_used && fs::File::open(&file).is_ok() {
                continue;
            }
            let lay = || {
                world::lay(&file, stand_in.storage(resolver, &names).as_bytes())?;
                // Traefik uses no other.
                fs::set_permissions(&file, fs::Permissions::from_mode(0o600))
            };
            lay().with_context(|| format!("failed to lay {}", file.display()))?;
            self.remedied.note(Surrounding::Certificate { names: names.clone(), resolver: Some(resolver.clone()) });
            self.remedied.certificates = true;
        }
        Ok(())
    }

    /// Another file takes the place of the balancer's.
    fn take_place(&self, order: &RehearsalPlan, file: &Path) -> Result<()> {
        let content = fs::read(file).with_context(|| format!("failed to read {}", file.display()))?;
        lay(&order.file, &content)
    }

    /// The servers behind the file that replaces this one, if there is one. Then this one has its place again, until the check
    /// has the other take it.
    fn look_ahead(&mut self, order: &RehearsalPlan, content: &[u8], scouted: &mut Scouted) -> Result<Option<Group>> {
        let Some(after) = order.after() else { return Ok(None) };
        self.take_place(order, &after.file)?;
        let own = std::mem::replace(&mut self.recipe.refused, after.refused.clone());
        let behind = self.look_behind(&after, scouted);
        let (group, _) = behind.with_context(|| {
            format!("--then {}, at {} and cited as that", after.file.display(), order.file.display())
        })?;
        self.recipe.refused = own;
        lay(&order.file, content)?;
        Ok(Some(group))
    }

    /// Who is asked behind a balancer with that configuration; and addresses that it listens on and this machine lacks. It has ended then.
    fn look_behind(&mut self, order: &RehearsalPlan, scouted: &mut Scouted) -> Result<(Group, Vec<IpAddr>)> {
        let mut server = self.start()?;
        let listening = self.reach()?;
        let found = loop {
            match scouted.round(order, &self.places, &self.scout) {
                Ok(true) => {}
                Ok(false) => break scouted.backends(),
                Err(why) => {
                    if !server::learn(&self.recipe, self.stand_in.as_ref(), &mut self.remedied, &logs())? {
                        return Err(why);
                    }
                }
            }
            // What it has learnt of servers that refused is forgotten.
            server::stop_all();
            server = self.start()?;
        };
        let group = group::choose(order, &self.names, &found, scouted.visits())?;
        scouted.refuse_what_is_not_spoken(order, &group.listens)?;
        server::stop_all();
        drop(server);
        Ok((group, listening))
    }

    /// The balancer trusts an authority of ours where it names a file of authorities, so that it can verify our backends.
    fn trust_backends(&mut self, order: &RehearsalPlan) -> Result<StandInTls> {
        let read = || order.read.iter().chain(&order.then_read);
        let servers = read().flat_map(Configuration::groups).flat_map(|upstream| &upstream.servers);
        let hosts = servers.filter_map(|server| match &server.endpoint {
            Endpoint::Tcp(host, _) => Some(host.trim_matches(['[', ']']).to_owned()),
            Endpoint::Unix(_) | Endpoint::Pods(_) | Endpoint::Other => None,
        });
        let blocks = read().flat_map(Configuration::groups).map(|upstream| upstream.name.clone());
        let named = read().flat_map(|read| read.names.clone());
        let urls = self.places.iter().map(|place| place.host.clone());
        let tls = StandInTls::new(hosts.chain(blocks).chain(named).chain(urls).collect())?;
        let files: BTreeSet<PathBuf> =
            read().flat_map(|read| &read.authorities).map(|file| self.recipe.folder.join(file)).collect();
        for file in files {
            let own = fs::read_to_string(&file).unwrap_or_default();
            let both = format!("{}\n{}", own.trim_end(), tls.pem());
            world::lay(&file, both.as_bytes()).with_context(|| format!("failed to lay {}", file.display()))?;
            self.remedied.note_file(&file, FileChange::MoreAuthorities);
        }
        Ok(tls)
    }

    /// The balancer finds clients of that network.
    fn bring_clients(&mut self, order: &RehearsalPlan) -> Result<()> {
        let Some(clients) = order.clients else { return Ok(()) };
        let named: Vec<SocketAddr> = group::all_of(order, &self.names).iter().filter_map(Listens::address).collect();
        // Before the balancer waits for them in vain.
        refuse_clients_among(order, &named)?;
        let (network, prefix) = clients.route();
        world::add_network(network, prefix).with_context(|| format!("failed to add {clients} to this world"))?;
        let by_source = |upstream: &Upstream| upstream.method == UpstreamMethod::Known(Policy::Source);
        let too_small = !clients.has_networks() && order.read.iter().flat_map(Configuration::groups).any(by_source);
        self.remedied.note(Surrounding::Clients { network: clients.to_string(), too_small });
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
            let mut there =
                listening::choose(&all, place.port).with_context(|| format!("nothing listens on {}", place.port))?;
            // Most that listen on all of IPv6 take IPv4 too, where clients can have many addresses.
            let v4 = SocketAddr::from(([127, 0, 0, 1], place.port));
            if there.ip() == IpAddr::from(Ipv6Addr::LOCALHOST) && TcpStream::connect(v4).is_ok() {
                there = v4;
            }
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
        let ours = self.stand_in.as_ref().filter(|_| self.remedied.certificates).map(|it| it.authority.clone());
        let its = self.root.as_ref().and_then(|file| fs::read_to_string(file).ok());
        let all: String = [ours, its, self.passed_on.clone()].into_iter().flatten().collect();
        if all.is_empty() {
            return Ok(None);
        }
        let file = Path::new(world::FOLDER).join("authority.pem");
        fs::write(&file, &all).context("failed to write our authority")?;
        Ok(Some(file))
    }
}

/// The files that were written in these folders, which are the world's own, for people.
pub(crate) fn written(folders: &[PathBuf]) -> Vec<String> {
    let line = |(file, bytes): (PathBuf, u64)| format!("{} ({bytes} bytes)", file.display());
    written_files(folders).into_iter().map(line).collect()
}

/// The log files that the balancer has written.
fn logs() -> Vec<PathBuf> {
    written_files(&[PathBuf::from("/var/log")]).into_keys().collect()
}

/// What the balancer has complained of last in its logs, if it runs.
pub(crate) fn complaint() -> Option<String> {
    server::complaint(&logs())
}

fn written_files(folders: &[PathBuf]) -> BTreeMap<PathBuf, u64> {
    let mut found = BTreeMap::new();
    let mut open: Vec<PathBuf> = folders.to_vec();
    while let Some(folder) = open.pop() {
        let Ok(device) = fs::metadata(&folder).map(|it| it.dev()) else { continue };
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            // What shines through from this machine is on another device.
            let Some(metadata) = entry.metadata().ok().filter(|it| it.dev() == device) else { continue };
            if metadata.is_dir() && entry.path() != Path::new(world::FOLDER) {
                open.push(entry.path());
            } else if metadata.is_file() && metadata.len() > 0 {
                found.insert(entry.path(), metadata.len());
            }
        }
    }
    found
}

/// Why there is no world, and what to try.
pub(crate) fn explain(error: world::Error) -> anyhow::Error {
    let hint = match &error {
        world::Error::System => {
            "rehearse on Linux or in a Linux container; or with --map 10.20.0.11:8080=9001 for each server, which runs a \
             rewritten copy among what runs here"
        }
        world::Error::Forbidden(_) => {
            "run it with sudo; or with --map 10.20.0.11:8080=9001 for each server, which runs a rewritten copy among what \
             runs here"
        }
        world::Error::Proc(_) => "rehearse outside of the container, or in one that may mount /proc",
        world::Error::Writable(_) => {
            "this is a safety that has no exception: please report it with /proc/self/mountinfo"
        }
        world::Error::Step { .. } => "a rehearsal needs Linux 5.11 with user and network namespaces",
    };
    Problem::new(format!("no private copy of this machine: {error}")).hint(hint).into()
}
