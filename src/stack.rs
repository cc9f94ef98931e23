//! A fleet and a balancer in front of it, for as long as a command needs them.

mod ports;

use std::ffi::OsString;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};

use crate::args::location::LocationArgs;
use crate::balancer::run::installed;
use crate::balancer::run::launch::{Lost, Recipe, Running, free_port};
use crate::balancer::{Balancer, Containers, For, Listen, Options};
use crate::check::plan::{Backing, CheckPlan, Trust};
use crate::check::{Started, grpc, start_fleet};
use crate::config::Layer;
use crate::config::balancing::BalancingConfig;
use crate::config::fleet::MergedFleet;
use crate::config::nearest::nearest;
use crate::error::{Problem, describe_for_page};
use crate::remote::{FleetChoice, Remote};
use crate::topology::{BackendHttp, Policy, Topology, Weight, Weights};
use crate::wire;
use verdict::promise::Promise;
use verdict::report::SharesSource;
use verdict::rules::{Expectations, ExpectedWeights as Shares};
use verdict::timeline::Avoidance;

/// What stands in front of the fleet.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Front {
    pub(crate) balancer: Balancer,
    /// A configuration of the user's own, instead of the one that we write.
    pub(crate) own: Option<PathBuf>,
}

impl Front {
    pub(crate) fn of(name: &str, own: Option<&Path>) -> Result<Front, Problem> {
        let balancer = Balancer::all_that_run().find(|balancer| balancer.name == name).ok_or_else(|| {
            let problem = Problem::new(format!("expected one of {}", Balancer::names())).on(format!("--with {name}"));
            match nearest(name, Balancer::all_that_run().map(|balancer| balancer.name)) {
                Some(meant) => problem.hint(format!("did you mean {meant}?")),
                None => problem,
            }
        })?;
        if own.is_some() && balancer.own.is_none() {
            return Err(
                Problem::new(format!("{} has no configuration of its own", balancer.title)).on("--balancer-config")
            );
        }
        Ok(Front { balancer, own: own.map(PathBuf::from) })
    }
}

/// The fleet and the balancer that are asked for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Setup {
    /// Where the backends are.
    pub(crate) location: LocationArgs,
    /// Whether backends that cannot have their usual ports keep the names of these.
    pub(crate) keeps_names: bool,
    /// How the balancer is configured.
    pub(crate) balancing: BalancingConfig,
    /// Where it listens; None: on any free port.
    pub(crate) port: Option<u16>,
    /// Where the live view listens; None: where a fleet's does by itself.
    pub(crate) control: Option<SocketAddr>,
}

impl Setup {
    /// What of the balancer's configuration the file alone says, for an error about it.
    fn of_file(&self, front: &Front) -> Option<String> {
        let fleet = self.location.config().merge().ok().filter(|_| front.own.is_none())?;
        self.balancing.only_in(&fleet.balancing())
    }

    /// Whether backends want a client certificate: one that the fleet makes for the balancer has no other use.
    fn asks_clients(&self, front: &Front) -> Result<bool, Problem> {
        Ok(self.balancing(front, &self.location.config().merge()?).shows_certificate_of_fleet())
    }

    /// Which backends there are and how the balancer is configured; with how many workers.
    fn topology(&self, front: &Front) -> Result<(Topology, Option<NonZeroU32>), Problem> {
        let fleet = self.location.config().merge()?;
        let (balancing, topology) = (self.balancing(front, &fleet), fleet.topology()?);
        balancing.examine_files(&topology)?;
        balancing.resolve(topology)
    }

    fn balancing(&self, front: &Front, fleet: &MergedFleet) -> BalancingConfig {
        match front.own {
            // Its own file configures it.
            Some(_) => BalancingConfig::default(),
            None => self.balancing.clone().or(fleet.balancing()),
        }
    }
}

/// A running fleet with a balancer in front of it.
pub(crate) struct Stack {
    /// URL of the balancer.
    pub(crate) url: String,
    /// How the balancer is configured.
    pub(crate) topology: Topology,
    pub(crate) front: Front,
    pub(crate) supervisor: u32,
    /// The way to the fleet.
    pub(crate) remote: Remote,
    instance: BalancerInstance,
    lost: Lost,
    fleet: Started,
    balancer: Option<Running>,
}

/// Where and how the balancer is run.
#[derive(Clone, Copy)]
struct BalancerInstance {
    address: SocketAddr,
    version: For,
    workers: Option<NonZeroU32>,
}

/// Ports that another program takes at the last moment are chosen again this many times.
const MOST_RACES: usize = 5;

/// A connection that was being tried when a backend came back ends within that time, on a busy machine too.
const ATTENTION: Duration = Duration::from_secs(3);

impl Stack {
    /// Starts both. What was started is ended if something fails.
    pub(crate) async fn start(front: &Front, setup: &Setup) -> Result<Stack> {
        let mut tries = 0;
        loop {
            let mut setup = setup.clone();
            let mut ports = None;
            // A file of the user's own names the ports.
            if front.own.is_none() {
                let choice = ports::choose(setup.location, setup.keeps_names)?;
                (setup.location, ports) = (choice.location, choice.ours);
                choice.note.iter().for_each(|note| eprintln!("{note}"));
            }
            let (topology, workers) = setup.topology(front)?;
            let address = address(setup.port)?;
            let version = installed::version(&front.balancer).map_or(For::Newest, For::Found);
            let instance = BalancerInstance { address, version, workers };
            // All that can be refused before anything runs.
            let recipe = recipe(front, &topology, instance).map_err(|error| match setup.of_file(front) {
                Some(of_file) => error.context(of_file),
                None => error,
            })?;
            let control = setup.control.map(|control| format!("--control={control}"));
            let tls = topology.tls.then(|| "--tls".to_owned());
            let clients = setup.asks_clients(front)?.then(|| "--client-ca=fleet".to_owned());
            let options = setup.location.arguments().into_iter().chain(control).chain(tls).chain(clients);
            let options: Vec<String> = options.collect();
            match start_fleet(&options).await {
                Ok(started) => return Stack::in_front_of(started, front, &recipe, topology, instance).await,
                // Somebody took a port after it was seen to be free, such as another check that starts just now.
                Err(_) if tries < MOST_RACES && ports.is_some_and(|ports| ports.are_taken()) => tries += 1,
                Err(error) => return Err(error),
            }
        }
    }

    /// Starts the balancer of a fleet that runs.
    async fn in_front_of(
        (remote, fleet): (Remote, Started),
        front: &Front,
        recipe: &Recipe,
        topology: Topology,
        instance: BalancerInstance,
    ) -> Result<Stack> {
        let lost = Lost::default();
        let balancer = match Running::start(recipe, &lost).await {
            Ok(balancer) => Some(balancer),
            Err(error) => {
                fleet.end().await;
                return Err(error);
            }
        };
        Ok(Stack {
            url: format!("{}://localhost:{}{}", topology.client_scheme(), instance.address.port(), topology.path),
            supervisor: fleet.pid().context("the fleet has ended")?,
            topology,
            front: front.clone(),
            remote,
            instance,
            lost,
            fleet,
            balancer,
        })
    }

    /// The process of the balancer that takes signals, and its scratch folder.
    pub(crate) fn balancer(&self) -> Option<(u32, &Path)> {
        let running = self.balancer.as_ref()?;
        Some((running.pid()?, running.directory()))
    }

    /// Resolves when a process that guards the balancer was killed: then the balancer is gone.
    pub(crate) fn lost(&self) -> impl Future<Output = Problem> + use<> {
        let (lost, title) = (self.lost.clone(), self.front.balancer.title);
        async move {
            lost.happened().await;
            Problem::new(format!("the process that guards {title} was killed, so {title} was ended"))
        }
    }

    /// Shows in the live view what stands in front of the fleet.
    pub(crate) async fn announce(&self) -> Result<()> {
        self.remote.set_front(&self.front_of_view(None)).await
    }

    /// Balances in another way from now on, or shows in the live view why not. Where the balancer has to be restarted for that, a moment
    /// passes in which nobody balances.
    pub(crate) async fn apply(&mut self, wanted: &wire::BalanceRequest) -> Result<()> {
        let problem = self.change(wanted).await.err().map(|why| describe_for_page(&why));
        self.remote.set_front(&self.front_of_view(problem)).await
    }

    async fn change(&mut self, wanted: &wire::BalanceRequest) -> Result<()> {
        let topology = self.wanted(wanted)?;
        if topology == self.topology {
            return Ok(());
        }
        // What cannot be written is refused while the old one goes on.
        let new = recipe(&self.front, &topology, self.instance)?;
        // Nothing is lost if it reloads. If that cannot be watched, or does not happen, it is restarted.
        if let Some(running) = &self.balancer
            && running.reload(&new).await.is_ok()
        {
            self.topology = topology;
            return Ok(());
        }
        if let Some(old) = self.balancer.take() {
            old.stop().await;
        }
        match Running::start(&new, &self.lost).await {
            Ok(running) => {
                self.balancer = Some(running);
                self.topology = topology;
                Ok(())
            }
            Err(error) => {
                let old = recipe(&self.front, &self.topology, self.instance)?;
                self.balancer = Some(Running::start(&old, &self.lost).await?);
                Err(error)
            }
        }
    }

    /// As somebody who looks at the live view wants it.
    fn wanted(&self, wanted: &wire::BalanceRequest) -> Result<Topology> {
        let mut topology = self.topology.clone();
        topology.policy = wanted.algorithm.clone();
        let weights = match wanted.weights.as_slice() {
            [] => Weights(vec![Weight::ONE; topology.backends.len()]),
            weights => Weights(weights.iter().map(|weight| Weight::try_from(*weight)).collect::<Result<_, _>>()?),
        };
        topology.weigh(&weights).map_err(anyhow::Error::msg)?;
        Ok(topology)
    }

    /// What stands in front of the fleet, for the live view.
    fn front_of_view(&self, problem: Option<String>) -> wire::BalancerInfo {
        let front = wire::BalancerInfo {
            url: self.url.clone(),
            balancer: Some(self.front.balancer.title.to_owned()),
            problem,
            ..wire::BalancerInfo::default()
        };
        if self.front.own.is_some() {
            // Of a configuration of the user's own nothing is known, and it is not ours to change.
            return front;
        }
        let weight = |backend: &crate::topology::BackendConfig| u32::from(backend.weight.get());
        wire::BalancerInfo {
            algorithm: Some(self.topology.policy.clone()),
            weights: self.topology.backends.iter().map(weight).collect(),
            choices: self.choices(),
            backups: self.topology.backups().map(|backend| backend.name.clone()).collect(),
            expect: self.expectation_words(),
            reloads: Some(self.front.balancer.reload.is_some()),
            retries: Some(self.front.balancer.retries_refused),
            ..front
        }
    }

    /// The algorithms that this balancer has for this fleet.
    fn choices(&self) -> Vec<Policy> {
        let sticky = "sticky".parse().ok();
        let possible = |policy: &Policy| {
            let mut topology = Topology { policy: policy.clone(), ..self.topology.clone() };
            topology.backends.iter_mut().for_each(|backend| backend.weight = Weight::ONE);
            recipe(&self.front, &topology, self.instance).is_ok()
        };
        Policy::WITHOUT_FIELD.into_iter().chain(sticky).filter(possible).collect()
    }

    /// How long this balancer keeps away from a backend that failed, and then needs to notice that it is well; none where a file of the
    /// user's own says it.
    pub(crate) fn keeps_away(&self) -> Option<Avoidance> {
        if self.front.own.is_some() {
            return None;
        }
        let passive = match (&self.topology.failure, self.front.balancer.usual_fail_timeout) {
            (Some(failure), _) => failure.fail_timeout,
            (None, usual) => usual,
        };
        let active = self.topology.health.as_ref().map_or(Duration::ZERO, |health| {
            (health.interval + health.timeout) * health.rise.get().max(health.fall.get())
        });
        let grows = self.topology.failure.is_some() && self.front.balancer.avoids_longer_each_time;
        Some(Avoidance { time: passive.max(active) + ATTENTION, grows })
    }

    /// What a check asks: where backends are spoken to in gRPC, methods are called, below the balancer's path.
    pub(crate) fn check_url(&self) -> String {
        let method = if self.topology.path.is_root() { "" } else { grpc::METHOD };
        match (&self.topology.http, self.url.split_once("://")) {
            (BackendHttp::Grpc, Some(("https", rest))) => format!("grpcs://{rest}{method}"),
            (BackendHttp::Grpc, Some((_, rest))) => format!("grpc://{rest}{method}"),
            (BackendHttp::Grpc | BackendHttp::One | BackendHttp::Two, _) => self.url.clone(),
        }
    }

    /// Whom to trust: a certificate that the configuration has been given, of whatever authority.
    pub(crate) fn trust(&self) -> Trust {
        self.topology.listen_tls.clone().map_or(Trust::Machine, Trust::Also)
    }

    /// A check of what is configured.
    pub(crate) fn plan(&self, requests: Option<u64>) -> CheckPlan {
        let backends = Backing::Fleets(vec![FleetChoice::supervisor(self.supervisor)]);
        let mut plan = CheckPlan::new(self.url.clone(), backends);
        plan.target.trust = self.trust();
        plan.environment.balancer = Some(self.front.balancer.title.to_owned());
        plan.environment.keeps_away = self.keeps_away();
        plan.load.requests = requests;
        plan.expectations = self.expectations();
        match &self.topology.policy {
            Policy::Header(name) => plan.affinity.headers.push(name.to_string()),
            Policy::Cookie(name) => plan.affinity.cookies.push(name.to_string()),
            _ => {}
        }
        plan
    }

    /// What follows from the configuration: the shares, and the algorithm.
    fn expectations(&self) -> Expectations {
        let topology = &self.topology;
        let mut expectations = Expectations { shares_by: SharesSource::Topology, ..Expectations::default() };
        if let (Policy::Random, Some(spread)) = (&topology.policy, self.front.balancer.random_spread) {
            (expectations.tolerance, expectations.margin) = spread;
        }
        let kind = topology.policy.algorithm(topology.is_weighted());
        expectations.backups = topology.backups().map(|backend| backend.name.clone()).collect();
        // One active backend is picked whatever the algorithm.
        let one = topology.active().count() == 1 && topology.backends.len() > 1;
        expectations.algorithm = (!one).then_some(kind);
        if Promise::of(kind) != Promise::Nothing {
            let weight = |backend: &crate::topology::BackendConfig| u32::from(backend.weight.get());
            let weights = topology.backends.iter().map(|backend| (backend.name.clone(), weight(backend)));
            let weighted = topology.is_weighted();
            expectations.shares = Some(if weighted { Shares::ByName(weights.collect()) } else { Shares::Even });
        }
        expectations
    }

    /// The expectations as values of `check --expect`.
    pub(crate) fn expectation_words(&self) -> Vec<String> {
        let expectations = self.expectations();
        let algorithm = expectations.algorithm.map(|algorithm| algorithm.to_string());
        let shares = expectations.shares.map(|shares| shares.to_string());
        let backups = expectations.backups.iter().map(|name| format!("backup:{name}"));
        algorithm.into_iter().chain(shares).chain(backups).collect()
    }

    /// Ends both, the balancer first.
    pub(crate) async fn stop(self) {
        if let Some(balancer) = self.balancer {
            balancer.stop().await;
        }
        self.fleet.end().await;
    }
}

/// That port of loopback if it was asked for, else any.
fn address(port: Option<u16>) -> Result<SocketAddr> {
    let Some(port) = port else { return Ok(SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()?))) };
    let wanted = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    TcpListener::bind(wanted).map(|_| wanted).map_err(|error| {
        Problem::new(format!("the balancer cannot listen on {wanted}: {}", error.kind()))
            .hint("choose another port with --listen, or stop what holds it")
            .into()
    })
}

/// How the balancer is started.
fn recipe(front: &Front, topology: &Topology, instance: BalancerInstance) -> Result<Recipe> {
    let BalancerInstance { address, version, workers } = instance;
    let balancer = front.balancer;
    let title = balancer.title;
    let run_here = || Problem::new(format!("{title} is not run on this machine"));
    let (files, arguments, environment, folder, covered) = match &front.own {
        None => {
            let listen = Listen { address: Some(address.ip()), port: address.port() };
            let containers = Containers::PLAIN;
            let options = Options { listen: Some(listen), snippet: false, version, workers, containers };
            let written = balancer.write(topology, &options).map_err(Problem::from)?;
            let run = written.run.ok_or_else(run_here)?;
            let files = written.files.into_iter().map(|file| (file.name.to_owned(), file.text)).collect();
            (files, run.command.into_iter().skip(1).collect(), run.environment, None, Vec::new())
        }
        Some(file) => {
            let file = std::fs::metadata(file)
                .and_then(|_| std::path::absolute(file))
                .with_context(|| format!("failed to read {}", file.display()))?;
            let own = balancer.own.ok_or_else(run_here)?(&file)?;
            (Vec::new(), own.arguments, own.environment, own.folder, own.covered)
        }
    };
    let program = installed::find(&balancer).ok_or_else(|| {
        Problem::new(format!("{title} is not installed: no {} on PATH", balancer.name)).hint(balancer.install)
    })?;
    Ok(Recipe {
        name: title.to_owned(),
        files,
        command: std::iter::once(program.into_os_string()).chain(arguments.into_iter().map(OsString::from)).collect(),
        environment: environment.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
        folder,
        covered,
        reload: balancer.reload,
        address,
    })
}
