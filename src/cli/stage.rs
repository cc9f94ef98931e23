//! A fleet, and a balancer in front of it, for as long as a command needs them.

use std::ffi::OsString;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::args::location::LocationArgs;
use crate::balancer::builtin::{self, Behaviour, Ejection, Ties};
use crate::balancer::launch::{Recipe, Running, free_port};
use crate::balancer::{Balancer, For, Listen, Options, installed};
use crate::check::{Started, start_fleet};
use crate::config::Layer;
use crate::config::balancing::BalancingConfig;
use crate::remote::Remote;
use crate::topology::{Algorithm, Failure, Topology, Weight, Weights};
use crate::wire;
use verdict::promise::Promise;
use verdict::rules::{Expectations, Weights as Shares};

/// What stands in front of the fleet.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Front {
    /// One that is installed, with the configuration that we write.
    Real(Balancer),
    /// The same, with a configuration of the user's own.
    Own(Balancer, PathBuf),
    /// The one that is built in.
    BuiltIn,
}

/// How the fleet is balanced.
#[derive(Clone, Debug, Default)]
pub struct Wish {
    /// Where the backends are.
    pub(crate) location: LocationArgs,
    /// What the balancer is told.
    pub(crate) balancing: BalancingConfig,
    /// Where it listens; None: on any free port.
    pub port: Option<u16>,
    /// Where the live view listens; None: where a fleet's does by itself.
    pub control: Option<SocketAddr>,
}

/// Both of them, running.
pub struct Stage {
    /// Where requests go.
    pub url: String,
    /// What the balancer was told.
    pub topology: Topology,
    /// Which one it is.
    pub front: Front,
    /// The supervisor of the fleet.
    pub supervisor: u32,
    /// The way to the fleet.
    pub remote: Remote,
    address: SocketAddr,
    version: For,
    workers: Option<NonZeroU32>,
    fleet: Started,
    balancer: Option<Standing>,
}

enum Standing {
    Real(Running),
    BuiltIn(builtin::Balancer),
}

impl Standing {
    async fn end(self) {
        match self {
            Standing::Real(running) => running.stop().await,
            Standing::BuiltIn(balancer) => drop(balancer),
        }
    }
}

/// Algorithms that need no more words.
const OFFERED: [&str; 8] =
    ["round-robin", "least-connections", "least-time", "random", "two-choices", "source", "uri", "sticky"];

impl Stage {
    /// Starts both. What was started is ended if something fails.
    pub async fn set(front: &Front, wish: &Wish) -> Result<Stage> {
        let (topology, workers) = wish.topology(front)?;
        let address = address(wish.port)?;
        // All that can be refused before anything runs.
        let version = version(front);
        let recipe = recipe(front, &topology, address, workers, version)?;
        let control = wish.control.map(|control| format!("--control={control}"));
        let options: Vec<String> = wish.location.arguments().into_iter().chain(control).collect();
        let (remote, fleet) = start_fleet(&options).await?;
        let balancer = match balance(recipe, &topology, address, workers).await {
            Ok(balancer) => balancer,
            Err(error) => {
                fleet.end().await;
                return Err(error);
            }
        };
        Ok(Stage {
            url: format!("http://localhost:{}{}", address.port(), topology.path),
            supervisor: fleet.pid().context("the fleet has ended")?,
            topology,
            front: front.clone(),
            remote,
            address,
            version,
            workers,
            fleet,
            balancer: Some(balancer),
        })
    }

    /// The process of the balancer that takes signals, and its directory; none of the one that is built in.
    pub fn balancer(&self) -> Option<(u32, &Path)> {
        match self.balancer.as_ref()? {
            Standing::Real(running) => Some((running.pid()?, running.directory())),
            Standing::BuiltIn(_) => None,
        }
    }

    /// Says in the live view what stands before the fleet.
    pub async fn tell_what_stands(&self) -> Result<()> {
        self.remote.stands(&self.standing(None)).await
    }

    /// Balances in another way from now on, or says in the live view why not. Where a balancer has to be started anew for that, a moment passes in which
    /// nobody balances.
    pub async fn fulfil(&mut self, wanted: &wire::Wish) -> Result<()> {
        let problem = self.change(wanted).await.err().map(|why| format!("{why:#}"));
        self.remote.stands(&self.standing(problem)).await
    }

    async fn change(&mut self, wanted: &wire::Wish) -> Result<()> {
        let mut topology = self.topology.clone();
        topology.algorithm = wanted.algorithm.parse().map_err(anyhow::Error::msg)?;
        let weights = match wanted.weights.is_empty() {
            true => vec!["1".to_owned(); topology.members.len()],
            false => wanted.weights.iter().map(u32::to_string).collect(),
        };
        let weights: Weights = weights.join(":").parse().map_err(anyhow::Error::msg)?;
        topology.weigh(&weights).map_err(anyhow::Error::msg)?;
        if topology == self.topology {
            return Ok(());
        }
        // What cannot be written is refused while the old one goes on.
        let new = self.recipe(&topology)?;
        if new.is_none() {
            behaviour(&topology, self.workers)?;
        }
        // Nothing is lost if it reloads. If it cannot be seen to, or does not, it is started anew.
        if let (Some(Standing::Real(running)), Some(recipe)) = (&self.balancer, &new)
            && running.reload(recipe).await.is_ok()
        {
            self.topology = topology;
            return Ok(());
        }
        if let Some(old) = self.balancer.take() {
            old.end().await;
        }
        let old = self.recipe(&self.topology)?;
        match balance(new, &topology, self.address, self.workers).await {
            Ok(balancer) => {
                (self.balancer, self.topology) = (Some(balancer), topology);
                Ok(())
            }
            Err(error) => {
                self.balancer = Some(balance(old, &self.topology, self.address, self.workers).await?);
                Err(error)
            }
        }
    }

    fn recipe(&self, topology: &Topology) -> Result<Option<Recipe>> {
        recipe(&self.front, topology, self.address, self.workers, self.version)
    }

    /// What stands before the fleet, for those who look.
    fn standing(&self, problem: Option<String>) -> wire::Front {
        let weights =
            |topology: &Topology| topology.members.iter().map(|member| u32::from(member.weight.get())).collect();
        let name = match &self.front {
            Front::Real(balancer) | Front::Own(balancer, _) => balancer.title,
            Front::BuiltIn => "the built-in balancer",
        };
        // Of a configuration of the user's own nothing is known, and it is not ours to change.
        let is_ours = !matches!(self.front, Front::Own(..));
        let words = expected_words(&self.topology, &self.front);
        wire::Front {
            url: self.url.clone(),
            balancer: Some(name.to_owned()),
            algorithm: is_ours.then(|| self.topology.algorithm.to_string()),
            weights: if is_ours { weights(&self.topology) } else { Vec::new() },
            choices: if is_ours { self.choices() } else { Vec::new() },
            backups: if is_ours {
                self.topology.backups().map(|member| member.generator).collect()
            } else {
                Vec::new()
            },
            expect: if is_ours { words } else { Vec::new() },
            problem,
        }
    }

    /// The algorithms that this balancer can be told for this fleet.
    fn choices(&self) -> Vec<String> {
        let possible = |word: &&str| {
            let Ok(algorithm) = word.parse() else { return false };
            let mut topology = Topology { algorithm, ..self.topology.clone() };
            topology.members.iter_mut().for_each(|member| member.weight = Weight::ONE);
            match self.front {
                Front::BuiltIn => behaviour(&topology, self.workers).is_ok(),
                Front::Real(_) | Front::Own(..) => self.recipe(&topology).is_ok(),
            }
        };
        OFFERED.iter().filter(|word| possible(word)).map(|word| (*word).to_owned()).collect()
    }

    /// Ends both, the balancer first.
    pub async fn strike(self) {
        if let Some(balancer) = self.balancer {
            balancer.end().await;
        }
        self.fleet.end().await;
    }
}

/// Starts what balances: the real one, or the one that is built in.
async fn balance(
    recipe: Option<Recipe>,
    topology: &Topology,
    address: SocketAddr,
    workers: Option<NonZeroU32>,
) -> Result<Standing> {
    let Some(recipe) = recipe else {
        let ports: Vec<u16> = topology.generators().map(|generator| generator.0).collect();
        let balancer = builtin::Balancer::listen(address, &ports, behaviour(topology, workers)?)
            .with_context(|| format!("the built-in balancer cannot listen on {address}"))?;
        return Ok(Standing::BuiltIn(balancer));
    };
    Ok(Standing::Real(Running::start(&recipe).await?))
}

impl Wish {
    /// Who is in the fleet, and what the balancer in front of it is told.
    fn topology(&self, front: &Front) -> Result<(Topology, Option<NonZeroU32>)> {
        let fleet = self.location.config().merge()?;
        match front {
            // It is told by its own file.
            Front::Own(..) => Ok(BalancingConfig::default().resolve(fleet.topology()?)?),
            Front::Real(_) | Front::BuiltIn => {
                Ok(self.balancing.clone().or(fleet.balancing()).resolve(fleet.topology()?)?)
            }
        }
    }
}

/// That port of loopback if it was asked for, else any.
fn address(port: Option<u16>) -> Result<SocketAddr> {
    let Some(port) = port else { return Ok(SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()?))) };
    let wanted = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    TcpListener::bind(wanted).map(|_| wanted).with_context(|| {
        format!(
            "the balancer cannot listen on {wanted}\n  hint: choose another port with --listen, or stop what holds it"
        )
    })
}

/// Of the balancer that is installed.
fn version(front: &Front) -> For {
    match front {
        Front::Real(balancer) | Front::Own(balancer, _) => installed::version(balancer).map_or(For::Newest, For::Found),
        Front::BuiltIn => For::Newest,
    }
}

/// How a real balancer is run; None for the one that is built in.
fn recipe(
    front: &Front,
    topology: &Topology,
    address: SocketAddr,
    workers: Option<NonZeroU32>,
    version: For,
) -> Result<Option<Recipe>> {
    let (balancer, own) = match front {
        Front::BuiltIn => return Ok(None),
        Front::Real(balancer) => (*balancer, None),
        Front::Own(balancer, file) => (*balancer, Some(file)),
    };
    let listen = Listen { address: Some(address.ip()), port: address.port() };
    let options = Options { listen: Some(listen), snippet: false, version, workers };
    let title = balancer.title;
    let found = installed::find(balancer.name).with_context(|| {
        format!("{title} is not installed: no {} on PATH\n  hint: {}", balancer.name, balancer.install)
    });
    let recipe = match own {
        None => {
            let written = balancer.write(topology, &options)?;
            let run = written.run.with_context(|| format!("{title} is not run on this machine"))?;
            Recipe {
                name: title.to_owned(),
                files: written.files.into_iter().map(|file| (file.name.to_owned(), file.text)).collect(),
                command: command(found?, run.command.into_iter().skip(1)),
                environment: owned(run.environment),
                folder: None,
                covered: Vec::new(),
                reload: balancer.reload,
                address,
            }
        }
        Some(file) => {
            let run = balancer.own.with_context(|| format!("{title} is not run on this machine"))?;
            let file = std::fs::metadata(file)
                .and_then(|_| std::path::absolute(file))
                .with_context(|| format!("failed to read {}", file.display()))?;
            let own = run(&file)?;
            Recipe {
                name: title.to_owned(),
                files: Vec::new(),
                command: command(found?, own.arguments.into_iter()),
                environment: owned(own.environment),
                folder: own.folder,
                covered: own.covered,
                reload: balancer.reload,
                address,
            }
        }
    };
    Ok(Some(recipe))
}

fn command(program: PathBuf, arguments: impl Iterator<Item = String>) -> Vec<OsString> {
    std::iter::once(program.into_os_string()).chain(arguments.map(OsString::from)).collect()
}

fn owned(environment: Vec<(&'static str, String)>) -> Vec<(String, String)> {
    environment.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// What the built-in balancer does of what is asked.
fn behaviour(topology: &Topology, workers: Option<NonZeroU32>) -> Result<Behaviour> {
    let weights: Vec<u32> = topology.members.iter().map(|member| u32::from(member.weight.get())).collect();
    let algorithm = match (&topology.algorithm, topology.is_weighted()) {
        (Algorithm::RoundRobin, false) => builtin::Algorithm::RoundRobin,
        (Algorithm::RoundRobin, true) => builtin::Algorithm::SmoothWeighted(weights),
        (Algorithm::Random, true) => builtin::Algorithm::RandomWeighted(weights),
        (_, true) => bail!("the built-in balancer has weights with round-robin and random only\n  hint: install nginx"),
        (Algorithm::Random, false) => builtin::Algorithm::Random,
        (Algorithm::LeastConnections, false) => builtin::Algorithm::LeastConnections { ties: Ties::RoundRobin },
        (Algorithm::TwoChoices, false) => builtin::Algorithm::TwoChoices { replacement: false },
        (Algorithm::LeastTime, false) => bail!(
            "the built-in balancer does not go by the time of answers (--algorithm least-time)\n  hint: --algorithm least-connections, or NGINX from 1.31.0"
        ),
        (Algorithm::Source, false) => builtin::Algorithm::SourceHash { block: false },
        (Algorithm::Uri, false) => builtin::Algorithm::UriHash,
        (Algorithm::Header(_) | Algorithm::Cookie(_) | Algorithm::Sticky(_), false) => bail!(
            "the built-in balancer keys on source and URI only, not on {}\n  hint: install nginx",
            topology.algorithm
        ),
    };
    let unknown = [
        ("--sockets", topology.sockets.is_some()),
        ("--proxy-protocol", topology.proxy_protocol),
        ("--backup", topology.backups().next().is_some()),
        ("--health-path", topology.health.is_some()),
        ("--retries", topology.retries.is_some()),
        ("--connect-timeout", topology.timeouts.connect.is_some()),
        ("--keep-alive, but 0", topology.keep_alive.is_some_and(|connections| connections > 0)),
    ];
    if let Some((option, _)) = unknown.iter().find(|(_, asked)| *asked) {
        bail!("the built-in balancer has no {option}\n  hint: install nginx");
    }
    let ejection =
        |failure: &Failure| Ejection { max_fails: failure.max_fails.get(), fail_timeout: failure.fail_timeout };
    Ok(Behaviour {
        cursors: workers.map_or(1, |workers| workers.get() as usize),
        retries: true,
        ejection: topology.failure.as_ref().map(ejection),
        backend_timeout: topology.timeouts.answer,
        keeps_connections: topology.keep_alive.is_none(),
        ..algorithm.into()
    })
}

/// What follows from what the balancer was told: the shares, and the algorithm.
pub fn expectations(topology: &Topology, front: &Front) -> Expectations {
    let mut expectations = Expectations { shares_by: "the topology".to_owned(), ..Expectations::default() };
    if let (Front::Real(balancer), Algorithm::Random) = (front, &topology.algorithm)
        && let Some(spread) = balancer.random_spread
    {
        (expectations.tolerance, expectations.margin) = spread;
    }
    let weighted = topology.is_weighted();
    expectations.algorithm = Some(topology.algorithm.kind(weighted));
    expectations.backups = topology.backups().map(|member| member.generator.to_string()).collect();
    if expectations.algorithm.is_some_and(|algorithm| Promise::of(algorithm) != Promise::Nothing) {
        let weights =
            topology.members.iter().map(|member| (member.generator.to_string(), u32::from(member.weight.get())));
        expectations.shares = Some(if weighted { Shares::ByName(weights.collect()) } else { Shares::Even });
    }
    expectations
}

/// The same, as `check --expect` is told.
fn expected_words(topology: &Topology, front: &Front) -> Vec<String> {
    let expectations = expectations(topology, front);
    let algorithm = expectations.algorithm.iter().map(ToString::to_string);
    let weights = topology.members.iter().map(|member| format!("{}={}", member.generator, member.weight.get()));
    let shares = expectations.shares.is_some().then(|| match topology.is_weighted() {
        true => weights.collect::<Vec<_>>().join(","),
        false => "even".to_owned(),
    });
    let backups = expectations.backups.iter().map(|name| format!("backup:{name}"));
    algorithm.chain(shares).chain(backups).collect()
}

/// A name or a path after it: `nginx`.
pub fn front(with: &str, own: Option<&Path>) -> Result<Front> {
    match (with, own) {
        ("builtin" | "built-in", None) => Ok(Front::BuiltIn),
        ("builtin" | "built-in", Some(_)) => bail!("--balancer-config: the built-in balancer has no configuration"),
        (name, own) => {
            let names: Vec<&str> = Balancer::runnable().map(|balancer| balancer.name).collect();
            let balancer = Balancer::runnable().find(|balancer| balancer.name == name);
            let balancer =
                balancer.with_context(|| format!("--with {name}: expected one of {}, or builtin", names.join(", ")))?;
            Ok(own.map_or(Front::Real(balancer), |own| Front::Own(balancer, own.to_owned())))
        }
    }
}
